"""Heartbeats, both ways."""

from amqp_codec import HEARTBEAT, basic, channel
from fake_broker_support import SilentClient


def test_the_broker_beats_when_it_has_been_quiet_for_half_the_interval() -> None:
    """Row 52."""
    client = SilentClient().open(1, heartbeat=4)

    client.clock.advance(1.5)
    client.say(1, basic.Qos())
    client.clock.advance(1.5)
    assert client.heard() == []

    client.clock.advance(0.5)
    assert client.heard() == [HEARTBEAT]
    client.clock.advance(2)
    assert client.heard() == [HEARTBEAT]


def test_a_client_that_is_silent_for_two_intervals_is_reset() -> None:
    """Row 52."""
    client = SilentClient().open(1, heartbeat=2)

    client.clock.advance(5.9)
    assert client.session.is_open
    client.clock.advance(0.1)

    assert client.session.ending is not None
    assert client.vhost.queues == {}


def test_any_byte_keeps_a_connection_alive() -> None:
    client = SilentClient().open(1, heartbeat=2)

    for _ in range(10):
        client.clock.advance(3)
        client.frame(8, 0, b"")

    assert client.session.is_open


def test_without_heartbeats_nobody_looks(client: SilentClient) -> None:
    client.clock.advance(100_000)

    assert client.session.is_open
    assert client.heard() == []


def test_a_short_heartbeat_shortens_the_wait_for_close_ok() -> None:
    """Row 46."""
    client = SilentClient().open(1, heartbeat=5)
    client.say(1, channel.Open())

    for _ in range(4):
        client.clock.advance(1)
        client.frame(8, 0, b"")
    assert client.session.ending is None
    client.clock.advance(1)
    assert client.session.ending is not None
