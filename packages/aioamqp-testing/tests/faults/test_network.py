"""Faults of the network, byte by byte."""

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Corrupt, Cut, Delay, Lose, Split
from amqp_codec import basic, queue
from fake_broker_support import exchange, raw_client


@pytest.mark.asyncio
async def test_what_is_delayed_is_not_overtaken_on_its_channel() -> None:
    async with FakeBroker(clock="manual") as broker:
        client = await raw_client(broker, 1, 2)
        broker.faults.add(Delay(3, sent="queue.declare-ok", channel=1))

        assert await exchange(broker, client, queue.Declare("a", durable=True), basic.Qos()) == []
        assert await exchange(broker, client, basic.Qos(), number=2) == [basic.QosOk()]

        broker.clock.advance(3)
        await broker.wait_idle()
        assert client.received() == [queue.DeclareOk("a"), basic.QosOk()]


@pytest.mark.asyncio
async def test_what_was_delayed_is_not_delayed_again() -> None:
    async with FakeBroker(clock="manual") as broker:
        client = await raw_client(broker, 1)
        broker.faults.add(Delay(3, sent="queue.declare-ok", times=2))
        client.send(queue.Declare("a", durable=True), queue.Declare("b", durable=True))
        await broker.wait_idle()

        broker.clock.advance(3)
        await broker.wait_idle()
        assert client.received() == [queue.DeclareOk("a")]
        broker.clock.advance(3)
        await broker.wait_idle()
        assert client.received() == [queue.DeclareOk("b")]


@pytest.mark.asyncio
async def test_split_bytes_arrive_piece_by_piece() -> None:
    async with FakeBroker(clock="manual") as broker:
        client = await raw_client(broker, 1)
        broker.faults.add(Split(8, seconds=1))
        client.events.clear()
        client.send(basic.Qos())
        await broker.wait_idle()
        assert [len(event) for event in client.events if isinstance(event, bytes)] == [8]

        broker.clock.advance(1)
        await broker.wait_idle()
        assert [len(event) for event in client.events if isinstance(event, bytes)] == [8, 4]


@pytest.mark.asyncio
async def test_bytes_after_a_cut_do_not_arrive() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        client.events.clear()
        broker.faults.add(Cut(5, sent="basic.qos-ok"))

        client.send(basic.Qos())
        await client.lost.wait()

        assert client.events == [b"\x01\x00\x01\x00\x00", ("lost", ConnectionResetError)]


@pytest.mark.asyncio
async def test_a_corrupt_byte_is_at_its_offset() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        client.events.clear()
        broker.faults.add(Corrupt(offset=0, octet=9, sent="basic.qos-ok"))

        client.send(basic.Qos())
        await broker.wait_idle()

        assert client.octets == b"\x09\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x0b\xce"


@pytest.mark.asyncio
async def test_a_delay_of_a_method_that_is_lost_does_not_delay_the_next_one() -> None:
    async with FakeBroker(clock="manual") as broker:
        client = await raw_client(broker, 1)
        broker.faults.add(Delay(3, sent="queue.declare-ok"))
        broker.faults.add(Lose(sent="queue.declare-ok"))

        assert await exchange(broker, client, queue.Declare("a", durable=True)) == []
        assert await exchange(broker, client, basic.Qos()) == [basic.QosOk()]
