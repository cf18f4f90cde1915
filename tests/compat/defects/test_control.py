"""What works in 0.15 works here: so a test that fails there fails for what it is about."""

import asyncio

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic
from tests.compat.defects.scripted_tcp import ScriptedServer, soon

pytestmark = pytest.mark.asyncio


async def test_a_client_can_do_a_day_s_work(server: ScriptedServer) -> None:
    protocol = await server.connect()
    channel = await soon(protocol.channel())
    assert await soon(channel.queue_declare("q")) == {
        "queue": "q",
        "message_count": 3,
        "consumer_count": 1,
    }
    await soon(channel.basic_qos(prefetch_count=1))
    bodies: list[bytes] = []

    async def on_message(_channel: object, body: bytes, envelope: object, _: object) -> None:
        bodies.append(body)

    tag = (await soon(channel.basic_consume(on_message, "q")))["consumer_tag"]
    server.deliver(tag, b"one", b"two")
    await soon(channel.basic_publish(b"three", "", "q", {"message_id": "3"}))
    published = await server.got(basic.Publish)
    assert (published.exchange, published.routing_key) == ("", "q")
    assert bodies == [b"one", b"two"]
    assert server.received[-1] == Command(1, published, Properties(message_id="3"), b"three")
    await soon(channel.confirm_select())
    server.answers[basic.Publish] = lambda _: basic.Ack(1)
    await soon(channel.publish(b"four", "", "q"))
    await soon(channel.close())
    await soon(protocol.close())
    await server.gone()


async def test_messages_of_many_frames_arrive_whole(server: ScriptedServer) -> None:
    channel = await server.open_channel()
    body = bytes(range(256)) * 1024
    await soon(channel.basic_publish(body, "", "q"))
    await server.got(basic.Publish)
    assert server.received[-1].body == body
    server.mute(basic.Get)
    getting = asyncio.ensure_future(channel.basic_get("q"))
    await server.got(basic.Get)
    server.send(Command(1, basic.GetOk(1, False, "ex", "key", 0), Properties(), body))
    assert (await soon(getting))["message"] == body


async def test_what_was_written_just_before_the_transport_is_closed_arrives(
    server: ScriptedServer,
) -> None:
    client = await soon(aioamqp.connect("127.0.0.1", server.port))
    transport, protocol = client
    server.adopt(client)
    channel = await soon(protocol.channel())
    await channel.basic_client_ack(1)
    await channel.basic_publish(b"the last", "", "q")
    transport.close()
    await soon(protocol.wait_closed())
    assert await server.got(basic.Ack) == basic.Ack(1)
    await server.got(basic.Publish)
    assert server.received[-1].body == b"the last"
