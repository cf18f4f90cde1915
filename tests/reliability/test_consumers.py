"""Consumers of a ``Connection``: they continue after a loss, in streams too, and after basic.cancel."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

import aioamqp
from aioamqp import Backoff, Connection, Message
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import CloseChannel, Reset

pytestmark = pytest.mark.asyncio

AT_ONCE = Backoff(initial=0.0)


@pytest_asyncio.fixture
async def connection(amqp_broker: FakeBroker) -> AsyncIterator[Connection]:
    async with Connection("amqp://broker/", reconnect=AT_ONCE) as connection:
        yield connection


async def lose(broker: FakeBroker, connection: Connection) -> None:
    """Lose the connection, and wait for the next one."""
    broker.faults.add(Reset())
    await connection.protocol.wait_closed()
    await connection.wait_open(5)


async def test_a_loop_over_messages_goes_on_and_old_messages_are_stale(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aioamqp.channel")
    channel = await connection.channel()
    await channel.queue_declare("q", durable=True)
    amqp_broker.publish("", "q", b"one", delivery_mode=2)
    amqp_broker.publish("", "q", b"two", delivery_mode=2)
    messages = channel.consume("q", prefetch_count=2)
    async with messages:
        old = await anext(messages)
        await lose(amqp_broker, connection)

        assert await old.ack() is False
        first, second = await anext(messages), await anext(messages)

        assert (first.body, second.body) == (b"one", b"two")
        assert first.envelope.is_redeliver
        assert old.envelope.delivery_tag < first.envelope.delivery_tag
        assert await first.ack() is True
        assert await second.ack() is True
    await amqp_broker.wait_idle()
    amqp_broker.assert_nothing_unacked()
    assert connection.snapshot()["channels"][0]["stale"] == 1
    (record,) = (each for each in caplog.records if "was not settled" in each.message)
    assert record.levelname == "INFO"


async def test_an_old_delivery_tag_never_settles_another_message(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    tags: list[int] = []
    results: list[bool | None] = []
    channel = await connection.channel()
    await channel.queue_declare("q", durable=True)

    async def callback(channel: aioamqp.Channel, body: bytes, envelope: Any, _: Any) -> None:
        tags.append(envelope.delivery_tag)
        if len(tags) == 1:
            await lose(amqp_broker, connection)
        results.append(await channel.basic_client_ack(envelope.delivery_tag))

    await channel.basic_consume(callback, "q")
    amqp_broker.publish("", "q", b"one", delivery_mode=2)
    await amqp_broker.wait_for(lambda: len(results) == 2)

    assert tags[0] < tags[1]
    assert results == [False, True]
    await amqp_broker.wait_idle()
    amqp_broker.assert_nothing_unacked()


async def test_messages_with_no_ack_that_were_delivered_before_a_loss_are_handled(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    channel = await connection.channel()
    await channel.queue_declare("q", durable=True)
    for n in range(3):
        amqp_broker.publish("", "q", b"%d" % n)
    async with channel.consume("q", no_ack=True) as messages:
        assert (await anext(messages)).body == b"0"
        await lose(amqp_broker, connection)

        assert [(await anext(messages)).body for _ in range(2)] == [b"1", b"2"]


async def test_each_consumer_keeps_its_own_prefetch_count(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    channel = await connection.channel()
    for name in ("a", "b"):
        await channel.queue_declare(name, durable=True)
        for _ in range(10):
            amqp_broker.publish("", name, b"", delivery_mode=2)
    async with (
        channel.consume("a", prefetch_count=2) as first,
        channel.consume("b", prefetch_count=5) as second,
    ):
        await lose(amqp_broker, connection)
        await amqp_broker.wait_idle()

        counts = [amqp_broker.vhost.queues[name].unacked_count for name in ("a", "b")]
        assert counts == [2, 5]
        await (await anext(first)).ack()
        await (await anext(second)).ack()


@pytest.mark.parametrize(
    ("begin", "bodies"),
    [
        ({}, [b"1", b"2", b"3"]),
        ({"x-stream-offset": "next"}, [b"1", b"2", b"3"]),
        ({"x-stream-offset": "last"}, [b"0", b"1", b"2", b"3"]),
    ],
)
async def test_a_stream_continues_with_what_was_delivered_and_not_settled(
    amqp_broker: FakeBroker, connection: Connection, begin: dict[str, Any], bodies: list[bytes]
) -> None:
    """The end of the stream is another one by then."""
    channel = await connection.channel()
    await channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    amqp_broker.publish("", "s", b"0")
    async with channel.consume("s", arguments=begin) as messages:
        amqp_broker.publish("", "s", b"1")
        assert (await anext(messages)).body == bodies[0]
        amqp_broker.publish("", "s", b"2")
        await amqp_broker.wait_idle()

        await lose(amqp_broker, connection)
        amqp_broker.publish("", "s", b"3")

        async with asyncio.timeout(10):
            assert [(await anext(messages)).body for _ in bodies] == bodies


async def test_a_stream_continues_after_the_last_settled_offset(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    checkpoints: list[int] = []
    channel = await connection.channel()
    await channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    for n in range(6):
        amqp_broker.publish("", "s", b"%d" % n)
    async with channel.consume(
        "s",
        prefetch_count=4,
        arguments={"x-stream-offset": "first"},
        on_checkpoint=checkpoints.append,
    ) as messages:
        seen = [await anext(messages) for _ in range(4)]
        for n in (0, 1, 3):  # not 2
            await seen[n].ack()

        await lose(amqp_broker, connection)

        assert (await anext(messages)).body == b"2"
        assert (await anext(messages)).body == b"3"
    assert checkpoints[-1] == 1


async def test_a_cancelled_consumer_is_started_again_when_its_queue_is_back(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    """Row R17."""
    channel, admin = await connection.channel(), await connection.channel()
    await admin.queue_declare("q", durable=True)
    async with channel.consume("q", restart=True) as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await admin.queue_delete("q")
        await admin.queue_declare("q", durable=True)
        amqp_broker.publish("", "q", b"back")

        message: Message = await waiting

        assert message.body == b"back"
        await message.ack()
    assert [tag for tag, _ in connection.topology.consumers] == []


async def test_an_acknowledgement_timeout_starts_the_consumer_again_once(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Row R18."""
    text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out"
    channel, other = await connection.channel(), await connection.channel()
    await channel.queue_declare("q", durable=True)
    amqp_broker.publish("", "q", b"slow")
    async with channel.consume("q", consumer_tag="tag") as messages:
        old = await anext(messages)
        amqp_broker.faults.add(CloseChannel(406, text, received="basic.qos"))
        await channel.basic_qos(prefetch_count=7)  # which is sent again

        again = await anext(messages)
        assert again.body == b"slow"
        assert await old.ack() is False
        assert await again.ack() is True
        assert other.is_open

        amqp_broker.faults.add(CloseChannel(406, text, received="basic.qos"))
        with pytest.raises(aioamqp.AcknowledgementTimeout) as caught:
            await channel.basic_qos(prefetch_count=7)
        assert caught.value.consumer_tag == "tag"
        with pytest.raises(aioamqp.AcknowledgementTimeout):
            await anext(messages)
    assert not channel.is_open
    assert "delivery 1 of consumer 'tag' was not acknowledged in time" in caplog.text


@pytest.mark.parametrize("option", ["restart", "on_checkpoint"])
async def test_what_needs_recovery_is_refused_without(amqp_broker: FakeBroker, option: str) -> None:
    async with aioamqp.from_url("amqp://broker/") as protocol, protocol.channel() as channel:
        options: dict[str, Any] = {option: True if option == "restart" else print}

        with pytest.raises(aioamqp.InvalidArgument, match=f"{option}: needs a channel of a Conn"):
            channel.consume("q", **options)
