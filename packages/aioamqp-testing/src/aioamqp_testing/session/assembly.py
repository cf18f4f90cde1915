"""Frames of one channel to commands, and RabbitMQ's words for what does not fit together.

The codec finds what is wrong; here it is said as RabbitMQ says it, with the octets at fault and the
method they belong to.
"""

from collections.abc import Iterator
from contextlib import suppress
from struct import error as StructError
from typing import Final

from amqp_codec import METHODS, Command, DecodeError, Decoder, Method, ReplyCode, basic
from amqp_codec.protocol.constants import FRAME_BODY, FRAME_METHOD

from ..model import BrokerError, erlang
from .framing import Frame
from .unlisted import UNLISTED

_MISFITS: Final = (ValueError, IndexError, StructError)
_IDS = 4  # octets of class id and method id


class ReaderCrash(Exception):
    """Input that RabbitMQ's reader process does not survive: the connection is reset at once."""


class FrameRefused(BrokerError):
    """A frame that does not fit, together with the method that the close method names.

    Attributes:
        index: class id << 16 | method id, 0 for none.
    """

    def __init__(self, reply_code: ReplyCode, text: str = "", index: int = 0) -> None:
        super().__init__(reply_code, text)
        self.index = index


def decode_method(frame: Frame) -> Method:
    """Read the method in a frame.

    Raises:
        FrameRefused: 501, its arguments do not end where the frame does, or are not UTF-8.
        ReaderCrash: there is no such method, or a table in it cannot be read.
    """
    payload = frame.payload
    index = int.from_bytes(payload[:_IDS], "big")
    method = METHODS.get(index) or UNLISTED.get(index)
    if method is None:
        raise ReaderCrash(f"there is no method {index >> 16}.{index & 0xFFFF}")
    try:
        decoded = method.decode(payload, _IDS, len(payload))
    except DecodeError as error:
        raise ReaderCrash(f"{method.NAME}: {error}") from None
    except _MISFITS:
        text = f"cannot decode {erlang.raw_binary(payload[_IDS:])}"
        raise FrameRefused(ReplyCode.FRAME_ERROR, text, index) from None
    _check_text(decoded, payload)
    return decoded


def _check_text(method: Method, payload: bytes) -> None:
    # RabbitMQ: it looks at every short string of a method, but not at those of basic.publish
    if payload.isascii() or isinstance(method, basic.Publish):
        return
    for name, wire_type in method.FIELDS:
        if wire_type == "shortstr":
            try:
                getattr(method, name).encode()
            except UnicodeEncodeError:
                text = "Malformed UTF-8 in shortstr"
                raise FrameRefused(ReplyCode.FRAME_ERROR, text) from None


class Assembler:
    """Puts the frames of one channel together."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._overfull: int | None = None
        self._is_idle = True  # whether the next frame begins a command

    def assemble(self, frame: Frame) -> Iterator[Command]:
        """Take a frame or a run of them; return the commands that are complete with it.

        Each of them is to be dealt with before the next one is asked for: only then comes the error
        of what is behind it.

        Raises:
            FrameRefused: 501, 505 or 541.
            ReaderCrash: the connection cannot go on.
        """
        if frame.is_run and self._is_idle:
            with suppress(DecodeError):
                commands = self._decoder.feed(frame.octets)
                if self._decoder.error is None:
                    yield from commands
                    return
            self._decoder = Decoder()  # it has seen nothing yet that was dealt with
        for single in frame.split() if frame.is_run else (frame,):
            command = self._assemble(single)
            if command is not None:
                yield command

    def _assemble(self, frame: Frame) -> Command | None:
        if self._overfull is not None:
            if frame.type == FRAME_BODY:
                return None
            raise _body_expected(self._overfull)
        self._is_idle = False
        try:
            commands = self._decoder.feed(frame.octets)
        except DecodeError as error:
            return self._refuse(error, frame)
        if not commands:
            return None
        self._is_idle = True
        if frame.type == FRAME_METHOD:
            _check_text(commands[0].method, frame.payload)
        return commands[0]

    def _refuse(self, error: DecodeError, frame: Frame) -> Command | None:
        index = error.index or 0
        match error.kind:
            case "method_unknown" | "method_arguments":
                method = decode_method(frame)  # raises, unless the codec just does not list it
                self._decoder = Decoder()
                self._is_idle = True
                return Command(frame.channel, method)
            case "field_value" if frame.type == FRAME_METHOD:
                raise ReaderCrash(str(error))
            case "method_expected":
                text = "expected method frame, got non method frame instead"
                raise FrameRefused(ReplyCode.UNEXPECTED_FRAME, text)
            case "header_expected":
                raise _header_expected(index, "non content header frame")
            case "header_class":
                class_id = int.from_bytes(frame.payload[:2], "big")
                raise _header_expected(index, f"one for class {class_id}")
            case "body_expected":
                raise _body_expected(index)
            case "body_size":
                # RabbitMQ: it waits for the rest, of which there are less than no octets
                self._overfull = index
                return None
            case _:
                raise FrameRefused(ReplyCode.INTERNAL_ERROR)


def _header_expected(index: int, got: str) -> FrameRefused:
    text = f"expected content header for class {index >> 16}, got {got} instead"
    return FrameRefused(ReplyCode.UNEXPECTED_FRAME, text, index)


def _body_expected(index: int) -> FrameRefused:
    text = "expected content body, got non content body frame instead"
    return FrameRefused(ReplyCode.UNEXPECTED_FRAME, text, index)
