"""From the protocol header to the first channel, and the silence that most mistakes end in."""

import asyncio

import pytest

from amqp_codec import (
    HEARTBEAT,
    PROTOCOL_HEADER,
    Command,
    Method,
    channel,
    connection,
    encode_command,
    encode_table,
    queue,
)
from tests.conformance.raw import Door, Raw, close, frame, start_ok
from tests.conformance.scenario import scenario
from tests.conformance.wire import Said

CAPABILITIES = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
]

LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism {}."
    " For details see the broker logfile."
)


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HT",
        b"AMQP\0\0\x09\x02",
        b"AMQP\0\0\x0a\x00",
        b"AMQP\0\1\0\0",
        b"AMQP\3\1\0\0",
    ],
)
@scenario
async def test_another_protocol_is_answered_with_the_header_of_this_one(
    door: Door, header: bytes
) -> None:
    """Rows 1, 2."""
    raw = await door.dial()

    raw.send(header)

    assert await raw.rest() == []
    assert raw.octets == PROTOCOL_HEADER


@scenario
async def test_the_header_of_0_9_is_as_good_as_that_of_0_9_1(door: Door) -> None:
    """Row 3."""
    raw = await door.dial()

    start = await raw.greet(b"AMQP\1\1\0\x09")

    assert (start.version_major, start.version_minor) == (0, 9)
    assert start.server_properties["capabilities"] == dict.fromkeys(CAPABILITIES, True)
    assert isinstance(await raw.ask(start_ok(), number=0), connection.Tune)


@pytest.mark.parametrize("version", [b"\1\1\x08\0", b"\1\1\x09\1"])
@scenario
async def test_the_headers_of_0_8_are_answered_with_version_8_0(door: Door, version: bytes) -> None:
    """Row 4."""
    raw = await door.dial()

    start = await raw.greet(b"AMQP" + version)

    assert (start.version_major, start.version_minor) == (8, 0)
    assert start.server_properties["capabilities"] == {}


@scenario
async def test_the_broker_introduces_itself(door: Door) -> None:
    """Rows 6, 7."""
    raw = await door.dial()

    start = await raw.greet()

    assert (start.version_major, start.version_minor) == (0, 9)
    assert start.locales == b"en_US"
    # Which one comes first is up to the node.
    assert set(start.mechanisms.split()) == {b"AMQPLAIN", b"PLAIN"}
    assert list(start.server_properties) == [
        "capabilities",
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
    ]
    capabilities = start.server_properties["capabilities"]
    assert isinstance(capabilities, dict)
    assert list(capabilities.items()) == [(name, True) for name in CAPABILITIES]


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b"\0guest\0guest"),
        ("AMQPLAIN", encode_table({"LOGIN": "guest", "PASSWORD": "guest"})[4:]),
        ("AMQPLAIN", encode_table({"LOGIN": "guest", "PASSWORD": b"guest"})[4:]),
        ("AMQPLAIN", encode_table({"LOGIN": b"guest", "PASSWORD": "guest"})[4:]),
    ],
)
@scenario
async def test_good_credentials_are_answered_with_limits(
    door: Door, mechanism: str, response: bytes
) -> None:
    """Rows 8, 9."""
    raw = await door.dial()
    await raw.greet()

    answer = await raw.ask(start_ok(mechanism, response), number=0)

    assert answer == connection.Tune(2047, 131072, 60)


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b"\0guest\0wrong"),
        ("PLAIN", b"\0nobody\0guest"),
        ("AMQPLAIN", encode_table({"LOGIN": "guest", "PASSWORD": "wrong"})[4:]),
    ],
)
@scenario
async def test_bad_credentials_are_refused_to_a_client_that_understands_this(
    door: Door, mechanism: str, response: bytes
) -> None:
    """Row 10."""
    raw = await door.dial()
    await raw.greet()

    answer = await raw.ask(start_ok(mechanism, response), number=0)

    assert answer == close(403, LOGIN_REFUSED.format(mechanism))


@scenario
async def test_a_channel_cannot_be_opened_before_the_connection_is(door: Door) -> None:
    """Row 15."""
    raw = await door.dial()
    await raw.greet()
    await raw.ask(start_ok(), number=0)

    raw.send(connection.TuneOk(2047, 131072, 0), number=0)
    answer = await raw.ask(channel.Open())

    text = "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"
    assert answer == close(505, text)


