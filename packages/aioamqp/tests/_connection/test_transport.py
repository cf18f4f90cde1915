"""The transport as programs get it."""

import asyncio
from typing import Any
from unittest.mock import Mock, call

import pytest

from aioamqp._connection.transport import FlushingTransport
from aioamqp._connection.writer import Writer


@pytest.fixture
def both() -> Mock:
    """A transport and a wire, and the order in which they are called."""
    both = Mock()
    both.attach_mock(Mock(spec=asyncio.Transport), "transport")
    both.attach_mock(Mock(spec=Writer), "wire")
    return both


OWN = {name for cls in asyncio.Transport.__mro__[:-1] for name in vars(cls) if name[0] != "_"}


@pytest.mark.parametrize("name", sorted(OWN - {"close", "write", "writelines", "write_eof"}))
def test_the_transport_does_it(both: Mock, name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "get_extra_info": ("socket", None),
        "set_protocol": (asyncio.Protocol(),),
        "set_write_buffer_limits": (10, 5),
    }
    given = arguments.get(name, ())

    result = getattr(FlushingTransport(both.transport, both.wire), name)(*given)

    assert both.mock_calls == [getattr(call.transport, name)(*given)]
    if name.startswith(("get", "is", "can")):
        assert result is getattr(both.transport, name).return_value


@pytest.mark.parametrize(
    ("name", "given"), [("close", ()), ("write_eof", ()), ("write", (b"octets",))]
)
def test_what_is_gathered_goes_first(both: Mock, name: str, given: tuple[bytes, ...]) -> None:
    getattr(FlushingTransport(both.transport, both.wire), name)(*given)

    assert both.mock_calls == [call.wire.flush(), getattr(call.transport, name)(*given)]


def test_what_only_the_transport_knows_can_be_asked_for(both: Mock) -> None:
    both.transport.pair = "a socket"

    assert FlushingTransport(both.transport, both.wire).pair == "a socket"
