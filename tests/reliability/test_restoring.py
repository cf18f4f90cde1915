"""What is restored when nearly everything is against it."""

import asyncio
import logging

import pytest

from aioamqp import Channel, ConnectionState, Properties
from aioamqp._recovery.topology import Recover
from aioamqp.exceptions import (
    ChannelClosed,
    HandshakeFailed,
    InvalidArgument,
    NoChannelAvailable,
)
from aioamqp.publisher import Resend
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import CloseChannel, Lose, RefuseLogin, Send, Silence
from amqp_codec import Method
from amqp_codec import connection as methods
from tests.reliability.breakable import break_off
from tests.reliability.test_rows import lose, recovering

pytestmark = pytest.mark.asyncio


async def test_all_channels_are_restored_if_there_is_no_number_left(broker: FakeBroker) -> None:
    """R10, R13. Declaring needs a channel, too."""
    async with recovering(channel_max=2) as connection:
        channels = [await connection.channel() for _ in range(2)]
        for number, channel in enumerate(channels):
            await channel.queue_declare(f"q{number}", exclusive=True)
        loops = [channel.consume(f"q{number}") for number, channel in enumerate(channels)]
        for messages in loops:
            await messages.__aenter__()
        for _ in range(2):
            await lose(connection)

            for number, messages in enumerate(loops):
                broker.publish("", f"q{number}", b"there")
                assert (await anext(messages)).body == b"there"
        assert all(channel.is_open for channel in channels)


async def test_a_consumer_without_its_queue_ends_alone_if_there_is_no_number_left(
    broker: FakeBroker,
) -> None:
    """R16."""
    async with recovering(channel_max=1, recover="none") as connection:
        channel = await connection.channel()
        await channel.queue_declare("gone", exclusive=True)
        await channel.queue_declare("kept", durable=True)
        gone, kept = channel.consume("gone"), channel.consume("kept")
        await gone.__aenter__()
        await kept.__aenter__()
        await lose(connection)

        with pytest.raises(ChannelClosed, match="no queue 'gone'"):
            await anext(gone)
        broker.publish("", "kept", b"there")
        assert (await anext(kept)).body == b"there"


@pytest.mark.parametrize("heartbeat", [10, 60])
async def test_an_exclusive_queue_is_restored_when_the_server_has_noticed_the_half_open_link(
    broker: FakeBroker, heartbeat: int, caplog: pytest.LogCaptureFixture
) -> None:
    """R12, R15."""
    async with recovering(heartbeat=heartbeat, recover="all") as connection:
        channel = await connection.channel()
        await channel.queue_declare("mine", exclusive=True)
        messages = channel.consume("mine")
        await messages.__aenter__()
        broker.faults.add(Silence(connection=1))
        await asyncio.sleep(5 * heartbeat)
        caplog.clear()
        await asyncio.sleep(60)

        assert broker.vhost.queues["mine"].consumer_count == 1
        assert caplog.records == []
        broker.publish("", "mine", b"there")
        assert (await anext(messages)).body == b"there"


@pytest.mark.parametrize("names", [["mine"], ["auto"], ["mine", "auto"], ["auto", "mine"]])
async def test_what_ends_with_the_half_open_link_is_declared_again(
    broker: FakeBroker, names: list[str]
) -> None:
    """R12, R15. RabbitMQ: an auto-delete exchange ends with its last binding, a queue its consumer."""
    async with recovering(heartbeat=10) as connection:
        channel = await connection.channel()
        await channel.exchange_declare("above", "fanout", auto_delete=True)
        await channel.exchange_declare("events", "fanout", auto_delete=True)
        await channel.exchange_bind("events", "above", "")
        loops = {}
        for name in names:
            if name == "mine":
                await channel.queue_declare(name, exclusive=True)
            else:
                await channel.queue_declare(name, durable=True, auto_delete=True)
            await channel.queue_bind(name, "events", "")
            loops[name] = channel.consume(name, exclusive=True)
            await loops[name].__aenter__()
        broker.faults.add(Silence(connection=1))
        await asyncio.sleep(120)

        assert connection.is_healthy
        broker.publish("above", "", b"there")
        for messages in loops.values():
            assert (await anext(messages)).body == b"there"
        topology = connection.topology
        assert (len(topology.exchanges), len(topology.bindings)) == (2, 1 + len(names))


