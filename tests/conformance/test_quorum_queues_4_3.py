"""Quorum queues of RabbitMQ 4.3: consumer timeouts, delayed retries, and priorities that expire."""

import asyncio
from typing import Any

import pytest

from aioamqp import ConsumerCancelled
from aioamqp_testing.model.profile import DEFAULT_VERSION
from amqp_codec import Command, FieldTable, Int64, basic, channel, confirm, queue
from tests.conformance.client import OpenClient, ScriptedClient, publish
from tests.conformance.scenario import (
    BROKERS,
    FAKES,
    ByVersion,
    Connect,
    NewName,
    racing_scenario,
    scenario,
)

TIMED_OUT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: -1"
    " ms. This timeout value can be configured, see consumers doc guide to learn more"
)

LONGER = {"delayed_retry_max": 1000}


pytestmark = pytest.mark.parametrize(
    "broker",
    [each for each in BROKERS if FAKES.get(each, DEFAULT_VERSION) == DEFAULT_VERSION],
    indirect=True,
)


@pytest.fixture(autouse=True)
def since_4_3(by_version: ByVersion) -> None:
    """Skip an older node."""
    if by_version({"3.10": True, "4.3": False}):
        pytest.skip("RabbitMQ has these features since 4.3")


async def declare(client: ScriptedClient, name: str, **arguments: Any) -> None:
    """Declare a quorum queue, and select publisher confirms."""
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    declaration = queue.Declare(name, durable=True, arguments={"x-queue-type": "quorum", **table})
    replies = await client.call(declaration, confirm.Select())
    assert replies == [queue.DeclareOk(name, 0, 0), confirm.SelectOk()]


async def publish_to(client: ScriptedClient, name: str, *bodies: bytes, **properties: Any) -> None:
    """Publish messages one by one, each of which the queue must accept."""
    for body in bodies:
        client.send(publish(name, body=body, **properties))
        assert isinstance(await client.next_command(), basic.Ack)


async def next_body(client: ScriptedClient) -> bytes:
    """Wait for a delivery; return its body."""
    command = await client.next_command()
    assert isinstance(command, Command), command
    return bytes(command.body)


async def ready(client: ScriptedClient, name: str) -> int:
    """Return the number of ready messages."""
    (reply,) = await client.call(queue.Declare(name, passive=True))
    assert isinstance(reply, queue.DeclareOk)
    return reply.message_count


# ------------------------------------------------------------------------- consumer timeouts


@scenario
async def test_a_consumer_that_was_cancelled_for_a_timeout_goes_on_when_it_has_settled(
    open_client: OpenClient, name: str
) -> None:
    """RabbitMQ 4.3: it counts as a consumer, and a late acknowledgement settles nothing."""
    client = await open_client()
    await declare(client, name, consumer_timeout=300)
    await publish_to(client, name, b"m")
    client.send(basic.Consume(name, "A"))
    assert await client.next_command() == basic.ConsumeOk("A")
    assert await next_body(client) == b"m"
    assert await client.next_command() == basic.Cancel("A", no_wait=True)
    assert await client.call(queue.Declare(name, passive=True)) == [queue.DeclareOk(name, 1, 1)]

    client.send(basic.Ack(1))

    again = await client.next_command()
    assert isinstance(again, Command)
    assert again.method == basic.Deliver("A", 2, True, "", name)
    assert again.properties is not None
    assert again.properties.headers == {"x-acquired-count": Int64(1)}


