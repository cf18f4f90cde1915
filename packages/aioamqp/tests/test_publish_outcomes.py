"""What becomes of messages that come back, or whose channel ends. Names begin with a scenario's."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import Properties, basic, channel
from publishers import confirming, outcomes, publishes, returned
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

# -------------------------------------------------------------------- what comes back


async def test_r9_equal_messages_that_come_back_each_fail_as_returned(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """R9."""
    opened = await confirming(server)
    given = {"headers": {"a": 1}}
    tasks = [
        asyncio.create_task(opened.publish(b"body", "", "q", given, mandatory=True))
        for _ in range(2)
    ]
    await wait_idle()

    wire = Properties(headers={"a": 1})
    server.send(returned(b"body", wire), returned(b"body", wire), basic.Ack(1), basic.Ack(2))

    errors = await outcomes(tasks)
    assert [type(error) for error in errors] == [aioamqp.PublishReturned] * 2
    assert [error.delivery_tag for error in errors] == [1, 2]
    assert (errors[0].envelope.reply_code, errors[0].envelope.routing_key) == (312, "q")
    assert (errors[0].body, errors[0].properties.headers) == (b"body", {"a": 1})
    assert given == {"headers": {"a": 1}}
    assert caplog.messages == []
    await opened.protocol.close()


async def test_r9_only_the_message_that_came_back_fails(server: ScriptedServer) -> None:
    """R9."""
    opened = await confirming(server)
    tasks = await publishes(opened, b"taken", b"back", b"taken", mandatory=True)

    server.send(returned(b"back"), basic.Ack(3, True))

    first, second, third = await outcomes(tasks)
    assert (first, third) == (None, None)
    assert isinstance(second, aioamqp.PublishReturned)
    assert second.delivery_tag == 2
    await opened.protocol.close()


@pytest.mark.parametrize("kind", [bytearray, lambda body: memoryview(bytearray(body))])
async def test_a_body_that_is_changed_after_the_call_is_recognized_as_it_was_sent(
    server: ScriptedServer, kind: Callable[[bytes], Any]
) -> None:
    opened = await confirming(server)
    body, headers = kind(b"body"), {"a": 1}
    task = asyncio.create_task(opened.publish(body, "", "q", {"headers": headers}, mandatory=True))
    await wait_idle()

    body[0] = 0
    headers["a"] = 2
    server.send(returned(b"body", Properties(headers={"a": 1})), basic.Ack(1))

    with pytest.raises(aioamqp.PublishReturned):
        await task
    await opened.protocol.close()


async def test_the_return_callback_is_called_in_confirm_mode_too(server: ScriptedServer) -> None:
    opened = await confirming(server)
    calls: list[Any] = []
    opened.return_callback = lambda *args: calls.append(args)
    (task,) = await publishes(opened, b"body", mandatory=True)

    server.send(returned(b"body"), basic.Ack(1))

    with pytest.raises(aioamqp.PublishReturned) as caught:
        await task
    await wait_idle()
    ((given, body, envelope, properties),) = calls
    assert (given, body, envelope) == (opened, b"body", caught.value.envelope)
    assert properties.headers is None
    await opened.protocol.close()


async def test_a_return_that_nobody_waits_for_and_no_callback_takes_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await confirming(server)

    await opened.basic_publish(b"body", "", "q", mandatory=True)
    server.send(returned(b"body"), basic.Ack(1))
    await wait_idle()

    assert "312 NO_ROUTE" in caplog.text
    await opened.protocol.close()


async def test_a_message_with_headers_that_cannot_be_decoded_fails_as_returned_all_the_same(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await confirming(server)
    (task,) = await publishes(opened, b"body", mandatory=True)
    # a table of 3 octets: a name of 1 octet and a type that does not exist
    broken = Properties.decode(b"\x20\x00\x00\x00\x00\x03\x01a?", 0, 9)

    server.send(returned(b"body", broken), basic.Ack(1))

    with pytest.raises(aioamqp.PublishReturned) as caught:
        await task
    assert caught.value.properties.headers is None
    assert "cannot be decoded" in caplog.text
    await opened.protocol.close()


# -------------------------------------------------------------------- the end


async def test_r8_closing_with_unconfirmed_messages_names_them_and_cancels_nobody(
    server: ScriptedServer,
) -> None:
    """R8."""
    opened = await confirming(server)

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            for body in (b"1", b"2"):
                group.create_task(opened.publish(body, "", "q"))
            await wait_idle()
            await opened.close()

    error = caught.value.exceptions[0]
    assert isinstance(error, aioamqp.PublishUnconfirmed)
    assert isinstance(error, aioamqp.ChannelClosed)
    assert (error.delivery_tag, error.unconfirmed) == (1, (1, 2))
    await opened.protocol.close()


async def test_a_close_by_the_server_leaves_what_was_written_unknown(
    server: ScriptedServer,
) -> None:
    opened = await confirming(server)
    await opened.basic_publish(b"1", "", "q")
    tasks = await publishes(opened, b"2", b"3")

    server.send(channel.Close(404, "NOT_FOUND - no exchange"))

    for tag, error in enumerate(await outcomes(tasks), 2):
        assert isinstance(error, aioamqp.PublishUnconfirmed)
        assert isinstance(error, aioamqp.ChannelClosed)
        assert (error.code, error.message) == (404, "NOT_FOUND - no exchange")
        assert (error.delivery_tag, error.unconfirmed) == (tag, (1, 2, 3))
    with pytest.raises(aioamqp.PublishNotSent, match="was not sent") as caught:
        await opened.publish(b"4", "", "q")
    assert isinstance(caught.value, aioamqp.ChannelClosed)
    assert (caught.value.code, caught.value.message) == (0, "Channel is closed")
    await opened.protocol.close()


async def test_a_lost_link_tells_what_was_written_from_what_was_not(server: ScriptedServer) -> None:
    opened = await confirming(server)
    (written,) = await publishes(opened, b"1")
    opened.protocol.pause_writing()
    (waiting,) = await publishes(opened, b"2")
    cause = ConnectionResetError(104, "reset by peer")

    server.transport.end(cause)

    unknown, unsent = await outcomes([written, waiting])
    assert isinstance(unknown, aioamqp.PublishUnconfirmed)
    assert isinstance(unsent, aioamqp.PublishNotSent)
    for error in (unknown, unsent):
        assert isinstance(error, aioamqp.AmqpClosedConnection)
        assert isinstance(error, ConnectionResetError)
        assert (error.errno, error.args) == (cause.errno, cause.args)
    with pytest.raises(aioamqp.PublishNotSent) as caught:
        await opened.basic_publish(b"3", "", "q")
    assert isinstance(caught.value, aioamqp.AmqpClosedConnection)


async def test_an_ack_that_crosses_our_close_comes_too_late(server: ScriptedServer) -> None:
    opened = await confirming(server)
    (task,) = await publishes(opened, b"1")
    server.answers[channel.Close] = None

    closing = asyncio.create_task(opened.close())
    await wait_idle()
    server.send(basic.Ack(1), channel.CloseOk())

    assert await closing
    with pytest.raises(aioamqp.PublishUnconfirmed):
        await task
    await opened.protocol.close()


async def test_a_publish_whose_coroutine_is_thrown_away_leaves_nothing_behind(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await confirming(server)
    call = opened.publish(b"", "", "q")
    call.send(None)
    call.close()
    del call

    await opened.protocol.close()
    gc.collect()

    assert caplog.messages == []
