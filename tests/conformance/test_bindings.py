"""Bindings of exchanges to exchanges, and what undoes a binding."""

from tests.conformance.scenario import Connect, NewName, drained, exclusive_queue, scenario


@scenario
async def test_a_message_flows_through_exchanges_that_are_bound(
    connect: Connect, new_name: NewName
) -> None:
    """Row 133."""
    channel = await (await connect()).channel()
    source, destination, queue = new_name(), new_name(), new_name()
    for exchange in (source, destination):
        await channel.exchange_declare(exchange, "direct")
    await exclusive_queue(channel, queue)

    await channel.queue_bind(queue, destination, "key")
    await channel.exchange_bind(destination, source, "key")
    await channel.basic_publish(b"through", source, "key")
    await channel.basic_publish(b"elsewhere", source, "other")

    assert await drained(channel, queue) == [b"through"]


@scenario
async def test_nothing_flows_through_a_binding_of_exchanges_that_was_undone(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    source, destination, queue = new_name(), new_name(), new_name()
    for exchange in (source, destination):
        await channel.exchange_declare(exchange, "direct")
    await exclusive_queue(channel, queue)
    await channel.queue_bind(queue, destination, "key")
    await channel.exchange_bind(destination, source, "key", no_wait=True)

    await channel.exchange_unbind(destination, source, "key")
    await channel.basic_publish(b"lost", source, "key")
    await channel.basic_publish(b"direct", destination, "key")

    assert await drained(channel, queue) == [b"direct"]


@scenario
async def test_nothing_flows_through_a_binding_of_a_queue_that_was_undone(
    connect: Connect, name: str
) -> None:
    """Row 124."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name)
    for key in ("kept", "undone", "undone unheard"):
        await channel.queue_bind(name, "amq.direct", f"{name} {key}", arguments={"a": 1})

    await channel.queue_unbind(name, "amq.direct", f"{name} undone", {"a": 1})
    await channel.queue_unbind(name, "amq.direct", f"{name} undone unheard", {"a": 1}, no_wait=True)
    for key in ("undone", "undone unheard", "kept"):
        await channel.basic_publish(key.encode(), "amq.direct", f"{name} {key}")

    assert await drained(channel, name) == [b"kept"]


@scenario
async def test_a_binding_that_never_was_can_be_undone(connect: Connect, name: str) -> None:
    """Row 85."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name)

    assert await channel.queue_unbind(name, "amq.direct", "key") is True
    assert await channel.exchange_unbind("amq.direct", "amq.fanout", "key") is True
