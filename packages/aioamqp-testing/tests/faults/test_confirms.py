"""Faults of publisher confirms."""

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import LoseConfirm
from amqp_codec import Command, FieldTable, Properties, basic, confirm, encode_command, queue
from fake_broker_support import exchange, raw_client


@pytest.mark.asyncio
async def test_confirms_around_a_lost_one_are_not_grouped_over_it() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        await exchange(broker, client, confirm.Select(), queue.Declare("q", durable=True))
        broker.faults.add(LoseConfirm(nth=3))
        publish = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m"))

        client.transport.write(publish * 5)
        await broker.wait_idle()

        assert client.received() == [basic.Ack(2, True), basic.Ack(4), basic.Ack(5)]


@pytest.mark.asyncio
async def test_a_refused_publish_is_nacked_whatever_faults_there_are() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        full: FieldTable = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await exchange(
            broker, client, confirm.Select(), queue.Declare("q", arguments=full, durable=True)
        )
        broker.faults.add(LoseConfirm())
        publish = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m"))

        client.transport.write(publish * 2)
        await broker.wait_idle()

        assert client.received() == [basic.Nack(2, False, True)]
