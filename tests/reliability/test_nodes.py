"""Connections to a RabbitMQ node that is killed, to a cluster, and over a link that stalls.

AMQP_SOAK_MESSAGES=100000 publishes more messages than usually while the node is killed.
"""

import asyncio
import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest

import aioamqp
from aioamqp import (
    Backoff,
    Channel,
    Connection,
    ConnectionState,
    PublishFailed,
    PublishNotSent,
    PublishReturned,
    PublishUnconfirmed,
)
from tests.certificates import Authority
from tests.conftest import node_or_skip, skip_or_fail
from tests.rabbitmq import (
    NODES,
    RabbitMQMissing,
    RabbitMQNode,
    kill,
    offers_connection,
    rabbitmqctl,
    running_cluster,
)
from tests.reliability.breakable import BreakableProtocol, break_off, protocol_of

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MESSAGES: Final = int(os.environ.get("AMQP_SOAK_MESSAGES", "20000"))
KILLS: Final = 5
WINDOW: Final = 500
"""Messages that wait for their publisher confirm at a time."""

DEADLINE: Final = 100.0 * max(1, MESSAGES // 20_000)
PERSISTENT: Final = {"delivery_mode": 2}


@pytest.fixture(scope="module", params=NODES)
def restarting_node(request: pytest.FixtureRequest, authority: Authority) -> Iterator[RabbitMQNode]:
    """A RabbitMQ node of this module, which is started again when it is killed."""
    with node_or_skip(request.param, authority, restarts=True) as node:
        yield node


@asynccontextmanager
async def recovering(url: str | list[str], **options: Any) -> AsyncIterator[Connection]:
    soon = Backoff(initial=0.1, maximum=0.5)
    options |= {"reconnect": soon, "wait_timeout": DEADLINE, "protocol_factory": BreakableProtocol}
    async with Connection(url, **options) as connection:
        yield connection


async def recovered(connection: Connection) -> None:
    """Wait until a connection has been lost and is open again."""
    async for change in connection.state_changes():
        if change.new is ConnectionState.OPEN:
            return
    pytest.fail(f"the connection has ended: {connection.snapshot()}")


async def until(predicate: Callable[[], bool]) -> None:
    """Wait until something is true that nothing tells of; the caller limits the time."""
    while not predicate():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


class Publisher:
    """Publishes numbered messages, each until it is confirmed or its outcome is unknown.

    Attributes:
        confirmed: the numbers that the server has confirmed.
        unknown: those whose outcome is unknown.
    """

    def __init__(self, channel: Channel, queue: str, messages: int = MESSAGES) -> None:
        self.messages = messages
        self.confirmed: set[int] = set()
        self.unknown: set[int] = set()
        self._channel = channel
        self._queue = queue
        self._numbers = iter(range(messages))

    @property
    def done(self) -> int:
        return len(self.confirmed) + len(self.unknown)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WINDOW):
                group.create_task(self._publish())

    async def wait(self, part: float, publishing: asyncio.Task[None]) -> None:
        """Wait until a part of the messages has an outcome."""
        await until(lambda: self.done >= self.messages * part or publishing.done())
        if publishing.done():
            publishing.result()

    async def _publish(self) -> None:
        for number in self._numbers:
            while True:
                try:
                    await self._channel.publish(str(number).encode(), "", self._queue, PERSISTENT)
                except (PublishNotSent, PublishFailed):
                    continue  # RabbitMQ: nacked, when a replicated queue has no leader
                except PublishUnconfirmed:
                    self.unknown.add(number)
                else:
                    self.confirmed.add(number)
                break


@pytest.mark.timeout(DEADLINE + 60)
async def test_a_node_that_is_killed_five_times_loses_nothing(
    restarting_node: RabbitMQNode,
) -> None:
    """R13."""
    queue = "killed"
    seen: Counter[int] = Counter()
    consumed: Counter[str] = Counter()
    async with asyncio.timeout(DEADLINE), recovering(restarting_node.url) as connection:
        channel = await connection.channel()
        await channel.queue_declare(queue, durable=True)
        await channel.confirm_select()
        publisher = Publisher(channel, queue)

        async def consume(tag: str) -> None:
            consuming = await connection.channel()
            async for message in consuming.consume(queue, consumer_tag=tag, prefetch_count=100):
                seen[int(message.body)] += 1
                consumed[tag] += 1
                await message.ack()

        async def note(
            channel: Channel, body: bytes, envelope: aioamqp.Envelope, _: object
        ) -> None:
            seen[int(body)] += 1
            consumed["callback"] += 1
            await channel.basic_client_ack(envelope.delivery_tag)

        consumers = [asyncio.create_task(consume(tag)) for tag in ("one", "two")]
        calling = await connection.channel()
        await calling.basic_qos(prefetch_count=100)
        await calling.basic_consume(note, queue, consumer_tag="callback")
        publishing = asyncio.create_task(publisher.run())
        for each in range(1, KILLS + 1):
            await publisher.wait(each / (KILLS + 1), publishing)
            waiting = asyncio.create_task(recovered(connection))
            await asyncio.sleep(0)
            kill(restarting_node)
            await waiting
            consumed.clear()
        await publishing
        await until(lambda: publisher.confirmed <= seen.keys())
        while len(consumed) < 3:  # each consumer has resumed
            number = -1 - sum(consumed.values())
            await channel.publish(str(number).encode(), "", queue, PERSISTENT)

        assert publisher.done == MESSAGES
        assert not publisher.confirmed & publisher.unknown
        assert len(publisher.unknown) <= KILLS * WINDOW
        assert not any(consumer.done() for consumer in consumers)
        snapshot = connection.snapshot()
        assert snapshot["waiting"] == []
        assert [each["unconfirmed"] for each in snapshot["channels"]] == [0] * 4
        for consumer in consumers:
            consumer.cancel()
        await asyncio.wait(consumers)
        await channel.queue_delete(queue)


