"""Pausing and resuming the reading from the server."""

import asyncio

import pytest

import aioamqp
from aioamqp._connection.read_flow import OVERHEAD, ReadFlow
from amqp_codec import (
    Command,
    Properties,
    basic,
)
from callbacks_seen import Gate
from publishers import confirming
from scripted_server import ScriptedServer, wait_idle

LIMIT = 10_000


class Reading:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.backlog = ReadFlow(
            LIMIT,
            lambda: self.log.append("pause"),
            lambda: self.log.append("resume"),
            lambda: self.log.append("stopped"),
        )


def test_reading_is_paused_above_the_limit_and_resumed_below_half_of_it() -> None:
    reading = Reading()
    backlog = reading.backlog
    half = LIMIT // 2 - OVERHEAD

    backlog.add(half)
    backlog.add(half)
    assert reading.log == []
    backlog.add(0)
    assert reading.log == ["pause"]
    backlog.remove(0)
    assert reading.log == ["pause"]
    backlog.remove(half)
    assert reading.log == ["pause"]
    backlog.remove(half)
    assert reading.log == ["pause", "resume"]
    assert backlog.size == 0


def test_reading_is_not_paused_while_a_call_waits_for_its_reply() -> None:
    reading = Reading()

    reading.backlog.begin_call()
    reading.backlog.add(LIMIT)

    assert reading.log == []

    reading.backlog.end_call()

    assert reading.log == ["pause"]


def test_a_call_resumes_paused_reading() -> None:
    reading = Reading()

    reading.backlog.add(LIMIT)
    reading.backlog.begin_call()
    reading.backlog.begin_call()
    reading.backlog.end_call()

    assert reading.log == ["pause", "resume"]

    reading.backlog.end_call()

    assert reading.log == ["pause", "resume", "pause"]


def test_reading_is_paused_above_the_higher_limit_although_a_call_waits() -> None:
    """Row C2."""
    reading = Reading()
    backlog = reading.backlog

    backlog.begin_call()
    for _ in range(19):
        backlog.add(1500)
    assert reading.log == []
    backlog.add(1500)
    assert reading.log == ["pause", "stopped"]
    backlog.remove(1500)
    assert reading.log == ["pause", "stopped", "resume"]
    backlog.add(1500)
    assert reading.log[3:] == ["pause", "stopped"]
    backlog.end_call()
    backlog.begin_call()
    assert reading.log[5:] == ["stopped"]
    backlog.lift()
    assert reading.log[6:] == ["resume"]


def test_a_few_large_bodies_do_not_pause_reading_while_a_call_waits() -> None:
    """Row C2."""
    reading = Reading()

    reading.backlog.begin_call()
    for _ in range(16):
        reading.backlog.add(10 * LIMIT)

    assert reading.log == []


def test_empty_bodies_count_with_their_overhead() -> None:
    reading = Reading()

    for _ in range(LIMIT // OVERHEAD + 1):
        reading.backlog.add(0)

    assert reading.log == ["pause"]


# -------------------------------------------------------------------- on a connection


@pytest.mark.asyncio
async def test_reading_is_paused_while_too_much_waits_for_callbacks(
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


@pytest.mark.asyncio
async def test_a_callback_gets_replies_while_reading_is_paused(
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


@pytest.mark.asyncio
async def test_reading_is_paused_by_too_many_returned_messages(
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


@pytest.mark.asyncio
async def test_reading_is_paused_while_an_iterator_is_not_read(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 10_000)
    opened = await server.open_channel()
    messages = opened.consume("q", consumer_tag="tag", no_ack=True)
    await messages.__aenter__()

    for number in range(1, 21):
        server.deliver("tag", bytes(1000), first=number)
        await wait_idle()
    assert not server.is_read()

    got = [await anext(messages) for _ in range(20)]

    assert [message.envelope.delivery_tag for message in got] == list(range(1, 21))
    assert server.is_read()
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_a_callback_gets_publisher_confirms_while_reading_is_paused(
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


# -------------------------------------------------------------------- while calls wait


@pytest.mark.asyncio
async def test_a_program_that_always_waits_for_confirms_does_not_read_a_whole_queue(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row C2. No confirm comes before 1,000 deliveries, of which a part is kept."""
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 10_000)
    opened, gate = await confirming(server, heartbeat=0), Gate()
    await opened.basic_consume(gate, "q", "tag")
    publishing = asyncio.create_task(opened.publish(b"x", "", "q"))
    await wait_idle()

    for n in range(1, 1001):
        server.deliver("tag", b"x" * 1000, first=n)
    server.send(basic.Ack(1))
    await wait_idle()
    assert opened.protocol.pending["bytes for callbacks"] <= 4 * 10_000 + 2000
    assert not publishing.done()

    gate.is_open.set()
    await publishing
    await wait_idle()
    assert len(gate.bodies) == 1000
    assert opened.protocol.pending == {}
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_calls_whose_replies_cannot_be_read_fail_when_no_callback_ends(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Row C2. Each callback waits for a reply that comes behind all deliveries."""
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 1000)
    opened = await confirming(server, heartbeat=0)
    errors: list[BaseException] = []

    async def callback(channel: aioamqp.Channel, *_: object) -> None:
        try:
            await channel.publish(b"answer", "", "q")
        except aioamqp.PublishUnconfirmed as error:
            errors.append(error)

    await opened.basic_consume(callback, "q", "tag")
    for n in range(1, 31):
        server.deliver("tag", b"x" * 1000, first=n)
    declaring = asyncio.create_task(opened.queue_declare("q"))
    await wait_idle()
    assert not server.is_read()
    began = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError, match=r"bytes of messages wait for callbacks.*basic_qos"):
        await declaring

    assert 60 <= asyncio.get_running_loop().time() - began < 121
    await wait_idle()
    assert isinstance(errors[0], TimeoutError)
    assert [r.levelname for r in caplog.records if "wait for callbacks" in r.message] == ["WARNING"]
    await opened.protocol.close()
