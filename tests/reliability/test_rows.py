"""The problems that users of AMQP clients have reported, R1 to R26, through ``Connection``.

Where it makes sense, they are tried through ``connect`` too.
"""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

import aioamqp
from aioamqp import AmqpClosedConnection, Backoff, Channel, Connection, ConnectionState
from aioamqp.exceptions import (
    AcknowledgementTimeout,
    ChannelClosed,
    ConsumerCancelled,
    InvalidArgument,
    NoChannelAvailable,
    PublishFailed,
    PublishNotSent,
    PublishReturned,
    PublishUnconfirmed,
)
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import (
    CancelConsumer,
    CloseChannel,
    Delay,
    Lose,
    LoseConfirm,
    RefuseLogin,
    Reset,
    Restart,
    Send,
    Silence,
    Split,
)
from amqp_codec import Method, Properties, basic
from tests.reliability.breakable import BreakableProtocol, break_off
from virtual_loop import VirtualLoop

pytestmark = pytest.mark.asyncio

URL = "amqp://broker/"
SOON = Backoff(initial=0.1, maximum=0.1)


@asynccontextmanager
async def recovering(**options: Any) -> AsyncIterator[Connection]:
    async with Connection(
        URL, reconnect=SOON, protocol_factory=BreakableProtocol, **options
    ) as connection:
        yield connection


@asynccontextmanager
async def plain(**options: Any) -> AsyncIterator[aioamqp.AmqpProtocol]:
    async with aioamqp.connect(**options) as protocol:
        yield protocol


both = pytest.mark.parametrize("opened", [recovering, plain], ids=["Connection", "connect"])


async def recovered(connection: Connection) -> None:
    """Wait until a connection has been lost and is open again."""
    async for change in connection.state_changes():
        if change.new is ConnectionState.OPEN:
            break


async def lose(connection: Connection) -> None:
    """Lose the link, and wait until the connection is open again."""
    waiting = asyncio.ensure_future(recovered(connection))
    await asyncio.sleep(0)
    break_off(connection)
    await waiting


async def delete_queue(broker: FakeBroker, name: str) -> None:
    """Delete a queue as another program."""
    async with aioamqp.connect() as protocol, protocol.channel() as channel:
        await channel.queue_delete(name)
    await broker.wait_idle()


def bodies_of(broker: FakeBroker, queue: str) -> list[bytes]:
    return [message.body for message in broker.vhost.queues[queue].messages]


async def confirming(connection: Any) -> Channel:
    channel: Channel = await connection.channel()
    await channel.queue_declare("q", durable=True)
    await channel.confirm_select()
    return channel


# --------------------------------------------------------------------------------- confirms


@both
@pytest.mark.parametrize(
    ("methods", "outcomes"),
    [
        ([basic.Ack(3, multiple=True)], [None, None, None]),
        ([basic.Nack(3, multiple=True)], [PublishFailed] * 3),
        ([basic.Ack(2), basic.Ack(3, multiple=True)], [None, None, None]),
        ([basic.Nack(1), basic.Ack(3, multiple=True)], [PublishFailed, None, None]),
        ([basic.Ack(0, multiple=True)], [None, None, None]),
    ],
    ids=["ack", "nack", "single first", "nack first", "tag 0"],
)
async def test_a_cumulative_confirm_ends_each_publish_once(
    broker: FakeBroker, opened: Any, methods: list[Method], outcomes: list[Any]
) -> None:
    """R1, R2."""
    async with opened() as connection:
        channel = await confirming(connection)
        broker.faults.add(LoseConfirm(times=3))
        for method in methods:
            broker.faults.add(Send(method, received="queue.declare", channel=channel.channel_id))
        calls = [asyncio.create_task(channel.publish(b"", "", "q")) for _ in range(3)]
        await broker.wait_idle()
        assert not any(call.done() for call in calls)

        await channel.queue_declare("q", passive=True)

        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [end if end is None else type(end) for end in ends] == outcomes
        await channel.publish(b"", "", "q")


@both
async def test_closing_with_unconfirmed_publishes_names_their_tags(
    broker: FakeBroker, opened: Any
) -> None:
    """R8."""
    broker.faults.add(LoseConfirm(times=3))
    with pytest.raises(ExceptionGroup) as caught:
        async with opened() as connection, asyncio.TaskGroup() as group:
            channel = await confirming(connection)
            for _ in range(3):
                group.create_task(channel.publish(b"", "", "q"))
            await broker.wait_idle()
            await connection.close()

    errors = [each for each in caught.value.exceptions if isinstance(each, PublishUnconfirmed)]
    assert sorted(error.delivery_tag for error in errors) == [1, 2, 3]
    assert errors[0].unconfirmed == (1, 2, 3)


