"""A loop over messages that the program has left is not part of the topology any longer."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aioamqp import Backoff, Channel, Connection
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Lose, Reset

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def connection(amqp_broker: FakeBroker) -> AsyncIterator[Connection]:
    async with Connection("amqp://broker/", reconnect=Backoff(initial=0.0)) as connection:
        yield connection


@pytest_asyncio.fixture
async def channel(connection: Connection) -> Channel:
    """A channel with the queue ``q``, which is deleted with its last consumer."""
    channel = await connection.channel()
    await channel.queue_declare("q", auto_delete=True, durable=True)
    return channel


async def test_a_consumer_whose_block_has_ended_is_forgotten_with_its_queue(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    async with channel.consume("q"):
        assert [method.queue for method in connection.topology.consumers.values()] == ["q"]

    assert not connection.topology
    amqp_broker.faults.add(Reset())
    await connection.protocol.wait_closed()
    await channel.queue_declare("other", durable=True)
    assert list(amqp_broker.vhost.queues) == ["other"]


async def test_a_consumer_whose_loop_was_left_is_forgotten(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    amqp_broker.publish("", "q", b"1")
    async for _ in channel.consume("q"):
        break
    await amqp_broker.wait_idle()

    assert not connection.topology


async def test_a_consumer_that_is_left_while_the_connection_is_lost_is_forgotten(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    async with channel.consume("q"):
        amqp_broker.faults.add(Reset())
        await connection.protocol.wait_closed()

    assert not connection.topology
    await connection.wait_open()


async def test_a_consumer_is_forgotten_if_the_connection_is_lost_while_it_is_cancelled(
    amqp_broker: FakeBroker, connection: Connection, channel: Channel
) -> None:
    messages = channel.consume("q")
    await messages.__aenter__()
    amqp_broker.faults.add(Lose(sent="basic.cancel-ok"))
    closing = asyncio.create_task(messages.aclose())
    await amqp_broker.wait_idle()

    amqp_broker.faults.add(Reset())
    await closing

    assert not connection.topology
    await connection.wait_open()


async def test_a_loop_that_is_dropped_at_any_turn_of_a_recovery_is_forgotten(
    amqp_broker: FakeBroker, channel: Channel, connection: Connection
) -> None:
    for turns in range(40):
        messages = channel.consume("q")
        await messages.__aenter__()
        amqp_broker.faults.add(Reset())
        for _ in range(turns):
            await asyncio.sleep(0)
        del messages
        await amqp_broker.wait_idle()
        await connection.wait_open()
        await channel.queue_declare("q", auto_delete=True, durable=True)

        assert connection.snapshot()["channels"][0]["consumers"] == [], turns
        assert not connection.topology.consumers
        assert amqp_broker.vhost.queues["q"].consumer_count == 0
