"""The command line of ``python -m aioamqp``."""

import argparse
import os
from typing import Any

from ..version import __version__
from .records import parse_value

PROGRAM = "python -m aioamqp"
DEFAULT_URL = "amqp://guest:guest@localhost/"

_DESCRIPTION = """\
Work with a RabbitMQ server. Messages and results are written as JSON, one object on a line. The
exit code is 0 after success, 1 after an error, which is described on standard error, 2 if the
arguments are wrong, and 130 after Ctrl-C.
"""


class _CommandParser(argparse.ArgumentParser):
    """Parser of one command, which takes the URL too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument(
            "--url", default=argparse.SUPPRESS, help="of the server, as before the command"
        )


def create_parser() -> argparse.ArgumentParser:
    """Return the parser; the name of the command is in ``command``."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"aioamqp {__version__}")
    parser.add_argument(
        "--url",
        default=os.environ.get("AMQP_URL") or DEFAULT_URL,
        help=f"of the server; the default is the environment variable AMQP_URL, or {DEFAULT_URL}",
    )
    commands = parser.add_subparsers(
        required=True, dest="command", metavar="COMMAND", parser_class=_CommandParser
    )
    for add in (
        _add_publish,
        _add_consume,
        _add_get,
        _add_declare,
        _add_delete,
        _add_purge,
        _add_top,
    ):
        add(commands)
    return parser


def _add_publish(commands: Any) -> None:
    command = commands.add_parser(
        "publish",
        help="publish messages with publisher confirms",
        description="Publish messages, which must reach a queue, and wait until the server has"
        " confirmed all of them. Without a BODY, standard input is the body of one message.",
    )
    command.add_argument(
        "routing_key",
        metavar="ROUTING_KEY",
        help="the name of a queue, unless there is an --exchange",
    )
    command.add_argument("body", metavar="BODY", nargs="?", help="of one message")
    command.add_argument("--exchange", default="", help="the default is the default exchange")
    source = command.add_mutually_exclusive_group()
    source.add_argument(
        "--lines", action="store_true", help="publish every line of standard input as a message"
    )
    source.add_argument(
        "--json",
        action="store_true",
        help="publish the JSON objects on standard input, one on a line, as consume prints them;"
        " the exchange and the routing key of an object replace those of the command line",
    )
    command.add_argument(
        "--property",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="such as content_type=text/plain; may be repeated (messages are persistent unless"
        " delivery_mode=1 is set)",
    )
    command.add_argument(
        "--header",
        action="append",
        default=[],
        type=_json_pair,
        metavar="NAME=VALUE",
        help="the value is JSON, or else a string; may be repeated",
    )
    command.add_argument(
        "--unroutable", action="store_true", help="do not fail if no queue takes a message"
    )


def _add_consume(commands: Any) -> None:
    command = commands.add_parser(
        "consume",
        help="print messages as they arrive",
        description="Print the messages of a queue as they arrive. Each is acknowledged after it"
        " was printed. What its reader leaves in a pipe, as head does, is printed too, and so lost:"
        " use --count.",
    )
    _add_queue(command)
    command.add_argument("--count", type=_positive, help="end after so many messages")
    command.add_argument(
        "--idle", type=_seconds, metavar="SECONDS", help="end when no message arrives for so long"
    )
    command.add_argument(
        "--prefetch", type=_positive, default=100, help="see basic.qos (default: %(default)s)"
    )
    command.add_argument(
        "--no-ack", action="store_true", help="messages that are not printed any more are lost"
    )
    command.add_argument("--exclusive", action="store_true", help="be the only consumer")
    _add_arguments(command, "x-stream-offset=first")
    _add_bodies(command)


def _add_get(commands: Any) -> None:
    command = commands.add_parser(
        "get",
        help="print messages that are in a queue",
        description="Get messages from a queue and print them; the exit code is 1 if it is empty.",
    )
    _add_queue(command)
    command.add_argument(
        "--count", type=_positive, default=1, help="of messages at most (default: %(default)s)"
    )
    command.add_argument(
        "--requeue", action="store_true", help="return the messages to the queue afterwards"
    )
    _add_bodies(command)


