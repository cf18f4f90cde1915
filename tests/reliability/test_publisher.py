"""``Channel.publisher``: confirms without a task each, its window, and publishing through an outage."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio

import aioamqp
from aioamqp import Backoff, Channel, Connection, Properties
from aioamqp.publisher import Publisher, Resend
from aioamqp_testing import FakeBroker, Message
from aioamqp_testing.faults import Lose, LoseConfirm, NackConfirm, Reset

pytestmark = pytest.mark.asyncio

AT_ONCE = Backoff(initial=0.0)


@pytest_asyncio.fixture
async def connection(amqp_broker: FakeBroker) -> AsyncIterator[Connection]:
    async with Connection("amqp://broker/", reconnect=AT_ONCE) as connection:
        yield connection


@pytest_asyncio.fixture
async def channel(connection: Connection) -> Channel:
    channel = await connection.channel()
    await channel.queue_declare("q", durable=True)
    return channel


def messages(broker: FakeBroker) -> list[Message]:
    return list(broker.vhost.queues["q"].messages)


def bodies(broker: FakeBroker) -> list[bytes]:
    return [message.body for message in messages(broker)]


async def lose(broker: FakeBroker, connection: Connection) -> None:
    """Lose the connection, and notice it."""
    broker.faults.add(Reset())
    await connection.protocol.wait_closed()


async def test_a_publisher_selects_confirm_mode_and_waits_for_the_confirm(
    amqp_broker: FakeBroker, channel: Channel
) -> None:
    publisher = channel.publisher("", routing_key="q", properties={"delivery_mode": 2})

    await publisher.publish(b"one")
    await publisher.publish(b"two", properties={"type": "t"})

    assert channel.publisher_confirms
    assert publisher.unconfirmed == 0
    first, second = messages(amqp_broker)
    assert (first.body, first.properties.delivery_mode, first.properties.type) == (b"one", 2, None)
    assert (second.properties.delivery_mode, second.properties.type) == (2, "t")


@pytest.mark.parametrize(
    "base",
    [
        {"delivery_mode": 2, "message_type": "old"},
        {"delivery_mode": 2, "type": "old"},
        Properties(delivery_mode=2, message_type="old"),
    ],
)
@pytest.mark.parametrize("name", ["message_type", "type"])
async def test_properties_of_a_message_are_added_to_those_of_the_publisher(
    base: Any, name: str, amqp_broker: FakeBroker, channel: Channel
) -> None:
    publisher = channel.publisher("", routing_key="q", properties=base)

    await publisher.publish(b"1", properties={"app_id": "a"})
    await publisher.publish(b"2", properties={name: "new"})
    with pytest.raises(aioamqp.InvalidArgument, match="must be a dict of properties"):
        await publisher.publish(b"3", properties=cast("Any", 3))

    found = [message.properties for message in messages(amqp_broker)]
    assert [(p.delivery_mode, p.type, p.app_id) for p in found] == [
        (2, "old", "a"),
        (2, "new", None),
    ]


async def test_a_message_is_sent_again_although_the_program_has_dropped_its_publisher(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    amqp_broker.faults.add(Lose(received="basic.publish"))

    async def fire_and_forget() -> None:
        publisher = channel.publisher("", routing_key="q", resend="unconfirmed")
        await publisher.publish_deferred(b"1")

    await fire_and_forget()
    await amqp_broker.wait_idle()
    await lose(amqp_broker, connection)
    gc.collect()
    await connection.wait_open()
    await amqp_broker.wait_idle()

    assert bodies(amqp_broker) == [b"1"]
    publishers = weakref.WeakSet(each for each in gc.get_objects() if isinstance(each, Publisher))
    gc.collect()
    assert len(publishers) == 0


async def test_errors_that_nothing_has_asked_for_are_logged(
    amqp_broker: FakeBroker, channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    amqp_broker.faults.add(NackConfirm(times=2))
    publisher = channel.publisher("", routing_key="q")
    with pytest.raises(ZeroDivisionError):
        async with publisher:
            for _ in range(2):
                await publisher.publish_deferred(b"1")
            await amqp_broker.wait_idle()
            raise ZeroDivisionError
    assert not caplog.records

    del publisher
    gc.collect()

    (record,) = caplog.records
    text = record.getMessage()
    assert "2 messages to exchange '' were not confirmed, and nothing has asked" in text
    assert "publisher.flush()" in text


async def test_deferred_messages_are_confirmed_in_their_order_and_can_be_awaited_twice(
    amqp_broker: FakeBroker, channel: Channel
) -> None:
    publisher = channel.publisher("", routing_key="q")
    wanted = [b"%d" % n for n in range(100)]

    confirmations = [await publisher.publish_deferred(body) for body in wanted]
    assert publisher.unconfirmed == 100
    assert not confirmations[0].done()
    for confirmation in confirmations:
        await confirmation
        await confirmation

    assert confirmations[99].done()
    assert confirmations[99].exception() is None
    assert bodies(amqp_broker) == wanted


async def test_the_window_makes_publishing_wait_and_keeps_the_order(
    amqp_broker: FakeBroker, channel: Channel
) -> None:
    publisher = channel.publisher("", routing_key="q", max_unconfirmed=3)
    most = 0
    wanted = [b"%d" % n for n in range(20)]

    async def publish(body: bytes) -> None:
        nonlocal most
        confirmation = await publisher.publish_deferred(body)
        most = max(most, publisher.unconfirmed)
        await confirmation

    await asyncio.gather(*map(publish, wanted))

    assert bodies(amqp_broker) == wanted
    assert most == 3


async def test_the_window_counts_bytes_too(amqp_broker: FakeBroker, channel: Channel) -> None:
    amqp_broker.faults.add(LoseConfirm())
    publisher = channel.publisher("", routing_key="q", max_bytes=1000)
    first = await publisher.publish_deferred(bytes(2000))

    with pytest.raises(aioamqp.PublishNotSent, match="too many messages are unconfirmed"):
        await publisher.publish_deferred(b"more", timeout=0.01)

    assert not first.done()
    assert len(messages(amqp_broker)) == 1


async def test_flush_raises_the_errors_that_nobody_has_awaited(
    amqp_broker: FakeBroker, channel: Channel
) -> None:
    amqp_broker.faults.add(NackConfirm(times=2))
    publisher = channel.publisher("", routing_key="q")
    seen = await publisher.publish_deferred(b"nacked, and seen")
    await publisher.publish_deferred(b"nacked")
    await publisher.publish_deferred(b"confirmed")
    with pytest.raises(aioamqp.PublishFailed):
        await seen

    with pytest.raises(ExceptionGroup, match="1 messages were not confirmed") as caught:
        await publisher.flush()

    (error,) = caught.value.exceptions
    assert isinstance(error, aioamqp.PublishFailed)
    await publisher.flush()


async def test_flush_counts_errors_beyond_those_that_it_keeps(
    amqp_broker: FakeBroker, channel: Channel
) -> None:
    amqp_broker.faults.add(NackConfirm(times=1002))
    publisher = channel.publisher("", routing_key="q")
    for _ in range(1002):
        await publisher.publish_deferred(b"nacked")

    with pytest.raises(ExceptionGroup, match="1002 messages were not confirmed") as caught:
        await publisher.flush()

    assert len(caught.value.exceptions) == 1000
    await publisher.flush()


async def test_leaving_the_block_waits_for_all_outcomes(
    amqp_broker: FakeBroker, channel: Channel
) -> None:
    async with channel.publisher("", routing_key="q") as publisher:
        confirmation = await publisher.publish_deferred(b"one")

    assert confirmation.done()


async def test_a_mandatory_message_without_a_queue_is_returned(channel: Channel) -> None:
    publisher = channel.publisher("", mandatory=True)

    with pytest.raises(aioamqp.PublishReturned):
        await publisher.publish(b"", routing_key="nowhere")
    await publisher.publish(b"", routing_key="q")


async def test_publish_gives_up_after_its_timeout(
    amqp_broker: FakeBroker, channel: Channel
) -> None:
    amqp_broker.faults.add(LoseConfirm())
    publisher = channel.publisher("", routing_key="q")

    with pytest.raises(aioamqp.PublishUnconfirmed) as caught:
        await publisher.publish(b"one", timeout=0.01)

    assert isinstance(caught.value, TimeoutError)
    assert publisher.unconfirmed == 0


async def test_a_cancelled_publish_leaves_the_publisher_working(
    amqp_broker: FakeBroker, channel: Channel
) -> None:
    amqp_broker.faults.add(LoseConfirm())
    publisher = channel.publisher("", routing_key="q", max_unconfirmed=1)
    first = asyncio.create_task(publisher.publish(b"first"))
    await amqp_broker.wait_idle()
    waiting = asyncio.create_task(publisher.publish(b"never"))
    await amqp_broker.wait_idle()

    waiting.cancel()
    first.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)

    assert bodies(amqp_broker) == [b"first"]


async def test_without_resend_a_loss_ends_each_message_with_its_own_outcome(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    amqp_broker.faults.add(LoseConfirm())
    publisher = channel.publisher("", routing_key="q", max_unconfirmed=1)
    written = await publisher.publish_deferred(b"written")
    waiting = asyncio.create_task(publisher.publish_deferred(b"waits for the window"))
    await amqp_broker.wait_idle()

    await lose(amqp_broker, connection)

    with pytest.raises(aioamqp.PublishUnconfirmed):
        await written
    with pytest.raises(aioamqp.PublishNotSent):
        await waiting
    await publisher.publish(b"after")
    assert bodies(amqp_broker) == [b"written", b"after"]


async def test_resend_unsent_goes_on_with_what_was_not_written(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    amqp_broker.faults.add(LoseConfirm())
    publisher = channel.publisher("", routing_key="q", max_unconfirmed=1, resend="unsent")
    written = await publisher.publish_deferred(b"written")
    waiting = asyncio.create_task(publisher.publish(b"waits for the window"))
    await amqp_broker.wait_idle()

    await lose(amqp_broker, connection)

    with pytest.raises(aioamqp.PublishUnconfirmed):
        await written
    await waiting
    assert bodies(amqp_broker) == [b"written", b"waits for the window"]


async def test_resend_unconfirmed_sends_again_in_order_with_a_header_and_the_same_id(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    amqp_broker.faults.add(LoseConfirm(times=3))
    publisher = channel.publisher("", routing_key="q", resend="unconfirmed")
    wanted = [b"0", b"1", b"2"]
    body = bytearray(b"0")
    confirmations = [await publisher.publish_deferred(body)]
    body[:] = b"X"  # what is sent again is what was sent
    confirmations += [await publisher.publish_deferred(each) for each in wanted[1:]]
    await amqp_broker.wait_idle()
    assert not any(each.done() for each in confirmations)

    await lose(amqp_broker, connection)
    await publisher.publish(b"3")
    await publisher.flush()

    assert all(each.done() and each.exception() is None for each in confirmations)
    received = messages(amqp_broker)
    assert [message.body for message in received] == [*wanted, *wanted, b"3"]
    ids = [message.properties.message_id for message in received]
    assert ids[:3] == ids[3:6]
    assert len(set(ids)) == 4
    resent = [(message.properties.headers or {}).get("x-resent") for message in received]
    assert resent == [None, None, None, True, True, True, None]


async def test_messages_behind_those_sent_again_do_not_get_their_header(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    amqp_broker.faults.add(LoseConfirm())
    properties = {"message_id": "mine"}
    publisher = channel.publisher("", routing_key="q", resend="unconfirmed", properties=properties)
    await publisher.publish_deferred(b"0")
    await amqp_broker.wait_idle()

    await lose(amqp_broker, connection)
    await publisher.publish(b"1")

    received = [(each.body, each.properties.headers) for each in messages(amqp_broker)]
    assert received == [(b"0", None), (b"0", {"x-resent": True}), (b"1", None)]


async def test_a_message_is_sent_again_after_each_of_several_losses(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    amqp_broker.faults.add(LoseConfirm(times=3))
    publisher = channel.publisher(
        "", routing_key="q", resend="unconfirmed", properties={"message_id": "mine"}
    )
    confirmation = await publisher.publish_deferred(b"one")

    for _ in range(3):
        await amqp_broker.wait_idle()
        await lose(amqp_broker, connection)
        await connection.wait_open()
    await confirmation

    assert bodies(amqp_broker) == [b"one"] * 4
    assert {message.properties.message_id for message in messages(amqp_broker)} == {"mine"}


async def test_what_was_to_be_sent_again_is_unconfirmed_when_the_connection_is_closed(
    amqp_broker: FakeBroker,
    connection: Connection,
    channel: Channel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    amqp_broker.faults.add(LoseConfirm())
    publisher = channel.publisher("", routing_key="q", resend="unconfirmed")
    confirmation = await publisher.publish_deferred(b"one")
    await amqp_broker.wait_idle()
    await amqp_broker.stop()

    await connection.close()

    with pytest.raises(aioamqp.PublishUnconfirmed):
        await confirmation
    with pytest.raises(aioamqp.PublishNotSent):
        await publisher.publish(b"two")
    assert "1 messages to exchange '' were to be sent again, and are given up" in caplog.text


async def test_a_blocked_connection_fails_messages_at_once_if_asked_for(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    patient = channel.publisher("", routing_key="q")
    eager = channel.publisher("", routing_key="q", blocked_timeout=0)
    await patient.publish(b"one")
    amqp_broker.block("low on memory")
    waiting = asyncio.create_task(patient.publish(b"two"))  # RabbitMQ: blocks who publishes
    await connection.protocol.blocked.wait()

    with pytest.raises(aioamqp.PublishNotSent, match="blocked") as caught:
        await eager.publish(b"never")

    assert isinstance(caught.value, TimeoutError)
    assert not waiting.done()
    amqp_broker.unblock()
    await waiting
    assert bodies(amqp_broker) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"resend": "always"}, "resend: must be 'never' or 'unsent' or 'unconfirmed'"),
        ({"max_unconfirmed": 0}, "max_unconfirmed: must be a number from 1, not 0"),
        ({"max_bytes": True}, "max_bytes: must be a number from 1, not True"),
        ({"routing_key": "k" * 256}, "routing_key: "),
        ({"mandatory": "yes"}, "mandatory: must be True or False"),
        ({"properties": {"prioritty": 1}}, "there is no property 'prioritty'"),
        ({"blocked_timeout": -1}, "blocked_timeout: must be 0 seconds or more"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    channel: Channel, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(aioamqp.InvalidArgument) as caught:
        channel.publisher("", **options)

    assert sentence in str(caught.value)


@pytest.mark.parametrize("resend", ["never", "unsent", "unconfirmed"])
@pytest.mark.parametrize("body", [5, None, "text", [1, 2]])
async def test_a_body_that_is_none_is_refused(
    amqp_broker: FakeBroker, channel: Channel, resend: Resend, body: Any
) -> None:
    """``bytes(5)`` would be five bytes."""
    publisher = channel.publisher("", routing_key="q", resend=resend)

    with pytest.raises(aioamqp.InvalidArgument, match="must be bytes, bytearray or memoryview"):
        await publisher.publish(body)

    assert publisher.unconfirmed == 0
    assert bodies(amqp_broker) == []


async def test_resend_needs_a_channel_that_recovers(amqp_broker: FakeBroker) -> None:
    async with aioamqp.from_url("amqp://broker/") as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("q", durable=True)
        await channel.publisher("", routing_key="q").publish(b"one")

        with pytest.raises(aioamqp.InvalidArgument, match="needs a channel of a Connection"):
            channel.publisher("", resend="unsent")

    assert bodies(amqp_broker) == [b"one"]


class EndsBehindChannelOpenOk(aioamqp.AmqpProtocol):
    """A connection whose third channel.open-ok comes in one read with the end of the link."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.link = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if b"\0\x14\0\x0b" in data:
            EndsBehindChannelOpenOk.count += 1
            if self.count == 3:
                self.eof_received()
                self.link.abort()


