"""Alarms and restarts: on the fake, and on a RabbitMQ of their own, as other tests share theirs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

import aioamqp
from aioamqp.protocol import OPEN
from aioamqp_testing import FakeBroker
from tests.conformance.scenario import BROKERS
from tests.rabbitmq import RabbitMQMissing, RabbitMQNode, is_required, running_node

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

DEADLINE = 45.0
"""Seconds: RabbitMQ takes some to stop and to start."""


class Outage:
    """A broker that a test can bring down, and the connections to it."""

    def __init__(self) -> None:
        self._opened: list[aioamqp.AmqpProtocol] = []

    async def dial(self) -> aioamqp.AmqpProtocol:
        raise NotImplementedError

    async def block(self) -> None:
        raise NotImplementedError

    async def unblock(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    async def channel(self) -> aioamqp.Channel:
        protocol = await self.dial()
        self._opened.append(protocol)
        return await protocol.channel()

    async def end(self) -> None:
        for protocol in self._opened:
            if protocol.state == OPEN:
                await protocol.close()
            else:
                await protocol.wait_closed()


class FakeOutage(Outage):
    def __init__(self, broker: FakeBroker, url: str | None) -> None:
        super().__init__()
        self._broker = broker
        self._url = url

    async def dial(self) -> aioamqp.AmqpProtocol:
        if self._url is None:
            return (await self._broker.connect())[1]
        return (await aioamqp.from_url(self._url))[1]

    async def block(self) -> None:
        self._broker.block()

    async def unblock(self) -> None:
        self._broker.unblock()

    async def stop(self) -> None:
        await self._broker.stop()

    async def start(self) -> None:
        await self._broker.start()


class RealOutage(Outage):
    def __init__(self, node: RabbitMQNode) -> None:
        super().__init__()
        self._node = node

    async def dial(self) -> aioamqp.AmqpProtocol:
        return (await aioamqp.from_url(self._node.url))[1]

    async def block(self) -> None:
        await self._control("eval", "rabbit_alarm:set_alarm({{resource_limit,memory,node()},[]}).")

    async def unblock(self) -> None:
        await self._control("eval", "rabbit_alarm:clear_alarm({resource_limit,memory,node()}).")

    async def stop(self) -> None:
        await self._control("stop_app")

    async def start(self) -> None:
        await self._control("start_app")

    async def _control(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *("rabbitmqctl", "--quiet", *arguments),
            env=dict(self._node.environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()


@pytest.fixture(scope="module")
def own_node() -> Iterator[RabbitMQNode]:
    with contextlib.ExitStack() as stack:
        try:
            node = stack.enter_context(running_node())
        except RabbitMQMissing as missing:
            if is_required():
                pytest.fail(f"AMQP_REQUIRE_RABBITMQ is set, but {missing}", pytrace=False)
            pytest.skip(f"no RabbitMQ: {missing}")
        yield node


@pytest.fixture(params=BROKERS)
def own_broker(request: pytest.FixtureRequest) -> str | RabbitMQNode:
    """Not asynchronous, so that RabbitMQ is not started within the time of a test's event loop."""
    if request.param == "rabbitmq":
        node: RabbitMQNode = request.getfixturevalue("own_node")
        return node
    return str(request.param)


@pytest_asyncio.fixture
async def outage(own_broker: str | RabbitMQNode) -> AsyncIterator[Outage]:
    async with asyncio.timeout(DEADLINE), contextlib.AsyncExitStack() as stack:
        if isinstance(own_broker, RabbitMQNode):
            outage: Outage = RealOutage(own_broker)
        else:
            broker = await stack.enter_async_context(FakeBroker())
            outage = FakeOutage(broker, None if own_broker == "memory" else await broker.listen())
        yield outage
        await outage.end()


async def count(channel: aioamqp.Channel, queue: str) -> int:
    return int((await channel.queue_declare(queue, passive=True))["message_count"])


async def test_an_alarm_blocks_those_who_publish(outage: Outage) -> None:
    """Rows 59 and 60."""
    publisher, other = await outage.channel(), await outage.channel()
    await publisher.queue_declare("alarm", durable=True)
    await publisher.queue_purge("alarm")
    await outage.block()
    await publisher.queue_declare("alarm", passive=True)  # who publishes nothing is not blocked
    assert not publisher.protocol.blocked

    await publisher.basic_publish(b"kept back", "", "alarm")
    await publisher.protocol.blocked.wait()
    declaring = asyncio.create_task(publisher.queue_declare("alarm", passive=True))

    assert publisher.protocol.blocked.reason == "low on memory"
    assert await count(other, "alarm") == 0
    assert not declaring.done()
    assert not other.protocol.blocked

    await outage.unblock()
    await declaring
    assert not publisher.protocol.blocked
    got = await publisher.basic_get("alarm", no_ack=True)
    assert got["message"] == b"kept back"


async def test_deliveries_go_on_during_an_alarm(outage: Outage) -> None:
    """Row 59."""
    publisher = await outage.channel()
    await publisher.queue_declare("alarm", durable=True)
    await publisher.queue_purge("alarm")
    await publisher.confirm_select()
    await publisher.publish(b"before", "", "alarm")
    await outage.block()
    blocked, consumer = await outage.channel(), await outage.channel()
    await blocked.basic_publish(b"kept back", "", "nowhere")
    await blocked.protocol.blocked.wait()
    delivered = asyncio.Event()

    async def callback(*_: object) -> None:
        delivered.set()

    await consumer.basic_consume(callback, "alarm", no_ack=True)
    await delivered.wait()
    await outage.unblock()
    await blocked.protocol.blocked.wait_over()


async def test_a_broker_that_stops_says_so_and_keeps_what_is_durable(outage: Outage) -> None:
    """Rows 58 and 120."""
    channel = await outage.channel()
    await channel.queue_declare("durable", durable=True)
    await channel.queue_purge("durable")
    await channel.queue_declare("transient")
    await channel.exchange_declare("kept", "fanout", durable=True)
    await channel.exchange_declare("gone", "fanout")
    await channel.confirm_select()
    await channel.publish(b"1", "", "durable", properties={"delivery_mode": 2})
    await channel.publish(b"2", "", "durable", properties={"delivery_mode": 1})
    await channel.publish(b"3", "", "durable", properties={"delivery_mode": 2})

    await outage.stop()
    await channel.protocol.wait_closed()
    with pytest.raises(aioamqp.AmqpClosedConnection) as caught:
        await channel.queue_declare("durable", passive=True)
    text = "320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    assert text in str(caught.value)
    with pytest.raises(OSError):
        await outage.dial()
    await outage.start()

    channel = await outage.channel()
    got = [await channel.basic_get("durable", no_ack=True) for _ in range(2)]
    assert [(each["message"], each["redelivered"]) for each in got] == [
        (b"1", False),
        (b"3", False),
    ]
    with pytest.raises(aioamqp.EmptyQueue):
        await channel.basic_get("durable", no_ack=True)
    await channel.exchange_declare("kept", passive=True, type_name="fanout")
    with pytest.raises(aioamqp.ChannelClosed, match="no queue 'transient'"):
        await channel.queue_declare("transient", passive=True)
    channel = await outage.channel()
    with pytest.raises(aioamqp.ChannelClosed, match="no exchange 'gone'"):
        await channel.exchange_declare("gone", passive=True, type_name="fanout")
