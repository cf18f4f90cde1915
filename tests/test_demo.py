"""The demo, run as a program, and unit tests of its accounting."""

import asyncio
import importlib.util
import signal
import socket
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aioamqp_testing import FakeBroker

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
ALL_ARRIVED = ["sent 500", "routed 500", "delivered 500", "acknowledged 500"]


def run_demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, DEMO, *arguments], capture_output=True, text=True, timeout=50, check=False
    )


def rows(output: str) -> list[str]:
    return [" ".join(line.split()) for line in output.splitlines()]


def assert_one_line(stderr: str, *parts: str) -> None:
    assert len(stderr.splitlines()) == 1, stderr
    assert "Traceback" not in stderr
    for part in parts:
        assert part in stderr


def account(total: int, **changed: Any) -> Any:
    """Return an account of `total` messages that all arrived, with changed attributes."""
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(DEMO.parent))  # as for a program
    try:
        spec.loader.exec_module(demo)
    finally:
        sys.path.remove(str(DEMO.parent))
    numbers = range(total)
    complete = {"sent": total, "delivered": Counter(numbers), "acknowledged": set(numbers)}
    return demo.Account(total, **complete | changed)


# -------------------------------------------------------------------- the program


def test_all_messages_arrive_on_the_fake_broker_without_terminal_escapes() -> None:
    demo_run = run_demo("--messages", "500", "--producers", "3", "--consumers", "2")

    assert demo_run.stderr == ""
    assert demo_run.returncode == 0
    assert rows(demo_run.stdout)[:6] == [*ALL_ARRIVED, "duplicates 0", "lost 0"]
    assert "\x1b" not in demo_run.stdout
    assert len(rows(demo_run.stdout)) == 8


def test_all_messages_arrive_on_rabbitmq(rabbitmq_url: str) -> None:
    demo_run = run_demo("--messages", "500", "--url", rabbitmq_url)

    assert demo_run.stderr == ""
    assert demo_run.returncode == 0
    assert rows(demo_run.stdout)[:6] == [*ALL_ARRIVED, "duplicates 0", "lost 0"]


def test_no_message_is_lost_while_connections_are_lost_and_the_broker_restarts() -> None:
    demo_run = run_demo("--chaos", "--messages", "1000")

    assert demo_run.stderr == ""
    assert demo_run.returncode == 0
    shown = dict(row.rsplit(" ", 1) for row in rows(demo_run.stdout))
    assert (shown["sent"], shown["acknowledged"], shown["lost"]) == ("1000", "1000", "0")


def test_chaos_is_refused_on_a_broker_of_others() -> None:
    demo_run = run_demo("--chaos", "--url", "amqp://localhost/")

    assert demo_run.returncode == 2
    assert "no --url" in demo_run.stderr


def test_there_may_be_more_producers_and_consumers_than_messages() -> None:
    demo_run = run_demo("--messages", "2", "--producers", "5", "--consumers", "5")

    assert demo_run.returncode == 0, demo_run.stderr


def test_a_refused_connection_is_reported_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but not listening, so that the port stays reserved
        where = f"127.0.0.1:{taken.getsockname()[1]}"

        demo_run = run_demo("--url", f"amqp://{where}/")

    assert demo_run.returncode == 1
    assert_one_line(demo_run.stderr, "Cannot connect", where)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://localhost/", "http"),
        ("localhost", "amqp://"),
        ("amqp://localhost:port/", "port"),
        ("amqp://localhost/?heartbeet=5", "heartbeet"),
    ],
)
def test_an_invalid_url_is_reported_in_one_line(url: str, what: str) -> None:
    demo_run = run_demo("--url", url)

    assert demo_run.returncode == 1
    assert_one_line(demo_run.stderr, "The URL cannot be used", what)


def test_an_unknown_host_is_reported_in_one_line() -> None:
    demo_run = run_demo("--url", "amqp://no-such-host.invalid/")

    assert demo_run.returncode == 1
    assert_one_line(demo_run.stderr, "no-such-host.invalid")


