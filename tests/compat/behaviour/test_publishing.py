"""Section 2 of the contract with aioamqp 0.15: publishing, flow control, and sizes."""

import asyncio
from itertools import groupby

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic, connection, encode_command
from callbacks_seen import Gate, Recorder
from scripted_server import ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect

pytestmark = pytest.mark.asyncio

FRAME_MAX = 4096
METHOD, HEADER, BODY = 1, 2, 3


def frames(data: bytes) -> list[tuple[int, int, int]]:
    """Return type, channel and size of each frame; the size includes header and frame end."""
    found = []
    while data:
        size = int.from_bytes(data[3:7]) + 8
        found.append((data[0], int.from_bytes(data[1:3]), size))
        data = data[size:]
    return found


def written(server: ScriptedServer) -> list[tuple[int, int, int]]:
    return frames(b"".join(server.transport.writes))


async def test_the_frames_of_one_message_are_written_back_to_back(
    server: ScriptedServer,
) -> None:
    """B42."""
    opened = await server.open_channel(frame_max=FRAME_MAX)
    other = await opened.protocol.channel()
    server.transport.writes.clear()
    server.received.clear()
    bodies = [bytes([n]) * 20_000 for n in range(10)]

    await asyncio.gather(
        *(each.publish(body, "", "q") for body in bodies for each in (opened, other))
    )
    await wait_idle()

    for number in (1, 2):
        received = [command.body for command in server.received if command.channel == number]
        assert sorted(map(bytes, received)) == bodies
    # AMQP allows to interleave the frames of two channels, but they are not.
    kinds = [kind for kind, _ in groupby(kind for kind, _, _ in written(server))]
    assert kinds == [METHOD, HEADER, BODY] * 20
    await opened.protocol.close()


async def test_publishing_waits_while_writing_is_paused(server: ScriptedServer) -> None:
    """B43. Waiting messages are not buffered."""
    opened = await server.open_channel()
    other = await opened.protocol.channel()
    server.transport.writes.clear()
    opened.protocol.pause_writing()  # as if the transport's buffer were above its high-water mark
    calls = [
        asyncio.create_task(call)
        for each in (opened, other)
        for call in (each.publish(b"m", "", "q"), each.basic_publish(b"m", "", "q"))
    ]
    await wait_idle()
    assert not any(call.done() for call in calls)
    assert server.transport.writes == []

    opened.protocol.resume_writing()

    assert await asyncio.gather(*calls) == [None] * 4
    await wait_idle()
    assert len(server.methods(basic.Publish)) == 4
    await opened.protocol.close()


@pytest.mark.parametrize("name", ["basic_client_ack", "basic_client_nack", "basic_reject"])
async def test_acknowledging_waits_while_writing_is_paused(
    server: ScriptedServer, name: str
) -> None:
    """B43."""
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    calls = [asyncio.create_task(getattr(opened, name)(tag)) for tag in (1, 2, 3)]
    await wait_idle()
    assert not any(call.done() for call in calls)
    calls[1].cancel()
    await wait_idle()
    assert server.transport.writes == []

    opened.protocol.resume_writing()
    await asyncio.wait(calls)
    await wait_idle()

    tags = [getattr(command.method, "delivery_tag", None) for command in server.received]
    assert tags == [1, 3]
    await opened.protocol.close()


async def test_a_waiting_acknowledgement_fails_when_the_connection_is_lost(
    server: ScriptedServer,
) -> None:
    """B43."""
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    call = asyncio.create_task(opened.basic_client_ack(1))
    await wait_idle()

    server.transport.end(ConnectionResetError(104, "reset"))

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await call


async def test_acknowledging_on_a_closed_channel_fails_at_once(
    server: ScriptedServer,
) -> None:
    """B43, B19."""
    opened = await server.open_channel()
    await opened.close()
    opened.protocol.pause_writing()

    with pytest.raises(aioamqp.ChannelClosed):
        await opened.basic_client_ack(1)

    opened.protocol.resume_writing()
    await opened.protocol.close()


async def test_acknowledging_does_not_wait_while_the_connection_is_blocked(
    server: ScriptedServer,
) -> None:
    """B43. RabbitMQ reads it after the alarm; waiting for that would delay a callback."""
    opened = await server.open_channel()
    server.send(connection.Blocked("low on memory"), channel=0)
    await wait_idle()

    await opened.basic_client_ack(1)
    await wait_idle()

    assert server.methods(basic.Ack) == [basic.Ack(1)]
    await opened.protocol.close()


