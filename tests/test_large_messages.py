"""Messages of many frames, in both directions, with the fake broker and RabbitMQ."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from tests.blocking import declare, receive, url_of
from tests.rabbitmq import RabbitMQNode

LARGEST = 16 * 1024 * 1024
"""Bytes that RabbitMQ 4 and later take by default."""


def body_of(size: int, seed: int = 0) -> bytes:
    pattern = bytes((seed + each) % 251 for each in range(251))
    return (pattern * (size // 251 + 1))[:size]


@pytest.fixture(params=["fake", "rabbitmq"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with url_of(request) as url:
        yield url


async def exchange_large_messages(protocol: aioamqp.AmqpProtocol, count: int, size: int) -> None:
    """Publish on several channels at once, and receive it all, while another channel calls."""
    other = await protocol.channel()
    queue = (await other.queue_declare("", exclusive=True))["queue"]
    bodies = [body_of(size, seed) for seed in range(count)]
    channels = [await protocol.channel() for _ in bodies]
    for each in channels:
        await each.confirm_select()

    tasks = [
        asyncio.create_task(channel.publish(body, "", queue))
        for channel, body in zip(channels, bodies, strict=True)
    ]
    while not all(task.done() for task in tasks):
        await other.queue_declare(queue, passive=True)
        await protocol.send_heartbeat()
    await asyncio.gather(*tasks)

    received: list[bytes] = []
    async with other.consume(queue, no_ack=True) as messages:
        async for message in messages:
            received.append(message.body)
            await channels[0].queue_declare(queue, passive=True)
            if len(received) == count:
                break
    assert all(type(body) is bytes for body in received)
    assert sorted(received) == sorted(bodies)
    assert protocol.pending == {}


@pytest.mark.parametrize(("count", "size"), [(1, LARGEST), (3, 5_000_000), (5, 131073)])
def test_large_messages_pass_in_both_directions(url: str, count: int, size: int) -> None:
    async def main() -> None:
        async with aioamqp.from_url(url) as protocol:
            await exchange_large_messages(protocol, count, size)

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no Windows version")
def test_large_messages_pass_with_uvloop(url: str) -> None:
    import uvloop

    async def main() -> None:
        async with aioamqp.from_url(url) as protocol:
            await exchange_large_messages(protocol, 3, 3_000_000)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_large_messages_pass_through_tls(rabbitmq_node: RabbitMQNode) -> None:
    if rabbitmq_node.authority is None:
        pytest.skip("no RabbitMQ: without openssl it has no TLS")
    cacertfile = rabbitmq_node.authority.cacertfile
    url = f"amqps://localhost:{rabbitmq_node.tls_port}/?cacertfile={cacertfile}"

    async def main() -> None:
        async with aioamqp.from_url(url) as protocol:
            await exchange_large_messages(protocol, 3, 3_000_000)

    asyncio.run(main())


def test_the_fake_broker_shows_a_large_message_at_once() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            _, protocol = await broker.connect()
            channel = await protocol.channel()
            await channel.queue_declare("q", durable=True)
            publisher = channel.publisher("", routing_key="q")

            await publisher.publish_deferred(body_of(1_000_000))

            assert broker.vhost.queues["q"].message_count == 1
            await publisher.flush()
            await protocol.close()

    asyncio.run(main())


def cancel(task: "asyncio.Task[None]", protocol: aioamqp.AmqpProtocol) -> None:
    task.cancel()


def close(task: "asyncio.Task[None]", protocol: aioamqp.AmqpProtocol) -> None:
    """Close the connection below."""


@pytest.mark.parametrize("end", [cancel, close])
def test_a_large_message_is_not_torn_by_the_program(
    url: str, end: Callable[["asyncio.Task[None]", aioamqp.AmqpProtocol], None]
) -> None:
    queue, body = f"large-messages-{uuid4().hex}", body_of(LARGEST)

    async def main() -> None:
        _, protocol = await aioamqp.from_url(url)
        channel = await protocol.channel()
        task = asyncio.create_task(channel.basic_publish(body, "", queue))
        await asyncio.sleep(0)
        assert protocol.pending.get("large messages") == 1
        end(task, protocol)
        await protocol.close()
        await asyncio.wait([task])

    asyncio.run(declare(url, queue))
    asyncio.run(main())

    assert asyncio.run(receive(url, queue, 1)) == [body]


async def delete(url: str, queue: str) -> None:
    async with aioamqp.from_url(url) as protocol, await protocol.channel() as channel:
        await channel.queue_delete(queue)


PROGRAM = f"""
import asyncio, resource, sys
import aioamqp

async def main():
    url, queue = sys.argv[1:]
    async with aioamqp.from_url(url) as protocol, await protocol.channel() as channel:
        await channel.confirm_select()
        body = b"x" * {LARGEST}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await channel.publish(body, "", queue)
        published = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with channel.consume(queue, no_ack=True) as messages:
            assert (await anext(messages)).body == body
        received = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(published - before, received - before)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
def test_a_large_message_takes_its_own_size_of_memory(url: str) -> None:
    """Publishing one that the program holds takes nothing, receiving it once its size."""
    queue = f"large-messages-{uuid4().hex}"
    asyncio.run(declare(url, queue))

    program = subprocess.run(
        [sys.executable, "-c", PROGRAM, url, queue],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert program.stderr == ""
    published, received = (int(each) * 1024 for each in program.stdout.split())
    assert published < 0.2 * LARGEST
    assert received < 1.2 * LARGEST
    asyncio.run(delete(url, queue))
