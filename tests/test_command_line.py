"""``python -m aioamqp`` as a process, with RabbitMQ and with the fake broker over TCP."""

import argparse
import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

import aioamqp
from aioamqp.__main__ import main
from aioamqp._cli.records import dump, parse
from aioamqp._cli.top import top
from aioamqp_testing import FakeBroker
from tests.rabbitmq import NODES

QUEUE = "command-line"

PROPERTIES = {
    "content_type": "text/plain",
    "headers": {
        "bytes": {"$base64": "AP8="},
        "decimal": {"$decimal": "1.50"},
        "list": [1, None, {"nested": "yes"}],
        "time": {"$timestamp": "2026-01-02T03:04:05+00:00"},
    },
    "delivery_mode": 1,
    "timestamp": {"$timestamp": "2026-01-02T03:04:05+00:00"},
}
"""Properties in a record, with the types that JSON does not have."""


class Result(NamedTuple):
    """How a command ended."""

    code: int | None
    output: str
    errors: str

    @property
    def records(self) -> list[Any]:
        """The JSON objects of its output."""
        return [json.loads(line) for line in self.output.splitlines()]


Run = Callable[..., Awaitable[Result]]


async def start(
    *arguments: str, url: str, stdin: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    # A program started by background tests would otherwise inherit that SIGINT is ignored.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "aioamqp", *arguments),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "AMQP_URL": url},
        )
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.fixture(params=["fake", *NODES])
def broker_url(request: pytest.FixtureRequest) -> str | None:
    """The URL of RabbitMQ, or None for a fake broker of the test."""
    return str(request.getfixturevalue("rabbitmq_url")) if request.param in NODES else None


@pytest_asyncio.fixture
async def url(broker_url: str | None) -> AsyncIterator[str]:
    """The URL of a broker on which the queue does not exist."""
    if broker_url is None:
        async with FakeBroker() as broker:
            yield await broker.listen()
        return
    yield broker_url
    async with aioamqp.from_url(broker_url) as protocol:
        await (await protocol.channel()).queue_delete(QUEUE)


@pytest.fixture
def run(url: str) -> Run:
    """A function that runs a command with its standard input."""

    async def run(*arguments: str, given: bytes = b"") -> Result:
        process = await start(*arguments, url=url)
        output, errors = await process.communicate(given)
        return Result(process.returncode, output.decode(), errors.decode())

    return run


@pytest_asyncio.fixture
async def queue(run: Run) -> str:
    """A queue that was declared by the command."""
    declared = await run("declare", "queue", QUEUE)
    assert declared.records == [{"queue": QUEUE, "messages": 0, "consumers": 0}]
    assert (declared.code, declared.errors) == (0, "")
    return QUEUE


@pytest.mark.asyncio
async def test_a_message_is_published_and_got(run: Run, queue: str) -> None:
    options = ("--property", "priority=3", "--header", "n=1", "--header", "s=one")

    assert await run("publish", queue, "hello", *options) == (0, '{"confirmed": 1}\n', "")
    message = {
        "body": "hello",
        "exchange": "",
        "routing_key": queue,
        "redelivered": False,
        "properties": {"delivery_mode": 2, "priority": 3, "headers": {"n": 1, "s": "one"}},
    }
    assert (await run("get", queue, "--requeue")).records == [message]
    assert (await run("get", queue, "--count", "5")).records == [message | {"redelivered": True}]


@pytest.mark.asyncio
async def test_an_empty_queue_has_no_message_to_get(run: Run, queue: str) -> None:
    text = f"python -m aioamqp: There is no message in the queue {queue!r}\n"
    assert await run("get", queue) == (1, "", text)


@pytest.mark.asyncio
async def test_standard_input_is_one_message_or_one_a_line(run: Run, queue: str) -> None:
    await run("publish", queue, given=b"one\ntwo\n")
    await run("publish", queue, "--lines", given=b"three\nfour\r\n\nfive")

    found = await run("consume", queue, "--count", "5", "--bodies")

    assert found == (0, "one\ntwo\n\nthree\nfour\n\nfive\n", "")
    assert (await run("purge", queue)).records == [{"queue": queue, "purged": 0}]


