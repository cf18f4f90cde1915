"""The hierarchy of exceptions, and those with two parents."""

import errno
import re
import socket
import ssl

import pytest

from aioamqp import exceptions
from aioamqp.exceptions import (
    AioamqpException,
    AmqpClosedConnection,
    ChannelClosed,
    ConnectionFailed,
    ConnectionLost,
    InvalidArgument,
    PublishFailed,
    failed_link,
)
from amqp_codec import EncodeError


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


def test_a_closed_channel_reads_as_in_0_15() -> None:
    error = ChannelClosed(404, "x")

    assert (error.code, error.message, error.args, str(error)) == (
        404,
        "x",
        (404, "x"),
        "(404, 'x')",
    )
    assert ChannelClosed().args == (0, "Channel is closed")


def test_a_failed_publish_names_its_delivery_tag() -> None:
    error = PublishFailed(7)

    assert error.delivery_tag == 7
    assert error.args == (7,)
    assert "7" in repr(error)
