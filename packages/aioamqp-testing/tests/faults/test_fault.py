"""Faults as values: which arguments are refused, and how a fault is shown."""

from collections.abc import Callable

import pytest

from aioamqp_testing.faults import (
    CloseChannel,
    Corrupt,
    Cut,
    Delay,
    Fault,
    Lose,
    LoseConfirm,
    RefuseLogin,
    Reset,
    Split,
)
from amqp_codec import basic


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Reset(nth=0), "Reset: nth must be 1 (the next occurrence) or more, not 0"),
        (lambda: Reset(times=0), "Reset: times must be 1 or more, or None for every time, not 0"),
        (
            lambda: Reset(received="basic.get", sent="basic.get-ok"),
            "received= and sent= exclude each other",
        ),
        (lambda: Reset(received="basic.pulbish"), "AMQP 0-9-1 has no method 'basic.pulbish'"),
        (
            lambda: LoseConfirm(sent="basic.ack"),
            "LoseConfirm is triggered when a publish is about to be confirmed; remove",
        ),
        (lambda: RefuseLogin(nth=0), "RefuseLogin: nth must be 1"),
        (lambda: RefuseLogin(sent="basic.ack"), "RefuseLogin is triggered by logins"),
        (lambda: Cut(-1), "Cut: after must be 0 bytes or more, not -1"),
        (lambda: Split(0), "Split: size must be 1 byte or more, not 0"),
        (lambda: Split(seconds=-1), "Split: seconds must be 0 or more, not -1"),
        (lambda: Delay(0), "Delay: seconds must be more than 0, not 0"),
        (lambda: Delay(1, received="basic.get"), "delay the reply with sent="),
        (lambda: Lose(), "name the method that is lost"),
        (lambda: Corrupt(octet=256), "octet must be 0 to 255, not 256"),
        (lambda: Corrupt(received="basic.get"), "Corrupt: received= is not supported"),
    ],
)
def test_a_fault_that_can_never_be_triggered_is_refused(
    make: Callable[[], Fault], sentence: str
) -> None:
    with pytest.raises(ValueError) as caught:
        make()

    assert sentence in str(caught.value)


def test_a_fault_shows_only_the_arguments_that_were_given() -> None:
    assert str(Reset()) == "Reset()"
    assert str(Cut(3, nth=2)) == "Cut(nth=2, after=3)"
    assert str(CloseChannel(406, "no", sent="basic.deliver")) == (
        "CloseChannel(sent='basic.deliver', code=406, text='no')"
    )


def test_faults_are_values() -> None:
    assert Reset(nth=2) == Reset(nth=2)
    assert Reset(received=basic.Publish).method_name == "basic.publish"
