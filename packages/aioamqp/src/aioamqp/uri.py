"""Parser for AMQP URLs. RabbitMQ: uri-spec.html, uri-query-parameters.html."""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from ._advice import nearest
from .auth import MECHANISMS
from .constants import PROTOCOL_DEFAULT_PORT
from .exceptions import InvalidArgument
from .tls import TlsSettings

_SCHEMES: Final = ("amqp", "amqps")
_INTEGERS: Final = ("heartbeat", "frame_max", "channel_max", "connection_timeout")
_FILES: Final = ("cacertfile", "certfile", "keyfile")
_OF_TLS: Final = (*_FILES, "verify", "server_name_indication")
_KNOWN: Final = (*_INTEGERS, "auth_mechanism", *_OF_TLS)
_TLS_PORT: Final = 5671
_VERIFY: Final = {"verify_peer": True, "verify_none": False}
_SHAPE: Final = "amqp://login:password@host:5672/virtualhost"
_SCHEME: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]*")
_END_OF_AUTHORITY: Final = re.compile("[/?#]")
_BLANKS: Final = {" ": "a space", "\t": "a tab", "\n": "a line break", "\r": "a carriage return"}
_IPV6: Final = "write an IPv6 address in brackets, as in amqp://[::1]:5672/"


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

    A part that is missing has its default: guest, guest, localhost, 5672 or 5671, and the virtual
    host "/". The password of ``amqp://login:@host`` is empty. No error quotes what may be part of a
    password.

    Raises:
        ValueError: a part of the URL is invalid; the error names the character and its escape.
    """
    if not isinstance(url, str):
        raise InvalidArgument(f"must be a string, not {type(url).__name__}", ("url",))
    _check_characters(url)
    scheme, rest = _split_scheme(url)
    # urllib.parse.urlsplit drops characters, and its errors quote the password.
    end = _END_OF_AUTHORITY.search(rest)
    authority, tail = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    if "@" in tail:
        raise ValueError(
            f"The AMQP URL contains an @ after {tail[0]}, where the host has ended. If the"
            f" user name or the password contains {tail[0]}, write {quote(tail[0], safe='')}; an @"
            " after the host is %40"
        )
    if "#" in tail:
        raise ValueError("The AMQP URL contains a #; write it as %23")
    path, _, query = tail.partition("?")
    userinfo, _, host_and_port = authority.rpartition("@")
    login, password = _login_and_password(userinfo)
    host, port = _host_and_port(host_and_port)
    parameters = _parse_query(query)
    of_tls = [name for name in _OF_TLS if name in parameters]
    if of_tls and scheme != "amqps":
        raise ValueError(f"{of_tls[0]} in the AMQP URL requires TLS; begin the URL with amqps://")
    files = {name: parameters.pop(name, None) for name in _FILES}
    # The virtual host is everything after the first slash. An empty one means the default, "/", as
    # does a second slash.
    virtualhost = _decode(path.removeprefix("/"), "virtual host")
    return AmqpUrl(
        is_secure=scheme == "amqps",
        host=host,
        port=port,
        login=login,
        password=password,
        virtualhost=virtualhost or "/",
        tls=TlsSettings(**files, verify=parameters.pop("verify", True)),
        **parameters,
    )


def _check_characters(url: str) -> None:
    if url != url.strip():
        raise ValueError(
            "The AMQP URL begins or ends with a space or a line break; remove it, for example with"
            " str.strip()"
        )
    for character in url:
        if character.isspace() or not (character.isprintable() or ord(character) > 127):
            name = _BLANKS.get(character, f"the character U+{ord(character):04X}")
            raise ValueError(f"The AMQP URL contains {name}; write it as {quote(character)}")
    if "%00" in url:
        raise ValueError("The AMQP URL contains %00, a zero byte, which no part of it can have")


def _split_scheme(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        # What is there instead may be a user name and a password, so it is not quoted.
        if url.lower().startswith(tuple(f"{each}:" for each in _SCHEMES)):
            raise ValueError(f"The AMQP URL has no // after its scheme; write it as {_SHAPE}")
        raise ValueError(
            f"The AMQP URL has no scheme: it begins with amqp:// or amqps://, as in {_SHAPE}"
        )
    if scheme.lower() not in _SCHEMES:
        near = nearest(scheme.lower(), _SCHEMES)
        hint = f"; did you mean {near}://?" if near else ""
        raise ValueError(
            f"An AMQP URL begins with amqp:// or amqps://; this one has the scheme {scheme!r}{hint}"
        )
    return scheme.lower(), rest


def _login_and_password(userinfo: str) -> tuple[str, str]:
    for bracket in "[]":
        if bracket in userinfo:
            raise ValueError(
                f"The user name or the password in the AMQP URL contains {bracket}; write it as"
                f" {quote(bracket)}"
            )
    if userinfo in ("", ":"):
        return "guest", "guest"
    login, colon, password = userinfo.partition(":")
    if not login:
        raise ValueError(
            f"The AMQP URL has a password, but no user name before it; write it as {_SHAPE}"
        )
    decoded = _decode(password, "password") if colon else "guest"
    return _decode(login, "user name"), decoded


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Return the host in lower case, and the port; the errors quote neither."""
    if text.startswith("["):
        host, bracket, after = text[1:].partition("]")
        if not bracket:
            raise ValueError(f"The AMQP URL contains [ without ]; {_IPV6}")
        host = _decode(host, "host")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(
                "The brackets in the AMQP URL contain no IPv6 address; write any other host without"
                " them"
            ) from None
        if after and not after.startswith(":"):
            raise ValueError("Between the ] and the port in the AMQP URL there must be a colon")
        return host.lower(), _port(after[1:])
    for bracket in "[]":
        if bracket in text:
            raise ValueError(
                f"The host in the AMQP URL contains {bracket}; {_IPV6}, and {bracket} elsewhere as"
                f" {quote(bracket)}"
            )
    if text.count(":") > 1:
        raise ValueError(
            f"The host in the AMQP URL contains more than one colon; {_IPV6}, and a colon in the"
            " user name or the password as %3A"
        )
    host, _, port = text.partition(":")
    host = _decode(host, "host")
    # Python normalizes the names of hosts, and some characters become others.
    for character in unicodedata.normalize("NFKC", host):
        if character.isspace() or character in "/?#@:[]%\\":
            raise ValueError(
                f"The host in the AMQP URL contains {character!r}, which no name of a host has"
            )
    return host.lower() or "localhost", _port(port)


