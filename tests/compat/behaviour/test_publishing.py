"""Section 2 of the contract with aioamqp 0.15: publishing, the flow of data, and sizes."""

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


def frames(octets: bytes) -> list[tuple[int, int, int]]:
    """Take octets apart: type, channel and size of each frame, its envelope counted in."""
    found = []
    while octets:
        size = int.from_bytes(octets[3:7]) + 8
        found.append((octets[0], int.from_bytes(octets[1:3]), size))
        octets = octets[size:]
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
        came = [command.body for command in server.received if command.channel == number]
        assert sorted(map(bytes, came)) == bodies
    # Not even those of two channels are mixed, which AMQP would allow.
    kinds = [kind for kind, _ in groupby(kind for kind, _, _ in written(server))]
    assert kinds == [METHOD, HEADER, BODY] * 20
    await opened.protocol.close()


async def test_a_publish_waits_while_the_server_does_not_read(server: ScriptedServer) -> None:
    """B43. And without memory: what waits has not been written anywhere."""
    opened = await server.open_channel()
    other = await opened.protocol.channel()
    server.transport.writes.clear()
    opened.protocol.pause_writing()  # the transport's buffer is above its high-water mark
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
async def test_an_acknowledgement_waits_while_the_server_does_not_read(
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


async def test_an_acknowledgement_that_waits_ends_with_the_link(server: ScriptedServer) -> None:
    """B43."""
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    call = asyncio.create_task(opened.basic_client_ack(1))
    await wait_idle()

    server.transport.end(ConnectionResetError(104, "reset"))

    with pytest.raises(aioamqp.AmqpClosedConnection):
        await call


async def test_an_acknowledgement_on_a_closed_channel_does_not_wait_to_say_so(
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


async def test_an_acknowledgement_goes_out_while_the_server_only_takes_no_messages(
    server: ScriptedServer,
) -> None:
    """B43. RabbitMQ reads it when its alarm is over; to wait for that would hold up a callback."""
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


async def test_split_bodies_are_put_together_in_a_delivery_a_get_and_a_return(
    server: ScriptedServer,
) -> None:
    """B44."""
    body = bytes(range(256)) * 100
    delivered, came_back = Recorder(), Recorder()
    opened = await server.open_channel(frame_max=FRAME_MAX)
    opened.return_callback = came_back
    await opened.basic_consume(delivered, "q", "tag")
    server.mute(basic.Get)
    getting = asyncio.create_task(opened.basic_get("q"))
    await wait_idle()

    for method in (
        basic.Deliver("tag", 1, False, "", "q"),
        basic.GetOk(2, False, "", "q", 0),
        basic.Return(312, "NO_ROUTE", "", "q"),
    ):
        octets = encode_command(Command(1, method, Properties(), body), FRAME_MAX)
        assert len(frames(octets)) == 9
        for start in range(0, len(octets), 1000):
            server.send(octets[start : start + 1000])

    bodies = [(await getting)["message"]]
    await wait_idle()
    bodies += delivered.bodies + came_back.bodies
    assert bodies == [body] * 3
    assert {type(each) for each in bodies} == {bytes}
    await opened.protocol.close()


async def test_a_body_of_a_mebibyte_goes_there_and_comes_back(connect: Connect) -> None:
    """B44."""
    body = bytes(range(256)) * 4096
    opened = await (await connect(frame_max=FRAME_MAX)).channel()
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


async def test_an_empty_message_comes_back_empty(connect: Connect) -> None:
    """B45."""
    opened = await (await connect()).channel()
    name = (await opened.queue_declare(exclusive=True))["queue"]

    await opened.publish(b"", "", name)

    assert (await opened.basic_get(name, no_ack=True))["message"] == b""


async def test_reading_stops_while_too_much_waits_for_a_callback(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B46."""
    monkeypatch.setattr("aioamqp._connection.core.READ_LIMIT", 100_000)
    slow = Gate()
    opened = await server.open_channel()
    await opened.basic_consume(slow, "q", "tag", no_ack=True)

    for n in range(100):
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


async def test_a_limit_is_there_unless_a_test_changes_it(server: ScriptedServer) -> None:
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
