"""The client under each fault of the fake broker, in virtual time: a call that never returns fails."""

import asyncio

import pytest

import aioamqp
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import (
    Block,
    CancelConsumer,
    CloseChannel,
    CloseConnection,
    Corrupt,
    Cut,
    Delay,
    DelayConfirm,
    DuplicateConfirm,
    Lose,
    LoseConfirm,
    NackConfirm,
    RefuseLogin,
    Reset,
    Restart,
    Send,
    Silence,
    Split,
    Unblock,
)
from amqp_codec import basic

pytestmark = pytest.mark.asyncio


async def channel_of(broker: FakeBroker, **options: object) -> aioamqp.Channel:
    _, protocol = await broker.connect(**options)
    return await protocol.channel()


async def confirming(broker: FakeBroker) -> aioamqp.Channel:
    channel = await channel_of(broker)
    await channel.queue_declare("q", durable=True)
    await channel.confirm_select()
    return channel


async def publish(channel: aioamqp.Channel, body: bytes = b"m") -> None:
    await channel.publish(body, "", "q")


async def outcomes(channel: aioamqp.Channel, *bodies: bytes) -> list[object]:
    """Publish concurrently; return None for each confirmed message, or the exception."""
    tasks = [asyncio.create_task(publish(channel, body)) for body in bodies]
    return await asyncio.gather(*tasks, return_exceptions=True)


