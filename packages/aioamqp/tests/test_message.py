"""Messages and how they are settled, and consuming with ``async for``."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

import pytest

import aioamqp
from amqp_codec import (
    Command,
    DecodeError,
    Method,
    Properties,
    basic,
    channel,
    connection,
)
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
    """Close the connection; return the acks, nacks and rejects before."""
    await wait_idle()
    await message.channel.protocol.close()
    kinds = (basic.Ack, basic.Nack, basic.Reject)
    return [command.method for command in server.received if isinstance(command.method, kinds)]


async def test_a_message_has_the_parts_of_its_delivery(server: ScriptedServer) -> None:
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


async def test_a_message_is_settled_by_its_own_tag_when_its_envelope_is_changed(
    server: ScriptedServer,
) -> None:
    message = await delivered(server)

    message.envelope.delivery_tag = 8
    await message.ack()

    assert await settled(server, message) == [basic.Ack(7)]


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
async def test_a_message_is_settled_by_its_delivery_tag(
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


async def test_a_message_is_settled_once_by_two_tasks_that_wait_for_the_write_buffer(
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


async def test_a_block_that_ends_acknowledges_the_message(server: ScriptedServer) -> None:
    message = await delivered(server)

    async with message as same:
        assert same is message

    assert await settled(server, message) == [basic.Ack(7)]


@pytest.mark.parametrize("requeue", [False, True])
async def test_a_block_that_fails_rejects_the_message(
    server: ScriptedServer, requeue: bool
) -> None:
    message = await delivered(server)

    with pytest.raises(ZeroDivisionError):
        async with message.process(requeue=requeue) as same:
            assert same is message
            raise ZeroDivisionError

    assert await settled(server, message) == [basic.Reject(7, requeue)]


async def test_a_block_without_process_rejects_without_requeueing(server: ScriptedServer) -> None:
    message = await delivered(server)

    with pytest.raises(ZeroDivisionError):
        async with message:
            raise ZeroDivisionError

    assert await settled(server, message) == [basic.Reject(7, False)]


async def test_a_block_that_is_cancelled_requeues_the_message(server: ScriptedServer) -> None:
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
async def test_a_message_that_the_block_has_settled_is_not_settled_again(
    server: ScriptedServer, fails: bool
) -> None:
    message = await delivered(server)

    try:
        async with message:
            await message.nack()
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass

    assert await settled(server, message) == [basic.Nack(7, False, True)]


async def test_a_block_that_closes_the_channel_raises_that_the_message_was_not_settled(
    server: ScriptedServer,
) -> None:
    message = await delivered(server)

    with pytest.raises(aioamqp.ChannelClosed):
        async with message:
            await message.channel.close()

    assert not message.is_settled
    await message.channel.protocol.close()


async def test_the_exception_of_a_block_is_not_hidden_by_a_closed_channel(
    server: ScriptedServer,
) -> None:
    message = await delivered(server)

    with pytest.raises(ZeroDivisionError):
        async with message:
            await message.channel.close()
            raise ZeroDivisionError

    await message.channel.protocol.close()


async def test_headers_that_cannot_be_decoded_cost_only_themselves(server: ScriptedServer) -> None:
    """R11. Row C3."""
    channel = await server.open_channel()
    messages = channel.consume("q", consumer_tag="tag")
    whole = Properties(content_type="x", headers={"key": "value"}).encode()
    damaged = whole.replace(b"\x03keyS", b"\x03key\x00")
    assert damaged != whole
    server.send(Command(1, DELIVER, Properties.decode(damaged, 0, len(damaged)), b"body"))

    poisoned = await anext(messages)

    assert (poisoned.body, poisoned.envelope.delivery_tag) == (b"body", 7)
    assert poisoned.properties.headers is None
    assert poisoned.properties.content_type == "x"
    assert isinstance(poisoned.properties.headers_error, DecodeError)
    assert poisoned.properties.raw_headers == damaged[4:]
    await poisoned.reject()

    assert await channel.queue_declare("still open")
    assert await settled(server, poisoned) == [basic.Reject(7, False)]


# -------------------------------------------------------------------- async for


def about_consumers(server: ScriptedServer) -> list[Method]:
    kinds = (basic.Qos, basic.Consume, basic.Cancel, basic.Nack, basic.Ack, basic.Reject)
    return [command.method for command in server.received if isinstance(command.method, kinds)]


async def bodies(messages: aioamqp.Messages) -> list[bytes]:
    return [message.body async for message in messages]


async def test_messages_are_iterated_in_their_order(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.answers[basic.Qos] = lambda _: basic.QosOk()
    seen = []
    messages = opened.consume("q", consumer_tag="tag")

    server.deliver("tag", b"1", b"2", b"3")
    async for message in messages:
        seen.append(message.body)
        await message.ack()
        if message.body == b"3":
            break

    assert seen == [b"1", b"2", b"3"]
    await opened.protocol.close()


async def test_nothing_is_sent_before_an_iterator_is_used(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    messages = opened.consume("q", prefetch_count=5)
    await wait_idle()
    assert server.received == []

    async with messages as same:
        assert same is messages
        assert about_consumers(server) == [
            basic.Qos(0, 5, False),
            basic.Consume("q", messages.consumer_tag),
        ]
    await opened.protocol.close()


@pytest.mark.parametrize(
    ("kwargs", "limits"),
    [
        ({}, [basic.Qos(0, 100)]),
        ({"prefetch_count": 0}, [basic.Qos(0, 0)]),
        ({"prefetch_count": None}, []),
        ({"no_ack": True}, []),
    ],
)
async def test_the_prefetch_is_set_before_consuming(
    server: ScriptedServer, kwargs: dict[str, Any], limits: list[Method]
) -> None:
    opened = await server.open_channel()

    async with opened.consume("q", **kwargs):
        assert server.methods(basic.Qos) == limits

    await opened.protocol.close()


async def test_all_arguments_are_passed_on(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    arguments = {"x-priority": 7}

    async with opened.consume(
        "q", consumer_tag="mine", no_local=True, no_ack=True, exclusive=True, arguments=arguments
    ) as messages:
        assert messages.consumer_tag == "mine"

    assert server.methods(basic.Consume) == [
        basic.Consume("q", "mine", True, True, True, False, arguments)
    ]
    await opened.protocol.close()


async def test_two_iterators_that_start_at_once_keep_their_own_prefetch(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    one, two = opened.consume("a", prefetch_count=1), opened.consume("b", prefetch_count=2)

    async with asyncio.TaskGroup() as group:
        group.create_task(one.__aenter__())
        group.create_task(two.__aenter__())

    assert about_consumers(server) == [
        basic.Qos(0, 1),
        basic.Consume("a", one.consumer_tag),
        basic.Qos(0, 2),
        basic.Consume("b", two.consumer_tag),
    ]
    await one.aclose()
    await two.aclose()
    await opened.protocol.close()


async def test_a_bad_argument_is_refused_before_anything_is_sent(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    for kwargs in ({"prefetch_count": -1}, {"arguments": {"x": object()}}):
        with pytest.raises(aioamqp.InvalidArgument):
            await anext(opened.consume("q", **kwargs))
    with pytest.raises(aioamqp.InvalidArgument):
        await anext(opened.consume("q" * 256))

    assert server.received == []
    assert opened.is_open
    await opened.protocol.close()


async def test_leaving_the_block_cancels_and_returns_unread_messages_to_the_queue(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    async with opened.consume("q", consumer_tag="tag", prefetch_count=None) as messages:
        server.deliver("tag", b"1", b"2", b"3")
        first = await anext(messages)

    await wait_idle()
    assert about_consumers(server) == [
        basic.Consume("q", "tag"),
        basic.Cancel("tag"),
        basic.Nack(2, requeue=True),
        basic.Nack(3, requeue=True),
    ]
    await first.ack()
    assert await bodies(messages) == []
    await opened.protocol.close()


async def test_deliveries_before_cancel_ok_are_returned_to_the_queue(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(basic.Cancel)
    messages = opened.consume("q", consumer_tag="tag", prefetch_count=None)
    await messages.__aenter__()

    leaving = asyncio.create_task(messages.aclose())
    await wait_idle()
    server.deliver("tag", b"late")
    await wait_idle()
    assert not leaving.done()
    server.send(basic.CancelOk("tag"))
    await leaving

    assert about_consumers(server)[1:] == [basic.Cancel("tag"), basic.Nack(1, requeue=True)]
    await opened.protocol.close()


async def test_with_no_ack_no_message_is_returned_to_the_queue(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    async with opened.consume("q", consumer_tag="tag", no_ack=True) as messages:
        server.deliver("tag", b"1", b"2")
        assert (await anext(messages)).body == b"1"

    await wait_idle()
    assert server.methods(basic.Nack) == []
    await opened.protocol.close()


async def test_leaving_a_loop_cancels_its_consumer(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    server.deliver("tag", b"1", b"2")
    async for message in opened.consume("q", consumer_tag="tag"):
        assert message.body == b"1"
        break
    gc.collect()
    await wait_idle()

    assert server.methods(basic.Cancel) == [basic.Cancel("tag")]
    assert server.methods(basic.Nack) == [basic.Nack(2, requeue=True)]
    await opened.protocol.close()


async def test_an_iterator_that_is_kept_continues_where_its_loop_ended(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag")
    server.deliver("tag", b"1", b"2")

    async for message in messages:
        assert message.body == b"1"
        break
    async for message in messages:
        assert message.body == b"2"
        break

    assert server.methods(basic.Cancel) == []
    await messages.aclose()
    await opened.protocol.close()


async def test_cancelling_a_task_cancels_its_consumer(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    async def work() -> None:
        async for _ in opened.consume("q", consumer_tag="tag"):
            pass

    task = asyncio.create_task(work())
    await wait_idle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    await wait_idle()

    assert server.methods(basic.Cancel) == [basic.Cancel("tag")]
    await opened.protocol.close()


@pytest.mark.parametrize("ends", ["channel", "connection"])
async def test_the_loop_ends_when_the_program_closes_channel_or_connection(
    server: ScriptedServer, ends: str
) -> None:
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag")
    loop = asyncio.create_task(bodies(messages))
    await wait_idle()

    if ends == "channel":
        await opened.close()
    else:
        await opened.protocol.close()

    assert await loop == []
    await messages.aclose()
    if ends == "channel":
        await opened.protocol.close()


async def test_the_loop_ends_when_the_program_cancels_its_consumer(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag")
    await messages.__aenter__()
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    await opened.basic_cancel("tag")

    assert await bodies(messages) == [b"1", b"2"]
    await messages.aclose()
    assert server.methods(basic.Cancel) == [basic.Cancel("tag")]
    await opened.protocol.close()


async def test_a_cancel_by_the_server_ends_the_loop_with_consumer_cancelled(
    server: ScriptedServer,
) -> None:
    """R17."""
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag")
    await messages.__aenter__()
    server.deliver("tag", b"1")
    await wait_idle()

    server.send(basic.Cancel("tag", True))
    await wait_idle()

    assert (await anext(messages)).body == b"1"
    with pytest.raises(aioamqp.ConsumerCancelled, match="has cancelled the consumer 'tag'"):
        await anext(messages)
    assert opened.is_open
    await messages.aclose()
    assert server.methods(basic.Cancel) == []
    await opened.protocol.close()


async def test_a_channel_close_from_the_server_ends_the_loop_with_its_reason(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag")
    loop = asyncio.create_task(bodies(messages))
    await wait_idle()

    server.send(channel.Close(406, "PRECONDITION_FAILED - unknown delivery tag 9"))

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await loop
    assert caught.value.code == 406
    await opened.protocol.close()


@pytest.mark.parametrize("no_ack", [False, True])
async def test_a_broken_link_ends_the_loop_with_its_reason(
    server: ScriptedServer, no_ack: bool
) -> None:
    """Messages that the server queues again are dropped; with no_ack it does not queue them again."""
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag", no_ack=no_ack)
    await messages.__aenter__()
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    server.transport.end(ConnectionResetError("reset"))
    await wait_idle()

    for body in [b"1", b"2"] if no_ack else []:
        assert (await anext(messages)).body == body
    with pytest.raises(aioamqp.ConnectionLost):
        await anext(messages)
    with pytest.raises(ConnectionResetError):
        await anext(messages)
    await messages.aclose()
    await opened.protocol.wait_closed()


async def test_a_connection_close_from_the_server_ends_the_loop_with_its_reason(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    loop = asyncio.create_task(bodies(opened.consume("q", consumer_tag="tag")))
    await wait_idle()

    server.send(connection.Close(320, "CONNECTION_FORCED"), channel=0)

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await loop
    assert caught.value.code == 320
    await opened.protocol.wait_closed()


async def test_the_first_message_of_a_missing_queue_raises_channel_closed(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.answers[basic.Consume] = lambda _: channel.Close(404, "NOT_FOUND - no queue 'q'")

    with pytest.raises(aioamqp.ChannelClosed) as caught:
        await anext(opened.consume("q"))

    assert caught.value.code == 404
    await opened.protocol.close()


async def test_leaving_the_block_ends_when_the_link_breaks(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(basic.Cancel)

    async with opened.consume("q"):
        asyncio.get_running_loop().call_later(1, server.transport.end, ConnectionResetError())

    assert not opened.is_open
    await opened.protocol.wait_closed()


async def test_aclose_can_be_cancelled(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(basic.Cancel)
    messages = opened.consume("q", consumer_tag="tag")
    await messages.__aenter__()
    server.deliver("tag", b"1")
    await wait_idle()

    leaving = asyncio.create_task(messages.aclose())
    await wait_idle()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    server.send(basic.CancelOk("tag"))
    await wait_idle()

    assert server.methods(basic.Nack) == [basic.Nack(1, requeue=True)]
    await opened.protocol.close()


async def test_starting_an_iterator_can_be_cancelled(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(basic.Consume)
    messages = opened.consume("q", consumer_tag="tag")

    first = asyncio.create_task(anext(messages))
    await wait_idle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    server.send(basic.ConsumeOk("tag"))
    server.deliver("tag", b"1")
    await wait_idle()

    assert server.methods(basic.Cancel) == [basic.Cancel("tag")]
    assert server.methods(basic.Nack) == [basic.Nack(1, requeue=True)]
    await opened.protocol.close()


async def test_several_tasks_share_the_messages(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag")
    tasks = [asyncio.create_task(bodies(messages)) for _ in range(3)]
    await wait_idle()
    assert len(server.methods(basic.Consume)) == 1

    for number in range(1, 10):
        server.deliver("tag", b"%d" % number, first=number)
        await wait_idle()
    await opened.basic_cancel("tag")

    parts = await asyncio.gather(*tasks)
    assert sorted(chain(*parts)) == [b"%d" % number for number in range(1, 10)]
    assert all(len(part) == 3 for part in parts)
    await opened.protocol.close()


async def test_a_message_for_a_cancelled_task_goes_to_another_one(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag")
    await messages.__aenter__()
    first, second = asyncio.create_task(anext(messages)), asyncio.create_task(anext(messages))
    await wait_idle()

    deliver = Command(1, basic.Deliver("tag", 1, False, "", ""), Properties(), b"1")
    server.send_now(deliver)
    first.cancel()
    await wait_idle()

    assert first.cancelled()
    assert (await second).body == b"1"
    await messages.aclose()
    await opened.protocol.close()
