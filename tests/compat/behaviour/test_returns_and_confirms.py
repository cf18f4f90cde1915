"""Section 2 of the contract with aioamqp 0.15: returns, confirms, and basic_get."""

import asyncio
import logging
from typing import Any

import pytest

import aioamqp
from amqp_codec import basic, channel
from callbacks_seen import Recorder
from publishers import confirming, outcomes, publishes, returned
from scripted_server import ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect

pytestmark = pytest.mark.asyncio


async def test_an_unroutable_mandatory_message_reaches_the_return_callback(
    connect: Connect,
) -> None:
    """B38."""
    returned_messages: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    async def on_return(*args: Any) -> None:
        await args[0].queue_declare(exclusive=True)  # it is awaited and may make calls
        returned_messages.put_nowait(args)

    opened = await (await connect()).channel(return_callback=on_return)
    await opened.publish(b"body", "", "compat-not-there", {"message_id": "m"}, mandatory=True)
    given, body, envelope, properties = await returned_messages.get()

    assert (given, body) == (opened, b"body")
    assert type(envelope) is aioamqp.ReturnEnvelope
    assert (envelope.reply_code, envelope.reply_text) == (312, "NO_ROUTE")
    assert (envelope.exchange_name, envelope.routing_key) == ("", "compat-not-there")
    assert type(properties) is aioamqp.Properties
    assert properties.message_id == "m"


async def test_the_return_callback_may_be_a_plain_function(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B38."""
    bodies: list[bytes] = []
    opened = await server.open_channel()
    opened.return_callback = lambda _, body, *__: bodies.append(body)

    server.send(returned(b"m"))
    await wait_idle()

    assert bodies == [b"m"]
    assert caplog.records == []
    await opened.protocol.close()


async def test_a_returned_message_without_a_return_callback_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B38."""
    opened = await server.open_channel()

    server.send(returned(b"m"))
    await wait_idle()

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("aioamqp.channel", logging.WARNING)
    assert opened.is_open
    await opened.protocol.close()


async def test_publish_raises_publish_returned_in_confirm_mode(connect: Connect) -> None:
    """B38. In 0.15 it succeeded, because an ack follows the return."""
    returned_messages = Recorder()
    opened = await (await connect()).channel(return_callback=returned_messages)
    await opened.confirm_select()
    queue_name = (await opened.queue_declare(exclusive=True))["queue"]

    results = await asyncio.gather(
        opened.publish(b"lost", "", "compat-not-there", mandatory=True),
        opened.publish(b"arrives", "", queue_name, mandatory=True),
        return_exceptions=True,
    )

    assert isinstance(results[0], aioamqp.PublishReturned)
    assert isinstance(results[0], aioamqp.PublishFailed)
    assert (results[0].delivery_tag, results[0].body) == (1, b"lost")
    assert results[1] is None
    assert (await opened.basic_get(queue_name, no_ack=True))["message"] == b"arrives"
    assert returned_messages.bodies == [b"lost"]


async def test_every_publish_waits_for_its_own_ack_after_confirm_select(
    server: ScriptedServer,
) -> None:
    """B39."""
    opened = await server.open_channel()
    assert (opened.publisher_confirms, opened.delivery_tag_iter) == (False, None)
    assert await opened.confirm_select() is True
    assert opened.publisher_confirms is True

    tasks = await publishes(opened, b"1", b"2", b"3")
    assert not any(task.done() for task in tasks)
    server.send(basic.Ack(2))
    await wait_idle()
    assert [task.done() for task in tasks] == [False, True, False]
    server.send(basic.Ack(3), basic.Nack(1))

    failed, *confirmed = await outcomes(tasks)
    assert confirmed == [None, None]
    assert type(failed) is aioamqp.PublishFailed
    assert (failed.delivery_tag, failed.args) == (1, (1,))
    await opened.protocol.close()


async def test_publishes_can_be_confirmed_concurrently(connect: Connect) -> None:
    """B39."""
    opened = await (await connect()).channel()
    await opened.confirm_select()
    name = (await opened.queue_declare(exclusive=True))["queue"]

    results = await asyncio.gather(*(opened.publish(b"m", "", name) for _ in range(100)))

    assert results == [None] * 100
    assert await opened.queue_purge(name) == {"message_count": 100}


async def test_a_publish_waiting_for_its_ack_fails_with_the_channel_or_the_connection(
    server: ScriptedServer,
) -> None:
    """B39."""
    opened = await confirming(server)
    (of_channel,) = await publishes(opened, b"m")
    server.send(channel.Close(406, "PRECONDITION_FAILED"))
    with pytest.raises(aioamqp.ChannelClosed) as closed:
        await of_channel
    assert (closed.value.code, closed.value.message) == (406, "PRECONDITION_FAILED")

    again = await opened.protocol.channel()
    await again.confirm_select()
    (of_connection,) = await publishes(again, b"m")
    server.transport.end(ConnectionResetError(104, "reset"))
    with pytest.raises(aioamqp.AmqpClosedConnection) as lost:
        await of_connection
    assert isinstance(lost.value, ConnectionResetError)


async def test_basic_publish_does_not_wait_for_a_confirm_but_takes_a_delivery_tag(
    server: ScriptedServer,
) -> None:
    """B40."""
    opened = await confirming(server)
    await opened.basic_publish(b"1", "", "q")
    (second,) = await publishes(opened, b"2")

    server.send(basic.Ack(1))
    await wait_idle()
    assert not second.done()
    server.send(basic.Ack(2))

    await second
    await opened.protocol.close()


async def test_basic_get_returns_a_dict_of_seven_items_or_raises_empty_queue(
    connect: Connect,
) -> None:
    """B41."""
    opened = await (await connect()).channel()
    name = (await opened.queue_declare(exclusive=True))["queue"]
    with pytest.raises(aioamqp.EmptyQueue) as empty:
        await opened.basic_get(name)
    assert empty.value.args == ()
    for body in (b"1", b"2"):
        await opened.basic_publish(body, "", name, {"app_id": "a"})

    got = await opened.basic_get(name)

    properties = got.pop("properties")
    assert type(properties) is aioamqp.Properties
    assert properties.app_id == "a"
    assert got == {
        "delivery_tag": 1,
        "redelivered": False,
        "exchange_name": "",
        "routing_key": name,
        "message_count": 1,
        "message": b"1",
    }
    assert type(got["message"]) is bytes
