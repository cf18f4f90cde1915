"""``python -m aioamqp_testing serve``: a fake broker as a process, for local development."""

import argparse
import asyncio
import errno
import ipaddress
import signal
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from .broker import FakeBroker
from .cli.overview import Log, Screen
from .model.exchanges.plugins import PLUGINS
from .model.profile import DEFAULT_VERSION, VERSIONS
from .version import __version__

_PORT = 5672
_TLS_PORT = 5671
_SECONDS = 0.5  # between two updates of the overview

_PROGRAM = "python -m aioamqp_testing"

_BANNER = f"""\
A fake RabbitMQ in memory, for tests and local development: aioamqp-testing {__version__}.
Nothing is stored: all queues and messages are lost when it stops, including durable ones.
{{access}}
Press Ctrl-C to stop it.

"""
_LOOPBACK = (
    "It listens on the loopback interface only; --host makes it reachable from other machines."
)
_OPEN = "It listens on {host}: everyone who can reach this machine can log in as guest/guest."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code."""
    options = _parser().parse_args(arguments)
    port, context = options.port, None
    try:
        if options.tls is not None:
            context = _tls_context(*options.tls)
        if port is None:
            port = _PORT if context is None else _TLS_PORT
        return asyncio.run(
            serve(
                options.host,
                port,
                context=context,
                management_port=options.management_port,
                quiet=options.quiet,
                plugins=options.plugins,
                rabbitmq=options.rabbitmq,
                deprecated=options.deprecated,
            )
        )
    except _Refused as error:
        sys.stderr.write(f"{_PROGRAM}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0  # if the loop cannot handle signals, or does not handle them yet


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="An AMQP 0-9-1 broker in memory, for tests and local development.",
    )
    parser.add_argument("--version", action="version", version=f"aioamqp-testing {__version__}")
    commands = parser.add_subparsers(required=True, metavar="serve")
    command = commands.add_parser(
        "serve",
        help="run a broker for any AMQP 0-9-1 client",
        description="Run a broker until Ctrl-C is pressed. The first line of output is its URL.",
    )
    command.add_argument(
        "--host",
        default="localhost",
        help="the address to listen on: localhost for 127.0.0.1 and ::1, :: for all addresses of"
        " the machine, IPv4 and IPv6 (default: %(default)s)",
    )
    command.add_argument(
        "--port",
        type=_port,
        help=f"the port to listen on; 0 for any free one (default: {_PORT}, or {_TLS_PORT} with"
        " --tls)",
    )
    command.add_argument(
        "--plugin",
        action="append",
        default=[],
        choices=sorted(PLUGINS),
        dest="plugins",
        metavar="NAME",
        help="add the exchanges of a plugin of RabbitMQ; may be repeated. The plugins are:"
        f" {', '.join(sorted(PLUGINS))}",
    )
    command.add_argument(
        "--rabbitmq",
        default=DEFAULT_VERSION,
        choices=VERSIONS,
        metavar="VERSION",
        help=f"the version of RabbitMQ to answer as: {', '.join(VERSIONS)} (default: %(default)s)",
    )
    command.add_argument(
        "--deprecated",
        default="permit",
        choices=("permit", "deny"),
        help="permit deprecated features with a warning, or deny them as RabbitMQ's own packages do"
        " (default: %(default)s)",
    )
    command.add_argument(
        "--tls",
        nargs=2,
        metavar=("CERT", "KEY"),
        help="accept TLS instead of plain connections, with a certificate and its private key, two"
        " files in PEM format",
    )
    command.add_argument(
        "--management-port",
        type=_port,
        metavar="PORT",
        help="serve the management API on this port, too; 0 for any free one, RabbitMQ's is 15672."
        " Its URL is the second line of output",
    )
    command.add_argument("--quiet", action="store_true", help="print only the URLs")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 0xFFFF:
        raise argparse.ArgumentTypeError(f"the port must be 0 to 65535, not {text!r}")
    return int(text)


class _Refused(Exception):
    """The broker cannot be run as the options say; the text gives the reason."""


def _tls_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise _Refused(
            f"cannot use the certificate {certificate} with the private key {key}: {reason}"
        ) from None
    return context


def _refuse_password() -> str:
    raise ValueError("the key is encrypted; use one without a password")


async def serve(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None = None,
    management_port: int | None = None,
    quiet: bool = False,
    plugins: Sequence[str] = (),
    rabbitmq: str = DEFAULT_VERSION,
    deprecated: Literal["permit", "deny"] = "permit",
) -> int:
    """Run a broker until SIGINT or SIGTERM; return the exit code."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with _broker(plugins, rabbitmq, deprecated) as broker:
        try:
            urls = [await broker.listen(host, port, ssl=context)]
            if management_port is not None:
                port = management_port
                urls.append(await broker.listen_management(host, port, ssl=context))
        except OSError as error:
            raise _Refused(_listen_error(error, host, port)) from None
        except ModuleNotFoundError as error:
            raise _Refused(str(error)) from None
        for url in urls:
            print(url, flush=True)  # noqa: T201 (scripts read these lines)
        if quiet:
            await stop.wait()
            return 0
        access = _LOOPBACK if _is_loopback(host) else _OPEN.format(host=host)
        banner = _BANNER.format(access=access)
        sys.stdout.write(banner)
        above = len(urls) + banner.count("\n")
        view = Screen(sys.stdout, above) if sys.stdout.isatty() else Log(sys.stdout)
        while not stop.is_set():
            view.show(broker)
            await _wait(stop)
        view.show(broker)
    return 0


def _broker(
    plugins: Sequence[str], rabbitmq: str, deprecated: Literal["permit", "deny"]
) -> FakeBroker:
    try:
        return FakeBroker(plugins=plugins, rabbitmq=rabbitmq, deprecated=deprecated)
    except ValueError as error:
        raise _Refused(str(error)) from None


async def _wait(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), _SECONDS)


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:
            return  # Windows: Ctrl-C raises KeyboardInterrupt


def _listen_error(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use, perhaps by RabbitMQ;"
            " stop the program that listens there, or choose another --port (0 for any free one)"
        )
    return error.strerror or str(error)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