@scenario
async def test_an_unknown_virtual_host_is_named(door: Door) -> None:
    """Row 17."""
    raw = await door.dial()
    await raw.greet()
    await raw.ask(start_ok(), number=0)

    answer = await raw.ask(connection.TuneOk(2047, 131072, 0), connection.Open("nowhere"), number=0)

    assert answer == close(530, "NOT_ALLOWED - vhost nowhere not found", connection.Open)


@scenario
async def test_everything_up_to_the_first_queue_may_come_in_one_piece(door: Door) -> None:
    """Row 22."""
    raw = await door.dial()
    said: list[tuple[int, Method]] = [
        (0, start_ok()),
        (0, connection.TuneOk(2047, 131072, 0)),
        (0, connection.Open("/")),
        (1, channel.Open()),
        (1, queue.Declare(exclusive=True)),
    ]

    raw.send(PROTOCOL_HEADER + b"".join(encode_command(Command(*each)) for each in said))

    answers = [type(await raw.hear()) for _ in said]
    assert answers == [
        connection.Start,
        connection.Tune,
        connection.OpenOk,
        channel.OpenOk,
        queue.DeclareOk,
    ]


@scenario
async def test_what_opens_something_is_answered_with_an_empty_string(door: Door) -> None:
    """Row 24."""
    raw = await door.enter()
    assert raw.octets.endswith(frame(1, 0, b"\0\x0a\0\x29" + b"\0"))

    await raw.ask(channel.Open())

    assert raw.octets.endswith(frame(1, 1, b"\0\x14\0\x0b" + b"\0\0\0\0"))


async def refused_in_silence(door: Door, *said: Said) -> Raw:
    """Say some methods to log in, each of which but the last one is answered."""
    raw = await door.dial()
    await raw.greet()
    for method in said[:-1]:
        await raw.ask(method, number=0)
    raw.send(said[-1], number=0)
    return raw


@pytest.mark.slow
@scenario
async def test_most_mistakes_are_answered_with_three_seconds_of_silence_and_a_reset(
    door: Door,
) -> None:
    """Rows 11, 12, 13, 14, 16, 26, 27, 52. All at once, because RabbitMQ takes its time for each.

    A client that owes heartbeats is reset after three intervals, too, but hears some meanwhile.
    """
    beating = await door.enter(heartbeat=1)
    octets = encode_table({"LOGIN": b"guest", "PASSWORD": b"guest"})[4:]
    silent = [
        await refused_in_silence(door, *said)
        for said in (
            [start_ok(response=b"\0guest\0wrong", capabilities={})],
            [start_ok("FOO")],
            [start_ok("EXTERNAL", b"")],
            [start_ok(response=b"guest guest")],
            [start_ok("AMQPLAIN", octets)],
            [start_ok(), connection.Open("/")],
            [start_ok(), connection.TuneOk(2047, 1000, 0)],
            [start_ok(), connection.TuneOk(2047, 1000000, 0)],
            [start_ok(), connection.TuneOk(2047, 0, 0)],
            [start_ok(), connection.TuneOk(65535, 131072, 0)],
            [start_ok(), connection.TuneOk(0, 131072, 0)],
        )
    ]
    refused = await refused_in_silence(door, start_ok(response=b"\0guest\0wrong"))
    assert isinstance(await refused.hear(), connection.Close)
    for arguments in (b"", b"\0\0\0\4\1aZ\0", b"\0\0\0\0\2\xff\xfe\0\0\0\0\0"):
        silent.append(await door.dial())
        await silent[-1].greet()
        silent[-1].arguments(0, connection.StartOk.INDEX, arguments)
    silent.append(await refused_in_silence(door, start_ok(), connection.TuneOk(2047, 131072, 0)))
    silent[-1].arguments(0, connection.Open.INDEX, b"")
    closed = [await door.enter(1, frame_max=4096) for _ in range(2)]
    closed[0].send(frame(3, 1, b"x" * 4097)[:7])
    closed[1].frame(1, 1, b"\0\x14\0\x28\0", end=b"\0")
    for raw in closed:
        assert isinstance(await raw.hear(), connection.Close)
        # It is not even read any more that the client agrees.
        raw.send(connection.CloseOk(), number=0)

    for _ in range(6):
        await door.let_pass(0.5)

    assert await asyncio.gather(*(raw.rest() for raw in (*silent, *closed))) == [[]] * 17
    assert [raw.was_reset for raw in silent] == [True] * 15
    assert (await refused.rest(), refused.was_reset) == ([], True)
    heartbeats = await beating.rest()
    assert heartbeats.count(HEARTBEAT) >= 4
    assert set(map(type, heartbeats)) == {type(HEARTBEAT)}
