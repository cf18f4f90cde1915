"""Alarms and restarts, on the fake broker and on a RabbitMQ node that no other test uses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

import aioamqp
from aioamqp_testing import FakeBroker
from amqp_codec import Command, basic, channel, connection, queue
from tests.conformance.client import publish
from tests.conformance.conftest import close_or_wait
from tests.conformance.raw_client import Endpoint
from tests.conformance.scenario import BROKERS, FAKES, count, selection
from tests.conftest import node_or_skip
from tests.rabbitmq import NODES, RabbitMQNode, evaluate

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

DEADLINE = 45.0
"""Seconds after which a test fails; RabbitMQ takes several to stop and to start."""


class RestartableBroker:
    """A broker that a test can block, stop and start, and the connections to it."""

    def __init__(self) -> None:
        self._opened: list[aioamqp.AmqpProtocol] = []

    async def dial(self) -> aioamqp.AmqpProtocol:
        raise NotImplementedError

    def endpoint(self) -> Endpoint:
        raise NotImplementedError

    async def block(self, *resources: str) -> None:
        """Raise alarms: `memory`, if nothing else is given, or `disk`."""
        raise NotImplementedError

    async def unblock(self, *resources: str) -> None:
        """Clear alarms."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    async def channel(self) -> aioamqp.Channel:
        protocol = await self.dial()
        self._opened.append(protocol)
        return await protocol.channel()

    async def close(self) -> None:
        for protocol in self._opened:
            await close_or_wait(protocol)


class RestartableFake(RestartableBroker):
    def __init__(self, broker: FakeBroker, url: str | None) -> None:
        super().__init__()
        self._broker = broker
        self._url = url

    async def dial(self) -> aioamqp.AmqpProtocol:
        if self._url is None:
            return (await self._broker.connect())[1]
        return (await aioamqp.from_url(self._url))[1]

    def endpoint(self) -> Endpoint:
        return Endpoint(self._url, self._broker)

    async def block(self, *resources: str) -> None:
        for resource in resources or ("memory",):
            self._broker.block(f"low on {resource}")

    async def unblock(self, *resources: str) -> None:
        for resource in resources or ("memory",):
            self._broker.unblock(f"low on {resource}")

    async def stop(self) -> None:
        await self._broker.stop()

    async def start(self) -> None:
        await self._broker.start()


class RestartableRabbitMQ(RestartableBroker):
    def __init__(self, node: RabbitMQNode) -> None:
        super().__init__()
        self._node = node

    async def dial(self) -> aioamqp.AmqpProtocol:
        return (await aioamqp.from_url(self._node.url))[1]

    def endpoint(self) -> Endpoint:
        return Endpoint(self._node.url, None)

    async def block(self, *resources: str) -> None:
        await self._eval("rabbit_alarm:set_alarm({{resource_limit,%s,node()},[]})", resources)

    async def unblock(self, *resources: str) -> None:
        await self._eval("rabbit_alarm:clear_alarm({resource_limit,%s,node()})", resources)

    async def _eval(self, call: str, resources: tuple[str, ...]) -> None:
        calls = ", ".join(call % resource for resource in resources or ("memory",))
        await evaluate(self._node, f"{calls}.")

    async def stop(self) -> None:
        await evaluate(self._node, "rabbit:stop().")

    async def start(self) -> None:
        await evaluate(self._node, "rabbit:start().")


@pytest.fixture(scope="module", params=BROKERS)
def private_broker(request: pytest.FixtureRequest) -> Iterator[str | RabbitMQNode]:
    """Not asynchronous, so that starting RabbitMQ does not count against the deadline of a test."""
    if request.param in NODES:
        with node_or_skip(request.param) as node:
            yield node
    else:
        yield str(request.param)


@pytest_asyncio.fixture
async def restartable(private_broker: str | RabbitMQNode) -> AsyncIterator[RestartableBroker]:
    async with asyncio.timeout(DEADLINE), contextlib.AsyncExitStack() as stack:
        if isinstance(private_broker, RabbitMQNode):
            restartable: RestartableBroker = RestartableRabbitMQ(private_broker)
        else:
            broker = await stack.enter_async_context(FakeBroker(rabbitmq=FAKES[private_broker]))
            restartable = RestartableFake(
                broker, await broker.listen() if private_broker == "tcp" else None
            )
        yield restartable
        await restartable.close()


async def test_an_alarm_blocks_publishing_connections(restartable: RestartableBroker) -> None:
    """Rows 59 and 60."""
    publisher, other = await restartable.channel(), await restartable.channel()
    await publisher.queue_declare("alarm", durable=True)
    await publisher.queue_purge("alarm")
    await restartable.block()
    await publisher.queue_declare(
        "alarm", passive=True
    )  # only connections that publish are blocked
    assert not publisher.protocol.blocked

    await publisher.basic_publish(b"kept back", "", "alarm")
    await publisher.protocol.blocked.wait()
    declaring = asyncio.create_task(publisher.queue_declare("alarm", passive=True))

    assert publisher.protocol.blocked.reason == "low on memory"
    assert await count(other, "alarm") == 0
    assert not declaring.done()
    assert not other.protocol.blocked

    await restartable.unblock()
    await declaring
    assert not publisher.protocol.blocked
    got = await publisher.basic_get("alarm", no_ack=True)
    assert got["message"] == b"kept back"


