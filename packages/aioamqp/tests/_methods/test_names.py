"""Names of arguments that other clients use, callbacks of the wrong shape, entering a channel."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any
from unittest.mock import AsyncMock, MagicMock, patch

import pytest

import aioamqp
from amqp_codec import Method, basic, exchange, queue
from scripted_server import ScriptedServer

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("name", "arguments", "method"),
    [
        ("queue_declare", {"queue": "q"}, queue.Declare("q")),
        ("queue_delete", {"queue": "q"}, queue.Delete("q")),
        ("queue_purge", {"queue": "q"}, queue.Purge("q")),
        (
            "queue_bind",
            {"queue": "q", "exchange": "e", "routing_key": "k"},
            queue.Bind("q", "e", "k"),
        ),
        (
            "queue_unbind",
            {"queue": "q", "exchange": "e", "routing_key": "k"},
            queue.Unbind("q", "e", "k"),
        ),
        ("exchange_declare", {"exchange": "e"}, exchange.Declare("e", "direct")),
        (
            "exchange_declare",
            {"exchange": "e", "exchange_type": aioamqp.ExchangeType.TOPIC},
            exchange.Declare("e", "topic"),
        ),
        ("exchange_delete", {"exchange": "e"}, exchange.Delete("e")),
        (
            "exchange_bind",
            {"destination": "d", "source": "s", "routing_key": "k"},
            exchange.Bind("d", "s", "k"),
        ),
        (
            "exchange_unbind",
            {"destination": "d", "source": "s", "routing_key": "k"},
            exchange.Unbind("d", "s", "k"),
        ),
        (
            "basic_consume",
            {"callback": print, "queue": "q", "consumer_tag": "t"},
            basic.Consume("q", "t"),
        ),
    ],
)
async def test_arguments_have_the_names_of_other_clients(
    server: ScriptedServer, name: str, arguments: dict[str, Any], method: Method
) -> None:
    """Row U27."""
    channel = await server.open_channel()

    await getattr(channel, name)(**arguments)

    assert server.methods(type(method)) == [method]
    await channel.protocol.close()


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        (
            "queue_declare",
            {"queue_name": "a", "queue": "b"},
            "queue: is another name of queue_name",
        ),
        ("basic_get", {"queue_name": "a", "queue": "b"}, "queue: is another name of queue_name"),
        ("queue_bind", {"queue": "q", "exchange": "e"}, "routing_key: must be given"),
        ("queue_delete", {}, "queue_name: must be given"),
        ("exchange_declare", {}, "exchange_name: must be given"),
        ("exchange_bind", {"source": "s"}, "exchange_destination: must be given"),
    ],
)
async def test_an_argument_is_given_by_one_of_its_names(
    server: ScriptedServer, name: str, arguments: dict[str, Any], text: str
) -> None:
    """Row U27."""
    channel = await server.open_channel()

    with pytest.raises(aioamqp.InvalidArgument, match=text):
        await getattr(channel, name)(**arguments)

    await channel.protocol.close()


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(channel: Any, body: Any, envelope: Any, properties: Any) -> Any:
        return function(body)

    return wrapper


class Handler:
    def of_body(self, body: bytes) -> None: ...
    def of_message(self, channel: Any, body: Any, envelope: Any, properties: Any) -> None: ...
    def __call__(self, *arguments: Any) -> None: ...


@pytest.mark.parametrize(
    "callback",
    [
        lambda: None,
        lambda body: None,
        lambda channel, body, envelope: None,
        lambda channel, body, envelope, properties, more: None,
        lambda channel, body, envelope, properties, *, more: None,
        Handler().of_body,
        functools.partial(lambda channel, body: None, 1),
    ],
)
async def test_a_callback_that_cannot_be_called_is_refused_when_it_is_given(
    server: ScriptedServer, callback: Any
) -> None:
    """Row U27."""
    channel = await server.open_channel()

    with pytest.raises(aioamqp.InvalidArgument, match=r"\(channel, body, envelope, properties\)"):
        await channel.basic_consume(callback, "q")
    with pytest.raises(aioamqp.InvalidArgument, match="return_callback"):
        channel.return_callback = callback

    assert not server.methods(basic.Consume)
    await channel.protocol.close()


@pytest.mark.parametrize(
    "callback",
    [
        print,
        lambda *arguments: None,
        lambda a, b, c, d: None,
        lambda a, b, c, d, e=1: None,
        decorated(lambda body: None),
        functools.partial(lambda a, b, c, d, e: None, 1),
        Handler(),
        Handler().of_message,
        Handler,
        MagicMock(),
        MagicMock(spec=lambda body: None),
        AsyncMock(),
    ],
)
async def test_a_callback_that_may_work_is_accepted(server: ScriptedServer, callback: Any) -> None:
    """Row U27."""
    channel = await server.open_channel()

    await channel.basic_consume(callback, "q")

    await channel.protocol.close()


async def test_other_callbacks_of_the_wrong_shape_are_refused(server: ScriptedServer) -> None:
    """Row U27."""
    channel = await server.open_channel()

    with pytest.raises(aioamqp.InvalidArgument, match=r"\(channel, consumer_tag\)"):
        channel.add_cancellation_callback(lambda tag: None)  # type: ignore[arg-type]
    with pytest.raises(aioamqp.InvalidArgument, match=r"\(error\)"):
        aioamqp.AmqpProtocol(on_error=lambda: None)  # type: ignore[arg-type]
    with pytest.raises(aioamqp.InvalidArgument, match=r"\(channel, error\)"):
        channel.protocol.on_channel_close = lambda error: None  # type: ignore[assignment]
    with pytest.raises(aioamqp.InvalidArgument, match=r"\(reason\)"):
        channel.protocol.blocked.on_change = lambda: None  # type: ignore[assignment]
    with pytest.raises(aioamqp.InvalidArgument, match="on_change"):
        channel.protocol.blocked.on_change = "log"  # type: ignore[assignment]
    channel.protocol.blocked.on_change = print
    assert (channel.protocol.blocked.on_change, channel.protocol.on_channel_close) == (print, None)

    await channel.protocol.close()


async def test_a_callback_without_a_channel_is_named_in_the_log(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Row U27. A test of 0.15 has such a callback, which is never called."""
    channel = await server.open_channel()

    await channel.basic_consume(lambda body, envelope, properties: None, "q")  # type: ignore[arg-type]

    assert "will fail: it is called with (channel, body, envelope, properties)" in caplog.text
    await channel.protocol.close()


async def test_a_channel_can_be_entered_without_awaiting_it(server: ScriptedServer) -> None:
    """Row U27."""
    protocol = await server.connect()

    async with protocol.channel() as channel:
        states = [channel.is_open]
    states.append(channel.is_open)
    async with await protocol.channel() as channel:
        states.append(channel.is_open)

    assert states == [True, False, True]
    await protocol.close()


async def test_opening_a_channel_is_a_coroutine(server: ScriptedServer) -> None:
    """Row U27."""
    protocol = await server.connect()

    channels = await asyncio.gather(
        asyncio.create_task(protocol.channel()),
        asyncio.wait_for(protocol.channel(), 5),
        protocol.channel(),
    )

    assert {channel.channel_id for channel in channels} == {1, 2, 3}
    with patch.object(protocol, "channel") as mocked:
        assert isinstance(mocked, AsyncMock)
    await protocol.close()
