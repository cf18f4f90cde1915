"""What an AMQP URL says."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_SCHEMES: Final = ("amqp", "amqps")
_INTEGERS: Final = ("heartbeat", "frame_max", "channel_max")


@dataclass(frozen=True)
class AmqpUrl:
    """The parts of ``amqp[s]://login:password@host:port/virtualhost?heartbeat=60``.

    Attributes:
        port: None for the scheme's own, 5671 or 5672.
        heartbeat: seconds; None where the URL says nothing, as with the three that follow.
        frame_max: octets.
        channel_max: the highest channel number.
        connection_timeout: seconds.
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

    def __repr__(self) -> str:
        scheme = "amqps" if self.is_secure else "amqp"
        return f"AmqpUrl({scheme}://{self.login}:***@{self.host}:{self.port}, {self.virtualhost!r})"

    @property
    def options(self) -> dict[str, int | float]:
        """The query parameters that are present, as keyword arguments of ``connect``."""
        names = (*_INTEGERS, "connection_timeout")
        values = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in values if value is not None}


def parse_url(url: str) -> AmqpUrl:
    """Take an AMQP URL apart; user name, password and virtual host are percent-decoded.

    Raises:
        ValueError: the scheme, the port or a query parameter is wrong.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ValueError(
            f"An AMQP URL begins with amqp:// or amqps://, this one has the scheme {parts.scheme!r}"
        )
    # The virtual host is all after the first slash. An empty one means the default, "/", and so
    # does a second slash.
    path = parts.path.removeprefix("/")
    return AmqpUrl(
        is_secure=parts.scheme == "amqps",
        host=unquote(parts.hostname or "localhost"),
        port=_port(parts),
        login=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        virtualhost=unquote(path or "/"),
        **_parse_query(parts.query),
    )


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        # What Python says quotes the text, which may be a piece of the password.
        raise ValueError(
            "The port in the AMQP URL must be a number from 0 to 65535; if the user name or the"
            " password has one of / ? # in it, write %2F %3F %23"
        ) from None


def _parse_query(query: str) -> dict[str, Any]:
    parameters: dict[str, int | float] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in (*_INTEGERS, "connection_timeout"):
            raise ValueError(
                f"The AMQP URL has the query parameter {name!r}; known are heartbeat, frame_max,"
                " channel_max and connection_timeout"
            )
        try:
            value = int(text) if name in _INTEGERS else float(text)
        except ValueError:
            value = -1
        if not 0 <= value < 1 << 32:
            raise ValueError(f"{name} in the AMQP URL must be a number from 0 up, not {text!r}")
        parameters[name] = value
    return parameters
