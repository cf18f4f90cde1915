"""What a channel keeps when its connection is lost: names, callbacks, buffers, transactions."""

import asyncio
from typing import Any

import pytest

from aioamqp import Channel
from aioamqp.exceptions import AmqpClosedConnection, ChannelClosed
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Cut, Delay
from tests.reliability.breakable import break_off, protocol_of
from tests.reliability.test_rows import bodies_of, delete_queue, lose, recovering

pytestmark = pytest.mark.asyncio


async def test_a_queue_without_a_name_keeps_the_name_that_it_got(broker: FakeBroker) -> None:
    """R13."""
    async with recovering() as connection:
        channel = await connection.channel()
        name = (await channel.queue_declare("", exclusive=True))["queue"]
        await lose(connection)
        await channel.queue_bind("", "amq.topic", "k")  # the queue that was declared last
        messages = channel.consume("")
        await messages.__aenter__()
        await lose(connection)

        assert list(broker.vhost.queues) == [name]
        broker.publish("amq.topic", "k", b"there")
        assert (await anext(messages)).body == b"there"
        assert (await channel.queue_declare(name, passive=True))["consumer_count"] == 1


async def test_a_passive_declaration_is_not_declared_again(broker: FakeBroker) -> None:
    """R16."""
    async with recovering() as connection:
        channel = await connection.channel()
        broker.vhost.declare_queue("of another", None, durable=True)
        await channel.queue_declare("of another", passive=True)
        await lose(connection)

        assert str(connection.topology) == "nothing"


