"""The examples, each run as the program it is, on RabbitMQ and on the fake over TCP."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

import aioamqp
from aioamqp_testing import FakeBroker

EXAMPLES = Path(__file__).parents[1] / "examples"
WORDS = {"receive_log_direct.py": ["error"], "receive_log_topic.py": ["*.error"]}
"""Arguments of the programs that do nothing without."""
PROGRAMS = sorted({path.name for path in EXAMPLES.glob("[!_]*.py")} - {"demo.py"})
WAITING = sorted(
    {name for name in PROGRAMS if name.startswith("receive")}
    | {"consume.py", "worker.py", "rpc_server.py", "server_cancellation.py"}
)
"""Those that only Ctrl-C ends, or the broker."""

QUEUES = ("hello", "task_queue", "rpc_queue", "my_queue", "no-such-queue")
EXCHANGES = ("logs", "direct_logs", "topic_logs")
READY = "Press Ctrl-C to end."
INTERRUPTED = 130

TOOK_LONG = re.compile(r"Executing <.*> took [\d.]+ seconds\n")
"""asyncio says so in development mode, where the machine has much else to do."""


class Program:
    """An example that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, name: str, *words: str, **environment: str) -> Self:
        inherited = {key: value for key, value in os.environ.items() if key != "AMQP_URL"}
        strict = {"PYTHONDEVMODE": "1", "PYTHONUNBUFFERED": "1"}
        # Where the tests run in the background, the program would inherit that Ctrl-C is ignored.
        ours = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", str(EXAMPLES / name), *words),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=inherited | strict | environment,
            )
        finally:
            signal.signal(signal.SIGINT, ours)
        return cls(process)

    async def line(self) -> str:
        """Wait for the next line that it prints; empty if it has ended instead."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().rstrip("\n")

    async def error(self) -> str:
        """Wait for the next line of its errors; empty if it has ended instead."""
        assert self._process.stderr is not None
        return (await self._process.stderr.readline()).decode().rstrip("\n")

    async def is_ready(self) -> Self:
        """Wait until it says that it waits for messages."""
        line = await self.line()
        assert line.endswith(READY), (line, *await self.end())
        return self

    async def end(self) -> tuple[int | None, list[str], str]:
        """Wait until it ends; return the exit code, the rest of what it prints, and its errors."""
        stdout, stderr = await self._process.communicate()
        errors = TOOK_LONG.sub("", stderr.decode())
        return self._process.returncode, stdout.decode().splitlines(), errors

    async def interrupt(self) -> list[str]:
        """End it with Ctrl-C, of which it must make nothing; return the rest of what it prints."""
        self._process.send_signal(signal.SIGINT)
        code, lines, errors = await self.end()
        assert (code, errors) == (INTERRUPTED, "")
        return lines

    async def kill(self) -> None:
        """End it if the test has not."""
        if self._process.returncode is None:
            self._process.kill()
            await self.end()


class Start(Protocol):
    """Starts an example with some words; it ends with the test, if not before."""

    async def __call__(self, name: str, *words: str) -> Program: ...


class Relay:
    """Passes on what goes between programs and a broker, until it is told to cut their links."""

    def __init__(self, url: str) -> None:
        self._broker = urlsplit(url)
        self._links: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._pumps = await asyncio.TaskGroup().__aenter__()
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        self.cut()
        await self._pumps.__aexit__(None, None, None)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"amqp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    def cut(self) -> None:
        for link in self._links:
            link.transport.abort()
        self._links.clear()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        broker = await asyncio.open_connection(self._broker.hostname, self._broker.port)
        self._links += [sink, broker[1]]
        self._pumps.create_task(self._pump(source, broker[1]))
        self._pumps.create_task(self._pump(broker[0], sink))

    @staticmethod
    async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            sink.write(data)
        sink.close()


@pytest.fixture(params=["fake", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    """`fake`, or the URL of RabbitMQ: not asynchronous, so that it starts in its own time."""
    if request.param == "rabbitmq":
        return str(request.getfixturevalue("rabbitmq_url"))
    return "fake"


@pytest_asyncio.fixture
async def url(broker: str) -> AsyncIterator[str]:
    """The URL of a broker that has nothing yet of what the examples declare."""
    async with AsyncExitStack() as stack:
        if broker == "fake":
            broker = await (await stack.enter_async_context(FakeBroker())).listen()
        await clear(broker)
        yield broker
        await clear(broker)


async def clear(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        for queue in QUEUES:
            await channel.queue_delete(queue)
        for exchange in EXCHANGES:
            await channel.exchange_delete(exchange)


@pytest_asyncio.fixture
async def start(url: str) -> AsyncIterator[Start]:
    programs: list[Program] = []

    async def start_one(name: str, *words: str) -> Program:
        programs.append(await Program.start(name, "--url", url, *words))
        return programs[-1]

    yield start_one
    for program in programs:
        await program.kill()


async def output(program: Program) -> list[str]:
    """Wait for a program that ends by itself, and well; return what it prints."""
    code, lines, errors = await program.end()
    assert (code, errors) == (0, "")
    return lines


# -------------------------------------------------------------------- the tutorials


@pytest.mark.asyncio
async def test_hello_world(start: Start) -> None:
    receiver = await (await start("receive.py")).is_ready()

    assert await output(await start("send.py")) == ["Sent 'Hello World!'"]

    assert await receiver.line() == "Received 'Hello World!'"
    assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_hello_world_when_the_receiver_comes_later(start: Start) -> None:
    for _ in range(2):
        await output(await start("send.py"))

    receiver = await (await start("receive.py")).is_ready()

    assert [await receiver.line(), await receiver.line()] == ["Received 'Hello World!'"] * 2
    assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_work_is_shared_by_workers(start: Start) -> None:
    busy = await (await start("worker.py")).is_ready()
    long_task = "one that is not done before the test is " + "." * 99
    assert await output(await start("new_task.py", long_task)) == [f"Sent {long_task!r}"]
    assert await busy.line() == f"Received {long_task!r}"
    idle = await (await start("worker.py")).is_ready()

    for task in ("the second", "the third"):
        await output(await start("new_task.py", task))

    assert [await idle.line() for _ in range(4)] == [
        "Received 'the second'", "Done", "Received 'the third'", "Done",
    ]  # fmt: skip
    assert await idle.interrupt() == []
    assert await busy.interrupt() == []


@pytest.mark.asyncio
async def test_the_work_of_a_worker_that_is_stopped_is_done_by_another(start: Start) -> None:
    task = "." * 99
    stopped = await (await start("worker.py")).is_ready()
    await output(await start("new_task.py", task))
    assert await stopped.line() == f"Received {task!r}"
    other = await (await start("worker.py")).is_ready()

    assert await stopped.interrupt() == []

    assert await other.line() == f"Received {task!r}"
    assert await other.interrupt() == []


@pytest.mark.asyncio
async def test_publish_and_subscribe(start: Start) -> None:
    receivers = [await (await start("receive_log.py")).is_ready() for _ in range(2)]

    assert await output(await start("emit_log.py", "all", "is", "well")) == ["Sent 'all is well'"]
    assert await output(await start("emit_log.py")) == ["Sent 'info: Hello World!'"]

    for receiver in receivers:
        assert [await receiver.line() for _ in range(2)] == ["all is well", "info: Hello World!"]
        assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_routing(start: Start) -> None:
    receiver = await start("receive_log_direct.py", "warning", "error")
    assert await receiver.line() == f"Waiting for warning, error. {READY}"

    assert await output(await start("emit_log_direct.py")) == ["Sent 'Hello World!' as info"]
    for severity in ("error", "warning"):
        await output(await start("emit_log_direct.py", severity, "the", "disk"))

    assert [await receiver.line() for _ in range(2)] == ["error: the disk", "warning: the disk"]
    assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_topics(start: Start) -> None:
    receiver = await start("receive_log_topic.py", "*.critical", "nginx.#")
    assert await receiver.line() == f"Waiting for *.critical, nginx.#. {READY}"

    assert await output(await start("emit_log_topic.py")) == [
        "Sent 'Hello World!' as anonymous.info"
    ]
    for key in ("kern.critical", "nginx.info.more"):
        await output(await start("emit_log_topic.py", key, "the", "disk"))

    assert [await receiver.line() for _ in range(2)] == [
        "kern.critical: the disk", "nginx.info.more: the disk",
    ]  # fmt: skip
    assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_rpc(start: Start) -> None:
    server = await (await start("rpc_server.py")).is_ready()

    assert await output(await start("rpc_client.py", "10", "0", "7")) == [
        "fib(10) is 55", "fib(0) is 0", "fib(7) is 13",
    ]  # fmt: skip

    assert await server.interrupt() == ["fib(10)", "fib(0)", "fib(7)"]


@pytest.mark.asyncio
async def test_rpc_without_a_server_is_given_up_with_a_sentence(start: Start) -> None:
    client = await start("rpc_client.py", "--timeout", "0.01")

    sentence = "No answer within 0.01 seconds. Is rpc_server.py running?\n"
    assert await client.end() == (1, [], sentence)


# -------------------------------------------------------------------- what else there is


@pytest.mark.asyncio
async def test_consuming_with_async_for(start: Start) -> None:
    consumer = await (await start("consume.py")).is_ready()

    for _ in range(2):
        await output(await start("send.py"))

    assert [await consumer.line(), await consumer.line()] == ["Received 'Hello World!'"] * 2
    assert await consumer.interrupt() == []


@pytest.mark.asyncio
async def test_consuming_with_async_for_ends_with_the_queue(start: Start, url: str) -> None:
    consumer = await (await start("consume.py")).is_ready()

    async with aioamqp.from_url(url) as protocol:
        await (await protocol.channel()).queue_delete("hello")

    code, lines, errors = await consumer.end()
    assert (code, lines) == (1, [])
    assert "cancelled" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.asyncio
async def test_confirms(start: Start) -> None:
    assert await output(await start("confirms.py")) == [
        "Message 0: confirmed",
        "Message 1: confirmed",
        "Message 2: returned: it matched no queue",
        "Message 3: confirmed",
    ]


@pytest.mark.asyncio
async def test_returns(start: Start) -> None:
    assert await output(await start("returns.py")) == [
        "'Anybody there?' for 'no-such-queue' was returned: NO_ROUTE"
    ]


@pytest.mark.asyncio
async def test_on_error(start: Start) -> None:
    assert await output(await start("on_error.py")) == [
        "The connection ended: (540, 'NOT_IMPLEMENTED - immediate=true')"
    ]


@pytest.mark.asyncio
async def test_server_cancellation(start: Start, url: str) -> None:
    consumer = await (await start("server_cancellation.py")).is_ready()

    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        for body in (b"one", b"two"):
            await channel.queue_delete("my_queue")
            assert await consumer.line() == "The broker cancelled printer; consuming again."
            await channel.basic_publish(body, "", "my_queue")
            assert await consumer.line() == f"Received {body.decode()!r}"

    assert await consumer.interrupt() == []


@pytest.mark.asyncio
async def test_reconnecting(start: Start, url: str) -> None:
    async with Relay(url) as relay:
        consumer = await (
            await start("reconnect.py", "--pause", "0", "--url", relay.url)
        ).is_ready()

        for _ in range(2):
            relay.cut()
            assert (await consumer.line()).endswith(". Trying again in 0 seconds.")
            await consumer.is_ready()
            await output(await start("send.py"))
            assert await consumer.line() == "Received 'Hello World!'"

        assert await consumer.interrupt() == []


# -------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("name", WAITING)
@pytest.mark.asyncio
async def test_a_broker_that_stops_ends_those_who_wait_with_a_sentence(name: str) -> None:
    async with FakeBroker() as broker:
        url = await broker.listen()
        program = await Program.start(name, "--url", url, *WORDS.get(name, []))
        await program.is_ready()

        await broker.close()

        code, lines, errors = await program.end()

    assert (code, lines) == (1, [])
    assert errors.endswith(
        ": 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'\n"
    )
    assert len(errors.splitlines()) == 1


@pytest.mark.asyncio
async def test_a_callback_that_fails_is_heard_of(start: Start, url: str) -> None:
    server = await (await start("rpc_server.py")).is_ready()

    async with aioamqp.from_url(url) as protocol:
        await (await protocol.channel()).basic_publish(b"seven", "", "rpc_queue")

    assert "error on dispatch" in await server.error()
    while line := await server.error():
        if line.startswith("ValueError: "):
            break
    assert "seven" in line
    assert await server.interrupt() == []


@pytest.mark.asyncio
async def test_ctrl_c_ends_a_program_also_while_it_connects() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        program = await Program.start(
            "send.py", "--url", f"amqp://127.0.0.1:{mute.getsockname()[1]}/"
        )
        with (await asyncio.to_thread(mute.accept))[0] as link:
            await asyncio.to_thread(link.recv, 8)  # the protocol header: now it waits for an answer

            assert await program.interrupt() == []


@pytest.mark.asyncio
async def test_the_url_is_taken_from_the_environment_where_no_other_is_given() -> None:
    async with FakeBroker() as broker:
        program = await Program.start("send.py", AMQP_URL=await broker.listen())

        assert await program.end() == (0, ["Sent 'Hello World!'"], "")
        assert "hello" in broker.vhost.queues


def test_the_readme_names_every_program() -> None:
    named = set(re.findall(r"`(\w+\.py)`", (EXAMPLES / "README.md").read_text()))

    assert named == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.asyncio
async def test_a_broker_that_is_not_there_is_said_in_a_sentence(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but not listening: nobody else can get it meanwhile
        where = f"127.0.0.1:{taken.getsockname()[1]}"

        ran = await Program.start(name, *WORDS.get(name, []), "--url", f"amqp://{where}/")
        code, lines, errors = await ran.end()

    assert (code, lines) == (1, [])
    assert errors.startswith(f"Cannot connect to {where}: ")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.asyncio
async def test_a_typing_error_in_the_url_is_said_in_a_sentence(name: str) -> None:
    ran = await Program.start(name, *WORDS.get(name, []), "--url", "ampq://localhost/")

    assert await ran.end() == (
        1,
        [],
        "An AMQP URL begins with amqp:// or amqps://; this one has the scheme 'ampq'\n",
    )
