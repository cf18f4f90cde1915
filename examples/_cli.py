"""The command line that all examples share: --url, Ctrl-C, and error messages."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any

from aioamqp import AioamqpException, ChannelClosed

DEFAULT_URL = "amqp://guest:guest@localhost/"
INTERRUPTED = 130  # the exit code of shells after Ctrl-C


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Create a parser with ``--url``, for a program with this docstring."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--url",
        default=os.environ.get("AMQP_URL") or DEFAULT_URL,
        help=f"of the broker; the default is the environment variable AMQP_URL, or {DEFAULT_URL}",
    )
    return parser


def run(main: Coroutine[Any, Any, None], level: int = logging.ERROR) -> None:
    """Run a program; exit with 130 after Ctrl-C, with 1 and a message after an error."""
    # The error is printed below, so it need not be logged. Failed callbacks are still logged.
    logging.getLogger("aioamqp").setLevel(level)
    try:
        asyncio.run(main)
    except KeyboardInterrupt:
        # `async with` has already closed the connection.
        sys.exit(INTERRUPTED)
    except ChannelClosed as error:
        sys.exit(f"The broker closed the channel or the connection: {error.code} {error.message}")
    # from_url() raises ValueError for an invalid URL.
    except (AioamqpException, OSError, ValueError) as error:
        sys.exit(str(error))
