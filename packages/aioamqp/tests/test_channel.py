"""The calls of a channel."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import Command, Method, Properties, basic, channel, exchange, queue, tx
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

CALLS: list[tuple[Callable[[aioamqp.Channel], Awaitable[Any]], Method, Any]] = [
    (
        lambda c: c.exchange_declare("e", "topic", durable=True, arguments={"a": 1}),
        exchange.Declare("e", "topic", durable=True, arguments={"a": 1}),
        True,
    ),
    (lambda c: c.exchange("e"), exchange.Declare("e", "direct"), True),
    (lambda c: c.exchange_delete("e", if_unused=True), exchange.Delete("e", True), True),
    (
        lambda c: c.exchange_bind("to", "from", "k", arguments={"a": 1}),
        exchange.Bind("to", "from", "k", arguments={"a": 1}),
        True,
    ),
    (
        lambda c: c.exchange_bind("to", "from", "k", True),
        exchange.Bind("to", "from", "k", True),
        None,
    ),
    (
        lambda c: c.exchange_unbind(
            exchange_destination="to", exchange_source="from", routing_key="k"
        ),
        exchange.Unbind("to", "from", "k"),
        True,
    ),
    (
        lambda c: c.exchange_unbind("to", "from", "k", no_wait=True),
        exchange.Unbind("to", "from", "k", True),
        None,
    ),
    (
        lambda c: c.queue_declare("q", durable=True, arguments={"x-max-length": 5}),
        queue.Declare("q", durable=True, arguments={"x-max-length": 5}),
        {"queue": "q", "message_count": 3, "consumer_count": 1},
    ),
    (
        lambda c: c.queue("q", exclusive=True),
        queue.Declare("q", exclusive=True),
        {"queue": "q", "message_count": 3, "consumer_count": 1},
    ),
    (
        lambda c: c.queue_declare(),
        queue.Declare(""),
        {"queue": "amq.gen-1", "message_count": 3, "consumer_count": 1},
    ),
    (lambda c: c.queue_declare("q", no_wait=True), queue.Declare("q", no_wait=True), None),
    (lambda c: c.queue_bind("q", "e", "k"), queue.Bind("q", "e", "k"), True),
    (lambda c: c.queue_bind("q", "e", "k", True), queue.Bind("q", "e", "k", True), None),
    (
        lambda c: c.queue_delete("q", if_unused=True, if_empty=True),
        queue.Delete("q", True, True),
        True,
    ),
    (lambda c: c.queue_delete("q", arguments={"a": 1}), queue.Delete("q"), True),
    (
        lambda c: c.queue_unbind("q", "e", "k", {"a": 1}),
        queue.Unbind("q", "e", "k", {"a": 1}),
        True,
    ),
    (lambda c: c.queue_unbind("q", "e", "k", no_wait=True), queue.Unbind("q", "e", "k"), None),
    (lambda c: c.queue_purge("q"), queue.Purge("q"), {"message_count": 7}),
    (lambda c: c.queue_purge("q", no_wait=True), queue.Purge("q", True), None),
    (lambda c: c.basic_qos(prefetch_count=5), basic.Qos(0, 5, False), True),
    (lambda c: c.basic_qos(0, 5, connection_global=True), basic.Qos(0, 5, True), True),
    (lambda c: c.basic_client_ack(5, multiple=True), basic.Ack(5, True), None),
    (lambda c: c.basic_ack(delivery_tag=5), basic.Ack(5), None),
    (lambda c: c.basic_client_nack(5), basic.Nack(5, False, True), None),
    (lambda c: c.basic_nack(5, True, False), basic.Nack(5, True, False), None),
    (lambda c: c.basic_reject(5), basic.Reject(5, False), None),
    (lambda c: c.basic_recover(), basic.Recover(True), True),
    (lambda c: c.basic_recover(requeue=False), basic.Recover(False), True),
    (lambda c: c.basic_recover_async(), basic.RecoverAsync(True), None),
    (lambda c: c.flow(True), channel.Flow(True), {"active": True}),
    (lambda c: c.flow(active=False), channel.Flow(False), {"active": False}),
    (lambda c: c.tx_select(), tx.Select(), True),
    (lambda c: c.tx_commit(), tx.Commit(), True),
    (lambda c: c.tx_rollback(), tx.Rollback(), True),
    (lambda c: c.basic_cancel("tag"), basic.Cancel("tag"), {"consumer_tag": "tag"}),
    (lambda c: c.basic_cancel("tag", no_wait=True), basic.Cancel("tag", True), None),
]


@pytest.mark.parametrize(
    ("call", "method", "result"),
    CALLS,
    ids=[f"{n}-{method.NAME}" for n, (_, method, _) in enumerate(CALLS)],
)
async def test_a_call_sends_its_method_and_returns_what_0_15_does(
    server: ScriptedServer,
    call: Callable[[aioamqp.Channel], Awaitable[Any]],
    method: Method,
    result: Any,
) -> None:
    opened = await server.open_channel()

    assert await call(opened) == result

    await wait_idle()
    assert server.received == [Command(1, method)]
    await opened.protocol.close()


# -------------------------------------------------------------------- replies


async def test_calls_of_one_kind_can_be_made_side_by_side(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    results = await asyncio.gather(*(opened.queue_declare(f"q{n}") for n in range(5)))

    assert [result["queue"] for result in results] == [f"q{n}" for n in range(5)]
    await opened.protocol.close()


async def test_after_a_cancelled_call_the_next_one_gets_its_own_reply(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(opened.queue_declare("first"), 0.05)
    second = asyncio.create_task(opened.queue_declare("second"))
    await wait_idle()
    server.send(queue.DeclareOk("first"))
    await wait_idle()

    assert not second.done()

    server.send(queue.DeclareOk("second"))

    assert (await second)["queue"] == "second"
    await opened.protocol.close()


async def test_a_call_has_a_timeout_of_its_own(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(exchange.Declare)

    with pytest.raises(TimeoutError):
        await opened.exchange_declare("e", timeout=1)

    server.send(exchange.DeclareOk())
    await wait_idle()
    assert await opened.queue_declare("q", timeout=1)
    await opened.protocol.close()


async def test_a_call_cancelled_in_the_turn_in_which_its_reply_comes_is_cancelled(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)
    task = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()

    server.send(queue.DeclareOk("q"))
    asyncio.get_running_loop().call_soon(task.cancel)

    with pytest.raises(asyncio.CancelledError):
        await task
    server.send(queue.DeclareOk("r"))
    assert (await opened.queue_declare("r"))["queue"] == "r"
    await opened.protocol.close()


async def test_the_answer_to_an_unbind_that_nobody_waits_for_is_not_taken_for_another_s(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    await opened.queue_unbind("q", "e", "k", no_wait=True)

    assert (await opened.queue_declare("q"))["queue"] == "q"
    await opened.protocol.close()


# -------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.queue_declare("q" * 256),
        lambda c: c.queue_declare(5),
        lambda c: c.exchange_declare(None, "direct"),
        lambda c: c.queue_bind("q", "e", None),
        lambda c: c.basic_qos(prefetch_count=65536),
        lambda c: c.basic_qos(prefetch_size=-1),
        lambda c: c.queue_declare("q", arguments={"x": object()}),
        lambda c: c.basic_consume(print, 5),
        lambda c: c.basic_client_ack("one"),
    ],
)
async def test_an_argument_that_cannot_be_sent_is_a_type_error_and_costs_nothing(
    server: ScriptedServer, call: Callable[[Any], Awaitable[Any]]
) -> None:
    opened = await server.open_channel()

    with pytest.raises(TypeError) as caught:
        await call(opened)

    assert isinstance(caught.value, ValueError)
    await wait_idle()
    assert server.received == []
    assert opened.consumer_callbacks == {}
    assert await opened.queue_declare("q")
    await opened.protocol.close()


async def test_names_need_not_be_ascii(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    assert (await opened.queue_declare("$größe:字"))["queue"] == "$größe:字"
    await opened.protocol.close()


# -------------------------------------------------------------------- basic_get


async def test_getting_from_an_empty_queue_says_so(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    with pytest.raises(aioamqp.EmptyQueue):
        await opened.basic_get("q")

    assert opened.is_open
    await opened.protocol.close()


GOT = Command(1, basic.GetOk(7, True, "e", "k", 9), Properties(type="t"), b"body")


async def test_a_message_that_was_got_is_a_dict_of_seven(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(basic.Get)
    getting = asyncio.create_task(opened.basic_get("q", no_ack=True))
    await wait_idle()

    server.send(GOT)
    message = await getting

    properties = message.pop("properties")
    assert isinstance(properties, aioamqp.Properties)
    assert properties.message_type == "t"
    assert message == {
        "delivery_tag": 7,
        "redelivered": True,
        "exchange_name": "e",
        "routing_key": "k",
        "message_count": 9,
        "message": b"body",
    }
    assert server.methods(basic.Get) == [basic.Get("q", True)]
    await opened.protocol.close()


@pytest.mark.parametrize("in_the_same_turn", [False, True])
async def test_a_message_for_a_get_that_was_given_up_goes_back_to_the_queue(
    server: ScriptedServer, in_the_same_turn: bool
) -> None:
    opened = await server.open_channel()
    server.mute(basic.Get)
    getting = asyncio.create_task(opened.basic_get("q"))
    await wait_idle()

    if in_the_same_turn:
        server.send(GOT)
        asyncio.get_running_loop().call_soon(getting.cancel)
    else:
        getting.cancel()
        server.send(GOT)
    with pytest.raises(asyncio.CancelledError):
        await getting
    await wait_idle()

    assert server.methods(basic.Nack) == [basic.Nack(7, False, True)]
    await opened.protocol.close()


async def test_a_message_that_comes_just_when_the_time_is_over_goes_back_to_the_queue(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(basic.Get)
    loop = asyncio.get_running_loop()
    loop.call_later(1 - 1e-10, lambda: server.send_now(GOT))

    with pytest.raises(TimeoutError):
        await opened.basic_get("q", timeout=1)
    await wait_idle()

    assert server.methods(basic.Nack) == [basic.Nack(7, False, True)]
    await opened.protocol.close()


async def test_a_message_that_needs_no_ack_cannot_go_back(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(basic.Get)
    with pytest.raises(TimeoutError):
        await opened.basic_get("q", no_ack=True, timeout=1)

    server.send(GOT)
    await wait_idle()

    assert server.names() == ["basic.get"]
    await opened.protocol.close()


# -------------------------------------------------------------------- what the server sends


async def test_a_message_that_comes_back_is_given_to_the_return_callback(
    server: ScriptedServer,
) -> None:
    returned: list[tuple[Any, ...]] = []
    opened = await server.open_channel()
    opened.return_callback = lambda *args: returned.append(args)

    server.send(Command(1, basic.Return(312, "NO_ROUTE", "e", "k"), Properties(type="t"), b"body"))
    await wait_idle()

    ((given, body, envelope, properties),) = returned
    assert (given, body) == (opened, b"body")
    assert (envelope.reply_code, envelope.reply_text) == (312, "NO_ROUTE")
    assert (envelope.exchange_name, envelope.routing_key) == ("e", "k")
    assert properties.message_type == "t"
    await opened.protocol.close()


async def test_the_return_callback_may_make_calls_and_comes_in_order(
    server: ScriptedServer,
) -> None:
    seen: list[bytes] = []

    async def on_return(channel: aioamqp.Channel, body: bytes, *_: object) -> None:
        await channel.queue_declare("q")
        seen.append(body)

    protocol = await server.connect()
    opened = await protocol.channel(return_callback=on_return)
    server.send(
        *(Command(1, basic.Return(312, "", "", ""), Properties(), b"%d" % n) for n in range(3))
    )
    await wait_idle()

    assert seen == [b"0", b"1", b"2"]
    await opened.protocol.close()


async def test_a_message_that_comes_back_to_nobody_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await server.open_channel()

    server.send(Command(1, basic.Return(312, "NO_ROUTE", "ex", "key"), Properties(), b""))
    await wait_idle()

    assert "NO_ROUTE" in caplog.text
    assert "return_callback" in caplog.text
    await opened.protocol.close()


async def test_a_message_that_comes_back_with_headers_that_cannot_be_decoded_is_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    poison = Properties.decode(b"\x20\x00\x00\x00\x00\x03\x01a?", 0, 9)
    opened = await server.open_channel(on_error=print)
    opened.return_callback = print

    server.send(Command(1, basic.Return(312, "NO_ROUTE", "ex", "key"), poison, b""))
    await wait_idle()

    assert "cannot be decoded" in caplog.text
    assert opened.is_open
    await opened.protocol.close()


async def test_flow_is_answered_and_holds_publishes_back(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    server.send(channel.Flow(False))
    await wait_idle()
    publishing = asyncio.create_task(opened.basic_publish(b"x", "", "q"))
    await wait_idle()
    assert server.received == [Command(1, channel.FlowOk(False))]

    server.send(channel.Flow(True))
    await publishing
    await wait_idle()
    assert server.names() == ["channel.flow-ok", "channel.flow-ok", "basic.publish"]
    await opened.protocol.close()


async def test_a_publish_held_back_by_flow_ends_with_the_channel(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.send(channel.Flow(False))
    await wait_idle()
    publishing = asyncio.create_task(opened.basic_publish(b"x", "", "q"))
    await wait_idle()

    server.send(channel.Close(404, "NOT_FOUND"))

    with pytest.raises(aioamqp.ChannelClosed):
        await publishing
    await opened.protocol.close()


async def test_ack_and_nack_have_the_names_that_other_clients_give_them() -> None:
    assert aioamqp.Channel.basic_ack is aioamqp.Channel.basic_client_ack
    assert aioamqp.Channel.basic_nack is aioamqp.Channel.basic_client_nack
