"""Smoke test of the four installed wheels: run `python -I tools/smoke.py` from another folder.

It fails on modules from a checkout, because editable installs hide files that the wheels lack.
"""

import asyncio
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aioamqp
import aioamqp_testing
import amqp_codec
import amqp_spec

MODULES = (amqp_spec, amqp_codec, aioamqp, aioamqp_testing)
SITE_PACKAGES = Path(sysconfig.get_path("purelib")).resolve()


def check(true: bool, otherwise: str) -> None:
    if not true:
        raise SystemExit(f"Smoke test failed: {otherwise}")


def check_installation() -> None:
    for module in MODULES:
        distribution = module.__name__.replace("_", "-")
        folder = Path(module.__file__ or "").resolve().parent
        installed = version(distribution)

        check(folder.parent == SITE_PACKAGES, f"{module.__name__} comes from {folder}")
        check((folder / "py.typed").is_file(), f"{folder} has no py.typed")
        check(
            module.__version__ == installed,
            f"{module.__name__}.__version__ is {module.__version__}, its wheel's is {installed}",
        )
        print(f"{distribution} {installed}")


def check_specification() -> None:
    methods = {
        f"{cls.name}.{method.name}" for cls in amqp_spec.load().classes for method in cls.methods
    }

    check("basic.publish" in methods, "amqp_spec.load() lacks basic.publish")
    check("confirm.select" in methods, "amqp_spec.load() lacks RabbitMQ's extensions")


def check_codec() -> None:
    command = amqp_codec.Command(
        1,
        amqp_codec.basic.Publish(exchange="orders", routing_key="new"),
        amqp_codec.Properties(content_type="text/plain", headers={"attempt": 1}),
        b"a body of more than one frame" * 1000,
    )
    sent = amqp_codec.encode_command(command, frame_max=4096)
    decoder = amqp_codec.Decoder()

    received = [
        command
        for start in range(0, len(sent), 1000)
        for command in decoder.feed(sent[start : start + 1000])
    ]

    check(received == [command], "a command changes when it is encoded and decoded")


async def check_round_trip() -> None:
    async with aioamqp_testing.FakeBroker() as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def acknowledge(channel: Any, body: bytes, envelope: Any, _properties: Any) -> None:
            await channel.basic_client_ack(delivery_tag=envelope.delivery_tag)
            received.set_result(body)

        await channel.queue_declare(queue_name="smoke", exclusive=True)
        await channel.basic_consume(acknowledge, queue_name="smoke")
        await channel.basic_publish(b"hello", exchange_name="", routing_key="smoke")
        body = await asyncio.wait_for(received, timeout=10)
        # An unacknowledged message is requeued when its channel closes.
        await channel.close()
        channel = await protocol.channel()
        queue = await channel.queue_declare(queue_name="smoke", passive=True)
        await protocol.close()

    check(body == b"hello", f"published b'hello', received {body!r}")
    check(queue["message_count"] == 0, "an acknowledged message is still in its queue")


def main() -> None:
    check_installation()
    check_specification()
    check_codec()
    asyncio.run(check_round_trip())
    print("Smoke test passed.")


if __name__ == "__main__":
    main()
