"""Subclasses that override handlers of aioamqp 0.15."""

import inspect
import warnings
from typing import Any

import pytest

from aioamqp import AmqpProtocol
from aioamqp._overrides import OF_CHANNEL, OF_PROTOCOL
from aioamqp.channel import Channel

ALL = [
    *((AmqpProtocol, name, instead) for name, instead in OF_PROTOCOL.items()),
    *((Channel, name, instead) for name, instead in OF_CHANNEL.items()),
]


@pytest.mark.parametrize(("base", "name", "instead"), ALL)
def test_an_overridden_handler_that_is_never_called_is_warned_of(
    base: Any, name: str, instead: str
) -> None:
    """Row U38."""
    with pytest.warns(RuntimeWarning) as caught:
        type("Mine", (base,), {name: lambda self, frame: None})

    (warning,) = caught
    text = f"Mine.{name} is never called, unlike in aioamqp 0.15: {instead}"
    assert str(warning.message) == text
    assert warning.filename == __file__


def test_a_handler_of_a_mixin_is_warned_of_once() -> None:
    """Row U38."""

    class Reads:
        async def run(self) -> None:
            raise NotImplementedError

    with pytest.warns(RuntimeWarning, match=r"Mine\.run is never called"):

        class Mine(Reads, AmqpProtocol):
            pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Its base was warned of.
        type("Yours", (Mine,), {})


def test_methods_that_are_called_may_be_overridden() -> None:
    """Row U38."""
    for base, unused in ((AmqpProtocol, OF_PROTOCOL), (Channel, OF_CHANNEL)):
        public = [
            name
            for name, _ in inspect.getmembers(base, inspect.isfunction)
            if not name.startswith("_") and name not in unused
        ]
        assert {"close"} <= set(public)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            type("Mine", (base,), {name: getattr(base, name) for name in public})


def test_no_handler_that_is_there_again_is_warned_of() -> None:
    """Row U38."""
    there = [f"{base.__name__}.{name}" for base, name, _ in ALL if hasattr(base, name)]

    assert there == [
        "AmqpProtocol.send_heartbeat",  # called by programs
        "AmqpProtocol._heartbeat_send",
        "AmqpProtocol._heartbeat_recv",
    ]
