"""``python -m aioamqp_testing serve``: the broker by itself, for local work."""

import argparse
import asyncio
import errno
import ipaddress
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from .broker import FakeBroker
from .cli.overview import Log, Screen
from .version import __version__

_SECONDS = 0.5  # between two looks at the broker

_PROGRAM = "python -m aioamqp_testing"

_WHAT_IT_IS = f"""\
A fake RabbitMQ in memory, for tests and local work: aioamqp-testing {__version__}.
Nothing is kept: queues, messages and all else are gone when it stops, also what is durable.
{{reach}}
Ctrl-C stops it.

"""
_LOOPBACK = "It listens on loopback only: other machines cannot reach it, unless --host says so."
_OPEN = "It listens on {host}: whoever reaches this machine can use it, as guest, password guest."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(serve(options.host, options.port, quiet=options.quiet))
    except KeyboardInterrupt:
        return 0  # where the loop cannot handle signals, or before it does


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="An AMQP 0-9-1 broker in memory, for tests and local work."
    )
    parser.add_argument("--version", action="version", version=f"aioamqp-testing {__version__}")
    commands = parser.add_subparsers(required=True, metavar="serve")
    command = commands.add_parser(
        "serve",
        help="run a broker that any AMQP 0-9-1 client can use",
        description="Run a broker until Ctrl-C. The first line it prints is its URL, and nothing"
        " else is in that line.",
    )
    command.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    command.add_argument(
        "--port",
        type=_port,
        default=5672,
        help="the port to listen on, 0 for any free one (default: %(default)s)",
    )
    command.add_argument("--quiet", action="store_true", help="print the URL and nothing else")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 0xFFFF:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, not {text!r}")
    return int(text)


async def serve(host: str, port: int, *, quiet: bool = False) -> int:
    """Run a broker until SIGINT or SIGTERM; return the exit code."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with FakeBroker() as broker:
        try:
            url = await broker.listen(host, port)
        except OSError as error:
            sys.stderr.write(f"{_PROGRAM}: {_refusal(error, host, port)}\n")
            return 1
        print(url, flush=True)  # noqa: T201 (scripts read this line)
        if quiet:
            await stop.wait()
            return 0
        reach = _LOOPBACK if _is_loopback(host) else _OPEN.format(host=host)
        what_it_is = _WHAT_IT_IS.format(reach=reach)
        sys.stdout.write(what_it_is)
        above = 1 + what_it_is.count("\n")
        view = Screen(sys.stdout, above) if sys.stdout.isatty() else Log(sys.stdout)
        while not stop.is_set():
            view.show(broker)
            await _wait(stop)
        view.show(broker)
    return 0


async def _wait(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), _SECONDS)


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:
            return  # Windows: Ctrl-C is a KeyboardInterrupt there


def _refusal(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use, by RabbitMQ perhaps:"
            " stop what listens there, or choose another --port, 0 for any free one"
        )
    return f"cannot listen on port {port} of {host}: {error.strerror or error}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
