"""Encoder and decoder for AMQP 0-9-1 as RabbitMQ speaks it, without any input or output.

    bytes ── Decoder.feed ──▶ Command ── encode_command ──▶ bytes
    bytes ── FrameReader ──▶ frames, for peers that look at each of them

A command is a method, with a content if it carries one. There is a module for each AMQP class and a
class for each method: ``basic.Publish``, ``queue.DeclareOk``. ``values`` lists the types that a
field table can hold.
"""

from . import protocol  # first, since errors and values need the generated constants
from .command import Command
from .compiling import COMPILED
from .content_encoder import ContentEncoder, encode_properties
from .decoder import Decoder
from .encoder import (
    ContentPieces,
    encode_command,
    encode_content,
    encode_content_in_pieces,
    encode_method,
)
from .errors import CodecError, DecodeError, EncodeError
from .frame_reader import FrameReader
from .frames import PROTOCOL_HEADER
from .method import HEARTBEAT, Method
from .protocol import METHODS, basic, channel, confirm, connection, exchange, queue, tx
from .protocol.basic import Properties
from .protocol.constants import ReplyCode
from .trace import format_command, format_trace
from .values import (
    FieldTable,
    FieldValue,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    LongStr,
    Table,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    decode_table,
    encode_table,
    field_type,
    to_builtins,
)
from .version import __version__

__all__ = [
    "COMPILED",
    "HEARTBEAT",
    "METHODS",
    "PROTOCOL_HEADER",
    "CodecError",
    "Command",
    "ContentEncoder",
    "ContentPieces",
    "DecodeError",
    "Decoder",
    "EncodeError",
    "FieldTable",
    "FieldValue",
    "Float32",
    "FrameReader",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "LongStr",
    "Method",
    "Properties",
    "ReplyCode",
    "Table",
    "Timestamp",
    "UInt8",
    "UInt16",
    "UInt32",
    "__version__",
    "basic",
    "channel",
    "confirm",
    "connection",
    "decode_table",
    "encode_command",
    "encode_content",
    "encode_content_in_pieces",
    "encode_method",
    "encode_properties",
    "encode_table",
    "exchange",
    "field_type",
    "format_command",
    "format_trace",
    "protocol",
    "queue",
    "to_builtins",
    "tx",
]
