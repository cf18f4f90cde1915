"""Bindings of exchanges to exchanges, and unbinding."""

from aioamqp import Channel
from tests.conformance.scenario import Connect, NewName, drain, exclusive_queue, scenario


async def exchanges_and_queue(channel: Channel, new_name: NewName) -> tuple[str, str, str]:
    """Declare two direct exchanges and an exclusive queue; return their names."""
    source, destination, queue = new_name(), new_name(), new_name()
    for exchange in (source, destination):
        await channel.exchange_declare(exchange, "direct")
    return source, destination, await exclusive_queue(channel, queue)


@scenario
async def test_a_message_is_routed_through_bound_exchanges(
    connect: Connect, new_name: NewName
) -> None:
    """Row 133."""
    channel = await (await connect()).channel()
    source, destination, queue = await exchanges_and_queue(channel, new_name)

    await channel.queue_bind(queue, destination, "key")
    await channel.exchange_bind(destination, source, "key")
    await channel.basic_publish(b"through", source, "key")
    await channel.basic_publish(b"elsewhere", source, "other")

    assert await drain(channel, queue) == [b"through"]


@scenario
async def test_a_message_is_not_routed_after_exchange_unbind(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    source, destination, queue = await exchanges_and_queue(channel, new_name)
    await channel.queue_bind(queue, destination, "key")
    await channel.exchange_bind(destination, source, "key", no_wait=True)

    await channel.exchange_unbind(destination, source, "key")
    await channel.basic_publish(b"lost", source, "key")
    await channel.basic_publish(b"direct", destination, "key")

    assert await drain(channel, queue) == [b"direct"]


@scenario
async def test_a_message_is_not_routed_after_queue_unbind(connect: Connect, name: str) -> None:
    """Row 124."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name)
    for key in ("kept", "unbound", "unbound with no_wait"):
        await channel.queue_bind(name, "amq.direct", f"{name} {key}", arguments={"a": 1})

    await channel.queue_unbind(name, "amq.direct", f"{name} unbound", {"a": 1})
    await channel.queue_unbind(
        name, "amq.direct", f"{name} unbound with no_wait", {"a": 1}, no_wait=True
    )
    for key in ("unbound", "unbound with no_wait", "kept"):
        await channel.basic_publish(key.encode(), "amq.direct", f"{name} {key}")

    assert await drain(channel, name) == [b"kept"]


@scenario
async def test_unbinding_a_missing_binding_succeeds(connect: Connect, name: str) -> None:
    """Row 85."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name)

    assert await channel.queue_unbind(name, "amq.direct", "key") is True
    assert await channel.exchange_unbind("amq.direct", "amq.fanout", "key") is True
