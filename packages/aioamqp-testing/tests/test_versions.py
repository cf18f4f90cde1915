"""What a broker does as RabbitMQ 3.10, 4.0 and 4.3, as a program with aioamqp sees it."""

import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from aioamqp import AmqpClosedConnection, Channel, ChannelClosed, EmptyQueue
from aioamqp_testing import DeprecatedFeatureWarning, FakeBroker
from amqp_codec import FieldTable

VERSIONS = ("3.10", "4.0", "4.3")
MOST = 30  # deliveries of a message that is never dropped


def by_version(*values: Any) -> pytest.MarkDecorator:
    """Run a test as each version, with the value of the version."""
    return pytest.mark.parametrize(
        ("version", "expected"), list(zip(VERSIONS, values, strict=True))
    )


@pytest_asyncio.fixture
async def broker(version: str) -> AsyncIterator[FakeBroker]:
    async with FakeBroker(clock="manual", rabbitmq=version) as broker:
        yield broker


@pytest_asyncio.fixture
async def channel(broker: FakeBroker) -> AsyncIterator[Channel]:
    _, protocol = await broker.connect()
    yield await protocol.channel()
    await protocol.close()


async def quorum(channel: Channel, name: str = "q", **arguments: Any) -> None:
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum", **table})


async def publish(channel: Channel, body: bytes, queue: str = "q", **properties: Any) -> None:
    await channel.basic_publish(body, "", queue, properties)


async def deliveries(channel: Channel, requeue: Any) -> int:
    """Get the same message until it is gone; return how often it was delivered."""
    for count in range(MOST):
        try:
            got = await channel.basic_get("q")
        except EmptyQueue:
            return count
        await requeue(got["delivery_tag"])
    return MOST


@by_version("3.10.8", "4.0.5", "4.3.6")
@pytest.mark.asyncio
async def test_clients_are_told_the_version(broker: FakeBroker, expected: str) -> None:
    _, protocol = await broker.connect()

    assert (protocol.server_properties or {})["version"] == expected
    await protocol.close()


@by_version(MOST, 21, MOST)
@pytest.mark.asyncio
async def test_basic_nack_counts_for_the_default_delivery_limit(
    channel: Channel, expected: int
) -> None:
    await quorum(channel)
    await publish(channel, b"m")

    async def nack(tag: int) -> None:
        await channel.basic_client_nack(tag, requeue=True)

    assert await deliveries(channel, nack) == expected


@by_version(MOST, 21, 21)
@pytest.mark.asyncio
async def test_basic_reject_counts_for_the_default_delivery_limit(
    channel: Channel, expected: int
) -> None:
    await quorum(channel)
    await publish(channel, b"m")

    async def reject(tag: int) -> None:
        await channel.basic_reject(tag, requeue=True)

    assert await deliveries(channel, reject) == expected


@pytest.mark.parametrize("version", ["4.0", "4.3"])
@pytest.mark.asyncio
async def test_a_delivery_limit_of_minus_one_is_unlimited(channel: Channel) -> None:
    await quorum(channel, delivery_limit=-1)
    await publish(channel, b"m")

    async def reject(tag: int) -> None:
        await channel.basic_reject(tag, requeue=True)

    assert await deliveries(channel, reject) == MOST


@by_version([3, 2, 1], [1, 1, 1], [1, 1, 1])
@pytest.mark.asyncio
async def test_a_retry_loop_sees_the_count_of_the_version(
    broker: FakeBroker, channel: Channel, expected: list[int]
) -> None:
    """A program that publishes the headers again that it got, and counts x-death."""
    await channel.queue_declare("back", exclusive=True)
    arguments: FieldTable = {
        "x-message-ttl": 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "back",
    }
    await channel.queue_declare("wait", exclusive=True, arguments=arguments)
    headers: dict[str, Any] = {}
    counts: list[int] = []
    for _ in range(3):
        await channel.basic_publish(b"m", "", "wait", {"headers": headers})
        await broker.wait_idle()
        broker.clock.advance(1.0)
        got = await channel.basic_get("back", no_ack=True)
        headers = dict(got["properties"].headers)
        counts.insert(0, headers["x-death"][0]["count"])

    assert counts == expected


@by_version(
    [b"0", b"9", b"4", b"5", b"none", b"9"],
    [b"9", b"5", b"0", b"9", b"4", b"none"],
    [b"9", b"9", b"5", b"4", b"none", b"0"],
)
@pytest.mark.asyncio
async def test_a_quorum_queue_orders_by_priority(channel: Channel, expected: list[bytes]) -> None:
    await quorum(channel)
    for priority in (0, 9, 4, 5, None, 9):
        properties: dict[str, Any] = {} if priority is None else {"priority": priority}
        await publish(channel, b"none" if priority is None else b"%d" % priority, **properties)

    received = [(await channel.basic_get("q", no_ack=True))["message"] for _ in range(6)]

    assert received == expected