async def test_trying_again_is_logged_once(
    broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """R15."""
    caplog.set_level(logging.INFO)
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("mine", exclusive=True)
        locked = "cannot obtain exclusive access to locked queue 'mine' in vhost '/'."
        broker.faults.add(
            CloseChannel(405, locked, received="queue.declare", connection=2, times=5)
        )
        await lose(connection)
        caplog.clear()
        await asyncio.sleep(60)

        assert "mine" in broker.vhost.queues
        lines = [record.getMessage() for record in caplog.records if "mine" in record.getMessage()]
        assert len(lines) <= 1, lines


async def test_a_queue_that_stays_locked_is_given_up_and_named_in_the_end(
    broker: FakeBroker,
) -> None:
    """R15."""
    async with recovering(heartbeat=10) as connection:
        channel = await connection.channel()
        await channel.queue_declare("mine", exclusive=True)
        await channel.queue_bind("mine", "amq.fanout", "")
        locked = "cannot obtain exclusive access to locked queue 'mine' in vhost '/'."
        broker.faults.add(
            CloseChannel(405, locked, received="queue.declare", connection=2, times=None)
        )
        await lose(connection)
        changes = connection.state_changes()

        given_up = await anext(changes)

        assert (given_up.old, given_up.new) == (ConnectionState.OPEN, ConnectionState.OPEN)
        assert given_up.unrestored[0].what == "queue 'mine' (exclusive)"
        assert str(connection.topology) == "nothing"


async def test_what_is_tried_again_is_left_to_the_next_connection_after_a_loss(
    broker: FakeBroker,
) -> None:
    """R15. The channel must not wait for the connection before."""
    in_use = "queue 'q' in vhost '/' in exclusive use"
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        messages = channel.consume("q", exclusive=True)
        await messages.__aenter__()
        for number in (2, 3):
            broker.faults.add(
                CloseChannel(403, in_use, received="basic.consume", connection=number)
            )
            await lose(connection)
        await asyncio.sleep(10)

        await channel.queue_declare("q", passive=True, timeout=5)
        broker.publish("", "q", b"there")
        assert (await anext(messages)).body == b"there"


async def test_a_consumer_that_is_tried_again_has_its_own_limit(broker: FakeBroker) -> None:
    """R15."""
    in_use = "queue 'q' in vhost '/' in exclusive use"
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)
        await channel.queue_declare("other", durable=True)
        messages = channel.consume("q", exclusive=True, prefetch_count=2)
        await messages.__aenter__()
        await channel.basic_qos(prefetch_count=7)
        broker.faults.add(
            CloseChannel(403, in_use, received="basic.consume", connection=2, times=2)
        )
        await lose(connection)
        await broker.wait_for(lambda: broker.vhost.queues["q"].consumer_count, timeout=60)
        for _ in range(20):
            broker.publish("", "q")
            broker.publish("", "other")
        await channel.basic_consume(ignore, "other")
        await broker.wait_idle()

        assert broker.vhost.queues["q"].unacked_count == 2
        assert broker.vhost.queues["other"].unacked_count == 7


async def ignore(channel: Channel, body: bytes, envelope: object, properties: object) -> None:
    """Leave a message unacknowledged."""


async def test_a_reply_that_is_lost_during_recovery_costs_one_connection_only(
    broker: FakeBroker,
) -> None:
    """R6, R13."""
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("mine", exclusive=True)
        messages = channel.consume("mine")
        await messages.__aenter__()
        for number, method in enumerate(
            ("channel.open", "queue.declare", "basic.consume", "basic.qos", "channel.close")
        ):
            broker.faults.add(Lose(received=method))
            before = len(broker.faults.missed)
            assert before == 1, number
            await lose(connection)
            await connection.wait_open()
            await channel.queue_declare("mine", exclusive=True)
            broker.publish("", "mine", method)
            assert (await anext(messages)).body == method.encode()


@pytest.mark.parametrize(
    ("recover", "names"),
    [
        ("all", ["auto", "durable", "gone", "mine"]),
        ("transient", ["auto", "mine"]),
        ("none", []),
    ],
)
async def test_recover_says_what_is_declared_again(
    broker: FakeBroker, recover: Recover, names: list[str]
) -> None:
    """R16. A queue that is durable may be deleted on purpose while the link is down."""
    async with recovering(recover=recover) as connection:
        channel = await connection.channel()
        await channel.exchange_declare("events", "fanout")
        await channel.queue_declare("durable", durable=True)
        await channel.queue_declare("gone", durable=True)
        await channel.queue_declare("mine", exclusive=True)
        await channel.queue_declare("auto", auto_delete=True, durable=True)
        for name in ("durable", "gone", "mine", "auto"):
            await channel.queue_bind(name, "events", "")
        await broker.stop()
        for name in ("durable", "gone", "auto"):
            del broker.vhost.queues[name]
        del broker.vhost.exchanges["events"]
        await broker.start()
        await connection.wait_open()

        assert sorted(broker.vhost.queues) == names
        assert ("events" in broker.vhost.exchanges) == (recover != "none")
        if names:
            broker.publish("events", "")
            bound = [name for name, queue in broker.vhost.queues.items() if queue.message_count]
            assert sorted(bound) == names
        assert set(connection.topology.queues) == {"durable", "gone", "mine", "auto"}


