"""One connection from ``connection_made`` on: what its channels write to, and why it ended."""

import asyncio
from asyncio import get_running_loop
from collections.abc import Callable
from typing import Final

from amqp_codec import HEARTBEAT, Decoder, Method, ReplyCode, connection

from .._advice import DeclaredNames
from .._loggers import protocol_logger
from ..exceptions import AmqpClosedConnection, ProtocolViolation, WrongLoop, reason
from ..instrument import Instrument
from .channel_numbers import ChannelNumbers
from .encoder import Encoder
from .gate import Gate, Reason
from .guards import ForkGuard, LoopGuard
from .handshake import FRAME_MAX
from .heartbeat import Heartbeat
from .heartbeat_timer import HeartbeatTimer
from .read_flow import READ_LIMIT, ReadFlow
from .recorder import Recorder, recorder_for
from .server import MAX_MESSAGE_SIZE, UNKNOWN, Server
from .small_reads import SmallReads
from .transport import TransportCloser
from .writer import Writer

STOP_TIMEOUT: Final = 60.0
"""Seconds without a callback that ends, after which calls whose replies cannot be read fail."""

UNREAD_ANSWERS: Final = 1024 * 1024
"""Bytes of answers that are buffered for a server that does not read."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that the server may take to answer a close unless the caller sets others."""


