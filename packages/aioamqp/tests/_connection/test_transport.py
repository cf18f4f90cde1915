"""The transport that programs get from connect()."""

import asyncio
from typing import Any
from unittest.mock import Mock, call

import pytest

from aioamqp._connection.gate import Gate
from aioamqp._connection.heartbeat import Heartbeat
from aioamqp._connection.read_flow import ReadFlow
from aioamqp._connection.transport import FlushingTransport
from aioamqp._connection.writer import Writer


@pytest.fixture
def transport() -> Mock:
    transport = Mock(spec=asyncio.Transport, pair="a socket")
    transport.is_closing.return_value = False
    return transport


@pytest.fixture
def writer(transport: Mock) -> Writer:
    loop = Mock(spec=asyncio.AbstractEventLoop)
    read_flow = ReadFlow(0, Mock(), Mock(), Mock())
    return Writer(transport, loop, Heartbeat(0, 0), Gate(loop), read_flow)


OWN = {name for cls in asyncio.Transport.__mro__[:-1] for name in vars(cls) if name[0] != "_"}


@pytest.mark.parametrize("name", sorted(OWN - {"close", "write", "writelines", "write_eof"}))
def test_calls_are_passed_to_the_transport(transport: Mock, writer: Writer, name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "get_extra_info": ("socket", None),
        "set_protocol": (asyncio.Protocol(),),
        "set_write_buffer_limits": (10, 5),
    }
    given = arguments.get(name, ())
    flushing = FlushingTransport(transport, writer)
    writer.write(b"written")
    writer.write(b"buffered")
    transport.reset_mock()

    result = getattr(flushing, name)(*given)

    assert transport.mock_calls == [getattr(call, name)(*given)]
    if name.startswith(("get", "is", "can")):
        assert result is getattr(transport, name).return_value


@pytest.mark.parametrize(
    ("name", "given"), [("close", ()), ("write_eof", ()), ("write", (b"data",))]
)
def test_the_write_buffer_is_flushed_first(
    transport: Mock, writer: Writer, name: str, given: tuple[bytes, ...]
) -> None:
    flushing = FlushingTransport(transport, writer)
    writer.write(b"written")
    writer.write(b"buffered")
    transport.reset_mock()
    transport.is_closing.return_value = False

    getattr(flushing, name)(*given)

    assert transport.mock_calls == [
        call.is_closing(),
        call.write(b"buffered"),
        getattr(call, name)(*given),
    ]


def test_other_attributes_of_the_transport_can_be_read(transport: Mock, writer: Writer) -> None:
    assert FlushingTransport(transport, writer).pair == "a socket"
