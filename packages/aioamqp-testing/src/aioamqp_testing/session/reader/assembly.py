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

from ...model import BrokerError
from ...model.erlang import printing as erlang
from ...model.erlang import terms as values
from .framing import Frame
from .undocumented import UNLISTED

_MISFITS: Final = (ValueError, IndexError, StructError)
_IDS = 4  # octets of class id and method id
_BEFORE_PROPERTIES = 12  # octets of class id, weight and body size
_UNREADABLE: Final = b"\x20\0" + b"\0\0\0\3" + b"\1?\0"  # headers, a table with a type that is none


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
        FrameRefused: 501, its arguments do not end where the frame does, or are not UTF-8; 541,
            they cannot be read on channel 0.
        ReaderCrash: there is no such method, or a table in it cannot be read.
    """
    payload = frame.payload
    index = _index(frame)
    method = METHODS.get(index) or UNLISTED.get(index)
    if method is None:
        raise _unknown(index)
    try:
        decoded = method.decode(payload, _IDS, len(payload))
    except (DecodeError, *_MISFITS) as error:
        if not frame.channel:
            # RabbitMQ: its reader catches what it stumbles over, if that is meant for itself
            raise FrameRefused(ReplyCode.INTERNAL_ERROR) from None
        if isinstance(error, DecodeError):
            raise ReaderCrash(f"{method.NAME}: {error}") from None
        text = f"cannot decode {erlang.raw_binary(payload[_IDS:])}"
        raise FrameRefused(ReplyCode.FRAME_ERROR, text, index) from None
    _check(decoded, frame)
    return decoded


def _check(method: Method, frame: Frame) -> None:
    """Refuse values that the wire can carry but RabbitMQ does not take."""
    if isinstance(method, basic.Publish | basic.Ack):
        return
    # RabbitMQ: it looks at every short string but those of basic.publish, and names the method on
    # channel 0 only; and Erlang has no number that is infinite or none at all
    is_ascii = frame.payload.isascii()
    for name, wire_type in method.FIELDS:
        if wire_type == "shortstr" and not is_ascii:
            try:
                getattr(method, name).encode()
            except UnicodeEncodeError:
                text = "Malformed UTF-8 in shortstr"
                index = 0 if frame.channel else method.INDEX
                raise FrameRefused(ReplyCode.FRAME_ERROR, text, index) from None
        elif wire_type == "table" and not values.is_representable(getattr(method, name)):
            if not frame.channel:
                raise FrameRefused(ReplyCode.INTERNAL_ERROR)
            raise ReaderCrash(f"{method.NAME}: a number in {name} is none")


class Assembler:
    """Puts the frames of one channel together."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._begun: list[Frame] = []  # of a command, without bodies; empty between commands
        self._is_overfull = False

    def assemble(self, frame: Frame) -> Iterator[Command]:
        """Take a frame or a run of them; return the commands that are complete with it.

        Each of them is to be dealt with before the next one is asked for: only then comes the error
        of what is behind it.

        Raises:
            FrameRefused: 501 or 505.
            ReaderCrash: the connection cannot go on.
        """
        if frame.is_run and not self._begun:
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
        if self._is_overfull:
            if frame.type == FRAME_BODY:
                return None
            raise self._out_of_turn(frame)
        try:
            commands = self._decoder.feed(frame.octets)
        except DecodeError as error:
            return self._refuse(error, frame)
        if not commands:
            if frame.type != FRAME_BODY:
                self._begun.append(frame)
            return None
        if self._begun:
            self._begun = []
        if frame.type == FRAME_METHOD:
            _check(commands[0].method, frame)
        return commands[0]

    def _refuse(self, error: DecodeError, frame: Frame) -> Command | None:
        index = error.index or 0
        match error.kind:
            case "method_unknown" | "method_arguments" | "field_value" if self._begun:
                if frame.type == FRAME_METHOD:
                    raise self._out_of_turn(frame)
                return self._without_properties(frame)
            case "method_unknown" | "method_arguments":
                method = decode_method(frame)  # raises, unless the codec just does not list it
                self._decoder = Decoder()
                return Command(frame.channel, method)
            case "field_value":
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
            case _:  # the size of a body
                # RabbitMQ: it waits for the rest, of which there are less than no octets
                self._is_overfull = True
                return None

    def _out_of_turn(self, frame: Frame) -> Exception:
        """Return what RabbitMQ says about a frame in a content: a method need not be readable."""
        index = _index(frame)
        if frame.type == FRAME_METHOD and index not in METHODS and index not in UNLISTED:
            return _unknown(index)
        index = _index(self._begun[0])
        if len(self._begun) == 1:
            return _header_expected(index, "non content header frame")
        return _body_expected(index)

    def _without_properties(self, header: Frame) -> Command | None:
        """Go on in a content whose properties cannot be read.

        RabbitMQ: its reader leaves them alone, and the channel fails when it looks at them, if
        nothing else is wrong with the message before that. So they are given as headers that cannot
        be read either, because these are not looked at here.
        """
        self._decoder = Decoder()
        self._decoder.feed(self._begun[0].octets)
        payload = header.payload[:_BEFORE_PROPERTIES] + _UNREADABLE
        return self._assemble(Frame.of(header.type, header.channel, payload))


def _index(frame: Frame) -> int:
    return int.from_bytes(frame.payload[:_IDS], "big")


def _unknown(index: int) -> ReaderCrash:
    return ReaderCrash(f"there is no method {index >> 16}.{index & 0xFFFF}")


def _header_expected(index: int, got: str) -> FrameRefused:
    text = f"expected content header for class {index >> 16}, got {got} instead"
    return FrameRefused(ReplyCode.UNEXPECTED_FRAME, text, index)


def _body_expected(index: int) -> FrameRefused:
    text = "expected content body, got non content body frame instead"
    return FrameRefused(ReplyCode.UNEXPECTED_FRAME, text, index)