@pytest.fixture(scope="module", params=NODES)
def cluster(request: pytest.FixtureRequest) -> Iterator[list[RabbitMQNode]]:
    """Three RabbitMQ nodes that form a cluster, and are started again when they are killed."""
    try:
        with running_cluster(request.param, 3) as nodes:
            yield nodes
    except RabbitMQMissing as missing:
        skip_or_fail(missing)


@pytest.mark.timeout(DEADLINE + 60)
async def test_a_cluster_whose_nodes_are_killed_in_turn_loses_nothing(
    cluster: list[RabbitMQNode],
) -> None:
    """R13. The connection fails over to a node that is up; the queue is replicated."""
    queue = "replicated"
    seen: set[int] = set()
    nodes = {f"127.0.0.1:{node.port}": node for node in cluster}
    urls = [node.url for node in cluster]
    async with asyncio.timeout(DEADLINE), recovering(urls) as connection:
        channel = await connection.channel()
        await channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        await channel.confirm_select()
        publisher = Publisher(channel, queue, 3000)

        async def consume() -> None:
            consuming = await connection.channel()
            async for message in consuming.consume(queue, prefetch_count=100):
                seen.add(int(message.body))
                await message.ack()

        consumer = asyncio.create_task(consume())
        publishing = asyncio.create_task(publisher.run())
        killed: list[RabbitMQNode] = []
        for each in range(1, len(cluster) + 1):
            await publisher.wait(each / (len(cluster) + 1), publishing)
            waiting = asyncio.create_task(recovered(connection))
            await asyncio.sleep(0)
            killed.append(nodes[connection.snapshot()["address"]])
            kill(killed[-1])
            await waiting
            assert nodes[connection.snapshot()["address"]] is not killed[-1]
            await until_ready(killed[-1])
        await publishing
        await until(lambda: publisher.confirmed <= seen)

        assert publisher.done == publisher.messages
        assert not publisher.confirmed & publisher.unknown
        assert not consumer.done()
        consumer.cancel()
        await asyncio.wait([consumer])


async def until_ready(node: RabbitMQNode) -> None:
    """Wait until a node that was killed accepts connections again."""
    while not await asyncio.to_thread(offers_connection, node.port):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


@pytest.mark.timeout(DEADLINE + 60)
async def test_a_token_that_expires_while_the_node_is_down_is_asked_for_again(
    restarting_node: RabbitMQNode,
) -> None:
    """R24."""
    node = restarting_node
    await rabbitmqctl(node, "add_user", "service", "token1")
    await rabbitmqctl(node, "set_permissions", "service", ".*", ".*", ".*")
    tokens: list[str] = []

    async def credentials() -> tuple[str, str]:
        # A token is stale at first: the service that issues them is slow, too.
        tokens.append("token1" if refused < 2 else "token2")
        return "service", tokens[-1]

    refused = 0
    async with asyncio.timeout(DEADLINE):
        async with recovering(node.url, credentials=credentials) as connection:
            channel = await connection.channel()
            await channel.queue_declare("of the service", exclusive=True)
            await rabbitmqctl(node, "change_password", "service", "token2")
            changes = connection.state_changes()
            kill(node)
            async for change in changes:
                if isinstance(change.reason, aioamqp.HandshakeFailed):
                    assert change.reason.code == 403
                    refused += 1
                if change.new is ConnectionState.OPEN:
                    break

            await channel.queue_declare("of the service", passive=True)
            assert refused == 2
            assert tokens[-1] == "token2"


