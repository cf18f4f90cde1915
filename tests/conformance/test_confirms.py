"""Publisher confirms and returned messages in confirm mode."""

import asyncio

import pytest

from aioamqp import Channel, ChannelClosed, PublishNotSent, PublishReturned, PublishUnconfirmed
from tests.conformance.scenario import (
    Connect,
    NewName,
    drain,
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

    assert await drain(channel, name) == [b"hello"]


@scenario
async def test_many_publishes_can_be_confirmed_concurrently(connect: Connect, name: str) -> None:
    channel = await confirming(connect)
    await exclusive_queue(channel, name)
    bodies = [b"%d" % number for number in range(500)]

    await asyncio.gather(*(channel.publish(body, "", name) for body in bodies))

    assert await drain(channel, name) == bodies


@scenario
async def test_confirm_select_works_with_no_wait(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"before")

    await channel.confirm_select(no_wait=True)
    await channel.publish(b"after", "", name)

    assert await drain(channel, name) == [b"before", b"after"]


@scenario
async def test_basic_publish_takes_a_delivery_tag_in_confirm_mode(
    connect: Connect, name: str
) -> None:
    channel = await confirming(connect)
    await exclusive_queue(channel, name)

    for _ in range(20):
        await channel.basic_publish(b"unconfirmed", "", name)
        await channel.publish(b"confirmed", "", name)
    with pytest.raises(PublishReturned) as caught:
        await channel.publish(b"back", "", f"{name}-missing", mandatory=True)

    assert caught.value.delivery_tag == 41


@scenario
async def test_a_cancelled_publish_keeps_its_delivery_tag(connect: Connect, name: str) -> None:
    channel = await confirming(connect)
    await exclusive_queue(channel, name)

    task = asyncio.create_task(channel.publish(b"cancelled", "", name))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await channel.publish(b"next", "", name)

    assert await drain(channel, name) == [b"cancelled", b"next"]


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
async def test_each_of_several_equal_returned_messages_fails_its_publish(
    connect: Connect, name: str
) -> None:
    channel = await confirming(connect)

    outcomes = await asyncio.gather(
        *(channel.publish(b"same", "", name, mandatory=True) for _ in range(50)),
        return_exceptions=True,
    )

    tags = [outcome.delivery_tag for outcome in outcomes if isinstance(outcome, PublishReturned)]
    assert tags == list(range(1, 51))


@scenario
async def test_only_the_publishes_of_returned_messages_fail(connect: Connect, name: str) -> None:
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
    assert [len(body) for body in await drain(channel, name)] == list(range(1, 20, 2))


@scenario
async def test_publishing_to_a_missing_exchange_raises_publish_unconfirmed(
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
async def test_delivery_tags_start_at_1_on_a_new_channel(connect: Connect, name: str) -> None:
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
async def test_a_returned_message_without_its_bcc_header_is_matched_to_its_publish(
    connect: Connect, name: str
) -> None:
    channel = await confirming(connect)
    headers = {"BCC": [f"{name}-blind"], "kept": 1}

    with pytest.raises(PublishReturned) as caught:
        await channel.publish(b"", "", name, {"headers": headers}, mandatory=True)

    assert caught.value.delivery_tag == 1
    assert caught.value.properties.headers == {"kept": 1}
