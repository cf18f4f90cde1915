"""The examples, each run as a program with RabbitMQ and with the fake broker over TCP."""

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
from tests.rabbitmq import NODES

EXAMPLES = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "receive_log_direct.py": ["error"],
    "receive_log_topic.py": ["*.error"],
    "reconnect.py": ["--patience", "0.5"],
}
"""Arguments of the programs that require some."""
PROGRAMS = sorted({path.name for path in EXAMPLES.glob("[!_]*.py")} - {"demo.py"})
LONG_RUNNING = sorted(
    {name for name in PROGRAMS if name.startswith("receive")}
    | {
        "consume.py",
        "graceful_shutdown.py",
        "rpc_server.py",
        "server_cancellation.py",
        "worker.py",
    }
)
"""Programs that run until Ctrl-C or until the broker closes the connection."""
SERVICES = {"orders.py", "prices.py", "web.py"}
"""Programs that wait for their broker; tests/test_services.py tests them."""

QUEUES = ("hello", "task_queue", "rpc_queue", "my_queue", "no-such-queue")
EXCHANGES = ("logs", "direct_logs", "topic_logs")
READY = "Press Ctrl-C to end."
EXIT_CODE_OF_SIGINT = 130

SLOW_CALLBACK = re.compile(r"Executing <.*> took [\d.]+ seconds\n")
"""A warning of asyncio's debug mode, which appears on a busy machine, for example of imports."""


class Program:
    """A running example."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, name: str, *arguments: str, **environment: str) -> Self:
        inherited = {key: value for key, value in os.environ.items() if key != "AMQP_URL"}
        strict = {"PYTHONDEVMODE": "1", "PYTHONUNBUFFERED": "1"}
        # A program started by background tests would otherwise inherit that SIGINT is ignored.
        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", str(EXAMPLES / name), *arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=inherited | strict | environment,
            )
        finally:
            signal.signal(signal.SIGINT, previous)
        return cls(process)

    async def next_line(self) -> str:
        """Return the next line of standard output; empty at the end."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().rstrip("\n")

    async def next_error_line(self) -> str:
        """Return the next line of standard error; empty at the end."""
        assert self._process.stderr is not None
        while SLOW_CALLBACK.fullmatch(line := (await self._process.stderr.readline()).decode()):
            pass
        return line.rstrip("\n")

    async def wait_ready(self) -> Self:
        """Wait until the program prints that it is ready for messages."""
        line = await self.next_line()
        assert line.endswith(READY), (line, *await self.wait())
        return self

    async def wait(self) -> tuple[int | None, list[str], str]:
        """Wait until the program ends; return exit code, remaining output lines, and standard error."""
        stdout, stderr = await self._process.communicate()
        errors = SLOW_CALLBACK.sub("", stderr.decode())
        return self._process.returncode, stdout.decode().splitlines(), errors

    async def interrupt(self) -> list[str]:
        """Send SIGINT and assert a clean exit; return the remaining output lines."""
        self._process.send_signal(signal.SIGINT)
        code, lines, errors = await self.wait()
        assert (code, errors) == (EXIT_CODE_OF_SIGINT, "")
        return lines

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Kill the program if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
            await self.wait()


class Start(Protocol):
    """Starts an example with arguments; it is killed when the test ends."""

    async def __call__(self, name: str, *arguments: str) -> Program: ...


class Proxy:
    """A TCP proxy between programs and a broker that can abort all connections."""

    def __init__(self, url: str) -> None:
        self._broker = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._copies = await asyncio.TaskGroup().__aenter__()
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        self.abort()
        await self._copies.__aexit__(None, None, None)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"amqp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        broker = await asyncio.open_connection(self._broker.hostname, self._broker.port)
        self._writers += [sink, broker[1]]
        self._copies.create_task(self._copy(source, broker[1]))
        self._copies.create_task(self._copy(broker[0], sink))

    @staticmethod
    async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            sink.write(data)
        sink.close()


@pytest.fixture(params=["fake", *NODES])
def broker(request: pytest.FixtureRequest) -> str:
    """`fake`, or the URL of RabbitMQ.

    Not asynchronous, so that RabbitMQ is started outside of a test's event loop.
    """
    if request.param in NODES:
        return str(request.getfixturevalue("rabbitmq_url"))
    return "fake"


@pytest_asyncio.fixture
async def url(broker: str) -> AsyncIterator[str]:
    """The URL of a broker without the queues and exchanges of the examples."""
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

    async def start_one(name: str, *arguments: str) -> Program:
        programs.append(await Program.start(name, "--url", url, *arguments))
        return programs[-1]

    yield start_one
    for program in programs:
        await program.kill()


async def output(program: Program) -> list[str]:
    """Wait until a program ends with exit code 0; return its output lines."""
    code, lines, errors = await program.wait()
    assert (code, errors) == (0, "")
    return lines


# -------------------------------------------------------------------- the tutorials


