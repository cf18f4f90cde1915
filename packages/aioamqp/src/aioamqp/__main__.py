"""``python -m aioamqp``: publish, consume, get, declare, purge, and watch queues."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from ._cli.commands import COMMANDS, CommandFailed
from ._cli.parser import PROGRAM, create_parser
from .connecting import from_url
from .exceptions import AioamqpException, ChannelClosed

_FAILED = 1
_INTERRUPTED = 130  # the exit codes of shells after SIGINT and SIGTERM
_TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code."""
    options = create_parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Who read standard output has seen enough; the interpreter must not flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except ExceptionGroup as group:  # from a publisher
        several = f"{group.message}; the first: " if len(group.exceptions) > 1 else ""
        return _fail(f"{several}{_sentence(group.exceptions[0])}")
    # from_url() raises ValueError for an invalid URL; others are arguments that cannot be sent.
    except (AioamqpException, CommandFailed, OSError, ValueError) as error:
        return _fail(_sentence(error))


async def _run(options: argparse.Namespace) -> int:
    task = asyncio.ensure_future(_on_connection(options))
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return _TERMINATED
    return 0


async def _on_connection(options: argparse.Namespace) -> None:
    async with from_url(options.url) as protocol:
        await COMMANDS[options.command](await protocol.channel(), options)


def _sentence(error: BaseException) -> str:
    if isinstance(error, ChannelClosed):
        return f"the server closed the channel: {error.code} {error.message}"
    return str(error)


def _fail(text: str) -> int:
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    return _FAILED


if __name__ == "__main__":
    # main() prints the error, so it need not be logged.
    logging.getLogger("aioamqp").setLevel(logging.CRITICAL)
    sys.exit(main())
