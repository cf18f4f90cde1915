"""The broker's side of a connection: bytes in, bytes out, and how the connection ends."""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

from amqp_codec import (
    HEARTBEAT,
    PROTOCOL_HEADER,
    Command,
    DecodeError,
    FieldTable,
    Method,
    ReplyCode,
    connection,
)
from amqp_codec.protocol.constants import FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD

from ..model import BrokerError, Clock, Node, NotSupported, UserAccess
from ..model.agenda import Agenda
from .channel.channel import Channel, Channels
from .channel.context import Context
from .deferred import Deferred
from .handshake import HEADER_SIZE, Handshake, HandshakeRefused, has_capability
from .heartbeat import Heartbeat
from .interceptor import Interceptor
from .journal import ConnectionJournal
from .output import Output
from .reader import framing
from .reader.assembly import FrameRefused, ReaderCrash, decode_method
from .state import BEFORE_OPENING, Ending, State

_HANDSHAKE_SECONDS: Final = 10  # RabbitMQ: handshake_timeout
_HEADER_OF_0_9: Final = b"AMQP\0\0"  # of any revision
_SILENT_SECONDS: Final = 3  # RabbitMQ: the delay before it hangs up without an answer
_CLOSE_SECONDS: Final = 30  # RabbitMQ: how long it waits for close-ok at most
_TIME_OVER: Final = "the time limit is over"


