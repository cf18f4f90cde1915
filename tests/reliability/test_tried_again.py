"""Consumers that are tried again beside the program, and what happens to their channels meanwhile."""

import asyncio

import pytest

import aioamqp
from aioamqp.exceptions import ChannelClosed
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import CloseChannel, Delay, Lose
from tests.reliability.breakable import break_off
from tests.reliability.test_rows import delete_queue, lose, recovering

pytestmark = pytest.mark.asyncio

NO_EXCHANGE = "no exchange 'none' in vhost '/'"


async def declare_queue(name: str) -> None:
    """Declare a queue as another program."""
    async with aioamqp.connect() as protocol, protocol.channel() as channel:
        await channel.queue_declare(name, durable=True)


async def test_a_channel_that_the_server_closes_while_its_consumer_is_tried_again_ends(
    broker: FakeBroker,
) -> None:
    """R17. Its calls must not wait for a recovery that nobody begins."""
    ended: list[Exception] = []
    async with recovering() as connection:
        channel = await connection.channel(on_close=ended.append)
        await channel.queue_declare("q", durable=True)
        messages = channel.consume("q", restart=True)
        await messages.__aenter__()
        await delete_queue(broker, "q")
        await declare_queue("q")
        broker.faults.add(Delay(10, sent="queue.declare-ok", connection=1))
        await asyncio.sleep(5)
        broker.faults.add(CloseChannel(404, NO_EXCHANGE, connection=1, channel=1))

        with pytest.raises(ChannelClosed, match="no exchange 'none'"):
            await channel.basic_qos(prefetch_count=1, timeout=20)

        with pytest.raises(ChannelClosed, match="no exchange 'none'"):
            await anext(messages)
        assert not channel.is_open
        assert [error.code for error in ended if isinstance(error, ChannelClosed)] == [404]


async def test_consumers_are_tried_again_although_the_program_closes_a_channel_meanwhile(
    broker: FakeBroker,
) -> None:
    """R15. Those of other channels must not be forgotten."""
    in_use = "queue 'q' in vhost '/' in exclusive use"
    async with recovering() as connection:
        channels = [await connection.channel() for _ in range(2)]
        loops = []
        for number, channel in enumerate(channels):
            await channel.queue_declare(f"q{number}", durable=True)
            loops.append(channel.consume(f"q{number}"))
            await loops[-1].__aenter__()
        broker.faults.add(
            CloseChannel(403, in_use, received="basic.consume", connection=2, times=2)
        )
        broker.faults.add(Lose(sent="basic.consume-ok", connection=2))
        await lose(connection)
        await asyncio.sleep(5)

        await channels[0].close()

        await asyncio.sleep(20)
        broker.publish("", "q1", b"there")
        async with asyncio.timeout(10):
            assert (await anext(loops[1])).body == b"there"


async def test_what_is_tried_again_ends_with_a_connection_that_was_never_restored(
    broker: FakeBroker,
) -> None:
    """R17. It must not take the channel away from the connection that follows."""
    async with recovering(recover="none") as connection:
        channel = await connection.channel()
        await connection.channel()
        await channel.queue_declare("q", durable=True)
        messages = channel.consume("q", restart=True)
        await messages.__aenter__()
        broker.faults.add(Lose(sent="channel.open-ok", connection=2, nth=3))
        break_off(connection)
        await connection.protocol.wait_closed()
        await asyncio.sleep(10)  # the consumer is restored, and the other channel is not
        await delete_queue(broker, "q")

        await connection.wait_open()
        await asyncio.sleep(60)

        assert connection.protocol.is_open
        await channel.basic_qos(prefetch_count=1, timeout=5)
        await declare_queue("q")
        broker.publish("", "q", b"back")
        async with asyncio.timeout(60):
            assert (await anext(messages)).body == b"back"
