"""The hierarchy of exceptions, and those with two parents."""

import errno
import re
import socket
import ssl
from typing import Any

import pytest

from aioamqp import exceptions
from aioamqp.envelope import ReturnEnvelope
from aioamqp.exceptions import (
    AioamqpException,
    AlreadySettled,
    AmqpClosedConnection,
    ChannelClosed,
    ConnectionFailed,
    ConnectionLost,
    ConsumerCancelled,
    EmptyQueue,
    HandshakeFailed,
    InvalidArgument,
    NoChannelAvailable,
    ProtocolViolation,
    PublishFailed,
    PublishReturned,
    WrongLoop,
    failed_link,
    not_sent,
    unconfirmed,
)
from aioamqp.properties import Properties
from amqp_codec import EncodeError


def caused(error: AioamqpException, cause: Exception) -> Any:
    error.__cause__ = cause
    return error


def drawn_parents() -> dict[str, str]:
    """Return the parent of each class in the drawing."""
    parents: dict[str, str] = {}
    path: list[str] = []
    assert exceptions.__doc__ is not None
    for line in exceptions.__doc__.splitlines()[1:]:
        match = re.match(r"([│├└─ ]*)([\w.]+)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        path[depth:] = [match[2].removeprefix("amqp_codec.")]
        if depth:
            parents[match[2]] = path[depth - 1]
    return parents


def test_the_drawing_shows_every_class_under_its_parent() -> None:
    parents = {
        name: cls.__bases__[0].__name__
        for name, cls in vars(exceptions).items()
        if isinstance(cls, type)
        and issubclass(cls, Exception)
        and cls not in (AioamqpException, EncodeError)
    }

    assert drawn_parents() == parents


@pytest.mark.parametrize(
    "cause",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
        TimeoutError(errno.ETIMEDOUT, "timed out"),
        OSError("several"),
    ],
    ids=lambda cause: type(cause).__name__,
)
@pytest.mark.parametrize("parent", [ConnectionFailed, ConnectionLost])
def test_a_failed_link_is_also_the_oserror_behind_it(
    parent: type[ConnectionFailed],
    cause: OSError,  # or ConnectionLost
) -> None:
    error = failed_link(parent, cause, "No way to rabbit:5672")

    assert isinstance(error, parent)
    assert isinstance(error, AmqpClosedConnection)
    assert isinstance(error, type(cause))
    assert (error.errno, error.args) == (cause.errno, cause.args)
    assert str(error) == "No way to rabbit:5672"
    assert error.__cause__ is cause


def test_a_lost_connection_is_a_connection_error() -> None:
    assert issubclass(ConnectionLost, ConnectionError)


def test_an_invalid_argument_can_be_caught_by_either_name_of_0_15() -> None:
    error = InvalidArgument("must be a str", ("queue",))

    assert isinstance(error, TypeError)
    assert isinstance(error, ValueError)
    assert not isinstance(error, AioamqpException)
    assert str(error) == "queue: must be a str"


def test_a_closed_channel_has_the_arguments_of_0_15() -> None:
    error = ChannelClosed(404, "x")

    assert (error.code, error.message, error.args) == (404, "x", (404, "x"))
    assert ChannelClosed().args == (0, "Channel is closed")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ChannelClosed(404, "NOT_FOUND - x"), "The server closed the channel: 404 NOT_FOUND - x"),
        (
            ChannelClosed(320, "CONNECTION_FORCED - x"),
            "The server closed the connection: 320 CONNECTION_FORCED - x",
        ),
        (ChannelClosed(), "Channel is closed"),
        (caused(ChannelClosed(), ChannelClosed(406, "x")), "Channel is closed: 406 x"),
    ],
)
def test_a_closed_channel_says_why_in_a_sentence(error: ChannelClosed, text: str) -> None:
    """Row U28."""
    assert str(error) == text


@pytest.mark.parametrize(
    ("error", "is_retryable", "ended"),
    [
        (ChannelClosed(404, "NOT_FOUND"), False, "channel"),
        (ChannelClosed(405, "RESOURCE_LOCKED"), True, "channel"),
        (ChannelClosed(406, "PRECONDITION_FAILED"), False, "channel"),
        (ChannelClosed(999, "UNKNOWN"), False, "channel"),
        (ChannelClosed(320, "CONNECTION_FORCED"), True, "connection"),
        (ChannelClosed(530, "NOT_ALLOWED"), False, "connection"),
        (ChannelClosed(541, "INTERNAL_ERROR"), True, "connection"),
        (ChannelClosed(), True, "channel"),
        (caused(ChannelClosed(), ChannelClosed(406, "x")), False, "channel"),
        (AmqpClosedConnection("x"), True, "connection"),
        (caused(AmqpClosedConnection("x"), ChannelClosed(530, "x")), False, "connection"),
        (caused(AmqpClosedConnection("x"), ConnectionLost("x")), True, "connection"),
        (ConnectionLost("x"), True, "connection"),
        (ProtocolViolation(501, "x"), False, "connection"),
        (failed_link(ConnectionFailed, ConnectionRefusedError(111, "x"), "x"), True, "connection"),
        (failed_link(ConnectionFailed, ssl.SSLEOFError(8, "x"), "x"), True, "connection"),
        (failed_link(ConnectionFailed, ssl.SSLError(1, "x"), "x"), False, "connection"),
        (HandshakeFailed("x", 403, "ACCESS_REFUSED"), False, "connection"),
        (HandshakeFailed("x"), False, "connection"),
        (not_sent(ChannelClosed(320, "x")), True, "connection"),
        (not_sent(ChannelClosed(404, "x")), False, "channel"),
        (unconfirmed(ConnectionLost("x"), 1, (1,)), True, "connection"),
        (PublishFailed(1), True, None),
        (PublishReturned(1, ReturnEnvelope(312, "", "", ""), b"", Properties()), False, None),
        (PublishReturned(1, ReturnEnvelope(313, "", "", ""), b"", Properties()), True, None),
        (EmptyQueue(), True, None),
        (NoChannelAvailable("x"), True, None),
        (ConsumerCancelled("tag"), True, None),
        (AlreadySettled("x"), False, None),
        (WrongLoop("x"), False, None),
        (InvalidArgument("x"), False, None),
    ],
    ids=lambda value: repr(value),
)
def test_an_error_says_whether_to_try_again_and_what_ended(
    error: AioamqpException, is_retryable: bool, ended: str | None
) -> None:
    """Row U6."""
    assert (error.is_retryable, error.ended) == (is_retryable, ended)


def test_a_link_that_is_lost_in_the_handshake_can_be_tried_again() -> None:
    """Row U6."""
    error = HandshakeFailed("The server ended the link")
    error.is_link_lost = True

    assert error.is_retryable


def test_a_failed_publish_names_its_delivery_tag() -> None:
    error = PublishFailed(7)

    assert error.delivery_tag == 7
    assert error.args == (7,)
    assert "7" in repr(error)