def types_of(outcomes: list[object]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


NoneType = type(None)


# --------------------------------------------------------------------------------- network


async def test_a_reset_ends_the_connection_at_once(broker: FakeBroker) -> None:
    _, protocol = await broker.connect()

    broker.faults.add(Reset())
    await protocol.wait_closed()

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.channel()


async def test_a_reset_instead_of_a_reply_fails_the_call(broker: FakeBroker) -> None:
    channel = await channel_of(broker)
    broker.faults.add(Reset(received="queue.declare"))

    with pytest.raises(aioamqp.ConnectionLost):
        await channel.queue_declare("q", durable=True)

    assert broker.vhost.queues == {}


async def test_a_reset_instead_of_a_confirm_raises_publish_unconfirmed(broker: FakeBroker) -> None:
    channel = await confirming(broker)
    broker.faults.add(Reset(sent="basic.ack"))

    with pytest.raises(aioamqp.PublishUnconfirmed):
        await publish(channel)

    assert broker.vhost.queues["q"].message_count == 1


@pytest.mark.parametrize("size", range(0, 40, 3))
async def test_a_connection_cut_inside_a_frame_fails_the_call(
    broker: FakeBroker, size: int
) -> None:
    channel = await channel_of(broker)
    broker.faults.add(Cut(size))

    with pytest.raises(aioamqp.ConnectionLost):
        while True:
            await channel.queue_declare("q", durable=True)


@pytest.mark.parametrize("size", [0, 8, 20, 300, 400])
async def test_a_connection_cut_during_the_handshake_fails_connecting(
    broker: FakeBroker, size: int
) -> None:
    broker.faults.add(Cut(size))

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await broker.connect()


async def test_data_after_a_cut_is_not_read_by_the_broker(broker: FakeBroker) -> None:
    channel = await confirming(broker)
    broker.faults.add(Cut(20, reading=True))

    with pytest.raises(aioamqp.PublishUnconfirmed):
        await publish(channel)

    assert broker.vhost.queues["q"].message_count == 0


async def test_missed_heartbeats_detect_a_half_open_connection(broker: FakeBroker) -> None:
    """Row 52, for the client."""
    channel = await channel_of(broker, heartbeat=10)
    started = asyncio.get_running_loop().time()
    broker.faults.add(Silence(received="queue.declare"))

    with pytest.raises(aioamqp.ConnectionLost):
        await channel.queue_declare("q", durable=True)

    assert asyncio.get_running_loop().time() - started <= 30  # virtual seconds


async def test_closing_a_half_open_connection_times_out(broker: FakeBroker) -> None:
    _, protocol = await broker.connect()
    broker.faults.add(Silence())

    await protocol.close()


async def test_data_split_into_single_bytes_is_decoded_correctly(broker: FakeBroker) -> None:
    broker.faults.add(Split(1))
    broker.faults.add(Split(1, reading=True))

    channel = await confirming(broker)
    await publish(channel, b"hello")
    got = await channel.basic_get("q", no_ack=True)

    assert got["message"] == b"hello"


async def test_a_slow_connection_only_delays_replies(broker: FakeBroker) -> None:
    channel = await confirming(broker)
    broker.faults.add(Delay(0.3))
    broker.faults.add(Delay(0.2, reading=True))
    started = asyncio.get_running_loop().time()

    await publish(channel)

    assert asyncio.get_running_loop().time() - started == pytest.approx(0.5)


async def test_a_late_reply_to_a_cancelled_call_does_not_answer_the_next_call(
    broker: FakeBroker,
) -> None:
    channel = await channel_of(broker)
    broker.faults.add(Delay(0.3, sent="exchange.declare-ok"))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await channel.exchange_declare("x", "direct")
    declared = await channel.queue_declare("q", durable=True)

    assert declared["queue"] == "q"


async def test_a_corrupt_frame_raises_protocol_violation(broker: FakeBroker) -> None:
    channel = await channel_of(broker)
    broker.faults.add(Corrupt(sent="queue.declare-ok"))

    with pytest.raises(aioamqp.ProtocolViolation):
        await channel.queue_declare("q", durable=True)


# --------------------------------------------------------------------------------- methods


async def test_refuse_login_refuses_the_given_number_of_logins(broker: FakeBroker) -> None:
    broker.faults.add(RefuseLogin(times=2))

    for _ in range(2):
        with pytest.raises(aioamqp.HandshakeFailed, match="ACCESS_REFUSED"):
            await broker.connect()

    await broker.connect()


async def test_refuse_login_can_select_a_connection_by_name(broker: FakeBroker) -> None:
    broker.faults.add(RefuseLogin(connection="orders"))

    await broker.connect(client_properties={"connection_name": "payments"})
    with pytest.raises(aioamqp.HandshakeFailed, match="ACCESS_REFUSED"):
        await broker.connect(client_properties={"connection_name": "orders"})


async def test_an_unanswered_handshake_times_out(broker: FakeBroker) -> None:
    broker.faults.add(Lose(received="connection.open"))

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await broker.connect()


async def test_an_unanswered_connection_close_times_out(broker: FakeBroker) -> None:
    _, protocol = await broker.connect()
    broker.faults.add(Lose(received="connection.close"))

    await protocol.close()


async def test_close_channel_does_not_affect_other_channels(broker: FakeBroker) -> None:
    _, protocol = await broker.connect()
    one, other = await protocol.channel(), await protocol.channel()
    broker.faults.add(Lose(received="queue.declare"))
    call = asyncio.create_task(one.queue_declare("q", durable=True))
    await broker.wait_idle()

    broker.faults.add(CloseChannel(406, "delivery acknowledgement timed out", channel=1))

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await call
    assert caught.value.code == 406
    assert caught.value.message == "PRECONDITION_FAILED - delivery acknowledgement timed out"
    await other.queue_declare("q", durable=True)


async def test_close_channel_can_replace_a_delivery(broker: FakeBroker) -> None:
    channel = await channel_of(broker)
    await channel.queue_declare("q", durable=True)
    broker.faults.add(CloseChannel(406, "no more", sent="basic.deliver", nth=2))
    seen: list[bytes] = []

    async def callback(channel: object, body: bytes, envelope: object, properties: object) -> None:
        seen.append(body)

    await channel.basic_consume(callback, "q")
    for body in (b"1", b"2"):
        await channel.basic_publish(body, "", "q")
    await broker.wait_idle()

    assert seen == [b"1"]
    assert broker.vhost.queues["q"].message_count == 2
    assert not channel.is_open


async def test_a_locked_exclusive_queue_can_be_declared_after_retries(broker: FakeBroker) -> None:
    _, protocol = await broker.connect()
    locked = "cannot obtain exclusive access to locked queue 'q' in vhost '/'."
    broker.faults.add(CloseChannel(405, locked, received="queue.declare", times=2))

    for _ in range(2):
        with pytest.raises(aioamqp.ChannelClosed, match="RESOURCE_LOCKED - cannot obtain"):
            await (await protocol.channel()).queue_declare("q", exclusive=True)

    await (await protocol.channel()).queue_declare("q", exclusive=True)


async def test_close_connection_sends_the_given_code_and_text(broker: FakeBroker) -> None:
    channel = await channel_of(broker)
    broker.faults.add(CloseConnection(320, "maintenance", received="queue.declare"))

    with pytest.raises(aioamqp.ChannelClosed, match="CONNECTION_FORCED - maintenance"):
        await channel.queue_declare("q", durable=True)


async def test_a_lost_confirm_does_not_affect_other_confirms(broker: FakeBroker) -> None:
    channel = await confirming(broker)
    broker.faults.add(LoseConfirm(nth=2))

    tasks = [asyncio.create_task(publish(channel, body)) for body in (b"1", b"2", b"3")]
    await broker.wait_idle()

    assert [task.done() for task in tasks] == [True, False, True]
    assert broker.vhost.queues["q"].message_count == 3
    await channel.close()
    with pytest.raises(aioamqp.PublishUnconfirmed):
        await tasks[1]


async def test_a_delayed_confirm_still_confirms(broker: FakeBroker) -> None:
    channel = await confirming(broker)
    broker.faults.add(DelayConfirm(5))
    started = asyncio.get_running_loop().time()

    assert types_of(await outcomes(channel, b"1", b"2")) == [NoneType, NoneType]

    assert asyncio.get_running_loop().time() - started == pytest.approx(5)


async def test_a_duplicate_confirm_is_ignored(broker: FakeBroker) -> None:
    channel = await confirming(broker)
    broker.faults.add(DuplicateConfirm())

    assert types_of(await outcomes(channel, b"1", b"2")) == [NoneType, NoneType]
    await broker.wait_idle()
    await publish(channel)


async def test_a_nack_fails_only_its_own_publish(broker: FakeBroker) -> None:
    channel = await confirming(broker)
    broker.faults.add(NackConfirm(nth=2))

    results = await outcomes(channel, b"1", b"2", b"3")

    assert types_of(results) == [NoneType, aioamqp.PublishFailed, NoneType]


async def test_cancel_consumer_cancels_only_the_given_consumer(broker: FakeBroker) -> None:
    channel = await channel_of(broker)
    await channel.queue_declare("q", durable=True)
    broker.faults.add(CancelConsumer("c"))

    async def callback(*_: object) -> None: ...

    await channel.basic_consume(callback, "q", consumer_tag="other")
    await channel.basic_consume(callback, "q", consumer_tag="c")
    await broker.wait_idle()

    consumers = broker.sessions[0].channels[0].consuming.consumers
    assert [consumer.tag for consumer in consumers] == ["other"]
    assert broker.vhost.queues["q"].consumer_count == 1


async def test_send_delivers_an_unsolicited_method(broker: FakeBroker) -> None:
    channel = await channel_of(broker)
    await channel.queue_declare("q", durable=True)
    await channel.confirm_select()
    broker.faults.add(LoseConfirm(times=2))
    broker.faults.add(Send(basic.Ack(2, multiple=True), received="queue.declare", channel=1))

    tasks = [asyncio.create_task(publish(channel, body)) for body in (b"1", b"2")]
    await broker.wait_idle()
    assert not any(task.done() for task in tasks)
    await channel.queue_declare("q", durable=True)

    assert types_of(await asyncio.gather(*tasks)) == [NoneType, NoneType]


async def test_publishers_are_blocked_and_unblocked(broker: FakeBroker) -> None:
    """Rows 59 and 60."""
    channel = await confirming(broker)
    broker.faults.add(Block("low on disk"))

    task = asyncio.create_task(publish(channel))
    await broker.wait_idle()
    assert channel.protocol.blocked.reason == "low on disk"
    assert not task.done()

    broker.faults.add(Unblock())
    await task
    assert broker.vhost.queues["q"].message_count == 1
    assert not channel.protocol.blocked


async def test_closing_a_blocked_connection_times_out(broker: FakeBroker) -> None:
    """Row 59: the broker does not read connection.close either."""
    channel = await confirming(broker)
    broker.block()
    task = asyncio.create_task(publish(channel))
    await broker.wait_idle()

    await channel.protocol.close()

    with pytest.raises(aioamqp.PublishUnconfirmed):
        await task


async def test_a_restart_keeps_durable_queues_and_persistent_messages(broker: FakeBroker) -> None:
    """Rows 58 and 120."""
    channel = await channel_of(broker)
    await channel.queue_declare("q", durable=True)
    await channel.queue_declare("gone", exclusive=True)
    await channel.basic_publish(b"kept", "", "q", properties={"delivery_mode": 2})
    await channel.basic_publish(b"lost", "", "q")
    await broker.wait_idle()
    broker.faults.add(Restart())

    await channel.protocol.wait_closed()
    with pytest.raises(aioamqp.AmqpClosedConnection, match="reason 'shutdown'"):
        await channel.queue_declare("q", passive=True)
    await broker.wait_idle()

    channel = await channel_of(broker)
    got = await channel.basic_get("q", no_ack=True)
    assert got["message"] == b"kept"
    assert list(broker.vhost.queues) == ["q"]


async def test_a_slow_consumer_leaves_messages_in_the_queue(broker: FakeBroker) -> None:
    """Both sides limit their buffers, and all messages arrive in the end."""
    channel = await channel_of(broker)
    await channel.queue_declare("q", durable=True)
    for number in range(200):
        broker.publish("", "q", number.to_bytes(2, "big") * 128 * 1024)
    may_continue = asyncio.Event()
    seen: list[int] = []

    async def callback(channel: object, body: bytes, *rest: object) -> None:
        await may_continue.wait()
        seen.append(int.from_bytes(body[:2], "big"))

    await channel.basic_consume(callback, "q", no_ack=True)
    await broker.wait_idle()
    assert broker.vhost.queues["q"].message_count > 100

    may_continue.set()
    await broker.wait_for(lambda: len(seen) == 200)
    assert seen == list(range(200))