@by_version("A", "B", "B")
@pytest.mark.asyncio
async def test_a_quorum_queue_may_choose_its_single_active_consumer_by_priority(
    broker: FakeBroker, channel: Channel, expected: str
) -> None:
    await quorum(channel, single_active_consumer=True)
    received: list[str] = []

    async def note(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
        received.append(envelope.consumer_tag)
        await channel.basic_client_ack(envelope.delivery_tag)

    await channel.basic_consume(note, "q", consumer_tag="A")
    await channel.basic_consume(note, "q", consumer_tag="B", arguments={"x-priority": 5})
    await publish(channel, b"m")
    await broker.wait_idle()

    assert received == [expected]


@by_version(False, False, True)
@pytest.mark.asyncio
async def test_a_quorum_queue_may_delay_retries(
    broker: FakeBroker, channel: Channel, expected: bool
) -> None:
    await quorum(channel, delayed_retry_type="all", delayed_retry_min=600)
    await publish(channel, b"m")
    got = await channel.basic_get("q")
    await channel.basic_client_nack(got["delivery_tag"], requeue=True)
    await broker.wait_idle()
    is_hidden = not broker.node.vhosts["/"].queues["q"].messages
    broker.clock.advance(0.6)

    assert is_hidden == expected
    assert [each.body for each in broker.node.vhosts["/"].queues["q"].messages] == [b"m"]


@by_version([], [], [b"m"])
@pytest.mark.asyncio
async def test_a_quorum_queue_may_cancel_a_consumer_that_does_not_acknowledge(
    broker: FakeBroker, channel: Channel, expected: list[bytes]
) -> None:
    """RabbitMQ 4.3.6: the consumer counts until it is cancelled, and gets nothing until it settles."""
    arguments: dict[str, Any] = {"consumer_timeout": 1500} if expected else {}
    await quorum(channel, **arguments)
    cancelled: list[str] = []
    channel.add_cancellation_callback(lambda _, tag: cancelled.append(tag))

    async def keep(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
        pass

    await channel.basic_consume(keep, "q", consumer_tag="A")
    await publish(channel, b"m")
    await broker.wait_idle()
    broker.clock.advance(1.4)
    await broker.wait_idle()
    assert cancelled == []
    broker.clock.advance(0.1)
    await broker.wait_idle()

    assert cancelled == ["A"] * len(expected)
    queue = broker.node.vhosts["/"].queues["q"]
    assert [message.body for message in queue.messages] == expected
    assert queue.consumer_count == 1
    if expected:
        (headers,) = [message.properties.headers for message in queue.messages]
        assert headers == {"x-acquired-count": 1}
        await publish(channel, b"another")
        await broker.wait_idle()
        assert queue.message_count == 2
        await channel.basic_client_ack(1)  # then it is delivered again, and the client returns it
        await broker.wait_idle()
        assert (queue.message_count, queue.unacked_count) == (2, 0)
        assert queue.consumer_count == 0


@pytest.mark.parametrize("version", ["4.0"])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.asyncio
async def test_a_queue_of_4_0_has_a_consumer_timeout_that_closes_the_channel(
    broker: FakeBroker, channel: Channel, kind: str
) -> None:
    arguments: FieldTable = {"x-queue-type": kind, "x-consumer-timeout": 1000}
    await channel.queue_declare("q", durable=True, arguments=arguments)
    await publish(channel, b"m")
    await channel.basic_get("q")

    broker.clock.advance(59.9)
    await broker.wait_idle()
    assert channel.is_open
    broker.clock.advance(0.1)
    await broker.wait_idle()

    with pytest.raises(ChannelClosed, match="Timeout value used: 1000 ms"):
        await channel.basic_qos(prefetch_count=1)


@pytest.mark.parametrize("version", ["4.3"])
@pytest.mark.asyncio
async def test_a_consumer_of_a_classic_queue_of_4_3_has_no_timeout(
    broker: FakeBroker, channel: Channel
) -> None:
    await channel.queue_declare("q", exclusive=True)
    await publish(channel, b"m")
    await channel.basic_get("q")

    broker.clock.advance(7200)
    await broker.wait_idle()

    assert channel.is_open


@by_version(True, True, False)
@pytest.mark.asyncio
async def test_a_deprecated_queue_is_permitted_with_a_warning(
    channel: Channel, version: str, expected: bool
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await channel.queue_declare("orders")

    assert [str(each.message) for each in caught] == (
        []
        if expected
        else [
            "declaring queue 'orders' in vhost '/', which is neither durable nor exclusive, is a"
            " deprecated feature: RabbitMQ 4.3.6 refuses it unless its configuration has"
            " deprecated_features.permit.transient_nonexcl_queues = true"
        ]
    )
    assert all(each.category is DeprecatedFeatureWarning for each in caught)


DENIED = (
    "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nBy default, this feature is"
    " not permitted anymore.\nThe feature will be removed from a future major RabbitMQ version,"
    " regardless of the configuration; actual version to be determined.\nTo..."
)


@pytest.mark.parametrize("deprecated", ["deny", "permit"])
@pytest.mark.asyncio
async def test_a_deprecated_queue_is_denied_as_upstream_denies_it(deprecated: Any) -> None:
    """With a filter that turns the warning into an error, as here, too."""
    async with FakeBroker(rabbitmq="4.3", deprecated=deprecated) as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()

        with pytest.raises((ChannelClosed, AmqpClosedConnection)) as error:
            await channel.queue_declare("orders")

        denied: Any = error.value
        assert (denied.code, denied.message) == (541, DENIED)


@by_version(1, 1, 2)
@pytest.mark.asyncio
async def test_a_prefetch_count_with_global_true_is_shared_or_not(
    broker: FakeBroker, channel: Channel, expected: int
) -> None:
    await channel.queue_declare("q", exclusive=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await channel.basic_qos(prefetch_count=1, connection_global=True)
    assert [each.category for each in caught] == [DeprecatedFeatureWarning] * (expected - 1)
    received: list[str] = []

    async def note(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
        received.append(envelope.consumer_tag)

    await channel.basic_consume(note, "q", consumer_tag="A")
    await channel.basic_consume(note, "q", consumer_tag="B")
    for _ in range(3):
        await publish(channel, b"m")
    await broker.wait_idle()

    assert len(set(received)) == expected
