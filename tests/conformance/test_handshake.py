"""The handshake from protocol header to first channel, and its errors."""

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
from tests.conformance.client import MethodOrCommand
from tests.conformance.raw_client import Endpoint, RawClient, close, frame, start_ok
from tests.conformance.scenario import ByVersion, scenario

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

AMQP_1_0_WITH_SASL = b"AMQP\3\1\0\0"

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
async def test_another_protocol_header_is_answered_with_one_that_is_supported(
    endpoint: Endpoint, header: bytes, by_version: ByVersion
) -> None:
    """Rows 1, 2. RabbitMQ 4.0 has AMQP 1.0, and offers it with SASL."""
    raw = await endpoint.connect()
    if header == AMQP_1_0_WITH_SASL and by_version({"3.10": False, "4.0": True}):
        assert (await raw.request_bytes(header, len(header))).startswith(header)
        return

    raw.send(header)

    assert await raw.commands_until_eof() == []
    supported = by_version({"3.10": PROTOCOL_HEADER, "4.0": AMQP_1_0_WITH_SASL})
    is_0_9 = header.startswith(b"AMQP\0\0")
    assert raw.received_bytes == (PROTOCOL_HEADER if is_0_9 else supported)


@scenario
async def test_the_protocol_header_of_0_9_is_accepted(endpoint: Endpoint) -> None:
    """Row 3."""
    raw = await endpoint.connect()

    start = await raw.start_handshake(b"AMQP\1\1\0\x09")

    assert (start.version_major, start.version_minor) == (0, 9)
    assert start.server_properties["capabilities"] == dict.fromkeys(CAPABILITIES, True)
    assert isinstance(await raw.request(start_ok(), channel=0), connection.Tune)


@pytest.mark.parametrize("version", [b"\1\1\x08\0", b"\1\1\x09\1"])
@scenario
async def test_the_protocol_headers_of_0_8_are_answered_with_version_8_0(
    endpoint: Endpoint, version: bytes, by_version: ByVersion
) -> None:
    """Row 4. RabbitMQ 4.0 no longer has 0.8."""
    raw = await endpoint.connect()
    if by_version({"3.10": False, "4.0": True}):
        raw.send(b"AMQP" + version)
        assert await raw.commands_until_eof() == []
        assert raw.received_bytes == AMQP_1_0_WITH_SASL
        return

    start = await raw.start_handshake(b"AMQP" + version)

    assert (start.version_major, start.version_minor) == (8, 0)
    assert start.server_properties["capabilities"] == {}


@scenario
async def test_connection_start_describes_the_broker(endpoint: Endpoint) -> None:
    """Rows 6, 7."""
    raw = await endpoint.connect()

    start = await raw.start_handshake()

    assert (start.version_major, start.version_minor) == (0, 9)
    assert start.locales == b"en_US"
    # RabbitMQ may list them in any order; it can change when a node is restarted. From 4.0 on it
    # has ANONYMOUS, too, which the configuration of the node for tests leaves out.
    assert set(start.mechanisms.split()) - {b"ANONYMOUS"} == {b"AMQPLAIN", b"PLAIN"}
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
async def test_correct_credentials_are_answered_with_tune(
    endpoint: Endpoint, mechanism: str, response: bytes
) -> None:
    """Rows 8, 9."""
    raw = await endpoint.connect()
    await raw.start_handshake()

    reply = await raw.request(start_ok(mechanism, response), channel=0)

    assert reply == connection.Tune(2047, 131072, 60)


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b"\0guest\0wrong"),
        ("PLAIN", b"\0nobody\0guest"),
        ("AMQPLAIN", encode_table({"LOGIN": "guest", "PASSWORD": "wrong"})[4:]),
    ],
)
@scenario
async def test_wrong_credentials_are_refused_with_authentication_failure_close(
    endpoint: Endpoint, mechanism: str, response: bytes
) -> None:
    """Row 10."""
    raw = await endpoint.connect()
    await raw.start_handshake()

    reply = await raw.request(start_ok(mechanism, response), channel=0)

    assert reply == close(403, LOGIN_REFUSED.format(mechanism))


@scenario
async def test_a_channel_cannot_be_opened_before_connection_open(endpoint: Endpoint) -> None:
    """Row 15."""
    raw = await endpoint.connect()
    await raw.start_handshake()
    await raw.request(start_ok(), channel=0)

    raw.send(connection.TuneOk(2047, 131072, 0), channel=0)
    reply = await raw.request(channel.Open())

    text = "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"
    assert reply == close(505, text)


@scenario
async def test_the_error_for_an_unknown_virtual_host_names_it(endpoint: Endpoint) -> None:
    """Row 17."""
    raw = await endpoint.connect()
    await raw.start_handshake()
    await raw.request(start_ok(), channel=0)

    reply = await raw.request(
        connection.TuneOk(2047, 131072, 0), connection.Open("nowhere"), channel=0
    )

    assert reply == close(530, "NOT_ALLOWED - vhost nowhere not found", connection.Open)