async def test_callbacks_for_cancellations_returns_and_the_end_survive(broker: FakeBroker) -> None:
    """R5, R17."""
    cancelled: list[str] = []
    returned: list[bytes] = []
    ended: list[Exception] = []

    async def note_cancelled(channel: Channel, tag: str) -> None:
        cancelled.append(tag)

    def note_returned(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
        returned.append(body)

    def ignore(*_: object) -> None: ...

    async with recovering() as connection:
        channel = await connection.channel(return_callback=note_returned, on_close=ended.append)
        channel.add_cancellation_callback(note_cancelled)
        await channel.queue_declare("q", durable=True)
        await channel.basic_consume(ignore, "q", consumer_tag="t")
        for _ in range(2):
            await lose(connection)
        await channel.basic_publish(b"back", "amq.direct", "none", mandatory=True)
        await delete_queue(broker, "q")
        with pytest.raises(ChannelClosed, match="no queue 'q'"):
            await channel.queue_declare("q", passive=True)
        await broker.wait_idle()

        assert (returned, cancelled) == ([b"back"], ["t"])
        assert [type(error) for error in ended] == [ChannelClosed]
        assert channel.cancelled_consumers == {"t"}


async def test_messages_that_came_with_no_ack_are_kept_and_nothing_is_doubled(
    broker: FakeBroker,
) -> None:
    """R14. The server has them no longer."""
    bodies = [bytes([number]) for number in range(6)]
    handled: list[bytes] = []
    may_go_on = asyncio.Event()

    async def handle(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
        await may_go_on.wait()
        handled.append(body)

    async with recovering() as connection:
        channel = await connection.channel()
        for name in ("iterated", "handled"):
            await channel.queue_declare(name, durable=True)
            for body in bodies[:3]:
                broker.publish("", name, body)
        messages = channel.consume("iterated", no_ack=True)
        seen = [(await anext(messages)).body]
        await channel.basic_consume(handle, "handled", no_ack=True)
        await broker.wait_idle()
        await lose(connection)
        may_go_on.set()
        for body in bodies[3:]:
            broker.publish("", "iterated", body)
            broker.publish("", "handled", body)

        seen += [(await anext(messages)).body for _ in range(5)]
        await broker.wait_for(lambda: len(handled) == 6)
        assert seen == handled == bodies


async def test_a_transaction_that_lost_its_connection_is_not_committed(broker: FakeBroker) -> None:
    """R13."""
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        await channel.tx_select()
        await channel.publish(b"1", "", "q")
        await lose(connection)
        await channel.publish(b"2", "", "q")

        with pytest.raises(ChannelClosed, match="not committed: the connection was lost"):
            await channel.tx_commit()
        assert channel.is_open
        assert bodies_of(broker, "q") == []

        await channel.publish(b"3", "", "q")
        await channel.tx_commit()
        assert bodies_of(broker, "q") == [b"3"]
        await channel.publish(b"4", "", "q")
        await lose(connection)
        await channel.tx_rollback()
        await channel.publish(b"5", "", "q")
        await channel.tx_commit()
        assert bodies_of(broker, "q")[-1:] == [b"5"]


async def test_a_channel_that_is_opened_again_begins_anew(broker: FakeBroker) -> None:
    """R10. Modes, limits and consumers end with a close by the program."""
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        await channel.tx_select()
        await channel.close()
        await channel.open()
        await lose(connection)

        await channel.confirm_select()  # which RabbitMQ refuses in transaction mode
        await channel.publish(b"1", "", "q")
        message = await anext(channel.consume("q"))
        assert connection.snapshot()["channels"][0]["unacked"] == 1
        assert await message.ack()


async def test_a_channel_whose_connection_is_lost_just_when_it_is_opened_again_stays_closed(
    broker: FakeBroker,
) -> None:
    async with recovering() as connection:
        ended: list[Exception] = []
        channel = await connection.channel(on_close=ended.append)
        await channel.close()
        protocol = protocol_of(connection)
        receive = protocol.data_received

        def receive_and_break_off(data: bytes) -> None:
            receive(data)
            protocol.break_off()

        protocol.data_received = receive_and_break_off  # type: ignore[method-assign]
        with pytest.raises(AmqpClosedConnection):
            await channel.open()
        await connection.wait_open()
        await broker.wait_idle()

        assert not channel.is_open
        assert connection.snapshot()["channels"] == []
        assert len(ended) == 1
        assert await channel.open()
        await channel.basic_qos(prefetch_count=1)


@pytest.mark.parametrize("turns", range(5))
async def test_a_channel_can_be_opened_again_after_the_connection_was_lost_meanwhile(
    broker: FakeBroker, turns: int
) -> None:
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.close()
        opening = asyncio.ensure_future(channel.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        break_off(connection)
        await asyncio.wait([opening])
        await connection.wait_open()

        if not channel.is_open:
            await channel.open()

        await channel.basic_qos(prefetch_count=1)
        assert opening.exception() is None or isinstance(opening.exception(), AmqpClosedConnection)


async def test_delivery_tags_of_fetched_messages_are_not_used_twice(broker: FakeBroker) -> None:
    """R14."""
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        await channel.queue_declare("fetched", durable=True)
        tags = []
        messages = channel.consume("q")
        await messages.__aenter__()
        for _ in range(3):
            for _ in range(2):
                broker.publish("", "fetched", delivery_mode=2)
                broker.publish("", "q", delivery_mode=2)
            got = await channel.basic_get("fetched")
            tags += [got["delivery_tag"], (await anext(messages)).envelope.delivery_tag]
            await lose(connection)
            assert await channel.basic_client_ack(got["delivery_tag"]) is False

        assert len(set(tags)) == 6


@pytest.mark.parametrize("reading", [False, True], ids=["sent", "received"])
async def test_a_link_may_be_cut_after_any_number_of_bytes_of_recovery(
    broker: FakeBroker, reading: bool
) -> None:
    """R13, R19."""
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.exchange_declare("e", "fanout")
        await channel.queue_declare("q", durable=True)
        await channel.queue_declare("mine", exclusive=True)
        for name in ("q", "mine"):
            await channel.queue_bind(name, "e", "")
        messages = channel.consume("q", prefetch_count=3)
        await messages.__aenter__()
        for size in range(1, 700, 13):
            broker.faults.add(Cut(size, reading=reading, received="connection.open"))
            await lose(connection)
            broker.publish("e", "", str(size).encode())
            bodies: list[bytes] = []
            while str(size).encode() not in bodies:
                message = await anext(messages)
                if await message.ack():
                    bodies.append(message.body)

            assert len(bodies) <= 2  # the last one's acknowledgement may have been cut off
            await connection.wait_open()
            assert (await channel.queue_declare("q", passive=True))["consumer_count"] == 1
            assert sorted(broker.vhost.queues) == ["mine", "q"]


async def test_a_slow_link_only_makes_recovery_slow(broker: FakeBroker) -> None:
    """R13."""
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("mine", exclusive=True)
        messages = channel.consume("mine")
        await messages.__aenter__()
        broker.faults.add(Delay(2, connection=2))
        await lose(connection)

        broker.publish("", "mine", b"there")
        assert (await anext(messages)).body == b"there"