def test_a_wrong_password_is_reported_in_one_line(rabbitmq_url: str) -> None:
    demo_run = run_demo("--url", rabbitmq_url.replace("guest:guest", "guest:wrong"))

    assert demo_run.returncode == 1
    assert_one_line(demo_run.stderr, "403", "ACCESS_REFUSED")


def test_a_run_past_its_deadline_reports_missing_messages() -> None:
    demo_run = run_demo("--messages", "3000", "--deadline", "0.001")

    assert demo_run.returncode == 1
    assert_one_line(demo_run.stderr, "Not finished after 0.001 seconds", "Of 3000 messages")


def test_an_interrupted_run_exits_with_130_and_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"amqp://127.0.0.1:{listener.getsockname()[1]}/"
        # A program started by background tests would otherwise inherit that SIGINT is ignored.
        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            demo = subprocess.Popen(
                [sys.executable, DEMO, "--url", url], stderr=subprocess.PIPE, text=True
            )
        finally:
            signal.signal(signal.SIGINT, previous)
        with listener.accept()[0] as link:
            link.recv(8)  # the protocol header: the demo waits for connection.start now
            demo.send_signal(signal.SIGINT)
            _, stderr = demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert_one_line(stderr, "Interrupted", "0 of 5000")


@pytest.mark.asyncio
async def test_a_lost_connection_ends_the_run_with_one_line() -> None:
    async with FakeBroker() as broker, asyncio.TaskGroup() as copies:
        port = int((await broker.listen()).rstrip("/").rpartition(":")[2])

        async def copy(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, limit: int
        ) -> None:
            """Copy up to `limit` bytes, then reset the connection."""
            while limit > 0 and (data := await source.read(min(limit, 4096))):
                limit -= len(data)
                sink.write(data)
            # Or else it would be reset only if there are bytes that were not read yet.
            linger = struct.pack("ii", 1, 0)
            sink.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sink.transport.abort()

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", port)
            copies.create_task(copy(reader, broker_writer, 1 << 40))
            copies.create_task(copy(broker_reader, writer, 20_000))

        async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
            url = f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            # Much less than the deadline of the demo itself.
            async with asyncio.timeout(30):
                demo = await asyncio.create_subprocess_exec(
                    *(sys.executable, DEMO, "--url", url),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                )
                _, stderr = await demo.communicate()

    assert demo.returncode == 1
    assert_one_line(stderr.decode(), "was lost")


# -------------------------------------------------------------------- the account


def test_a_complete_account_has_no_complaint() -> None:
    assert account(5).complaint() == ""
    assert account(5).is_complete


def test_a_lost_message_is_reported_by_number() -> None:
    delivered = Counter([0, 1, 3, 4])

    gap = account(5, delivered=delivered, acknowledged=set(delivered))

    assert gap.lost == [2]
    assert not gap.is_complete
    assert gap.complaint() == "Of 5 messages: 1 not delivered (first: number 2)."


def test_a_duplicate_is_reported_by_number() -> None:
    twice = account(5, delivered=Counter([0, 1, 2, 3, 3, 4]))

    assert twice.duplicates == [3]
    assert twice.complaint() == "Of 5 messages: 1 delivered more than once (first: number 3)."


def test_a_duplicate_does_not_compensate_for_a_lost_message() -> None:
    delivered = Counter([0, 1, 3, 3, 4])

    assert not account(5, delivered=delivered, acknowledged=set(delivered)).is_complete


def test_a_returned_message_is_reported_and_not_waited_for() -> None:
    back = account(3, returned={1}, delivered=Counter([0, 2]), acknowledged={0, 2})

    assert back.is_complete
    assert back.complaint() == ("Of 3 messages: 1 returned as unroutable (first: number 1).")


def test_a_missing_acknowledgement_is_reported_by_number() -> None:
    unacknowledged = account(3, acknowledged={0, 2})

    assert unacknowledged.complaint() == (
        "Of 3 messages: 1 delivered but not acknowledged (first: number 1)."
    )


def test_messages_left_in_the_queue_or_not_sent_are_counted() -> None:
    assert account(3, left_in_queue=2).complaint() == (
        "Of 3 messages: 2 still in the queue at the end."
    )
    assert account(3, sent=2).complaint() == "Of 3 messages: 1 not sent."
