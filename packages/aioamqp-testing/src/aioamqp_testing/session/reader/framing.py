"""RabbitMQ's reply texts for frames that cannot be read; they quote bytes as Erlang prints them.

``amqp_codec.FrameReader`` cuts the frames.
"""

from typing import Final

from amqp_codec import DecodeError, FrameReader, ReplyCode
from amqp_codec.frames import OVERHEAD
from amqp_codec.protocol.constants import (
    FRAME_BODY,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
)

from ...model import BrokerError
from ...model.erlang import printing as erlang

_QUOTED: Final = 16  # bytes of a payload that a reply text shows
_SHORTEST: Final = {FRAME_METHOD: 4, FRAME_HEADER: 12, FRAME_BODY: 0}


def new_reader(frame_max: int) -> FrameReader:
    """Return a reader for the frames of a connection that has not been tuned."""
    reader = FrameReader()
    set_frame_max(reader, frame_max)
    return reader


def set_frame_max(reader: FrameReader, frame_max: int) -> None:
    """Set the largest frame. RabbitMQ: a payload may have frame_max bytes, 8 more than fit."""
    reader.frame_max = frame_max + OVERHEAD


def is_known(frame: FrameReader) -> bool:
    """Return whether the type and the size of a frame are those of a frame of AMQP."""
    size = frame.end - frame.start
    shortest = _SHORTEST.get(frame.frame_type)
    if shortest is None:
        return frame.frame_type == FRAME_HEARTBEAT and not size
    return size >= shortest


def unknown(frame: FrameReader) -> BrokerError:
    """Return the error for a frame that is not ``is_known``."""
    text = f"{_quoted(frame.frame_type, frame.payload)}: unknown_frame"
    return BrokerError(ReplyCode.FRAME_ERROR, text)


def unexpected(frame: FrameReader) -> BrokerError:
    """Return the error for a frame at the wrong time."""
    return BrokerError(ReplyCode.UNEXPECTED_FRAME, _quoted(frame.frame_type, frame.payload))


def refused(error: DecodeError, reader: FrameReader) -> BrokerError:
    """Return the error for a frame that the reader cannot read."""
    if error.end is None:
        largest = reader.frame_max - 2 * OVERHEAD
        text = f"{_quoted(error.frame_type, b'')}: {{frame_too_large,{error.size},{largest}}}"
        return BrokerError(ReplyCode.FRAME_ERROR, text)
    text = f"{_quoted(error.frame_type, error.payload)}: "
    column = len(text) - 1 - text.rfind("\n")
    text += erlang.pair("invalid_frame_end_marker", str(error.end), column)
    return BrokerError(ReplyCode.FRAME_ERROR, text)


def _quoted(frame_type: int | None, payload: bytes) -> str:
    which = "all" if len(payload) <= _QUOTED else f"first {_QUOTED}"
    text = f"type {frame_type}, {which} octets = <<"
    column = len(text) - len("<<")
    return text + erlang.binary(payload[:_QUOTED], column).removeprefix("<<")
