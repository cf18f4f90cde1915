"""Section 2 of the contract with aioamqp 0.15: channels and channel ids."""

import logging

import pytest

import aioamqp
from amqp_codec import Command, channel, connection, queue
from callbacks_seen import Recorder
from publishers import returned
from scripted_server import ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect

pytestmark = pytest.mark.asyncio


async def test_channels_are_numbered_from_1_and_released_numbers_come_first(
    server: ScriptedServer,
) -> None:
    """B13."""
    protocol = await server.connect()
    first, second, third = [await protocol.channel() for _ in range(3)]
    assert [each.channel_id for each in (first, second, third)] == [1, 2, 3]

    await second.close()

    assert (await protocol.channel()).channel_id == 2
    assert (await protocol.channel()).channel_id == 4
    await protocol.close()


async def test_channels_ids_count_is_the_number_of_channels_in_use(server: ScriptedServer) -> None:
    """B13."""
    protocol = await server.connect()
    counts = [protocol.channels_ids_count]
    first, second = await protocol.channel(), await protocol.channel()
    counts.append(protocol.channels_ids_count)
    server.mute(channel.Close)
    closing = first.close(timeout=1)
    with pytest.raises(TimeoutError):  # its channel id is not free before close-ok
        await closing
    counts.append(protocol.channels_ids_count)
    server.send(channel.CloseOk(), channel=1)
    await wait_idle()
    counts.append(protocol.channels_ids_count)
    server.send(channel.Close(404, "NOT_FOUND"), channel=second.channel_id)
    await wait_idle()
    counts.append(protocol.channels_ids_count)
    await protocol.channel()
    server.transport.close()
    await protocol.wait_closed()
    counts.append(protocol.channels_ids_count)

    assert counts == [0, 2, 2, 1, 0, 0]


async def test_a_channel_max_of_0_means_no_limit(server: ScriptedServer) -> None:
    """B14."""
    server.answers[connection.StartOk] = lambda _: connection.Tune(0, 131072, 60)
    protocol = await server.connect()

    opened = [await protocol.channel() for _ in range(100)]

    assert protocol.server_channel_max == 0
    assert [each.channel_id for each in opened] == list(range(1, 101))
    await protocol.close()


async def test_a_third_channel_is_not_available_with_a_channel_max_of_2(connect: Connect) -> None:
    """B14. The connection stays open; 0.15 opened one channel too many and lost the connection."""
    protocol = await connect(channel_max=2)
    first, second = await protocol.channel(), await protocol.channel()
    assert (first.channel_id, second.channel_id) == (1, 2)

    with pytest.raises(aioamqp.NoChannelAvailable):
        await protocol.channel()

    await second.close()
    assert (await protocol.channel()).channel_id == 2
    assert (await first.queue_declare(exclusive=True))["message_count"] == 0


async def test_the_return_callback_is_an_argument_or_assigned_later(server: ScriptedServer) -> None:
    """B15."""
    early, late = Recorder(), Recorder()
    protocol = await server.connect()
    opened = await protocol.channel(return_callback=early)

    server.send(returned(b"1"))
    await wait_idle()
    opened.return_callback = late
    server.send(returned(b"2"))
    await wait_idle()

    assert (early.bodies, late.bodies) == ([b"1"], [b"2"])
    await protocol.close()


async def test_a_frame_for_an_unknown_channel_is_logged_and_dropped(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """B16."""
    caplog.set_level(logging.INFO)
    opened = await server.open_channel()

    server.send(Command(7, queue.DeclareOk("q")), returned(b"of channel 1"))
    await wait_idle()

    ours = [record for record in caplog.records if "channel 7" in record.getMessage()]
    assert [(each.name, each.levelno) for each in ours] == [("aioamqp.protocol", logging.INFO)]
    assert (await opened.queue_declare("q"))["queue"] == "q"
    await opened.protocol.close()
