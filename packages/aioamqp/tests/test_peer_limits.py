"""What a server can make a program hold. Row C2; the bounds are in SECURITY.md."""

import asyncio
import tracemalloc

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic, channel, connection, encode_command
from callbacks_seen import Gate
from publishers import confirming
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


def unfinished(number: int, size: int) -> bytes:
    """Return all of a delivery but its last frame."""
    delivery = Command(number, basic.Deliver("tag", 1, False, "", "q"), Properties(), bytes(size))
    frames = encode_command(delivery, 4096)
    return frames[: -(size % (4096 - 8) + 8)]


async def test_bodies_on_channels_that_are_not_open_are_not_kept(server: ScriptedServer) -> None:
    """Row C2."""
    protocol = await server.connect()
    data = [unfinished(number, 100_000) for number in range(1, 101)]
    tracemalloc.start()

    for each in data:
        server.send(each)
    await wait_idle()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 1_000_000
    assert protocol.is_open
    await protocol.close()


async def test_unfinished_bodies_of_all_channels_are_bounded(server: ScriptedServer) -> None:
    """Row C2."""
    protocol = await server.connect(max_message_size=20_000_000)
    for _ in range(3):
        await protocol.channel()

    for number in range(1, 4):
        server.send(unfinished(number, 19_000_000))
    await protocol.wait_closed()

    with pytest.raises(aioamqp.AmqpClosedConnection, match="unfinished bodies of all channels"):
        await protocol.channel()


@pytest.mark.parametrize("size", [0, 2])
async def test_small_body_frames_are_held_as_their_bytes(server: ScriptedServer, size: int) -> None:
    """Row C2."""
    opened = await server.open_channel()
    await opened.basic_consume(Gate(), "q", "tag")
    delivery = Command(1, basic.Deliver("tag", 1, False, "", "q"), Properties(), bytes(300_000))
    frames = encode_command(delivery, 4096)
    data = frames[: frames.index(b"\xce\x03") + 1]
    data += (b"\x03\x00\x01" + size.to_bytes(4, "big") + bytes(size) + b"\xce") * 50_000
    tracemalloc.start()

    server.transport.protocol.data_received(data)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 500_000  # objects for 50,000 frames would take 2 MB
    await opened.protocol.close()


async def test_a_server_cannot_choose_frames_without_bound(server: ScriptedServer) -> None:
    """Row C2."""
    server.answers[connection.StartOk] = lambda _: connection.Tune(2047, (1 << 32) - 1, 60)

    protocol = await server.connect()

    assert protocol.server_frame_max == 16 * 1024 * 1024
    await protocol.close()
    chosen = await server.connect(frame_max=32 * 1024 * 1024)
    assert chosen.server_frame_max == 32 * 1024 * 1024
    await chosen.close()


async def test_cancels_of_unknown_consumers_leave_nothing(server: ScriptedServer) -> None:
    """Row C2. As in 0.15, the callbacks are called for such a consumer too."""
    opened = await server.open_channel()
    called: list[str] = []
    opened.add_cancellation_callback(lambda _, tag: called.append(tag))

    for number in range(1000):
        server.send(basic.Cancel(f"tag {number}", no_wait=True))
    await wait_idle()

    assert opened.cancelled_consumers == set()
    assert len(called) == 1000
    assert opened.protocol.pending == {}
    await opened.protocol.close()


async def test_a_flood_of_cancels_pauses_reading(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row C2."""
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 10_000)
    opened, gate = await server.open_channel(heartbeat=0), asyncio.Event()
    cancelled: list[str] = []

    async def callback(_: object, tag: str) -> None:
        await gate.wait()
        cancelled.append(tag)

    opened.add_cancellation_callback(callback)
    await opened.basic_consume(Gate(), "q", "tag")
    for _ in range(100):
        server.send(basic.Cancel("tag", no_wait=True))
    await wait_idle()
    assert not server.is_read()

    gate.set()
    await wait_idle()
    assert len(cancelled) == 100
    assert opened.protocol.pending == {}
    await opened.protocol.close()


async def test_a_flood_of_connection_blocked_pauses_reading(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row C2."""
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 10_000)
    protocol, gate = await server.connect(heartbeat=0), asyncio.Event()
    reasons: list[str | None] = []

    async def on_change(reason: str | None) -> None:
        await gate.wait()
        reasons.append(reason)

    protocol.blocked.on_change = on_change
    for _ in range(50):
        server.send(connection.Blocked("low on memory"), connection.Unblocked(), channel=0)
    await wait_idle()
    assert not server.is_read()

    gate.set()
    await wait_idle()
    assert reasons == ["low on memory", None] * 50
    assert protocol.pending == {}
    await protocol.close()


async def test_a_flood_of_confirms_leaves_nothing(server: ScriptedServer) -> None:
    """Row C2."""
    opened = await confirming(server)

    server.send(*[basic.Ack(tag, multiple=tag % 2 == 0) for tag in range(1, 2000)])
    await wait_idle()

    assert opened.protocol.pending == {}
    await opened.protocol.close()


@pytest.mark.parametrize("method", [channel.Flow(True), basic.Cancel("tag", no_wait=False)])
async def test_answers_to_a_server_that_does_not_read_are_bounded(
    server: ScriptedServer, method: channel.Flow | basic.Cancel
) -> None:
    """Row C2."""
    opened = await server.open_channel(heartbeat=0)
    opened.protocol.pause_writing()
    server.answers[connection.Close] = None

    for _ in range(1000):
        server.send(*[method] * 100)
    await opened.protocol.wait_closed()

    assert sum(map(len, server.transport.writes)) < 1024 * 1024 + 1000
    with pytest.raises(aioamqp.AmqpClosedConnection, match="it reads no answers"):
        await opened.queue_declare("q")
