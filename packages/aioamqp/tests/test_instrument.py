"""What instruments are told of a connection."""

import asyncio
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import aioamqp
from aioamqp.instrument import HOOKS, Delivery, Publication
from amqp_codec import Command, Method, Properties, basic, channel, connection, exchange
from scripted_server import ScriptedServer, wait_idle


class Record(aioamqp.Instrument):
    """Records each call of a hook with its arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def names(self) -> list[str]:
        return [name for name, *_ in self.calls if not name.startswith("command")]

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        return [tuple(arguments) for name, *arguments in self.calls if name in names]

    def clear(self) -> None:
        self.calls.clear()


def _recording(name: str) -> Any:
    def hook(self: Record, *arguments: object) -> None:
        self.calls.append((name, *arguments))

    return hook


for _name in HOOKS:
    setattr(Record, _name, _recording(_name))

PEER = ("rabbit.test", 5672, "v")


async def open_channel(
    server: ScriptedServer, instrument: object, **kwargs: Any
) -> aioamqp.Channel:
    return await server.open_channel(
        host="rabbit.test", virtualhost="v", instrument=instrument, **kwargs
    )


def deliver(server: ScriptedServer, *tags: int, size: int = 4, **properties: Any) -> None:
    server.send(
        *(
            Command(
                1,
                basic.Deliver("tag", tag, False, "ex", "key"),
                Properties(**properties),
                bytes(size),
            )
            for tag in tags
        )
    )


@pytest.mark.asyncio
async def test_a_connection_is_connected_then_closed(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)

    await opened.protocol.close()

    ((peer, seconds),) = record.of("connected")
    assert peer == PEER
    assert seconds >= 0
    ((peer, seconds),) = record.of("closed")
    assert peer == PEER
    assert seconds >= 0
    assert record.of("channel_closed") == [(PEER, 1, None)]
    assert not record.of("lost")


@pytest.mark.asyncio
async def test_a_connection_that_the_server_closes_is_lost_with_the_error(
    server: ScriptedServer,
) -> None:
    record = Record()
    opened = await open_channel(server, record)

    server.send(connection.Close(320, "CONNECTION_FORCED - maintenance"), channel=0)
    await opened.protocol.wait_closed()

    ((_, error, _),) = record.of("lost")
    assert "maintenance" in str(error)
    assert record.of("channel_closed") == [(PEER, 1, error)]
    assert not record.of("closed")


@pytest.mark.asyncio
async def test_a_connection_that_was_never_open_is_neither_closed_nor_lost(
    server: ScriptedServer,
) -> None:
    record = Record()
    server.answers[connection.Open] = lambda _: connection.Close(530, "NOT_ALLOWED")

    with pytest.raises(aioamqp.HandshakeFailed):
        await server.connect(instrument=record)

    assert not record.of("connected", "closed", "lost")


@pytest.mark.asyncio
async def test_blocked_and_unblocked_come_in_pairs_also_at_the_end(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)

    server.send(connection.Blocked("low on memory"), connection.Unblocked(), channel=0)
    server.send(connection.Blocked("low on disk"), channel=0)
    await wait_idle()
    await opened.protocol.close()

    assert [name for name in record.names() if "blocked" in name] == [
        "blocked", "unblocked", "blocked", "unblocked",
    ]  # fmt: skip
    assert record.of("blocked") == [(PEER, "low on memory"), (PEER, "low on disk")]


@pytest.mark.asyncio
async def test_a_channel_that_the_server_closes_is_noted_with_the_error(
    server: ScriptedServer,
) -> None:
    record = Record()
    opened = await open_channel(server, record)

    server.send(channel.Close(404, "NOT_FOUND - no exchange"))
    await wait_idle()

    ((peer, number, error),) = record.of("channel_closed")
    assert (peer, number) == (PEER, 1)
    assert isinstance(error, aioamqp.ChannelClosed)
    assert error.code == 404
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_a_published_message_is_noted_with_its_route_and_size(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)
    record.clear()

    await opened.basic_publish(b"body", "ex", "key", {"message_id": "id"})

    assert record.names() == ["publishing", "published"]
    ((message,),) = record.of("publishing")
    ((same, seconds),) = record.of("published")
    assert same is message
    assert seconds >= 0
    assert isinstance(message, Publication)
    assert (message.peer, message.channel) == (PEER, 1)
    assert (message.exchange, message.routing_key, message.size) == ("ex", "key", 4)
    assert message.properties.message_id == "id"
    assert not message.awaits_confirm
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_a_large_message_is_noted_once(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)
    record.clear()

    await opened.basic_publish(bytearray(300_000), "ex", "key")

    assert record.names() == ["publishing", "published"]
    assert record.of("published")[0][0].size == 300_000
    await opened.protocol.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ([basic.Ack(1)], "confirmed"),
        ([basic.Nack(1)], "nacked"),
        (
            [
                Command(1, basic.Return(312, "NO_ROUTE", "ex", "key"), Properties(), b"body"),
                basic.Ack(1),
            ],
            "returned",
        ),
        ([channel.Close(404, "NOT_FOUND")], "unknown"),
    ],
)
@pytest.mark.parametrize("way", ["publish", "basic_publish", "publisher"])
async def test_a_message_in_confirm_mode_has_one_outcome(
    server: ScriptedServer, replies: list[Method | Command], outcome: str, way: str
) -> None:
    record = Record()
    opened = await open_channel(server, record)
    await opened.confirm_select()
    opened.return_callback = lambda *_: None
    record.clear()

    if way == "publish":
        call = asyncio.create_task(opened.publish(b"body", "ex", "key", mandatory=True))
    elif way == "basic_publish":
        call = asyncio.create_task(opened.basic_publish(b"body", "ex", "key", mandatory=True))
    else:
        publisher = opened.publisher("ex", routing_key="key", mandatory=True)
        call = asyncio.create_task(publisher.publish(b"body"))
    await wait_idle()
    server.send(*replies)
    await asyncio.wait([call])
    await wait_idle()
    await opened.protocol.close()

    ((message, _),) = record.of("published")
    assert message.awaits_confirm
    ((same, found, seconds),) = record.of("confirmed")
    assert same is message
    assert found == outcome
    assert seconds >= 0
    assert len(record.of("returned")) == (outcome == "returned")
    call.exception()


@pytest.mark.asyncio
async def test_a_confirm_that_comes_too_late_is_unknown_and_only_that(
    server: ScriptedServer,
) -> None:
    record = Record()
    opened = await open_channel(server, record)
    await opened.confirm_select()

    with pytest.raises(aioamqp.PublishUnconfirmed):
        await opened.publish(b"body", "ex", "key", timeout=0)
    server.send(basic.Ack(1))
    await wait_idle()

    assert [outcome for _, outcome, _ in record.of("confirmed")] == ["unknown"]
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_acks_of_several_messages_give_each_its_outcome(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)
    publisher = opened.publisher("ex", routing_key="key")
    for _ in range(3):
        await publisher.publish_deferred(b"body")

    server.send(basic.Ack(2, True), basic.Nack(3))
    await wait_idle()

    assert [outcome for _, outcome, _ in record.of("confirmed")] == ["confirmed"] * 2 + ["nacked"]
    await opened.protocol.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["publish", "publisher"])
async def test_a_message_that_cannot_be_encoded_is_not_published(
    server: ScriptedServer, way: str
) -> None:
    record = Record()
    opened = await open_channel(server, record, max_message_size=10)
    record.clear()

    with pytest.raises(aioamqp.MessageTooLarge) as raised:
        if way == "publish":
            await opened.publish(bytes(11), "ex", "key")
        else:
            await opened.publisher("ex").publish(bytes(11))

    ((_, error),) = record.of("not_published")
    assert error is raised.value
    assert not record.of("published")
    await opened.protocol.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["publish", "publisher"])
async def test_a_message_that_is_cancelled_at_the_gate_is_not_published_and_no_longer_waits(
    server: ScriptedServer, way: str
) -> None:
    record = Record()
    opened = await open_channel(server, record)
    server.send(connection.Blocked("memory"), channel=0)
    await wait_idle()
    record.clear()

    publishing = (
        opened.publish(b"body", "ex", "key")
        if way == "publish"
        else opened.publisher("ex", routing_key="key").publish(b"body")
    )
    call = asyncio.create_task(publishing)
    await wait_idle()
    assert record.of("waiter_added") == [(PEER, "basic.publish", "gate")]
    assert not record.of("waiter_gone")
    call.cancel()
    await asyncio.wait([call])

    ((_, error),) = record.of("not_published")
    assert isinstance(error, asyncio.CancelledError)
    assert [gone[:3] for gone in record.of("waiter_gone")] == record.of("waiter_added")
    await opened.protocol.close()


class AddHeaders(aioamqp.Instrument):
    def __init__(self, **headers: Any) -> None:
        self.headers = headers

    def publishing(self, message: Publication) -> None:
        message.headers.update(self.headers)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["publish", "publisher"])
async def test_headers_are_added_to_a_message_and_the_callers_own_stay_as_they_are(
    server: ScriptedServer, way: str
) -> None:
    opened = await open_channel(server, [AddHeaders(traceparent="00"), AddHeaders(b=2)])
    properties: dict[str, Any] = {"headers": {"a": 1}, "message_id": "id"}

    if way == "publish":
        await opened.publish(b"body", "ex", "key", properties)
    else:
        await opened.publisher("ex").publish_deferred(b"body", properties=properties)
    await wait_idle()

    sent = server.received[-1].properties
    assert sent is not None
    assert sent.headers == {"a": 1, "traceparent": "00", "b": 2}
    assert sent.message_id == "id"
    assert properties == {"headers": {"a": 1}, "message_id": "id"}
    await opened.protocol.close()


class ReplaceHeaders(aioamqp.Instrument):
    def publishing(self, message: Publication) -> None:
        message.headers = 5  # type: ignore[assignment]


@pytest.mark.asyncio
@pytest.mark.parametrize("instrument", [AddHeaders(odd=object()), ReplaceHeaders()])
async def test_headers_that_cannot_be_sent_are_logged_and_the_message_is_sent_without(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, instrument: aioamqp.Instrument
) -> None:
    opened = await open_channel(server, instrument)

    await opened.publish(b"body", "ex", "key", {"message_id": "id"})
    await wait_idle()

    sent = server.received[-1].properties
    assert sent is not None
    assert (sent.headers, sent.message_id) == (None, "id")
    assert "headers" in caplog.text
    await opened.protocol.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("concurrent", [False, True])
async def test_a_delivery_is_noted_then_its_callback_then_its_ack(
    server: ScriptedServer, concurrent: bool
) -> None:
    record = Record()
    opened = await open_channel(server, record)

    async def on_message(
        of: aioamqp.Channel, _: bytes, envelope: aioamqp.Envelope, __: aioamqp.Properties
    ) -> None:
        await of.basic_client_ack(envelope.delivery_tag)

    await opened.basic_consume(on_message, "q", consumer_tag="tag", concurrent=concurrent)
    await wait_idle()
    record.clear()
    deliver(server, 1, message_id="id")
    await wait_idle()

    assert record.names() == ["delivered", "handling", "settled", "handled"]
    ((message,),) = record.of("delivered")
    assert isinstance(message, Delivery)
    assert (message.peer, message.channel, message.queue) == (PEER, 1, "q")
    assert (message.consumer_tag, message.delivery_tag) == ("tag", 1)
    assert (message.exchange, message.routing_key, message.size) == ("ex", "key", 4)
    assert message.properties.message_id == "id"
    ((peer, number, settlement, count, seconds),) = record.of("settled")
    assert (peer, number, settlement, count) == (PEER, 1, "acked", 1)
    assert seconds >= 0
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_a_callback_that_fails_is_noted_and_named_in_the_log(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    record = Record()
    opened = await open_channel(server, record)

    def on_message(*_: object) -> None:
        raise ZeroDivisionError

    await opened.basic_consume(on_message, "q", consumer_tag="tag")
    await wait_idle()
    deliver(server, 1)
    await wait_idle()

    ((message, error, _),) = record.of("handler_failed")
    assert message.queue == "q"
    assert isinstance(error, ZeroDivisionError)
    assert not record.of("handled")
    assert repr(on_message) in caplog.text
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_the_body_of_a_loop_is_the_handler_of_its_message(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)
    messages = opened.consume("q", consumer_tag="tag")

    async with messages:
        record.clear()
        deliver(server, 1, 2)
        seen = []
        async for message in messages:
            seen.append(message.envelope.delivery_tag)
            await message.ack()
            if len(seen) == 2:
                break
        assert record.names()[2:] == [
            "handling", "settled", "handled", "handling", "settled",
        ]  # fmt: skip
    assert record.names().count("handled") == 2
    assert not record.of("handler_failed")
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_an_error_that_leaves_the_loop_and_its_block_is_that_of_the_handler(
    server: ScriptedServer,
) -> None:
    record = Record()
    opened = await open_channel(server, record)
    deliver(server, 1)

    with pytest.raises(ZeroDivisionError):
        async with opened.consume("q", consumer_tag="tag") as messages:
            async for _ in messages:
                raise ZeroDivisionError

    assert [type(error) for _, error, _ in record.of("handler_failed")] == [ZeroDivisionError]
    assert not record.of("handled")
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_a_loop_that_is_left_without_a_block_ends_its_handler(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)
    deliver(server, 1)

    async for _ in opened.consume("q", consumer_tag="tag"):
        break
    await wait_idle()

    assert len(record.of("handling")) == len(record.of("handled")) == 1
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_settling_several_deliveries_counts_them(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)
    await opened.basic_consume(lambda *_: None, "q", consumer_tag="tag")
    deliver(server, 1, 2, 3, 4, 5, 6)
    await wait_idle()

    await opened.basic_client_ack(2, multiple=True)
    await opened.basic_reject(3)
    await opened.basic_client_nack(4)
    await opened.basic_client_ack(0, multiple=True)
    await opened.basic_client_ack(9)

    assert [(how, count) for _, _, how, count, _ in record.of("settled")] == [
        ("acked", 2), ("rejected", 1), ("requeued", 1), ("acked", 2), ("acked", 0),
    ]  # fmt: skip
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_a_message_of_basic_get_is_delivered(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)
    server.mute(basic.Get)
    server.send(
        Command(1, basic.GetOk(1, False, "ex", "key", 0), Properties(message_id="id"), b"body")
    )

    await opened.basic_get("q")
    await opened.basic_client_ack(1)

    ((message,),) = record.of("delivered")
    assert (message.queue, message.consumer_tag, message.size) == ("q", "", 4)
    assert [count for _, _, _, count, _ in record.of("settled")] == [1]
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_a_call_waits_for_its_reply(server: ScriptedServer) -> None:
    record = Record()
    opened = await open_channel(server, record)
    server.mute(exchange.Declare)
    record.clear()

    with pytest.raises(TimeoutError):
        await opened.exchange_declare("ex", "fanout", timeout=0)

    assert record.of("waiter_added") == [(PEER, "exchange.declare", "reply")]
    ((*waited, seconds),) = record.of("waiter_gone")
    assert waited == [PEER, "exchange.declare", "reply"]
    assert seconds >= 0
    await opened.protocol.close()


@pytest.mark.asyncio
async def test_hooks_that_raise_are_logged_once_and_harm_nothing(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(aioamqp.Instrument):
        pass

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    for name in HOOKS:
        setattr(Broken, name, fail)
    record = Record()
    opened = await open_channel(server, [Broken(), record])
    handled: list[bytes] = []
    await opened.basic_consume(lambda _, body, *__: handled.append(body), "q", consumer_tag="tag")
    await opened.confirm_select()
    await wait_idle()

    for tag in (1, 2, 3):
        call = asyncio.create_task(opened.publish(b"body", "ex", "key"))
        await wait_idle()
        server.send(basic.Ack(tag))
        deliver(server, tag)
        await call
    await wait_idle()
    await opened.basic_client_ack(0, multiple=True)
    await opened.protocol.close()

    assert len(handled) == 3
    assert len(record.of("confirmed")) == len(record.of("handled")) == 3
    failures = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert all(record.exc_info for record in caplog.records if record.levelname == "ERROR")
    assert len(failures) == len(set(failures))
    assert sum("hook published " in text for text in failures) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("given", [Record, 5, "record", [Record(), None]])
async def test_what_is_no_instrument_is_refused(server: ScriptedServer, given: object) -> None:
    with pytest.raises(aioamqp.InvalidArgument, match="instrument"):
        await server.connect(instrument=given)
    with pytest.raises(aioamqp.InvalidArgument, match="instrument"):
        aioamqp.Connection("amqp://host/", instrument=given)


def test_a_hook_that_is_a_coroutine_function_is_refused() -> None:
    class Wrong(aioamqp.Instrument):
        async def published(self, *_: object) -> None:  # type: ignore[override]
            pass

    with pytest.raises(aioamqp.InvalidArgument, match="published as a coroutine function"):
        aioamqp.AmqpProtocol(instrument=Wrong())


@pytest.mark.asyncio
async def test_without_instruments_none_of_their_code_runs(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    called: set[str] = set()

    async def on_message(
        of: aioamqp.Channel, _: bytes, envelope: aioamqp.Envelope, __: aioamqp.Properties
    ) -> None:
        await of.basic_client_ack(envelope.delivery_tag)

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.add(Path(frame.f_code.co_filename).name)

    await opened.basic_consume(on_message, "q", consumer_tag="tag")
    await wait_idle()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        await opened.basic_publish(b"body", "ex", "key")
        await opened.publisher("ex").publish_deferred(b"body")
        deliver(server, 1, 2)
        await wait_idle()
    finally:
        sys.setprofile(before)

    assert {"publish.py", "publisher.py", "consumer.py", "writer.py"} <= called
    assert not called & {"recorder.py", "instrument.py"}
    await opened.protocol.close()