@scenario
async def test_the_handshake_and_a_queue_declaration_may_be_sent_in_one_write(
    endpoint: Endpoint,
) -> None:
    """Row 22."""
    raw = await endpoint.connect()
    sent: list[tuple[int, Method]] = [
        (0, start_ok()),
        (0, connection.TuneOk(2047, 131072, 0)),
        (0, connection.Open("/")),
        (1, channel.Open()),
        (1, queue.Declare(exclusive=True)),
    ]

    raw.send(PROTOCOL_HEADER + b"".join(encode_command(Command(*each)) for each in sent))

    answers = [type(await raw.next_command()) for _ in sent]
    assert answers == [
        connection.Start,
        connection.Tune,
        connection.OpenOk,
        channel.OpenOk,
        queue.DeclareOk,
    ]


@scenario
async def test_open_ok_methods_contain_an_empty_reserved_string(endpoint: Endpoint) -> None:
    """Row 24."""
    raw = await endpoint.open_connection()
    assert raw.received_bytes.endswith(frame(1, 0, b"\0\x0a\0\x29" + b"\0"))

    await raw.request(channel.Open())

    assert raw.received_bytes.endswith(frame(1, 1, b"\0\x14\0\x0b" + b"\0\0\0\0"))


async def send_handshake(endpoint: Endpoint, *sent: MethodOrCommand) -> RawClient:
    """Send handshake methods; all but the last one are answered."""
    raw = await endpoint.connect()
    await raw.start_handshake()
    for method in sent[:-1]:
        await raw.request(method, channel=0)
    raw.send(sent[-1], channel=0)
    return raw


@pytest.mark.slow
@scenario
async def test_most_handshake_errors_reset_the_connection_after_three_silent_seconds(
    endpoint: Endpoint, by_version: ByVersion
) -> None:
    """Rows 11, 12, 13, 14, 16, 26, 27, 52. All concurrently, because each takes three seconds.

    A client that sends no heartbeats is reset after three intervals, but receives heartbeats.
    """
    endpoint.expect_heartbeats()
    beating = await endpoint.open_connection(heartbeat=1)
    # RabbitMQ: 4.0 accepts byte arrays in place of strings.
    amqplain_of_bytes = encode_table({"LOGIN": b"guest", "PASSWORD": b"guest"})[4:]
    handshakes: list[list[MethodOrCommand]] = [
        [start_ok(response=b"\0guest\0wrong", capabilities={})],
        [start_ok("FOO")],
        [start_ok("EXTERNAL", b"")],
        [start_ok(response=b"guest guest")],
        [start_ok(), connection.Open("/")],
        [start_ok(), connection.TuneOk(2047, 1000, 0)],
        [start_ok(), connection.TuneOk(2047, 1000000, 0)],
        [start_ok(), connection.TuneOk(2047, 0, 0)],
        [start_ok(), connection.TuneOk(65535, 131072, 0)],
        [start_ok(), connection.TuneOk(0, 131072, 0)],
    ]
    if by_version({"3.10": True, "4.0": False}):
        handshakes.append([start_ok("AMQPLAIN", amqplain_of_bytes)])
    silent = [await send_handshake(endpoint, *sent) for sent in handshakes]
    refused = await send_handshake(endpoint, start_ok(response=b"\0guest\0wrong"))
    assert isinstance(await refused.next_command(), connection.Close)
    for arguments in (b"", b"\0\0\0\4\1aZ\0", b"\0\0\0\0\2\xff\xfe\0\0\0\0\0"):
        silent.append(await endpoint.connect())
        await silent[-1].start_handshake()
        silent[-1].send_method(0, connection.StartOk.INDEX, arguments)
    silent.append(await send_handshake(endpoint, start_ok(), connection.TuneOk(2047, 131072, 0)))
    silent[-1].send_method(0, connection.Open.INDEX, b"")
    closed = [await endpoint.open_connection(1, frame_max=8192) for _ in range(2)]
    closed[0].send(frame(3, 1, b"x" * 8193)[:7])
    closed[1].send_frame(1, 1, b"\0\x14\0\x28\0", end=b"\0")
    for raw in closed:
        assert isinstance(await raw.next_command(), connection.Close)
        # After a framing error, close-ok is no longer read.
        raw.send(connection.CloseOk(), channel=0)

    for _ in range(6):
        await endpoint.advance_time(0.5)

    ended = (*silent, *closed)
    assert await asyncio.gather(*(raw.commands_until_eof() for raw in ended)) == [[]] * len(ended)
    assert all(raw.was_reset for raw in silent)
    assert (await refused.commands_until_eof(), refused.was_reset) == ([], True)
    heartbeats = await beating.commands_until_eof()
    assert heartbeats.count(HEARTBEAT) >= 4
    assert set(map(type, heartbeats)) == {type(HEARTBEAT)}
