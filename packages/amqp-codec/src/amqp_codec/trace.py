"""Commands as lines of text, and recorded bytes as a packet trace; neither shows bodies or secrets.

    0 > 0 protocol-header AMQP 0-0-9-1
    8 > 0 connection.start-ok mechanism='PLAIN' response=*** locale='en_US'
    71 > 1 basic.publish routing_key='orders' mandatory=True + 42 bytes
    160 > 0 heartbeat
    168 > damaged: 5 bytes

A command begins with the channel. Arguments that are empty or False are left out.
"""

from collections.abc import Iterator
from typing import Final

from .decoder import Decoder
from .errors import DecodeError
from .frame_reader import FrameReader
from .frames import OVERHEAD, PREFIX, PROTOCOL_HEADER
from .method import HEARTBEAT, Method
from .protocol import METHODS, connection
from .protocol.constants import FRAME_BODY, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD

_SECRETS: Final[dict[str, str]] = {
    connection.StartOk.NAME: "response",
    connection.Secure.NAME: "challenge",
    connection.SecureOk.NAME: "response",
    connection.UpdateSecret.NAME: "new_secret",
}

_FRAMES: Final = {
    FRAME_METHOD: "a method",
    FRAME_HEADER: "a content header",
    FRAME_BODY: "a content body",
    FRAME_HEARTBEAT: "a heartbeat",
}


def format_command(channel: int, method: Method, body_size: int = 0) -> str:
    """Format a command as one line, with ``***`` in place of a secret.

    Args:
        channel: the number of the channel.
        method: the method, or HEARTBEAT.
        body_size: bytes of the body, if the method has content.
    """
    secret = _SECRETS.get(method.NAME)
    words = [str(channel), method.NAME]
    for name, wire_type in method.FIELDS:
        value = getattr(method, name)
        if name == secret:
            words.append(f"{name}=***")
        elif wire_type == "bit":
            words += [f"{name}=True"] * bool(value)
        elif isinstance(value, int):
            words.append(f"{name}={int(value)}")
        elif value:
            words.append(f"{name}={value!r}")
    if method.HAS_CONTENT:
        words.append(f"+ {body_size} bytes")
    return " ".join(words)


def format_trace(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield what one peer has sent, as far as it was recorded: offset and line of each item.

    An item is a command, a heartbeat, a protocol header or a damaged part. The recording may begin
    and end anywhere.

    Args:
        data: the recorded bytes of one direction of one connection.
    """
    return _Recording(data).items()


class _Recording:
    """A recording that is read once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._reader = FrameReader()
        self._reader.feed(data)
        # of the contents that have begun, by channel: the offset of the method, and its name
        self._begun: dict[int, tuple[int, str]] = {}
        # one for each channel, since a decoder reads nothing behind an error
        self._decoders: dict[int, Decoder] = {}

    def items(self) -> Iterator[tuple[int, str]]:
        """Yield the items in the order in which they are complete."""
        reader = self._reader
        damaged = -1  # where the damage begins that was skipped last
        while reader.pending:
            offset = len(self._data) - reader.pending
            is_damaged = bool(reader.resynchronize())
            is_whole = not is_damaged and (reader.next_header() or reader.next())
            if not is_whole and not is_damaged:
                is_damaged = self._skip_to_whole(offset)
            if is_damaged:
                damaged = offset if damaged < 0 else damaged
                continue
            if damaged >= 0:
                yield damaged, _damaged(offset - damaged)
                damaged = -1
            if not is_whole:
                yield offset, self._unfinished(len(self._data) - offset)
                break
            yield from self._item(offset)
        if damaged >= 0:
            yield damaged, _damaged(len(self._data) - damaged)
        for offset, name in self._begun.values():
            yield offset, f"unfinished: the recording ends within the content of {name}"

    def _item(self, offset: int) -> Iterator[tuple[int, str]]:
        """Yield what is complete with the current frame or protocol header."""
        reader = self._reader
        if reader.frame_type == PROTOCOL_HEADER[0]:
            version = "-".join([str(number) for number in reader.payload[4:]])
            yield offset, f"0 protocol-header AMQP {version}"
        elif reader.frame_type == FRAME_HEARTBEAT:
            yield offset, format_command(0, HEARTBEAT)
        else:
            yield from self._frame(offset)

    def _frame(self, offset: int) -> Iterator[tuple[int, str]]:
        """Yield what is complete with the current frame."""
        reader = self._reader
        channel = reader.channel
        decoder = self._decoders.setdefault(channel, Decoder())
        try:
            commands = decoder.feed(reader.data[reader.start - PREFIX : reader.end + 1])
        except DecodeError as error:
            del self._decoders[channel]
            if channel not in self._begun:
                yield offset, f"{_damaged(reader.size + OVERHEAD)}: {error}"
                return
            began, name = self._begun.pop(channel)
            yield began, f"damaged: the content of {name} is not complete: {error}"
            if reader.frame_type == FRAME_METHOD:
                yield from self._frame(offset)
            return
        for command in commands:
            began, _ = self._begun.pop(channel, (offset, ""))
            yield began, format_command(channel, command.method, len(command.body))
        if not commands and reader.frame_type == FRAME_METHOD:
            self._begun[channel] = (offset, METHODS[reader.index].NAME)

    def _skip_to_whole(self, offset: int) -> bool:
        """Skip what only looks like the beginning of a frame; return whether it does.

        If no whole frame follows, the recording ends within this one.
        """
        rest = FrameReader()
        rest.feed(self._data[offset + 1 :])
        while rest.pending:
            rest.resynchronize()
            left = rest.pending
            if rest.next_header() or rest.next():
                self._reader.take(self._reader.pending - left)
                return True
            rest.take(1)
        return False

    def _unfinished(self, size: int) -> str:
        """Describe the frame that the recording ends within, of which it has ``size`` bytes."""
        reader = self._reader
        kind = _FRAMES.get(reader.frame_type)
        if kind is None:
            return f"unfinished: {size} bytes"
        whole = reader.size + OVERHEAD
        return f"unfinished: {size} bytes of {kind} of {whole} bytes on channel {reader.channel}"


def _damaged(size: int) -> str:
    return f"damaged: {size} bytes"
