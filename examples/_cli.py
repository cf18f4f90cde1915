"""The command line of the examples, kept out of them: --url, Ctrl-C, and errors as a sentence."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any

from aioamqp import AioamqpException, ChannelClosed

DEFAULT_URL = "amqp://guest:guest@localhost/"
INTERRUPTED = 130  # what shells make of Ctrl-C


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Make a parser that knows ``--url``, for a program with this docstring."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--url",
        default=os.environ.get("AMQP_URL") or DEFAULT_URL,
        help=f"of the broker; without, the environment variable AMQP_URL, or else {DEFAULT_URL}",
    )
    return parser


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a program; exit with 130 after Ctrl-C, with 1 and a sentence if the broker fails it."""
    # How a connection ended is said below, once. Callbacks that fail are still logged.
    logging.getLogger("aioamqp").setLevel(logging.ERROR)
    try:
        asyncio.run(main)
    except KeyboardInterrupt:
        # By now `async with` has closed the connection.
        sys.exit(INTERRUPTED)
    except ChannelClosed as error:
        sys.exit(f"The broker closed the channel or the connection: {error.code} {error.message}")
    # A ValueError is what from_url() has for a URL that is wrong.
    except (AioamqpException, OSError, ValueError) as error:
        sys.exit(str(error))
