"""`python -m aioamqp_testing serve`, as a process."""

import asyncio
import errno
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from aioamqp_testing.cli.overview import Screen, overview, summary
from aioamqp_testing.model.profile import DEFAULT_VERSION, VERSIONS

pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")

COMMAND = [sys.executable, "-W", "error", "-m", "aioamqp_testing", "serve"]


@contextmanager
def serving(*options: str, stdout: int = subprocess.PIPE) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*COMMAND, "--port=0", *options], stdout=stdout, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def stopped(process: "subprocess.Popen[str]", number: int) -> tuple[str, str]:
    """Send a signal; return what else was printed."""
    assert process.stdout is not None
    assert process.stderr is not None
    process.send_signal(number)
    assert process.wait(30) == 0
    return process.stdout.read(), process.stderr.read()


async def use(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("orders", durable=True)
        await channel.basic_publish("one", "", "orders")
        assert (await channel.queue_declare("orders", passive=True))["message_count"] == 1


async def declare_random(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.exchange_declare("x", "x-random")


def test_exchanges_of_plugins_can_be_added() -> None:
    """Row U20."""
    options = ("--plugin=rabbitmq_random_exchange", "--plugin", "rabbitmq_sharding")
    with serving("--quiet", *options) as process:
        asyncio.run(declare_random(first_line(process)))


def test_an_unknown_plugin_is_refused_with_those_that_are_known() -> None:
    """Row U20."""
    done = subprocess.run(
        [*COMMAND, "--plugin=rabbitmq_management"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "invalid choice: 'rabbitmq_management' (choose from " in done.stderr
    assert "rabbitmq_random_exchange" in done.stderr


async def version_of(url: str) -> object:
    async with aioamqp.from_url(url) as protocol:
        return (protocol.server_properties or {})["version"]


@pytest.mark.parametrize(
    ("options", "version"),
    [
        ((), VERSIONS[DEFAULT_VERSION].version),
        (("--rabbitmq=3.10",), "3.10.8"),
        (("--rabbitmq=4.3", "--deprecated=deny"), "4.3.6"),
    ],
)
def test_the_version_can_be_chosen(options: tuple[str, ...], version: str) -> None:
    with serving("--quiet", *options) as process:
        assert asyncio.run(version_of(first_line(process))) == version


def test_a_version_that_denies_nothing_refuses_to_deny() -> None:
    done = subprocess.run(
        [*COMMAND, "--rabbitmq=4.0", "--deprecated=deny"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "RabbitMQ 4.0.5 denies no deprecated feature" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_for_a_script_it_prints_the_url_and_nothing_else(number: int) -> None:
    with serving("--quiet") as process:
        url = first_line(process)
        asyncio.run(use(url))

        assert re.fullmatch(r"amqp://guest:guest@localhost:\d+", url)
        assert stopped(process, number) == ("", "")


def test_it_prints_what_it_is_and_that_nothing_is_stored() -> None:
    with serving() as process:
        url = first_line(process)
        asyncio.run(use(url))
        output, errors = stopped(process, signal.SIGINT)

    assert errors == ""
    assert "fake RabbitMQ" in output
    assert "Nothing is stored" in output
    assert "loopback interface only" in output
    # plain lines without control sequences; the last one is the final state
    assert "\x1b" not in output
    assert "connections: 0, channels: 0, queues: 1, ready: 1, unacked: 0" in output.splitlines()


def test_it_warns_when_other_machines_can_reach_it() -> None:
    with serving("--host=0.0.0.0") as process:
        first_line(process)
        output, _ = stopped(process, signal.SIGINT)

    assert "everyone who can reach this machine can log in" in output


def test_it_stops_although_a_client_is_connected() -> None:
    with serving("--quiet") as process:
        port = int(first_line(process).rpartition(":")[2].rstrip("/"))
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(b"AMQP\0\0\x09\1")
            assert link.recv(1) == b"\1"  # the session has begun

            assert stopped(process, signal.SIGTERM) == ("", "")


def test_a_port_that_is_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, f"--port={port}"], capture_output=True, text=True, check=False
        )

    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"port {port} of localhost is in use" in line


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--port=65536", "the port must be 0 to 65535, not '65536'"),
        ("--port=amqp", "the port must be 0 to 65535, not 'amqp'"),
    ],
)
def test_an_invalid_port_is_refused(option: str, reason: str) -> None:
    done = subprocess.run([*COMMAND, option], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert reason in done.stderr


def test_an_address_of_another_machine_is_reported_in_one_line() -> None:
    done = subprocess.run(
        [*COMMAND, "--port=0", "--host=192.0.2.1"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot listen on port 0 of 192.0.2.1" in line


@pytest.mark.parametrize("host", ["localhost", "::"])
@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_it_listens_on_ipv4_and_ipv6(host: str, address: str) -> None:
    """Row U50."""
    with serving("--quiet", f"--host={host}") as process:
        asyncio.run(use(first_line(process).replace("localhost", address)))


def test_a_certificate_that_cannot_be_used_is_reported_in_one_line(tmp_path: Path) -> None:
    """Row U49."""
    (tmp_path / "node.pem").write_text("no certificate")
    for name in ("node.pem", "missing.pem"):
        done = subprocess.run(
            [*COMMAND, "--port=0", "--tls", str(tmp_path / name), str(tmp_path / "node.pem")],
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert f"cannot use the certificate {tmp_path / name} with the private key" in line


class Terminal:
    """The visible lines of a terminal, with the cursor movements that the command uses."""

    def __init__(self, source: IO[bytes]) -> None:
        self.lines: list[str] = [""]
        self._source = source

    def read_until(self, text: str) -> None:
        """Read until a line contains ``text``."""
        while not any(text in line for line in self.lines):
            try:
                data = os.read(self._source.fileno(), 4096)
            except OSError as error:
                assert error.errno == errno.EIO  # the process has closed it
                data = b""
            assert data, f"{text!r} was not printed:\n" + "\n".join(self.lines)
            self._write(data.decode())

    def _write(self, text: str) -> None:
        for up, plain in re.findall(r"\x1b\[(\d+)F\x1b\[J|([^\x1b]+)", text):
            if up:
                del self.lines[-1 - int(up) :]
                self.lines.append("")
            else:
                first, *more = plain.replace("\r\n", "\n").split("\n")
                self.lines[-1] += first
                self.lines += more


def test_on_a_terminal_it_shows_connections_and_queues_as_they_come_and_go() -> None:
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as source, serving(stdout=theirs) as process:
        os.close(theirs)
        terminal = Terminal(source)
        terminal.read_until("queues: 0")
        url = terminal.lines[0]

        async def main() -> None:
            async with aioamqp.from_url(url) as protocol:
                channel = await protocol.channel()
                await channel.queue_declare("orders", durable=True)
                await channel.basic_publish("one", "", "orders")
                await asyncio.to_thread(terminal.read_until, "'orders'")
                await asyncio.to_thread(terminal.read_until, "user guest, channels: 1")

        asyncio.run(main())
        terminal.read_until("connections: 0")

        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0

    assert terminal.lines[0] == url
    assert [line for line in terminal.lines if "queues:" in line] == [
        f"{'queues: 1':44}     ready   unacked consumers"
    ]
    assert (
        "  'orders'                                           1         0         0"
        in terminal.lines
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(("queues", "connections"), [(0, 0), (3, 5), (20, 2), (2, 20), (20, 20)])
async def test_the_overview_fits_the_screen_and_counts_what_does_not(
    queues: int, connections: int
) -> None:
    async with FakeBroker() as broker:
        for number in range(queues):
            broker.vhost.declare_queue(f"queue {number}", None, durable=True)
        for _ in range(connections):
            await broker.connect()

        lines = overview(broker, 80, 10)

    assert len(lines) == min(10, 2 + queues + connections)
    assert f"connections: {connections}" in lines
    assert any(line.startswith(f"queues: {queues} ") for line in lines)
    for kind, number in (("queue ", queues), ("127.", connections)):
        shown = sum(kind in line for line in lines if line.startswith("  "))
        left = number - shown
        assert left == 0 or f"  and {left} more" in lines


@pytest.mark.asyncio
async def test_a_name_cannot_move_the_cursor() -> None:
    async with FakeBroker() as broker:
        broker.vhost.declare_queue("\x1b[2J", None, durable=True)

        assert not any("\x1b" in line for line in overview(broker))
        assert summary(broker).startswith("connections: 0")


@pytest.mark.asyncio
@pytest.mark.parametrize(("height", "shown"), [(40, 33), (20, 13), (12, 10), (8, 7)])
async def test_the_banner_stays_visible_if_the_terminal_is_high_enough(
    height: int, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((80, height)))
    output = io.StringIO()
    async with FakeBroker() as broker:
        for number in range(100):
            broker.vhost.declare_queue(f"queue {number}", None, durable=True)
        Screen(output, above=6).show(broker)

    assert output.getvalue().count("\n") == shown
