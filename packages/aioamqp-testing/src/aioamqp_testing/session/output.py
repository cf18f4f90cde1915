"""Output of a session: encodes commands, adds them to the journal and buffers the bytes."""

from collections.abc import Callable
from typing import Final

from amqp_codec import Command, EncodeError, Method, Properties, encode_command
from amqp_codec.protocol.constants import FRAME_MIN_SIZE

from .deferred import Deferred
from .heartbeat import Heartbeat
from .journal import ConnectionJournal
from .reader.deep_headers import DeepProperties

_HIGH_WATER: Final = 256 * 1024  # bytes in the buffer from which on the session is congested


class Output:
    """What a session sends, and whether the client reads it.

    The session is congested while the buffer holds more than 256 KiB or the transport is paused.
    It does not read from its client then and delivers nothing, as RabbitMQ's processes wait for
    each other.

    Args:
        journal: where commands are noted.
        wake: called when there is output in an empty buffer.
        on_congestion: called when ``is_congested`` has changed.

    Attributes:
        frame_max: the largest frame in bytes.
        heartbeat: notified of every output; None while there are no heartbeats.
        intercept: called before a command is sent; it is not sent if that returns True.
        is_congested: whether the client has to read before anything else happens.
    """

    def __init__(
        self,
        journal: ConnectionJournal,
        wake: Callable[[], None],
        on_congestion: Callable[[], None],
    ) -> None:
        self.frame_max = FRAME_MIN_SIZE
        self.heartbeat: Heartbeat | None = None
        self.intercept: Callable[[Command], bool] | None = None
        self.is_congested = False
        self._journal = journal
        self._wake = wake
        self._on_congestion = on_congestion
        self._is_paused = False
        self._buffer: list[bytes] = []
        self._size = 0

    def send(self, command: Command) -> None:
        """Send a command to the client."""
        if self.intercept is not None and self.intercept(command):
            return
        self._journal.add_sent(command)
        self.send_bytes(self.encode(command))

    def encode(self, command: Command) -> bytes:
        """Encode a command for this client."""
        if type(command.properties) is DeepProperties:
            encodable = command.properties.encodable()
            command = Command(command.channel, command.method, encodable, command.body)
        try:
            return encode_command(command, self.frame_max)
        except EncodeError:
            # RabbitMQ: it sends properties of another client's message even if they are larger than
            # this client's frame_max
            return encode_command(command, 0)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes to the client, whatever they are."""
        if not self._buffer:
            self._wake()
        self._buffer.append(data)
        self._size += len(data)
        if self.heartbeat is not None:
            self.heartbeat.data_sent()
        if self._size > _HIGH_WATER and not self.is_congested:
            self._set_congested(True)

    def take(self) -> bytes:
        """Empty the buffer and return what was in it: the transport has it now."""
        output = b"".join(self._buffer)
        self.clear()
        if self.is_congested and not self._is_paused:
            self._set_congested(False)
        return output

    def clear(self) -> None:
        """Drop what is in the buffer."""
        self._buffer.clear()
        self._size = 0

    def pause(self) -> None:
        """Stop, because the buffer of the transport is full."""
        self._is_paused = True
        self._set_congested(True)

    def resume(self) -> None:
        """Go on, because the transport has written what was in its buffer."""
        self._is_paused = False
        if self.is_congested and self._size <= _HIGH_WATER:
            self._set_congested(False)

    def _set_congested(self, is_congested: bool) -> None:
        self.is_congested = is_congested
        self._on_congestion()


class ChannelOutput:
    """What one channel sends.

    Args:
        number: the number of the channel.
        output: of the connection.
        deferred: of the connection.
    """

    __slots__ = ("_deferred", "_number", "_output")

    def __init__(self, number: int, output: Output, deferred: Deferred) -> None:
        self._number = number
        self._output = output
        self._deferred = deferred

    @property
    def is_intercepted(self) -> bool:
        """Whether an interceptor decides what is sent."""
        return self._output.intercept is not None

    def send(self, method: Method, properties: Properties | None = None, body: bytes = b"") -> None:
        """Send a command on this channel."""
        self._output.send(Command(self._number, method, properties, body))

    def reply(self, no_wait: bool, method: Method) -> None:
        """Send a reply, unless the client does not wait for one."""
        if not no_wait:
            self.send(method)

    def defer(self) -> None:
        """Note that the channel has something to send when the current read has been processed."""
        self._deferred.notices[self._number] = None
