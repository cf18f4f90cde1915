"""Every public exception and value can be copied and pickled, and is equal to the original."""

import copy
import errno
import inspect
import pickle
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

import aioamqp
from aioamqp import Backoff, ConnectionState, Health, StateChange, Topology, Unrestored, exceptions
from aioamqp.envelope import Envelope, ReturnEnvelope
from aioamqp.exceptions import (
    AcknowledgementTimeout,
    AioamqpException,
    AlreadySettled,
    AmqpClosedConnection,
    ChannelClosed,
    ConnectionFailed,
    ConnectionLost,
    ConsumerCancelled,
    DuplicateConsumerTag,
    EmptyQueue,
    HandshakeFailed,
    InvalidArgument,
    MessageTooLarge,
    NoChannelAvailable,
    ProtocolViolation,
    PublishFailed,
    PublishNotSent,
    PublishReturned,
    PublishUnconfirmed,
    RpcError,
    RpcInterrupted,
    SynchronizationError,
    WrongLoop,
    failed_link,
    lost_link,
    not_sent,
    unconfirmed,
)
from aioamqp.properties import Properties
from amqp_codec import Properties as CodecProperties
from amqp_codec import basic, queue

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
UNREADABLE = CodecProperties.decode(b"\x20\x00\x00\x00\x00\x03\x01a?", 0, 9)
EMPTY = EmptyQueue()
EMPTY.sentence = "There is no message in the queue 'q'"


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def refused(error: ChannelClosed, method: str) -> ChannelClosed:
    error.method = method
    return error


EXCEPTIONS: list[Exception] = [
    AioamqpException("text"),
    AlreadySettled("text"),
    AmqpClosedConnection("text"),
    caused(AmqpClosedConnection("text"), ChannelClosed(320, "CONNECTION_FORCED")),
    ChannelClosed(404, "NOT_FOUND"),
    ChannelClosed(),
    refused(ChannelClosed(406, "PRECONDITION_FAILED"), "queue.declare"),
    AcknowledgementTimeout(ChannelClosed(406, "PRECONDITION_FAILED"), "tag", 7),
    AcknowledgementTimeout(
        refused(ChannelClosed(406, "PRECONDITION_FAILED"), "basic.consume"), "", 0
    ),
    ConnectionFailed("text"),
    failed_link(ConnectionFailed, REFUSED, "Cannot connect"),
    failed_link(ConnectionFailed, socket.gaierror(-2, "unknown"), "Cannot connect"),
    failed_link(ConnectionFailed, ssl.SSLCertVerificationError(1, "bad"), "Cannot connect"),
    ConnectionLost("text"),
    failed_link(ConnectionLost, TimeoutError(errno.ETIMEDOUT, "silent"), "Lost"),
    lost_link(ValueError("text")),
    lost_link(ConnectionResetError(errno.ECONNRESET, "reset")),
    ConsumerCancelled("tag"),
    DuplicateConsumerTag("tag"),
    EMPTY,
    HandshakeFailed("text", 403, "ACCESS_REFUSED"),
    InvalidArgument("must be a str", ("queue",)),
    MessageTooLarge("too large", ("payload",)),
    NoChannelAvailable("text"),
    ProtocolViolation(505, "it sent nonsense"),
    PublishFailed(7),
    PublishNotSent("text"),
    not_sent(ChannelClosed(406, "PRECONDITION_FAILED")),
    not_sent(lost_link(ConnectionResetError(errno.ECONNRESET, "reset"))),
    PublishReturned(7, ReturnEnvelope(312, "NO_ROUTE", "", "q"), b"body", Properties(priority=1)),
    PublishUnconfirmed("text"),
    unconfirmed(ChannelClosed(406, "PRECONDITION_FAILED"), 7, (7, 8)),
    unconfirmed(ProtocolViolation(505, "it sent nonsense"), 7, (7, 8)),
    unconfirmed(lost_link(REFUSED), 7, (7, 8)),
    RpcError("ValueError", "no such fruit"),
    RpcInterrupted("text"),
    caused(RpcInterrupted(), ChannelClosed(320, "CONNECTION_FORCED")),
    SynchronizationError("text"),
    WrongLoop("text"),
]

VALUES: list[Any] = [
    Envelope("tag", 7, "ex", "key", True),
    ReturnEnvelope(312, "NO_ROUTE", "ex", "key"),
    Properties(headers={"a": [1, {"b": None}]}, message_type="t", priority=3),
    Properties.from_codec(CodecProperties(headers={"a": 1}, cluster_id="c")),
    Properties.from_codec(UNREADABLE),
    aioamqp.DeliveryMode.PERSISTENT,
    aioamqp.ExchangeType.TOPIC,
    Backoff(initial=1, maximum=2, attempts=3),
    ConnectionState.RECOVERING,
    StateChange(ConnectionState.OPEN, ConnectionState.RECOVERING, None, 0, "localhost:5672"),
    aioamqp.Health(False, "The connection is not open yet"),
    aioamqp.Retry(delays=(1, 10), then="reject"),
]

