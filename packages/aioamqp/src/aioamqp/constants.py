"""Values of arguments, and the constants of 0.15 for programs that import them.

Spec: 4.2.3 for frames, 4.2.6.1 for the flags; method ids are unique within their class.
"""

from enum import IntEnum, StrEnum
from typing import Final

from amqp_codec import PROTOCOL_HEADER as PROTOCOL_HEADER  # 0.15 had the one of AMQP 0-9


class DeliveryMode(IntEnum):
    """Values of the property ``delivery_mode``. Spec: class basic."""

    TRANSIENT = 1
    """The message is lost when the server restarts."""
    PERSISTENT = 2
    """The message survives a restart of the server, in a durable queue."""


class ExchangeType(StrEnum):
    """Types of exchanges that every server has. Spec: 3.1.3. A plugin's type is given as a str."""

    DIRECT = "direct"
    """Routes to the queues that are bound with the routing key of the message."""
    FANOUT = "fanout"
    """Routes to all queues that are bound."""
    TOPIC = "topic"
    """Routes by patterns: ``*`` is one word of the routing key, ``#`` any number of words."""
    HEADERS = "headers"
    """Routes by the headers of the message: all or any (``x-match``) of those of the binding."""


PROTOCOL_DEFAULT_TIMEOUT: Final = 60
PROTOCOL_DEFAULT_PORT: Final = 5672
MAX_CHANNELS: Final = 65535

TYPE_METHOD: Final = 1
TYPE_HEADER: Final = 2
TYPE_BODY: Final = 3
TYPE_HEARTBEAT: Final = 8
FRAME_END: Final = b"\xce"

CLASS_CONNECTION: Final = 10
CLASS_CHANNEL: Final = 20
CLASS_EXCHANGE: Final = 40
CLASS_QUEUE: Final = 50
CLASS_BASIC: Final = 60
CLASS_CONFIRM: Final = 85
CLASS_TX: Final = 90

CONNECTION_START: Final = 10
CONNECTION_START_OK: Final = 11
CONNECTION_SECURE: Final = 20
CONNECTION_SECURE_OK: Final = 21
CONNECTION_TUNE: Final = 30
CONNECTION_TUNE_OK: Final = 31
CONNECTION_OPEN: Final = 40
CONNECTION_OPEN_OK: Final = 41
CONNECTION_CLOSE: Final = 50
CONNECTION_CLOSE_OK: Final = 51

CHANNEL_OPEN: Final = 10
CHANNEL_OPEN_OK: Final = 11
CHANNEL_FLOW: Final = 20
CHANNEL_FLOW_OK: Final = 21
CHANNEL_CLOSE: Final = 40
CHANNEL_CLOSE_OK: Final = 41

EXCHANGE_DECLARE: Final = 10
EXCHANGE_DECLARE_OK: Final = 11
EXCHANGE_DELETE: Final = 20
EXCHANGE_DELETE_OK: Final = 21
EXCHANGE_BIND: Final = 30
EXCHANGE_BIND_OK: Final = 31
EXCHANGE_UNBIND: Final = 40
EXCHANGE_UNBIND_OK: Final = 51

QUEUE_DECLARE: Final = 10
QUEUE_DECLARE_OK: Final = 11
QUEUE_BIND: Final = 20
QUEUE_BIND_OK: Final = 21
QUEUE_PURGE: Final = 30
QUEUE_PURGE_OK: Final = 31
QUEUE_DELETE: Final = 40
QUEUE_DELETE_OK: Final = 41
QUEUE_UNBIND: Final = 50
QUEUE_UNBIND_OK: Final = 51

BASIC_QOS: Final = 10
BASIC_QOS_OK: Final = 11
BASIC_CONSUME: Final = 20
BASIC_CONSUME_OK: Final = 21
BASIC_CANCEL: Final = 30
BASIC_CANCEL_OK: Final = 31
BASIC_PUBLISH: Final = 40
BASIC_RETURN: Final = 50
BASIC_DELIVER: Final = 60
BASIC_GET: Final = 70
BASIC_GET_OK: Final = 71
BASIC_GET_EMPTY: Final = 72
BASIC_ACK: Final = 80
BASIC_REJECT: Final = 90
BASIC_RECOVER_ASYNC: Final = 100
BASIC_RECOVER: Final = 110
BASIC_RECOVER_OK: Final = 111
BASIC_NACK: Final = 120

TX_SELECT: Final = 10
TX_SELECT_OK: Final = 11
TX_COMMIT: Final = 20
TX_COMMIT_OK: Final = 21
TX_ROLLBACK: Final = 30
TX_ROLLBACK_OK: Final = 31

CONFIRM_SELECT: Final = 10
CONFIRM_SELECT_OK: Final = 11

MESSAGE_PROPERTIES: Final = (
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "message_type",
    "user_id",
    "app_id",
    "cluster_id",
)

FLAG_CONTENT_TYPE: Final = 1 << 15
FLAG_CONTENT_ENCODING: Final = 1 << 14
FLAG_HEADERS: Final = 1 << 13
FLAG_DELIVERY_MODE: Final = 1 << 12
FLAG_PRIORITY: Final = 1 << 11
FLAG_CORRELATION_ID: Final = 1 << 10
FLAG_REPLY_TO: Final = 1 << 9
FLAG_EXPIRATION: Final = 1 << 8
FLAG_MESSAGE_ID: Final = 1 << 7
FLAG_TIMESTAMP: Final = 1 << 6
FLAG_TYPE: Final = 1 << 5
FLAG_USER_ID: Final = 1 << 4
FLAG_APP_ID: Final = 1 << 3
FLAG_CLUSTER_ID: Final = 1 << 2
