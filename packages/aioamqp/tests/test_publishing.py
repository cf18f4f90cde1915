"""Publishing, and when what is written leaves."""

import asyncio
import gc
from typing import Any

import pytest

import aioamqp
from amqp_codec import Command, Properties, basic, queue
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


def published(server: ScriptedServer) -> list[bytes]:
    return [bytes(c.body) for c in server.received if isinstance(c.method, basic.Publish)]


async def test_a_message_is_sent_as_it_was_given(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    await opened.basic_publish(
        b"body", "ex", "key", {"message_type": "t", "headers": {"a": 1}}, mandatory=True
    )
    await wait_idle()

    assert server.received == [
        Command(
            1, basic.Publish("ex", "key", True), Properties(type="t", headers={"a": 1}), b"body"
        )
    ]
    await opened.protocol.close()


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        ("grün", "grün".encode()),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd").cast("H"), b"abcd"),
        (b"", b""),
        ("", b""),
        (b"x" * 300_000, b"x" * 300_000),
    ],
    ids=["str", "bytearray", "memoryview", "empty", "empty str", "large"],
)
async def test_any_bytes_and_strings_can_be_sent(
    server: ScriptedServer, payload: Any, body: bytes
) -> None:
    opened = await server.open_channel()

    await opened.basic_publish(payload, "", "q")
    await wait_idle()

    assert published(server) == [body]
    await opened.protocol.close()


async def test_no_frame_is_larger_than_was_settled(server: ScriptedServer) -> None:
    opened = await server.open_channel(frame_max=4096)

    await opened.basic_publish(b"x" * 10_000, "", "q")
    await wait_idle()

    octets = b"".join(server.transport.writes)
    sizes = []
    while octets:
        size = int.from_bytes(octets[3:7]) + 8
        sizes.append(size)
        octets = octets[size:]
    assert max(sizes) == 4096
    await opened.protocol.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"payload": None},
        {"exchange_name": None},
        {"payload": 5},
        {"payload": [1, 2]},
        {"routing_key": "k" * 256},
        {"routing_key": None},
        {"exchange_name": ["ex"]},
        {"properties": {"colour": "red"}},
        {"properties": {"priority": "high"}},
        {"properties": {"expiration": 5}},
        pytest.param({"properties": {"headers": {"a": object()}}}, id="headers of an object"),
        {"properties": {"correlation_id": "c" * 256}},
        {"properties": "red"},
    ],
    ids=str,
)
async def test_a_message_that_cannot_be_sent_writes_nothing(
    server: ScriptedServer, arguments: dict[str, Any]
) -> None:
    opened = await server.open_channel()
    good: dict[str, Any] = {"payload": b"good", "exchange_name": "", "routing_key": "q"}

    with pytest.raises(ValueError) as caught:
        await opened.basic_publish(**{**good, **arguments})
    assert isinstance(caught.value, TypeError)
    await opened.basic_publish(**good)
    await wait_idle()

    assert published(server) == [b"good"]
    assert len(server.received) == 1
    await opened.protocol.close()


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
async def test_the_exchange_and_the_body_have_other_names_too(
    server: ScriptedServer, call: str
) -> None:
    opened = await server.open_channel()

    await getattr(opened, call)(exchange="ex", routing_key="key", body=b"body")
    await wait_idle()

    assert server.received == [Command(1, basic.Publish("ex", "key"), Properties(), b"body")]
    await opened.protocol.close()


@pytest.mark.parametrize("name", ["payload", "exchange_name", "routing_key"])
async def test_an_argument_that_must_be_given_is_asked_for_by_its_name(
    server: ScriptedServer, name: str
) -> None:
    opened = await server.open_channel()
    arguments: dict[str, Any] = {"payload": b"", "exchange_name": "", "routing_key": "q"}
    del arguments[name]

    with pytest.raises(TypeError, match=f"{name}: must be given"):
        await opened.basic_publish(**arguments)

    await opened.protocol.close()


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"exchange": "ex"}, "exchange: is another name of exchange_name"),
        ({"body": b"body"}, "body: is another name of payload"),
    ],
)
async def test_an_argument_cannot_be_given_by_both_its_names(
    server: ScriptedServer, call: str, arguments: dict[str, Any], text: str
) -> None:
    opened = await server.open_channel()

    with pytest.raises(TypeError, match=text):
        await getattr(opened, call)(b"", "", "q", **arguments)
    await wait_idle()

    assert server.received == []
    await opened.protocol.close()


