"""Programs that fork while a connection is open: the child cannot use it, nor harm the parent's."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.blocking import declare, receive, url_of
from tests.rabbitmq import NODES

PROGRAM = """
import asyncio, gc, json, logging, os, sys
import aioamqp

url, queue = sys.argv[1:]
logging.basicConfig(level=logging.WARNING)
parent, (texts, write_to) = os.getpid(), os.pipe()

async def error_of(call):
    try:
        async with asyncio.timeout(5):
            return f"{call} returned {await eval(call)!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

CALLS = (
    "protocol.channel()", "protocol.ensure_open()", "protocol.update_secret('s')",
    "protocol.send_heartbeat()", "protocol.close()", "protocol.blocked.wait()",
    "channel.publish(b'child', '', queue)", "channel.basic_publish(b'child', '', queue)",
    "channel.queue_declare(queue)", "channel.basic_client_ack(1)", "channel.basic_consume(print)",
    "channel.close()", "channel.confirm_select()", "messages.__anext__()", "message.ack()",
    "other.publish(b'child', '', queue)", "other.basic_get(queue)", "other.close()",
)
QUIET_CALLS = (
    "protocol.wait_closed()", "channel.wait_closed()", "protocol.heartbeat()", "messages.aclose()",
)

async def connect():
    global transport, protocol, channel, other, messages, message
    transport, protocol = await aioamqp.from_url(url)
    channel, other = await protocol.channel(), await protocol.channel()
    await other.confirm_select()
    for body in (b"1", b"2"):
        await other.publish(body, "", queue)
    messages = channel.consume(queue)
    message = await anext(messages)

async def go_on():
    # The parent's connection still writes, reads, waits for confirms and closes.
    await message.ack()
    await (await anext(messages)).ack()
    await messages.aclose()
    await other.publish(b"parent", "", queue)
    got = await other.basic_get(queue, no_ack=True)
    await protocol.close()
    os.close(write_to)
    with open(texts) as lines:
        print(json.dumps([got["message"].decode(), json.loads(lines.read() or "[]")]))

async def check_calls():
    assert (protocol.is_open, channel.is_open, other.is_open) == (False, False, False)
    errors = [await error_of(call) for call in CALLS]
    quiet = [await error_of(call) for call in QUIET_CALLS]
    transport.write(b"child")
    transport.close()
    transport.abort()
    os.write(write_to, json.dumps([parent, errors, quiet]).encode())

def wait_for(child):
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
"""

CALLS = """
loop = asyncio.new_event_loop()
loop.run_until_complete(connect())
if (child := os.fork()) == 0:
    asyncio.run(check_calls())
    os._exit(0)
wait_for(child)
loop.run_until_complete(go_on())
"""

CALLS_OF_A_GRANDCHILD = CALLS.replace(
    "    asyncio.run",
    """\
    if (grandchild := os.fork()) != 0:
        wait_for(grandchild)
        os._exit(0)
    asyncio.run""",
)

BETWEEN_RUNS = """
loop = asyncio.new_event_loop()
loop.run_until_complete(connect())

async def write_much():
    for _ in range(3):
        await other.basic_publish(b"last", "", "nowhere")
loop.run_until_complete(write_much())  # so the write buffer and that of the gate are in use
if (child := os.fork()) == 0:
    {end}
wait_for(child)
loop.run_until_complete(go_on())
"""

IN_A_COROUTINE = """
async def main():
    await connect()
    await other.basic_publish(b"last", "", "nowhere")
    await other.basic_publish(b"last", "", "nowhere")
    if (child := os.fork()) == 0:
        {end}
    wait_for(child)  # not in a thread: the child has unregistered the pipe of asyncio that wakes it
    await go_on()

asyncio.run(main())
"""

RUNNING_LOOP = """
async def until_reading():
    # The reply of the parent wakes this event loop, too, which finds that its link has ended.
    while not transport.is_closing():
        await asyncio.sleep(0)

loop = asyncio.new_event_loop()
loop.run_until_complete(connect())
reply = loop.create_task(channel.queue_declare(queue, passive=True))
loop.run_until_complete(asyncio.sleep(0))
if (child := os.fork()) == 0:
    loop.run_until_complete(until_reading())
    os._exit(0)
wait_for(child)
loop.run_until_complete(asyncio.wait_for(reply, 5))
loop.run_until_complete(go_on())
"""

COLLECT = "del transport, protocol, channel, other, messages, message; gc.collect(); sys.exit()"

ENDS = {
    "os._exit": BETWEEN_RUNS.format(end="os._exit(0)"),
    "sys.exit": BETWEEN_RUNS.format(end="sys.exit()"),
    "garbage collection": BETWEEN_RUNS.format(end=COLLECT),
    "transport.close": BETWEEN_RUNS.format(end="transport.close(); sys.exit()"),
    "protocol's own transport": BETWEEN_RUNS.format(
        end="protocol._stream_reader._transport.close(); sys.exit()"
    ),
    "the event loop runs": RUNNING_LOOP,
    "os._exit in a coroutine": IN_A_COROUTINE.format(end="os._exit(0)"),
}
if sys.version_info < (3, 14):  # asyncio has no running event loop in a child since, and blocks
    ENDS["asyncio.run is left"] = IN_A_COROUTINE.format(end="sys.exit()")


@pytest.fixture(params=["fake", *NODES])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with url_of(request) as url:
        yield url


@pytest.fixture
def queue(url: str) -> str:
    name = f"forking-{uuid4().hex}"
    asyncio.run(declare(url, name))
    return name


def run(program: str, url: str, queue: str) -> tuple[str, Any]:
    """Run a program; return what its parent process got from the queue, and the child's output."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, url, queue],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    body, from_child = json.loads(line)
    return body, from_child


@pytest.mark.parametrize("program", [CALLS, CALLS_OF_A_GRANDCHILD], ids=["child", "grandchild"])
def test_every_call_in_a_forked_child_names_the_process_that_has_the_connection(
    url: str, queue: str, program: str
) -> None:
    """Row U15, for the client: the parent goes on."""
    body, (parent, errors, quiet) = run(program, url, queue)

    assert body == "parent"
    text = f"it belongs to process {parent}, from which this one was forked"
    assert [error for error in errors if text not in error] == []
    assert [line for line in quiet if "returned None" not in line] == []
    asyncio.run(receive(url, queue, 0))


@pytest.mark.slow  # each program imports everything anew
@pytest.mark.parametrize("program", ENDS.values(), ids=ENDS.keys())
def test_the_end_of_a_forked_child_does_not_reach_the_connection(
    url: str, queue: str, program: str
) -> None:
    assert run(program, url, queue)[0] == "parent"
    asyncio.run(receive(url, queue, 0))