@pytest.mark.asyncio
async def test_what_consume_prints_can_be_published(run: Run, queue: str) -> None:
    records: list[dict[str, Any]] = [
        {"body": "zażółć", "properties": PROPERTIES},
        {"body_base64": "AP8=", "exchange": "amq.fanout", "routing_key": "any"},
    ]
    given = "\n".join(map(json.dumps, records)).encode()
    bound = await run("declare", "binding", queue, "amq.fanout")
    assert bound.records == [{"queue": queue, "exchange": "amq.fanout", "routing_key": ""}]
    assert (await run("publish", queue, "--json", given=given)).records == [{"confirmed": 2}]

    first = await run("consume", queue, "--idle", "0.5")
    await run("publish", "unused", "--json", given=first.output.encode())
    second = await run("consume", queue, "--count", "2")

    assert second.output == first.output
    expected = [
        {**records[0], "exchange": "", "routing_key": queue, "redelivered": False},
        {**records[1], "redelivered": False, "properties": {"delivery_mode": 2}},
    ]
    assert first.records == expected


def test_numbers_that_json_does_not_have_can_be_published_again() -> None:
    properties = aioamqp.Properties(headers={"least": -math.inf, "none": math.nan})

    parsed = parse(dump(b"", "", "", False, properties).encode())

    assert str(parsed.properties) == "{'headers': {'least': -inf, 'none': nan}}"


@pytest.mark.asyncio
async def test_a_line_that_is_no_record_ends_publish_after_those_before_it(
    run: Run, queue: str
) -> None:
    found = await run("publish", queue, "--json", given=b'{"body": "a"}\n\n{"bodi": "b"}\n')

    assert (found.code, found.records) == (1, [{"confirmed": 1}])
    assert found.errors == (
        "python -m aioamqp: line 3 of standard input cannot be published: it has the unknown field"
        " 'bodi'; there are body, body_base64, exchange, routing_key, redelivered and properties\n"
    )
    assert [each["body"] for each in (await run("get", queue)).records] == ["a"]


@pytest.mark.asyncio
async def test_a_message_that_reaches_no_queue_is_an_error(run: Run) -> None:
    found = await run("publish", "no-such-queue", "--lines", given=b"a\nb\n")

    assert (found.code, found.output) == (1, "")
    assert found.errors.startswith(
        "python -m aioamqp: 2 messages were not confirmed; the first: The message with delivery tag 1"
    )
    assert "312 NO_ROUTE" in found.errors
    assert (await run("publish", "no-such-queue", "a", "--unroutable")).code == 0


@pytest.mark.asyncio
async def test_the_server_s_refusal_is_quoted(run: Run, queue: str) -> None:
    missing = await run("consume", "no-such-queue")
    other = await run("declare", "queue", queue, "--type", "quorum")
    exchange = await run("declare", "exchange", "amq.topic", "--type", "direct")

    for found, code in ((missing, "404 NOT_FOUND"), (other, "406 PRE"), (exchange, "406 PRE")):
        assert (found.code, found.output) == (1, "")
        assert found.errors.startswith(f"python -m aioamqp: the server closed the channel: {code}")
    assert (await run("declare", "exchange", "amq.topic", "--type", "topic")).code == 0


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_refusal_comes_with_what_to_do_on_the_command_line(run: Run, queue: str) -> None:
    missing = await run("get", "no-such-queue")
    exchange = await run("publish", "key", "a", "--exchange", "no-such-exchange")
    unroutable = await run("publish", "no-such-queue", "a")
    unbound = await run("publish", "key", "a", "--exchange", "amq.topic")
    other = await run("declare", "queue", queue, "--type", "quorum")
    kind = await run("declare", "exchange", "command-line-exchange", "--type", "nonsense")

    assert "unknown exchange type 'nonsense'; the types are direct, fanout, topic" in kind.errors
    ended = "connection: 503" if "503" in kind.errors else "channel: 406"
    assert f"the server closed the {ended}" in kind.errors
    assert "or create it with: declare queue no-such-queue" in missing.errors
    assert "or create it with: declare exchange no-such-exchange" in exchange.errors
    assert "there is no queue of this name (--unroutable permits that)" in unroutable.errors
    assert "no queue is bound for it (--unroutable permits that)" in unbound.errors
    assert "it exists with another value" in other.errors


