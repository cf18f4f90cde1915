"""What exceptions advise when RabbitMQ refuses something, with its own texts."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

import aioamqp
from aioamqp import Channel, ChannelClosed
from aioamqp._advice import REFUSALS
from aioamqp_testing import FakeBroker
from tests.rabbitmq import NODES

NAME = "advice"


@pytest.fixture(params=["fake", *NODES])
def url_of_node(request: pytest.FixtureRequest) -> str | None:
    """The URL of RabbitMQ, or None for a fake broker of the test."""
    return str(request.getfixturevalue("rabbitmq_url")) if request.param in NODES else None


@pytest_asyncio.fixture
async def url(url_of_node: str | None) -> AsyncIterator[str]:
    if url_of_node is None:
        async with FakeBroker() as broker:
            yield await broker.listen()
    else:
        yield url_of_node


@pytest_asyncio.fixture
async def channel(url: str) -> AsyncIterator[Channel]:
    """A channel of a connection with a durable queue, which is deleted afterwards."""
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare(NAME, durable=True)
        yield channel
    async with aioamqp.from_url(url) as protocol:
        await (await protocol.channel()).queue_delete(NAME)


async def consumer(*_arguments: Any) -> None:
    """Ignore a message."""


async def declare_otherwise(channel: Channel) -> None:
    await channel.queue_declare(NAME, durable=False, exclusive=False, auto_delete=True)


async def acknowledge_twice(channel: Channel) -> None:
    await channel.basic_client_ack(7)
    await channel.queue_declare(NAME, passive=True)


async def delete_in_use(channel: Channel) -> None:
    await channel.basic_consume(consumer, NAME)
    await channel.queue_delete(NAME, if_unused=True)


async def delete_not_empty(channel: Channel) -> None:
    await channel.confirm_select()
    await channel.publish(b"x", "", NAME)
    await channel.queue_delete(NAME, if_empty=True)


async def consume_beside_an_exclusive_consumer(channel: Channel) -> None:
    await channel.basic_consume(consumer, NAME, exclusive=True)
    await channel.basic_consume(consumer, NAME)


async def declare_with_a_reserved_name(channel: Channel) -> None:
    await channel.queue_declare("amq.mine", durable=True)


async def consume_from_nowhere(channel: Channel) -> None:
    await channel.basic_consume(consumer, "quite-another")


async def publish_nowhere(channel: Channel) -> None:
    await channel.basic_publish(b"", "no-such-exchange", "x")
    await channel.queue_declare(NAME, passive=True)


async def request_without_a_reply_consumer(channel: Channel) -> None:
    properties = {"reply_to": "amq.rabbitmq.reply-to"}
    await channel.basic_publish(b"", "", NAME, properties=properties)
    await channel.queue_declare(NAME, passive=True)


async def confirm_a_transaction(channel: Channel) -> None:
    await channel.tx_select()
    await channel.confirm_select()


async def use_a_tag_twice(channel: Channel) -> None:
    await channel.basic_consume(consumer, NAME, consumer_tag="x")
    await channel.basic_consume(consumer, NAME, consumer_tag="x")


async def publish_immediately(channel: Channel) -> None:
    await channel.basic_publish(b"", "", NAME, immediate=True)
    await channel.queue_declare(NAME, passive=True)


REFUSED: list[tuple[Callable[[Channel], Awaitable[None]], str, str, str]] = [
    (declare_otherwise, "queue.declare", "406 PRECONDITION_FAILED - inequivalent arg", "declare it"),
    (acknowledge_twice, "basic.ack", "406 PRECONDITION_FAILED - unknown delivery tag 7", "is settled once"),
    (delete_in_use, "queue.delete", "406 PRECONDITION_FAILED - queue 'advice' in vhost '/' in use", "if_unused"),
    (delete_not_empty, "queue.delete", "406 PRECONDITION_FAILED - queue 'advice'", "if_empty"),
    (consume_beside_an_exclusive_consumer, "basic.consume", "403 ACCESS_REFUSED - queue", "has an exclusive consumer"),
    (declare_with_a_reserved_name, "queue.declare", "403 ACCESS_REFUSED - queue name", "begin with amq."),
    (consume_from_nowhere, "basic.consume", "404 NOT_FOUND - no queue", "declare the queue first"),
    (publish_nowhere, "basic.publish", "404 NOT_FOUND - no exchange", "declare the exchange first"),
    (request_without_a_reply_consumer, "basic.publish", "406 PRECONDITION_FAILED - fast reply", "consume from amq.rabbitmq.reply-to"),
    (confirm_a_transaction, "confirm.select", "406 PRECONDITION_FAILED - cannot switch", "one channel for"),
    (use_a_tag_twice, "basic.consume", "530 NOT_ALLOWED - attempt to reuse", "choose a tag"),
    (publish_immediately, "basic.publish", "540 NOT_IMPLEMENTED - immediate=true", "without immediate"),
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("call", "method", "text", "advice"), REFUSED, ids=[call.__name__ for call, *_ in REFUSED]
)
async def test_a_refusal_names_its_method_and_its_cure(
    channel: Channel,
    call: Callable[[Channel], Awaitable[None]],
    method: str,
    text: str,
    advice: str,
) -> None:
    with pytest.raises(ChannelClosed) as raised:
        await call(channel)

    error = raised.value
    assert error.method == method
    assert advice in error.advice
    assert re.fullmatch(
        f"The server refused {re.escape(method)} and closed the (channel|connection): "
        f"{re.escape(text)}[^;]*(?<!\\.); {re.escape(error.advice)}",
        str(error),
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrong", "meant"), [("advise", NAME), ("Advice", NAME), ("unlike-it", None)]
)
async def test_a_misspelt_queue_is_recognized(
    channel: Channel, wrong: str, meant: str | None
) -> None:
    with pytest.raises(ChannelClosed) as raised:
        await channel.basic_consume(consumer, wrong)

    assert raised.value.similar_name == meant
    assert (f"did you mean {meant!r}?" in str(raised.value)) == (meant is not None)


@pytest.mark.asyncio
async def test_a_misspelt_exchange_is_recognized_on_another_channel(channel: Channel) -> None:
    other = await channel.protocol.channel()
    await channel.exchange_declare(NAME, "fanout", auto_delete=True)
    with pytest.raises(ChannelClosed, match="did you mean 'advice'"):
        await other.queue_bind(NAME, "advices", "")
    await channel.exchange_delete(NAME)


@pytest.mark.asyncio
async def test_a_queue_that_was_refused_is_not_suggested(channel: Channel) -> None:
    other = await channel.protocol.channel()
    with pytest.raises(ChannelClosed):
        await other.queue_declare("orders", passive=True)
    with pytest.raises(ChannelClosed) as raised:
        await channel.queue_declare("order", passive=True)

    assert raised.value.similar_name is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("guest:wrong@{}/", "check the user name and the password"),
        ("guest:guest@{}/nowhere", "check the virtual host in the URL"),
    ],
)
async def test_a_refused_connection_has_advice(url: str, path: str, advice: str) -> None:
    address = url.rpartition("@")[2].rstrip("/")
    with pytest.raises(aioamqp.HandshakeFailed) as raised:
        await aioamqp.from_url(f"amqp://{path.format(address)}")

    assert advice in str(raised.value)


TEXTS = {
    (541, "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nMore."): "durable=True",
    (541, "INTERNAL_ERROR - Feature `global_qos` is deprecated."): "basic_qos",
    (541, "INTERNAL_ERROR - Feature `queue_master_locator` is deprecated."): "x-queue-leader-locator",
    (541, "INTERNAL_ERROR - Feature `other` is deprecated."): "do without it",
    (406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received"): "durable",
    (406, "PRECONDITION_FAILED - unknown delivery tag 7"): "settled once",
    (406, "PRECONDITION_FAILED - exchange 'e' in vhost '/' in use"): "if_unused",
    (406, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"): "purge",
    (406, "PRECONDITION_FAILED - fast reply consumer does not exist"): "consume from",
    (406, "PRECONDITION_FAILED - channel is not transactional"): "transactions",
    (406, "PRECONDITION_FAILED - unknown exchange type 'nonsense'"): "direct, fanout, topic and headers",
    (503, "COMMAND_INVALID - unknown exchange type 'nonsense'"): "direct, fanout, topic and headers",
    (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."): "password",
    (403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"): "exclusive consumer",
    (403, "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'"): "begin with amq.",
    (404, "NOT_FOUND - no queue 'q' in vhost '/'"): "declare the queue first",
    (530, "NOT_ALLOWED - attempt to reuse consumer tag 'x'"): "choose a tag",
    (530, "NOT_ALLOWED - vhost nowhere not found"): "virtual host in the URL",
    (540, "NOT_IMPLEMENTED - immediate=true"): "without immediate",
    (406, "PRECONDITION_FAILED - message size 2 is larger than configured max size 1"): "smaller body",
    (406, "PRECONDITION_FAILED - consumer prefetch count is not set for stream queue 'q'"): "basic_qos",
    (406, "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"): "a name",
    (406, "PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'q' in vhost '/'"): "durable",
    (406, "PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost 'v' (1) is reached"): "raise",
    (403, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'"): "set_permissions",
    (403, "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'"): "set_perm",
    (403, "ACCESS_REFUSED - cannot publish to internal exchange 'e' in vhost '/'"): "bound to it",
    (404, "NOT_FOUND - no previously declared queue"): "name the queue",
    (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'."): "another name",
    (530, "NOT_ALLOWED - access to vhost 'v' refused for user 'u'"): "set_permissions -p v u",
    (530, "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (1) is reached"): "close conn",
    (530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"): "close chan",
    (530, "NOT_ALLOWED - connection refused for user 'u': user connection limit (1) is reached"): "close conn",
    (540, "NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos"): "each consumer",
    (540, "NOT_IMPLEMENTED - basic.get not supported by stream queue 'q'"): "what streams support",
    (501, "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,8193,8184}"): "frame_max",
}  # fmt: skip
"""A text for every row of the table, with a part of its advice."""


@pytest.mark.parametrize(("code", "text"), TEXTS)
def test_a_text_has_advice(code: int, text: str) -> None:
    assert TEXTS[code, text] in ChannelClosed(code, text).advice


def test_every_row_of_the_table_is_used_here() -> None:
    used = [
        next(row for row in REFUSALS if row.code == code and re.search(row.text, text))
        for code, text in TEXTS
    ]

    assert [row.text for row in REFUSALS if row not in used] == []


def test_an_unknown_text_has_no_advice() -> None:
    error = ChannelClosed(406, "PRECONDITION_FAILED - something new")

    assert error.advice == ""
    assert str(error) == "The server closed the channel: 406 PRECONDITION_FAILED - something new"
