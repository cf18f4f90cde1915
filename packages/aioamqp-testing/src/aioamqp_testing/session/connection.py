"""The broker's side of a connection: octets in, octets out, and when to hang up."""

from collections.abc import Callable
from typing import Final, TypeVar

from amqp_codec import (
    HEARTBEAT,
    PROTOCOL_HEADER,
    Command,
    EncodeError,
    FieldTable,
    Method,
    ReplyCode,
    connection,
    encode_command,
)
from amqp_codec.protocol.constants import (
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_MIN_SIZE,
)

from ..model import (
    Access,
    BrokerError,
    Clock,
    Node,
    NotSupported,
    Timer,
    User,
    UserAccess,
    VirtualHost,
)
from . import handshake
from .channel.channel import Channel
from .deferred import Deferred
from .flow import Flow
from .handshake import HandshakeRefused
from .heartbeat import Heartbeat
from .interceptor import Interceptor
from .journal import ConnectionJournal
from .reader.assembly import FrameRefused, ReaderCrash, decode_method
from .reader.framing import Frame, FrameReader, FrameTooLarge
from .state import BEFORE_OPENING, Ending, State

_HANDSHAKE_SECONDS: Final = 10  # RabbitMQ: handshake_timeout
_SILENT_SECONDS: Final = 3  # RabbitMQ: the delay before it hangs up without a word
_CLOSE_SECONDS: Final = 30  # RabbitMQ: how long it waits for close-ok at most

_M = TypeVar("_M", bound=Method)