class ConnectionCore:
    """The parts of one connection, which are made with its transport.

    Args:
        transport: of the connection.
        max_message_size: bytes that a body may have, in either direction; None for the server's
            limit for those that are sent.
        instruments: that the program has given.
        break_off: called with an error when the server misses its heartbeats.
        end_with_loop: called with an error when the event loop ends.
        give_up: called with a text when no reply can be read because of what waits for callbacks.
        detached: called in a forked child, where the connection cannot be used any longer.

    Attributes:
        loop: the event loop that the connection belongs to.
        closer: closes the transport.
        decoder: of what is received.
        encoder: of what is sent.
        writer: has the write buffer.
        gate: where publishers wait.
        ack_gate: where acknowledgements wait, while the write buffer is full.
        read_flow: pauses reading while too much waits for callbacks.
        small_reads: makes the transport read less at a time.
        heartbeat: when bytes were last sent and received.
        numbers: of the channels.
        declared: the names of queues and exchanges.
        recorder: calls the instruments; None if there are none.
        failure: why nothing can be sent any longer; None while the connection is usable.
        is_closed_by_program: whether it is the program that has ended the connection.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        max_message_size: int | None,
        instruments: tuple[Instrument, ...] = (),
        *,
        break_off: Callable[[Exception], None],
        end_with_loop: Callable[[Exception], None],
        give_up: Callable[[str], None],
        detached: Callable[[], None],
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = get_running_loop()
        self.failure: Exception | None = None
        self.is_closed_by_program: bool = False
        self.recorder: Recorder | None = recorder_for(instruments, self.loop)
        self.numbers: ChannelNumbers = ChannelNumbers(0)
        self.declared: DeclaredNames = DeclaredNames()
        self.closer: TransportCloser = TransportCloser(transport)
        self.gate: Gate = Gate(self.loop)
        self.ack_gate: Gate = Gate(self.loop)
        self.heartbeat: Heartbeat = Heartbeat(0, self.loop.time())
        # Not the server's limit: what it delivers may be from a time when that was higher.
        largest = MAX_MESSAGE_SIZE if max_message_size is None else max_message_size
        self.decoder: Decoder = Decoder(FRAME_MAX, largest)
        self.encoder: Encoder = Encoder(FRAME_MAX, UNKNOWN, max_message_size)
        self.read_flow: ReadFlow = ReadFlow(
            READ_LIMIT, self._pause_reading, self._resume_reading, self._watch_stopped_reading
        )
        self.writer: Writer = Writer(
            transport, self.loop, self.heartbeat, self.gate, self.read_flow
        )
        self.small_reads: SmallReads = SmallReads(transport)
        self._transport = transport
        self._give_up = give_up
        self._stop_timer: asyncio.TimerHandle | None = None
        self._unread_answers = 0  # bytes of them since the write buffer has been full
        self._heartbeat_timer = HeartbeatTimer(
            self.heartbeat,
            self.loop,
            self.send_heartbeat,
            break_off,
            lambda: self.needs_heartbeat,
        )
        self._end_with_loop = end_with_loop
        self._loop_guard = LoopGuard(self._flush_and_end)
        self._detached = detached
        self._fork_guard = ForkGuard(transport, self._detach)

    @property
    def server(self) -> Server:
        """What is known of the server."""
        return self.encoder.server

    @property
    def has_tls(self) -> bool:
        """Whether the transport has TLS."""
        return self._transport.get_extra_info("ssl_object") is not None

    @property
    def needs_heartbeat(self) -> bool:
        """Whether either side ends the connection when it receives no heartbeat."""
        is_needed = self._transport.get_extra_info("needs_heartbeat", True)
        return bool(is_needed) and self.heartbeat.interval > 0

    def check_open(self) -> None:
        """Check that the connection can be used here.

        Raises:
            AmqpClosedConnection: it has ended.
            WrongLoop: it belongs to another event loop.
        """
        if self.failure is not None:
            raise AmqpClosedConnection(
                f"The connection is closed: {reason(self.failure)}"
            ) from self.failure
        self.check_loop()

    def check_loop(self) -> None:
        """Check that the connection belongs to the running event loop.

        Raises:
            WrongLoop: it belongs to another one.
        """
        if get_running_loop() is not self.loop:
            raise WrongLoop(
                "The connection belongs to the event loop that it was opened in, and this is"
                " another one; from another thread call"
                " asyncio.run_coroutine_threadsafe(coroutine, loop_of_the_connection)"
            )

    def send(self, channel: int, method: Method) -> None:
        """Write a method that carries no content.

        Raises:
            InvalidArgument: an argument of it cannot be sent; nothing is written.
        """
        data = self.encoder.encode_method(channel, method)
        if self.recorder is not None:
            self.recorder.sent(channel, method)
        self.writer.write(data)

    def set_full(self, is_full: bool) -> None:
        """Stop publishers and acknowledgements while the transport's write buffer is full."""
        self._unread_answers = 0
        for gate in (self.ack_gate, self.gate):
            (gate.close if is_full else gate.open)(Reason.FULL)
        self.writer.set_full(is_full)  # after the gates: those that they wake write first

    def set_blocked(self, is_blocked: bool) -> None:
        """Stop publishers while the server has blocked the connection."""
        (self.gate.close if is_blocked else self.gate.open)(Reason.BLOCKED)

    def answer(self, channel: int, method: Method) -> None:
        """Write the answer to something that the server sent, which may be any number of times.

        Raises:
            ProtocolViolation: the server does not read the answers.
        """
        data = self.encoder.encode_method(channel, method)
        if self.recorder is not None:
            self.recorder.sent(channel, method)
        self.writer.write(data)
        if self.ack_gate.is_busy:
            self._unread_answers += len(data)
            if self._unread_answers > UNREAD_ANSWERS:
                raise ProtocolViolation(
                    ReplyCode.RESOURCE_ERROR,
                    f"it reads no answers such as {method.NAME}, and sends more that needs them",
                )

    def send_heartbeat(self) -> None:
        """Write a heartbeat now."""
        if self.recorder is not None:
            self.recorder.sent(0, HEARTBEAT)
        self.writer.write_heartbeat()

    def apply(self, tune_ok: connection.TuneOk) -> None:
        """Keep to the negotiated limits, and start heartbeats."""
        self.encoder.frame_max = self.decoder.frame_max = tune_ok.frame_max
        self.numbers = ChannelNumbers(tune_ok.channel_max)
        self._heartbeat_timer.start(tune_ok.heartbeat)

    def fail(self, error: Exception, asked_for: bool = False) -> None:
        """Send nothing any longer, and raise an error in every task that waits to send."""
        self.failure = error
        self.is_closed_by_program = asked_for
        if self.recorder is not None:
            self.recorder.ended(error, asked_for)
        self.gate.fail(error)
        self.ack_gate.fail(error)
        self.writer.large.fail(error)
        self.numbers.release_all()
        self._heartbeat_timer.stop()
        self.read_flow.lift()  # the close-ok or the end of the link must be read

    def connection_lost(self) -> None:
        """Stop all timers: the transport is closed."""
        self.closer.connection_lost()
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        self._loop_guard.connection_lost()
        self._fork_guard.connection_lost()

    def _flush_and_end(self, error: Exception) -> None:
        self.writer.flush_until_full()
        self._end_with_loop(error)

    def _detach(self, error: Exception) -> None:
        """Send and wait for nothing any longer in a forked child.

        Calls that wait are those of the parent: nobody wakes them here.
        """
        self.failure = self.failure or error
        self.writer.drop()
        self.connection_lost()
        self._detached()

    def _watch_stopped_reading(self) -> None:
        """Fail the calls that wait for replies if no callback ends for STOP_TIMEOUT seconds."""
        if self._stop_timer is None and self.failure is None:
            self._stop_timer = self.loop.call_later(
                STOP_TIMEOUT, self._check_stopped_reading, self.read_flow.handled
            )

    def _check_stopped_reading(self, handled: int) -> None:
        self._stop_timer = None
        if self.read_flow.is_stopped and self.read_flow.handled != handled:
            self._watch_stopped_reading()
        elif self.read_flow.is_stopped:
            text = (
                f"No reply has been read for {STOP_TIMEOUT:g} seconds, because"
                f" {self.read_flow.size} bytes of messages wait for callbacks, and no callback has"
                " ended: limit the deliveries with basic_qos(prefetch_count=...), or make such"
                " calls on another connection"
            )
            protocol_logger.warning(text)
            self._give_up(text)

    def _pause_reading(self) -> None:
        self.heartbeat.pause_reading()
        self._transport.pause_reading()

    def _resume_reading(self) -> None:
        self.heartbeat.resume_reading(self.loop.time())
        self._transport.resume_reading()