def _port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 1 << 16):
        # Not quoted: it may be part of the password.
        raise ValueError(
            "The port in the AMQP URL must be a number from 0 to 65535; if the user name or the"
            " password contains / ? or #, write %2F %3F %23"
        )
    return int(text)


def _decode(text: str, part: str) -> str:
    """Percent-decode; a % that begins no escape stays, since 0.15 decoded nothing."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(
            f"The {part} in the AMQP URL has escapes that are not UTF-8, in which é is %C3%A9; a"
            " percent sign is %25"
        ) from None


def _parse_query(query: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(
            "The query of the AMQP URL has escapes that are not UTF-8, in which é is %C3%A9; a"
            " percent sign is %25"
        ) from None
    for name, text in pairs:
        if name not in _KNOWN:
            raise ValueError(_unknown_parameter(name, f"{name}=" in query))
        if name in parameters:
            raise ValueError(f"The AMQP URL has {name} twice; remove one of them")
        parameters[name] = _value(name, text)
    if "keyfile" in parameters and "certfile" not in parameters:
        raise ValueError("keyfile in the AMQP URL needs certfile, the certificate of that key")
    return parameters


def _unknown_parameter(name: str, has_value: bool) -> str:
    # What has no value may not be meant as a parameter at all, but be part of a password.
    which = f" {name!r}" if has_value and name.isidentifier() else ""
    near = nearest(name.lower(), _KNOWN)
    hint = f"did you mean {near}? Known" if which and near else "known"
    return (
        f"The AMQP URL has the unknown query parameter{which}; {hint} parameters are"
        f" {', '.join(_KNOWN)}. A ? before the query is %3F"
    )


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
