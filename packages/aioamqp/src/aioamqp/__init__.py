"""AMQP 0-9-1 client for asyncio and RabbitMQ."""

# In 0.15 these could be reached here, and programs do: ``aioamqp.urlparse``.
import asyncio
import socket
import ssl
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
from .message import Message, Messages
from .properties import Properties
from .protocol import AmqpProtocol
from .publisher import Confirmation, Publisher
from .rpc import RpcClient, RpcServer
from .version import __packagename__ as __packagename__  # reachable here in 0.15 too
from .version import __version__
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
