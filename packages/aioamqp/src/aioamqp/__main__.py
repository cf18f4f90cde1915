"""``python -m aioamqp``: publish, consume, get, declare, delete, purge and watch queues."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from amqp_codec import ReplyCode

from ._advice import missing, with_advice
from ._cli.commands import COMMANDS, CommandFailed
from ._cli.parser import PROGRAM, create_parser
from .connecting import from_url
from .exceptions import AioamqpException, ChannelClosed, PublishReturned

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
        return _fail(f"{several}{_sentence(group.exceptions[0], options.command)}")
    # from_url() raises ValueError for an invalid URL; others are arguments that cannot be sent.
    except (AioamqpException, CommandFailed, OSError, ValueError) as error:
        return _fail(_sentence(error, options.command))


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


def _sentence(error: BaseException, command: str) -> str:
    if isinstance(error, PublishReturned):
        exchange = error.envelope.exchange_name
        reason = "no queue is bound for it" if exchange else "there is no queue of this name"
        return f"{error}; {reason} (--unroutable permits that)"
    if isinstance(error, ChannelClosed):
        text = f"the server closed the {error.ended}: {error.code} {error.message}"
        return with_advice(text, _advice(error, command))
    return str(error)


def _advice(error: ChannelClosed, command: str) -> str:
    """Return what to do about a refusal, in commands where there are some."""
    absent = missing(error.code, error.message)
    if absent is not None:
        kind, name = absent
        check = "check the name and the virtual host"
        return (
            check if command == "delete" else f"{check}, or create it with: declare {kind} {name}"
        )
    if error.code == ReplyCode.NOT_IMPLEMENTED and "stream" in error.message:
        return "read a stream with consume, and --argument x-stream-offset=first from its beginning"
    if "inequivalent arg" in error.message:
        return "it exists with another value; --passive only checks that it exists"
    if error.message.endswith("' in use"):
        return "it has consumers or bindings: leave out --if-unused to delete it all the same"
    if error.message.endswith("' not empty"):
        return "purge it, or leave out --if-empty to delete it all the same"
    return error.advice


def _fail(text: str) -> int:
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    return _FAILED


if __name__ == "__main__":
    # main() prints the error, so it need not be logged.
    logging.getLogger("aioamqp").setLevel(logging.CRITICAL)
    sys.exit(main())
