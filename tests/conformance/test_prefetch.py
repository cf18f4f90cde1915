"""How prefetch limits are counted: by consumer tag, and by channel for several queues."""

from collections import Counter

import pytest
import pytest_asyncio

from amqp_codec import Command, FieldTable, basic, confirm, connection, queue
from tests.conformance.client import MethodOrCommand, OpenClient, ScriptedClient, publish
from tests.conformance.scenario import ByVersion, NewName, scenario


class Publisher:
    """A channel in confirm mode on a connection of its own."""

    def __init__(self, client: ScriptedClient) -> None:
        self._client = client

    async def declare(self, name: str, messages: int = 0, kind: str = "classic") -> None:
        """Declare a queue and publish messages to it."""
        arguments: FieldTable = {"x-queue-type": kind}
        declare = queue.Declare(name, durable=True, arguments=arguments)
        assert await self._client.call(declare) == [queue.DeclareOk(name, 0, 0)]
        for number in range(messages):
            await self.publish(name, b"%d" % number)

    async def publish(self, name: str, body: bytes = b"m") -> None:
        """Publish a message and wait for its confirm."""
        self._client.send(publish(name, body=body))
        assert isinstance(await self._client.next_command(), basic.Ack)


@pytest_asyncio.fixture
async def publisher(open_client: OpenClient) -> Publisher:
    """A publisher on a connection of its own."""
    client = await open_client()
    await client.call(confirm.Select())
    return Publisher(client)


def consume(name: str, kind: str = "", tag: str = "t") -> basic.Consume:
    """Return a basic.consume that starts at the first message."""
    return basic.Consume(
        name, tag, arguments={"x-stream-offset": "first"} if kind == "stream" else {}
    )


async def bodies(client: ScriptedClient, count: int, tag: str = "t") -> list[bytes]:
    """Wait for ``count`` deliveries to a consumer; return their bodies."""
    received = await deliveries(client, count)
    assert {each for each, _ in received} <= {tag}
    return [body for _, body in received]


async def deliveries(client: ScriptedClient, count: int) -> list[tuple[str, bytes]]:
    """Wait for ``count`` deliveries; return their consumer tags and bodies."""
    return [delivery(await client.next_command()) for _ in range(count)]


def delivery(received: MethodOrCommand) -> tuple[str, bytes]:
    assert isinstance(received, Command), received
    assert isinstance(received.method, basic.Deliver), received
    return received.method.consumer_tag, bytes(received.body)


async def restart_consumer(
    client: ScriptedClient, name: str, kind: str, first: int, second: int
) -> None:
    """Consume with a prefetch count, cancel, and consume with the same tag and another one."""
    await client.call(basic.Qos(prefetch_count=first))
    client.send(consume(name, kind))
    assert await client.next_command() == basic.ConsumeOk("t")
    await bodies(client, first)
    client.send(basic.Cancel("t"))
    assert await client.next_command() == basic.CancelOk("t")
    await client.call(basic.Qos(prefetch_count=second))
    client.send(consume(name, kind))
    assert await client.next_command() == basic.ConsumeOk("t")


# ----------------------------------------------------------------------------- credit by tag


@pytest.mark.parametrize("kind", ["classic", "stream"])
@scenario
async def test_a_consumer_gets_credit_for_deliveries_to_an_earlier_one_with_its_tag(
    open_client: OpenClient, publisher: Publisher, name: str, kind: str
) -> None:
    """Row F1."""
    client = await open_client()
    await publisher.declare(name, 8, kind)

    await restart_consumer(client, name, kind, 2, 2)

    await bodies(client, 2)
    client.send(basic.Ack(1))
    await bodies(client, 1)
    client.send(basic.Ack(2))
    await bodies(client, 1)
    client.send(basic.Ack(6, multiple=True))
    await bodies(client, 4 if kind == "stream" else 2)


@scenario
async def test_a_consumer_of_another_queue_gets_no_credit_for_earlier_deliveries_with_its_tag(
    open_client: OpenClient, publisher: Publisher, new_name: NewName
) -> None:
    """Row F1: credit is counted by each queue for itself."""
    client = await open_client()
    first, second = new_name(), new_name()
    await publisher.declare(first, 1)
    await publisher.declare(second, 2)
    await client.call(basic.Qos(prefetch_count=1))
    client.send(consume(first))
    await client.next_command()
    await bodies(client, 1)
    client.send(basic.Cancel("t"), consume(second))
    assert [await client.next_command() for _ in range(2)] == [
        basic.CancelOk("t"),
        basic.ConsumeOk("t"),
    ]
    assert await bodies(client, 1) == [b"0"]

    assert await client.call(basic.Ack(1)) == []

    client.send(basic.Ack(2))
    assert await bodies(client, 1) == [b"1"]


@scenario
async def test_a_consumer_of_a_quorum_queue_has_the_unacked_messages_of_its_tag(
    open_client: OpenClient, publisher: Publisher, name: str, by_version: ByVersion
) -> None:
    """Row F1: they count against the prefetch count, and before 4.0 may add more to it."""
    client = await open_client()
    await publisher.declare(name, 10, "quorum")

    await restart_consumer(client, name, "quorum", 3, 2)

    assert await client.call(queue.Declare(name, passive=True)) == [queue.DeclareOk(name, 7, 1)]
    client.send(basic.Ack(3, multiple=True))
    bodies_in_order = [b"3", b"4", b"5", b"6"]
    freed = by_version({"3.10": 3, "4.0": 2})
    assert await bodies(client, freed) == bodies_in_order[:freed]
    client.send(basic.Ack(4))
    assert await bodies(client, 1) == [bodies_in_order[freed]]


