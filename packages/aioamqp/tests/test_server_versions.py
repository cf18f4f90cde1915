"""What the client does differently for the versions of RabbitMQ, from 3.10 to 4.3."""

import asyncio
import logging
from typing import Any

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic, channel, connection, queue
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

MIB = 1024 * 1024
DENIED = (
    "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nBy default, this feature is"
    " not permitted anymore.\nThe feature will be removed from a future major RabbitMQ version,"
    " regardless of the configuration; actual version to be determined."
)
UNKNOWN_SERVERS: list[dict[str, Any]] = [
    {},
    {"product": "script", "version": "4.3.6"},
    {"product": "RabbitMQ"},
    {"product": "RabbitMQ", "version": "unknown"},
    {"product": "RabbitMQ", "version": 4},
]


def greeting(properties: dict[str, Any], mechanisms: bytes = b"PLAIN") -> connection.Start:
    return connection.Start(0, 9, properties, mechanisms, b"en_US")


@pytest.fixture
def rabbitmq(server: ScriptedServer, request: pytest.FixtureRequest) -> ScriptedServer:
    """The server, which says that it is RabbitMQ 4.3.6, or the version of the test."""
    version = getattr(request, "param", "4.3.6")
    properties = {"product": "RabbitMQ", "version": version}
    server.start = greeting(properties, b"ANONYMOUS AMQPLAIN PLAIN")
    return server


# -------------------------------------------------------------------- the size of messages


@pytest.mark.parametrize(
    ("rabbitmq", "limit"),
    [
        ("3.6.0", 128 * MIB),
        ("3.10.8", 128 * MIB),
        ("3.13.7+rc.1", 128 * MIB),
        ("4.0.0-beta.2", 16 * MIB),
        ("4.0.5", 16 * MIB),
        ("4.3.6", 16 * MIB),
        ("10.0", 16 * MIB),
    ],
    indirect=["rabbitmq"],
)
async def test_a_message_may_be_as_large_as_the_server_s_version_takes(
    rabbitmq: ScriptedServer, limit: int
) -> None:
    opened = await rabbitmq.open_channel()
    body = memoryview(bytes(limit + 1))

    with pytest.raises(aioamqp.MessageTooLarge) as caught:
        await opened.basic_publish(body, "", "q")
    await opened.basic_publish(b"small", "", "q")
    await wait_idle()

    version = rabbitmq.start.server_properties["version"]
    assert str(caught.value) == (
        f"payload: has {limit + 1} bytes, more than the {limit} that RabbitMQ {version} takes by"
        " default: send it in parts, or pass max_message_size to connect() if that is higher in the"
        " server's configuration"
    )
    assert rabbitmq.published() == [b"small"]
    await opened.protocol.close()


async def test_a_message_of_exactly_the_server_s_limit_is_sent(rabbitmq: ScriptedServer) -> None:
    opened = await rabbitmq.open_channel()

    await opened.basic_publish(bytes(16 * MIB), "", "q")
    await wait_idle()

    assert [len(body) for body in rabbitmq.published()] == [16 * MIB]
    await opened.protocol.close()


@pytest.mark.parametrize("size", [1000, 17 * MIB])
async def test_the_program_s_max_message_size_takes_precedence(
    rabbitmq: ScriptedServer, size: int
) -> None:
    opened = await rabbitmq.open_channel(max_message_size=size)

    await opened.basic_publish(bytes(size), "", "q")
    with pytest.raises(aioamqp.MessageTooLarge, match=f"more than max_message_size={size}"):
        await opened.basic_publish(bytes(size + 1), "", "q")
    await wait_idle()

    assert [len(body) for body in rabbitmq.published()] == [size]
    await opened.protocol.close()


@pytest.mark.parametrize("properties", UNKNOWN_SERVERS, ids=repr)
async def test_other_servers_have_no_limit_below_the_highest_that_rabbitmq_can_have(
    server: ScriptedServer, properties: dict[str, Any]
) -> None:
    server.start = greeting(properties)
    opened = await server.open_channel()

    await opened.basic_publish(bytes(17 * MIB), "", "q")
    await wait_idle()

    assert [len(body) for body in server.published()] == [17 * MIB]
    await opened.protocol.close()


async def test_what_was_published_before_the_limit_was_lowered_is_still_delivered(
    rabbitmq: ScriptedServer,
) -> None:
    opened = await rabbitmq.open_channel()
    async with opened.consume("q", consumer_tag="tag", no_ack=True) as messages:
        large = bytes(17 * MIB)
        rabbitmq.send(Command(1, basic.Deliver("tag", 1, False, "", "q"), Properties(), large))

        assert len((await anext(messages)).body) == 17 * MIB
    await opened.protocol.close()


