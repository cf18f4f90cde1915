"""Costs of the client for one message, in calls: time would depend on the load of the machine.

Counted are the calls of functions of aioamqp and amqp_codec, and of built-in functions by them, so
that the costs do not depend on asyncio. What the server does, in the same process, is not counted.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import aioamqp
import amqp_codec
from amqp_codec import Command, Decoder, Properties, basic, encode_command
from scripted_server import ScriptedServer

COSTS = {
    "publish": 44,
    "publish with confirm": 60,
    "publish deferred": 27,
    "deliver to a callback": 106,
    "deliver, look and ack": 143,
    "iterate and ack": 111,
    "get": 83,
    "encode": 49,
    "decode": 77,
}
"""Calls for one message. They are the same on all versions of Python. A change that lowers them, or
has a good reason to raise them, writes the new ones here."""

MORE = 1
"""So many calls above what is stored are too many."""

LESS = 0.95
"""Below so many times what is stored, the new figure must be stored, or it could be lost again."""

BODY = b"x" * 100
PROPERTIES: dict[str, Any] = {
    "content_type": "application/json",
    "delivery_mode": 1,
    "headers": {"attempt": 3, "tenant": "blue"},
    "message_id": "7d3b8c64-0e1f-4c5d-9a6b",
}
IN_FLIGHT = 100
"""Messages that are unconfirmed at a time."""

READ = 50
"""Deliveries that arrive together."""

FOLDERS = tuple(f"{Path(module.__file__ or '').parent}/" for module in (aioamqp, amqp_codec))


class Calls:
    """The number of calls; nothing is counted while the server works."""

    def __init__(self) -> None:
        self.count = 0
        self.is_paused = False

    def count_call(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call") and not self.is_paused:
            self.count += frame.f_code.co_filename.startswith(FOLDERS)

    @contextmanager
    def counting(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self.count_call)
        try:
            yield
        finally:
            sys.setprofile(before)


class Server(ScriptedServer):
    """A server whose own work is not counted."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self.calls = calls

    async def dial(self, *args: Any, **kwargs: Any) -> Any:
        transport, protocol = await super().dial(*args, **kwargs)
        write = transport.write

        def write_uncounted(data: Any) -> None:
            self.calls.is_paused = True
            try:
                write(data)
            finally:
                self.calls.is_paused = False

        transport.write = write_uncounted  # type: ignore[method-assign]
        return transport, protocol


Work = Callable[[Server, aioamqp.Channel, int], Awaitable[None]]


def deliveries(tag: str, count: int) -> list[bytes]:
    """Return what the server writes to deliver messages."""
    commands = [
        Command(1, basic.Deliver(tag, n, False, "ex", "key"), Properties(**PROPERTIES), BODY)
        for n in range(1, count + 1)
    ]
    frames = [encode_command(command) for command in commands]
    return [b"".join(frames[n : n + READ]) for n in range(0, count, READ)]


async def publish(server: Server, channel: aioamqp.Channel, count: int) -> None:
    for _ in range(count):
        await channel.basic_publish(BODY, "ex", "key", properties=PROPERTIES)


async def publish_with_confirm(server: Server, channel: aioamqp.Channel, count: int) -> None:
    await channel.confirm_select()
    for last in range(IN_FLIGHT, count + 1, IN_FLIGHT):
        publishing = asyncio.gather(
            *(channel.publish(BODY, "ex", "key", properties=PROPERTIES) for _ in range(IN_FLIGHT))
        )
        await asyncio.sleep(0)
        confirm_by_tens(server, last - IN_FLIGHT, last)
        await publishing


async def publish_deferred(server: Server, channel: aioamqp.Channel, count: int) -> None:
    async with channel.publisher("ex", routing_key="key", properties=PROPERTIES) as publisher:
        for _ in range(count):
            await publisher.publish_deferred(BODY)
        confirm_by_tens(server, 0, count)


def confirm_by_tens(server: Server, after: int, last: int) -> None:
    """Confirm every tenth message alone, and the nine before it together."""
    for tag in range(after + 10, last + 1, 10):
        acks = (basic.Ack(tag - 1, True), basic.Ack(tag))
        server.send(*(encode_command(Command(1, ack)) for ack in acks))


async def deliver(server: Server, channel: aioamqp.Channel, count: int) -> None:
    await consume(server, channel, count, ack=False)


async def deliver_look_and_ack(server: Server, channel: aioamqp.Channel, count: int) -> None:
    await consume(server, channel, count, ack=True)


