"""basic.get and basic.consume."""

import asyncio

import pytest

import aioamqp
from amqp_codec import (
    Command,
    Properties,
    basic,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_basic_get_from_an_empty_queue_raises_empty_queue(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    with pytest.raises(aioamqp.EmptyQueue):
        await opened.basic_get("q")

    assert opened.is_open
    await opened.protocol.close()


GOT = Command(1, basic.GetOk(7, True, "e", "k", 9), Properties(type="t"), b"body")


async def test_basic_get_returns_a_dict_with_seven_keys(server: ScriptedServer) -> None:
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
async def test_a_message_for_a_cancelled_get_is_returned_to_the_queue(
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


async def test_a_message_that_comes_as_the_get_times_out_is_returned_to_the_queue(
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


async def test_a_message_with_no_ack_is_not_returned_to_the_queue(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    server.mute(basic.Get)
    with pytest.raises(TimeoutError):
        await opened.basic_get("q", no_ack=True, timeout=1)

    server.send(GOT)
    await wait_idle()

    assert server.names() == ["basic.get"]
    await opened.protocol.close()


async def test_basic_consume_sends_its_arguments_and_makes_a_consumer_tag(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    result = await opened.basic_consume(
        None, "q", no_local=True, no_ack=True, exclusive=True, arguments={"x-priority": 1}
    )

    tag = result["consumer_tag"]
    assert tag.startswith("ctag1.")
    assert len(tag) == len("ctag1.") + 32
    assert opened.last_consumer_tag == tag
    assert server.methods(basic.Consume) == [
        basic.Consume("q", tag, True, True, True, False, {"x-priority": 1})
    ]
    await opened.protocol.close()
