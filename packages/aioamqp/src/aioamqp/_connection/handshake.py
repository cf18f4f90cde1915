"""The client's side of opening a connection, without input or output. Spec: 2.2.4.

    the client sends         the server answers                 then
    protocol header          connection.start                   the client chooses a mechanism
    start-ok                 connection.secure                  the client sends secure-ok
                             connection.tune                    the limits are negotiated
    tune-ok, open            connection.open-ok                 the connection is open

Any other method, connection.close included, ends the handshake with HandshakeFailed.
"""

from collections.abc import Mapping
from typing import Any, Final

from amqp_codec import Method, connection
from amqp_codec.protocol.constants import FRAME_MIN_SIZE

from .._advice import advise, with_advice
from .._loggers import protocol_logger
from ..auth import MECHANISMS, LoginMethod, Mechanism
from ..exceptions import HandshakeFailed, InvalidArgument
from ..version import __version__
from .channel_numbers import HIGHEST
from .server import UNKNOWN, Server, server_of

FRAME_MAX: Final = 131072
"""Bytes of a frame where neither side sets a limit: what RabbitMQ offers by default."""

SAFE_FRAME_MAX: Final = 8192
"""Bytes of a frame that every server takes. RabbitMQ: release notes of 4.1.0."""

LARGEST_FRAME: Final = 16 * 1024 * 1024
"""Bytes of a frame that a server can choose: a frame is held until it is complete."""

_HEADER_SIZE: Final = 8
_HTTP: Final = b"HTTP"  # which begins the answer of the management API, for example
_TLS_ALERT: Final = b"\x15\x03"  # RFC 8446: 5.1, the type of the record and its version
_LOCALE: Final = "en_US"
_WITHOUT_LOGIN: Final = ("EXTERNAL", "ANONYMOUS")

CAPABILITIES: Final = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "publisher_confirms": True,
}
"""RabbitMQ: consumer-cancel.html, auth-notification.html, connection-blocked.html and others."""

PRODUCT: Final[dict[str, Any]] = {
    "capabilities": CAPABILITIES,
    "copyright": "BSD",
    "product": "aioamqp",
    "product_version": __version__,
}
"""The client properties that are sent unless the caller sets others."""