async def test_connections_are_blocked_while_any_alarm_holds(
    restartable: RestartableBroker,
) -> None:
    """Row U48: connection.blocked and connection.unblocked are sent once."""
    raw = await restartable.endpoint().open_connection(1)
    await raw.request(queue.Declare("alarm", durable=True))
    await restartable.block("memory")
    assert await raw.request(publish("alarm")) == connection.Blocked("low on memory")

    await restartable.block("disk")
    await restartable.unblock("memory")
    later = await restartable.endpoint().open_connection(1)
    assert await later.request(publish("alarm")) == connection.Blocked("low on disk")
    await restartable.block("disk", "memory")
    await restartable.unblock("disk")
    await restartable.unblock("memory")

    for client in (raw, later):
        assert await client.request(channel.Flow(active=True)) == connection.Unblocked()
        assert await client.next_command() == channel.FlowOk(active=True)
        await client.close()


@pytest.mark.parametrize("resources", [("memory", "disk"), ("disk", "memory")], ids=" ".join)
async def test_connection_blocked_names_all_alarms(
    restartable: RestartableBroker, resources: tuple[str, str]
) -> None:
    """Row U48."""
    raw = await restartable.endpoint().open_connection(1)
    await restartable.block(*resources)

    reply = await raw.request(publish("alarm"))

    await restartable.unblock(*resources)
    assert reply == connection.Blocked("low on disk & memory")
    assert await raw.next_command() == connection.Unblocked()
    await raw.close()


async def test_deliveries_continue_during_an_alarm(restartable: RestartableBroker) -> None:
    """Row 59."""
    publisher = await restartable.channel()
    await publisher.queue_declare("alarm", durable=True)
    await publisher.queue_purge("alarm")
    await publisher.confirm_select()
    await publisher.publish(b"before", "", "alarm")
    await restartable.block()
    blocked, consumer = await restartable.channel(), await restartable.channel()
    await blocked.basic_publish(b"kept back", "", "nowhere")
    await blocked.protocol.blocked.wait()
    delivered = asyncio.Event()

    async def callback(*_: object) -> None:
        delivered.set()

    await consumer.basic_consume(callback, "alarm", no_ack=True)
    await delivered.wait()
    await restartable.unblock()
    await blocked.protocol.blocked.wait_over()


async def test_a_publisher_without_the_blocked_capability_gets_no_replies_during_an_alarm(
    restartable: RestartableBroker,
) -> None:
    """Row 61."""
    endpoint, other = restartable.endpoint(), await restartable.channel()
    raw = await endpoint.open_connection(1, capabilities={})
    await raw.request(queue.Declare("alarm", durable=True))
    await raw.request(queue.Purge("alarm"))
    await restartable.block()

    raw.send(publish("alarm"), basic.Get("alarm", no_ack=True), channel.Flow(active=True))
    reply = asyncio.create_task(raw.next_command())
    for _ in range(3):
        assert await count(other, "alarm") == 0
    assert not reply.done()
    await restartable.unblock()

    assert isinstance(await reply, Command)  # and no connection.blocked or connection.unblocked
    assert await raw.next_command() == channel.FlowOk(active=True)
    await endpoint.close(["alarm"])


async def test_a_stopping_broker_closes_connections_and_keeps_durable_entities(
    private_broker: str | RabbitMQNode, restartable: RestartableBroker
) -> None:
    """Rows 58 and 120. RabbitMQ 4.3 denies queues that are neither durable nor exclusive.

    Its metadata store keeps exchanges that are not durable.
    """
    by_version = selection(
        FAKES[private_broker] if isinstance(private_broker, str) else private_broker.version
    )
    channel = await restartable.channel()
    await channel.queue_declare("durable", durable=True)
    await channel.queue_purge("durable")
    has_transient = by_version({"3.10": True, "4.3": False})
    await channel.queue_declare("transient", exclusive=not has_transient)
    await channel.exchange_declare("kept", "fanout", durable=True)
    await channel.exchange_declare("gone", "fanout")
    await channel.confirm_select()
    await channel.publish(b"1", "", "durable", properties={"delivery_mode": 2})
    await channel.publish(b"2", "", "durable", properties={"delivery_mode": 1})
    await channel.publish(b"3", "", "durable", properties={"delivery_mode": 2})

    await restartable.stop()
    await channel.protocol.wait_closed()
    with pytest.raises(aioamqp.AmqpClosedConnection) as caught:
        await channel.queue_declare("durable", passive=True)
    text = "320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    assert text in str(caught.value)
    with pytest.raises(OSError):
        await restartable.dial()
    await restartable.start()

    channel = await restartable.channel()
    got = [await channel.basic_get("durable", no_ack=True) for _ in range(2)]
    is_redelivered = by_version({"3.10": False, "4.0": True, "4.3": False})
    assert [(each["message"], each["redelivered"]) for each in got] == [
        (b"1", is_redelivered),
        (b"3", is_redelivered),
    ]
    with pytest.raises(aioamqp.EmptyQueue):
        await channel.basic_get("durable", no_ack=True)
    await channel.exchange_declare("kept", passive=True, type_name="fanout")
    with pytest.raises(aioamqp.ChannelClosed, match="no queue 'transient'"):
        await channel.queue_declare("transient", passive=True)
    channel = await restartable.channel()
    if by_version({"3.10": True, "4.3": False}):
        with pytest.raises(aioamqp.ChannelClosed, match="no exchange 'gone'"):
            await channel.exchange_declare("gone", passive=True, type_name="fanout")
    else:
        await channel.exchange_declare("gone", passive=True, type_name="fanout")
        await channel.exchange_delete("gone")
