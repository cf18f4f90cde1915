"""What happens when callbacks are slower than the server."""

import asyncio

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic
from callbacks_seen import Gate
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_reading_stops_while_too_much_waits_and_goes_on_after(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 10_000)
    opened, gate = await server.open_channel(heartbeat=0), Gate()
    await opened.basic_consume(gate, "q", "tag")

    for n in range(1, 11):
        server.deliver("tag", b"x" * 4000, first=n)
    await wait_idle()
    assert not server.is_read()
    assert len(gate.bodies) == 1

    gate.is_open.set()
    await wait_idle()
    assert server.is_read()

    assert [call[2].delivery_tag for call in gate.calls] == list(range(1, 11))
    assert opened.protocol.pending == {}
    await opened.protocol.close()


async def test_a_callback_gets_its_reply_even_while_too_much_waits(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 1000)
    go_on, names = asyncio.Event(), []

    async def callback(channel: aioamqp.Channel, *_: object) -> None:
        await go_on.wait()
        names.append((await channel.queue_declare("q"))["queue"])

    opened = await server.open_channel(heartbeat=0)
    await opened.basic_consume(callback, "q", "tag")
    server.deliver("tag", *[b"x" * 1000] * 5)
    await wait_idle()
    assert not server.is_read()

    go_on.set()
    await wait_idle()

    assert names == ["q"] * 5
    assert server.is_read()
    await opened.protocol.close()


async def test_messages_that_come_back_can_be_too_many_too(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 1000)
    opened, gate = await server.open_channel(heartbeat=0), Gate()
    opened.return_callback = gate
    returned = Command(1, basic.Return(312, "NO_ROUTE", "", "k"), Properties(), b"x" * 1000)

    server.send(*[returned] * 3)
    await wait_idle()
    assert not server.is_read()
    await opened.protocol.close()

    assert not server.transport.was_aborted
    gate.is_open.set()
    await wait_idle()
    assert len(gate.bodies) == 3