@pytest.mark.asyncio
async def test_a_stream_is_read_by_consume_alone(run: Run) -> None:
    await run("declare", "queue", "command-line-stream", "--type", "stream")
    await run("publish", "command-line-stream", "a")

    for command in ("get", "purge"):
        found = await run(command, "command-line-stream")
        assert found.code == 1
        assert "read a stream with consume, and --argument x-stream-offset=first" in found.errors
    options = ("--argument", "x-stream-offset=first", "--count", "1")
    [record] = (await run("consume", "command-line-stream", *options)).records
    assert record["body"] == "a"
    assert (await run("delete", "queue", "command-line-stream")).code == 0


@pytest.mark.asyncio
async def test_the_url_may_follow_the_command(run: Run, url: str, queue: str) -> None:
    process = await start("declare", "queue", queue, "--url", url, url="amqp://127.0.0.1:1/")

    output, errors = await process.communicate()

    assert (process.returncode, errors) == (0, b"")
    assert json.loads(output)["queue"] == queue


@pytest.mark.slow
@pytest.mark.asyncio
async def test_queues_exchanges_and_bindings_are_deleted(run: Run, queue: str) -> None:
    exchange = "command-line-exchange"
    await run("declare", "exchange", exchange)
    await run("declare", "binding", queue, exchange, "k")
    await run("publish", "k", "a", "--exchange", exchange)

    for option, text in (("--if-empty", "purge it, or leave"), ("--if-unused", "406 PRECONDITION")):
        kind, name = ("queue", queue) if option == "--if-empty" else ("exchange", exchange)
        refused = await run("delete", kind, name, option)
        assert (refused.code, refused.output) == (1, "")
        assert text in refused.errors
    unbound = await run("delete", "binding", queue, exchange, "k")
    assert unbound.records == [{"queue": queue, "exchange": exchange, "routing_key": "k"}]
    assert (await run("publish", "k", "a", "--exchange", exchange)).code == 1
    deleted = await run("delete", "exchange", exchange, "--if-unused")
    assert deleted.records == [{"exchange": exchange}]
    deleted = await run("delete", "queue", queue)
    assert deleted.records == [{"queue": queue, "deleted_messages": 1}]
    for kind, name in (("queue", queue), ("exchange", exchange)):
        gone = await run("delete", kind, name)
        assert (gone.code, gone.output) == (1, "")
        assert f"404 NOT_FOUND - no {kind} '{name}'" in gone.errors
        assert gone.errors.endswith("; check the name and the virtual host\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo terminals")
@pytest.mark.asyncio
@pytest.mark.parametrize("broker_url", ["fake"], indirect=True)
async def test_publish_says_that_it_reads_the_terminal(url: str, run: Run, queue: str) -> None:
    ours, theirs = os.openpty()
    process = await start("publish", queue, url=url, stdin=theirs)
    os.close(theirs)
    assert process.stderr is not None
    assert await process.stderr.readline() == (
        b"The body is read from this terminal, until Ctrl-D\n"
    )

    os.write(ours, b"hello\n\x04")

    await process.communicate()
    os.close(ours)
    assert (await run("get", queue)).records[0]["body"] == "hello\n"


@pytest.mark.asyncio
async def test_top_prints_readings(run: Run, queue: str) -> None:
    await run("publish", queue, "a")

    found = await run("top", queue, "no-such-queue", "--interval", "0.01", "--count", "2")

    existing = {"queue": queue, "messages": 1, "consumers": 0, "change_per_second": None}
    missing = {
        "queue": "no-such-queue",
        "messages": None,
        "consumers": None,
        "change_per_second": None,
    }
    assert found.records == [existing, missing, existing | {"change_per_second": 0.0}, missing]


