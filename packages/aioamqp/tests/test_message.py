"""A message and how it is settled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import Command, DecodeError, Method, Properties, basic
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

DELIVER = basic.Deliver("tag", 7, True, "orders", "eu.new")


async def delivered(
    server: ScriptedServer, properties: Properties | None = None, **kwargs: Any
) -> aioamqp.Message:
    """Return a message that has just been delivered on channel 1."""
    channel = await server.open_channel()
    messages = channel.consume("q", consumer_tag="tag", **kwargs)
    server.send(Command(1, DELIVER, properties or Properties(), b"body"))
    return await anext(messages)


async def settled(server: ScriptedServer, message: aioamqp.Message) -> list[Method]:
    """Close the connection; return what was said about the message before."""
    await wait_idle()
    await message.channel.protocol.close()
    kinds = (basic.Ack, basic.Nack, basic.Reject)
    return [command.method for command in server.received if isinstance(command.method, kinds)]


async def test_a_message_says_what_came(server: ScriptedServer) -> None:
    message = await delivered(server, Properties(type="t", headers={"a": 1}))

    assert message.body == b"body"
    assert message.envelope.delivery_tag == 7
    assert message.envelope.consumer_tag == "tag"
    assert message.envelope.is_redeliver
    assert (message.envelope.exchange_name, message.envelope.routing_key) == ("orders", "eu.new")
    assert message.properties.message_type == "t"
    assert message.properties.headers == {"a": 1}
    assert message.envelope is message.envelope
    assert message.properties is message.properties
    assert not message.is_settled
    assert repr(message) == (
        "<Message 7 from exchange 'orders' with routing key 'eu.new', 4 bytes>"
    )
    await settled(server, message)


@pytest.mark.parametrize(
    ("settle_it", "said"),
    [
        (lambda m: m.ack(), basic.Ack(7)),
        (lambda m: m.ack(multiple=True), basic.Ack(7, True)),
        (lambda m: m.nack(), basic.Nack(7, False, True)),
        (lambda m: m.nack(multiple=True, requeue=False), basic.Nack(7, True, False)),
        (lambda m: m.reject(), basic.Reject(7, False)),
        (lambda m: m.reject(requeue=True), basic.Reject(7, True)),
    ],
)
async def test_a_message_is_settled_by_its_tag(
    server: ScriptedServer, settle_it: Callable[[aioamqp.Message], Awaitable[None]], said: Method
) -> None:
    message = await delivered(server)

    await settle_it(message)

    assert message.is_settled
    assert await settled(server, message) == [said]


async def test_a_message_is_settled_once(server: ScriptedServer) -> None:
    message = await delivered(server)
    await message.ack()

    for again in (message.ack, message.nack, message.reject):
        with pytest.raises(aioamqp.AlreadySettled, match="has been settled already: do so once"):
            await again()

    assert await settled(server, message) == [basic.Ack(7)]


async def test_a_message_is_settled_once_also_by_two_who_wait_for_the_link(
    server: ScriptedServer,
) -> None:
    message = await delivered(server)
    protocol = message.channel.protocol
    protocol.pause_writing()
    given_up = asyncio.create_task(message.reject())
    await wait_idle()
    given_up.cancel()
    await wait_idle()
    assert not message.is_settled
    first, second = (asyncio.create_task(message.ack()) for _ in range(2))
    await wait_idle()
    protocol.resume_writing()

    await first
    with pytest.raises(aioamqp.AlreadySettled):
        await second

    assert await settled(server, message) == [basic.Ack(7)]


async def test_with_no_ack_there_is_nothing_to_settle(server: ScriptedServer) -> None:
    message = await delivered(server, no_ack=True)

    assert message.is_settled
    with pytest.raises(aioamqp.AlreadySettled, match="came with no_ack=True"):
        await message.ack()
    async with message:
        pass

    assert await settled(server, message) == []


async def test_a_block_that_ends_acknowledges(server: ScriptedServer) -> None:
    message = await delivered(server)

    async with message as same:
        assert same is message

    assert await settled(server, message) == [basic.Ack(7)]


@pytest.mark.parametrize("requeue", [False, True])
async def test_a_block_that_fails_rejects(server: ScriptedServer, requeue: bool) -> None:
    message = await delivered(server)

    with pytest.raises(ZeroDivisionError):
        async with message.process(requeue=requeue) as same:
            assert same is message
            raise ZeroDivisionError

    assert await settled(server, message) == [basic.Reject(7, requeue)]


async def test_a_plain_block_that_fails_rejects_for_good(server: ScriptedServer) -> None:
    message = await delivered(server)

    with pytest.raises(ZeroDivisionError):
        async with message:
            raise ZeroDivisionError

    assert await settled(server, message) == [basic.Reject(7, False)]


async def test_a_block_that_is_cancelled_requeues(server: ScriptedServer) -> None:
    message = await delivered(server)

    async def handle() -> None:
        async with message:
            await asyncio.sleep(3600)

    task = asyncio.create_task(handle())
    await wait_idle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await settled(server, message) == [basic.Reject(7, True)]


@pytest.mark.parametrize("fails", [False, True])
async def test_what_the_block_has_settled_stays(server: ScriptedServer, fails: bool) -> None:
    message = await delivered(server)

    try:
        async with message:
            await message.nack()
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass

    assert await settled(server, message) == [basic.Nack(7, False, True)]


async def test_a_block_says_that_its_work_will_come_again(server: ScriptedServer) -> None:
    message = await delivered(server)

    with pytest.raises(aioamqp.ChannelClosed):
        async with message:
            await message.channel.close()

    assert not message.is_settled
    await message.channel.protocol.close()


async def test_what_fails_a_block_is_not_hidden_by_a_closed_channel(
    server: ScriptedServer,
) -> None:
    message = await delivered(server)

    with pytest.raises(ZeroDivisionError):
        async with message:
            await message.channel.close()
            raise ZeroDivisionError

    await message.channel.protocol.close()


async def test_damaged_headers_fail_where_they_are_looked_at(server: ScriptedServer) -> None:
    """R11."""
    channel = await server.open_channel()
    messages = channel.consume("q", consumer_tag="tag")
    whole = Properties(content_type="x", headers={"key": "value"}).encode()
    damaged = whole.replace(b"\x03keyS", b"\x03key\x00")
    assert damaged != whole
    server.send(Command(1, DELIVER, Properties.decode(damaged, 0, len(damaged)), b"body"))

    poisoned = await anext(messages)

    assert (poisoned.body, poisoned.envelope.delivery_tag) == (b"body", 7)
    with pytest.raises(DecodeError):
        _ = poisoned.properties.headers
    await poisoned.reject()

    assert await channel.queue_declare("still open")
    assert await settled(server, poisoned) == [basic.Reject(7, False)]