@pytest.mark.parametrize("second", [2, 3])
@scenario
async def test_a_quorum_queue_cannot_deliver_while_an_earlier_consumer_with_the_tag_has_messages(
    open_client: OpenClient, publisher: Publisher, name: str, second: int, by_version: ByVersion
) -> None:
    """Row F1: RabbitMQ's channel crashes, before 4.0."""
    client = await open_client()
    await publisher.declare(name, 4, "quorum")

    await restart_consumer(client, name, "quorum", 2, second)
    if second == 2:
        client.send(basic.Ack(1))  # the first credit

    if by_version({"3.10": False, "4.0": True}):
        assert await bodies(client, 1) == [b"2"]
        return
    closed = await client.next_command()
    assert closed == connection.Close(541, "INTERNAL_ERROR", 0, 0)
    client.send(connection.CloseOk(), channel=0)
    await client.closed.wait()
    other = await open_client()
    other.send(consume(name))
    assert await other.next_command() == basic.ConsumeOk("t")
    received = [await other.next_command() for _ in range(4 if second == 3 else 3)]
    redelivered = {
        bytes(each.body): each.method.redelivered
        for each in received
        if isinstance(each, Command) and isinstance(each.method, basic.Deliver)
    }
    if second == 3:
        assert redelivered == {b"0": True, b"1": True, b"2": True, b"3": False}
    else:
        assert redelivered == {b"1": True, b"2": True, b"3": False}


# ----------------------------------------------------------------------------- shared limits


async def start_limited(client: ScriptedClient, limit: int, *queues: str, channel: int = 1) -> None:
    """Set a shared prefetch limit and consume from queues, whose names are the consumer tags."""
    await client.call(basic.Qos(prefetch_count=limit, global_=True), channel=channel)
    for name in queues:
        client.send(basic.Consume(name, name), channel=channel)
        assert await client.next_command() == basic.ConsumeOk(name)


@pytest.mark.parametrize("limit", [1, 10])
@scenario
async def test_queues_of_one_shared_limit_are_served_in_turns(
    open_client: OpenClient, publisher: Publisher, new_name: NewName, limit: int
) -> None:
    """Row U45: RabbitMQ begins with a random queue each time."""
    client = await open_client()
    empty, *names = [new_name() for _ in range(4)]
    for name in names:
        await publisher.declare(name, 60)
    await publisher.declare(empty)
    await client.call(basic.Qos(prefetch_count=limit, global_=True))
    client.send(*(basic.Consume(name, name) for name in (empty, *names)))

    served: Counter[str] = Counter()
    while served.total() < 60:
        received = await client.next_command()
        if isinstance(received, Command) and isinstance(received.method, basic.Deliver):
            served[received.method.consumer_tag] += 1
            client.send(basic.Ack(received.method.delivery_tag))

    assert all(served[name] >= 5 for name in names)


@pytest.mark.parametrize(
    "how",
    [basic.Recover(requeue=True), basic.Reject(1, requeue=True), basic.Nack(1, requeue=True)],
    ids=lambda how: how.NAME,
)
@scenario
async def test_a_consumer_at_its_shared_limit_may_get_its_requeued_message_again(
    open_client: OpenClient, publisher: Publisher, name: str, how: MethodOrCommand
) -> None:
    """Rows F6 and F7: unless its turn came while the limit was reached."""
    client = await open_client(1, 2)
    await publisher.declare(name)
    await start_limited(client, 1, name)
    await publisher.publish(name)
    assert await bodies(client, 1, name) == [b"m"]
    await start_limited(client, 1, name, channel=2)

    client.send(how)

    received = await client.next_command()
    if received == basic.RecoverOk():
        received = await client.next_command()
    assert isinstance(received, Command)
    assert (received.channel, received.method) == (1, basic.Deliver(name, 2, True, "", name))


@scenario
async def test_a_shared_limit_set_after_consuming_is_ignored_by_replicated_queues(
    open_client: OpenClient, publisher: Publisher, new_name: NewName
) -> None:
    """Row F3."""
    client = await open_client()
    quorum, stream, classic = (new_name() for _ in range(3))
    for name, kind in ((quorum, "quorum"), (stream, "stream"), (classic, "classic")):
        await publisher.declare(name, 0, kind)
    await client.call(basic.Qos(prefetch_count=100))
    for name in (quorum, stream):
        client.send(basic.Consume(name, name))
        assert await client.next_command() == basic.ConsumeOk(name)
    await start_limited(client, 1, classic)

    for name in (quorum, stream, quorum, stream, classic):
        await publisher.publish(name)
        assert await bodies(client, 1, name) == [b"m"]
    for name in (classic, quorum):
        await publisher.publish(name)
    assert await bodies(client, 1, quorum) == [b"m"]


@scenario
async def test_acknowledging_messages_of_a_quorum_queue_frees_a_shared_limit(
    open_client: OpenClient, publisher: Publisher, new_name: NewName, by_version: ByVersion
) -> None:
    """Row F3: although they are not counted; so the count may become negative.

    RabbitMQ 4.3 denies global_qos: the limit is that of the consumer.
    """
    client = await open_client()
    quorum, classic = new_name(), new_name()
    await publisher.declare(quorum, kind="quorum")
    await publisher.declare(classic)
    client.send(basic.Consume(quorum, quorum))
    assert await client.next_command() == basic.ConsumeOk(quorum)
    await start_limited(client, 2, classic)
    for name in (quorum, quorum, quorum, classic):
        await publisher.publish(name)
        await bodies(client, 1, name)

    client.send(basic.Ack(4, multiple=True))
    for _ in range(9):
        await publisher.publish(classic)

    delivered = by_version({"3.10": 5, "4.3": 2})
    await bodies(client, delivered, classic)
    assert await client.call(queue.Declare(classic, passive=True)) == [
        queue.DeclareOk(classic, 9 - delivered, 1)
    ]
