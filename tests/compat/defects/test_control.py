"""Basic functions that work with 0.15.0 too, so that tests of defects fail only for the defect."""

import asyncio

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic
from tests.compat.defects.scripted_tcp import ScriptedServer, result_of

pytestmark = pytest.mark.asyncio


async def test_declaring_consuming_and_publishing_work(server: ScriptedServer) -> None:
    protocol = await server.connect()
    channel = await result_of(protocol.channel())
    assert await result_of(channel.queue_declare("q")) == {
        "queue": "q",
        "message_count": 3,
        "consumer_count": 1,
    }
    await result_of(channel.basic_qos(prefetch_count=1))
    bodies: list[bytes] = []

    async def on_message(_channel: object, body: bytes, envelope: object, _: object) -> None:
        bodies.append(body)

    tag = (await result_of(channel.basic_consume(on_message, "q")))["consumer_tag"]
    server.deliver(tag, b"one", b"two")
    await result_of(channel.basic_publish(b"three", "", "q", {"message_id": "3"}))
    published = await server.wait_for(basic.Publish)
    assert (published.exchange, published.routing_key) == ("", "q")
    assert bodies == [b"one", b"two"]
    assert server.received[-1] == Command(1, published, Properties(message_id="3"), b"three")
    await result_of(channel.confirm_select())
    server.answers[basic.Publish] = lambda _: basic.Ack(1)
    await result_of(channel.publish(b"four", "", "q"))
    await result_of(channel.close())
    await result_of(protocol.close())
    await server.wait_closed()


async def test_a_message_of_many_frames_arrives_whole(server: ScriptedServer) -> None:
    channel = await server.open_channel()
    body = bytes(range(256)) * 1024
    await result_of(channel.basic_publish(body, "", "q"))
    await server.wait_for(basic.Publish)
    assert server.received[-1].body == body
    server.mute(basic.Get)
    getting = asyncio.ensure_future(channel.basic_get("q"))
    await server.wait_for(basic.Get)
    server.send(Command(1, basic.GetOk(1, False, "ex", "key", 0), Properties(), body))
    assert (await result_of(getting))["message"] == body


async def test_data_written_just_before_the_transport_is_closed_arrives(
    server: ScriptedServer,
) -> None:
    client = await result_of(aioamqp.connect("127.0.0.1", server.port))
    transport, protocol = client
    server.adopt(client)
    channel = await result_of(protocol.channel())
    await channel.basic_client_ack(1)
    await channel.basic_publish(b"the last", "", "q")
    transport.close()
    await result_of(protocol.wait_closed())
    assert await server.wait_for(basic.Ack) == basic.Ack(1)
    await server.wait_for(basic.Publish)
    assert server.received[-1].body == b"the last"