@pytest.mark.asyncio
async def test_top_on_a_terminal_without_rich_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aioamqp._cli.top.find_spec", lambda name: None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        options = argparse.Namespace(queues=["q"], count=2, interval=0.01)

        await top(await protocol.channel(), options)

        await protocol.close()
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2
    assert shown.err == "A table needs rich: pip install 'aioamqp[cli]'\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_consume_with_its_connection(
    run: Run, url: str, queue: str, number: int, code: int
) -> None:
    await run("publish", queue, "a")
    process = await start("consume", queue, url=url)
    assert process.stdout is not None
    await process.stdout.readline()

    process.send_signal(number)

    output, errors = await process.communicate()
    assert (process.returncode, output, errors) == (code, b"", b"")
    [declared] = (await run("declare", "queue", queue)).records
    assert declared == {"queue": queue, "messages": 0, "consumers": 0}


@pytest.mark.asyncio
async def test_ctrl_c_ends_publish_that_waits_for_standard_input(url: str, queue: str) -> None:
    process = await start("publish", queue, "--lines", url=url)
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        assert process.stdin is not None
        process.stdin.write(b"a\n")
        async with channel.consume(queue) as messages:
            await (await anext(messages)).ack()

        process.send_signal(signal.SIGINT)

        assert await process.wait() == 130
    process.stdin.close()
    await process.communicate()


@pytest.mark.asyncio
async def test_consume_ends_when_its_reader_has_seen_enough(run: Run, url: str, queue: str) -> None:
    await run("publish", queue, "--lines", given=b"x\n" * 3)
    process = await start("consume", queue, "--prefetch", "1", url=url)
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]  # as `| head -1` does

    await run("publish", queue, "--lines", given=b"x\n" * 3)

    assert await process.wait() == 1
    assert process.stderr is not None
    assert await process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--url", "amp://localhost", "purge", "q"], "did you mean amqp://?"),
        (["--url", "amqp://127.0.0.1:1", "purge", "q"], "Cannot connect to 127.0.0.1:1"),
    ],
)
def test_a_wrong_url_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main(arguments) == 1

    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["publish", "q", "--header", "x"], "'x' must be NAME=VALUE"),
        (["publish", "q", "--lines", "--json"], "not allowed with argument"),
        (["consume", "q", "--count", "0"], "'0' must be a number from 1 on"),
        (["top", "q", "--interval", "soon"], "'soon' must be a number of seconds above 0"),
    ],
)
def test_a_wrong_argument_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert text in capsys.readouterr().err


WRONG_RECORDS = {
    "{": "it is not JSON: ",
    "[1]": "it must be a JSON object",
    "{}": "it must have either a body or a body_base64",
    '{"body": 1}': "its body must be a string",
    '{"body": "\\ud800"}': "its body is not Unicode: use body_base64",
    '{"body_base64": "?"}': "its base64 is invalid: ",
    '{"body": "", "exchange": 1}': "its exchange must be a string",
    '{"body": "", "properties": []}': "its properties must be a JSON object",
    '{"body": "", "properties": {"headers": {"x": {"$decimal": "a"}}}}': "$decimal cannot have the",
    '{"body": "", "properties": {"foo": 1}}': "there is no property 'foo'",
    '{"body": "", "properties": {"headers": 1}}': "headers",
}


@pytest.mark.asyncio
@pytest.mark.parametrize("broker_url", ["fake"], indirect=True)
@pytest.mark.parametrize(("line", "text"), WRONG_RECORDS.items())
async def test_a_wrong_record_is_explained(run: Run, queue: str, line: str, text: str) -> None:
    found = await run("publish", queue, "--json", given=line.encode())

    assert (found.code, found.records) == (1, [{"confirmed": 0}])
    assert text in found.errors


@pytest.mark.asyncio
@pytest.mark.parametrize("broker_url", ["fake"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a", "--lines"], "--lines and --json read standard input: leave BODY out"),
        (
            ["a", "--property", "priority=high"],
            "the property priority must be a number, not 'high'",
        ),
        (["a", "--property", "colour=red"], "there is no property 'colour'"),
    ],
)
async def test_what_cannot_be_published_is_explained(
    run: Run, queue: str, arguments: list[str], text: str
) -> None:
    found = await run("publish", queue, *arguments)

    assert found.code == 1
    assert text in found.errors
