"""Consuming, cancelling, returned messages and confirms, used as in 0.15's documentation."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

import aioamqp
from aioamqp import Channel, Envelope, Properties, ReturnEnvelope
from tests.conformance.scenario import Connect, Inbox, scenario

# -------------------------------------------------------------------- consuming


@scenario
async def test_a_callback_gets_the_documented_envelope_and_properties(
    connect: Connect, name: str
) -> None:
    """M23."""
    properties = {
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "headers": {"attempt": 1},
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "correlation",
        "reply_to": "queue",
        "message_id": "message",
        "timestamp": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        "message_type": "greeting",
        "user_id": "guest",
        "app_id": "program",
    }
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    inbox = Inbox()
    result = await channel.basic_consume(inbox, queue_name=name)

    await channel.basic_publish(b"body", "", name, properties)

    _, envelope, received = await inbox.next_message()
    assert {key: getattr(received, key) for key in properties} == properties
    assert received.expiration is None
    assert not received.cluster_id
    assert envelope.consumer_tag == result["consumer_tag"]
    assert envelope.delivery_tag == 1
    assert (envelope.exchange_name, envelope.routing_key) == ("", name)
    assert envelope.is_redeliver is False
    await channel.basic_client_ack(envelope.delivery_tag)


@scenario
async def test_the_message_type_property_may_be_called_type_when_publishing(
    connect: Connect, name: str
) -> None:
    """M23."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    await channel.basic_publish(b"", "", name, {"type": "greeting"})

    got = await channel.basic_get(name, no_ack=True)
    assert got["properties"].message_type == "greeting"


@scenario
async def test_a_callback_may_be_a_plain_function(connect: Connect, name: str) -> None:
    """M24."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    received: asyncio.Queue[bytes] = asyncio.Queue()

    def callback(channel: Channel, body: bytes, envelope: Envelope, properties: Properties) -> None:
        received.put_nowait(body)

    await channel.basic_consume(callback, queue_name=name, no_ack=True)
    for body in (b"one", b"two"):
        await channel.basic_publish(body, "", name)

    assert [await received.get(), await received.get()] == [b"one", b"two"]


@scenario
async def test_consumers_can_be_cancelled_at_the_same_time(connect: Connect, name: str) -> None:
    """M25. Even the same consumer twice."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    tags = ["one", "two", "two"]
    for tag in set(tags):
        await channel.basic_consume(Inbox(), name, consumer_tag=tag)

    cancelled = await asyncio.gather(*map(channel.basic_cancel, tags))

    assert cancelled == [{"consumer_tag": tag} for tag in tags]
    state = await channel.queue_declare(name, passive=True)
    assert state is not None
    assert state["consumer_count"] == 0


# -------------------------------------------------------------------- server cancellation


@scenario
async def test_a_cancellation_callback_may_consume_again(connect: Connect, name: str) -> None:
    """M16. A coroutine function, which is called each time the queue is deleted."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    inbox = Inbox()
    again: asyncio.Queue[str] = asyncio.Queue()

    async def consumer_cancelled(channel: Channel, consumer_tag: str) -> None:
        await channel.queue_declare(name, durable=True)
        result = await channel.basic_consume(inbox, queue_name=name)
        assert result["consumer_tag"] != consumer_tag
        again.put_nowait(consumer_tag)

    await channel.queue_declare(name, durable=True)
    channel.add_cancellation_callback(consumer_cancelled)
    first = await channel.basic_consume(inbox, queue_name=name)
    tags = [first["consumer_tag"]]
    for body in (b"one", b"two"):
        await other.queue_delete(name)
        tags.append(await again.get())
        await other.basic_publish(body, "", name)
        message = await inbox.next_message()
        assert message.body == body
        await channel.basic_client_ack(message.envelope.delivery_tag)

    assert tags[0] == tags[1] != tags[2]
    assert channel.cancelled_consumers == set(tags)


@scenario
async def test_a_cancellation_callback_may_be_a_plain_function_and_close_the_channel(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """M16. An awaitable that it returns is awaited, so it may close the channel."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    calls: list[tuple[Channel, str]] = []

    def noted(channel: Channel, consumer_tag: str) -> None:
        calls.append((channel, consumer_tag))

    await channel.queue_declare(name, durable=True)
    channel.add_cancellation_callback(noted)
    channel.add_cancellation_callback(lambda channel, _tag: channel.close())
    await channel.basic_consume(Inbox(), queue_name=name, consumer_tag="mine")

    await other.queue_delete(name)
    await channel.close_event.wait()

    assert calls == [(channel, "mine")]
    assert await other.queue_declare(name, durable=True) is not None  # the other channel stays open
    (text,) = caplog.messages
    assert "cancelled consumer mine of channel 1" in text


# -------------------------------------------------------------------- confirms and returned messages


@pytest.mark.parametrize("is_plain", [False, True], ids=["coroutine", "plain"])
@scenario
async def test_an_unroutable_mandatory_message_is_returned(
    connect: Connect, name: str, is_plain: bool
) -> None:
    returned: asyncio.Queue[tuple[bytes, ReturnEnvelope, Properties]] = asyncio.Queue()

    def plain(channel: Any, body: Any, envelope: Any, properties: Any) -> None:
        returned.put_nowait((body, envelope, properties))

    async def callback(channel: Any, body: Any, envelope: Any, properties: Any) -> None:
        plain(channel, body, envelope, properties)

    protocol = await connect()
    channel = await protocol.channel(return_callback=plain if is_plain else callback)

    await channel.basic_publish(
        "Anybody there?", "", name, properties={"message_id": "1"}, mandatory=True
    )

    body, envelope, properties = await returned.get()
    assert (body, properties.message_id) == (b"Anybody there?", "1")
    assert (envelope.reply_code, envelope.reply_text) == (312, "NO_ROUTE")
    assert (envelope.exchange_name, envelope.routing_key) == ("", name)


@scenario
async def test_publish_waits_for_its_publisher_confirm_in_confirm_mode(
    connect: Connect, name: str
) -> None:
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    assert await channel.confirm_select() is True

    assert channel.publisher_confirms is True
    await channel.basic_publish(b"not waited for", "", name)
    await asyncio.gather(*(channel.publish(b"%d" % number, "", name) for number in range(20)))
    state = await channel.queue_declare(name, passive=True)
    assert state is not None
    assert state["message_count"] == 21
    with pytest.raises(ValueError, match="already"):
        await channel.confirm_select()


@scenario
async def test_publishing_an_unroutable_mandatory_message_fails_in_confirm_mode(
    connect: Connect, name: str
) -> None:
    returned: asyncio.Queue[bytes] = asyncio.Queue()
    protocol = await connect()
    channel = await protocol.channel(
        return_callback=lambda _channel, body, _envelope, _properties: returned.put_nowait(body)
    )
    await channel.confirm_select()

    await channel.publish(b"dropped", "", name)
    with pytest.raises(aioamqp.PublishFailed) as failed:
        await channel.publish(b"back", "", name, mandatory=True)

    assert failed.value.delivery_tag == 2
    assert isinstance(failed.value, aioamqp.PublishReturned)
    assert await returned.get() == b"back"
    assert returned.empty()
