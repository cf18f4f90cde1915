"""Connections: opening, refused logins, negotiated limits, and closing."""

import asyncio

import pytest

from aioamqp import AmqpClosedConnection, ChannelClosed, HandshakeFailed
from aioamqp.protocol import CLOSED, OPEN
from tests.conformance.scenario import Connect, Inbox, exclusive_queue, refusal, scenario


@scenario
async def test_the_broker_announces_mechanisms_locales_and_capabilities(connect: Connect) -> None:
    """Rows 6 and 7."""
    protocol = await connect()

    assert protocol.state == OPEN
    assert (protocol.version_major, protocol.version_minor) == (0, 9)
    assert protocol.server_mechanisms is not None
    assert {"PLAIN", "AMQPLAIN"} <= set(protocol.server_mechanisms.split())
    assert protocol.server_locales == "en_US"
    assert protocol.server_properties is not None
    assert protocol.server_properties["product"] == "RabbitMQ"
    assert protocol.server_properties["capabilities"] == {
        "publisher_confirms": True,
        "exchange_exchange_bindings": True,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "connection.blocked": True,
        "consumer_priorities": True,
        "authentication_failure_close": True,
        "per_consumer_qos": True,
        "direct_reply_to": True,
    }


@scenario
async def test_the_limits_of_the_broker_are_the_default(connect: Connect) -> None:
    """Row 8."""
    protocol = await connect()

    assert protocol.server_heartbeat == 60
    assert protocol.server_frame_max == 131072
    assert protocol.server_channel_max == 2047


@scenario
async def test_limits_are_the_lower_of_both_and_the_heartbeat_is_the_client_s(
    connect: Connect,
) -> None:
    protocol = await connect(heartbeat=120, frame_max=8192, channel_max=65535)

    assert protocol.server_heartbeat == 120
    assert protocol.server_frame_max == 8192
    assert protocol.server_channel_max == 2047


@scenario
async def test_a_heartbeat_of_0_disables_heartbeats(connect: Connect) -> None:
    protocol = await connect(heartbeat=0)

    assert protocol.server_heartbeat == 0
    assert (await protocol.channel()).is_open


@scenario
async def test_a_wrong_password_is_refused_with_code_and_text(connect: Connect) -> None:
    """Row 10."""
    with pytest.raises(AmqpClosedConnection) as refused:
        await connect(password="wrong")

    assert isinstance(refused.value, HandshakeFailed)
    assert (refused.value.code, refused.value.message) == (
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
        " For details see the broker logfile.",
    )


@scenario
async def test_a_user_can_log_in_with_amqplain(connect: Connect) -> None:
    """Row 9."""
    protocol = await connect(login_method="AMQPLAIN")

    assert protocol.state == OPEN


@scenario
async def test_a_wrong_password_is_refused_with_amqplain(connect: Connect) -> None:
    """Row 10."""
    with pytest.raises(HandshakeFailed) as refused:
        await connect(login_method="AMQPLAIN", password="wrong")

    assert (refused.value.code, refused.value.message) == (
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN."
        " For details see the broker logfile.",
    )


@scenario
async def test_an_unknown_user_is_refused_like_a_wrong_password(connect: Connect) -> None:
    """Row 10."""
    with pytest.raises(HandshakeFailed) as refused:
        await connect(login="nobody")

    assert refused.value.code == 403


@scenario
async def test_an_unknown_virtual_host_is_refused_with_code_and_text(connect: Connect) -> None:
    """Row 17."""
    with pytest.raises(AmqpClosedConnection) as refused:
        await connect(virtualhost="nowhere")

    assert isinstance(refused.value, HandshakeFailed)
    assert (refused.value.code, refused.value.message) == (
        530,
        "NOT_ALLOWED - vhost nowhere not found",
    )


@scenario
async def test_calls_on_a_closed_connection_fail(connect: Connect) -> None:
    protocol = await connect()
    channel = await protocol.channel()

    await protocol.close()

    assert protocol.state == CLOSED
    assert not channel.is_open
    for call in (channel.basic_qos(), protocol.channel(), protocol.close()):
        with pytest.raises((AmqpClosedConnection, ChannelClosed)):
            await call


@scenario
async def test_closing_the_connection_does_not_call_on_error(connect: Connect) -> None:
    errors: list[Exception] = []
    protocol = await connect(on_error=errors.append)
    await protocol.channel()

    await protocol.close()
    await protocol.wait_closed()

    assert errors == []


@scenario
async def test_on_error_is_called_once_when_the_broker_closes_the_connection(
    connect: Connect,
) -> None:
    errors: asyncio.Queue[Exception] = asyncio.Queue()
    protocol = await connect(on_error=errors.put_nowait)
    channel = await protocol.channel()

    refused = await refusal(channel.flow(active=False))
    await protocol.wait_closed()

    error = await errors.get()
    await connect()  # time for an unwanted second call of on_error
    assert isinstance(error, ChannelClosed)
    assert (error.code, error.message) == refused
    assert errors.empty()


@scenario
async def test_an_error_on_one_connection_does_not_affect_another(
    connect: Connect, name: str
) -> None:
    broken, healthy = await connect(), await connect()
    channel = await healthy.channel()

    await refusal((await broken.channel()).flow(active=False))
    await broken.wait_closed()

    assert (await channel.queue_declare(name, exclusive=True))["queue"] == name


@scenario
async def test_messages_published_before_a_close_arrive(connect: Connect, name: str) -> None:
    publisher, reader = await connect(), await connect()
    channel = await reader.channel()
    inbox = Inbox()
    await channel.queue_declare(name, exclusive=True)
    await channel.basic_consume(inbox, name, no_ack=True)
    bodies = [b"%d" % number for number in range(1000)]
    sending = await publisher.channel()

    for body in bodies:
        await sending.basic_publish(body, "", name)
    await publisher.close()

    assert await inbox.bodies(1000) == bodies


@scenario
async def test_a_closed_connection_leaves_no_task(connect: Connect, name: str) -> None:
    before = asyncio.all_tasks()
    protocol = await connect()
    channel = await protocol.channel()
    await exclusive_queue(channel, name, b"0", b"1")
    inbox = Inbox()
    await channel.basic_consume(inbox, name)
    await inbox.next_message()

    await protocol.close()

    assert asyncio.all_tasks() == before


@scenario
async def test_update_secret_is_accepted(connect: Connect) -> None:
    """Row 53."""
    protocol = await connect()

    await protocol.update_secret("guest", "rotated")

    assert protocol.is_open