async def consume(server: Server, channel: aioamqp.Channel, count: int, *, ack: bool) -> None:
    done = asyncio.Event()
    left = count

    async def callback(channel: Any, body: bytes, envelope: Any, properties: Any) -> None:
        nonlocal left
        if ack:
            assert properties.headers["attempt"] == 3
            await channel.basic_client_ack(envelope.delivery_tag)
        left -= 1
        if not left:
            done.set()

    await channel.basic_consume(callback, "orders", no_ack=not ack, consumer_tag="tag")
    for data in deliveries("tag", count):
        server.send(data)
    await done.wait()


async def iterate_and_ack(server: Server, channel: aioamqp.Channel, count: int) -> None:
    left = count
    async with channel.consume("orders", consumer_tag="tag") as messages:
        for data in deliveries("tag", count):
            server.send(data)
        async for message in messages:
            await message.ack()
            left -= 1
            if not left:
                break


async def get(server: Server, channel: aioamqp.Channel, count: int) -> None:
    method = basic.GetOk(1, False, "ex", "key", 0)
    reply = encode_command(Command(1, method, Properties(**PROPERTIES), BODY))
    server.mute(basic.Get)
    for _ in range(count):
        server.send(reply)
        await channel.basic_get("orders", no_ack=True)


async def encode(server: Server, channel: aioamqp.Channel, count: int) -> None:
    for _ in range(count):
        encode_command(Command(1, basic.Publish("ex", "key"), Properties(**PROPERTIES), BODY))


async def decode(server: Server, channel: aioamqp.Channel, count: int) -> None:
    decoder = Decoder()
    for data in deliveries("tag", count):
        assert len(decoder.feed(data)) == READ


WORK: dict[str, Work] = {
    "publish": publish,
    "publish with confirm": publish_with_confirm,
    "publish deferred": publish_deferred,
    "deliver to a callback": deliver,
    "deliver, look and ack": deliver_look_and_ack,
    "iterate and ack": iterate_and_ack,
    "get": get,
    "encode": encode,
    "decode": decode,
}


async def calls_of(work: Work) -> float:
    """Return the number of calls for a message, without calls that are made once."""
    totals: list[int] = []
    for count in (200, 400):
        calls = Calls()
        server = Server(calls)
        channel = await server.open_channel()
        with calls.counting():
            await work(server, channel, count)
        totals.append(calls.count)
        await channel.protocol.close()
    return (totals[1] - totals[0]) / 200


def test_every_cost_is_stored() -> None:
    assert COSTS.keys() == WORK.keys()


@pytest.mark.parametrize("name", WORK)
def test_a_message_costs_as_many_calls_as_are_stored(name: str) -> None:
    calls, stored = asyncio.run(calls_of(WORK[name])), COSTS[name]

    complaint = verdict(calls, stored)

    assert not complaint, f"{name} costs {calls:.1f} calls, and COSTS has {stored}: {complaint}"


def verdict(calls: float, stored: float) -> str:
    """Return what to do about a cost that differs from what is stored; empty if it does not."""
    if calls >= stored + MORE:
        return "find out what made it dearer"
    if calls < stored * LESS:
        return f"write {calls:.0f} into COSTS of {Path(__file__).name}"
    return ""


def test_a_cost_must_be_about_what_is_stored() -> None:
    assert verdict(60.9, 60) == verdict(60, 60) == verdict(57.1, 60) == ""
    assert "dearer" in verdict(61, 60)
    assert "write 56 into COSTS" in verdict(56.4, 60)


def test_a_call_that_is_made_for_each_message_is_counted() -> None:
    async def encode_and_compare(server: Server, channel: aioamqp.Channel, count: int) -> None:
        await encode(server, channel, count)
        for _ in range(count):
            assert Properties() == Properties()

    more = asyncio.run(calls_of(encode_and_compare)) - asyncio.run(calls_of(encode))

    assert 3 <= more <= 6  # two objects and a comparison, with what these call


def test_what_the_server_and_asyncio_do_is_not_counted() -> None:
    async def only_others(server: Server, channel: aioamqp.Channel, count: int) -> None:
        for _ in range(count):
            server.transport.write(encoded)
            await asyncio.sleep(0)

    encoded = encode_command(Command(1, basic.Publish("ex", "key"), Properties(), BODY))

    assert asyncio.run(calls_of(only_others)) < 0.5