@pytest.mark.timeout(2 * DEADLINE + 60)
async def test_a_node_may_come_back_with_another_certificate_but_not_of_another_authority(
    restarting_node: RabbitMQNode,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """R13."""
    node = restarting_node
    url = f"amqps://guest:guest@localhost:{node.tls_port}/?cacertfile={authority.cacertfile}"
    async with asyncio.timeout(2 * DEADLINE):
        async with recovering(url) as connection:
            channel = await connection.channel()
            first = certificate_of(connection)
            own = authority.issue("node", "DNS:localhost")  # in the place of the first one
            waiting = asyncio.create_task(recovered(connection))
            await asyncio.sleep(0)
            kill(node)
            await waiting
            await channel.queue_declare("tls", exclusive=True)
            assert certificate_of(connection) != first

            other = Authority(tmp_path_factory.mktemp("other"))
            foreign = other.issue("node", "DNS:localhost")
            kept = own.certfile.read_bytes(), own.keyfile.read_bytes()
            own.certfile.write_bytes(foreign.certfile.read_bytes())
            own.keyfile.write_bytes(foreign.keyfile.read_bytes())
            changes = connection.state_changes()
            kill(node)
            seen = [change async for change in changes]
            own.certfile.write_bytes(kept[0])
            own.keyfile.write_bytes(kept[1])

            assert seen[-1].new is ConnectionState.CLOSED
            assert isinstance(seen[-1].reason, ssl.SSLCertVerificationError)
            with pytest.raises(aioamqp.AmqpClosedConnection, match="certificate"):
                await channel.queue_declare("tls")


def certificate_of(connection: Connection) -> bytes:
    encrypted = protocol_of(connection).link.get_extra_info("ssl_object")
    certificate: bytes = encrypted.getpeercert(binary_form=True)
    return certificate


class StallingProxy:
    """A proxy that can stop to forward, in both directions, without closing a connection."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._generation = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["StallingProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"amqp://guest:guest@127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()
            await asyncio.sleep(0)

    def stall(self) -> None:
        """Forward nothing any longer on the connections that are open now."""
        self._generation += 1

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, upstream_writer]
        for source, sink in ((reader, upstream_writer), (upstream_reader, writer)):
            self._tasks.append(asyncio.create_task(self._forward(source, sink, self._generation)))

    async def _forward(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, generation: int
    ) -> None:
        while data := await source.read(65536):
            if generation == self._generation:
                sink.write(data)
        if generation == self._generation:
            sink.close()


async def test_a_link_that_stalls_is_left_within_two_heartbeats(
    rabbitmq_node: RabbitMQNode,
) -> None:
    """R12."""
    loop = asyncio.get_running_loop()
    heartbeat = 1
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(StallingProxy(rabbitmq_node.port).running())
        connection = await stack.enter_async_context(recovering(proxy.url, heartbeat=heartbeat))
        channel = await connection.channel()
        declared = await channel.queue_declare(
            "stalled", durable=True, arguments={"x-expires": 60_000}
        )
        await channel.confirm_select()
        messages = channel.consume("stalled")
        await messages.__aenter__()
        changes = connection.state_changes()
        proxy.stall()
        began = loop.time()
        publishing = asyncio.create_task(channel.publish(b"1", "", declared["queue"]))
        lost = await anext(changes)
        noticed = loop.time() - began

        assert lost.new is ConnectionState.RECOVERING
        assert noticed <= 2 * heartbeat + 0.5
        with pytest.raises(PublishUnconfirmed):
            await publishing
        await channel.publish(b"2", "", "stalled")
        assert (await anext(messages)).body == b"2"
        await channel.queue_delete("stalled")


@pytest.mark.timeout(120)
async def test_a_link_that_is_cut_often_leaves_everything_restored(
    rabbitmq_node: RabbitMQNode,
) -> None:
    """R13, R15. RabbitMQ may still have the exclusive queue of the last connection."""
    async with asyncio.timeout(50), recovering(rabbitmq_node.url) as connection:
        channel = await connection.channel()
        # Not auto-delete: it would end with the exclusive queue, perhaps just before a message.
        await channel.exchange_declare("often", "topic", durable=True)
        mine = (await channel.queue_declare("", exclusive=True))["queue"]
        await channel.queue_declare("often.auto", durable=True, auto_delete=True)
        for queue in (mine, "often.auto"):
            await channel.queue_bind(queue, "often", f"{queue}.#")
        await channel.confirm_select()
        loops = {queue: channel.consume(queue, exclusive=True) for queue in (mine, "often.auto")}
        for messages in loops.values():
            await messages.__aenter__()
        for number in range(30):
            waiting = asyncio.create_task(recovered(connection))
            await asyncio.sleep(0)
            break_off(connection)
            await waiting
            for queue, messages in loops.items():
                body = str(number).encode()
                while True:  # until the queue that was locked is there
                    try:
                        await channel.publish(body, "often", f"{queue}.x", mandatory=True)
                    except PublishReturned:
                        await asyncio.sleep(0.05)
                    else:
                        break
                message = await anext(messages)
                assert message.body == body
                assert await message.ack()
        assert len(connection.topology.queues) == len(connection.topology.consumers) == 2
        assert len(connection.topology.bindings) == 2
        await channel.exchange_delete("often")
