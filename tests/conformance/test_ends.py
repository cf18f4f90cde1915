"""The end of channels, consumers and connections: log, callbacks, errors of later calls."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import aioamqp
from aioamqp import AmqpClosedConnection, AmqpProtocol, Channel, ChannelClosed
from tests.conformance.scenario import Connect, Inbox, scenario


class Watched(NamedTuple):
    """A channel with a consumer and all callbacks, and another channel of its connection."""

    protocol: AmqpProtocol
    channel: Channel
    other: Channel
    calls: "Calls"


class Calls(list[tuple[Any, ...]]):
    """The calls of the callbacks, as tuples of a name and the arguments."""

    def __init__(self) -> None:
        super().__init__()
        self._has_more = asyncio.Event()

    def note(self, *call: Any) -> None:
        self.append(call)
        self._has_more.set()

    async def wait_for(self, count: int) -> None:
        while len(self) < count:
            self._has_more.clear()
            await self._has_more.wait()


async def watched(connect: Connect, name: str) -> Watched:
    calls = Calls()

    def noted(callback: str) -> Callable[..., None]:
        return lambda *args: calls.note(callback, *args)

    protocol = await connect(on_error=noted("on_error"), on_channel_close=noted("on_channel_close"))
    channel = await protocol.channel(on_close=noted("on_close"))
    other = await protocol.channel()
    await channel.queue_declare(name, durable=True)
    channel.add_cancellation_callback(noted("cancellation"))
    await channel.basic_consume(Inbox(), name, consumer_tag="mine")
    return Watched(protocol, channel, other, calls)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the client has logged at WARNING or above."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("aioamqp.")
    ]


async def errors_of_later_calls(channel: Channel) -> list[BaseException]:
    calls = (
        channel.queue_declare("q"),
        channel.basic_publish(b"", "", "q"),
        channel.basic_client_ack(1),
        channel.close(),
    )
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    return [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


@scenario
async def test_the_server_closes_a_channel(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Row U1."""
    protocol, channel, other, calls = await watched(connect, name)

    await channel.basic_client_ack(99)
    await channel.wait_closed()
    await calls.wait_for(2)

    (text,) = warnings(caplog)
    for part in ("channel 1", "406", "PRECONDITION_FAILED - unknown delivery tag 99", "mine"):
        assert part in text
    error = next(call[1] for call in calls if call[0] == "on_close")
    assert sorted(call[0] for call in calls) == ["on_channel_close", "on_close"]
    assert ("on_channel_close", channel, error) in calls
    later = await errors_of_later_calls(channel)
    assert len(later) == 4
    for each in (error, *later):
        assert isinstance(each, ChannelClosed)
        assert each.code == 406
        assert each.message == "PRECONDITION_FAILED - unknown delivery tag 99"
    assert other.is_open
    assert protocol.is_open


