"""Waiting for a state of the broker; and its clock, which runs the timers."""

import asyncio

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.control.waiting import WaitTimeout
from amqp_codec import PROTOCOL_HEADER, FieldTable
from fake_broker_support import Recorder

pytestmark = pytest.mark.asyncio


async def test_a_predicate_that_is_true_already_returns_at_once() -> None:
    async with FakeBroker() as broker:
        assert await broker.wait_for(lambda: 7, timeout=0.001) == 7


async def test_a_predicate_is_called_only_after_activity() -> None:
    async with FakeBroker() as broker:
        calls = 0

        def there_is_a_message() -> bool:
            nonlocal calls
            calls += 1
            return broker.vhost.queues["q"].message_count > 0

        broker.vhost.declare_queue("q", None, durable=True)
        waiting = asyncio.create_task(broker.wait_for(there_is_a_message))
        for _ in range(100):
            await asyncio.sleep(0)
        calls_at_first = calls
        for _ in range(100):
            await asyncio.sleep(0)
        assert calls == calls_at_first

        broker.publish("", "q")
        assert await waiting
        assert calls == calls_at_first + 1


async def test_activity_of_a_client_wakes_a_waiter() -> None:
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        declaring = asyncio.create_task(channel.queue_declare("q", no_wait=True, durable=True))

        assert await broker.wait_for(lambda: broker.vhost.queues.get("q"))

        await declaring
        await protocol.close()
        await broker.wait_for(lambda: not broker.sessions)


@pytest.mark.parametrize("clock", ["manual", "real"])
async def test_a_timer_wakes_a_waiter(clock: str) -> None:
    async with FakeBroker(clock) as broker:  # type: ignore[arg-type]
        broker.vhost.declare_queue("q", None, arguments={"x-message-ttl": 1}, durable=True)
        broker.publish("", "q")
        gone = asyncio.create_task(
            broker.wait_for(lambda: not broker.vhost.queues["q"].message_count)
        )
        await asyncio.sleep(0)
        assert not gone.done()

        if clock == "manual":
            broker.clock.advance(0.001)
        assert await gone


async def test_a_timeout_shows_the_state_of_the_broker() -> None:
    async with FakeBroker() as broker:
        broker.vhost.declare_queue("orders", None, durable=True)

        def never_true() -> bool:
            return False

        with pytest.raises(WaitTimeout) as caught:
            await broker.wait_for(never_true, timeout=0.01)

        text = str(caught.value)
        assert text.startswith("never_true() did not become true within 0.01 s.\n")
        assert "queue 'orders', durable: 0 ready, 0 unacked" in text
        assert isinstance(caught.value, AssertionError)
        assert isinstance(caught.value, TimeoutError)


async def test_a_timeout_shows_the_source_of_the_predicate() -> None:
    """Row U21."""
    async with FakeBroker() as broker:
        queue = broker.vhost.declare_queue("orders", None, durable=True)

        with pytest.raises(WaitTimeout) as caught:
            await broker.wait_for(
                lambda: queue.message_count == 2,
                timeout=0.01,
            )
        assert str(caught.value).startswith(
            "the predicate did not become true within 0.01 s.\n    lambda: queue.message_count == 2,\n"
        )

        with pytest.raises(
            WaitTimeout,
            match=r"^the predicate did not become true within 0[.]01 s[.]\nvirtual host /",
        ):
            await broker.wait_for(eval("lambda: False"), timeout=0.01)


async def test_a_timeout_shows_that_the_clock_is_manual() -> None:
    async with FakeBroker(clock="manual") as broker:
        broker.clock.advance(2)
        with pytest.raises(WaitTimeout, match="it is at 2 s, and no timer is pending"):
            await broker.wait_for(lambda: False, timeout=0.01)

        broker.vhost.declare_queue("q", None, arguments={"x-expires": 5000}, durable=True)
        with pytest.raises(WaitTimeout, match="it is at 2 s, and the next timer is due in 5 s"):
            await broker.wait_for(lambda: False, timeout=0.01)


async def test_closing_the_broker_ends_waiting() -> None:
    async with FakeBroker() as broker:
        waiting = asyncio.create_task(broker.wait_for(lambda: False))
        await asyncio.sleep(0)

    with pytest.raises(WaitTimeout, match="the predicate did not become true before the broker"):
        await waiting
    with pytest.raises(WaitTimeout):
        await broker.wait_for(lambda: False)


async def test_a_timeout_error_of_the_predicate_is_passed_on() -> None:
    async with FakeBroker() as broker:

        def impatient() -> bool:
            raise TimeoutError("mine")

        with pytest.raises(TimeoutError, match="mine"):
            await broker.wait_for(impatient)


async def test_waiting_can_be_cancelled() -> None:
    async with FakeBroker() as broker:
        waiting = asyncio.create_task(broker.wait_for(lambda: False))
        await asyncio.sleep(0)
        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        broker.publish("", "q")


async def test_activity_without_end_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioamqp_testing.control.waiting._MAX_ITERATIONS", 200)
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        await channel.queue_declare("q", durable=True)

        async def callback(
            channel: object, body: bytes, envelope: object, properties: object
        ) -> None:
            await channel.basic_client_nack(envelope.delivery_tag, requeue=True)  # type: ignore[attr-defined]

        await channel.basic_consume(callback, "q")
        broker.publish("", "q")

        with pytest.raises(WaitTimeout, match="still active after 200 iterations"):
            await broker.wait_idle()
        await protocol.close()


