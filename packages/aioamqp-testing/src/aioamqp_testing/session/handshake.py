"""What is said before a connection is open: who the two are, and what they agree on.

RabbitMQ hardly ever says what is wrong here: most failures end in three seconds of silence and a
reset. ``HandshakeRefused`` stands for these.
"""

from collections.abc import Mapping
from typing import Final

from amqp_codec import (
    PROTOCOL_HEADER,
    DecodeError,
    FieldTable,
    FieldValue,
    ReplyCode,
    connection,
    decode_table,
)
from amqp_codec.protocol.constants import FRAME_MIN_SIZE

from ..model import BrokerError, Node, User
from ..model.erlang import terms as values
from ..version import __version__

MECHANISMS: Final = b"AMQPLAIN PLAIN"
HEADER_SIZE: Final = len(PROTOCOL_HEADER)

_VERSIONS: Final[Mapping[bytes, tuple[int, int]]] = {
    PROTOCOL_HEADER: (0, 9),
    b"AMQP\x01\x01\x00\x09": (0, 9),
    b"AMQP\x01\x01\x08\x00": (8, 0),
    b"AMQP\x01\x01\x09\x01": (8, 0),
}

_CAPABILITIES: Final = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


class HandshakeRefused(Exception):
    """A mistake that RabbitMQ answers with silence; the text is for the journal only."""


def start(header: bytes) -> connection.Start | None:
    """Answer a protocol header, or return None when its protocol is not spoken. Spec: 4.2.2."""
    version = _VERSIONS.get(header)
    if version is None:
        return None
    capabilities: FieldTable = {} if version == (8, 0) else dict.fromkeys(_CAPABILITIES, True)
    properties: dict[str, FieldValue] = {
        "capabilities": capabilities,
        "cluster_name": "aioamqp-testing@localhost",
        "copyright": "The aioamqp authors",
        "information": f"A broker in the memory of a test: aioamqp-testing {__version__}",
        "platform": "Python",
        # clients tell dialects apart by product and version, so these two are the original's
        "product": "RabbitMQ",
        "version": "3.10.8",
    }
    return connection.Start(*version, properties, MECHANISMS, b"en_US")


def authenticate(start_ok: connection.StartOk, node: Node) -> User:
    """Return the user whom connection.start-ok proves to be.

    Raises:
        HandshakeRefused: it proves nothing.
        BrokerError: 403, the user is unknown or the password is wrong.
    """
    if start_ok.mechanism == "PLAIN":
        name, password = _plain(bytes(start_ok.response))
    elif start_ok.mechanism == "AMQPLAIN":
        name, password = _amqplain(bytes(start_ok.response))
    else:
        raise HandshakeRefused(f"there is no mechanism {start_ok.mechanism!r}")
    user = node.users.get(name)
    if user is None or user.password != password:
        raise login_refused(start_ok.mechanism)
    return user


def login_refused(mechanism: str) -> BrokerError:
    """Return what RabbitMQ says to somebody whom it does not let in."""
    return BrokerError(
        ReplyCode.ACCESS_REFUSED,
        f"Login was refused using authentication mechanism {mechanism}."
        " For details see the broker logfile.",
    )


def _plain(response: bytes) -> tuple[str, str]:
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        raise HandshakeRefused("a PLAIN response is NUL, user, NUL, password")
    return parts[1].decode("utf-8", "replace"), parts[2].decode("utf-8", "replace")


def _amqplain(response: bytes) -> tuple[str, str]:
    try:
        table, _ = decode_table(len(response).to_bytes(4, "big") + response)
    except DecodeError as error:
        raise HandshakeRefused(f"the AMQPLAIN response is no table: {error}") from None
    user, password = table.get("LOGIN"), table.get("PASSWORD")
    kinds = {values.type_name(user), values.type_name(password)}
    if kinds not in ({"longstr"}, {"longstr", "binary"}):  # RabbitMQ: one of them may be octets
        raise HandshakeRefused("an AMQPLAIN response has LOGIN and PASSWORD")
    return values.quote(user), values.quote(password)


def check_tuning(tune_ok: connection.TuneOk, node: Node) -> None:
    """Check what the client made of connection.tune. RabbitMQ: 0, no limit, is above any limit.

    Raises:
        HandshakeRefused: a value is above what was offered, or too low.
    """
    for name, value, lowest, highest in (
        ("frame_max", tune_ok.frame_max, FRAME_MIN_SIZE, node.frame_max),
        ("channel_max", tune_ok.channel_max, 1, node.channel_max),
    ):
        if not lowest <= (value or highest + 1) <= highest:
            raise HandshakeRefused(f"{name} of {value} is not between {lowest} and {highest}")


def has_capability(start_ok: connection.StartOk, name: str) -> bool:
    """Return whether the client announced that it knows something."""
    capabilities = start_ok.client_properties.get("capabilities")
    return isinstance(capabilities, Mapping) and capabilities.get(name) is True
