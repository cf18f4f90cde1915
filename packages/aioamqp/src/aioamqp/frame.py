"""Frames over asyncio's streams, as in 0.15; this package itself does not use these functions."""

from typing import Protocol
from weakref import WeakKeyDictionary

from amqp_codec import Command, Decoder, Method, encode_command

from .exceptions import AmqpClosedConnection

DUMP_FRAMES = False
"""Ignored; to log frames, set the logger ``aioamqp.protocol`` to DEBUG before connecting."""

_PREFIX = 7  # type, channel and size. Spec: 4.2.3


class _Reader(Protocol):
    async def readexactly(self, n: int, /) -> bytes: ...


class _Writer(Protocol):
    def write(self, data: bytes, /) -> None: ...


_decoders: WeakKeyDictionary[_Reader, Decoder] = WeakKeyDictionary()


def write(writer: _Writer, channel: int, encoder: Method) -> None:
    """Write a method that carries no content.

    Raises:
        amqp_codec.EncodeError: the method cannot be sent; nothing is written.
    """
    writer.write(encode_command(Command(channel, encoder)))


async def read(reader: _Reader | None) -> tuple[int, Command]:
    """Read frames until a command is complete: a method with its content, or a heartbeat.

    Returns:
        The number of the channel, and the command.

    Raises:
        AmqpClosedConnection: there is no reader, or the stream ends.
        amqp_codec.DecodeError: the bytes are not AMQP.
    """
    if not reader:
        raise AmqpClosedConnection("There is no connection to read from")
    decoder = _decoders.setdefault(reader, Decoder())
    while True:
        try:
            prefix = await reader.readexactly(_PREFIX)
            rest = await reader.readexactly(int.from_bytes(prefix[3:]) + 1)
        except (EOFError, OSError) as error:
            raise AmqpClosedConnection(f"The connection to the server ended: {error}") from error
        for command in decoder.feed(prefix + rest):  # a frame completes at most one
            return command.channel, command
        if decoder.error is not None:
            raise decoder.error
