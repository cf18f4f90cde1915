"""Parser for AMQP URLs. RabbitMQ: uri-spec.html, uri-query-parameters.html."""

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .auth import MECHANISMS
from .constants import PROTOCOL_DEFAULT_PORT
from .tls import TlsSettings

_SCHEMES: Final = ("amqp", "amqps")
_INTEGERS: Final = ("heartbeat", "frame_max", "channel_max", "connection_timeout")
_FILES: Final = ("cacertfile", "certfile", "keyfile")
_OF_TLS: Final = (*_FILES, "verify", "server_name_indication")
_KNOWN: Final = (*_INTEGERS, "auth_mechanism", *_OF_TLS)
_TLS_PORT: Final = 5671
_VERIFY: Final = {"verify_peer": True, "verify_none": False}


@dataclass(frozen=True)
class AmqpUrl:
    """The parts of ``amqp[s]://login:password@host:port/virtualhost?heartbeat=60``.

    Attributes:
        port: None for the default of the scheme, 5671 or 5672.
        heartbeat: seconds; None if the URL does not set it, as with the three that follow.
        frame_max: bytes.
        channel_max: the highest channel number.
        connection_timeout: seconds; the URL has milliseconds, as in RabbitMQ's clients.
        auth_mechanism: the name for ``login_method``.
        server_name_indication: the name in the server's certificate, if it is not the host.
        tls: the certificate files, and whether to verify the server.
    """

    is_secure: bool
    host: str
    port: int | None
    login: str
    password: str
    virtualhost: str
    heartbeat: int | None = None
    frame_max: int | None = None
    channel_max: int | None = None
    connection_timeout: float | None = None
    auth_mechanism: str | None = None
    server_name_indication: str | None = None
    tls: TlsSettings = field(default_factory=TlsSettings)

    def __repr__(self) -> str:
        scheme = "amqps" if self.is_secure else "amqp"
        return f"AmqpUrl({scheme}://{self.login}:***@{self.host}:{self.port}, {self.virtualhost!r})"

    @property
    def options(self) -> dict[str, int | float | str]:
        """The query parameters that are present, as keyword arguments of ``connect``.

        ``auth_mechanism`` and ``tls`` are not among them: they need more than a new name.
        """
        values = {name: getattr(self, name) for name in _INTEGERS}
        values["server_hostname"] = self.server_name_indication
        return {name: value for name, value in values.items() if value is not None}


def default_port(*, is_secure: bool) -> int:
    """Return the port of a server for which none is given: 5672, or 5671 with TLS."""
    return _TLS_PORT if is_secure else PROTOCOL_DEFAULT_PORT


def parse_url(url: str) -> AmqpUrl:
    """Parse an AMQP URL; user name, password and virtual host are percent-decoded.

    Raises:
        ValueError: the scheme, the port or a query parameter is invalid.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # Python's error text may quote the password.
        raise ValueError(
            "The host in the AMQP URL is invalid; write an IPv6 address in brackets, as in"
            " amqp://[::1]:5672/"
        ) from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(
            f"An AMQP URL begins with amqp:// or amqps://; this one has the scheme {parts.scheme!r}"
        )
    if parts.fragment:
        raise ValueError("The AMQP URL contains a #; write it as %23")
    parameters = _parse_query(parts.query)
    of_tls = [name for name in _OF_TLS if name in parameters]
    if of_tls and parts.scheme != "amqps":
        raise ValueError(f"{of_tls[0]} in the AMQP URL requires TLS; begin the URL with amqps://")
    files = {name: parameters.pop(name, None) for name in _FILES}
    # The virtual host is everything after the first slash. An empty one means the default, "/", as
    # does a second slash.
    path = parts.path.removeprefix("/")
    return AmqpUrl(
        is_secure=parts.scheme == "amqps",
        host=unquote(parts.hostname or "localhost"),
        port=_port(parts),
        login=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        virtualhost=unquote(path or "/"),
        tls=TlsSettings(**files, verify=parameters.pop("verify", True)),
        **parameters,
    )


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        # Python's error quotes the text, which may be part of the password.
        raise ValueError(
            "The port in the AMQP URL must be a number from 0 to 65535; if the user name or the"
            " password contains / ? or #, write %2F %3F %23"
        ) from None


def _parse_query(query: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _KNOWN:
            raise ValueError(
                f"The AMQP URL has the unknown query parameter {name!r}; known parameters are"
                f" {', '.join(_KNOWN)}"
            )
        if name in parameters:
            raise ValueError(f"The AMQP URL has {name} twice; remove one of them")
        parameters[name] = _value(name, text)
    if "keyfile" in parameters and "certfile" not in parameters:
        raise ValueError("keyfile in the AMQP URL needs certfile, the certificate of that key")
    return parameters


def _value(name: str, text: str) -> Any:
    match name:
        case "heartbeat" | "frame_max" | "channel_max":
            return _integer(name, text, 0)
        case "connection_timeout":
            return _integer(name, text, 1) / 1000
        case "auth_mechanism":
            # No fallback to PLAIN, unlike login_method: it would reveal the password.
            return _one_of(name, text, {method.lower(): method for method in MECHANISMS})
        case "verify":
            return _one_of(name, text, _VERIFY)
        case _ if not text:
            raise ValueError(f"{name} in the AMQP URL is empty")
        case _:
            return text


def _integer(name: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) < 1 << 32):
        raise ValueError(f"{name} in the AMQP URL must be a number from {least} up, not {text!r}")
    return int(text)


def _one_of(name: str, text: str, values: dict[str, Any]) -> Any:
    if text.lower() not in values:
        raise ValueError(f"{name} in the AMQP URL must be {' or '.join(values)}, not {text!r}")
    return values[text.lower()]