async def test_a_connection_that_is_lost_right_behind_the_last_reply_of_recovery(
    amqp_broker: FakeBroker,
) -> None:
    """The channel must not count as restored: publishing would try again for ever, at once."""
    EndsBehindChannelOpenOk.count = 0
    async with Connection(
        "amqp://broker/", reconnect=AT_ONCE, protocol_factory=EndsBehindChannelOpenOk
    ) as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        publisher = channel.publisher("", routing_key="q", resend="unsent")

        await lose(amqp_broker, connection)  # the second is the one for declarations
        await publisher.publish(b"one", timeout=5)

    assert EndsBehindChannelOpenOk.count == 5
    assert bodies(amqp_broker) == [b"one"]


async def test_messages_that_wait_for_the_window_keep_their_order_over_a_loss(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    amqp_broker.faults.add(LoseConfirm())
    publisher = channel.publisher("", routing_key="q", max_unconfirmed=1, resend="unconfirmed")
    wanted = [b"%d" % number for number in range(6)]
    calls = [asyncio.create_task(publisher.publish(body)) for body in wanted]
    await amqp_broker.wait_idle()

    await lose(amqp_broker, connection)
    await asyncio.gather(*calls)

    assert bodies(amqp_broker) == [b"0", *wanted]


async def test_a_message_that_is_not_sent_leaves_its_place_in_the_window(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    publisher = channel.publisher("", routing_key="q", max_unconfirmed=1)
    await amqp_broker.stop()
    await connection.protocol.wait_closed()

    with pytest.raises(aioamqp.PublishNotSent):
        await publisher.publish(b"never", timeout=0.01)

    await amqp_broker.start()
    await publisher.publish(b"one", timeout=5)
    assert publisher.unconfirmed == 0
    assert bodies(amqp_broker) == [b"one"]