def _add_declare(commands: Any) -> None:
    command = commands.add_parser("declare", help="create a queue, an exchange or a binding")
    kinds = command.add_subparsers(required=True, dest="kind", metavar="queue|exchange|binding")
    queue = kinds.add_parser("queue", help="create a queue, or check that it exists")
    _add_queue(queue)
    queue.add_argument(
        "--type", choices=("classic", "quorum", "stream"), help="the default is the server's"
    )
    _add_declaration(
        queue, "delete it with its last consumer", "; RabbitMQ 4.3 refuses such queues by default"
    )
    _add_arguments(queue, "x-max-length=1000")
    exchange = kinds.add_parser("exchange", help="create an exchange, or check that it exists")
    exchange.add_argument("exchange", metavar="EXCHANGE")
    exchange.add_argument("--type", default="direct", help="the default is %(default)s")
    _add_declaration(exchange, "delete it with its last binding")
    _add_arguments(exchange, "alternate-exchange=unrouted")
    binding = kinds.add_parser("binding", help="bind a queue to an exchange")
    _add_binding(binding)


def _add_declaration(command: argparse.ArgumentParser, auto_delete: str, caution: str = "") -> None:
    command.add_argument(
        "--transient", action="store_true", help=f"it need not survive a restart{caution}"
    )
    command.add_argument("--auto-delete", action="store_true", help=auto_delete)
    command.add_argument("--passive", action="store_true", help="only check that it exists")


def _add_delete(commands: Any) -> None:
    command = commands.add_parser("delete", help="delete a queue, an exchange or a binding")
    kinds = command.add_subparsers(required=True, dest="kind", metavar="queue|exchange|binding")
    queue = kinds.add_parser("queue", help="delete a queue with its messages")
    _add_queue(queue)
    queue.add_argument("--if-empty", action="store_true", help="only if it has no ready messages")
    _add_if_unused(queue, "consumers")
    exchange = kinds.add_parser("exchange", help="delete an exchange with its bindings")
    exchange.add_argument("exchange", metavar="EXCHANGE")
    _add_if_unused(exchange, "bindings")
    binding = kinds.add_parser("binding", help="unbind a queue from an exchange")
    _add_binding(binding)


def _add_if_unused(command: argparse.ArgumentParser, users: str) -> None:
    command.add_argument("--if-unused", action="store_true", help=f"only if it has no {users}")


def _add_purge(commands: Any) -> None:
    command = commands.add_parser(
        "purge",
        help="delete the ready messages of a queue",
        description="Delete the ready messages.",
    )
    _add_queue(command)


def _add_top(commands: Any) -> None:
    command = commands.add_parser(
        "top",
        help="watch queues",
        description="Show ready messages and consumers of queues, again and again: as a table on a"
        " terminal, which needs rich (pip install 'aioamqp[cli]'), else as JSON.",
    )
    command.add_argument("queues", metavar="QUEUE", nargs="+")
    command.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="between two readings (default: %(default)s)",
    )
    command.add_argument("--count", type=_positive, help="end after so many readings")


def _add_queue(command: argparse.ArgumentParser) -> None:
    command.add_argument("queue", metavar="QUEUE")


def _add_binding(command: argparse.ArgumentParser) -> None:
    _add_queue(command)
    command.add_argument("exchange", metavar="EXCHANGE")
    command.add_argument("routing_key", metavar="ROUTING_KEY", nargs="?", default="")
    _add_arguments(command, "x-match=any")


def _add_arguments(command: argparse.ArgumentParser, example: str) -> None:
    command.add_argument(
        "--argument",
        action="append",
        default=[],
        type=_json_pair,
        metavar="NAME=VALUE",
        help=f"such as {example}; the value is JSON, or else a string; may be repeated",
    )


def _add_bodies(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--bodies", action="store_true", help="print the bodies alone, each with a line feed"
    )


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not name or not found:
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE")
    return name, value


def _json_pair(text: str) -> tuple[str, Any]:
    name, value = _pair(text)
    return name, parse_value(value)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds above 0")
    return seconds
