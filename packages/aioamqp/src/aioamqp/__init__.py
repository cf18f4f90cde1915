"""AMQP 0-9-1 client for asyncio and RabbitMQ."""

# In 0.15 these could be reached here, and programs do: ``aioamqp.urlparse``.
import asyncio
import socket
import ssl
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .version import __packagename__ as __packagename__  # reachable here in 0.15 too
from .version import __version__

if TYPE_CHECKING:
    from urllib.parse import urlparse

    from . import constants, frame
    from ._retry import Retry
    from .auth import AmqPlain, Anonymous, External, Mechanism, Plain
    from .callbacks import (
        BlockedCallback,
        CancellationCallback,
        ConsumerCallback,
        ErrorCallback,
        ReturnCallback,
    )
    from .channel import Channel
    from .connecting import connect, from_url
    from .connection import (
        Backoff,
        Connection,
        ConnectionState,
        Health,
        StateChange,
        Topology,
        Unrestored,
    )
    from .constants import DeliveryMode, ExchangeType
    from .dial import Dialer, dialing
    from .envelope import Envelope, ReturnEnvelope
    from .exceptions import (
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
    )
    from .instrument import Instrument
    from .message import Message, Messages
    from .properties import Properties
    from .protocol import AmqpProtocol
    from .publisher import Confirmation, Publisher
    from .rpc import RpcClient, RpcServer
    from .worker import Worker

__all__ = [
    "AcknowledgementTimeout",
    "AioamqpException",
    "AlreadySettled",
    "AmqPlain",
    "AmqpClosedConnection",
    "AmqpProtocol",
    "Anonymous",
    "Backoff",
    "BlockedCallback",
    "CancellationCallback",
    "Channel",
    "ChannelClosed",
    "Confirmation",
    "Connection",
    "ConnectionFailed",
    "ConnectionLost",
    "ConnectionState",
    "ConsumerCallback",
    "ConsumerCancelled",
    "DeliveryMode",
    "Dialer",
    "DuplicateConsumerTag",
    "EmptyQueue",
    "Envelope",
    "ErrorCallback",
    "ExchangeType",
    "External",
    "HandshakeFailed",
    "Health",
    "Instrument",
    "InvalidArgument",
    "Mechanism",
    "Message",
    "MessageTooLarge",
    "Messages",
    "NoChannelAvailable",
    "Plain",
    "Properties",
    "ProtocolViolation",
    "PublishFailed",
    "PublishNotSent",
    "PublishReturned",
    "PublishUnconfirmed",
    "Publisher",
    "Retry",
    "ReturnCallback",
    "ReturnEnvelope",
    "RpcClient",
    "RpcError",
    "RpcInterrupted",
    "RpcServer",
    "StateChange",
    "SynchronizationError",
    "Topology",
    "Unrestored",
    "Worker",
    "WrongLoop",
    "__version__",
    "asyncio",
    "connect",
    "constants",
    "dialing",
    "frame",
    "from_url",
    "socket",
    "ssl",
    "urlparse",
]

_HOMES: Final = {
    "AcknowledgementTimeout": "exceptions",
    "AioamqpException": "exceptions",
    "AlreadySettled": "exceptions",
    "AmqPlain": "auth",
    "AmqpClosedConnection": "exceptions",
    "AmqpProtocol": "protocol",
    "Anonymous": "auth",
    "Backoff": "connection",
    "BlockedCallback": "callbacks",
    "CancellationCallback": "callbacks",
    "Channel": "channel",
    "ChannelClosed": "exceptions",
    "Confirmation": "publisher",
    "Connection": "connection",
    "ConnectionFailed": "exceptions",
    "ConnectionLost": "exceptions",
    "ConnectionState": "connection",
    "ConsumerCallback": "callbacks",
    "ConsumerCancelled": "exceptions",
    "DeliveryMode": "constants",
    "Dialer": "dial",
    "DuplicateConsumerTag": "exceptions",
    "EmptyQueue": "exceptions",
    "Envelope": "envelope",
    "ErrorCallback": "callbacks",
    "ExchangeType": "constants",
    "External": "auth",
    "HandshakeFailed": "exceptions",
    "Health": "connection",
    "Instrument": "instrument",
    "InvalidArgument": "exceptions",
    "Mechanism": "auth",
    "Message": "message",
    "MessageTooLarge": "exceptions",
    "Messages": "message",
    "NoChannelAvailable": "exceptions",
    "Plain": "auth",
    "Properties": "properties",
    "ProtocolViolation": "exceptions",
    "PublishFailed": "exceptions",
    "PublishNotSent": "exceptions",
    "PublishReturned": "exceptions",
    "PublishUnconfirmed": "exceptions",
    "Publisher": "publisher",
    "Retry": "_retry",
    "ReturnCallback": "callbacks",
    "ReturnEnvelope": "envelope",
    "RpcClient": "rpc",
    "RpcError": "exceptions",
    "RpcInterrupted": "exceptions",
    "RpcServer": "rpc",
    "StateChange": "connection",
    "SynchronizationError": "exceptions",
    "Topology": "connection",
    "Unrestored": "connection",
    "Worker": "worker",
    "WrongLoop": "exceptions",
    "connect": "connecting",
    "dialing": "dial",
    "from_url": "connecting",
}
"""The modules that define these names. They are imported on first use: most programs need few."""

_MODULES: Final = frozenset(_HOMES.values()) | {"constants", "frame", "tls", "uri", "version"}
"""What is found here without an import of its own, as in 0.15: ``aioamqp.exceptions``."""

if not TYPE_CHECKING:  # or else every name would be found, whatever its spelling

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        elif name in _MODULES:
            return import_module(f".{name}", __name__)
        elif name == "urlparse":
            from urllib.parse import urlparse as value
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*__all__, *_MODULES})