@pytest.mark.parametrize("size", [FRAME_MAX - 8, FRAME_MAX - 7, 10_000, 100_000])
async def test_a_body_is_split_into_frames_of_frame_max_at_most(
    server: ScriptedServer, size: int
) -> None:
    """B44."""
    opened = await server.open_channel(frame_max=FRAME_MAX)

    await opened.publish(bytes(size), "", "q")
    await wait_idle()

    sizes = [size for kind, _, size in written(server) if kind == BODY]
    assert max(sizes) <= FRAME_MAX
    assert len(sizes) == -(-size // (FRAME_MAX - 8))
    assert server.received[0].body == bytes(size)
    await opened.protocol.close()


async def test_split_bodies_are_assembled_in_a_delivery_a_get_and_a_return(
    server: ScriptedServer,
) -> None:
    """B44."""
    body = bytes(range(256)) * 100
    delivered, returned = Recorder(), Recorder()
    opened = await server.open_channel(frame_max=FRAME_MAX)
    opened.return_callback = returned
    await opened.basic_consume(delivered, "q", "tag")
    server.mute(basic.Get)
    getting = asyncio.create_task(opened.basic_get("q"))
    await wait_idle()

    for method in (
        basic.Deliver("tag", 1, False, "", "q"),
        basic.GetOk(2, False, "", "q", 0),
        basic.Return(312, "NO_ROUTE", "", "q"),
    ):
        data = encode_command(Command(1, method, Properties(), body), FRAME_MAX)
        assert len(frames(data)) == 9
        for start in range(0, len(data), 1000):
            server.send(data[start : start + 1000])

    bodies = [(await getting)["message"]]
    await wait_idle()
    bodies += delivered.bodies + returned.bodies
    assert bodies == [body] * 3
    assert {type(each) for each in bodies} == {bytes}
    await opened.protocol.close()


async def test_a_body_of_one_mebibyte_arrives_whole(connect: Connect) -> None:
    """B44."""
    body = bytes(range(256)) * 4096
    opened = await (await connect(frame_max=2 * FRAME_MAX)).channel()
    name = (await opened.queue_declare(exclusive=True))["queue"]

    await opened.publish(body, "", name)

    assert (await opened.basic_get(name, no_ack=True))["message"] == body


async def test_an_empty_body_has_no_body_frame(server: ScriptedServer) -> None:
    """B45."""
    opened = await server.open_channel()

    await opened.publish(b"", "", "q")
    await wait_idle()

    assert [kind for kind, _, _ in written(server)] == [METHOD, HEADER]
    assert server.received[0].body == b""
    await opened.protocol.close()


async def test_an_empty_message_arrives_empty(connect: Connect) -> None:
    """B45."""
    opened = await (await connect()).channel()
    name = (await opened.queue_declare(exclusive=True))["queue"]

    await opened.publish(b"", "", name)

    assert (await opened.basic_get(name, no_ack=True))["message"] == b""


async def test_reading_is_paused_while_too_many_bytes_wait_for_a_callback(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B46."""
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 100_000)
    slow = Gate()
    opened = await server.open_channel()
    await opened.basic_consume(slow, "q", "tag", no_ack=True)

    sent = 0
    while server.is_read() and sent < 100:
        server.deliver("tag", bytes(10_000), first=sent)
        await wait_idle()
        sent += 1
    assert sent * 10_000 <= 100_000 + 11_000  # the last message exceeds the limit
    for n in range(sent, 100):
        server.deliver("tag", bytes(10_000), first=n)
    await wait_idle()
    assert not server.is_read()
    assert (
        opened.protocol.pending["bytes for callbacks"] < 100_000 + 11_000
    )  # the message that was too much

    slow.is_open.set()
    await wait_idle()
    assert server.is_read()
    assert len(slow.bodies) == 100
    await opened.protocol.close()


async def test_reading_is_paused_at_the_default_limit(server: ScriptedServer) -> None:
    """B46."""
    slow = Gate()
    opened = await server.open_channel()
    await opened.basic_consume(slow, "q", "tag", no_ack=True)

    body = bytes(1024 * 1024)
    for n in range(18):
        server.deliver("tag", body, first=n)
    await wait_idle()

    assert not server.is_read()
    assert isinstance(opened, aioamqp.Channel)
    slow.is_open.set()
    await wait_idle()
    await opened.protocol.close()


@pytest.mark.parametrize(("count", "size"), [(12, 70_000), (300, 20_000), (2000, 100)])
async def test_gathered_publishes_arrive_in_the_order_of_the_calls(
    connect: Connect, count: int, size: int
) -> None:
    """Rows C1 and U8."""
    opened = await (await connect()).channel()
    queue = (await opened.queue_declare("", exclusive=True))["queue"]
    bodies = [(b"%d " % n).ljust(size, b".") for n in range(count)]

    await asyncio.gather(*(opened.publish(body, "", queue) for body in bodies))

    async with opened.consume(queue, no_ack=True) as messages:
        received = [(await anext(messages)).body for _ in bodies]
    assert received == bodies
