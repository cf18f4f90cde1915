"""Faults of the broker as a whole."""

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Block, Unblock
from amqp_codec import queue
from fake_broker_support import exchange, raw_client


@pytest.mark.asyncio
async def test_a_method_that_raises_an_alarm_is_handled() -> None:
    """Row 59."""
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        broker.faults.add(Block("low on disk", received="queue.declare"))

        assert await exchange(broker, client, queue.Declare("q", durable=True)) == [
            queue.DeclareOk("q")
        ]
        assert broker.node.alarm == "low on disk"


@pytest.mark.asyncio
async def test_an_alarm_is_raised_and_cleared_at_once() -> None:
    async with FakeBroker() as broker:
        broker.faults.add(Block("low on disk"))
        assert broker.node.alarm == "low on disk"

        broker.faults.add(Unblock())
        assert broker.node.alarm == ""


@pytest.mark.asyncio
async def test_a_fault_clears_the_alarm_that_it_names() -> None:
    """Row U48."""
    async with FakeBroker() as broker:
        broker.faults.add(Block("low on disk"))
        broker.faults.add(Block("low on memory"))

        broker.faults.add(Unblock("low on disk"))
        assert broker.node.alarm == "low on memory"