@scenario
async def test_the_server_cancels_a_consumer(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Row U1."""
    _, channel, other, calls = await watched(connect, name)

    await other.queue_delete(name)
    await calls.wait_for(1)

    assert calls == [("cancellation", channel, "mine")]
    (text,) = warnings(caplog)
    assert "consumer mine of channel 1" in text
    assert channel.is_open


@scenario
async def test_the_server_closes_the_connection(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows U1 and U39."""
    protocol, channel, other, calls = await watched(connect, name)

    with pytest.raises(ChannelClosed):
        await other.basic_recover(requeue=False)  # 540
    await protocol.wait_closed()
    await calls.wait_for(2)

    (text,) = warnings(caplog)
    for part in ("540", "NOT_IMPLEMENTED", "mine (channel 1)"):
        assert part in text
    assert sorted(call[0] for call in calls) == ["on_close", "on_error"]
    for _, error in calls:
        assert error.code == 540
        assert error.message.startswith("NOT_IMPLEMENTED")
    later = await errors_of_later_calls(channel)
    assert [isinstance(each, AmqpClosedConnection) for each in later] == [True, True, True, False]
    assert all("540 NOT_IMPLEMENTED" in str(each) for each in later[:3])


@pytest.mark.parametrize("what", ["channel", "connection", "transport", "consumer"])
@scenario
async def test_an_end_that_the_program_asks_for_is_not_logged(
    connect: Connect, name: str, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """Rows U1 and U41."""
    transports: list[asyncio.BaseTransport] = []

    class KeepsTransport(AmqpProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            super().connection_made(transport)

    calls: list[Any] = []
    protocol = await connect(
        on_channel_close=lambda *args: calls.append(args), protocol_factory=KeepsTransport
    )
    channel = await protocol.channel(on_close=calls.append)
    await channel.queue_declare(name, exclusive=True)
    await channel.basic_consume(Inbox(), name, consumer_tag="mine")

    match what:
        case "channel":
            await channel.close()
            await channel.wait_closed()
            (error, *_) = await errors_of_later_calls(channel)
            assert isinstance(error, ChannelClosed)
            assert error.code == 0
        case "consumer":
            await channel.basic_cancel("mine")
        case "connection":
            await protocol.close()
            await channel.wait_closed()
        case _:
            transports[0].close()
            await protocol.wait_closed()
            await channel.wait_closed()

    assert warnings(caplog) == []
    assert calls == []
    if what in ("connection", "transport"):
        with pytest.raises(aioamqp.AmqpClosedConnection):
            await channel.queue_declare("q")


@pytest.mark.parametrize("end", ["channel", "connection", "cancel", "in the callback"])
@scenario
async def test_messages_with_no_ack_are_handled_before_the_end(
    connect: Connect, name: str, end: str
) -> None:
    """Row U32."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    handled: list[bytes] = []
    has_begun, is_over = asyncio.Event(), asyncio.Event()

    async def callback(channel: Channel, body: bytes, *_: object) -> None:
        has_begun.set()
        await asyncio.sleep(0.001)
        handled.append(body)
        if end == "in the callback" and len(handled) == 1:
            await asyncio.wait_for(channel.close(), 4)
        if len(handled) == 50:
            is_over.set()

    await channel.queue_declare(name, durable=True)
    bodies = [b"%d" % number for number in range(50)]
    for body in bodies:
        await other.basic_publish(body, "", name)
    while (await other.queue_declare(name, passive=True))["message_count"] < 50:
        pass
    await channel.basic_consume(callback, name, no_ack=True, consumer_tag="mine")
    await has_begun.wait()

    match end:
        case "channel":
            await channel.close()
        case "connection":
            await protocol.close()
            other = await (await connect()).channel()
        case "cancel":
            await channel.basic_cancel("mine")
        case _:
            await is_over.wait()

    # RabbitMQ has delivered all of them, or keeps what it had not delivered before basic.cancel.
    left: list[bytes] = []
    while (count := (await other.queue_declare(name, passive=True))["message_count"]) > 0:
        left += [(await other.basic_get(name, no_ack=True))["message"] for _ in range(count)]
    assert handled + left == bodies


@pytest.mark.parametrize("what", ["channel", "connection"])
@scenario
async def test_a_draining_close_lets_the_running_callback_acknowledge(
    connect: Connect, name: str, what: str
) -> None:
    """Row U5: only messages that no callback has received are delivered again."""
    protocol = await connect()
    channel = await protocol.channel()
    begun, may_end = asyncio.Event(), asyncio.Event()
    handled: list[bytes] = []

    async def callback(
        channel: Channel, body: bytes, envelope: aioamqp.Envelope, _: object
    ) -> None:
        begun.set()
        await may_end.wait()
        await channel.basic_client_ack(envelope.delivery_tag)
        handled.append(body)

    await channel.queue_declare(name, durable=True)
    for body in (b"1", b"2", b"3"):
        await channel.basic_publish(body, "", name)
    await channel.basic_consume(callback, name)
    await begun.wait()

    asyncio.get_running_loop().call_later(0.1, may_end.set)
    await (channel if what == "channel" else protocol).close(drain=20)

    assert handled == [b"1"]
    again = await (await connect()).channel()
    bodies = [(await again.basic_get(name, no_ack=True))["message"] for _ in range(2)]
    assert bodies == [b"2", b"3"]
    assert (await again.queue_declare(name, passive=True))["message_count"] == 0


@pytest.mark.parametrize("is_closed_by", ["server", "program"])
@scenario
async def test_a_closed_channel_can_be_opened_again(
    connect: Connect, name: str, is_closed_by: str
) -> None:
    """Row U36."""
    protocol, channel, other, calls = await watched(connect, name)
    if is_closed_by == "server":
        await channel.basic_client_ack(99)
        await channel.wait_closed()
    else:
        await channel.close()

    assert await channel.open()

    assert channel.is_open
    assert protocol.channels == {1: channel, 2: other}
    inbox = Inbox()
    await channel.basic_consume(inbox, name, no_ack=True, consumer_tag="mine")
    await other.basic_publish(b"again", "", name)
    assert await inbox.bodies(1) == [b"again"]
    del calls[:]
    await other.queue_delete(name)
    await calls.wait_for(1)
    assert calls == [("cancellation", channel, "mine")]
    await channel.basic_client_ack(99)
    await calls.wait_for(3)
    assert [call[0] for call in calls].count("on_close") == 1
