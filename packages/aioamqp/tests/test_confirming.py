"""Publishing in confirm mode. Names in brackets are those of 0.15's defects and of scenarios."""

import asyncio
import itertools
from typing import Any

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic, confirm, connection
from publishers import confirming, outcomes, publishes
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


async def test_the_delivery_tags_to_come_can_be_looked_at(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    def coming() -> list[int]:
        return list(itertools.islice(opened.delivery_tag_iter or (), 2))

    before = coming()
    await opened.confirm_select()
    first = coming()
    await opened.basic_publish(b"", "", "q")

    assert (before, first, coming()) == ([], [1, 2], [2, 3])
    await opened.protocol.close()


async def test_d11c_without_waiting_confirm_mode_is_on_too(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    assert await opened.confirm_select(no_wait=True) is None
    (task,) = await publishes(opened, b"")

    assert opened.publisher_confirms is True
    assert not task.done()
    assert server.methods(confirm.Select) == [confirm.Select(True)]
    server.send(basic.Ack(1))
    await task
    await opened.protocol.close()


async def test_d11f_of_two_calls_side_by_side_the_second_hears_that_it_is_on_already(
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


async def test_a_call_that_was_given_up_has_turned_confirm_mode_on(server: ScriptedServer) -> None:
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


async def test_outside_confirm_mode_publish_does_not_wait(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    await opened.publish(b"body", "ex", "key", {"priority": 1}, mandatory=True)
    await wait_idle()

    assert server.received == [
        Command(1, basic.Publish("ex", "key", True), Properties(priority=1), b"body")
    ]
    await opened.protocol.close()


async def test_outside_confirm_mode_an_ack_from_the_server_breaks_the_rules(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    server.send(basic.Ack(1))
    await opened.protocol.wait_closed()

    (close,) = server.methods(connection.Close)
    assert close.reply_code == 503


# -------------------------------------------------------------------- the server's word


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


async def test_d11a_r1_an_ack_of_several_reaches_all_that_it_covers(server: ScriptedServer) -> None:
    opened = await confirming(server)
    tasks = await publishes(opened, b"1", b"2", b"3")

    server.send(basic.Ack(3, True))

    assert await outcomes(tasks) == [None] * 3
    await opened.protocol.close()


async def test_d11a_r1_a_nack_of_several_reaches_all_that_are_left_under_it(
    server: ScriptedServer,
) -> None:
    opened = await confirming(server)
    tasks = await publishes(opened, b"1", b"2", b"3", b"4")

    server.send(basic.Ack(2), basic.Nack(3, True), basic.Ack(4))

    failed = await outcomes(tasks)
    assert [getattr(outcome, "delivery_tag", None) for outcome in failed] == [1, None, 3, None]
    await opened.protocol.close()


async def test_r2_an_ack_of_0_and_all_before_it_is_one_of_all(server: ScriptedServer) -> None:
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
        {"properties": {"headers": {"a": object()}}},
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


async def test_r21_a_publish_is_whole_and_counted_or_not_there_wherever_it_is_cancelled(
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


async def test_a_callback_can_publish_and_wait_while_too_much_waits_for_callbacks(
    server: ScriptedServer,
) -> None:
    opened = await confirming(server)
    done = asyncio.Event()

    async def on_message(*_: object) -> None:
        await opened.publish(b"answer", "", "q")
        done.set()

    await opened.basic_consume(on_message, "q", "tag")
    server.deliver("tag", *[b"x" * 9_000_000] * 3)
    await wait_idle()
    server.send(basic.Ack(1))

    await done.wait()
    await opened.protocol.close()


# -------------------------------------------------------------------- strings


async def test_publish_takes_a_string_with_a_warning_that_points_at_the_caller(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    with pytest.warns(DeprecationWarning, match="encode") as caught:
        await opened.publish("grün", "", "q")
    await wait_idle()

    assert caught[0].filename == __file__
    assert [command.body for command in server.received] == ["grün".encode()]
    await opened.protocol.close()


@pytest.mark.parametrize("payload", [None, 5, [1, 2]], ids=str)
async def test_publish_takes_nothing_but_octets_and_strings(
    server: ScriptedServer, payload: Any
) -> None:
    opened = await server.open_channel()

    with pytest.raises(ValueError):
        await opened.publish(payload, "", "q")
    await wait_idle()

    assert server.received == []
    await opened.protocol.close()
