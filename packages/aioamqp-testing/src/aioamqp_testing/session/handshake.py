"""The handshake: from the protocol header to connection.tune-ok, without input or output.

RabbitMQ hardly ever explains an error here: most end in three seconds of silence and a reset.
``HandshakeRefused`` stands for these.
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

from ..model import BrokerError, Node, User
from ..model.erlang import terms as values
from ..model.limits import NODE_NAME
from ..version import __version__

HEADER_SIZE: Final = len(PROTOCOL_HEADER)
_ANONYMOUS: Final = "guest"  # RabbitMQ: anonymous_login_user

_LEGACY: Final = (8, 0)
_VERSIONS: Final[Mapping[bytes, tuple[int, int]]] = {
    PROTOCOL_HEADER: (0, 9),
    b"AMQP\x01\x01\x00\x09": (0, 9),
}
_LEGACY_VERSIONS: Final[Mapping[bytes, tuple[int, int]]] = {
    b"AMQP\x01\x01\x08\x00": _LEGACY,
    b"AMQP\x01\x01\x09\x01": _LEGACY,
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
    """An error that RabbitMQ answers with silence; the text is for the journal only."""


class Handshake:
    """What the client and the broker agree on before connection.open.

    Args:
        node: the broker.

    Attributes:
        is_legacy: whether the client speaks AMQP 0-8.
        user: the user; None before connection.start-ok.
        client_properties: those of connection.start-ok.
        frame_max: bytes of a frame; what is agreed on, like the next two.
        channel_max: channels of the connection.
        heartbeat: seconds; 0 for no heartbeats.
    """

    def __init__(self, node: Node) -> None:
        self.is_legacy = False
        self.user: User | None = None
        self.client_properties: FieldTable = {}
        self.frame_max = node.profile.frame_max_lowest
        self.channel_max = 0
        self.heartbeat = 0
        self._node = node

    def start(self, header: bytes) -> connection.Start | None:
        """Answer a protocol header; None means that its protocol is not spoken. Spec: 4.2.2."""
        profile = self._node.profile
        version = _VERSIONS.get(header)
        if version is None and profile.understands_0_8:
            version = _LEGACY_VERSIONS.get(header)
        if version is None:
            return None
        self.is_legacy = version == _LEGACY
        capabilities: FieldTable = {} if self.is_legacy else dict.fromkeys(_CAPABILITIES, True)
        properties: dict[str, FieldValue] = {
            "capabilities": capabilities,
            "cluster_name": NODE_NAME,
            "copyright": "The aioamqp authors",
            "information": f"A broker in the memory of a test: aioamqp-testing {__version__}",
            "platform": "Python",
            # clients tell dialects apart by product and version, so these two are the original's
            "product": "RabbitMQ",
            "version": profile.version,
        }
        return connection.Start(*version, properties, profile.mechanisms, b"en_US")

    def log_in(self, start_ok: connection.StartOk) -> connection.Tune:
        """Authenticate the user.

        Raises:
            HandshakeRefused: the response is malformed.
            BrokerError: 403, the user is unknown or the password is wrong.
        """
        self.user = _authenticate(start_ok, self._node)
        self.client_properties = start_ok.client_properties
        return connection.Tune(self._node.channel_max, self._node.frame_max, self._node.heartbeat)

    def tune(self, tune_ok: connection.TuneOk) -> None:
        """Agree on the limits of the connection. RabbitMQ: 0, no limit, is above any limit.

        Raises:
            HandshakeRefused: a value is above what was offered, or too low.
        """
        frame_max_lowest = self._node.profile.frame_max_lowest
        for name, value, lowest, highest in (
            ("frame_max", tune_ok.frame_max, frame_max_lowest, self._node.frame_max),
            ("channel_max", tune_ok.channel_max, 1, self._node.channel_max),
        ):
            if not lowest <= (value or highest + 1) <= highest:
                text = f"{name} of {value} is not between {lowest} and {highest}"
                raise HandshakeRefused(text)
        self.frame_max = tune_ok.frame_max
        self.channel_max = tune_ok.channel_max
        self.heartbeat = tune_ok.heartbeat

    def has_capability(self, name: str) -> bool:
        """Return whether the client has announced a capability."""
        return has_capability(self.client_properties, name)


def has_capability(client_properties: FieldTable, name: str) -> bool:
    """Return whether client properties announce a capability."""
    capabilities = client_properties.get("capabilities")
    return isinstance(capabilities, Mapping) and capabilities.get(name) is True


def _authenticate(start_ok: connection.StartOk, node: Node) -> User:
    if start_ok.mechanism.encode() not in node.profile.mechanisms.split():
        raise HandshakeRefused(f"there is no authentication mechanism {start_ok.mechanism!r}")
    if start_ok.mechanism == "ANONYMOUS":
        if _ANONYMOUS not in node.users:
            raise login_refused(start_ok.mechanism)
        return node.users[_ANONYMOUS]
    if start_ok.mechanism == "PLAIN":
        name, password = _plain(bytes(start_ok.response))
    else:
        name, password = _amqplain(bytes(start_ok.response))
    user = node.users.get(name)
    if user is None or user.password != password:
        raise login_refused(start_ok.mechanism)
    return user


def login_refused(mechanism: str) -> BrokerError:
    """Return the error for an unknown user or a wrong password."""
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
        raise HandshakeRefused(f"an AMQPLAIN response is not a table: {error}") from None
    user, password = table.get("LOGIN"), table.get("PASSWORD")
    kinds = {values.type_name(user), values.type_name(password)}
    if kinds not in ({"longstr"}, {"longstr", "binary"}):  # RabbitMQ: one of them may be bytes
        raise HandshakeRefused("an AMQPLAIN response has LOGIN and PASSWORD")
    return values.quote(user), values.quote(password)