@pytest.mark.asyncio
async def test_hello_world(start: Start) -> None:
    receiver = await (await start("receive.py")).wait_ready()

    assert await output(await start("send.py")) == ["Sent 'Hello World!'"]

    assert await receiver.next_line() == "Received 'Hello World!'"
    assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_hello_world_when_the_receiver_starts_later(start: Start) -> None:
    for _ in range(2):
        await output(await start("send.py"))

    receiver = await (await start("receive.py")).wait_ready()

    assert [await receiver.next_line(), await receiver.next_line()] == [
        "Received 'Hello World!'"
    ] * 2
    assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_work_is_shared_by_workers(start: Start) -> None:
    busy = await (await start("worker.py")).wait_ready()
    long_task = "one that is not done before the test is " + "." * 99
    assert await output(await start("new_task.py", long_task)) == [f"Sent {long_task!r}"]
    assert await busy.next_line() == f"Received {long_task!r}"
    idle = await (await start("worker.py")).wait_ready()

    for task in ("the second", "the third"):
        await output(await start("new_task.py", task))

    assert [await idle.next_line() for _ in range(4)] == [
        "Received 'the second'", "Done", "Received 'the third'", "Done",
    ]  # fmt: skip
    assert await idle.interrupt() == []
    assert await busy.interrupt() == []


@pytest.mark.asyncio
async def test_the_task_of_a_stopped_worker_goes_to_another(start: Start) -> None:
    task = "." * 99
    stopped = await (await start("worker.py")).wait_ready()
    await output(await start("new_task.py", task))
    assert await stopped.next_line() == f"Received {task!r}"
    other = await (await start("worker.py")).wait_ready()

    assert await stopped.interrupt() == []

    assert await other.next_line() == f"Received {task!r}"
    assert await other.interrupt() == []


@pytest.mark.asyncio
async def test_publish_and_subscribe(start: Start) -> None:
    receivers = [await (await start("receive_log.py")).wait_ready() for _ in range(2)]

    assert await output(await start("emit_log.py", "all", "is", "well")) == ["Sent 'all is well'"]
    assert await output(await start("emit_log.py")) == ["Sent 'info: Hello World!'"]

    for receiver in receivers:
        assert [await receiver.next_line() for _ in range(2)] == [
            "all is well",
            "info: Hello World!",
        ]
        assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_routing(start: Start) -> None:
    receiver = await start("receive_log_direct.py", "warning", "error")
    assert await receiver.next_line() == f"Waiting for warning, error. {READY}"

    assert await output(await start("emit_log_direct.py")) == ["Sent 'Hello World!' as info"]
    for severity in ("error", "warning"):
        await output(await start("emit_log_direct.py", severity, "the", "disk"))

    assert [await receiver.next_line() for _ in range(2)] == [
        "error: the disk",
        "warning: the disk",
    ]
    assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_topics(start: Start) -> None:
    receiver = await start("receive_log_topic.py", "*.critical", "nginx.#")
    assert await receiver.next_line() == f"Waiting for *.critical, nginx.#. {READY}"

    assert await output(await start("emit_log_topic.py")) == [
        "Sent 'Hello World!' as anonymous.info"
    ]
    for key in ("kern.critical", "nginx.info.more"):
        await output(await start("emit_log_topic.py", key, "the", "disk"))

    assert [await receiver.next_line() for _ in range(2)] == [
        "kern.critical: the disk", "nginx.info.more: the disk",
    ]  # fmt: skip
    assert await receiver.interrupt() == []


@pytest.mark.asyncio
async def test_rpc(start: Start) -> None:
    server = await (await start("rpc_server.py")).wait_ready()

    assert await output(await start("rpc_client.py", "10", "0", "7")) == [
        "fib(10) is 55", "fib(0) is 0", "fib(7) is 13",
    ]  # fmt: skip

    assert await server.interrupt() == ["fib(10)", "fib(0)", "fib(7)"]


@pytest.mark.asyncio
async def test_rpc_without_a_server_times_out_with_one_line(start: Start) -> None:
    client = await start("rpc_client.py", "--timeout", "0.01")

    sentence = "No answer within 0.01 seconds. Is rpc_server.py running?\n"
    assert await client.wait() == (1, [], sentence)


# -------------------------------------------------------------------- other examples


@pytest.mark.asyncio
async def test_consuming_with_async_for(start: Start) -> None:
    consumer = await (await start("consume.py")).wait_ready()

    for _ in range(2):
        await output(await start("send.py"))

    assert [await consumer.next_line(), await consumer.next_line()] == [
        "Received 'Hello World!'"
    ] * 2
    assert await consumer.interrupt() == []


@pytest.mark.asyncio
async def test_consuming_with_async_for_ends_when_the_queue_is_deleted(
    start: Start, url: str
) -> None:
    consumer = await (await start("consume.py")).wait_ready()

    async with aioamqp.from_url(url) as protocol:
        await (await protocol.channel()).queue_delete("hello")

    code, lines, errors = await consumer.wait()
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
        "The connection ended: The server refused basic.publish and closed the connection: 540"
        " NOT_IMPLEMENTED - immediate=true; publish without immediate: RabbitMQ has not supported it"
        " since 3.0"
    ]


