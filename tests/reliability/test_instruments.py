"""What instruments are told while a connection recovers."""

import asyncio
from typing import Any

import pytest

import aioamqp
from aioamqp.instrument import Delivery, Outcome, Peer, Publication, WaitReason
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Reset
from tests.reliability.breakable import break_off
from tests.reliability.test_rows import lose, recovering

pytestmark = pytest.mark.asyncio


class Events(aioamqp.Instrument):
    """Notes what happens, in its order."""

    def __init__(self) -> None:
        self.noted: list[Any] = []

    def connected(self, peer: Peer, seconds: float) -> None:
        self.noted.append("connected")

    def lost(self, peer: Peer, error: Exception, seconds: float) -> None:
        self.noted.append("lost")

    def closed(self, peer: Peer, seconds: float) -> None:
        self.noted.append("closed")

    def recovered(self, peer: Peer, seconds: float, unrestored: int) -> None:
        assert seconds > 0
        self.noted.append(("recovered", unrestored))

    def channel_closed(self, peer: Peer, channel: int, error: Exception | None) -> None:
        self.noted.append(("channel closed", error))

    def publishing(self, message: Publication) -> None:
        message.headers["noted"] = True

    def published(self, message: Publication, seconds: float) -> None:
        self.noted.append("published")

    def confirmed(self, message: Publication, outcome: Outcome, seconds: float) -> None:
        self.noted.append(outcome)

    def waiter_added(self, peer: Peer, call: str, reason: WaitReason) -> None:
        if reason == "recovery":
            self.noted.append(("waits", call))

    def waiter_gone(self, peer: Peer, call: str, reason: WaitReason, seconds: float) -> None:
        if reason == "recovery":
            assert seconds > 0
            self.noted.append(("goes on", call))


async def test_a_channel_that_recovers_is_closed_once_at_the_end(broker: FakeBroker) -> None:
    events = Events()
    async with recovering(instrument=events) as connection:
        await connection.channel()
        await lose(connection)

    assert events.noted == [
        "connected",
        "lost",
        "connected",
        ("recovered", 0),
        "closed",
        ("channel closed", None),
    ]


async def test_a_call_waits_for_recovery(broker: FakeBroker) -> None:
    events = Events()
    async with recovering(instrument=events) as connection:
        channel = await connection.channel()
        break_off(connection)
        await channel.queue_declare("q", durable=True)

    waits = [each for each in events.noted if each[0] in ("waits", "goes on")]
    assert waits == [("waits", "queue.declare"), ("goes on", "queue.declare")]


async def test_a_message_that_is_sent_again_has_an_outcome_each_time(broker: FakeBroker) -> None:
    events = Events()
    async with recovering(instrument=events) as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        publisher = channel.publisher("", routing_key="q", resend="unconfirmed")
        broker.faults.add(Reset(received="basic.publish"))
        await publisher.publish(b"body")

    outcomes = [each for each in events.noted if each in ("published", "unknown", "confirmed")]
    assert outcomes == ["published", "unknown", "published", "confirmed"]
    (message,) = broker.vhost.queues["q"].messages
    assert (message.properties.headers or {})["noted"] is True


async def test_a_message_that_waited_for_recovery_is_published_once(broker: FakeBroker) -> None:
    events = Events()
    async with recovering(instrument=events) as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        publisher = channel.publisher("", routing_key="q", resend="unsent")
        await publisher.publish(b"1")
        break_off(connection)
        await asyncio.gather(publisher.publish(b"2"), channel.basic_publish(b"3", "", "q"))

    assert [each for each in events.noted if each in ("published", "unknown", "confirmed")] == [
        "published", "confirmed", "published", "published", "confirmed", "confirmed",
    ]  # fmt: skip


async def test_a_worker_notes_each_handler_once(broker: FakeBroker) -> None:
    class Handlers(aioamqp.Instrument):
        noted: list[str] = []  # noqa: RUF012 - of this test

        def handling(self, message: Any) -> None:
            self.noted.append(f"handling {message.queue}")

        def handled(self, message: Any, seconds: float) -> None:
            self.noted.append("handled")

        def handler_failed(self, message: Any, error: BaseException, seconds: float) -> None:
            self.noted.append(f"failed with {error}")

    async def handle(message: aioamqp.Message) -> None:
        if message.body == b"bad":
            raise ValueError("bad")

    async with recovering(instrument=Handlers()) as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        async with aioamqp.Worker(connection, "q", handle, concurrency=1):
            await channel.basic_publish(b"good", "", "q")
            await channel.basic_publish(b"bad", "", "q")
            while len(Handlers.noted) < 4:
                await broker.wait_idle()

    assert Handlers.noted == ["handling q", "handled", "handling q", "failed with bad"]


async def test_delivery_tags_are_those_of_the_server_after_recovery_too(
    broker: FakeBroker,
) -> None:
    class Tags(aioamqp.Instrument):
        def __init__(self) -> None:
            self.noted: list[tuple[str, int]] = []

        def delivered(self, message: Delivery) -> None:
            self.noted.append(("delivered", message.delivery_tag))

        def handling(self, message: Delivery) -> None:
            self.noted.append(("handling", message.delivery_tag))

    tags, envelopes = Tags(), []
    async with recovering(instrument=tags) as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        await channel.basic_consume(
            lambda _, __, envelope, ___: envelopes.append(envelope.delivery_tag), "q", no_ack=True
        )
        await channel.basic_publish(b"", "", "q")
        await broker.wait_idle()
        await lose(connection)
        await channel.basic_publish(b"", "", "q")
        await broker.wait_idle()

    assert envelopes == [1, 2]
    assert tags.noted == [("delivered", 1), ("handling", 1)] * 2
