"""What programs and tests written for 0.15 use, done as they do it."""

import asyncio
from unittest import mock

import pytest

import aioamqp
from aioamqp.protocol import CLOSED
from amqp_codec import HEARTBEAT, Command
from scripted_server import ScriptedServer, wait_idle
from virtual_loop import VirtualLoop

pytestmark = pytest.mark.asyncio


async def test_the_worker_lasts_as_long_as_the_connection(server: ScriptedServer) -> None:
    protocol = await server.connect()
    assert protocol.worker is not None
    assert not protocol.worker.done()

    await protocol.close()

    await asyncio.wait_for(protocol.worker, 1)
    await asyncio.wait_for(protocol.stop_now.wait(), 1)


async def test_the_transport_can_be_closed_through_the_stream_reader(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    assert protocol._stream_reader is not None
    assert protocol.worker is not None

    protocol._stream_reader._transport.close()
    await asyncio.wait_for(protocol.worker, 1)

    assert protocol._stream_reader._transport.is_closing()
    assert protocol.state == CLOSED


async def test_an_unconnected_protocol_has_no_worker_and_no_streams() -> None:
    protocol = aioamqp.AmqpProtocol()

    assert (protocol.worker, protocol.connecting, protocol._stream_reader) == (None, None, None)


async def test_waiting_for_the_worker_can_time_out(server: ScriptedServer) -> None:
    protocol = await server.connect()
    assert protocol.worker is not None

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(protocol.worker, 1)

    await protocol.close()


async def test_send_heartbeat_sends_a_heartbeat(server: ScriptedServer) -> None:
    protocol = await server.connect()

    await protocol.send_heartbeat()

    assert server.received == [Command(0, HEARTBEAT)]
    await protocol.close()
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.send_heartbeat()


async def test_heartbeat_waits_for_the_end_of_the_connection(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    task = asyncio.create_task(protocol.heartbeat())
    await wait_idle()
    assert not task.done()

    await protocol.close()

    await task


async def test_the_heartbeat_can_be_shortened_as_the_tests_of_0_15_do(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect(heartbeat=60)
    with mock.patch.object(protocol, "send_heartbeat", wraps=protocol.send_heartbeat) as sent:
        protocol.server_heartbeat = 1
        assert protocol._heartbeat_send_worker is not None
        assert protocol._heartbeat_recv_worker is not None
        protocol._heartbeat_send_worker.cancel()
        protocol._heartbeat_send_worker = asyncio.ensure_future(protocol._heartbeat_send())
        protocol._heartbeat_recv_worker.cancel()
        protocol._heartbeat_recv_worker = asyncio.ensure_future(protocol._heartbeat_recv())

        await asyncio.sleep(1.001)
        sent.assert_called_once_with()

    await asyncio.sleep(1.001)
    assert protocol.state == CLOSED
    await asyncio.gather(protocol._heartbeat_send_worker, protocol._heartbeat_recv_worker)


async def test_the_heartbeat_of_0_15_excuses_silence_while_the_event_loop_was_blocked(
    server: ScriptedServer,
) -> None:
    protocol, loop = await server.connect(heartbeat=60), asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    protocol.server_heartbeat = 10
    receiving = asyncio.create_task(protocol._heartbeat_recv())
    await asyncio.sleep(15)

    loop.advance(10.5)  # the task runs more than half an interval late
    await wait_idle()
    states = [protocol.is_open]
    await asyncio.sleep(9.4)
    states.append(protocol.is_open)
    await asyncio.sleep(2)
    states.append(protocol.is_open)

    assert states == [True, True, False]
    await receiving


async def test_the_heartbeat_coroutines_of_0_15_end_with_the_connection(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect(heartbeat=60)
    tasks = [
        asyncio.create_task(protocol._heartbeat_send()),
        asyncio.create_task(protocol._heartbeat_recv()),
    ]
    await wait_idle()

    await protocol.close()

    await asyncio.wait_for(asyncio.gather(*tasks), 1)


async def test_a_channel_has_the_empty_attributes_of_0_15(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    assert (opened.consumer_queues, opened.response_future) == ({}, None)
    await opened.protocol.close()
