"""One consumer: when its callback is called, and with what."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

import aioamqp
from amqp_codec import (
    Command,
    Properties,
    basic,
)
from callbacks_seen import Gate, Recorder
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


def acks(server: ScriptedServer) -> list[int]:
    return [ack.delivery_tag for ack in server.methods(basic.Ack)]


async def test_a_delivery_is_passed_to_the_callback(server: ScriptedServer) -> None:
    opened, seen = await server.open_channel(), Recorder()
    await opened.basic_consume(seen, "q", "tag")

    server.send(Command(1, basic.Deliver("tag", 7, True, "e", "k"), Properties(type="t"), b"body"))
    await wait_idle()

    ((given, body, envelope, properties),) = seen.calls
    assert (given, body) == (opened, b"body")
    assert (envelope.consumer_tag, envelope.delivery_tag) == ("tag", 7)
    assert (envelope.exchange_name, envelope.routing_key, envelope.is_redeliver) == ("e", "k", True)
    assert properties.message_type == "t"
    await opened.protocol.close()


async def test_deliveries_are_handled_in_order_and_one_at_a_time(server: ScriptedServer) -> None:
    running, most, seen = 0, 0, []

    async def callback(_: object, body: bytes, *__: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        seen.append(body)
        running -= 1

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    bodies = [b"%d" % n for n in range(10)]
    server.deliver("tag", *bodies[:5])
    server.deliver("tag", *bodies[5:], first=6)
    await asyncio.sleep(11)

    assert seen == bodies
    assert most == 1
    await opened.protocol.close()


async def test_the_callback_does_not_run_before_consume_has_returned(
    server: ScriptedServer,
) -> None:
    opened, seen = await server.open_channel(), Recorder()
    message = Command(1, basic.Deliver("tag", 1, False, "", ""), Properties(), b"early")
    server.mute(basic.Consume)
    wraps: list[Callable[[Any], Awaitable[Any]]] = [
        lambda call: call,
        asyncio.create_task,
        lambda call: asyncio.wait_for(call, 5),
        asyncio.gather,
    ]

    async def consume(wrap: Callable[[Any], Awaitable[Any]]) -> list[bytes]:
        await wrap(opened.basic_consume(seen, "q", "tag"))
        return list(seen.bodies)

    for wrap in wraps:
        seen.bodies.clear()
        consuming = asyncio.create_task(consume(wrap))
        await wait_idle()
        server.send(message, basic.ConsumeOk("tag"), message)
        assert await consuming == []
        await wait_idle()
        assert seen.bodies == [b"early", b"early"]
        await opened.basic_cancel("tag")
    await opened.protocol.close()


async def test_with_no_wait_the_callback_is_called_without_a_consume_ok(
    server: ScriptedServer,
) -> None:
    opened, seen = await server.open_channel(), Recorder()

    assert await opened.basic_consume(seen, "q", "tag", no_wait=True) == {"consumer_tag": "tag"}
    server.deliver("tag", b"1")
    await wait_idle()

    assert seen.bodies == [b"1"]
    await opened.protocol.close()


async def test_a_plain_function_may_be_a_callback(server: ScriptedServer) -> None:
    seen: list[bytes] = []
    opened = await server.open_channel()
    await opened.basic_consume(lambda _, body, *__: seen.append(body), "q", "tag")

    server.deliver("tag", b"1", b"2")
    await wait_idle()

    assert seen == [b"1", b"2"]
    await opened.protocol.close()


async def test_a_callback_may_call_any_method(server: ScriptedServer) -> None:
    seen: list[Any] = []

    async def callback(channel: aioamqp.Channel, body: bytes, envelope: Any, _: object) -> None:
        seen.append((await channel.queue_declare("q"))["queue"])
        other = await channel.protocol.channel()
        seen.append((await other.queue_declare("r"))["queue"])
        await other.close()
        await channel.basic_publish(body, "", "q")
        await channel.basic_client_ack(envelope.delivery_tag)

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    assert seen == ["q", "r", "q", "r"]
    assert acks(server) == [1, 2]
    await opened.protocol.close()


async def test_a_slow_callback_delays_neither_other_channels_nor_replies(
    server: ScriptedServer,
) -> None:
    opened, slow, quick = await server.open_channel(), Gate(), Recorder()
    other = await opened.protocol.channel()
    await opened.basic_consume(slow, "q", "slow")
    await opened.basic_consume(quick, "q", "quick")
    await other.basic_consume(quick, "q", "other")

    server.deliver("slow", b"1", b"2")
    server.deliver("quick", b"3")
    server.deliver("other", b"4", channel=2)
    await wait_idle()

    assert slow.bodies == [b"1"]
    assert quick.bodies == [b"4"]
    assert await opened.queue_declare("q")
    slow.is_open.set()
    await wait_idle()
    assert slow.bodies == [b"1", b"2"]
    assert quick.bodies == [b"4", b"3"]
    await opened.protocol.close()


async def test_callbacks_of_a_channel_run_one_at_a_time_in_the_order_of_the_wire(
    server: ScriptedServer,
) -> None:
    """Row U34."""
    opened, running, seen = await server.open_channel(), 0, []

    async def callback(_: object, body: object, *__: object) -> None:
        nonlocal running
        running += 1
        seen.append((body, running))
        await asyncio.sleep(1)
        running -= 1

    opened.return_callback = callback
    opened.add_cancellation_callback(callback)
    await opened.basic_consume(callback, "q", "a")
    await opened.basic_consume(callback, "q", "b")
    server.deliver("a", b"1")
    server.deliver("b", b"2")
    server.send(Command(1, basic.Return(312, "NO_ROUTE", "", "q"), Properties(), b"returned"))
    server.send(basic.Cancel("b", no_wait=True))
    server.deliver("a", b"3")
    await asyncio.sleep(6)

    assert seen == [(b"1", 1), (b"2", 1), (b"returned", 1), ("b", 1), (b"3", 1)]
    await opened.protocol.close()


async def test_deliveries_behind_those_of_a_consumer_that_starts_wait_for_it(
    server: ScriptedServer,
) -> None:
    """Row U34: an ack with ``multiple`` must not include a message that is not handled yet."""
    opened, seen = await server.open_channel(), Recorder()
    await opened.basic_consume(seen, "q", "a")
    server.mute(basic.Consume)
    consuming = asyncio.create_task(opened.basic_consume(seen, "q", "b"))
    await wait_idle()

    server.send(basic.ConsumeOk("b"))
    server.deliver("b", b"1")
    server.deliver("a", b"2")
    await consuming
    await wait_idle()

    assert seen.bodies == [b"1", b"2"]
    await opened.protocol.close()


async def test_a_concurrent_consumer_runs_beside_the_others(server: ScriptedServer) -> None:
    """Row U34."""
    opened, slow, quick = await server.open_channel(), Gate(), Recorder()
    await opened.basic_consume(slow, "q", "slow")
    await opened.basic_consume(slow, "q", "beside", concurrent=True)
    await opened.basic_consume(quick, "q", "quick", concurrent=True)

    server.deliver("slow", b"1", b"2")
    server.deliver("beside", b"3", b"4", first=3)
    server.deliver("quick", b"5", b"6", first=5)
    await wait_idle()

    assert slow.bodies == [b"1", b"3"]
    assert quick.bodies == [b"5", b"6"]
    slow.is_open.set()
    await wait_idle()
    assert sorted(slow.bodies) == [b"1", b"2", b"3", b"4"]
    await opened.protocol.close()


async def test_a_hundred_consumers_have_one_task_for_their_callbacks(
    server: ScriptedServer,
) -> None:
    """Row U34."""
    opened, gate = await server.open_channel(), Gate()
    for n in range(100):
        await opened.basic_consume(gate, "q", f"tag {n}")
    before = asyncio.all_tasks()
    for n in range(100):
        server.deliver(f"tag {n}", b"")
    await wait_idle()

    (task,) = asyncio.all_tasks() - before
    assert task.get_name() == "aioamqp callbacks of channel 1"
    gate.is_open.set()
    await wait_idle()
    assert len(gate.bodies) == 100
    assert asyncio.all_tasks() == before
    await opened.protocol.close()


async def test_a_delivery_that_waits_long_for_another_consumer_is_logged_once(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Row U34."""
    opened, gate, quick = await server.open_channel(heartbeat=0), Gate(), Recorder()
    await opened.basic_consume(gate, "q", "slow")
    await opened.basic_consume(quick, "q", "quick")
    server.deliver("slow", b"1", b"2")
    await asyncio.sleep(100)
    assert caplog.records == []  # only its own messages wait

    server.deliver("quick", b"3", b"4")
    await asyncio.sleep(59)
    assert caplog.records == []
    await asyncio.sleep(3600)
    server.deliver("quick", b"5")
    await asyncio.sleep(3600)

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    for text in ("channel 1", "consumer slow", "consumer quick", "concurrent=True"):
        assert text in record.message
    gate.is_open.set()
    await wait_idle()
    assert quick.bodies == [b"3", b"4", b"5"]
    await opened.protocol.close()


