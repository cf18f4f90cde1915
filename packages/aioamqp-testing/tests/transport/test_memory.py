"""Transports in memory behave as those of asyncio."""

import asyncio
import threading

import pytest

from aioamqp_testing.transport.memory import MemoryTransport, connect
from fake_broker_support import Recorder

pytestmark = pytest.mark.asyncio


class Pair:
    def __init__(self, *, keep_open: bool = False) -> None:
        self.client, self.server = Recorder(keep_open=keep_open), Recorder(keep_open=keep_open)
        self.near, self.far = connect(self.client, self.server, client_name=("here", 1))
        self.client.events.clear()
        self.server.events.clear()


async def iterations(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_both_protocols_are_connected_and_the_transports_know_their_names() -> None:
    client, server = Recorder(), Recorder()

    near, far = connect(client, server, client_name=("a", 1), server_name=("b", 2))

    assert client.events == server.events == ["made"]
    assert near.get_extra_info("sockname") == far.get_extra_info("peername") == ("a", 1)
    assert near.get_extra_info("peername") == far.get_extra_info("sockname") == ("b", 2)
    assert near.get_protocol() is client


async def test_each_write_arrives_in_its_order_and_as_a_piece_of_its_own() -> None:
    pair = Pair()

    pair.near.write(b"one")
    pair.near.writelines([b"t", b"wo"])
    pair.near.write(b"")
    pair.far.write(b"answer")
    assert pair.server.events == []

    await iterations()
    assert pair.server.events == [b"one", b"two"]
    assert pair.client.events == [b"answer"]


async def test_what_is_written_is_copied() -> None:
    pair = Pair()
    buffer = bytearray(b"abc")

    pair.near.write(memoryview(buffer))
    buffer[:] = b"xyz"

    await iterations()
    assert pair.server.events == [b"abc"]


async def test_a_protocol_can_be_replaced() -> None:
    pair, other = Pair(), Recorder()

    pair.far.set_protocol(other)
    pair.near.write(b"x")

    await iterations()
    assert (pair.server.events, other.events) == ([], [b"x"])


async def test_what_comes_while_reading_is_paused_is_kept() -> None:
    pair = Pair()
    pair.far.pause_reading()
    assert not pair.far.is_reading()

    pair.near.write(b"1")
    pair.near.write(b"2")
    await iterations()
    assert pair.server.events == []
    assert pair.near.get_write_buffer_size() == 2

    pair.far.resume_reading()
    await iterations()
    assert pair.far.is_reading()
    assert pair.server.events == [b"1", b"2"]


async def test_reading_can_be_paused_between_two_pieces() -> None:
    pair = Pair()

    class Pausing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            pair.far.pause_reading()

    pausing = Pausing()
    pair.far.set_protocol(pausing)
    pair.near.write(b"1")
    pair.near.write(b"2")

    await iterations()
    assert pausing.events == [b"1"]
    pair.far.resume_reading()
    await iterations()
    assert pausing.events == [b"1", b"2"]


async def test_a_protocol_with_a_buffer_receives_as_much_as_fits_into_it() -> None:
    pair = Pair()
    received: list[bytes] = []
    hints: list[int] = []

    class Buffered(asyncio.BufferedProtocol):
        buffer = bytearray(4)

        def get_buffer(self, sizehint: int) -> bytearray:
            hints.append(sizehint)
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            received.append(bytes(self.buffer[:nbytes]))

        def eof_received(self) -> None:
            received.append(b"end")

    pair.far.set_protocol(Buffered())
    pair.near.write(b"0123456789")
    pair.near.write_eof()

    await iterations()
    assert received == [b"0123", b"4567", b"89", b"end"]
    assert hints == [10, 6, 2]


async def test_writing_is_paused_above_the_high_limit_and_resumed_at_the_low_one() -> None:
    pair = Pair()
    pair.near.set_write_buffer_limits(high=10, low=4)
    pair.far.pause_reading()

    pair.near.write(b"x" * 10)
    assert pair.client.events == []
    pair.near.write(b"x")
    pair.near.write(b"x")
    assert pair.client.events == ["pause"]

    pair.far.resume_reading()
    await iterations()
    assert pair.client.events == ["pause", "resume"]


async def test_one_limit_sets_the_other_and_low_must_not_exceed_high() -> None:
    pair = Pair()

    pair.near.set_write_buffer_limits(high=100)
    assert pair.near.get_write_buffer_limits() == (25, 100)
    pair.near.set_write_buffer_limits(low=100)
    assert pair.near.get_write_buffer_limits() == (100, 400)
    pair.near.set_write_buffer_limits()
    assert pair.near.get_write_buffer_limits() == (16384, 65536)
    with pytest.raises(ValueError, match="low must be 0 to 1"):
        pair.near.set_write_buffer_limits(high=1, low=2)


async def test_close_delivers_what_was_written_and_then_the_end() -> None:
    pair = Pair()

    pair.near.write(b"last words")
    pair.near.close()
    pair.near.close()
    assert pair.near.is_closing()

    await iterations()
    assert pair.server.events == [b"last words", "eof", ("lost", type(None))]
    assert pair.client.events == [("lost", type(None))]


async def test_a_closed_transport_neither_reads_nor_writes() -> None:
    pair = Pair(keep_open=True)

    pair.far.write(b"too late")
    pair.near.close()
    pair.near.write(b"too late")

    await iterations()
    assert pair.client.events == [("lost", type(None))]
    assert pair.server.events == ["eof"]


async def test_a_half_closed_transport_still_reads() -> None:
    pair = Pair(keep_open=True)
    assert pair.near.can_write_eof()

    pair.near.write_eof()
    pair.near.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        pair.near.write(b"x")
    await iterations()
    pair.far.write(b"answer")

    await iterations()
    assert pair.server.events == ["eof"]
    assert pair.client.events == [b"answer"]


async def test_abort_resets_the_peer_after_what_was_written() -> None:
    pair = Pair()

    pair.near.write(b"x")
    pair.near.abort()
    pair.near.abort()

    await iterations()
    assert pair.client.events == [("lost", type(None))]
    assert pair.server.events == [b"x", ("lost", ConnectionResetError)]


async def test_writing_to_a_closed_peer_loses_the_connection() -> None:
    pair = Pair(keep_open=True)
    pair.far.abort()
    pair.near.pause_reading()
    await iterations()
    assert pair.client.events == []

    pair.near.write(b"x")

    await iterations()
    assert pair.client.events == [("lost", BrokenPipeError)]


async def test_a_protocol_that_fails_loses_its_connection() -> None:
    pair = Pair()

    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            raise LookupError("a bug")

    failing, reports = Failing(), []
    pair.far.set_protocol(failing)
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    pair.near.write(b"x")
    pair.near.write(b"y")

    await iterations()
    assert [type(report["exception"]) for report in reports] == [LookupError]
    assert failing.events == [("lost", LookupError)]
    assert pair.client.events == [("lost", ConnectionResetError)]


async def test_streams_of_asyncio_work_on_it() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    server = Recorder(keep_open=True)
    near, far = connect(protocol, server)
    writer = asyncio.StreamWriter(near, protocol, reader, loop)

    writer.write(b"question")
    await writer.drain()
    far.write(b"answer")

    assert await reader.readexactly(6) == b"answer"
    writer.close()
    await writer.wait_closed()
    assert server.events == ["made", b"question", "eof"]
    far.close()
    await iterations()


async def test_a_transport_says_what_it_is() -> None:
    pair = Pair()
    assert repr(pair.near) == "<MemoryTransport ('here', 1) open>"

    pair.near.close()
    assert repr(pair.near) == "<MemoryTransport ('here', 1) closing>"
    await iterations()
    assert repr(pair.near) == "<MemoryTransport ('here', 1) closed>"
    assert isinstance(pair.near, MemoryTransport)


async def test_pending_data_can_be_delivered_at_once() -> None:
    """Row U19: also what the peer has only put into its own write buffer."""
    client, server = Recorder(), Recorder()
    near, far = connect(client, server)
    near.write(b"1")
    near.get_extra_info("set_flush")(lambda: near.write(b"2"))

    far.deliver_pending()
    assert server.events == ["made", b"1", b"2"]

    near.write(b"3")
    thread = threading.Thread(target=far.deliver_pending)
    thread.start()
    thread.join()
    assert server.events == ["made", b"1", b"2"]
    near.abort()
    far.abort()
