"""Consuming with ``async for``."""

import asyncio

import pytest

from aioamqp import Channel, ChannelClosed, ConsumerCancelled
from tests.conformance.scenario import Connect, NewName, drain, exclusive_queue, scenario


async def channel_with_queue(connect: Connect, name: str, *bodies: bytes) -> Channel:
    """Return a channel whose connection has an exclusive queue with these messages."""
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, *bodies)
    return channel


@scenario
async def test_messages_are_acknowledged_one_by_one(connect: Connect, name: str) -> None:
    channel = await channel_with_queue(connect, name, b"1", b"2", b"3")

    async with channel.consume(name) as messages:
        async for message in messages:
            async with message:
                if message.body == b"2":
                    break

    assert await drain(channel, name) == [b"3"]


@scenario
async def test_no_more_than_the_prefetch_count_is_delivered(connect: Connect, name: str) -> None:
    channel = await channel_with_queue(connect, name, *(b"%d" % number for number in range(10)))

    async with channel.consume(name, prefetch_count=4) as messages:
        await anext(messages)
        other = await channel.protocol.channel()
        # This reply follows the four deliveries.
        ready = (await other.queue_declare(name, passive=True))["message_count"]

    assert ready == 6


@scenario
async def test_unread_messages_are_requeued_in_order(connect: Connect, name: str) -> None:
    channel = await channel_with_queue(connect, name, b"1", b"2", b"3", b"4")

    async with channel.consume(name) as messages:
        first = await anext(messages)
        await first.ack()
    # The broker processes this consume after the cancel and the requeueing.
    async with channel.consume(name) as messages:
        again = [await anext(messages) for _ in range(3)]

    assert [message.body for message in again] == [b"2", b"3", b"4"]
    assert all(message.envelope.is_redeliver for message in again)


@scenario
async def test_a_requeued_message_is_redelivered(connect: Connect, name: str) -> None:
    channel = await channel_with_queue(connect, name, b"1")
    tries = 0

    async for message in channel.consume(name):
        tries += 1
        if tries == 2:
            assert message.envelope.is_redeliver
            await message.ack()
            break
        with pytest.raises(ZeroDivisionError):
            async with message.process(requeue=True):
                raise ZeroDivisionError

    assert await drain(channel, name) == []


@scenario
async def test_recovered_messages_are_delivered_once_and_can_be_acknowledged(
    connect: Connect, name: str
) -> None:
    channel = await channel_with_queue(connect, name, b"1", b"2", b"3")

    async with asyncio.timeout(5), channel.consume(name) as messages:
        await anext(messages)
        await channel.queue_declare(name, passive=True)  # the other messages have been delivered
        await channel.basic_recover()
        again = [await anext(messages) for _ in range(3)]
        for message in again:
            await message.ack()

    assert [message.body for message in again] == [b"1", b"2", b"3"]
    assert await drain(channel, name) == []


@scenario
async def test_deleting_the_queue_ends_the_loop(connect: Connect, name: str) -> None:
    """R17."""
    channel = await channel_with_queue(connect, name, b"1")
    other = await channel.protocol.channel()

    with pytest.raises(ConsumerCancelled):
        async for message in channel.consume(name):
            await message.ack()
            await other.queue_delete(name)

    assert channel.is_open


@scenario
async def test_closing_the_channel_ends_the_loop(connect: Connect, name: str) -> None:
    channel = await channel_with_queue(connect, name, b"1")

    async for message in channel.consume(name):
        assert message.body == b"1"
        await channel.close()


@scenario
async def test_a_channel_error_ends_the_loop(connect: Connect, name: str) -> None:
    channel = await channel_with_queue(connect, name, b"1")

    with pytest.raises(ChannelClosed) as caught:
        async for message in channel.consume(name):
            await channel.basic_client_ack(message.envelope.delivery_tag + 7)

    assert caught.value.code == 406


@scenario
async def test_a_missing_queue_is_reported_at_the_first_iteration(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()

    with pytest.raises(ChannelClosed) as caught:
        await anext(channel.consume(new_name()))

    assert caught.value.code == 404


@scenario
async def test_calls_can_be_made_while_iterating(connect: Connect, name: str) -> None:
    channel = await channel_with_queue(connect, name, b"1", b"2")
    await channel.confirm_select()
    copies = f"{name}-copies"
    await channel.queue_declare(copies, exclusive=True)

    async with asyncio.timeout(5), channel.consume(name) as messages:
        async for message in messages:
            await channel.publish(message.body, "", copies)
            await message.ack()
            if message.body == b"2":
                break

    assert await drain(channel, copies) == [b"1", b"2"]


@scenario
async def test_leaving_the_block_of_a_channel_requeues_its_messages(
    connect: Connect, name: str
) -> None:
    channel = await channel_with_queue(connect, name, b"1")

    async with await channel.protocol.channel() as other:
        message = await anext(other.consume(name))
    with pytest.raises(ChannelClosed):
        await message.ack()

    assert await drain(channel, name) == [b"1"]
