"""Texts of the exceptions that programs see: a sentence that names the cause."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

import aioamqp
from aioamqp.channel import Channel
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Lose, NackConfirm

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker() as running:
        yield running


async def channel_of(broker: FakeBroker) -> Channel:
    _, protocol = await broker.connect()
    channel = await protocol.channel()
    await channel.queue_declare("q", durable=True)
    return channel


async def error_text(call: Awaitable[Any]) -> str:
    """Return the text of the exception that a call raises."""
    with pytest.raises(Exception) as caught:
        await call
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda c: c.publish(5, "", "q"),
            "payload: must be bytes, bytearray or memoryview, not int",
        ),
        (
            lambda c: c.basic_publish(b"", "", "q", {"delivery_mode": 3}),
            "basic.properties.delivery_mode: must be 1 (transient) or 2 (persistent), not 3",
        ),
        (
            lambda c: c.publish(b"", "", "q", {"delivery_mode": [2]}),
            "basic.properties.delivery_mode: must be 1 (transient) or 2 (persistent), not [2]",
        ),
        (
            lambda c: c.basic_consume("q"),
            "callback: must be a function or None, not 'q'",
        ),
        (lambda c: c.basic_get("q"), "There is no message in the queue 'q'"),
    ],
)
async def test_an_invalid_argument_is_named_and_the_channel_stays_open(
    broker: FakeBroker, call: Callable[[Channel], Awaitable[object]], text: str
) -> None:
    channel = await channel_of(broker)

    assert await error_text(call(channel)) == text

    assert await channel.basic_qos()
    await channel.protocol.close()


async def test_a_call_that_times_out_is_named(broker: FakeBroker) -> None:
    channel = await channel_of(broker)
    broker.faults.add(Lose(received="basic.qos"))

    assert await error_text(channel.basic_qos(timeout=0.01)) == (
        "The server has not answered basic.qos within 0.01 seconds"
    )
    assert await error_text(channel.protocol.wait_closed(timeout=0)) == (
        "The connection is not over after 0 seconds"
    )
    await channel.protocol.close()


async def test_a_nacked_message_is_named_by_its_delivery_tag(broker: FakeBroker) -> None:
    channel = await channel_of(broker)
    await channel.confirm_select()
    broker.faults.add(NackConfirm())

    assert await error_text(channel.publish(b"", "", "q")) == (
        "The server sent basic.nack for the message with delivery tag 1"
    )
    await channel.protocol.close()


async def test_publishing_on_a_closed_channel_reports_why_it_was_closed(
    broker: FakeBroker,
) -> None:
    channel = await channel_of(broker)
    with pytest.raises(aioamqp.ChannelClosed):
        await channel.queue_declare("missing", passive=True)

    assert await error_text(channel.publish(b"", "", "q")) == (
        "The message was not sent: 404 NOT_FOUND - no queue 'missing' in vhost '/'; declare the queue"
        " first, and check its name and the virtual host"
    )
    await channel.protocol.close()
    assert await error_text(channel.publish(b"", "", "q")) == (
        "The message was not sent: The connection is closed: The program closed the connection"
    )


async def test_an_invalid_port_is_named() -> None:
    assert await error_text(aioamqp.connect("127.0.0.1", 99999)) == (
        "port: must be a number from 0 to 65535, not 99999"
    )


async def test_an_on_error_that_is_not_callable_is_refused_before_connecting(
    broker: FakeBroker,
) -> None:
    assert await error_text(broker.connect(on_error=5)) == (
        "on_error: must be a function or None, not 5"
    )
    assert broker.sessions == []
