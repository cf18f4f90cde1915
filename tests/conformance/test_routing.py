"""Routing: the default exchange, direct exchanges, and returned messages."""

import asyncio
from decimal import Decimal

from aioamqp import Channel, Properties, ReturnEnvelope
from tests.conformance.scenario import ByVersion, Connect, Inbox, NewName, drain, refusal, scenario


class Returns:
    """A return callback that keeps the returned messages."""

    def __init__(self) -> None:
        self._returned: asyncio.Queue[tuple[bytes, ReturnEnvelope, Properties]] = asyncio.Queue()

    async def __call__(
        self, channel: Channel, body: bytes, envelope: ReturnEnvelope, properties: Properties
    ) -> None:
        self._returned.put_nowait((body, envelope, properties))

    async def next_return(self) -> tuple[bytes, ReturnEnvelope, Properties]:
        return await self._returned.get()

    @property
    def count(self) -> int:
        return self._returned.qsize()


@scenario
async def test_a_direct_exchange_routes_by_the_exact_key(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    exchange, red, green = new_name(), new_name(), new_name()
    await channel.exchange_declare(exchange, "direct", auto_delete=True)
    for queue, key in ((red, "red"), (green, "green"), (red, "both"), (green, "both")):
        await channel.queue_declare(queue, exclusive=True)
        await channel.queue_bind(queue, exchange, key)

    for key in ("red", "green", "both", "RED", "", "red.more"):
        await channel.basic_publish(key.encode(), exchange, key)

    assert await drain(channel, red) == [b"red", b"both"]
    assert await drain(channel, green) == [b"green", b"both"]


@scenario
async def test_a_delivery_names_the_exchange_and_the_key(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    await channel.queue_bind(name, "amq.direct", f"{name}.key")

    await channel.basic_publish(b"", "amq.direct", f"{name}.key")

    got = await channel.basic_get(name, no_ack=True)
    assert (got["exchange_name"], got["routing_key"]) == ("amq.direct", f"{name}.key")


@scenario
async def test_a_queue_gets_one_copy_however_often_it_is_bound(connect: Connect, name: str) -> None:
    """Row 123."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    await channel.queue_bind(name, "amq.direct", name)
    await channel.queue_bind(name, "amq.direct", name)
    await channel.queue_bind(name, "amq.direct", name, arguments={"which": "another"})

    await channel.basic_publish(b"once", "amq.direct", name)

    assert await drain(channel, name) == [b"once"]


@scenario
async def test_bindings_are_deleted_with_their_queue(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    await channel.queue_bind(name, "amq.direct", name)
    await channel.queue_delete(name)
    await channel.queue_declare(name, exclusive=True)

    await channel.basic_publish(b"to nobody", "amq.direct", name)
    await channel.basic_publish(b"to the queue", "", name)

    assert await drain(channel, name) == [b"to the queue"]


@scenario
async def test_bindings_are_deleted_with_their_exchange(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    exchange, queue = new_name(), new_name()
    await channel.queue_declare(queue, exclusive=True)
    await channel.exchange_declare(exchange, "direct")
    await channel.queue_bind(queue, exchange, "key")
    await channel.exchange_delete(exchange)
    await channel.exchange_declare(exchange, "direct")

    await channel.basic_publish(b"to nobody", exchange, "key")
    await channel.basic_publish(b"to the queue", "", queue)

    assert await drain(channel, queue) == [b"to the queue"]


@scenario
async def test_an_auto_delete_exchange_is_deleted_with_its_last_binding(
    connect: Connect, new_name: NewName
) -> None:
    """Row 119."""
    channel = await (await connect()).channel()
    exchange, queue = new_name(), new_name()
    await channel.exchange_declare(exchange, "direct", auto_delete=True)
    await channel.queue_declare(queue, exclusive=True)
    await channel.queue_bind(queue, exchange, "key")

    await channel.queue_delete(queue)

    assert await refusal(channel.exchange_declare(exchange, passive=True)) == (
        404,
        f"NOT_FOUND - no exchange '{exchange}' in vhost '/'",
    )


@scenario
async def test_an_unroutable_mandatory_message_is_returned(connect: Connect, name: str) -> None:
    """Row 141."""
    returns = Returns()
    channel = await (await connect()).channel(return_callback=returns)

    await channel.basic_publish(
        b"body", "amq.direct", name, {"message_id": "7", "headers": {"a": 1}}, mandatory=True
    )

    body, envelope, properties = await returns.next_return()
    assert body == b"body"
    assert (envelope.reply_code, envelope.reply_text) == (312, "NO_ROUTE")
    assert (envelope.exchange_name, envelope.routing_key) == ("amq.direct", name)
    assert (properties.message_id, properties.headers) == ("7", {"a": 1})
    assert channel.is_open


@scenario
async def test_only_unroutable_mandatory_messages_are_returned(connect: Connect, name: str) -> None:
    """Row 140."""
    returns = Returns()
    channel = await (await connect()).channel(return_callback=returns)
    await channel.queue_declare(name, exclusive=True)

    await channel.basic_publish(b"routed", "", name, mandatory=True)
    await channel.basic_publish(b"dropped", "", f"{name}-missing")
    await channel.basic_publish(b"back", "", f"{name}-missing", mandatory=True)

    body, _, _ = await returns.next_return()
    assert body == b"back"
    assert returns.count == 0
    assert await drain(channel, name) == [b"routed"]


@scenario
async def test_messages_are_returned_in_the_order_of_publishing(
    connect: Connect, name: str
) -> None:
    returns = Returns()
    channel = await (await connect()).channel(return_callback=returns)
    bodies = [b"%d" % number for number in range(50)]

    for body in bodies:
        await channel.basic_publish(body, "", name, mandatory=True)

    assert [(await returns.next_return())[0] for _ in bodies] == bodies


@scenario
async def test_publishing_to_a_missing_exchange_closes_the_channel(
    connect: Connect, name: str
) -> None:
    """Row 83."""
    channel = await (await connect()).channel()

    await channel.basic_publish(b"", name, "key")

    assert await refusal(channel.basic_qos(prefetch_count=1)) == (
        404,
        f"NOT_FOUND - no exchange '{name}' in vhost '/'",
    )


@scenario
async def test_a_queue_cannot_be_bound_to_a_missing_exchange(
    connect: Connect, new_name: NewName
) -> None:
    """Row 84."""
    channel = await (await connect()).channel()
    queue, exchange = new_name(), new_name()
    await channel.queue_declare(queue, exclusive=True)

    assert await refusal(channel.queue_bind(queue, exchange, "key")) == (
        404,
        f"NOT_FOUND - no exchange '{exchange}' in vhost '/'",
    )


@scenario
async def test_the_default_exchange_cannot_be_bound_to(connect: Connect, name: str) -> None:
    """Row 94."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)

    assert await refusal(channel.queue_bind(name, "", "key")) == (
        403,
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    )


@scenario
async def test_redeclaring_an_exchange_with_other_arguments_is_refused(
    connect: Connect, name: str
) -> None:
    """Row 109."""
    channel = await (await connect()).channel()
    await channel.exchange_declare(name, "direct")

    assert await refusal(channel.exchange_declare(name, "direct", durable=True)) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for exchange '{name}' in vhost '/':"
        " received 'true' but current is 'false'",
    )


@scenario
async def test_an_exchange_in_use_is_not_deleted_if_unused(
    connect: Connect, new_name: NewName
) -> None:
    """Row 112."""
    protocol = await connect()
    channel = await protocol.channel()
    exchange, queue = new_name(), new_name()
    await channel.exchange_declare(exchange, "direct")
    await channel.queue_declare(queue, exclusive=True)
    await channel.queue_bind(queue, exchange, "key")

    assert await refusal(channel.exchange_delete(exchange, if_unused=True)) == (
        406,
        f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '/' in use",
    )

    channel = await protocol.channel()
    await channel.queue_delete(queue)
    assert await channel.exchange_delete(exchange, if_unused=True)


@scenario
async def test_queues_receive_a_message_in_the_order_of_their_names(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row F5: in descending order, before 4.0.

    Nearly always, because the queues of RabbitMQ deliver it independently.
    """
    channel = await (await connect()).channel()
    exchange, *queues = sorted(new_name() for _ in range(3))
    await channel.exchange_declare(exchange, "fanout", auto_delete=True)
    inbox = Inbox()
    for queue in queues:
        await channel.queue_declare(queue, exclusive=True)
        await channel.queue_bind(queue, exchange, "")
        await channel.basic_consume(inbox, queue, consumer_tag=queue, no_ack=True)

    orders = []
    for _ in range(20):
        await channel.basic_publish(b"", exchange, "")
        received = [await inbox.next_message() for _ in queues]
        orders.append([message.envelope.consumer_tag for message in received])

    assert by_version({"3.10": queues[::-1], "4.0": queues}) in orders


@scenario
async def test_a_stream_that_fails_is_the_last_to_receive_a_message(
    connect: Connect, new_name: NewName
) -> None:
    """Row F5."""
    observer = await (await connect()).channel()
    protocol = await connect()
    channel = await protocol.channel()
    exchange, *queues = sorted(new_name() for _ in range(4))
    await channel.exchange_declare(exchange, "fanout")
    inbox = Inbox()
    for queue, kind in zip(queues, ("stream", "quorum", "classic"), strict=True):
        await channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})
        await channel.queue_bind(queue, exchange, "")
        if kind != "stream":
            await observer.basic_consume(inbox, queue, consumer_tag=kind)

    await channel.basic_publish(b"m", exchange, "", {"headers": {"d": Decimal(1)}})

    received = {(await inbox.next_message()).envelope.consumer_tag for _ in range(2)}
    assert received == {"classic", "quorum"}
    await protocol.wait_closed()