async def test_on_close_of_a_channel_is_called_once_when_the_connection_gives_up(
    broker: FakeBroker,
) -> None:
    """R25."""
    ended: list[Exception] = []
    errors: list[Exception] = []
    async with recovering(on_error=errors.append) as connection:
        channel = await connection.channel(on_close=ended.append)
        broker.faults.add(RefuseLogin())
        waiting = asyncio.ensure_future(channel.wait_closed())
        broker.close_all_connections("bye")
        await waiting
        await broker.wait_idle()

        assert len(ended) == len(errors) == 1
        assert isinstance(ended[0], HandshakeFailed)
        assert ended == errors


async def test_on_close_of_a_channel_is_not_called_while_it_recovers_or_is_closed(
    broker: FakeBroker,
) -> None:
    """R25."""
    ended: list[Exception] = []
    async with recovering(on_error=ended.append) as connection:
        await connection.channel(on_close=ended.append)
        await lose(connection)
    await broker.wait_idle()

    assert ended == []


@pytest.mark.parametrize("turns", range(5))
async def test_on_close_is_not_called_for_a_channel_that_is_opened_on_the_next_connection(
    broker: FakeBroker, turns: int
) -> None:
    """R25."""
    ended: list[Exception] = []
    async with recovering() as connection:
        opening = asyncio.ensure_future(connection.channel(on_close=ended.append))
        for _ in range(turns):
            await asyncio.sleep(0)
        break_off(connection)

        channel = await opening

        await channel.basic_qos(prefetch_count=1)
        assert ended == []
        with pytest.raises(ChannelClosed):
            await channel.queue_declare("none", passive=True)
        await broker.wait_idle()
        assert len(ended) == 1


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_consumer_callback_may_close_its_connection(
    broker: FakeBroker, is_lost: bool
) -> None:
    """R4, R6."""
    done = asyncio.Event()
    async with recovering() as connection:
        channel = await connection.channel()
        await channel.queue_declare("q", durable=True)

        async def close(channel: Channel, body: bytes, envelope: object, _: object) -> None:
            if is_lost:
                break_off(connection)
            async with asyncio.timeout(20):
                await connection.close()
            done.set()

        await channel.basic_consume(close, "q")
        broker.publish("", "q")
        await done.wait()

        assert connection.state is ConnectionState.CLOSED


async def test_the_server_may_change_its_limits(broker: FakeBroker) -> None:
    """R10, R16. The next server may allow fewer channels."""
    async with recovering(channel_max=3) as connection:
        channels = [await connection.channel() for _ in range(3)]
        broker.faults.add(Send(tuning(2), received="connection.start-ok", connection=2))
        broker.faults.add(Lose(sent="connection.tune", connection=2))
        changes = connection.state_changes()
        await lose(connection)
        unrestored = [(await anext(changes)).unrestored for _ in range(2)][1]

        assert [each.what for each in unrestored] == ["channel 3"]
        assert isinstance(unrestored[0].error, NoChannelAvailable)
        assert [channel.is_open for channel in channels] == [True, True, False]
        with pytest.raises(ChannelClosed) as caught:
            await channels[2].queue_declare("q", durable=True)
        assert isinstance(caught.value.__cause__, NoChannelAvailable)
        await channels[0].queue_declare("q", durable=True)


@pytest.mark.parametrize("resend", ["never", "unsent", "unconfirmed"])
async def test_a_message_that_is_too_large_for_the_next_server_leaves_the_window_of_its_publisher(
    broker: FakeBroker, resend: Resend
) -> None:
    """R23. Or else ``flush`` would never return."""
    async with recovering() as connection:
        channel = await connection.channel()
        publisher = channel.publisher("", routing_key="q", resend=resend, max_unconfirmed=1)
        broker.faults.add(
            Send(tuning(100, frame_max=8192), received="connection.start-ok", connection=2)
        )
        broker.faults.add(Lose(sent="connection.tune", connection=2))
        break_off(connection)
        properties = {"headers": {"large": "x" * 20000}}

        with pytest.raises(InvalidArgument, match=r"the properties take .* but a frame holds"):
            await publisher.publish(b"", properties=properties)

        assert publisher.unconfirmed == 0
        await publisher.flush(timeout=5)
        await publisher.publish(b"small", timeout=5)


async def test_properties_of_a_publisher_may_be_too_large_for_the_next_server(
    broker: FakeBroker,
) -> None:
    """R23. What is encoded once for all messages was checked for another frame-max."""
    async with recovering() as connection:
        channel = await connection.channel()
        properties = {"headers": {"large": "x" * 20000}}
        publisher = channel.publisher("", routing_key="q", properties=properties)
        await publisher.publish(b"large")
        broker.faults.add(
            Send(tuning(100, frame_max=8192), received="connection.start-ok", connection=2)
        )
        broker.faults.add(Lose(sent="connection.tune", connection=2))
        await lose(connection)

        with pytest.raises(InvalidArgument, match=r"the properties take .* but a frame holds"):
            await publisher.publish(b"large")
        assert publisher.unconfirmed == 0
        await publisher.publish(b"small", properties=Properties(), timeout=5)


def tuning(channel_max: int, frame_max: int = 131072) -> Method:
    return methods.Tune(channel_max, frame_max, 60)