@both
@pytest.mark.parametrize("message_id", [None, "same"])
async def test_unroutable_messages_are_matched_whatever_their_id(
    broker: FakeBroker, opened: Any, message_id: str | None
) -> None:
    """R9."""
    async with opened() as connection:
        channel = await confirming(connection)
        properties = {"message_id": message_id}

        ends = await asyncio.gather(
            *(
                channel.publish(body, "amq.direct", "none", properties, mandatory=True)
                for body in (b"1", b"2")
            ),
            channel.publish(b"3", "", "q", properties, mandatory=True),
            return_exceptions=True,
        )

        assert [type(end) for end in ends] == [PublishReturned, PublishReturned, type(None)]
        assert [end.body for end in ends[:2]] == [b"1", b"2"]  # type: ignore[union-attr]
        assert properties == {"message_id": message_id}


@both
@pytest.mark.parametrize(
    ("key", "properties"),
    [("k" * 256, {}), ("q", {"message_id": "x" * 70_000}), ("q", {"headers": {"h": object()}})],
    ids=["routing key", "property", "header"],
)
async def test_a_message_that_cannot_be_encoded_costs_no_delivery_tag(
    broker: FakeBroker, opened: Any, key: str, properties: dict[str, Any]
) -> None:
    """R20."""
    async with opened() as connection:
        channel = await confirming(connection)
        with pytest.raises(InvalidArgument):
            await channel.publish(b"", "", key, properties)

        await channel.publish(b"good", "", "q")

        assert bodies_of(broker, "q") == [b"good"]


@both
async def test_a_publish_that_is_cancelled_anywhere_leaves_the_tags_in_step(
    broker: FakeBroker, opened: Any
) -> None:
    """R21."""
    async with opened() as connection:
        channel = await confirming(connection)
        for turns in range(12):
            call = asyncio.create_task(channel.publish(bytes(300_000), "", "q"))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])

            with pytest.raises(PublishReturned):
                await channel.publish(b"", "amq.direct", "none", mandatory=True)
            await channel.publish(b"", "", "q")

        assert {len(body) for body in bodies_of(broker, "q")} <= {0, 300_000}


# --------------------------------------------------------------------------------- calls


