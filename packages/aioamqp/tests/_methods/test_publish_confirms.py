"""Publishing in confirm mode. Names begin with 0.15's defects and with scenarios."""

import asyncio
import gc
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import (
    Properties,
    basic,
    channel,
    confirm,
    connection,
)
from publishers import confirming, outcomes, publishes, returned
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


# -------------------------------------------------------------------- confirm_select


async def test_confirm_mode_is_on_when_the_server_has_agreed(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    before = opened.publisher_confirms

    assert await opened.confirm_select() is True

    assert (before, opened.publisher_confirms) == (False, True)
    assert server.names() == ["confirm.select"]
    await opened.protocol.close()


async def test_delivery_tag_iter_has_the_next_delivery_tags(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    def coming() -> list[int]:
        return list(itertools.islice(opened.delivery_tag_iter or (), 2))

    before = coming()
    await opened.confirm_select()
    first = coming()
    await opened.basic_publish(b"", "", "q")

    assert (before, first, coming()) == ([], [1, 2], [2, 3])
    await opened.protocol.close()


async def test_d11c_confirm_select_with_no_wait_turns_confirm_mode_on(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    assert await opened.confirm_select(no_wait=True) is None
    (task,) = await publishes(opened, b"")

    assert opened.publisher_confirms is True
    assert not task.done()
    assert server.methods(confirm.Select) == [confirm.Select(True)]
    server.send(basic.Ack(1))
    await task
    await opened.protocol.close()


async def test_d11f_the_second_of_two_concurrent_confirm_selects_is_refused(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    first, second = await asyncio.gather(
        opened.confirm_select(), opened.confirm_select(), return_exceptions=True
    )

    assert first is True
    assert isinstance(second, ValueError)
    assert server.names() == ["confirm.select"]
    with pytest.raises(ValueError, match="already"):
        await opened.confirm_select()
    await opened.protocol.close()


async def test_a_confirm_select_that_times_out_has_turned_confirm_mode_on(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(confirm.Select)

    with pytest.raises(TimeoutError):
        await opened.confirm_select(timeout=1)
    server.send(confirm.SelectOk())
    (task,) = await publishes(opened, b"")
    server.send(basic.Ack(1))

    assert await task is None  # type: ignore[func-returns-value]
    await opened.protocol.close()


async def test_a_closed_channel_does_not_go_into_confirm_mode(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    await opened.close()

    with pytest.raises(aioamqp.ChannelClosed):
        await opened.confirm_select()

    assert opened.publisher_confirms is False
    await opened.protocol.close()


async def test_outside_confirm_mode_an_ack_from_the_server_is_a_protocol_violation(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    server.send(basic.Ack(1))
    await opened.protocol.wait_closed()

    (close,) = server.methods(connection.Close)
    assert close.reply_code == 503


# -------------------------------------------------------------------- acks and nacks


async def test_publish_returns_when_the_message_is_acked(server: ScriptedServer) -> None:
    opened = await confirming(server)
    (task,) = await publishes(opened, b"")
    assert not task.done()

    server.send(basic.Ack(1))

    assert await outcomes([task]) == [None]
    await opened.protocol.close()


async def test_publish_fails_when_the_message_is_nacked(server: ScriptedServer) -> None:
    opened = await confirming(server)
    (task,) = await publishes(opened, b"")

    server.send(basic.Nack(1))

    with pytest.raises(aioamqp.PublishFailed) as caught:
        await task
    assert caught.value.delivery_tag == 1
    assert not isinstance(caught.value, aioamqp.PublishReturned)
    await opened.protocol.close()


async def test_d11a_r1_an_ack_with_multiple_settles_all_messages_up_to_it(
    server: ScriptedServer,
) -> None:
    opened = await confirming(server)
    tasks = await publishes(opened, b"1", b"2", b"3")

    server.send(basic.Ack(3, True))

    assert await outcomes(tasks) == [None] * 3
    await opened.protocol.close()


async def test_d11a_r1_a_nack_with_multiple_fails_all_unsettled_messages_up_to_it(
    server: ScriptedServer,
) -> None:
    opened = await confirming(server)
    tasks = await publishes(opened, b"1", b"2", b"3", b"4")

    server.send(basic.Ack(2), basic.Nack(3, True), basic.Ack(4))

    failed = await outcomes(tasks)
    assert [getattr(outcome, "delivery_tag", None) for outcome in failed] == [1, None, 3, None]
    await opened.protocol.close()


async def test_r2_an_ack_of_0_with_multiple_settles_all_messages(server: ScriptedServer) -> None:
    opened = await confirming(server)
    tasks = await publishes(opened, b"1", b"2", b"3")

    server.send(basic.Ack(0, True))

    assert await outcomes(tasks) == [None] * 3
    await opened.protocol.close()


async def test_d11b_basic_publish_is_counted_and_does_not_wait(server: ScriptedServer) -> None:
    opened = await confirming(server)

    await opened.basic_publish(b"1", "", "q")
    (task,) = await publishes(opened, b"2")
    server.send(basic.Ack(1))
    await wait_idle()
    assert not task.done()

    server.send(basic.Ack(2))
    assert await outcomes([task]) == [None]
    await opened.protocol.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"routing_key": "k" * 256},
        {"properties": {"correlation_id": "c" * 70_000}},
        pytest.param({"properties": {"headers": {"a": object()}}}, id="headers of an object"),
        {"payload": None},
    ],
    ids=["key", "property", "header", "body"],
)
async def test_d11d_r20_a_message_that_cannot_be_sent_takes_no_tag(
    server: ScriptedServer, arguments: dict[str, Any]
) -> None:
    opened = await confirming(server)
    good: dict[str, Any] = {"payload": b"good", "exchange_name": "", "routing_key": "q"}

    for publish in (opened.publish, opened.basic_publish):
        with pytest.raises(ValueError) as caught:
            await publish(**{**good, **arguments}, mandatory=True)
        assert isinstance(caught.value, aioamqp.InvalidArgument)
    (task,) = await publishes(opened, b"good")
    server.send(basic.Ack(1))

    assert await outcomes([task]) == [None]
    assert server.names() == ["basic.publish"]
    await opened.protocol.close()


async def test_d11e_r21_a_publish_cancelled_before_its_ack_keeps_its_tag(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await confirming(server)
    first, second = await publishes(opened, b"1", b"2")

    first.cancel()
    await wait_idle()
    server.send(basic.Ack(1))
    await wait_idle()
    assert first.cancelled()
    assert not second.done()

    server.send(basic.Nack(2))
    with pytest.raises(aioamqp.PublishFailed):
        await second
    assert caplog.messages == []
    await opened.protocol.close()


async def test_r21_a_publish_cancelled_while_it_waits_to_be_written_takes_no_tag(
    server: ScriptedServer,
) -> None:
    opened = await confirming(server)
    opened.protocol.pause_writing()
    first, second = await publishes(opened, b"1", b"2")

    first.cancel()
    await wait_idle()
    opened.protocol.resume_writing()
    await wait_idle()
    server.send(basic.Ack(1))

    assert await outcomes([second]) == [None]
    assert [command.body for command in server.received] == [b"2"]
    await opened.protocol.close()


async def test_r21_a_cancelled_publish_is_sent_whole_and_counted_or_not_at_all(
    server: ScriptedServer,
) -> None:
    seen = set()
    for turns in range(6):
        opened = await confirming(server)
        opened.protocol.pause_writing()
        task = asyncio.create_task(opened.publish(b"x" * 300_000, "", "q"))
        asyncio.get_running_loop().call_soon(opened.protocol.resume_writing)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await wait_idle()
        (last,) = await publishes(opened, b"last")
        server.send(basic.Ack(len(server.received)))

        assert await outcomes([last]) == [None]
        seen.add(tuple(len(command.body) for command in server.received))
        await opened.protocol.close()
    assert seen == {(4,), (300_000, 4)}


# -------------------------------------------------------------------- returned messages, and the end of the channel


async def test_r9_equal_returned_messages_each_fail_as_returned(
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

    sent = Properties(headers={"a": 1})
    server.send(returned(b"body", sent), returned(b"body", sent), basic.Ack(1), basic.Ack(2))

    errors = await outcomes(tasks)
    assert [type(error) for error in errors] == [aioamqp.PublishReturned] * 2
    assert [error.delivery_tag for error in errors] == [1, 2]
    assert (errors[0].envelope.reply_code, errors[0].envelope.routing_key) == (312, "q")
    assert (errors[0].body, errors[0].properties.headers) == (b"body", {"a": 1})
    assert given == {"headers": {"a": 1}}
    assert caplog.messages == []
    await opened.protocol.close()


async def test_r9_only_the_returned_message_fails(server: ScriptedServer) -> None:
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
async def test_a_returned_body_is_recognized_though_the_program_has_changed_it(
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


async def test_a_return_that_no_call_and_no_callback_gets_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await confirming(server)

    await opened.basic_publish(b"body", "", "q", mandatory=True)
    server.send(returned(b"body"), basic.Ack(1))
    await wait_idle()

    assert "312 NO_ROUTE" in caplog.text
    await opened.protocol.close()


async def test_a_returned_message_with_damaged_headers_fails_as_returned(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await confirming(server)
    (task,) = await publishes(opened, b"body", mandatory=True)
    # a table of 3 bytes: a name of 1 byte and a type that does not exist
    broken = Properties.decode(b"\x20\x00\x00\x00\x00\x03\x01a?", 0, 9)

    server.send(returned(b"body", broken), basic.Ack(1))

    with pytest.raises(aioamqp.PublishReturned) as caught:
        await task
    assert caught.value.properties.headers is None
    assert "cannot be decoded" in caplog.text
    await opened.protocol.close()


async def test_r8_closing_with_unconfirmed_messages_names_them_and_cancels_no_task(
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


async def test_a_channel_that_the_server_closes_leaves_messages_unconfirmed(
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
    assert (caught.value.code, caught.value.message) == (404, "NOT_FOUND - no exchange")
    await opened.protocol.close()


async def test_a_lost_link_tells_unconfirmed_messages_from_unsent_ones(
    server: ScriptedServer,
) -> None:
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


async def test_a_publish_whose_coroutine_was_closed_leaves_nothing(
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