class Handshake:
    """State of one handshake: it takes the server's methods and returns the client's.

    Args:
        mechanism: to log in with.
        virtual_host: to open.
        client_properties: replace those that are sent by default, by name.
        channel_max: the highest channel number wanted; None or 0 for the server's limit.
        frame_max: bytes of a frame wanted; None or 0 for the server's limit, up to 16 MiB.
        heartbeat: seconds, even above the server's; 0 for none, None for the server's.

    Attributes:
        start: the server's connection.start; None before it has been received.
        tune: the server's connection.tune; None before it has been received.
        tune_ok: the negotiated limits; None before they are.
        is_finished: whether the connection is open.

    Raises:
        InvalidArgument: a limit is outside its range.
    """

    def __init__(
        self,
        mechanism: Mechanism,
        virtual_host: str,
        client_properties: Mapping[str, Any] | None = None,
        *,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: int | None = None,
    ) -> None:
        self._mechanism = mechanism
        self._virtual_host = virtual_host
        self._client_properties = {**PRODUCT, **(client_properties or {})}
        self._channel_max = _in_range("channel_max", channel_max, 0, HIGHEST)
        # All versions of RabbitMQ refuse a smaller frame_max than the specification allows.
        least = FRAME_MIN_SIZE if frame_max else 0
        self._frame_max = _in_range("frame_max", frame_max, least, (1 << 32) - 1)
        self._heartbeat = _in_range("heartbeat", heartbeat, 0, 65535)
        self._header = b""
        self._is_0_9_1 = False
        self.start: connection.Start | None = None
        self.tune: connection.Tune | None = None
        self.tune_ok: connection.TuneOk | None = None
        self.is_finished: bool = False

    @property
    def server(self) -> Server:
        """What is known of the server."""
        return UNKNOWN if self.start is None else server_of(self.start.server_properties)

    @property
    def is_frame_max_refused(self) -> bool:
        """Whether the server does not take the ``frame_max`` that was negotiated."""
        tune_ok = self.tune_ok
        return tune_ok is not None and 0 < tune_ok.frame_max < self.server.least_frame_max

    def check_protocol_header(self, data: bytes) -> bytes:
        """Return the data for the decoder, unless it is a protocol header of the server's own.

        Raises:
            HandshakeFailed: it is, or it is TLS or HTTP: the server does not speak AMQP 0-9-1.
                Spec: 4.2.2.
        """
        if self._is_0_9_1:
            return data
        self._header += data
        if b"AMQP".startswith(self._header[:4]) and len(self._header) < _HEADER_SIZE:
            return b""
        if self._header == _TLS_ALERT[:1] or self._header in (_HTTP[:1], _HTTP[:2], _HTTP[:3]):
            return b""
        if self._header.startswith(b"AMQP"):
            version = "-".join(map(str, self._header[5:_HEADER_SIZE]))
            raise HandshakeFailed(
                f"The server does not take AMQP 0-9-1, it asks for AMQP {version}; check the port"
            )
        if self._header.startswith(_HTTP):
            raise HandshakeFailed(
                "The server does not speak AMQP 0-9-1 on this port but HTTP: the port of AMQP"
                " usually is 5672, or 5671 with TLS; 15672 is that of the management API"
            )
        if self._header.startswith(_TLS_ALERT):
            raise HandshakeFailed(
                "The server speaks TLS on this port: use amqps:// and 5671, or ssl=True, or"
                " the port without TLS, which usually is 5672"
            )
        self._is_0_9_1 = True
        return self._header

    def receive_method(self, method: Method) -> list[Method]:
        """Process a method from the server; return the methods to answer it with.

        Raises:
            HandshakeFailed: the server refuses, or asks for what the client cannot do.
        """
        match method:
            case connection.Start() if self.start is None:
                self.start = method
                return [self._start_ok(method)]
            case connection.Secure() if self.start is not None and self.tune is None:
                return [self._secure_ok(method)]
            case connection.Tune() if self.start is not None and self.tune is None:
                self.tune = method
                self.tune_ok = self._negotiate(method)
                return [self.tune_ok, connection.Open(self._virtual_host)]
            case connection.OpenOk() if self.tune is not None:
                self.is_finished = True
                return []
            case connection.Close():
                raise refusal(method)
            case _:
                raise HandshakeFailed(
                    f"The server sent {method.NAME} while the connection was being opened, which"
                    f" does not belong there; it {self._progress()}"
                )

    def explain_end(self, *, has_tls: bool = False) -> str:
        """Return what it may mean that the link ends now."""
        hint = ""
        if self.start is None and has_tls:
            hint = (
                "; check that an AMQP 0-9-1 server is at that port, and whether it requires a"
                " client certificate"
            )
        elif self.start is None:
            hint = (
                "; check that an AMQP 0-9-1 server is at that port, and that it does not speak TLS"
                " there, for which there is amqps:// and usually the port 5671"
            )
        elif self.tune is None:
            # RabbitMQ: without authentication_failure_close it closes so after a refused login.
            hint = "; the login may have been refused"
        elif self.is_frame_max_refused and self.tune_ok is not None:
            hint = (
                f"; {self.server.name} refuses frame_max={self.tune_ok.frame_max}: it takes"
                f" {self.server.least_frame_max} or more"
            )
        elif not self.is_finished:
            hint = "; the virtual host or the tuned limits may have been refused"
        return f"The link ended while the connection was being opened{hint}"

    def _progress(self) -> str:
        if self.start is None:
            return "has not sent connection.start yet"
        if self.tune is None:
            return "has not answered the login yet"
        return "has not answered connection.open yet"

    def _start_ok(self, start: connection.Start) -> connection.StartOk:
        offered = start.mechanisms.decode("utf-8", "replace").split()
        if self._mechanism.name not in offered:
            raise HandshakeFailed(
                f"The server does not offer to log in with {self._mechanism.name},"
                f" but with {' or '.join(offered) or 'nothing'}"
            )
        locales = start.locales.decode("utf-8", "replace").split()
        locale = _LOCALE if _LOCALE in locales or not locales else locales[0]
        try:
            response = self._mechanism.initial_response()
        except Exception as error:
            raise self._no_answer(error) from error
        return connection.StartOk(self._client_properties, self._mechanism.name, response, locale)

    def _secure_ok(self, secure: connection.Secure) -> connection.SecureOk:
        try:
            response = self._mechanism.respond(secure.challenge)
        except Exception as error:
            raise self._no_answer(error) from error
        if response is None:
            raise HandshakeFailed(
                f"The server asks for more than {self._mechanism.name} can answer to log in"
            )
        return connection.SecureOk(response)

    def _no_answer(self, error: Exception) -> HandshakeFailed:
        # Only the class: the text of the error may contain a secret.
        return HandshakeFailed(
            f"The login method {self._mechanism.name} failed with {type(error).__name__}"
        )

    def _negotiate(self, tune: connection.Tune) -> connection.TuneOk:
        if self._frame_max and self._frame_max < SAFE_FRAME_MAX:
            protocol_logger.warning(
                "frame_max=%d is less than %d, and RabbitMQ 4.1 and later refuse that, three"
                " seconds after they have been asked to open a virtual host",
                self._frame_max,
                SAFE_FRAME_MAX,
            )
        return connection.TuneOk(
            _lower(self._channel_max, tune.channel_max),
            min(
                _lower(self._frame_max, tune.frame_max) or FRAME_MAX,
                self._frame_max or LARGEST_FRAME,
            ),
            tune.heartbeat if self._heartbeat is None else self._heartbeat,
        )