@scenario
async def test_what_a_cancelled_consumer_gets_after_all_is_given_back(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Or else nobody settles it, and no other consumer gets it before the next timeout."""
    channel = await (await connect()).channel()
    arguments: FieldTable = {"x-queue-type": "quorum", "x-consumer-timeout": 300}
    await channel.queue_declare(name, durable=True, arguments=arguments)
    await channel.basic_publish(b"m", "", name)
    async with channel.consume(name) as messages:
        late = await anext(messages)
        with pytest.raises(ConsumerCancelled):
            await anext(messages)

    await late.ack()

    async with channel.consume(name) as messages:
        assert (await anext(messages)).body == b"m"
    assert "not known" not in caplog.text


@pytest.mark.parametrize("settle", [basic.Nack(1, requeue=True), basic.Reject(1, requeue=True)])
@scenario
async def test_requeueing_late_does_not_resume_a_consumer(
    open_client: OpenClient, name: str, settle: basic.Nack | basic.Reject
) -> None:
    client = await open_client()
    await declare(client, name, consumer_timeout=300)
    await publish_to(client, name, b"m")
    client.send(basic.Consume(name, "A"))
    assert await client.next_command() == basic.ConsumeOk("A")
    assert await next_body(client) == b"m"
    assert await client.next_command() == basic.Cancel("A", no_wait=True)

    assert await client.call(settle) == []
    await publish_to(client, name, b"n")

    assert await ready(client, name) == 2
    client.send(basic.Cancel("A"))
    assert await client.next_command() == basic.CancelOk("A")
    client.send(basic.Consume(name, "A"))
    assert await client.next_command() == basic.ConsumeOk("A")
    assert [await next_body(client) for _ in range(2)] == [b"m", b"n"]


@scenario
async def test_a_late_acknowledgement_does_not_settle_what_another_consumer_holds(
    open_client: OpenClient, name: str
) -> None:
    client = await open_client()
    await declare(client, name, consumer_timeout=60_000)
    await publish_to(client, name, b"m")
    client.send(basic.Consume(name, "A", arguments={"x-consumer-timeout": 300}))
    assert await client.next_command() == basic.ConsumeOk("A")
    assert await next_body(client) == b"m"
    client.send(basic.Consume(name, "B"))
    assert await client.next_command() == basic.ConsumeOk("B")

    assert await client.next_command() == basic.Cancel("A", no_wait=True)
    again = await client.next_command()
    assert isinstance(again, Command)
    assert again.method == basic.Deliver("B", 2, True, "", name)
    client.send(basic.Ack(1), channel.Close(200, "", 0, 0))
    while not isinstance(await client.next_command(), channel.CloseOk):
        pass

    client.send(channel.Open())
    assert isinstance(await client.next_command(), channel.OpenOk)
    assert await client.bodies(name) == [b"m"]


@scenario
async def test_a_message_of_basic_get_that_is_not_acknowledged_in_time_closes_the_channel(
    open_client: OpenClient, name: str
) -> None:
    """RabbitMQ 4.3: the reply text has -1 in place of the timeout."""
    client = await open_client()
    await declare(client, name, consumer_timeout=300)
    await publish_to(client, name, b"m")
    client.send(basic.Get(name))
    assert await next_body(client) == b"m"

    assert await client.next_command() == channel.Close(406, TIMED_OUT, 0, 0)

    client.send(channel.CloseOk(), channel.Open())
    assert isinstance(await client.next_command(), channel.OpenOk)
    again = await client.get(name)
    assert again is not None
    assert again.properties is not None
    assert again.properties.headers == {"x-acquired-count": Int64(1)}


@scenario
async def test_the_next_consumer_becomes_the_active_one_after_a_timeout(
    open_client: OpenClient, name: str
) -> None:
    """RabbitMQ 4.3: of the consumers of a queue with a single active one."""
    client = await open_client()
    await declare(client, name, single_active_consumer=True)
    await publish_to(client, name, b"m")
    client.send(basic.Consume(name, "A", arguments={"x-consumer-timeout": 300}))
    assert await client.next_command() == basic.ConsumeOk("A")
    assert await next_body(client) == b"m"
    client.send(basic.Consume(name, "B"))
    assert await client.next_command() == basic.ConsumeOk("B")

    assert await client.next_command() == basic.Cancel("A", no_wait=True)

    again = await client.next_command()
    assert isinstance(again, Command)
    assert again.method == basic.Deliver("B", 2, True, "", name)


# ------------------------------------------------------------------------- delayed retries


async def elapsed(client: ScriptedClient, tag: int, how: str) -> float:
    """Requeue a message; return the seconds until it is delivered again."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    if how == "nack":
        client.send(basic.Nack(tag, requeue=True))
    else:
        client.send(basic.Reject(tag, requeue=True))
    await next_body(client)
    return loop.time() - started


@pytest.mark.parametrize(("maximum", "is_longer"), [({}, False), (LONGER, True)])
@racing_scenario
async def test_only_failures_make_the_delay_of_a_retry_longer(
    open_client: OpenClient, name: str, maximum: dict[str, int], is_longer: bool
) -> None:
    """RabbitMQ 4.3: the delay is a multiple of x-delivery-count, which basic.nack does not raise.

    Without a maximum, the minimum is the maximum.
    """
    client = await open_client()
    await declare(client, name, delayed_retry_type="all", delayed_retry_min=200, **maximum)
    await publish_to(client, name, b"m")
    client.send(basic.Consume(name, "A"))
    assert await client.next_command() == basic.ConsumeOk("A")
    await next_body(client)

    delays = [
        await elapsed(client, tag, how)
        for tag, how in enumerate(("nack", "nack", "nack", "reject", "reject"), 1)
    ]

    assert [delay >= 0.2 for delay in delays] == [True] * 5
    assert [delay < 0.39 for delay in delays] == [True] * 4 + [not is_longer]


@scenario
async def test_a_purge_drops_messages_that_wait_for_a_retry(
    open_client: OpenClient, name: str
) -> None:
    client = await open_client()
    await declare(client, name, delayed_retry_type="all", delayed_retry_min=400)
    await publish_to(client, name, b"a", b"b")
    client.send(basic.Get(name))
    assert await next_body(client) == b"a"
    client.send(basic.Nack(1, requeue=True))
    while await ready(client, name) != 1:
        pass

    assert await client.call(queue.Purge(name)) == [queue.PurgeOk(2)]


@scenario
async def test_messages_that_wait_for_a_retry_count_for_max_length(
    open_client: OpenClient, name: str
) -> None:
    client = await open_client()
    await declare(client, name, delayed_retry_type="all", delayed_retry_min=60_000, max_length=1)
    await publish_to(client, name, b"a")
    client.send(basic.Get(name))
    assert await next_body(client) == b"a"
    assert await client.call(basic.Nack(1, requeue=True)) == []
    await publish_to(client, name, b"b")

    assert await ready(client, name) == 0
    assert await client.call(queue.Purge(name)) == [queue.PurgeOk(1)]


# ------------------------------------------------------------------------- limits and expiry


@scenario
async def test_the_first_message_of_each_priority_expires(
    open_client: OpenClient, new_name: NewName
) -> None:
    """RabbitMQ 4.3: whatever has a higher priority; but not the second one."""
    client = await open_client()
    name, dead = new_name(), new_name()
    await client.call(queue.Declare(dead, exclusive=True))
    await declare(client, name, dead_letter_exchange="", dead_letter_routing_key=dead)
    client.send(basic.Consume(dead, "D", no_ack=True))
    assert await client.next_command() == basic.ConsumeOk("D")

    await publish_to(client, name, b"first of 9", priority=9)
    await publish_to(client, name, b"second of 9", priority=9, expiration="100")
    for priority, expiration in ((0, "400"), (4, "600")):
        text = f"{priority}".encode()
        await publish_to(client, name, text, priority=priority, expiration=expiration)

    assert [await next_body(client) for _ in range(2)] == [b"0", b"4"]
    assert await ready(client, name) == 2


@scenario
async def test_properties_count_for_max_length_bytes(open_client: OpenClient, name: str) -> None:
    """RabbitMQ 4.3: the bytes of the encoded properties, with their two bytes of flags."""
    client = await open_client()
    await declare(client, name, max_length_bytes=20)

    await publish_to(client, name, *[b"ab"] * 6, priority=1)
    assert await ready(client, name) == 4

    await publish_to(client, name, b"ab", priority=1, message_id="0123456789")
    assert await ready(client, name) == 1
