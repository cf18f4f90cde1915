"""A channel that the program closes while its connection is being recovered stays closed."""

import asyncio

import pytest

from aioamqp import Backoff, Connection
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Reset

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("iterations", range(40))
async def test_a_channel_that_is_closed_during_recovery_is_not_restored(
    iterations: int, amqp_broker: FakeBroker
) -> None:
    async with Connection("amqp://broker/", reconnect=Backoff(initial=0.0)) as connection:
        channel = await connection.channel()
        await channel.confirm_select()
        amqp_broker.faults.add(Reset())
        await connection.protocol.wait_closed()

        for _ in range(iterations):
            await asyncio.sleep(0)
        await channel.close()
        await connection.wait_open()
        await amqp_broker.wait_idle()

        assert not channel.is_open
        assert connection.snapshot()["channels"] == []
        (session,) = amqp_broker.sessions
        assert len(session.channels) == 0
