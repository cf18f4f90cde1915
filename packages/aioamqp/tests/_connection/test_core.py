"""The event loop that a connection belongs to."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from scripted_server import ScriptedServer
from virtual_loop import VirtualLoop

FROM_ANOTHER_LOOP: dict[str, Callable[[aioamqp.Channel], Awaitable[Any]]] = {
    "publish": lambda c: c.publish(b"", "", "q"),
    "basic_publish": lambda c: c.basic_publish(b"", "", "q"),
    "a call": lambda c: c.queue_declare("q"),
    "an acknowledgement": lambda c: c.basic_client_ack(1),
    "closing the channel": lambda c: c.close(),
    "opening a channel": lambda c: c.protocol.channel(),
    "closing the connection": lambda c: c.protocol.close(),
    "waiting for the end": lambda c: c.protocol.wait_closed(),
    "consuming": lambda c: anext(c.consume("q")),
}


def two_loops() -> tuple[asyncio.Runner, asyncio.Runner]:
    return asyncio.Runner(loop_factory=VirtualLoop), asyncio.Runner(loop_factory=VirtualLoop)


@pytest.mark.parametrize("what", FROM_ANOTHER_LOOP)
def test_a_call_from_another_loop_raises_wrong_loop(server: ScriptedServer, what: str) -> None:
    own, other = two_loops()
    with own, other:
        opened = own.run(server.open_channel())

        async def call() -> None:
            await FROM_ANOTHER_LOOP[what](opened)

        with pytest.raises(aioamqp.WrongLoop, match="run_coroutine_threadsafe"):
            other.run(call())

        assert server.transport.writes == []
        assert len(opened.protocol.channels) == 1
        assert own.run(opened.queue_declare("q"))
        own.run(opened.protocol.close())


def test_another_loop_can_see_that_a_connection_has_ended(server: ScriptedServer) -> None:
    own, other = two_loops()
    with own, other:
        protocol = own.run(server.connect())
        own.run(protocol.close())

        other.run(protocol.wait_closed())
        with pytest.raises(aioamqp.AmqpClosedConnection):
            other.run(protocol.channel())