# -------------------------------------------------------------------- frame_max


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("rabbitmq", ["3.10.8", "4.3.6"], indirect=True)
async def test_a_frame_max_that_newer_servers_refuse_is_warned_of(
    rabbitmq: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    protocol = await rabbitmq.connect(frame_max=8191)
    await protocol.close()

    (warning,) = warnings_of(caplog)
    assert "frame_max=8191 is less than 8192, and RabbitMQ 4.1 and later refuse that" in warning


@pytest.mark.parametrize("limits", [{}, {"frame_max": 0}, {"frame_max": 8192}], ids=repr)
async def test_another_frame_max_is_not_warned_of(
    rabbitmq: ScriptedServer, caplog: pytest.LogCaptureFixture, limits: dict[str, int]
) -> None:
    protocol = await rabbitmq.connect(**limits)
    await protocol.close()

    assert warnings_of(caplog) == []


async def test_a_link_that_ends_over_its_frame_max_says_so(rabbitmq: ScriptedServer) -> None:
    """RabbitMQ closes the socket after three seconds, without connection.close."""

    def hang_up(_: object) -> None:
        asyncio.get_running_loop().call_later(3, rabbitmq.transport.end, None)

    rabbitmq.answers[connection.Open] = hang_up

    with pytest.raises(aioamqp.HandshakeFailed) as caught:
        await rabbitmq.connect(frame_max=4096)

    assert str(caught.value) == (
        "The link ended while the connection was being opened; RabbitMQ 4.3.6 refuses"
        " frame_max=4096: it takes 8192 or more"
    )
    assert not caught.value.is_retryable  # a Connection would try for ever


@pytest.mark.parametrize("rabbitmq", ["3.10.8", "4.0.5"], indirect=True)
async def test_older_servers_take_a_small_frame_max_so_the_link_ended_over_something_else(
    rabbitmq: ScriptedServer,
) -> None:
    rabbitmq.answers[connection.Open] = lambda _: rabbitmq.transport.end(None)

    with pytest.raises(aioamqp.HandshakeFailed, match="virtual host") as caught:
        await rabbitmq.connect(frame_max=4096)

    assert caught.value.is_retryable


# -------------------------------------------------------------------- logging in


async def test_a_program_can_log_in_without_an_identity(rabbitmq: ScriptedServer) -> None:
    logins: list[tuple[str, bytes]] = []

    def admit(start_ok: connection.StartOk) -> connection.Tune:
        logins.append((start_ok.mechanism, start_ok.response))
        return connection.Tune(2047, 131072, 60)

    rabbitmq.answers[connection.StartOk] = admit

    for options in ({}, {"login": None, "password": None}):
        protocol = await rabbitmq.connect(login_method="ANONYMOUS", **options)
        await protocol.close()

    assert logins == [("ANONYMOUS", b"")] * 2


async def test_a_server_that_does_not_offer_anonymous_is_not_sent_a_password(
    server: ScriptedServer,
) -> None:
    with pytest.raises(aioamqp.HandshakeFailed, match="ANONYMOUS, but with PLAIN or AMQPLAIN"):
        await server.connect(login_method="anonymous")

    assert server.received == []


# -------------------------------------------------------------------- features that are denied


@pytest.mark.parametrize("quote", ["`", "``"])
async def test_a_denied_transient_queue_says_how_to_declare_it(
    rabbitmq: ScriptedServer, caplog: pytest.LogCaptureFixture, quote: str
) -> None:
    text = DENIED.replace("`", quote)[:252] + "..."  # as RabbitMQ cuts it
    opened = await rabbitmq.open_channel()
    rabbitmq.answers[queue.Declare] = None
    declaring = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()
    close = connection.Close(541, text, queue.Declare.INDEX >> 16, queue.Declare.INDEX & 0xFFFF)
    rabbitmq.send(close, channel=0)

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await declaring

    assert (caught.value.code, caught.value.message) == (541, text)
    assert str(caught.value) == (
        f"The server refused queue.declare and closed the connection: 541 {text.rstrip('.')}; declare the queue with durable=True, or with"
        " exclusive=True if only this connection uses it, or set"
        " deprecated_features.permit.transient_nonexcl_queues = true in rabbitmq.conf for now"
    )
    assert not caught.value.is_retryable  # although 541 is
    with pytest.raises(aioamqp.AmqpClosedConnection, match="durable=True"):
        await opened.queue_declare("q")
    assert "durable=True" in caplog.text
    await opened.protocol.wait_closed()


@pytest.mark.parametrize(
    ("feature", "advice"),
    [
        ("global_qos", "without connection_global"),
        ("queue_master_locator", "leave the argument x-queue-master-locator out"),
        ("another", "do without it, or set deprecated_features.permit.another = true"),
    ],
)
async def test_a_channel_that_ends_over_a_denied_feature_says_what_to_do(
    rabbitmq: ScriptedServer, feature: str, advice: str
) -> None:
    opened = await rabbitmq.open_channel()
    rabbitmq.answers[basic.Qos] = None
    limiting = asyncio.create_task(opened.basic_qos(prefetch_count=1, connection_global=True))
    await wait_idle()
    rabbitmq.send(
        channel.Close(541, f"INTERNAL_ERROR - Feature `{feature}` is deprecated.", 60, 10)
    )

    with pytest.raises(aioamqp.ChannelClosed, match=advice) as caught:
        await limiting

    assert not caught.value.is_retryable
    await opened.protocol.close()


@pytest.mark.parametrize("rabbitmq", ["4.0.5", "4.3.6"], indirect=True)
async def test_a_limit_for_the_channel_is_warned_of_where_it_is_none(
    rabbitmq: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """RabbitMQ 4.3 answers qos-ok, and limits each consumer."""
    opened = await rabbitmq.open_channel()
    await opened.basic_qos(prefetch_count=1)
    assert warnings_of(caplog) == []

    await opened.basic_qos(prefetch_count=1, connection_global=True)
    await opened.protocol.close()

    expected = "RabbitMQ 4.3.6 limits each consumer of channel 1 instead of all of them together"
    is_ignored = rabbitmq.start.server_properties["version"] == "4.3.6"
    assert [each[: len(expected)] for each in warnings_of(caplog)] == [expected] * is_ignored


async def test_another_internal_error_can_be_tried_again(rabbitmq: ScriptedServer) -> None:
    opened = await rabbitmq.open_channel()
    rabbitmq.mute(queue.Declare)
    declaring = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()
    rabbitmq.send(connection.Close(541, "INTERNAL_ERROR", 50, 10), channel=0)

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await declaring

    assert str(caught.value) == (
        "The server refused queue.declare and closed the connection: 541 INTERNAL_ERROR"
    )
    assert caught.value.is_retryable
    await opened.protocol.wait_closed()