def refusal(close: connection.Close) -> HandshakeFailed:
    """Make the error for a connection.close while the connection is being opened."""
    text = f"The server refused the connection: {close.reply_code} {close.reply_text}"
    return HandshakeFailed(
        with_advice(text, advise(close.reply_code, close.reply_text)),
        close.reply_code,
        close.reply_text,
    )


def mechanism_named(login_method: LoginMethod, login: str, password: str) -> Mechanism:
    """Return a new mechanism; for an unknown name PLAIN, as in 0.15, with a warning."""
    if not isinstance(login_method, str):
        return login_method(login, password)
    name = login_method.upper()
    if name not in MECHANISMS:
        protocol_logger.warning("%s is not a known login method, using PLAIN", login_method)
        name = "PLAIN"
    given: dict[str, object] = {"login": login, "password": password}
    for what, value in given.items():
        if not isinstance(value, str) and name not in _WITHOUT_LOGIN:
            raise InvalidArgument(f"must be a string, not {type(value).__name__}", (what,))
        if isinstance(value, str) and not _is_utf8(value):
            raise InvalidArgument("contains a character that is not in UTF-8", (what,))
        if name == "PLAIN" and "\0" in str(value):
            raise InvalidArgument("contains a zero byte, which PLAIN cannot send", (what,))
    return MECHANISMS[name](login, password)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # it has the text, which may be the password
        return False
    return True


def _lower(wanted: int | None, offered: int) -> int:
    # Spec: connection.tune, zero is no limit.
    return min((limit for limit in (wanted, offered) if limit), default=0)


def _in_range(name: str, value: object, least: int, most: int) -> int | None:
    if value is None:
        return None
    # Not "in range(...)": that looks at every number of the range if value is not an integer.
    # False is 0, as in 0.15; True cannot be meant.
    if value is True or not isinstance(value, int) or not least <= value <= most:
        raise InvalidArgument(f"must be an integer from {least} to {most}, not {value!r}", (name,))
    return value
