"""The broker's side of a connection: octets in, octets out, and when to hang up.

What RabbitMQ does about a mistake depends on when it comes:

    state      a mistake is answered with
    HEADER     the protocol header it wants, and a reset
    STARTING   silence for three seconds, and a reset (a wrong password may get a connection.close)
    TUNING     the same
    OPENING    connection.close
    RUNNING    channel.close or connection.close, as the reply code says
    CLOSING    nothing: only connection.close and close-ok are looked at
    SILENT     nothing: input is not even read
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, TypeVar

from amqp_codec import (
    HEARTBEAT,
    PROTOCOL_HEADER,
    Command,
    EncodeError,
    Method,
    ReplyCode,
    connection,
    encode_command,
)
from amqp_codec.protocol.constants import FRAME_HEARTBEAT, FRAME_METHOD, FRAME_MIN_SIZE

from ..journal import ConnectionJournal
from ..model import BrokerError, Clock, Node, NotSupported, Timer, VirtualHost
from . import handshake
from .assembly import FrameRefused, ReaderCrash, decode_method
from .channel import Channel
from .framing import Frame, FrameReader, FrameTooLarge
from .handshake import HandshakeRefused
from .heartbeat import Heartbeat

_HANDSHAKE_SECONDS: Final = 10  # RabbitMQ: handshake_timeout
_SILENT_SECONDS: Final = 3  # RabbitMQ: the delay before it hangs up without a word
_CLOSE_SECONDS: Final = 30  # RabbitMQ: how long it waits for close-ok at most


class Ending(Enum):
    """How a connection is to be ended, once the output is written."""

    CLOSE = "in good order"
    RESET = "with a reset"


class _State(Enum):
    HEADER = auto()
    STARTING = auto()
    TUNING = auto()
    OPENING = auto()
    RUNNING = auto()
    CLOSING = auto()
    SILENT = auto()
    OVER = auto()


_BEFORE_OPENING: Final = (_State.HEADER, _State.STARTING, _State.TUNING)

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
        user: who has logged in.
        wants_cancel_notices: whether the client has announced consumer_cancel_notify.
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
        self.user = ""
        self.wants_cancel_notices = False
        self.ending: Ending | None = None
        self.journal = journal
        self._clock = clock
        self._wake = wake
        self._state = _State.HEADER
        self._output: list[bytes] = []
        self._frames = FrameReader(FRAME_MIN_SIZE)
        self._frame_max = FRAME_MIN_SIZE
        self._channel_max = 0
        self._is_legacy = False
        self._channels: dict[int, Channel] = {}
        self._unconfirmed: dict[Channel, None] = {}
        self._vhost: VirtualHost | None = None
        self._heartbeat: Heartbeat | None = None
        self._heartbeat_seconds = 0
        self._timer: Timer = clock.call_later(_HANDSHAKE_SECONDS, self._time_is_up)

    # ----------------------------------------------------------------------------- the outside

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and nothing has ended the connection."""
        return self._state is _State.RUNNING

    @property
    def channels(self) -> list[Channel]:
        """Its channels, by the order in which they were opened."""
        return list(self._channels.values())

    def receive(self, octets: bytes) -> None:
        """Take what the client has sent, in any slices, and do what it says."""
        if self._heartbeat is not None:
            self._heartbeat.received()
        self._frames.feed(octets)
        while self._step():
            pass
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for channel in unconfirmed:
            channel.publishing.confirm_all()

    def take_output(self) -> bytes:
        """Return what is to be sent to the client, and forget it."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def shut_down(self) -> None:
        """End it because the broker stops: RabbitMQ says why, and hangs up."""
        if self._state is _State.OVER:
            return
        if self._state not in (*_BEFORE_OPENING, _State.SILENT):
            text = "broker forced connection closure with reason 'shutdown'"
            self._close(BrokerError(ReplyCode.CONNECTION_FORCED, text))
        self._hang_up(Ending.CLOSE, "the broker stops")

    def connection_lost(self) -> None:
        """Take notice that the client has hung up."""
        if self._state is not _State.OVER:
            self._hang_up(Ending.CLOSE, "the client has hung up")
        self._output.clear()

    # ----------------------------------------------------------------------------- for channels

    def send(self, command: Command) -> None:
        """Send a command to the client."""
        self.journal.sent(command)
        if not self._output:
            self._wake()
        try:
            octets = encode_command(command, self._frame_max)
        except EncodeError:
            # RabbitMQ: properties of another client's message go out even if they are too large
            # for what this one has agreed on
            octets = encode_command(command, 0)
        self._output.append(octets)
        if self._heartbeat is not None:
            self._heartbeat.sent()

    def has_unconfirmed(self, channel: Channel) -> None:
        """Remember to confirm at the end of this input."""
        self._unconfirmed[channel] = None

    # ----------------------------------------------------------------------------- input

    def _step(self) -> bool:
        """Deal with the next frame; return whether there was one to be read."""
        if self._state in (_State.SILENT, _State.OVER):
            return False
        if self._state is _State.HEADER:
            return self._read_header()
        try:
            frame = self._frames.next()
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
            self._hang_up(Ending.RESET, f"RabbitMQ's reader crashes: {error}")
        return True

    def _read_header(self) -> bool:
        header = self._frames.take(handshake.HEADER_SIZE)
        if header is None:
            return False
        start = handshake.start(header)
        if start is None:
            self._output.append(PROTOCOL_HEADER)
            self._hang_up(Ending.RESET, f"{header!r} is not the header of AMQP 0-9-1")
            return False
        self._is_legacy = start.version_major == 8
        self._state = _State.STARTING
        self.send(Command(0, start))
        return True

    def _handle_frame(self, frame: Frame) -> None:
        if not frame.has_end:
            self._close_fatally(frame.wrong_end())
        elif not frame.channel:
            self._handle_frame_0(frame)
        elif self._state is _State.RUNNING:
            self._handle_channel_frame(frame)
        elif self._state is not _State.CLOSING:
            raise frame.unexpected()

    def _handle_frame_0(self, frame: Frame) -> None:
        if frame.is_known and frame.type == FRAME_METHOD:
            method = decode_method(frame)
            self.journal.received(Command(0, method))
            try:
                self._handle_connection(method)
            except BrokerError as error:
                self._refuse(error, method.INDEX)
        elif self._state is _State.CLOSING:
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
        command = channel.assembler.assemble(frame)
        if command is None:
            return
        self.journal.received(command)
        try:
            channel.handle(command)
        except BrokerError as error:
            self._refuse(error, command.method.INDEX, channel)
        if channel.is_gone:
            self._channels.pop(channel.number, None)
        self._run_later()

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
        assert self._vhost is not None  # it was opened with one
        channel = self._channels[number] = Channel(self, self._vhost, number)
        return channel

    # ----------------------------------------------------------------------------- channel 0

    def _handle_connection(self, method: Method) -> None:
        match self._state:
            case _State.STARTING:
                self._start(self._expect(method, connection.StartOk))
            case _State.TUNING:
                self._tune(self._expect(method, connection.TuneOk))
            case _State.OPENING:
                self._open(self._expect(method, connection.Open))
            case _State.CLOSING:
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
            self._state = _State.OPENING  # the only way to be heard
            raise NotSupported("AMQP 0-8")
        try:
            self.user = handshake.authenticate(method, self.node)
        except BrokerError as error:
            if not handshake.has_capability(method, "authentication_failure_close"):
                raise
            self._close(error)
            return
        self.wants_cancel_notices = handshake.has_capability(method, "consumer_cancel_notify")
        self._state = _State.TUNING
        node = self.node
        self.send(Command(0, connection.Tune(node.channel_max, node.frame_max, node.heartbeat)))

    def _tune(self, method: connection.TuneOk) -> None:
        handshake.check_tuning(method, self.node)
        self._frame_max = self._frames.frame_max = method.frame_max
        self._channel_max = method.channel_max
        self._heartbeat_seconds = method.heartbeat
        if method.heartbeat:
            self._heartbeat = Heartbeat(self._clock, method.heartbeat, self._beat, self._die)
        self._state = _State.OPENING

    def _open(self, method: connection.Open) -> None:
        vhost = self.node.vhosts.get(method.virtual_host)
        if vhost is None:
            text = f"vhost {method.virtual_host} not found"
            raise BrokerError(ReplyCode.NOT_ALLOWED, text)
        self._vhost = vhost
        self._state = _State.RUNNING
        self._timer.cancel()
        self.send(Command(0, connection.OpenOk()))

    def _handle_running(self, method: Method) -> None:
        if isinstance(method, connection.UpdateSecret):
            self.send(Command(0, connection.UpdateSecretOk()))
            return
        self._expect(method, connection.Close)
        self._end_channels()
        self.send(Command(0, connection.CloseOk()))
        self._await_end()

    def _handle_closing(self, method: Method) -> None:
        if isinstance(method, connection.Close):
            self.send(Command(0, connection.CloseOk()))
        elif isinstance(method, connection.CloseOk):
            self._hang_up(Ending.RESET, "the client has said close-ok")

    # ----------------------------------------------------------------------------- mistakes

    def _refuse(self, error: BrokerError, index: int, channel: Channel | None = None) -> None:
        """Answer a mistake in the way of the state and of the reply code."""
        if isinstance(error, NotSupported):
            self.node.refused.append(error.what)
        self.journal.note(f"refused: {error.reply_text}")
        if self._state in _BEFORE_OPENING:
            self._fall_silent(error.reply_text)
        elif channel is not None and not error.reply_code.is_hard:
            channel.fail(error, index)
        else:
            self._close(error, 0 if error.reply_code is ReplyCode.INTERNAL_ERROR else index)

    def _close(self, error: BrokerError, index: int = 0) -> None:
        """Say connection.close, and wait for the answer."""
        self._end_channels()
        if self._state is not _State.CLOSING:
            close = connection.Close(
                int(error.reply_code), error.reply_text, index >> 16, index & 0xFFFF
            )
            self.send(Command(0, close))
            self._await_end()

    def _close_fatally(self, error: BrokerError) -> None:
        """Say connection.close where it can be said, and read nothing any more.

        Behind such a frame no other one can be found.
        """
        if self._state not in (*_BEFORE_OPENING, _State.CLOSING):
            self._close(error)
        self._fall_silent(error.reply_text)

    def _fall_silent(self, why: str) -> None:
        self.journal.note(f"silent for {_SILENT_SECONDS} s: {why}")
        self._state = _State.SILENT
        self._set_timer(_SILENT_SECONDS)

    # ----------------------------------------------------------------------------- the end

    def _end_channels(self) -> None:
        """Give back what the connection holds. RabbitMQ: it does so before it says close(-ok)."""
        channels, self._channels = self._channels, {}
        self._unconfirmed.clear()
        for channel in channels.values():
            channel.end()
        if self._vhost is not None:
            self._vhost.remove_exclusive_queues(self)
        self._run_later()

    def _await_end(self) -> None:
        self._state = _State.CLOSING
        self._set_timer(min(_CLOSE_SECONDS, self._heartbeat_seconds or _CLOSE_SECONDS))

    def _set_timer(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._clock.call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        self._hang_up(Ending.RESET, "time is up")
        self._wake()

    def _die(self) -> None:
        self._hang_up(Ending.RESET, "no heartbeats from the client")
        self._wake()

    def _hang_up(self, ending: Ending, why: str) -> None:
        self._state = _State.OVER
        self.ending = ending
        self.journal.note(f"the connection ends: {why}")
        self._timer.cancel()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self._end_channels()

    def _beat(self) -> None:
        self.send(Command(0, HEARTBEAT))

    def _run_later(self) -> None:
        if self._vhost is not None:
            self._vhost.run_later()