class Session:
    """One connection of a client.

    Args:
        node: the broker.
        clock: for its timers.
        journal: where commands are noted.
        wake: called when there is output or an ending that no call of ``read`` has caused.
        schedule: called when there may be something to read; it calls ``read``, now or later, and
            again while ``has_more`` is true. Without it everything is read at once.

    Attributes:
        output: what is sent to the client.
        heartbeat: the timers of heartbeats; they start with connection.tune-ok.
        is_reading: whether it reads from the client; not while it is congested or blocked.
        ending: how the transport is to be closed, None while the connection goes on.
        journal: what was received and sent.
        steps: the number of steps of the last ``read``, as ``Agenda`` counts them.
        has_more: whether ``read`` has stopped because of their number, and is to be called again.
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        journal: ConnectionJournal,
        wake: Callable[[], None] = lambda: None,
        schedule: Callable[[], object] | None = None,
    ) -> None:
        self.output = Output(journal, wake, self._on_congestion)
        self.heartbeat = Heartbeat(
            clock,
            partial(self.output.send, Command(0, HEARTBEAT)),
            partial(self._reset, "no heartbeats from the client"),
        )
        self.is_reading = True
        self.ending: Ending | None = None
        self.journal = journal
        self.steps = 0
        self.has_more = False
        self._node = node
        self._clock = clock
        self._wake = wake
        self._schedule = schedule or self.read
        self._agenda = Agenda(clock)  # until connection.open, when it is that of the virtual host
        self._start, self._end = 0, inf  # of the current slice, in steps of the agenda
        self._state = State.HEADER
        self._frames = framing.new_reader(node.profile.frame_max_lowest)
        self._handshake = Handshake(node)
        self._channels: Channels | None = None  # until connection.open
        self._deferred = Deferred()
        self._is_blocked = False
        self._interceptor: Interceptor | None = None
        self._timer = clock.call_later(_HANDSHAKE_SECONDS, partial(self._reset, _TIME_OVER))

    @property
    def is_open(self) -> bool:
        """Whether the handshake is complete and nothing has ended the connection."""
        return self._state is State.RUNNING

    @property
    def name(self) -> str:
        """The address of the client."""
        return self.journal.name

    @property
    def client_properties(self) -> FieldTable:
        """The client-properties of connection.start-ok; empty before it."""
        return self._handshake.client_properties

    @property
    def user(self) -> str:
        """The name of the user; empty before connection.start-ok."""
        return "" if self._handshake.user is None else self._handshake.user.name

    @property
    def vhost_name(self) -> str:
        """The name of the virtual host; empty before connection.open."""
        return "" if self._channels is None else self._channels.vhost_name

    @property
    def channel_count(self) -> int:
        """How many channels it has, including those that are closing."""
        return 0 if self._channels is None else len(self._channels)

    @property
    def channels(self) -> list[Channel]:
        """Its channels, in the order in which they were opened."""
        return [] if self._channels is None else list(self._channels.values())

    @property
    def interceptor(self) -> Interceptor | None:
        """The interceptor of commands, with which tests inject faults; usually None."""
        return self._interceptor

    @interceptor.setter
    def interceptor(self, interceptor: Interceptor | None) -> None:
        self._interceptor = interceptor
        self.output.intercept = None if interceptor is None else interceptor.on_send

    # ----------------------------------------------------------------------------- the transport

    def receive_data(self, data: bytes) -> None:
        """Process bytes from the client, in slices of any size."""
        self.heartbeat.data_received()
        self._frames.feed(data)
        self._schedule()

    def take_output(self) -> bytes:
        """Return the bytes for the client and remove them from the output buffer."""
        return self.output.take()

    def connection_lost(self) -> None:
        """End the session because the transport is closed."""
        if self._state is not State.OVER:
            self.hang_up(Ending.CLOSE, "the client has closed it")
        self.output.clear()

    def shut_down(self) -> None:
        """Send connection.close because the broker stops, and hang up without waiting."""
        if self._state is State.OVER:
            return
        if self._state not in (*BEFORE_OPENING, State.SILENT):
            text = "broker forced connection closure with reason 'shutdown'"
            self.close(BrokerError(ReplyCode.CONNECTION_FORCED, text))
        self.hang_up(Ending.CLOSE, "the broker stops")

    def force_close(self, text: str) -> None:
        """Close the connection as an administrator does, and wait for close-ok.

        Args:
            text: the reply text of connection.close, without the name of code 320.
        """
        if self._state is State.RUNNING:
            self.close(BrokerError(ReplyCode.CONNECTION_FORCED, text))
        elif self._state not in (State.CLOSING, State.OVER):
            self._reset(text)

    # ----------------------------------------------------------------------------- flow control

    def block(self, reason: str) -> None:
        """Stop reading because of an alarm, and send connection.blocked if it was announced."""
        if not self._is_blocked:
            self._set_blocked(True, connection.Blocked(reason))

    def unblock(self) -> None:
        """Send connection.unblocked if it was announced, and read again."""
        if self._is_blocked:
            self._set_blocked(False, connection.Unblocked())
            self._schedule()

    def _set_blocked(self, is_blocked: bool, notice: Method) -> None:
        self._is_blocked = is_blocked
        self._update_reading()
        if self._handshake.has_capability("connection.blocked"):
            self.output.send(Command(0, notice))

    def _on_congestion(self) -> None:
        is_congested = self.output.is_congested
        self._update_reading()
        for channel in self.channels:
            channel.set_paused(is_congested)
        if not is_congested:
            self._schedule()

    def _update_reading(self) -> None:
        self.is_reading = not (self._is_blocked or self.output.is_congested)
        self.heartbeat.is_watching = self.is_reading
        self._wake()

    # ----------------------------------------------------------------------------- reading

    def read(self, most: float = inf) -> None:
        """Process the frames that have been received, as long as it is reading.

        The deferred work follows when ``has_more`` is false: slices of a read are one read.

        Args:
            most: the number of steps after which it stops.
        """
        if self.has_more:
            if self.output.heartbeat is not None:
                self.output.heartbeat.data_received()  # which it has not looked at yet
            self._wake()
        self._start = self._agenda.steps
        self._end = self._start + most
        self._deferred.is_reading = True
        self.run_later()
        while self.is_reading and self._agenda.steps < self._end and self._read_frame():
            pass
        self.has_more = self._agenda.steps >= self._end
        if not self.has_more:
            self._finish_read()
        self.steps = self._agenda.steps - self._start
        self._end = inf

    def run_later(self) -> None:
        """Run what the virtual host has put off until after the reply."""
        self._agenda.run_pending(self._end)

    def _read_frame(self) -> bool:
        """Process the next frame; return whether there was one."""
        if self._state is not State.RUNNING:
            if self._state in (State.SILENT, State.OVER):
                return False
            if self._state is State.HEADER:
                return self._read_header()
        frame = self._frames
        try:
            if not frame.next():
                return False
        except DecodeError as error:
            self._close_fatally(framing.refused(error, frame))
            return True
        try:
            if not frame.channel:
                self._handle_connection_frame()
            elif self._state is State.RUNNING and self._channels is not None:
                self._handle_channel_frame(self._channels)
            elif self._state is not State.CLOSING:
                raise framing.unexpected(frame)
        except FrameRefused as error:
            self._refuse(error, error.index)
        except BrokerError as error:
            self._refuse(error, 0)
        except HandshakeRefused as error:
            self._fall_silent(str(error))
        except ReaderCrash as error:
            self.hang_up(Ending.RESET, f"RabbitMQ's reader crashes: {error}")
        return True

    def _read_header(self) -> bool:
        header = self._frames.take(HEADER_SIZE)
        if header is None:
            return False
        start = self._handshake.start(header)
        if start is None:
            self._refuse_header(header)
            return False
        self._state = State.STARTING
        self.output.send(Command(0, start))
        return True

    def _refuse_header(self, header: bytes) -> None:
        profile = self._node.profile
        is_0_9 = header.startswith(_HEADER_OF_0_9)
        self.output.send_bytes(PROTOCOL_HEADER if is_0_9 else profile.protocol_header)
        if profile.sasl_frame and header == profile.protocol_header:
            # it offers the same mechanisms over AMQP 1.0, which is not supported
            self.output.send_bytes(profile.sasl_frame)
            self._node.refused.append("AMQP 1.0")
            self._fall_silent("AMQP 1.0 is not supported")
            return
        self.hang_up(Ending.RESET, f"{header!r} is not the header of AMQP 0-9-1")

    def _handle_connection_frame(self) -> None:
        frame = self._frames
        is_known = framing.is_known(frame)
        if is_known and frame.frame_type == FRAME_METHOD:
            method = decode_method(frame)
            command = Command(0, method)
            self.journal.add_received(command)
            try:
                if self._interceptor is None or not self._interceptor.on_received(command):
                    self._handle_connection_method(method)
            except BrokerError as error:
                self._refuse(error, method.INDEX)
        elif self._state is not State.CLOSING:
            if not is_known:
                raise framing.unknown(frame)
            if frame.frame_type != FRAME_HEARTBEAT:
                raise framing.unexpected(frame)

    def _handle_channel_frame(self, channels: Channels) -> None:
        frame = self._frames
        frame_type = frame.frame_type
        if not framing.is_known(frame):
            raise framing.unknown(frame)
        if frame_type == FRAME_HEARTBEAT:
            raise framing.unexpected(frame)
        channel = channels[frame.channel]
        # RabbitMQ: during an alarm it stops reading behind a content header
        command = channel.assembler.add_frame(frame, at_once=not self._node.alarm)
        if command is not None:
            self._handle_command(channel, command)
        if frame_type == FRAME_HEADER and self._node.alarm:
            self.block(self._node.alarm)

    def _handle_command(self, channel: Channel, command: Command) -> None:
        self.journal.add_received(command)
        self._agenda.steps += 1
        try:
            if self._interceptor is None or not self._interceptor.on_received(command):
                channel.handle(command)
        except BrokerError as error:
            self._refuse(error, command.method.INDEX, channel)
        self.run_later()

    # ----------------------------------------------------------------------------- deferred work

    def _finish_read(self) -> None:
        """Process the deferred work, after all received frames."""
        deferred, channels = self._deferred, self._channels
        deferred.is_reading = False
        if channels is None:
            return
        numbers, deferred.notices = deferred.notices, {}
        for number in numbers:
            if number in channels:
                self._finish_channel(channels[number])
        self._close_if_deferred()
        numbers, deferred.closed = deferred.closed, {}
        for number in numbers:
            if number in channels:
                channels[number].confirm_close()

    def _finish_channel(self, channel: Channel) -> None:
        """Process deliveries and notices for a channel, and send its publisher confirms."""
        try:
            channel.finish_read()
            if self._interceptor is None:
                channel.publishing.send_confirms()
            elif outcomes := channel.publishing.take_outcomes():
                self._interceptor.on_confirm(channel, outcomes)
        except BrokerError as error:
            self._fail_channel(channel.number, error)

    def _close_if_deferred(self) -> bool:
        """Close the connection if an error on a channel requires it; return whether one does.

        RabbitMQ: messages that this channel has returned go to the other channels before they end.
        """
        if self._deferred.error is None:
            return False
        (error, index), self._deferred.error = self._deferred.error, None
        self.run_later()
        for channel in self.channels:
            self._finish_channel(channel)
        self.close(error, index)
        return True

    # ----------------------------------------------------------------------------- channel 0

    def _handle_connection_method(self, method: Method) -> None:
        match self._state, method:
            case State.STARTING, connection.StartOk() as start_ok:
                self._handle_start_ok(start_ok)
            case State.TUNING, connection.TuneOk() as tune_ok:
                self._handle_tune_ok(tune_ok)
            case State.OPENING, connection.Open(virtual_host):
                self._handle_open(virtual_host)
            case State.RUNNING, connection.UpdateSecret():
                self.output.send(Command(0, connection.UpdateSecretOk()))
            case State.RUNNING, connection.Close():
                self._handle_close()
            case State.CLOSING, connection.Close():
                self.output.send(Command(0, connection.CloseOk()))
            case State.CLOSING, connection.CloseOk():
                self.hang_up(Ending.RESET, "the client has sent close-ok")
            case State.CLOSING, _:
                pass
            case state, _:
                text = f"unexpected method in connection state {state.name.lower()}"
                raise BrokerError(ReplyCode.CHANNEL_ERROR, text)

    def _handle_start_ok(self, method: connection.StartOk) -> None:
        if self._handshake.is_legacy:
            self._state = State.OPENING  # where an error is answered
            raise NotSupported("AMQP 0-8")
        try:
            tune = self._handshake.log_in(method)
        except BrokerError as error:
            self.refuse_login(method, error)
            return
        self._state = State.TUNING
        self.output.send(Command(0, tune))

    def _handle_tune_ok(self, method: connection.TuneOk) -> None:
        self._handshake.tune(method)
        self.output.frame_max = method.frame_max
        framing.set_frame_max(self._frames, method.frame_max)
        if method.heartbeat:
            self.heartbeat.start(method.heartbeat)
            self.output.heartbeat = self.heartbeat
        self._state = State.OPENING

    def _handle_open(self, virtual_host: str) -> None:
        user = self._handshake.user
        assert user is not None  # since connection.start-ok
        vhost = self._node.add_connection(self, user, virtual_host)
        context = Context(
            self._node,
            vhost,
            user,
            UserAccess(user, vhost.name, self._node.profile),
            connection=self,
            wants_cancel_notices=self._handshake.has_capability("consumer_cancel_notify"),
            output=self.output,
            deferred=self._deferred,
            fail_channel=self._fail_channel,
        )
        self._channels = Channels(context, self._handshake.channel_max)
        self._start += vhost.agenda.steps - self._agenda.steps
        self._end += vhost.agenda.steps - self._agenda.steps
        self._agenda = vhost.agenda
        self._state = State.RUNNING
        self._timer.cancel()
        self.output.send(Command(0, connection.OpenOk()))

    def _handle_close(self) -> None:
        if not self._close_if_deferred():
            self._end_channels()
            self.output.send(Command(0, connection.CloseOk()))
            self._await_end()

    # ----------------------------------------------------------------------------- errors

    def refuse_login(self, method: connection.StartOk, error: BrokerError) -> None:
        """Answer a failed login: with connection.close if the client has announced that it can."""
        if has_capability(method.client_properties, "authentication_failure_close"):
            self.close(error)
            self._set_timer(_SILENT_SECONDS)  # RabbitMQ: it does not wait as long as elsewhere
        else:
            self._fall_silent(error.reply_text)

    def _refuse(self, error: BrokerError, index: int, channel: Channel | None = None) -> None:
        """Answer an error as the state and the reply code require."""
        if isinstance(error, NotSupported):
            self._node.refused.append(error.what)
        self.journal.note(f"refused: {error.reply_text}")
        if self._state in BEFORE_OPENING or (self._state is State.OPENING and not error.text):
            self._fall_silent(error.reply_text)
        elif channel is not None and not error.reply_code.is_hard:
            channel.fail(error, index)
        elif channel is not None and self.is_open:
            channel.fail_connection()
            self._deferred.error = self._deferred.error or (error, index)
        else:
            self.close(error, index)

    def _fail_channel(self, number: int, error: BrokerError) -> None:
        """Answer an error on a channel that no method has caused."""
        channel = None if self._channels is None else self._channels.get(number)
        self._refuse(error, 0, channel)
        self._close_if_deferred()

    def close(self, error: BrokerError, index: int = 0) -> None:
        """Send connection.close, and wait for close-ok.

        Args:
            error: the error.
            index: the class and method id that connection.close names, as in ``Method.INDEX``.
        """
        self._end_channels()
        if self._state is not State.CLOSING:
            # RabbitMQ: an error without an explanation is a crash, which knows of no method
            index = index if error.text else 0
            close = connection.Close(error.code, error.reply_text, index >> 16, index & 0xFFFF)
            self.output.send(Command(0, close))
            self._await_end()

    def _close_fatally(self, error: BrokerError) -> None:
        """Send connection.close if the state allows it, and read no further frame."""
        if self._state not in (*BEFORE_OPENING, State.CLOSING):
            self.close(error)
        self._fall_silent(error.reply_text)

    def _fall_silent(self, why: str) -> None:
        self.journal.note(f"silent for {_SILENT_SECONDS} s: {why}")
        self._state = State.SILENT
        self._set_timer(_SILENT_SECONDS)

    # ----------------------------------------------------------------------------- the end

    def _end_channels(self) -> None:
        """End all channels and leave the virtual host. RabbitMQ: before it sends close-ok."""
        self._deferred.clear()
        if self._channels is not None:
            self._channels.end()

    def _await_end(self) -> None:
        self._state = State.CLOSING
        self._set_timer(min(_CLOSE_SECONDS, self._handshake.heartbeat or _CLOSE_SECONDS))

    def _set_timer(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._clock.call_later(seconds, partial(self._reset, _TIME_OVER))

    def _reset(self, why: str) -> None:
        """Reset the connection at a moment when the transport does not expect it."""
        self.hang_up(Ending.RESET, why)
        self._wake()

    def hang_up(self, ending: Ending, why: str) -> None:
        """End the connection without sending anything.

        Args:
            ending: how the transport is closed.
            why: for the journal.
        """
        self._state = State.OVER
        self.ending = ending
        self.journal.note(f"the connection ends: {why}")
        self._timer.cancel()
        self.heartbeat.stop()
        self._end_channels()
