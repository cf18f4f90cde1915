"""Heartbeat arithmetic, without a clock."""

from math import inf

from aioamqp._connection.heartbeat import Heartbeat, Verdict


def test_without_an_interval_no_heartbeat_is_sent_or_expected() -> None:
    heartbeat = Heartbeat(0, now=5)

    assert heartbeat.check(1e9) is Verdict.WAIT
    assert heartbeat.next_check() == inf


def test_a_heartbeat_is_due_a_whole_interval_after_the_last_write() -> None:
    heartbeat = Heartbeat(10, now=0)
    heartbeat.last_sent = 3
    heartbeat.last_received = 12

    assert heartbeat.check(12.9) is Verdict.WAIT
    assert heartbeat.check(13) is Verdict.SEND
    assert heartbeat.next_check() == 13


def test_the_peer_is_dead_after_two_intervals_of_silence() -> None:
    heartbeat = Heartbeat(10, now=0)
    heartbeat.last_sent = 19

    assert heartbeat.check(19.9) is Verdict.WAIT
    assert heartbeat.check(20) is Verdict.DEAD
    assert heartbeat.next_check() == 20


def test_any_byte_from_the_peer_counts_as_a_heartbeat() -> None:
    heartbeat = Heartbeat(10, now=0)
    heartbeat.last_received = heartbeat.last_sent = 15

    assert heartbeat.check(24.9) is Verdict.WAIT


def test_silence_is_ignored_while_reading_is_paused() -> None:
    heartbeat = Heartbeat(10, now=0)
    heartbeat.pause_reading()
    heartbeat.last_sent = 100

    assert heartbeat.check(100) is Verdict.WAIT
    assert heartbeat.next_check() == 110

    heartbeat.resume_reading(now=105)

    assert heartbeat.check(109) is Verdict.WAIT
    assert heartbeat.check(125) is Verdict.DEAD
