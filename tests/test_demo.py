"""The demo: run as the program it is, and its accounting on its own."""

import asyncio
import importlib.util
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aioamqp_testing import FakeBroker

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
ALL_IS_WELL = ["sent 500", "routed 500", "delivered 500", "acknowledged 500"]


def run_demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, DEMO, *arguments], capture_output=True, text=True, timeout=50, check=False
    )


def rows(output: str) -> list[str]:
    return [" ".join(line.split()) for line in output.splitlines()]


def assert_one_sentence(stderr: str, *parts: str) -> None:
    assert len(stderr.splitlines()) == 1, stderr
    assert "Traceback" not in stderr
    for part in parts:
        assert part in stderr


def account(total: int, **happened: Any) -> Any:
    """Make an account of `total` messages that all went well, but for what is given."""
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    numbers = range(total)
    went_well = {"sent": total, "delivered": Counter(numbers), "acknowledged": set(numbers)}
    return demo.Account(total, **went_well | happened)


# -------------------------------------------------------------------- the program


def test_on_the_embedded_broker_all_messages_arrive_and_nothing_is_animated() -> None:
    ran = run_demo("--messages", "500", "--producers", "3", "--consumers", "2")

    assert ran.stderr == ""
    assert ran.returncode == 0
    assert rows(ran.stdout)[:6] == [*ALL_IS_WELL, "duplicates 0", "lost 0"]
    assert "\x1b" not in ran.stdout
    assert len(rows(ran.stdout)) == 8


def test_on_rabbitmq_all_messages_arrive(rabbitmq_url: str) -> None:
    ran = run_demo("--messages", "500", "--url", rabbitmq_url)

    assert ran.stderr == ""
    assert ran.returncode == 0
    assert rows(ran.stdout)[:6] == [*ALL_IS_WELL, "duplicates 0", "lost 0"]


def test_more_producers_and_consumers_than_messages_are_no_trouble() -> None:
    ran = run_demo("--messages", "2", "--producers", "5", "--consumers", "5")

    assert ran.returncode == 0, ran.stderr


def test_a_port_where_nobody_listens_is_said_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but not listening: nobody else can get it meanwhile
        where = f"127.0.0.1:{taken.getsockname()[1]}"

        ran = run_demo("--url", f"amqp://{where}/")

    assert ran.returncode == 1
    assert_one_sentence(ran.stderr, "Cannot connect", where)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://localhost/", "http"),
        ("localhost", "amqp://"),
        ("amqp://localhost:port/", "port"),
        ("amqp://localhost/?heartbeet=5", "heartbeet"),
    ],
)
def test_a_wrong_url_is_said_in_a_sentence(url: str, what: str) -> None:
    ran = run_demo("--url", url)

    assert ran.returncode == 1
    assert_one_sentence(ran.stderr, "The URL cannot be used", what)


def test_an_unknown_host_is_said_in_a_sentence() -> None:
    ran = run_demo("--url", "amqp://no-such-host.invalid/")

    assert ran.returncode == 1
    assert_one_sentence(ran.stderr, "no-such-host.invalid")


def test_a_wrong_password_is_said_in_a_sentence(rabbitmq_url: str) -> None:
    ran = run_demo("--url", rabbitmq_url.replace("guest:guest", "guest:wrong"))

    assert ran.returncode == 1
    assert_one_sentence(ran.stderr, "403", "ACCESS_REFUSED")


def test_a_run_that_takes_too_long_ends_and_says_what_is_missing() -> None:
    ran = run_demo("--messages", "3000", "--deadline", "0.001")

    assert ran.returncode == 1
    assert_one_sentence(ran.stderr, "Not finished after 0.001 seconds", "Of 3000 messages")


def test_an_interrupted_run_exits_with_130_and_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"amqp://127.0.0.1:{mute.getsockname()[1]}/"
        # Where the tests run in the background, the program would inherit that Ctrl-C is ignored.
        ours = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            demo = subprocess.Popen(
                [sys.executable, DEMO, "--url", url], stderr=subprocess.PIPE, text=True
            )
        finally:
            signal.signal(signal.SIGINT, ours)
        with mute.accept()[0] as link:
            link.recv(8)  # the protocol header: now it waits for our answer
            demo.send_signal(signal.SIGINT)
            _, stderr = demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert_one_sentence(stderr, "Interrupted", "0 of 5000")


@pytest.mark.asyncio
async def test_a_link_that_breaks_on_the_way_ends_the_run_at_once_with_a_sentence() -> None:
    async with FakeBroker() as broker, asyncio.TaskGroup() as pumps:
        port = int((await broker.listen()).rstrip("/").rpartition(":")[2])

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, most: int) -> None:
            """Pass octets on, then break both links when `most` have passed."""
            while most > 0 and (data := await source.read(min(most, 4096))):
                most -= len(data)
                sink.write(data)
            sink.transport.abort()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", port)
            pumps.create_task(pump(reader, broker_writer, 1 << 40))
            pumps.create_task(pump(broker_reader, writer, 20_000))

        async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
            url = f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            # Far less than the deadline of the demo itself, but ample.
            async with asyncio.timeout(30):
                demo = await asyncio.create_subprocess_exec(
                    *(sys.executable, DEMO, "--url", url),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                )
                _, stderr = await demo.communicate()

    assert demo.returncode == 1
    assert_one_sentence(stderr.decode(), "was lost")


# -------------------------------------------------------------------- the account


def test_an_account_without_a_flaw_has_no_complaint() -> None:
    assert account(5).complaint() == ""
    assert account(5).is_complete


def test_a_lost_message_is_named() -> None:
    delivered = Counter([0, 1, 3, 4])

    gap = account(5, delivered=delivered, acknowledged=set(delivered))

    assert gap.lost == [2]
    assert not gap.is_complete
    assert gap.complaint() == "Of 5 messages: 1 not delivered (first: number 2)."


def test_a_duplicate_is_named() -> None:
    twice = account(5, delivered=Counter([0, 1, 2, 3, 3, 4]))

    assert twice.duplicates == [3]
    assert twice.complaint() == "Of 5 messages: 1 delivered more than once (first: number 3)."


def test_a_duplicate_does_not_make_up_for_a_lost_message() -> None:
    delivered = Counter([0, 1, 3, 3, 4])

    assert not account(5, delivered=delivered, acknowledged=set(delivered)).is_complete


def test_a_message_that_came_back_is_named_and_not_waited_for() -> None:
    back = account(3, returned={1}, delivered=Counter([0, 2]), acknowledged={0, 2})

    assert back.is_complete
    assert back.complaint() == ("Of 3 messages: 1 returned as unroutable (first: number 1).")


def test_a_missing_acknowledgement_is_named() -> None:
    unacknowledged = account(3, acknowledged={0, 2})

    assert unacknowledged.complaint() == (
        "Of 3 messages: 1 delivered but not acknowledged (first: number 1)."
    )


def test_what_is_left_in_the_queue_or_was_never_sent_is_counted() -> None:
    assert account(3, left_in_queue=2).complaint() == (
        "Of 3 messages: 2 still in the queue at the end."
    )
    assert account(3, sent=2).complaint() == "Of 3 messages: 1 not sent."