async def test_what_one_turn_of_the_loop_writes_leaves_in_one_piece(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    for n in range(10):
        await opened.basic_publish(b"%d" % n, "", "q")
    await opened.basic_client_ack(1)
    assert server.transport.writes == []
    await wait_idle()

    assert len(server.transport.writes) == 1
    assert published(server) == [b"%d" % n for n in range(10)]
    assert server.names()[-1] == "basic.ack"
    await opened.protocol.close()


async def test_a_call_leaves_at_once_and_takes_along_what_was_written_before(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    server.mute(queue.Declare)

    await opened.basic_publish(b"1", "", "q")
    call = opened.queue_declare("q")
    call.send(None)

    assert server.names() == ["basic.publish", "queue.declare"]
    assert len(server.transport.writes) == 1
    call.close()
    await opened.protocol.close()


async def test_a_call_whose_coroutine_is_thrown_away_still_has_its_reply_swallowed(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await server.open_channel()
    for name in ("first", "third"):
        call = opened.queue_declare(name)
        call.send(None)
        call.close()
        del call
        if name == "first":
            assert (await opened.queue_declare("second"))["queue"] == "second"

    await opened.protocol.close()
    gc.collect()

    assert caplog.messages == []


async def test_a_program_that_only_publishes_lets_others_have_their_turns(
    server: ScriptedServer,
) -> None:
    opened, turns = await server.open_channel(), 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())

    for _ in range(40):
        await opened.basic_publish(bytes(16 * 1024), "", "q")

    assert 8 <= turns <= 12  # one for every 64 KiB
    other.cancel()
    await asyncio.wait([other])
    await opened.protocol.close()


async def test_no_more_than_some_64_kib_are_held_back(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    for _ in range(7):
        await opened.basic_publish(b"x" * 20_000, "", "q")

    assert [len(octets) // 20_000 for octets in server.transport.writes] == [4]
    await wait_idle()
    assert [len(octets) // 20_000 for octets in server.transport.writes] == [4, 3]
    await opened.protocol.close()


async def test_a_publish_waits_only_while_the_transport_is_full(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    protocol = opened.protocol

    protocol.pause_writing()
    tasks = [asyncio.create_task(opened.basic_publish(b"%d" % n, "", "q")) for n in range(3)]
    await wait_idle()
    assert published(server) == []
    assert not any(task.done() for task in tasks)

    assert (await opened.queue_declare("q"))["queue"] == "q"  # a call does not wait to be sent
    assert server.names() == ["queue.declare"]

    protocol.resume_writing()
    await asyncio.gather(*tasks)
    await wait_idle()
    assert published(server) == [b"0", b"1", b"2"]
    await protocol.close()


async def test_publishers_that_fill_the_transport_again_make_the_others_wait_on(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    protocol = opened.protocol
    write = server.transport.write

    def write_and_be_full(octets: Any) -> None:
        write(octets)
        protocol.pause_writing()

    server.transport.write = write_and_be_full  # type: ignore[method-assign, assignment]
    protocol.pause_writing()
    tasks = [asyncio.create_task(opened.basic_publish(b"x" * 70_000, "", "q")) for _ in range(3)]

    done = []
    for _ in tasks:
        await wait_idle()
        done.append(sum(task.done() for task in tasks))
        protocol.resume_writing()
    await asyncio.gather(*tasks)

    assert done == [0, 1, 2]
    server.transport.write = write  # type: ignore[method-assign]
    protocol.resume_writing()
    await protocol.close()


async def test_a_publish_that_is_cancelled_while_it_waits_sends_nothing(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()
    opened.protocol.pause_writing()
    first = asyncio.create_task(opened.basic_publish(b"first", "", "q"))
    second = asyncio.create_task(opened.basic_publish(b"second", "", "q"))
    await wait_idle()

    first.cancel()
    await wait_idle()
    assert not second.done()
    opened.protocol.resume_writing()
    await second
    await wait_idle()

    assert published(server) == [b"second"]
    await opened.protocol.close()


async def test_many_routes_are_encoded_right(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    keys = [f"key{n}" for n in range(1500)]

    for key in [*keys, *keys]:
        await opened.basic_publish(b"", "ex", key)
    await wait_idle()

    assert [publish.routing_key for publish in server.methods(basic.Publish)] == [*keys, *keys]
    await opened.protocol.close()


async def test_what_is_published_is_in_the_debug_log_without_its_body(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="aioamqp.protocol"):
        opened = await server.open_channel()
        await opened.basic_publish(b"confidential", "ex", "key")
        await opened.protocol.close()

    (line,) = [text for text in caplog.messages if "basic.publish" in text]
    assert line.startswith("> 1 ")
    assert line.endswith("+ 12 bytes")
    assert "confidential" not in caplog.text


async def test_nothing_is_logged_at_debug_unless_it_was_on_from_the_start(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="aioamqp.protocol"):
        opened = await server.open_channel()
    caplog.set_level("DEBUG", logger="aioamqp.protocol")

    await opened.basic_publish(b"", "ex", "key")
    await opened.protocol.close()

    assert caplog.messages == []


async def test_a_closed_channel_takes_no_message(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    await opened.close()

    with pytest.raises(aioamqp.ChannelClosed):
        await opened.basic_publish(b"", "", "q")

    await opened.protocol.close()
