"""Section 2 of the contract with aioamqp 0.15: heartbeats."""

import asyncio
import gc
import weakref

import pytest

import aioamqp
from aioamqp.protocol import CLOSED, OPEN
from amqp_codec import HEARTBEAT, Command, basic, connection, encode_command, queue
from callbacks_seen import Gate
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

HEARTBEAT_FRAME = encode_command(Command(0, HEARTBEAT))


def heartbeats_sent(server: ScriptedServer) -> int:
    return server.transport.writes.count(HEARTBEAT_FRAME)


async def test_a_heartbeat_is_sent_after_one_interval_without_a_write(
    server: ScriptedServer,
) -> None:
    """B10."""
    opened = await server.open_channel(heartbeat=10)
    await asyncio.sleep(9)
    await opened.basic_client_ack(1)  # any write delays the heartbeat
    await asyncio.sleep(9.9)
    assert heartbeats_sent(server) == 0

    await asyncio.sleep(0.2)

    assert heartbeats_sent(server) == 1
    server.send(HEARTBEAT_FRAME)
    await asyncio.sleep(10)
    assert heartbeats_sent(server) == 2
    await opened.protocol.close()


async def test_any_received_byte_counts_as_traffic_from_the_server(server: ScriptedServer) -> None:
    """B10."""
    protocol = await server.connect(heartbeat=10)

    for byte in HEARTBEAT_FRAME * 3:
        await asyncio.sleep(19)
        server.send(bytes([byte]))

    assert protocol.state == OPEN
    await protocol.close()


async def test_two_missed_heartbeats_abort_the_connection_and_fail_pending_calls(
    server: ScriptedServer,
) -> None:
    """B10."""
    errors: list[Exception] = []
    opened = await server.open_channel(heartbeat=10, on_error=errors.append)
    server.mute(queue.Declare)
    waiting = asyncio.create_task(opened.queue_declare("q"))
    await asyncio.sleep(19.9)
    assert not waiting.done()

    await asyncio.sleep(0.2)

    assert isinstance(waiting.exception(), aioamqp.AmqpClosedConnection)
    assert server.methods(connection.Close) == []
    assert server.transport.was_aborted
    assert opened.protocol.state == CLOSED
    assert errors == [waiting.exception()]


async def test_a_slow_callback_does_not_stop_heartbeats(server: ScriptedServer) -> None:
    """B11."""
    slow = Gate()
    opened = await server.open_channel(heartbeat=10)
    await opened.basic_consume(slow, "q", "tag")
    server.deliver("tag", b"1", b"2")

    for n in range(1, 20):
        await asyncio.sleep(10)
        server.send(HEARTBEAT_FRAME)
        assert heartbeats_sent(server) == n

    assert opened.protocol.state == OPEN
    assert slow.bodies == [b"1"]
    slow.is_open.set()
    await wait_idle()
    assert slow.bodies == [b"1", b"2"]
    await opened.protocol.close()


async def test_paused_reading_does_not_count_as_a_missed_heartbeat(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B11."""
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 5000)
    slow = Gate()
    opened = await server.open_channel(heartbeat=10)
    await opened.basic_consume(slow, "q", "tag")
    server.deliver("tag", bytes(3000), bytes(3000), bytes(3000))
    await wait_idle()
    assert not server.is_read()

    await asyncio.sleep(1000)
    assert opened.protocol.state == OPEN
    assert heartbeats_sent(server) >= 99

    slow.is_open.set()
    await wait_idle()
    assert server.is_read()
    await opened.basic_client_ack(3, multiple=True)
    await wait_idle()
    assert server.methods(basic.Ack) == [basic.Ack(3, True)]
    await opened.protocol.close()


async def test_heartbeats_stop_when_the_connection_is_closed(server: ScriptedServer) -> None:
    """B12."""
    protocol = await server.connect(heartbeat=10)
    worker = protocol._heartbeat_send_worker
    assert worker is not None
    assert not worker.done()
    server.transport.end(ConnectionResetError(104, "reset"))

    await protocol.wait_closed()
    assert worker.done()
    await asyncio.sleep(1000)

    assert heartbeats_sent(server) == 0
    assert protocol.server_heartbeat is None
    server.transport.protocol = None
    remains = weakref.ref(protocol)
    del protocol
    gc.collect()
    assert remains() is None  # no timer references it
