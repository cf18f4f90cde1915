"""Which events trigger a fault, and what happens to faults that were not triggered."""

import pytest

from aioamqp_testing import FakeBroker, FaultNotTriggered
from aioamqp_testing.faults import Lose, Reset, Send
from amqp_codec import basic, queue
from fake_broker_support import exchange, raw_client


@pytest.mark.asyncio
async def test_a_fault_is_for_the_connection_with_its_number() -> None:
    async with FakeBroker() as broker:
        broker.faults.add(Reset(connection=2))
        first, second, third = [await raw_client(broker) for _ in range(3)]

        assert [first.is_lost, second.is_lost, third.is_lost] == [False, True, False]


@pytest.mark.asyncio
async def test_a_fault_is_for_the_connection_with_its_name() -> None:
    async with FakeBroker() as broker:
        early = await raw_client(broker, name="early")
        broker.faults.add(Reset(connection="early"))
        broker.faults.add(Reset(connection="late"))
        other, late = await raw_client(broker, name="other"), await raw_client(broker, name="late")
        again = await raw_client(broker, name="late")
        await broker.wait_idle()

        assert [client.is_lost for client in (early, other, late, again)] == [
            True,
            False,
            True,
            False,
        ]


@pytest.mark.asyncio
async def test_a_fault_is_for_the_connection_with_its_address() -> None:
    async with FakeBroker() as broker:
        one, other = await raw_client(broker), await raw_client(broker)
        broker.faults.add(Reset(connection=broker.sessions[1].name))
        await broker.wait_idle()

        assert [one.is_lost, other.is_lost] == [False, True]


@pytest.mark.asyncio
async def test_a_fault_is_for_its_channel_and_occurrences() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1, 2)
        planned = broker.faults.add(Lose(received="queue.declare", channel=2, nth=2, times=2))

        replies = [
            await exchange(broker, client, queue.Declare(f"q{number}", durable=True), number=number)
            for number in (1, 2, 1, 2, 2, 2)
        ]

        assert [bool(each) for each in replies] == [True, True, True, False, False, True]
        assert (planned.seen, planned.triggered) == (4, 2)


@pytest.mark.asyncio
async def test_a_fault_can_be_triggered_every_time() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        broker.faults.add(Lose(sent=queue.DeclareOk, times=None))

        assert (
            await exchange(
                broker, client, queue.Declare("a", durable=True), queue.Declare("b", durable=True)
            )
            == []
        )
        assert list(broker.vhost.queues) == ["a", "b"]


@pytest.mark.asyncio
async def test_several_faults_are_counted_each_by_itself() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        broker.faults.add(Lose(received="queue.declare"))
        broker.faults.add(Send(basic.Ack(7), received="queue.declare", nth=2))

        assert await exchange(broker, client, queue.Declare("a", durable=True)) == []
        assert await exchange(broker, client, queue.Declare("b", durable=True)) == [
            basic.Ack(7),
            queue.DeclareOk("b"),
        ]


@pytest.mark.asyncio
async def test_a_fault_that_was_not_triggered_fails_the_test() -> None:
    with pytest.raises(FaultNotTriggered) as caught:
        async with FakeBroker() as broker:
            client = await raw_client(broker, 1)
            broker.faults.add(Reset(received="basic.publish"))
            broker.faults.add(Lose(received="queue.declare", nth=2))
            broker.faults.add(Reset(sent="basic.deliver", optional=True))
            broker.faults.remove(broker.faults.add(Reset(received="basic.get")))
            await exchange(broker, client, queue.Declare("q", durable=True))

    assert str(caught.value) == (
        "A fault was added but not triggered, so this test has not tested it. Make the test trigger"
        " it, or add it with optional=True:\n"
        "  Reset(received='basic.publish') is triggered when basic.publish is received; seen 0"
        " time(s)\n"
        "  Lose(received='queue.declare', nth=2) is triggered when queue.declare is received; seen 1"
        " time(s)"
    )


@pytest.mark.asyncio
async def test_a_test_that_has_failed_already_does_not_fail_for_its_faults() -> None:
    with pytest.raises(KeyError):
        async with FakeBroker() as broker:
            broker.faults.add(Reset(received="basic.publish"))
            raise KeyError


@pytest.mark.asyncio
async def test_the_journal_shows_a_fault_that_was_triggered() -> None:
    async with FakeBroker() as broker:
        client = await raw_client(broker, 1)
        broker.faults.add(Lose(received="queue.declare"))
        await exchange(broker, client, queue.Declare("q", durable=True))

        assert "fault: Lose(received='queue.declare')" in str(broker.journal)


@pytest.mark.asyncio
async def test_without_faults_a_session_has_no_interceptor() -> None:
    async with FakeBroker() as broker:
        await raw_client(broker, 1)

        assert broker.sessions[0].interceptor is None
