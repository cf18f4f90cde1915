"""``python -m amqp_codec``: print recorded bytes of AMQP as a packet trace."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .compiling import COMPILED
from .trace import format_trace
from .version import __version__

_PROGRAM: Final = "python -m amqp_codec"

_DESCRIPTION: Final = """\
Print recorded bytes of an AMQP 0-9-1 connection as a packet trace: one line for each command,
heartbeat, protocol header and damaged part, with its offset in bytes. Bodies and secrets are not
printed. The recording may begin and end anywhere."""

_HEX_DIGITS: Final = b"0123456789abcdefABCDEF"
_BETWEEN: Final = b" \t\r\n:"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code, which is 0 for damaged recordings too."""
    options = _parser().parse_args(arguments)
    arrow = {"client": "> ", "server": "< ", None: ""}[options.sender]
    try:
        data = _read(options.file)
        if not data:
            return _fail("the recording is empty")
        octets = _from_hex(data) if options.hex or _is_hex(data) else data
    except OSError as error:
        return _fail(f"cannot read {options.file}: {error.strerror or error}")
    except ValueError as error:
        return _fail(str(error))
    try:
        for offset, line in format_trace(octets):
            sys.stdout.write(f"{offset} {arrow}{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # of `head`, for example; Python flushes once more when it ends
        with open(os.devnull, "wb") as devnull:
            os.dup2(devnull.fileno(), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=_DESCRIPTION)
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        help="the recording: raw bytes, or hexadecimal digits, which may be separated by spaces,"
        " colons and line breaks; - for the standard input (default)",
    )
    parser.add_argument(
        "--hex", action="store_true", help="fail if the recording is not hexadecimal digits"
    )
    parser.add_argument(
        "--from",
        dest="sender",
        choices=("client", "server"),
        help="the peer that sent the bytes: lines are marked with > for the client, < for the"
        " server, as in aioamqp's debug log",
    )
    build = "compiled" if COMPILED else "pure Python"
    version = f"amqp-codec {__version__} ({build})"
    parser.add_argument("--version", action="version", version=version)
    return parser


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    return Path(file).read_bytes()


def _is_hex(data: bytes) -> bool:
    return not data.translate(None, _HEX_DIGITS + _BETWEEN)


def _from_hex(data: bytes) -> bytes:
    """Return the bytes that hexadecimal digits stand for.

    Raises:
        ValueError: there is another character, or an odd number of digits.
    """
    digits = data.translate(None, _BETWEEN)
    others = digits.translate(None, _HEX_DIGITS)
    if others:
        raise ValueError(
            f"the recording is not hexadecimal: it contains {chr(others[0])!a}; offsets and"
            " text beside the digits must be removed, with `xxd -r` for example"
        )
    if len(digits) % 2:
        raise ValueError("the recording is not hexadecimal: it has an odd number of digits")
    return bytes.fromhex(digits.decode())


def _fail(reason: str) -> int:
    sys.stderr.write(f"{_PROGRAM}: {reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
