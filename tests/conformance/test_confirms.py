"""What a publisher is told about its messages."""

import asyncio

import pytest

from aioamqp import Channel, ChannelClosed, PublishNotSent, PublishReturned, PublishUnconfirmed
from tests.conformance.scenario import (
    Connect,
    NewName,
    drained,
    exclusive_queue,
    scenario,
)


async def confirming(connect: Connect) -> Channel:
    channel = await (await connect()).channel()
    await channel.confirm_select()
    return channel


@scenario
async def test_a_confirmed_message_is_in_its_queue(connect: Connect, name: str) -> None:
    channel = await confirming(connect)
    await exclusive_queue(channel, name)

    await channel.publish(b"hello", "", name)

    assert await drained(channel, name) == [b"hello"]


@scenario
async def test_many_messages_are_confirmed_side_by_side(connect: Connect, name: str) -> None:
    channel = await confirming(connect)
    await exclusive_queue(channel, name)
    bodies = [b"%d" % number for number in range(500)]

    await asyncio.gather(*(channel.publish(body, "", name) for body in bodies))

    assert await drained(channel, name) == bodies


@scenario
async def test_confirm_mode_can_be_turned_on_without_an_answer(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"before")

    await channel.confirm_select(no_wait=True)
    await channel.publish(b"after", "", name)

    assert await drained(channel, name) == [b"before", b"after"]


@scenario
async def test_messages_that_nobody_waits_for_do_not_confuse_the_count(
    connect: Connect, name: str
) -> None:
    channel = await confirming(connect)
    await exclusive_queue(channel, name)

    for _ in range(20):
        await channel.basic_publish(b"unheard", "", name)
        await channel.publish(b"heard", "", name)
    with pytest.raises(PublishReturned) as caught:
        await channel.publish(b"back", "", f"{name}-missing", mandatory=True)

    assert caught.value.delivery_tag == 41


@scenario
async def test_a_cancelled_publish_does_not_confuse_the_count(connect: Connect, name: str) -> None:
    channel = await confirming(connect)
    await exclusive_queue(channel, name)

    task = asyncio.create_task(channel.publish(b"cancelled", "", name))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await channel.publish(b"next", "", name)

    assert await drained(channel, name) == [b"cancelled", b"next"]


@scenario
async def test_an_unroutable_message_is_confirmed_unless_it_is_mandatory(
    connect: Connect, name: str
) -> None:
    channel = await confirming(connect)

    await channel.publish(b"dropped", "", name)
    with pytest.raises(PublishReturned) as caught:
        await channel.publish(b"back", "", name, {"message_id": "7"}, mandatory=True)

    error = caught.value
    assert error.delivery_tag == 2
    assert (error.envelope.reply_code, error.envelope.reply_text) == (312, "NO_ROUTE")
    assert (error.envelope.exchange_name, error.envelope.routing_key) == ("", name)
    assert (error.body, error.properties.message_id) == (b"back", "7")


@scenario
async def test_equal_messages_that_come_back_each_fail(connect: Connect, name: str) -> None:
    channel = await confirming(connect)

    outcomes = await asyncio.gather(
        *(channel.publish(b"same", "", name, mandatory=True) for _ in range(50)),
        return_exceptions=True,
    )

    tags = [outcome.delivery_tag for outcome in outcomes if isinstance(outcome, PublishReturned)]
    assert tags == list(range(1, 51))


@scenario
async def test_only_the_messages_that_come_back_fail(connect: Connect, name: str) -> None:
    channel = await confirming(connect)
    await exclusive_queue(channel, name)
    properties = {"headers": {"text": "grüße", "number": 5}, "delivery_mode": 2}

    outcomes = await asyncio.gather(
        *(
            channel.publish(
                b"x" * number,
                "",
                name if number % 2 else f"{name}-missing",
                properties,
                mandatory=True,
            )
            for number in range(20)
        ),
        return_exceptions=True,
    )

    assert [isinstance(outcome, PublishReturned) for outcome in outcomes] == [True, False] * 10
    assert [len(body) for body in await drained(channel, name)] == list(range(1, 20, 2))


@scenario
async def test_what_was_published_to_a_missing_exchange_stays_unconfirmed(
    connect: Connect, new_name: NewName
) -> None:
    channel = await confirming(connect)
    exchange = new_name()

    with pytest.raises(PublishUnconfirmed) as unknown:
        await channel.publish(b"", exchange, "key")
    with pytest.raises(PublishNotSent) as unsent:
        await channel.publish(b"", exchange, "key")

    assert isinstance(unknown.value, ChannelClosed)
    assert (unknown.value.code, unknown.value.message) == (
        404,
        f"NOT_FOUND - no exchange '{exchange}' in vhost '/'",
    )
    assert isinstance(unsent.value, ChannelClosed)


@scenario
async def test_a_new_channel_counts_from_the_start(connect: Connect, name: str) -> None:
    protocol = await connect()
    first = await protocol.channel()
    await first.confirm_select()
    await first.publish(b"", "", name)
    await first.close()

    second = await protocol.channel()
    assert second.publisher_confirms is False
    await second.confirm_select()
    with pytest.raises(PublishReturned) as caught:
        await second.publish(b"", "", name, mandatory=True)

    assert caught.value.delivery_tag == 1


@scenario
async def test_a_message_that_comes_back_changed_is_recognized(connect: Connect, name: str) -> None:
    channel = await confirming(connect)
    headers = {"BCC": [f"{name}-blind"], "kept": 1}

    with pytest.raises(PublishReturned) as caught:
        await channel.publish(b"", "", name, {"headers": headers}, mandatory=True)

    assert caught.value.delivery_tag == 1
    assert caught.value.properties.headers == {"kept": 1}