@pytest.mark.asyncio
async def test_server_cancellation(start: Start, url: str) -> None:
    consumer = await (await start("server_cancellation.py")).wait_ready()

    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        for body in (b"one", b"two"):
            await channel.queue_delete("my_queue")
            assert await consumer.next_line() == "The broker cancelled printer; consuming again."
            await channel.basic_publish(body, "", "my_queue")
            assert await consumer.next_line() == f"Received {body.decode()!r}"

    assert await consumer.interrupt() == []


@pytest.mark.asyncio
async def test_sigterm_lets_a_worker_finish_its_task(start: Start, url: str) -> None:
    """Row U5."""
    for task in ("the first.", "the second", "the third"):
        await output(await start("new_task.py", task))
    worker = await (await start("graceful_shutdown.py")).wait_ready()
    assert await worker.next_line() == "Received 'the first.'"

    worker.terminate()

    assert await output(worker) == ["Ending", "Done"]
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        left = [await channel.basic_get("task_queue", no_ack=True) for _ in range(2)]
        assert [each["message"] for each in left] == [b"the second", b"the third"]
        assert (await channel.queue_declare("task_queue", durable=True))["message_count"] == 0


@pytest.mark.asyncio
async def test_sigterm_ends_a_worker_whose_task_takes_too_long(start: Start, url: str) -> None:
    """Row U5: the task is performed again."""
    worker = await (await start("graceful_shutdown.py", "--drain", "0.1")).wait_ready()
    await output(await start("new_task.py", "." * 99))
    assert await worker.next_line() == f"Received {'.' * 99!r}"

    worker.terminate()

    assert await output(worker) == ["Ending"]
    async with aioamqp.from_url(url) as protocol:
        left = await (await protocol.channel()).basic_get("task_queue", no_ack=True)
        assert left["message"] == b"." * 99


@pytest.mark.asyncio
async def test_reconnecting(start: Start, url: str) -> None:
    async with Proxy(url) as proxy:
        consumer = await (await start("reconnect.py", "--url", proxy.url)).wait_ready()

        for _ in range(2):
            proxy.abort()
            assert (await consumer.next_line()).startswith("The connection was lost: ")
            await consumer.wait_ready()
            await output(await start("send.py"))
            assert await consumer.next_line() == "Received 'Hello World!'"

        assert await consumer.interrupt() == []


# -------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", LONG_RUNNING)
@pytest.mark.asyncio
async def test_a_stopping_broker_ends_waiting_programs_with_one_line(name: str) -> None:
    async with FakeBroker() as broker:
        url = await broker.listen()
        program = await Program.start(name, "--url", url, *ARGUMENTS.get(name, []))
        await program.wait_ready()

        await broker.close()

        code, lines, errors = await program.wait()

    assert (code, lines) == (1, [])
    assert errors.endswith(
        ": 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'\n"
    )
    assert len(errors.splitlines()) == 1


@pytest.mark.asyncio
async def test_an_exception_in_a_callback_is_printed(start: Start, url: str) -> None:
    server = await (await start("rpc_server.py")).wait_ready()

    async with aioamqp.from_url(url) as protocol:
        await (await protocol.channel()).basic_publish(b"seven", "", "rpc_queue")

    assert "error on dispatch" in await server.next_error_line()
    while line := await server.next_error_line():
        if line.startswith("ValueError: "):
            break
    assert "seven" in line
    assert await server.interrupt() == []


@pytest.mark.asyncio
async def test_ctrl_c_ends_a_program_while_it_connects() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        program = await Program.start(
            "send.py", "--url", f"amqp://127.0.0.1:{listener.getsockname()[1]}/"
        )
        with (await asyncio.to_thread(listener.accept))[0] as link:
            await asyncio.to_thread(
                link.recv, 8
            )  # the protocol header: the program waits for connection.start now

            assert await program.interrupt() == []


@pytest.mark.asyncio
async def test_the_default_url_is_taken_from_the_environment() -> None:
    async with FakeBroker() as broker:
        program = await Program.start("send.py", AMQP_URL=await broker.listen())

        assert await program.wait() == (0, ["Sent 'Hello World!'"], "")
        assert "hello" in broker.vhost.queues


def test_the_readme_names_every_program() -> None:
    named = set(re.findall(r"`(\w+\.py)`", (EXAMPLES / "README.md").read_text()))

    assert named == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", sorted({*PROGRAMS} - SERVICES))
@pytest.mark.asyncio
async def test_an_unreachable_broker_is_reported_in_one_line(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but not listening, so that the port stays reserved
        where = f"127.0.0.1:{taken.getsockname()[1]}"

        program = await Program.start(name, *ARGUMENTS.get(name, []), "--url", f"amqp://{where}/")
        code, lines, errors = await program.wait()

    assert (code, lines) == (1, [])
    assert errors.startswith(f"Cannot connect to {where}: ")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.asyncio
async def test_an_unknown_url_scheme_is_reported_in_one_line(name: str) -> None:
    program = await Program.start(name, *ARGUMENTS.get(name, []), "--url", "ampq://localhost/")

    assert await program.wait() == (
        1,
        [],
        "An AMQP URL begins with amqp:// or amqps://; this one has the scheme 'ampq'; did you mean amqp://?\n",
    )
