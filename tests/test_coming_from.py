"""The tables for those who come from another client name calls that both sides have.

Each piece of code in a row is parsed. What it calls on a connection, a channel, a queue or a
message must exist in the installed version of its library, and take the arguments that are written
there.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import aio_pika
import aiormq
import pika
import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel

import aioamqp
from tests.source_tree import ROOT

OURS: Final = {
    "aioamqp": aioamqp,
    "connection": aioamqp.Connection,
    "protocol": aioamqp.AmqpProtocol,
    "channel": aioamqp.Channel,
    "message": aioamqp.Message,
    "Worker": aioamqp.Worker,
}
THEIRS: Final[Mapping[str, Mapping[str, Any]]] = {
    "aio-pika": {
        "aio_pika": aio_pika,
        "connection": aio_pika.RobustConnection,
        "channel": aio_pika.RobustChannel,
        "queue": aio_pika.RobustQueue,
        "exchange": aio_pika.RobustExchange,
        "message": aio_pika.IncomingMessage,
        "Message": aio_pika.Message,
        "RPC": aio_pika.patterns.RPC,
    },
    "aiormq": {
        "aiormq": aiormq,
        "connection": aiormq.abc.AbstractConnection,
        "channel": aiormq.Channel,
        "message": aiormq.abc.DeliveredMessage,
    },
    "pika": {
        "pika": pika,
        "connection": pika.BlockingConnection,
        "channel": BlockingChannel,
    },
}
ABSENT: Final = object()
PAGES: Final = ("aio-pika.md", "pika.md")
MADE_BY_INSTANCES: Final = {
    "body", "close_callbacks", "default_exchange", "declaration_result", "delivery_tag", "exchange",
    "header", "headers", "message_id", "name", "reconnect_callbacks", "redelivered",
    "return_callbacks", "routing_key",
}  # fmt: skip
"""Attributes that the other libraries set in ``__init__``."""

ROW: Final = re.compile(r"^\| (.+) \| (.+) \|$", re.MULTILINE)
CODE: Final = re.compile(r"`([^`]+)`")


def rows(page: str) -> Iterator[tuple[str, str, str]]:
    """Yield the library of each row of a page, and the row."""
    library = ""
    for left, right in ROW.findall((ROOT / "docs/coming-from" / page).read_text("utf-8")):
        if left in THEIRS:
            library = left
        elif not left.startswith("---"):
            yield library, left, right


def pieces(cell: str) -> Iterator[ast.AST]:
    """Yield the code in a cell that can be parsed, with the heads of blocks."""
    for code in CODE.findall(cell):
        text = code.replace("(...)", "()").replace("{...}", "{}")
        if text.startswith("except "):
            text = text.removeprefix("except ").removesuffix(":")
        if text.endswith(":"):
            text = f"async def block():\n {text} pass"
        try:
            yield ast.parse(text)
        except SyntaxError:
            with suppress(SyntaxError):  # such as credentials=
                yield ast.parse(f"call({text})")


def wrong(cell: str, names: Mapping[str, Any]) -> list[str]:
    """List what a cell uses that its library does not have."""
    nodes = [node for piece in pieces(cell) for node in ast.walk(piece)]
    missing = [
        ast.unparse(node)
        for node in nodes
        if isinstance(node, ast.Attribute) and found(node, names) is ABSENT
    ]
    refused = [
        f"{ast.unparse(node)}: {error}"
        for node in nodes
        if isinstance(node, ast.Call) and (error := refusal(node, names))
    ]
    return missing + refused


def found(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return what an expression means: None if that is unknown, ABSENT if it does not exist."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = found(node.value, names)
        if owner in (None, ABSENT):
            return owner
        if node.attr in MADE_BY_INSTANCES:
            return None
        value = getattr(owner, node.attr, ABSENT)
        return None if isinstance(value, property) else value
    return None


def refusal(node: ast.Call, names: Mapping[str, Any]) -> str | None:
    """Return why a call does not take the arguments that it is written with, or None."""
    target = found(node.func, names)
    if not callable(target):
        return None
    is_method = isinstance(node.func, ast.Attribute) and inspect.isfunction(target)
    owner = found(node.func.value, names) if isinstance(node.func, ast.Attribute) else None
    positional = [None] * (len(node.args) + (is_method and inspect.isclass(owner)))
    keywords = {each.arg: None for each in node.keywords if each.arg is not None}
    if all(isinstance(each, ast.Constant) and each.value is ... for each in node.args):
        return None
    try:
        inspect.signature(target).bind(*positional, **keywords)
    except TypeError as error:
        return str(error)
    return None


@pytest.mark.parametrize("page", PAGES)
def test_both_sides_of_each_row_exist_and_take_these_arguments(page: str) -> None:
    problems = [
        (left, problem)
        for library, left, right in rows(page)
        for problem in [*wrong(left, THEIRS[library]), *wrong(right, OURS)]
    ]

    assert problems == []


def test_a_row_with_a_wrong_name_or_argument_is_found() -> None:
    assert wrong("`await channel.set_qoss(3)`", THEIRS["aio-pika"]) == ["channel.set_qoss"]
    assert wrong("`message.ack()`, `await channel.publish(body, key=1)`", OURS) == [
        "channel.publish(body, key=1): got an unexpected keyword argument 'key'"
    ]
    assert wrong("`except pika.exceptions.NoSuchError`", THEIRS["pika"]) == [
        "pika.exceptions.NoSuchError"
    ]