async def test_each_callback_runs_in_a_copy_of_the_context_of_its_consumer(
    server: ScriptedServer,
) -> None:
    """Row U11."""
    variable: ContextVar[str] = ContextVar("variable")
    opened, seen = await server.open_channel(), []

    async def callback(_: object, body: bytes, *__: object) -> None:
        await asyncio.sleep(0)
        seen.append((body, variable.get("unset")))
        token = variable.set(f"set by {body!r}")
        await asyncio.sleep(0)
        if body == b"resets":
            variable.reset(token)

    await opened.basic_consume(callback, "q", "without")
    variable.set("outside")
    await opened.basic_consume(callback, "q", "with")
    variable.set("changed later")
    server.deliver("without", b"1", b"resets", b"2")
    server.deliver("with", b"3", b"resets", b"4")
    server.deliver("without", b"5")
    await wait_idle()

    assert seen == [
        (b"1", "unset"),
        (b"resets", "unset"),
        (b"2", "unset"),
        (b"3", "outside"),
        (b"resets", "outside"),
        (b"4", "outside"),
        (b"5", "unset"),
    ]
    await opened.protocol.close()


class Mine(BaseException):
    """What no other program raises."""


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("mine"),
        asyncio.CancelledError("mine"),
        Mine("mine"),
        GeneratorExit("mine"),
        BaseExceptionGroup("mine", [Mine()]),
    ],
)
async def test_a_callback_that_fails_is_logged_and_the_next_message_follows(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    seen: list[bytes] = []

    async def callback(channel: aioamqp.Channel, body: bytes, envelope: Any, _: object) -> None:
        if body == b"bad":
            raise error
        seen.append(body)
        await channel.basic_client_ack(envelope.delivery_tag)

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"bad", b"good")
    await wait_idle()

    assert seen == [b"good"]
    assert acks(server) == [2]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("aioamqp.protocol", "ERROR")
    assert "error on dispatch" in record.message
    assert "tag" in record.message
    assert "callback" in record.message
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    await opened.protocol.close()


