"""Binaries, strings and numbers as Erlang prints them in RabbitMQ's reply texts."""

from decimal import Decimal
from math import copysign
from typing import Final

_ALL_WHOLE = 2**53  # from here on a float cannot represent every integer
_WIDTH = 79  # characters of a line that Erlang breaks

_ESCAPES = {
    8: "\\b",
    9: "\\t",
    10: "\\n",
    11: "\\v",
    12: "\\f",
    13: "\\r",
    27: "\\e",
    34: '\\"',
    92: "\\\\",
}


_LATIN_1: Final = {0xDC00 + byte: chr(byte) for byte in range(128, 256)}  # of surrogates

_WORDS: Final = r"""
    ! # % & ( ) * + ++ , - -- -> . .. ... / /= 3 6 : :: ; < = == => > ? @ [ \ ] ^ _ ` { | } ~
    B E K L N P S T U V X a b c d e f g h i j k l m n p q r s u v w x y z
    all amqp any args atom bar binary binding boolean classic closed default durable
    erlang error event exchange exclusive false federation float foo gen_server hash
    infinity integer internal invalid key kill list lists local map match message name
    nil node none normal null ok other pid port queue quorum rabbit random ready
    reference running shutdown sticky stream string system test timeout true tuple type
    types undefined value
"""

ATOMS: Final = frozenset(("", *_WORDS.split()))
"""Some words that are atoms in RabbitMQ; its text for an unknown exchange type depends on it."""


def binary(data: bytes, column: int | None = None) -> str:
    """Format a binary: ``<<"abc">>`` if every byte is printable, else ``<<1,2>>``.

    Args:
        data: the bytes of the binary.
        column: where the binary begins, to break it into lines as ``~p`` does.
    """
    if data and _printable(data):
        return f"<<{_quoted(data)}>>"
    return raw_binary(data) if column is None else _broken(data, column)


def _broken(data: bytes, column: int) -> str:
    indent = column + len("<<")
    lines, width = [""], _WIDTH - indent
    for number in ", ".join(map(str, data)).split():
        if len(lines[-1]) + len(number) > width:
            lines.append("")
        lines[-1] += number
    text = f"\n{' ' * indent}".join(lines)
    return f"<<{text}>>"


def raw_binary(data: bytes) -> str:
    """Format a binary as the numbers of its bytes."""
    return f"<<{','.join(map(str, data))}>>"


def string(data: bytes) -> str:
    """Format a string: ``"abc"`` if every byte is printable, else ``[1,2]``."""
    if data and _printable(data):
        return _quoted(data)
    return f"[{','.join(map(str, data))}]"


def characters(data: bytes) -> str:
    """Format a list of characters: ``"abc"`` if each is printable Latin-1, else ``[1,2]``."""
    text = latin_1(data.decode("utf-8", "surrogateescape"))
    if text and all(ord(each) < 256 and _printable(bytes((ord(each),))) for each in text):
        return f'"{"".join(_ESCAPES.get(ord(each)) or each for each in text)}"'
    return f"[{','.join(str(ord(each)) for each in text)}]"


def latin_1(text: str) -> str:
    """Return a text with the characters that bytes which are no UTF-8 are in Latin-1."""
    return text if text.isascii() else text.translate(_LATIN_1)


def float_(value: float) -> str:
    """Format a float: ``1.5``, or ``1.0e22`` if that is shorter."""
    _, parts, exponent = Decimal(repr(abs(value))).normalize().as_tuple()
    digits = "".join(map(str, parts))
    point = len(digits) + int(exponent) if value else 1  # digits before the decimal point
    raised = f"{digits[0]}.{digits[1:] or '0'}e{point - 1}"
    if 0 < point < len(digits):
        plain = f"{digits[:point]}.{digits[point:]}"
    elif point > 0:
        plain = digits.ljust(point, "0") + ".0"
    else:
        plain = "0." + digits.rjust(len(digits) - point, "0")
    is_short = abs(value) < _ALL_WHOLE and (0 < point < len(digits) or len(plain) <= len(raised))
    return ("-" if copysign(1, value) < 0 else "") + (plain if is_short else raised)


def pair(first: str, second: str, column: int) -> str:
    """Format a tuple of two terms that begins in a column, on two lines if it is too long."""
    in_one_line = f"{{{first},{second}}}"
    if column + len(in_one_line) < _WIDTH:
        return in_one_line
    return f"{{{first},\n{' ' * (column + 1)}{second}}}"


def _printable(data: bytes) -> bool:
    return all(32 <= byte < 127 or byte >= 160 or byte in _ESCAPES for byte in data)


def _quoted(data: bytes) -> str:
    return f'"{"".join(_ESCAPES.get(byte) or _character(byte) for byte in data)}"'


def _character(byte: int) -> str:
    # Erlang: a byte of 160 and more is a Latin-1 character, which is sent as that one byte
    return bytes((byte,)).decode("utf-8", "surrogateescape")
