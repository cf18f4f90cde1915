"""Work is done in slices: no connection, timer or task waits for all the work of another one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import aioamqp
from aioamqp_testing import FakeBroker, ManualClock
from aioamqp_testing.model.agenda import SLICE
from aioamqp_testing.threads import BrokerLock
from aioamqp_testing.transport.scheduler import Scheduler
from amqp_codec import PROTOCOL_HEADER, FieldTable, queue
from fake_broker_support import SilentClient

QUEUES = 250
LONGEST = 2 * (SLICE + QUEUES)
"""Steps between two iterations of the event loop: of light sessions, and of heavy ones."""


def declare_fanout(broker: FakeBroker, **arguments: int) -> None:
    for number in range(QUEUES):
        name = f"fan-{number}"
        broker.vhost.declare_queue(name, None, durable=True, arguments={**arguments})
        broker.vhost.bind_queue(name, "amq.fanout", "", {}, None)


def copies(broker: FakeBroker) -> int:
    """Return the number of messages in all queues of the fan-out at this moment."""
    # not broker.vhost, which processes everything first
    queues = broker.node.vhosts["/"].queues.values()
    return sum(queue.message_count for queue in queues if queue.name.startswith("fan-"))


@asynccontextmanager
async def opened(broker: FakeBroker, number: int) -> AsyncIterator[list[aioamqp.Channel]]:
    """Open connections with one channel each."""
    protocols = [(await broker.connect())[1] for _ in range(number)]
    yield [await protocol.channel() for protocol in protocols]
    for protocol in protocols:
        await protocol.close()


async def longest_turn(broker: FakeBroker) -> int:
    """Return the most steps in one iteration of the event loop, until the broker is idle."""
    agenda, most = broker.node.vhosts["/"].agenda, 0
    idle = asyncio.create_task(broker.wait_idle())
    before = agenda.steps
    while not idle.done():
        await asyncio.sleep(0)
        before, most = agenda.steps, max(most, agenda.steps - before)
    await idle
    return most


@pytest.mark.asyncio
async def test_a_connection_is_answered_while_another_one_publishes_to_many_queues() -> None:
    """Row U47."""
    async with FakeBroker() as broker, opened(broker, 2) as (publisher, other):
        declare_fanout(broker)
        await other.queue_declare("mine", durable=True)
        for _ in range(100):
            await publisher.basic_publish(b"x", "amq.fanout", "")

        await other.queue_declare("mine", passive=True)

        assert copies(broker) <= 2 * LONGEST
        await broker.wait_idle()
        assert copies(broker) == 100 * QUEUES


@pytest.mark.asyncio
async def test_a_new_connection_is_opened_while_many_publish_to_many_queues() -> None:
    """Row U47."""
    async with FakeBroker() as broker, opened(broker, 40) as publishers:
        declare_fanout(broker)
        for publisher in publishers:
            for _ in range(10):
                await publisher.basic_publish(b"x", "amq.fanout", "")

        async with opened(broker, 1) as (channel,):
            await channel.queue_declare("mine", durable=True)
            assert copies(broker) < 400 * QUEUES / 2

        await broker.wait_idle()
        assert copies(broker) == 400 * QUEUES


@pytest.mark.asyncio
async def test_the_event_loop_gets_its_turn_while_many_publish_to_many_queues() -> None:
    """Row U47."""
    async with FakeBroker() as broker, opened(broker, 20) as publishers:
        declare_fanout(broker)
        for publisher in publishers:
            for _ in range(10):
                await publisher.basic_publish(b"x", "amq.fanout", "")

        assert await longest_turn(broker) <= LONGEST
        assert copies(broker) == 200 * QUEUES


@pytest.mark.asyncio
async def test_the_event_loop_gets_its_turn_while_many_messages_are_dead_lettered() -> None:
    """Row U47. One basic.nack rejects messages whose dead letters go to many queues."""
    async with FakeBroker() as broker, opened(broker, 1) as (channel,):
        declare_fanout(broker)
        await channel.queue_declare(
            "q", arguments={"x-dead-letter-exchange": "amq.fanout"}, durable=True
        )
        for number in range(100):
            await channel.basic_publish(b"%d" % number, "", "q")
            await channel.basic_get("q")
        await channel.basic_client_nack(0, multiple=True, requeue=False)

        assert await longest_turn(broker) <= LONGEST
        assert copies(broker) == 100 * QUEUES


@pytest.mark.asyncio
async def test_the_messages_of_one_connection_keep_their_order() -> None:
    async with FakeBroker() as broker, opened(broker, 2) as (publisher, other):
        declare_fanout(broker)
        for number in range(100):
            await publisher.basic_publish(b"%d" % number, "amq.fanout", "")
        # in the same read: the reply comes after all of them
        declared = await publisher.queue_declare("fan-249", passive=True)
        assert declared["message_count"] == 100

        got = [(await other.basic_get("fan-0", no_ack=True))["message"] for _ in range(100)]
        assert got == [b"%d" % number for number in range(100)]


@pytest.mark.asyncio
async def test_a_connection_that_ends_in_the_middle_of_a_read_does_not_hold_up_others() -> None:
    async with FakeBroker() as broker, opened(broker, 1) as (other,):
        declare_fanout(broker)
        transport, protocol = await broker.connect()
        session = broker.sessions[-1]  # now: it processes everything first
        channel = await protocol.channel()
        for _ in range(100):
            await channel.basic_publish(b"x", "amq.fanout", "")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        session.force_close("test")
        await protocol.wait_closed()

        await other.queue_declare("mine", durable=True)
        assert 0 < copies(broker) < 100 * QUEUES
        del transport


@pytest.mark.asyncio
async def test_timers_get_their_turn_while_many_messages_expire() -> None:
    """Row U47. Their dead letters, too, go to many queues."""
    clock = ManualClock()
    async with FakeBroker(clock=clock) as broker:
        declare_fanout(broker)
        arguments: FieldTable = {"x-message-ttl": 1000, "x-dead-letter-exchange": "amq.fanout"}
        queue = broker.vhost.declare_queue("q", None, arguments=arguments, durable=True)
        for _ in range(100):
            broker.publish("", "q", b"x")
        seen: list[int] = []
        clock.call_later(1, lambda: seen.append(copies(broker)))

        clock.advance(1)

        assert seen[0] <= LONGEST
        assert queue.message_count == 0
        assert copies(broker) == 100 * QUEUES


def test_another_event_loop_continues_when_one_has_ended_in_the_middle_of_a_read() -> None:
    """Row U47. Several programs may use one broker, each in an event loop of its own."""
    scheduler = Scheduler(BrokerLock())
    client = SilentClient(schedule=lambda: scheduler.schedule(client.session))
    other = SilentClient(client.node, schedule=lambda: scheduler.schedule(other.session))

    async def publish() -> None:
        client.open(1)
        client.say(1, *(queue.Declare(f"q{number}", durable=True) for number in range(100)))
        client.say(1, *(queue.Bind(f"q{number}", "amq.fanout") for number in range(100)))
        client.publish("", *[b"x"] * 400, exchange="amq.fanout")

    async def start() -> None:
        other.raw(PROTOCOL_HEADER)
        for _ in range(100):
            await asyncio.sleep(0)

    asyncio.run(publish())
    had_more = client.session.has_more
    asyncio.run(start())

    assert (had_more, client.session.has_more) == (True, False)
    assert [method.NAME for method in other.heard()] == ["connection.start"]


@pytest.mark.asyncio
async def test_what_the_broker_shows_includes_what_it_has_put_off() -> None:
    """Rows U19 and U47."""
    async with FakeBroker() as broker, opened(broker, 1) as (publisher,):
        declare_fanout(broker)
        for _ in range(100):
            await publisher.basic_publish(b"x", "amq.fanout", "")

        assert broker.vhost.queues["fan-0"].message_count == 100


def test_a_program_without_an_event_loop_gets_everything_done_at_once() -> None:
    """Rows U13 and U47."""
    scheduler = Scheduler(BrokerLock())
    client = SilentClient(schedule=lambda: scheduler.schedule(client.session))

    client.open(1)
    client.say(1, *(queue.Declare(f"q{number}", durable=True) for number in range(100)))
    client.say(1, *(queue.Bind(f"q{number}", "amq.fanout") for number in range(100)))
    client.publish("", *[b"x"] * 400, exchange="amq.fanout")

    assert not client.session.has_more
    assert client.node.vhosts["/"].queues["q99"].message_count == 400