# --------------------------------------------------------------------------------- time


async def test_half_an_hour_passes_at_once() -> None:
    """Messages expire, and so does their queue."""
    async with FakeBroker(clock="manual") as broker:
        _, protocol = await broker.connect(heartbeat=0)
        channel = await protocol.channel()
        arguments: FieldTable = {
            "x-message-ttl": 60_000,
            "x-expires": 1_800_000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dead",
        }
        await channel.queue_declare("q", arguments=arguments, durable=True)
        await channel.queue_declare("dead", durable=True)
        bodies: list[bytes] = []

        async def callback(_: object, body: bytes, *rest: object) -> None:
            bodies.append(body)

        await channel.basic_consume(callback, "dead")
        await channel.basic_publish(b"m", "", "q")
        await broker.wait_idle()
        assert bodies == []

        broker.clock.advance(60)
        await broker.wait_idle()
        assert bodies == [b"m"]

        broker.clock.advance(30 * 60)
        assert list(broker.vhost.queues) == ["dead"]
        await protocol.close()


async def test_the_handshake_has_ten_seconds() -> None:
    """Row 5."""
    async with FakeBroker(clock="manual") as broker:
        transport, recorder = await broker.dial(Recorder)
        transport.write(PROTOCOL_HEADER)
        await broker.wait_idle()

        broker.clock.advance(9.9)
        await broker.wait_idle()
        assert not recorder.lost.is_set()
        broker.clock.advance(0.1)
        await broker.wait_idle()
        assert recorder.events[-1] == ("lost", ConnectionResetError)


async def test_the_brokers_heartbeats_reach_the_client_in_its_time() -> None:
    """Row 52."""
    async with FakeBroker(clock="manual") as broker:
        _, protocol = await broker.connect(heartbeat=10)

        broker.clock.advance(5)
        await broker.wait_idle()
        assert "heartbeat" in str(broker.journal.connections[0].lines[-1]).lower()
        await protocol.close()


# --------------------------------------------------------------------------------- restarts


async def test_a_restart_keeps_what_is_durable_only() -> None:
    """Row 120."""
    async with FakeBroker(rabbitmq="3.10") as broker:
        vhost = broker.vhost
        vhost.declare_queue("durable", None, durable=True)
        vhost.declare_queue("quorum", None, durable=True, arguments={"x-queue-type": "quorum"})
        vhost.declare_queue("transient", None)
        vhost.declare_exchange("kept", "fanout", durable=True)
        vhost.declare_exchange("gone", "fanout")
        for source in ("kept", "gone"):
            for queue in ("durable", "transient", "quorum"):
                vhost.bind_queue(queue, source, "", {}, None)
        broker.publish("", "durable", "persistent", delivery_mode=2)
        broker.publish("", "durable", "transient", delivery_mode=1)
        broker.publish("", "quorum", "transient")
        broker.publish("", "transient", "persistent", delivery_mode=2)

        await broker.restart()

        broker.assert_topology(
            queues=["durable", "quorum"],
            exchanges=["kept"],
            bindings=[("kept", "durable", ""), ("kept", "quorum", "")],
        )
        assert [message.body for message in broker.drain("durable")] == [b"persistent"]
        assert [message.body for message in broker.drain("quorum")] == [b"transient"]
        lost = broker.history("durable", body=b"transient")[0].history[-1]
        assert str(lost) == "lost with queue 'durable'"


async def test_what_was_delivered_before_a_restart_is_redelivered() -> None:
    """Row 120."""
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        await channel.queue_declare("q", durable=True)
        for body in ("1", "2"):
            broker.publish("", "q", body, delivery_mode=2)
        await channel.basic_get("q")

        await broker.restart()

        _, protocol = await broker.connect()
        channel = await protocol.channel()
        got = [await channel.basic_get("q", no_ack=True) for _ in range(2)]
        assert [each["redelivered"] for each in got] == [True, False]
        await protocol.close()


async def test_connections_between_stop_and_start_are_refused() -> None:
    """Row 58."""
    async with FakeBroker() as broker:
        await broker.stop()
        with pytest.raises(ConnectionRefusedError, match="between stop"):
            await broker.dial(Recorder)

        await broker.start()
        await broker.dial(Recorder)


async def test_an_alarm_has_a_reason() -> None:
    with pytest.raises(ValueError, match="use 'low on memory'"):
        FakeBroker().block("")


async def test_clients_are_blocked_until_every_alarm_is_cleared() -> None:
    """Row U48."""
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        broker.block("low on memory")
        broker.block("low on disk")
        await channel.basic_publish(b"", "", "nowhere")
        await protocol.blocked.wait()

        broker.unblock()
        other = await (await broker.connect())[1].channel()
        await other.basic_publish(b"", "", "nowhere")
        await other.protocol.blocked.wait()
        assert protocol.blocked
        assert other.protocol.blocked.reason == "low on memory"

        broker.unblock()
        await protocol.blocked.wait_over()
        await other.protocol.blocked.wait_over()