@pytest.mark.parametrize("awaits", [False, True])
async def test_a_callback_that_cancels_its_own_task_is_followed_by_the_next_message(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, awaits: bool
) -> None:
    seen: list[bytes] = []

    async def callback(_: object, body: bytes, *__: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        if body == b"cancels":
            task.cancel()
            if awaits:
                await asyncio.sleep(1)
        else:
            await asyncio.sleep(1)
        seen.append(body)

    opened = await server.open_channel()
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", b"cancels", b"good")
    await asyncio.sleep(2)

    assert seen == ([b"good"] if awaits else [b"cancels", b"good"])
    assert [record.levelname for record in caplog.records] == ["ERROR"] * awaits
    await opened.protocol.close()


async def test_callbacks_go_on_after_their_task_was_cancelled_by_somebody_else(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As by ``asyncio.run`` in the end, when nothing must start again."""
    opened, gate = await server.open_channel(heartbeat=0), Gate()
    await opened.basic_consume(gate, "q", "tag")
    server.deliver("tag", b"1", b"2")
    await wait_idle()

    (task,) = (t for t in asyncio.all_tasks() if t.get_name() == "aioamqp callbacks of channel 1")
    task.cancel()
    await wait_idle()
    assert task.cancelled()
    assert gate.bodies == [b"1"]
    await asyncio.sleep(1)

    assert gate.bodies == [b"1", b"2"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    gate.is_open.set()
    await wait_idle()
    await opened.protocol.close()


async def test_the_callback_is_looked_up_for_every_message(server: ScriptedServer) -> None:
    opened, first, second = await server.open_channel(), Recorder(), Recorder()
    await opened.basic_consume(first, "q", "tag")
    server.deliver("tag", b"1")
    await wait_idle()

    opened.consumer_callbacks["tag"] = second
    server.deliver("tag", b"2")
    await wait_idle()

    assert (first.bodies, second.bodies) == ([b"1"], [b"2"])
    await opened.protocol.close()


@pytest.mark.parametrize("tag", ["tag", "unknown"])
async def test_a_delivery_without_a_callback_is_dropped_with_a_warning(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, tag: str
) -> None:
    opened = await server.open_channel()
    await opened.basic_consume(None, "q", "tag")

    server.deliver(tag, b"1")
    await wait_idle()

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert tag in caplog.text
    assert opened.is_open
    await opened.protocol.close()


async def test_a_delivery_with_damaged_headers_is_passed_on_as_the_next_one(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Row C3."""
    damaged = Properties.decode(b"\x20\x00\x00\x00\x00\x03\x01a?", 0, 9)
    opened = await server.open_channel()
    seen = []

    def look(_channel: object, body: bytes, _envelope: object, properties: Any) -> None:
        seen.append((body, properties.headers))

    await opened.basic_consume(look, "q", "tag")

    server.send(Command(1, basic.Deliver("tag", 1, False, "", ""), damaged, b"damaged"))
    server.deliver("tag", b"good", first=2)
    await wait_idle()

    assert seen == [(b"damaged", None), (b"good", None)]
    assert "cannot be decoded" in caplog.text
    await opened.protocol.close()