TOPOLOGY = Topology()
TOPOLOGY.record(queue.Declare("q", durable=True), 1)
TOPOLOGY.record(basic.Consume("q", "tag"), 1)

UNREPEATABLE: list[Any] = [
    Health(False, "The program closed the connection"),
    Unrestored("queue 'q'", ChannelClosed(404, "NOT_FOUND")),
    StateChange(
        ConnectionState.OPEN,
        ConnectionState.OPEN,
        ChannelClosed(404, "NOT_FOUND"),
        unrestored=(Unrestored("queue 'q'", ChannelClosed(404, "NOT_FOUND")),),
    ),
    TOPOLOGY,
]
"""Values with parts that have no hash or no equality: an exception equals only itself."""

NOT_VALUES = {
    "AmqPlain", "AmqpProtocol", "Anonymous", "Channel", "Confirmation", "Connection", "External", "Instrument",
    "Message", "Messages", "Plain", "Publisher", "RpcClient", "RpcServer", "Worker",
}  # fmt: skip
"""Public classes that belong to a connection, or hold a password."""

COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    *(
        lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ),
]

copies = pytest.mark.parametrize(
    "copied", COPIES, ids=["copy", "deepcopy", *map(str, range(pickle.HIGHEST_PROTOCOL + 1))]
)


def public_classes() -> dict[str, type]:
    names = {name: getattr(aioamqp, name) for name in aioamqp.__all__}
    names |= {name: cls for name, cls in vars(exceptions).items() if not name.startswith("_")}
    return {
        name: cls
        for name, cls in names.items()
        if inspect.isclass(cls)
        and cls.__module__.startswith("aioamqp")
        and not getattr(cls, "_is_protocol", False)
    }


def test_every_public_class_is_copied_here() -> None:
    """Row U12."""
    examples = {type(each) for each in (*EXCEPTIONS, *VALUES, *UNREPEATABLE)}

    missing = {name for name, cls in public_classes().items() if cls not in examples}

    assert missing == NOT_VALUES


@copies
@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: type(error).__name__)
def test_an_exception_can_be_copied(error: Exception, copied: Callable[[Any], Any]) -> None:
    """Row U12."""
    other = copied(error)

    assert type(other) is type(error)
    assert other.args == error.args
    assert str(other) == str(error)
    assert repr(other) == repr(error)
    assert vars(other).keys() == vars(error).keys()
    assert {n: v for n, v in vars(other).items() if not isinstance(v, Exception)} == {
        n: v for n, v in vars(error).items() if not isinstance(v, Exception)
    }
    assert getattr(other, "errno", None) == getattr(error, "errno", None)
    assert type(other.__cause__) is type(error.__cause__)
    assert str(other.__cause__) == str(error.__cause__)


@copies
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_can_be_copied(value: Any, copied: Callable[[Any], Any]) -> None:
    """Row U12."""
    other = copied(value)

    assert type(other) is type(value)
    assert other == value
    assert hash(other) == hash(value)
    assert repr(other) == repr(value)


@copies
@pytest.mark.parametrize("value", UNREPEATABLE, ids=lambda value: type(value).__name__)
def test_a_value_with_exceptions_or_methods_can_be_copied(
    value: Any, copied: Callable[[Any], Any]
) -> None:
    other = copied(value)

    assert type(other) is type(value)
    assert str(other) == str(value)


def test_a_topology_that_was_pickled_is_equal() -> None:
    other = pickle.loads(pickle.dumps(TOPOLOGY))

    assert other == TOPOLOGY
    other.forget_queue("q")
    assert other != TOPOLOGY


def test_an_exception_that_was_copied_twice_is_still_equal() -> None:
    """Row U12."""
    error = unconfirmed(lost_link(REFUSED), 7, (7, 8))

    other = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(error))))

    assert isinstance(other, ConnectionRefusedError)
    assert str(other) == str(error)


def test_a_cause_that_cannot_be_pickled_is_left_out() -> None:
    """Row U12."""
    error = caused(AmqpClosedConnection("text"), OSError(lambda: None))

    other = pickle.loads(pickle.dumps(error))

    assert (str(other), other.__cause__) == ("text", None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Envelope("t", 1, "", "q", False), Envelope("t", 2, "", "q", False)),
        (Properties(priority=1), Properties(priority=2)),
        (Properties(), "Properties()"),
        (ReturnEnvelope(312, "", "", ""), Envelope("t", 1, "", "q", False)),
    ],
)
def test_values_that_differ_are_not_equal(one: object, other: object) -> None:
    """Row U12."""
    assert one != other


def test_values_show_what_they_have() -> None:
    assert repr(Properties(priority=1, headers={})) == "Properties(headers={}, priority=1)"
    assert "routing_key='q'" in repr(Envelope("t", 1, "", "q", False))
