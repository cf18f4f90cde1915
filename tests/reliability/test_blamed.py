"""Requests and messages over which the server closes every connection, such as those with a NaN."""

import asyncio

import pytest

from aioamqp import (
    ConnectionState,
    PublishUnconfirmed,
    RpcClient,
    RpcInterrupted,
    StateChange,
)
from aioamqp.exceptions import ChannelClosed
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import CloseConnection
from tests.reliability.test_rows import recovering

pytestmark = pytest.mark.asyncio

LOSSES = 3


@pytest.mark.parametrize(("code", "losses"), [(541, LOSSES), (501, 1)])
async def test_a_message_that_costs_every_connection_is_given_up(
    broker: FakeBroker, code: int, losses: int
) -> None:
    """RabbitMQ closes the connection with 541 over a header with a number that is infinite."""
    broker.faults.add(CloseConnection(code, received="basic.publish", times=None))
    changes: list[StateChange] = []
    async with recovering(on_state_change=changes.append) as connection:
        channel = await connection.channel()
        publisher = channel.publisher("", routing_key="q", resend="unconfirmed")

        with pytest.raises(PublishUnconfirmed, match=str(code)):
            async with asyncio.timeout(600):
                await publisher.publish(b"1")

        await connection.wait_open(timeout=60)
        await channel.basic_qos(prefetch_count=1)
        await publisher.flush(timeout=1)
        assert [change.new for change in changes].count(ConnectionState.RECOVERING) == losses


async def test_a_message_is_not_to_blame_for_a_server_that_is_shut_down(broker: FakeBroker) -> None:
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        publisher = channel.publisher("", routing_key="q", resend="unconfirmed")
        broker.faults.add(CloseConnection(320, received="basic.publish", times=2 * LOSSES))

        async with asyncio.timeout(600):
            await publisher.publish(b"1")


async def test_a_request_that_costs_every_connection_is_given_up(broker: FakeBroker) -> None:
    broker.faults.add(CloseConnection(541, received="queue.declare", times=None))
    async with recovering() as connection:
        channel = await connection.channel()

        with pytest.raises(ChannelClosed, match="541"):
            async with asyncio.timeout(600):
                await channel.queue_declare("q", durable=True)

        await connection.wait_open(timeout=60)
        await channel.basic_qos(prefetch_count=1)


async def test_a_call_that_costs_every_connection_is_given_up(broker: FakeBroker) -> None:
    broker.faults.add(CloseConnection(541, received="basic.publish", times=None))
    async with recovering() as connection, RpcClient(connection) as rpc:
        with pytest.raises(RpcInterrupted, match="541"):
            async with asyncio.timeout(600):
                await rpc.call("q", resend=True, timeout=None)
