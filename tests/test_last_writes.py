"""The last data that a program writes before it blocks its event loop or ends."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

import aioamqp
from tests.blocking import declare, outliving_proxy, receive, url_of
from tests.rabbitmq import NODES


@pytest.fixture(params=["fake", *NODES])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with url_of(request) as url:
        yield url


@pytest.fixture
def queue(url: str) -> str:
    name = f"last-writes-{uuid4().hex}"
    asyncio.run(declare(url, name))
    return name


async def wait_for_count(url: str, queue: str, count: int) -> int:
    """Wait until a queue has so many messages, with a connection of its own."""
    _, protocol = await aioamqp.from_url(url)
    channel = await protocol.channel()
    async with asyncio.timeout(30):
        while True:  # each call is answered by the server, which has read more by then
            declared = await channel.queue_declare(queue, passive=True)
            if declared["message_count"] == count:
                break
    await protocol.close()
    return count


@pytest.mark.parametrize("body", [b"hello", b"", b"x" * 300_000], ids=["short", "empty", "long"])
@pytest.mark.parametrize("call", ["publish", "basic_publish"])
def test_a_message_is_in_the_queue_while_the_program_blocks_its_event_loop(
    url: str, queue: str, call: str, body: bytes
) -> None:
    """Row U33. A test of 0.15 publishes, and then blocks for six seconds while it counts."""

    async def main() -> int:
        _, protocol = await aioamqp.from_url(url)
        channel = await protocol.channel()
        await getattr(channel, call)(body, "", queue)
        with ThreadPoolExecutor(1) as thread:  # which blocks here until it is done
            count = thread.submit(asyncio.run, wait_for_count(url, queue, 1)).result()
        await protocol.close()
        return count

    assert asyncio.run(main()) == 1
    assert asyncio.run(receive(url, queue, 1)) == [body]


def test_an_acknowledgement_arrives_while_the_program_blocks_its_event_loop(
    url: str, queue: str
) -> None:
    """Row U33. The queue has one consumer at a time: the next gets what is not acknowledged."""

    async def main() -> int:
        _, protocol = await aioamqp.from_url(url)
        channel = await protocol.channel()
        await channel.confirm_select()
        for body in (b"1", b"2"):
            await channel.publish(body, "", queue)
        messages = channel.consume(queue, prefetch_count=1)
        await (await anext(messages)).ack()  # so the server delivers the second
        with ThreadPoolExecutor(1) as thread:
            left = thread.submit(asyncio.run, wait_for_count(url, queue, 0)).result()
        await protocol.close()
        return left

    assert asyncio.run(main()) == 0
    assert asyncio.run(receive(url, queue, 1)) == [b"2"]


PROGRAM = """
import asyncio, gc, signal, sys, time
import aioamqp

url, queue = sys.argv[1:]
loop = asyncio.new_event_loop()

async def open_channel():
    transport, protocol = await aioamqp.from_url(url)
    return transport, await protocol.channel()

async def publish(channel):
    for n in range(3):
        await channel.basic_publish(b"%d" % n, "", queue)

async def publish_and(end):
    transport, channel = await open_channel()
    await publish(channel)
    end()
    return channel

def interrupt():
    raise KeyboardInterrupt

"""

ENDS = {
    "asyncio.run ends": "asyncio.run(publish_and(lambda: None))",
    "sys.exit under asyncio.run": "asyncio.run(publish_and(sys.exit))",
    "sys.exit under run_until_complete": "loop.run_until_complete(publish_and(sys.exit))",
    "KeyboardInterrupt": """
try:
    loop.run_until_complete(publish_and(interrupt))
except KeyboardInterrupt:
    pass
""",
    "loop.stop": """
task = loop.create_task(publish_and(loop.stop))
loop.run_forever()
""",
    "loop.stop and loop.close": """
task = loop.create_task(publish_and(loop.stop))
loop.run_forever()
loop.close()
import os
os._exit(0)  # so it is the loop's end that writes, and not the interpreter's
""",
    "the interpreter ends": "loop.run_until_complete(publish_and(lambda: None))",
    "transport.close": """
async def main():
    transport, channel = await open_channel()
    await publish(channel)
    transport.close()
loop.run_until_complete(main())
""",
    "a hand-made protocol": """
from urllib.parse import urlsplit
async def main():
    address = urlsplit(url)
    transport, protocol = await loop.create_connection(
        lambda: aioamqp.AmqpProtocol(), address.hostname, address.port)
    await protocol.start_connection(
        address.hostname, address.port, "guest", "guest", virtualhost="/", ssl=False)
    await publish(await protocol.channel())
    transport.close()
loop.run_until_complete(main())
""",
}


@pytest.mark.slow  # each program imports everything anew
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_what_was_written_last_arrives_however_the_program_ends(
    url: str, queue: str, end: str
) -> None:
    """Rows U33 and U42."""
    with outliving_proxy(url) as address:
        program = subprocess.run(
            [sys.executable, "-c", PROGRAM + end, address, queue],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert "Traceback" not in program.stderr
        assert program.returncode == 0
        assert asyncio.run(receive(url, queue, 3)) == [b"0", b"1", b"2"]
