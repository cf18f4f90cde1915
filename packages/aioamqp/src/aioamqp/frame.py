"""Single frames over asyncio's streams, as in 0.15; nothing in this package uses them."""

from typing import Protocol
from weakref import WeakKeyDictionary

from amqp_codec import Command, Decoder, Method, encode_command

from .exceptions import AmqpClosedConnection

DUMP_FRAMES = False
"""Has no effect; set the logger ``aioamqp.protocol`` to DEBUG before connecting instead."""

_PREFIX = 7  # type, channel and size. Spec: 4.2.3


class _Reader(Protocol):
    async def readexactly(self, n: int, /) -> bytes: ...


class _Writer(Protocol):
    def write(self, data: bytes, /) -> None: ...


_decoders: WeakKeyDictionary[_Reader, Decoder] = WeakKeyDictionary()


def write(writer: _Writer, channel: int, encoder: Method) -> None:
    """Write a method that carries no content.

    Raises:
        amqp_codec.EncodeError: it cannot be sent; nothing is written.
    """
    writer.write(encode_command(Command(channel, encoder)))


async def read(reader: _Reader | None) -> tuple[int, Command]:
    """Read until a command is complete: a method, its content with it, or a heartbeat.

    Returns:
        The number of the channel, and the command.

    Raises:
        AmqpClosedConnection: there is no reader, or the link ends.
        amqp_codec.DecodeError: the octets are no AMQP.
    """
    if not reader:
        raise AmqpClosedConnection("There is no link to read from")
    decoder = _decoders.setdefault(reader, Decoder())
    while True:
        try:
            prefix = await reader.readexactly(_PREFIX)
            rest = await reader.readexactly(int.from_bytes(prefix[3:]) + 1)
        except (EOFError, OSError) as error:
            raise AmqpClosedConnection(f"The link to the server ended: {error}") from error
        for command in decoder.feed(prefix + rest):  # a frame completes one at most
            return command.channel, command
        if decoder.error is not None:
            raise decoder.error