class Session:
    """One connection of a client.

    Args:
        node: the broker.
        clock: for its timers.
        journal: where it notes what is said.
        wake: called when there is output or an ending that no call of ``receive`` brought about.

    Attributes:
        node: the broker.
        access: what the user who has logged in may do.
        client_properties: what the client has said about itself.
        wants_blocked_notices: whether the client has announced connection.blocked.
        wants_cancel_notices: and whether it has announced consumer_cancel_notify.
        due: what is said once all is dealt with that has come.
        flow: whether it reads, and whether its consumers get anything.
        interference: what stands between it and its client in a test of failures.
        ending: how the connection is to be ended, None while it goes on.
        journal: the last things said.
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        journal: ConnectionJournal,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.node = node
        self.access = Access("")
        self.client_properties: FieldTable = {}
        self.wants_blocked_notices = False
        self.wants_cancel_notices = False
        self.flow = Flow(self)
        self.interceptor: Interceptor | None = None
        self.ending: Ending | None = None
        self.journal = journal
        self._clock = clock
        self.wake = wake
        self._state = State.HEADER
        self._frames = FrameReader(FRAME_MIN_SIZE)
        self._frame_max = FRAME_MIN_SIZE
        self._channel_max = 0
        self._is_legacy = False
        self._channels: dict[int, Channel] = {}
        self.due = Deferred(self)
        self._user: User | None = None
        self._vhost: VirtualHost | None = None
        self._heartbeat: Heartbeat | None = None
        self._heartbeat_seconds = 0
        self._timer: Timer = clock.call_later(_HANDSHAKE_SECONDS, self._time_is_up)

    # ----------------------------------------------------------------------------- the outside

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and nothing has ended the connection."""
        return self._state is State.RUNNING

    @property
    def name(self) -> str:
        """The address of its client."""
        return self.journal.name

    @property
    def user(self) -> str:
        """The name of the user who has logged in; empty before that."""
        return "" if self._user is None else self._user.name

    @property
    def vhost_name(self) -> str:
        """The name of the virtual host; empty before connection.open."""
        return "" if self._vhost is None else self._vhost.name

    @property
    def channel_count(self) -> int:
        """How many channels it has, those that are closing included."""
        return len(self._channels)

    @property
    def channels(self) -> list[Channel]:
        """Its channels, by the order in which they were opened."""
        return list(self._channels.values())

    def receive(self, octets: bytes) -> None:
        """Take what the client has sent, in any slices, and do what it says."""
        if self._heartbeat is not None:
            self._heartbeat.received()
        self._frames.feed(octets)
        self.read_on()

    def read_on(self) -> None:
        """Deal with what was received, unless and until something keeps it from reading."""
        self.due.is_busy = True
        while self.flow.is_reading and self._step():
            pass
        self.due.do()

    def take_output(self) -> bytes:
        """Return what is to be sent to the client, and forget it."""
        return self.flow.take()

    def shut_down(self) -> None:
        """End it because the broker stops: RabbitMQ says why, and hangs up."""
        if self._state is State.OVER:
            return
        if self._state not in (*BEFORE_OPENING, State.SILENT):
            text = "broker forced connection closure with reason 'shutdown'"
            self.close(BrokerError(ReplyCode.CONNECTION_FORCED, text))
        self.hang_up(Ending.CLOSE, "the broker stops")

    def force_close(self, text: str) -> None:
        """End it from outside: RabbitMQ says why, and waits for the answer.

        Args:
            text: what connection.close says behind the name of code 320.
        """
        if self._state is State.RUNNING:
            self.close(BrokerError(ReplyCode.CONNECTION_FORCED, text))
        elif self._state not in (State.CLOSING, State.OVER):
            self.hang_up(Ending.RESET, text)
            self.wake()

    def connection_lost(self) -> None:
        """Take notice that the client has hung up."""
        if self._state is not State.OVER:
            self.hang_up(Ending.CLOSE, "the client has hung up")
        self.flow.drop()

    # ----------------------------------------------------------------------------- for channels

    def send(self, command: Command) -> None:
        """Send a command to the client."""
        if self.interceptor is not None and self.interceptor.on_send(command):
            return
        self.journal.sent(command)
        self.flow.put(self.encode(command))
        if self._heartbeat is not None:
            self._heartbeat.sent()

    def encode(self, command: Command) -> bytes:
        """Return a command as it goes to the client."""
        try:
            return encode_command(command, self._frame_max)
        except EncodeError:
            # RabbitMQ: properties of another client's message go out even if they are too large
            # for what this one has agreed on
            return encode_command(command, 0)

    def send_octets(self, octets: bytes) -> None:
        """Send octets to the client, whatever they are."""
        self.flow.put(octets)
        if self._heartbeat is not None:
            self._heartbeat.sent()

    def watch_client(self, is_reading: bool) -> None:
        """Take notice of whether it reads from its client."""
        if self._heartbeat is not None:
            self._heartbeat.is_watching = is_reading
        self.wake()

    def drop(self, channel: Channel) -> None:
        """Let the number of a channel be free for another one."""
        self._channels.pop(channel.number, None)

    def fail_channel(self, channel: Channel, error: BrokerError) -> None:
        """Close a channel, or all of the connection, for something that no method has done."""
        self._refuse(error, 0, channel)
        self.due.close_connection()

    # ----------------------------------------------------------------------------- input

    def _step(self) -> bool:
        """Deal with the next frame; return whether there was one to be read."""
        if self._state in (State.SILENT, State.OVER):
            return False
        if self._state is State.HEADER:
            return self._read_header()
        try:
            # what goes wrong on purpose, and alarms, go by single frames
            is_plain = self._state is State.RUNNING and self.interceptor is None
            frame = self._frames.next(in_runs=is_plain and not self.node.alarm)
            if frame is None:
                return False
            self._handle_frame(frame)
        except FrameTooLarge as error:
            self._close_fatally(error)
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
        header = self._frames.take(handshake.HEADER_SIZE)
        if header is None:
            return False
        start = handshake.start(header)
        if start is None:
            self.send_octets(PROTOCOL_HEADER)
            self.hang_up(Ending.RESET, f"{header!r} is not the header of AMQP 0-9-1")
            return False
        self._is_legacy = start.version_major == 8
        self._state = State.STARTING
        self.send(Command(0, start))
        return True

    def _handle_frame(self, frame: Frame) -> None:
        if not frame.has_end:
            self._close_fatally(frame.wrong_end())
        elif not frame.channel:
            self._handle_frame_0(frame)
        elif self._state is State.RUNNING:
            self._handle_channel_frame(frame)
            if frame.type == FRAME_HEADER and self.node.alarm:
                self.flow.block(self.node.alarm)
        elif self._state is not State.CLOSING:
            raise frame.unexpected()

    def _handle_frame_0(self, frame: Frame) -> None:
        if frame.is_known and frame.type == FRAME_METHOD:
            method = decode_method(frame)
            command = Command(0, method)
            self.journal.received(command)
            try:
                if self.interceptor is None or not self.interceptor.on_received(command):
                    self._handle_connection(method)
            except BrokerError as error:
                self._refuse(error, method.INDEX)
        elif self._state is State.CLOSING:
            return
        elif not frame.is_known:
            raise frame.unknown()
        elif frame.type != FRAME_HEARTBEAT:
            raise frame.unexpected()

    def _handle_channel_frame(self, frame: Frame) -> None:
        if not frame.is_known:
            raise frame.unknown()
        if frame.type == FRAME_HEARTBEAT:
            raise frame.unexpected()
        channel = self._channels.get(frame.channel) or self._add_channel(frame.channel)
        for command in channel.assembler.assemble(frame):
            if self._state is State.RUNNING:
                self._handle_command(channel, command)

    def _handle_command(self, channel: Channel, command: Command) -> None:
        self.journal.received(command)
        try:
            if self.interceptor is None or not self.interceptor.on_received(command):
                channel.handle(command)
        except BrokerError as error:
            self._refuse(error, command.method.INDEX, channel)
        self.run_later()

    def _add_channel(self, number: int) -> Channel:
        """Make a channel of a number that is used for the first time, open or not.

        RabbitMQ: channel_max limits how many there are, not what numbers they have.
        """
        if len(self._channels) >= self._channel_max:
            raise BrokerError(
                ReplyCode.NOT_ALLOWED,
                f"number of channels opened ({len(self._channels)}) has reached"
                f" the negotiated channel_max ({self._channel_max})",
            )
        assert self._user is not None  # it was opened with one,
        assert self._vhost is not None  # and into the other
        self.node.check_room_for_channel(self._user)
        channel = self._channels[number] = Channel(self, self._vhost, number)
        return channel

    # ----------------------------------------------------------------------------- channel 0

    def _handle_connection(self, method: Method) -> None:
        match self._state:
            case State.STARTING:
                self._start(self._expect(method, connection.StartOk))
            case State.TUNING:
                self._tune(self._expect(method, connection.TuneOk))
            case State.OPENING:
                self._open(self._expect(method, connection.Open))
            case State.CLOSING:
                self._handle_closing(method)
            case _:
                self._handle_running(method)

    def _expect(self, method: Method, expected: type[_M]) -> _M:
        if isinstance(method, expected):
            return method
        state = self._state.name.lower()
        text = f"unexpected method in connection state {state}"
        raise BrokerError(ReplyCode.CHANNEL_ERROR, text)

    def _start(self, method: connection.StartOk) -> None:
        if self._is_legacy:
            self._state = State.OPENING  # the only way to be heard
            raise NotSupported("AMQP 0-8")
        try:
            self._user = handshake.authenticate(method, self.node)
        except BrokerError as error:
            self.refuse_login(method, error)
            return
        self.client_properties = method.client_properties
        self.wants_blocked_notices = handshake.has_capability(method, "connection.blocked")
        self.wants_cancel_notices = handshake.has_capability(method, "consumer_cancel_notify")
        self._state = State.TUNING
        node = self.node
        self.send(Command(0, connection.Tune(node.channel_max, node.frame_max, node.heartbeat)))

    def _tune(self, method: connection.TuneOk) -> None:
        handshake.check_tuning(method, self.node)
        self._frame_max = self._frames.frame_max = method.frame_max
        self._channel_max = method.channel_max
        self._heartbeat_seconds = method.heartbeat
        if method.heartbeat:
            self._heartbeat = Heartbeat(self._clock, method.heartbeat, self._beat, self._die)
        self._state = State.OPENING

    def _open(self, method: connection.Open) -> None:
        assert self._user is not None  # who has logged in
        self._vhost = self.node.enter(self, self._user, method.virtual_host)
        self.access = UserAccess(self._user, self._vhost.name)
        self._state = State.RUNNING
        self._timer.cancel()
        self.send(Command(0, connection.OpenOk()))

    def _handle_running(self, method: Method) -> None:
        if isinstance(method, connection.UpdateSecret):
            self.send(Command(0, connection.UpdateSecretOk()))
            return
        self._expect(method, connection.Close)
        if self.due.close_connection():
            return
        self._end_channels()
        self.send(Command(0, connection.CloseOk()))
        self._await_end()

    def _handle_closing(self, method: Method) -> None:
        if isinstance(method, connection.Close):
            self.send(Command(0, connection.CloseOk()))
        elif isinstance(method, connection.CloseOk):
            self.hang_up(Ending.RESET, "the client has said close-ok")

    # ----------------------------------------------------------------------------- mistakes

    def refuse_login(self, method: connection.StartOk, error: BrokerError) -> None:
        """Say that the client may not come in, if it has announced that it understands this."""
        if handshake.has_capability(method, "authentication_failure_close"):
            self.close(error)
            self._set_timer(_SILENT_SECONDS)  # RabbitMQ: it does not wait as long as elsewhere
        else:
            self._fall_silent(error.reply_text)

    def _refuse(self, error: BrokerError, index: int, channel: Channel | None = None) -> None:
        """Answer a mistake in the way of the state and of the reply code."""
        if isinstance(error, NotSupported):
            self.node.refused.append(error.what)
        self.journal.note(f"refused: {error.reply_text}")
        if self._state in BEFORE_OPENING or (self._state is State.OPENING and not error.text):
            self._fall_silent(error.reply_text)
        elif channel is not None and not error.reply_code.is_hard:
            channel.fail(error, index)
        elif channel is not None and self.is_open:
            self.due.end(channel, error, index)
        else:
            self.close(error, index)

    def close(self, error: BrokerError, index: int = 0) -> None:
        """Say connection.close, and wait for the answer."""
        self._end_channels()
        if self._state is not State.CLOSING:
            # RabbitMQ: an error without an explanation is a crash, which knows of no method
            index = index if error.text else 0
            close = connection.Close(error.code, error.reply_text, index >> 16, index & 0xFFFF)
            self.send(Command(0, close))
            self._await_end()

    def _close_fatally(self, error: BrokerError) -> None:
        """Say connection.close where that can be said; behind such a frame none can be found."""
        if self._state not in (*BEFORE_OPENING, State.CLOSING):
            self.close(error)
        self._fall_silent(error.reply_text)

    def _fall_silent(self, why: str) -> None:
        self.journal.note(f"silent for {_SILENT_SECONDS} s: {why}")
        self._state = State.SILENT
        self._set_timer(_SILENT_SECONDS)

    # ----------------------------------------------------------------------------- the end

    def _end_channels(self) -> None:
        """Give back what the connection holds. RabbitMQ: it does so before it says close(-ok)."""
        channels, self._channels = self._channels, {}
        self.due.forget()
        for channel in channels.values():
            channel.end()
        if self._vhost is not None:
            self._vhost.remove_exclusive_queues(self)
        self.node.leave(self)
        self.run_later()

    def _await_end(self) -> None:
        self._state = State.CLOSING
        self._set_timer(min(_CLOSE_SECONDS, self._heartbeat_seconds or _CLOSE_SECONDS))

    def _set_timer(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._clock.call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        self.hang_up(Ending.RESET, "time is up")
        self.wake()

    def _die(self) -> None:
        self.hang_up(Ending.RESET, "no heartbeats from the client")
        self.wake()

    def hang_up(self, ending: Ending, why: str) -> None:
        """End it without another word.

        Args:
            ending: what is to become of the transport.
            why: for the journal.
        """
        self._state = State.OVER
        self.ending = ending
        self.journal.note(f"the connection ends: {why}")
        self._timer.cancel()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._end_channels()

    def _beat(self) -> None:
        self.send(Command(0, HEARTBEAT))

    def run_later(self) -> None:
        """Do what is due in its virtual host."""
        if self._vhost is not None:
            self._vhost.run_later()
