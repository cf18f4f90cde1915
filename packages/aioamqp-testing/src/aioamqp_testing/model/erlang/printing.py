"""Octets as Erlang prints them, because RabbitMQ's reply texts quote them that way."""

from decimal import Decimal
from math import copysign
from typing import Final

_ALL_WHOLE = 2**53  # from here on a float has no room for all digits of an integer
_WIDTH = 79  # characters that Erlang puts into a line where it can choose

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


_WORDS: Final = """
    ! - A _ a all amqp any args atom b bar binary binding boolean classic closed durable
    erlang error event exchange exclusive false federation float foo gen_server hash
    infinity integer internal invalid key kill list lists local map match message name
    nil node none normal null ok other pid port queue quorum rabbit random ready
    reference running shutdown sticky stream string system test timeout true tuple type
    types undefined unknown_type value x y z
"""

ATOMS: Final = frozenset(("", " ", *_WORDS.split()))
"""Some words that Erlang knows as atoms; of a type of exchange RabbitMQ then says another thing."""


def binary(octets: bytes, column: int | None = None) -> str:
    """Print a binary: ``<<"abc">>`` when every octet is printable, else ``<<1,2>>``.

    Args:
        octets: what is in it.
        column: where it begins, if it has to be broken into lines like ``~p`` does.
    """
    if octets and _printable(octets):
        return f"<<{_quoted(octets)}>>"
    return raw_binary(octets) if column is None else _broken(octets, column)


def _broken(octets: bytes, column: int) -> str:
    indent = column + len("<<")
    lines, room = [""], _WIDTH - indent
    for number in ", ".join(map(str, octets)).split():
        if len(lines[-1]) + len(number) > room:
            lines.append("")
        lines[-1] += number
    text = f"\n{' ' * indent}".join(lines)
    return f"<<{text}>>"


def raw_binary(octets: bytes) -> str:
    """Print a binary by the numbers of its octets."""
    return f"<<{','.join(map(str, octets))}>>"


def string(octets: bytes) -> str:
    """Print a list of octets: ``"abc"`` when every one is printable, else ``[1,2]``."""
    if octets and _printable(octets):
        return _quoted(octets)
    return f"[{','.join(map(str, octets))}]"


def float_(value: float) -> str:
    """Print a number: ``1.5``, or ``1.0e22`` where that is shorter or there is no other way."""
    _, digits, exponent = Decimal(repr(abs(value))).normalize().as_tuple()
    shown = "".join(map(str, digits))
    point = len(shown) + int(exponent) if value else 1  # digits before the point
    raised = f"{shown[0]}.{shown[1:] or '0'}e{point - 1}"
    if 0 < point < len(shown):
        plain = f"{shown[:point]}.{shown[point:]}"
    elif point > 0:
        plain = shown.ljust(point, "0") + ".0"
    else:
        plain = "0." + shown.rjust(len(shown) - point, "0")
    is_short = abs(value) < _ALL_WHOLE and (0 < point < len(shown) or len(plain) <= len(raised))
    return ("-" if copysign(1, value) < 0 else "") + (plain if is_short else raised)


def pair(first: str, second: str, column: int) -> str:
    """Print a tuple of two printed terms that begins in a column, over two lines if it has to."""
    in_one_line = f"{{{first},{second}}}"
    if column + len(in_one_line) < _WIDTH:
        return in_one_line
    return f"{{{first},\n{' ' * (column + 1)}{second}}}"


def _printable(octets: bytes) -> bool:
    return all(32 <= octet < 127 or octet >= 160 or octet in _ESCAPES for octet in octets)


def _quoted(octets: bytes) -> str:
    return f'"{"".join(_ESCAPES.get(octet) or _character(octet) for octet in octets)}"'


def _character(octet: int) -> str:
    # an octet of 160 and more is a Latin-1 character to Erlang, and goes out as that one octet
    return bytes((octet,)).decode("utf-8", "surrogateescape")