@both
async def test_a_late_reply_is_not_the_next_one(broker: FakeBroker, opened: Any) -> None:
    """R3."""
    async with opened() as connection:
        channel = await connection.channel()
        broker.faults.add(Delay(0.3, sent="exchange.declare-ok"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await channel.exchange_declare("e", "fanout")

        assert (await channel.queue_declare("q", durable=True))["queue"] == "q"
        await channel.exchange_declare("e", "fanout")


@both
async def test_a_callback_can_call_what_it_likes(broker: FakeBroker, opened: Any) -> None:
    """R4."""
    async with opened() as connection:
        channel, other = await connection.channel(), await connection.channel()
        await channel.queue_declare("q", durable=True)
        await channel.queue_declare("other", durable=True)
        done, may_end, others = asyncio.Event(), asyncio.Event(), list[bytes]()

        async def call(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
            await channel.queue_declare("made", durable=True)
            await (await connection.channel()).close()
            await may_end.wait()
            done.set()

        async def note(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
            others.append(body)
            may_end.set()

        await channel.basic_consume(call, "q")
        await other.basic_consume(note, "other")
        broker.publish("", "q")
        await broker.wait_for(lambda: "made" in broker.vhost.queues)
        broker.publish("", "other", b"meanwhile")

        await done.wait()
        assert others == [b"meanwhile"]


@both
async def test_a_cancellation_callback_consumes_again_while_other_channels_work(
    broker: FakeBroker, opened: Any
) -> None:
    """R5."""
    async with opened() as connection:
        channel, other = await connection.channel(), await connection.channel()
        await channel.queue_declare("q", durable=True)
        seen: list[bytes] = []

        async def note(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
            seen.append(body)

        async def consume_again(channel: Channel, tag: str) -> None:
            await channel.basic_consume(note, "q", no_ack=True)

        channel.add_cancellation_callback(consume_again)
        await channel.basic_consume(note, "q", consumer_tag="first", no_ack=True)
        broker.faults.add(CancelConsumer("first"))
        for number in range(25):
            broker.publish("", "q", bytes([number]))

        assert (await other.queue_declare("of the other", durable=True))["queue"] == "of the other"
        await broker.wait_for(lambda: len(seen) == 25)
        assert seen == [bytes([number]) for number in range(25)]


@both
@pytest.mark.parametrize("lost", ["connection.close", "channel.close"])
async def test_closing_is_bounded_with_a_silent_peer(
    broker: FakeBroker, opened: Any, lost: str
) -> None:
    """R6."""
    broker.faults.add(Lose(received=lost))
    began = asyncio.get_running_loop().time()
    async with opened() as connection:
        channel = await connection.channel()
        if lost == "channel.close":
            with pytest.raises(TimeoutError, match="has not answered the close"):
                await channel.close()
            assert not channel.is_open
    assert asyncio.get_running_loop().time() - began <= 5.1


@both
async def test_closing_is_bounded_while_the_broker_blocks(broker: FakeBroker, opened: Any) -> None:
    """R7."""
    began = asyncio.get_running_loop().time()
    async with opened() as connection:
        channel = await confirming(connection)
        broker.publish("", "q")
        message = await anext(channel.consume("q"))
        broker.faults.add(LoseConfirm())
        broker.block()
        written = asyncio.create_task(channel.publish(b"", "", "q"))
        await broker.wait_idle()
        waiting = asyncio.create_task(channel.publish(b"", "", "q"))
        await broker.wait_idle()
        await message.ack()  # into the buffer
    with pytest.raises(PublishUnconfirmed):
        await written
    with pytest.raises(PublishNotSent):
        await waiting
    assert asyncio.get_running_loop().time() - began <= 5.1
    await broker.wait_idle()


@both
async def test_channel_numbers_are_used_again(broker: FakeBroker, opened: Any) -> None:
    """R10."""
    async with opened(channel_max=5) as connection:
        channels = [await connection.channel() for _ in range(5)]
        with pytest.raises(NoChannelAvailable):
            await connection.channel()
        await channels[3].close()
        assert (await connection.channel()).channel_id == 4
        for _ in range(100):
            await channels[1].close()
            channels[1] = await connection.channel()
        assert channels[1].channel_id == 2
        with pytest.raises(NoChannelAvailable):
            await connection.channel()
        await channels[0].queue_declare("alive", durable=True)


POISON = {
    "timestamp": b"\x00\x40" + (2**64 - 14256000).to_bytes(8, "big"),
    "unknown type": b"\x20\x00\x00\x00\x00\x03\x01a?",
    "not UTF-8": b"\x20\x00\x00\x00\x00\x09\x01\xffS\x00\x00\x00\x02\xff\xfe"[:15],
    "NaN": b"\x20\x00\x00\x00\x00\x0b\x01ad\x7f\xf8\x00\x00\x00\x00\x00\x00",
}


@both
@pytest.mark.parametrize("name", POISON)
async def test_a_header_that_cannot_be_decoded_costs_no_connection(
    broker: FakeBroker, opened: Any, name: str
) -> None:
    """R11."""
    raw = POISON[name]
    properties = Properties.decode(raw, 0, len(raw))
    async with opened() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        async with channel.consume("q", consumer_tag="t", no_ack=True) as messages:
            deliver = basic.Deliver("t", 1, False, "", "q")
            broker.faults.add(Send(deliver, properties, b"poison", channel=channel.channel_id))
            message = await anext(messages)

            assert message.body == b"poison"
            assert (message.properties.headers_error is not None) == (name == "unknown type")
            await channel.queue_declare("q", passive=True)


@both
async def test_bytes_may_arrive_in_any_pieces(broker: FakeBroker, opened: Any) -> None:
    """R19."""
    broker.faults.add(Split(1))
    broker.faults.add(Split(7, reading=True))
    async with opened() as connection:
        channel = await confirming(connection)
        for body in (b"", b"x", bytes(range(256)) * 40):
            await channel.publish(body, "", "q", {"headers": {"n": len(body)}})
            got = await channel.basic_get("q", no_ack=True)
            assert got["message"] == body


# --------------------------------------------------------------------------------- recovery


async def test_a_half_open_connection_is_noticed_and_left_within_two_heartbeats(
    broker: FakeBroker,
) -> None:
    """R12."""
    loop = asyncio.get_running_loop()
    async with recovering(heartbeat=10) as connection:
        channel = await confirming(connection)
        waiting = asyncio.ensure_future(recovered(connection))
        broker.faults.add(Silence(connection=1))
        began = loop.time()
        publishing = asyncio.create_task(channel.publish(b"", "", "q"))

        declared = await channel.queue_declare("q", passive=True)  # is sent again

        assert declared["queue"] == "q"
        assert loop.time() - began <= 20.2
        with pytest.raises(PublishUnconfirmed):
            await publishing
        await waiting


@pytest.mark.parametrize(
    "fault",
    [
        Reset(received="basic.publish", nth=700),
        Reset(sent="basic.ack", nth=5),
        Restart(sent="basic.ack", nth=5),
    ],
    ids=str,
)
async def test_under_load_every_publish_has_one_outcome_and_consumers_go_on(
    broker: FakeBroker, fault: Any
) -> None:
    """R13."""
    async with recovering() as connection:
        publishing, consuming = await connection.channel(), await connection.channel()
        await publishing.queue_declare("q", durable=True)
        await publishing.confirm_select()
        seen: Counter[bytes] = Counter()

        async def note(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
            seen[body] += 1
            await channel.basic_client_ack(envelope.delivery_tag)

        await consuming.basic_qos(prefetch_count=20)
        await consuming.basic_consume(note, "q", consumer_tag="t")
        broker.faults.add(fault)
        outcomes: list[BaseException | None] = []
        for first in range(0, 1000, 100):
            outcomes += await asyncio.gather(
                *(
                    publishing.publish(str(number).encode(), "", "q", {"delivery_mode": 2})
                    for number in range(first, first + 100)
                ),
                return_exceptions=True,
            )
        await connection.wait_open()
        await publishing.publish(b"last", "", "q", {"delivery_mode": 2})
        await broker.wait_for(lambda: b"last" in seen)

        assert all(
            outcome is None or isinstance(outcome, PublishUnconfirmed | PublishNotSent)
            for outcome in outcomes
        )
        assert any(isinstance(outcome, PublishUnconfirmed) for outcome in outcomes)
        for number, outcome in enumerate(outcomes):
            body = str(number).encode()
            assert outcome is not None or seen[body] >= 1, "confirmed and lost"
            assert not isinstance(outcome, PublishNotSent) or not seen[body]
        assert broker.vhost.queues["q"].consumer_count == 1
        assert broker.vhost.queues["q"].message_count == 0


async def test_deliveries_of_the_lost_connection_cannot_be_settled(
    broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """R14."""
    caplog.set_level(logging.INFO)
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        for number in range(10):
            broker.publish("", "q", bytes([number]), delivery_mode=2)
        messages = channel.consume("q", prefetch_count=10)
        old = [await anext(messages) for _ in range(5)]
        await lose(connection)

        assert [await message.ack() for message in old] == [False] * 5
        assert not await old[4].nack() if not old[4].is_settled else True
        new = [await anext(messages) for _ in range(10)]

        assert [message.body for message in new] == [bytes([number]) for number in range(10)]
        assert all(message.envelope.is_redeliver for message in new)
        tags = [message.envelope.delivery_tag for message in (*old, *new)]
        assert len(set(tags)) == 15
        assert await channel.basic_client_ack(tags[0]) is False
        assert await channel.basic_client_ack(tags[5]) is True
        assert [await message.ack() for message in new[1:]] == [True] * 9
        await broker.wait_idle()
        assert channel.is_open
        assert broker.vhost.queues["q"].unacked_count == 0
        assert connection.snapshot()["channels"][0]["stale"] == 6
        assert sum("was not settled" in each.getMessage() for each in caplog.records) == 6


async def test_a_locked_queue_is_tried_again_while_others_go_on(broker: FakeBroker) -> None:
    """R15."""
    locked = "cannot obtain exclusive access to locked queue 'mine' in vhost '/'."
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("mine", exclusive=True)
        await channel.queue_bind("mine", "amq.fanout", "")
        await channel.queue_declare("other", durable=True)
        mine, others = channel.consume("mine"), channel.consume("other")
        await mine.__aenter__()
        await others.__aenter__()
        broker.faults.add(
            CloseChannel(405, locked, received="queue.declare", connection=2, times=2)
        )
        await lose(connection)

        broker.publish("", "other", b"before")
        assert (await anext(others)).body == b"before"
        message = asyncio.create_task(anext(mine))
        await broker.wait_for(lambda: "mine" in broker.vhost.queues)
        await broker.wait_for(lambda: broker.vhost.queues["mine"].consumer_count)
        broker.publish("amq.fanout", "", b"after")

        assert (await message).body == b"after"


async def test_an_exclusive_consumer_is_tried_again_while_the_lost_connection_has_it(
    broker: FakeBroker,
) -> None:
    """R15. RabbitMQ notices a half-open connection later than the client may."""
    in_use = "queue 'q' in vhost '/' in exclusive use"
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        messages = channel.consume("q", exclusive=True)
        await messages.__aenter__()
        broker.faults.add(
            CloseChannel(403, in_use, received="basic.consume", connection=2, times=3)
        )
        await lose(connection)

        broker.publish("", "q", b"later")

        assert (await anext(messages)).body == b"later"
        assert channel.is_open


@pytest.mark.parametrize("code", [404, 406])
async def test_what_cannot_be_restored_is_named_and_the_rest_goes_on(
    broker: FakeBroker, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """R16."""
    async with recovering() as connection:
        channel = await connection.channel()
        for name in ("bad", "good"):
            await channel.queue_declare(name, durable=True)
            await channel.queue_bind(name, "amq.fanout", "")
        bad, good = channel.consume("bad"), channel.consume("good")
        await bad.__aenter__()
        await good.__aenter__()
        text = "inequivalent arg" if code == 406 else "no queue 'bad' in vhost '/'"
        await delete_queue(broker, "bad")
        broker.faults.add(CloseChannel(code, text, received="queue.declare", connection=3))
        changes = connection.state_changes()
        await lose(connection)

        lost, open_again = await anext(changes), await anext(changes)
        assert (lost.unrestored, lost.new) == ((), ConnectionState.RECOVERING)
        assert {each.what for each in open_again.unrestored} >= {"queue 'bad' (durable)"}
        assert str(code) in str(open_again.unrestored[0].error)
        assert "queue 'bad'" in caplog.text
        broker.publish("amq.fanout", "", b"to the rest")
        assert (await anext(good)).body == b"to the rest"
        with pytest.raises((ChannelClosed, ConsumerCancelled)):
            await anext(bad)
        assert "'bad'" not in str(connection.topology)
        changes = connection.state_changes()
        await lose(connection)
        assert [(await anext(changes)).unrestored for _ in range(2)] == [(), ()]


@both
async def test_a_loop_over_a_consumer_that_the_server_cancels_ends(
    broker: FakeBroker, opened: Any
) -> None:
    """R17."""
    async with opened() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        messages = channel.consume("q")
        waiting = asyncio.create_task(anext(messages))
        await broker.wait_for(lambda: broker.vhost.queues["q"].consumer_count)

        await channel.queue_delete("q")

        with pytest.raises(ConsumerCancelled):
            await waiting
        await channel.queue_declare("q", durable=True)
        broker.publish("", "q", b"again")
        assert (await anext(channel.consume("q"))).body == b"again"


TIMED_OUT = (
    "delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms. This timeout"
    " value can be configured, see consumers doc guide to learn more"
)


async def test_an_acknowledgement_timeout_restarts_the_consumer_once(broker: FakeBroker) -> None:
    """R18."""
    ended: list[Exception] = []
    async with recovering() as connection:
        channel = await connection.channel(on_close=ended.append)
        other = await connection.channel()
        await channel.queue_declare("q", durable=True)
        broker.publish("", "q", b"slow")
        messages = channel.consume("q", consumer_tag="slow one")
        first = await anext(messages)
        broker.faults.add(CloseChannel(406, TIMED_OUT, channel=channel.channel_id))
        await broker.wait_idle()

        second = await anext(messages)
        assert second.body == b"slow"
        assert second.envelope.is_redeliver
        assert not await first.ack()
        assert channel.is_open
        assert ended == []
        await other.queue_declare("q", passive=True)
        await broker.wait_idle()
        assert [len(session.channels) for session in broker.sessions] == [2]

        broker.faults.add(CloseChannel(406, TIMED_OUT, channel=channel.channel_id))
        with pytest.raises(AcknowledgementTimeout, match="'slow one'") as caught:
            await anext(messages)
        assert (caught.value.consumer_tag, caught.value.delivery_tag) == (
            "slow one",
            second.envelope.delivery_tag,
        )
        await broker.wait_idle()
        assert [type(error) for error in ended] == [AcknowledgementTimeout]
        await other.queue_declare("q", passive=True)


async def test_a_connection_recovers_from_a_handler_that_blocks_the_loop(
    broker: FakeBroker,
) -> None:
    """R22."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with recovering(heartbeat=10) as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        seen: Counter[bytes] = Counter()
        has_blocked = False

        async def block(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
            nonlocal has_blocked
            if not has_blocked:
                has_blocked = True
                loop.advance(35)  # as time.sleep would
            if await channel.basic_client_ack(envelope.delivery_tag):
                seen[body] += 1

        for number in range(5):
            broker.publish("", "q", bytes([number]), delivery_mode=2)
        await channel.basic_consume(block, "q")
        await broker.wait_for(lambda: len(seen) == 5, timeout=300)
        await broker.wait_idle()

        assert connection.state is ConnectionState.OPEN
        assert broker.vhost.queues["q"].message_count == 0
        assert broker.vhost.queues["q"].unacked_count == 0


async def test_channels_and_reconnects_leave_nothing_behind(broker: FakeBroker) -> None:
    """R23."""
    async with recovering() as connection:
        kept = await connection.channel()
        messages = kept.consume("q")

        async def use() -> None:
            channel = await connection.channel()
            await channel.queue_declare("q", durable=True)
            broker.publish("", "q", b"", delivery_mode=2)
            await (await anext(messages)).ack()
            async with channel.consume("q"):
                pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await anext(connection.state_changes())
            await channel.close()
            await lose(connection)

        await kept.queue_declare("q", durable=True)
        for _ in range(5):
            await use()
        before = client_objects()
        for _ in range(30):
            await use()

        assert client_objects() - before == Counter()
        assert str(connection.topology).count("\n") == 1  # the queue and a consumer
        await messages.aclose()


def client_objects() -> Counter[str]:
    """Count what the client has made, futures and tasks."""
    gc.collect()
    kinds = [type(each) for each in gc.get_objects()]
    return Counter(
        kind.__qualname__
        for kind in kinds
        if str(kind.__module__).startswith("aioamqp.") or issubclass(kind, asyncio.Future)
    )


async def test_credentials_are_asked_for_again_until_they_are_accepted(broker: FakeBroker) -> None:
    """R24."""
    broker.add_user("service", "token 1")
    broker.set_permissions("service")
    token, asked = "token 1", 0

    async def credentials() -> tuple[str, str]:
        nonlocal asked, token
        asked += 1
        if asked == 4:
            token = "token 2"
        return "service", token

    async with recovering(credentials=credentials) as connection:
        channel = await connection.channel()
        broker.change_password("service", "token 2")
        await lose(connection)

        await channel.queue_declare("q", durable=True)
        assert asked == 4


async def test_a_refused_login_without_credentials_to_ask_for_ends_it(broker: FakeBroker) -> None:
    """R24."""
    async with recovering() as connection:
        broker.faults.add(RefuseLogin())
        broker.close_all_connections("bye")

        with pytest.raises(AmqpClosedConnection, match="ACCESS_REFUSED"):
            while True:
                await connection.channel(timeout=1)


@both
@pytest.mark.parametrize("is_coroutine", [True, False])
async def test_a_callback_that_raises_is_logged_once_and_harms_nothing(
    broker: FakeBroker, opened: Any, is_coroutine: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """R25."""

    def fail(*_: object) -> None:
        raise ValueError("of the callback")

    async def fail_later(*_: object) -> None:
        fail()

    callback: Any = fail_later if is_coroutine else fail
    async with opened() as connection:
        channel = await connection.channel(return_callback=callback, on_close=callback)
        await channel.queue_declare("q", durable=True)
        await channel.basic_consume(callback, "q", consumer_tag="t")
        channel.add_cancellation_callback(callback)
        broker.publish("", "q")
        broker.publish("", "q")
        await broker.wait_idle()
        await channel.basic_publish(b"", "amq.direct", "none", mandatory=True)
        await broker.wait_idle()
        assert broker.vhost.queues["q"].unacked_count == 2
        await delete_queue(broker, "q")
        await asyncio.sleep(1)  # a Connection finds out first that the queue is gone
        with suppress(ChannelClosed):
            await channel.queue_declare("q", passive=True)
        await (await connection.channel()).queue_declare("alive", durable=True)
        await broker.wait_idle()

    errors = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(errors) == 5, errors
    assert sum("on_close" in each for each in errors) == 1
