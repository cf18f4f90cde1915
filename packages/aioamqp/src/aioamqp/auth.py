"""How the client proves who it is: SASL mechanisms. Spec: 2.2.4, connection.start-ok.

``login_method`` of ``connect`` takes a name, PLAIN, AMQPLAIN or EXTERNAL, or whatever makes a
Mechanism of a login and a password. It is called for every connection anew, so a password that
changes is asked for there:

    await aioamqp.connect(login_method=lambda login, _: Plain(login, current_token()))

A mechanism of one's own has a name that the server offers, a first response, and an answer to the
server's challenges.
"""

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from amqp_codec import encode_table


class Mechanism(Protocol):
    """One way to prove an identity, used for one connection.

    Attributes:
        name: under which servers offer it.
    """

    name: str

    def initial_response(self) -> bytes:
        """Return what to send with connection.start-ok."""
        ...

    def respond(self, challenge: bytes) -> bytes | None:
        """Answer a connection.secure, or return None: the mechanism knows no challenge."""
        ...


class Plain:
    """User name and password as they are: RFC 4616, without an authorization identity."""

    def __init__(self, login: str, password: str) -> None:
        self.name = "PLAIN"
        self._login = login
        self._password = password

    def initial_response(self) -> bytes:
        """Return both, each after a zero octet."""
        return b"\0" + self._login.encode() + b"\0" + self._password.encode()

    def respond(self, challenge: bytes) -> None:
        """Return None: everything has been said."""


class AmqPlain:
    """User name and password as a field table. RabbitMQ: access-control.html, AMQPLAIN."""

    def __init__(self, login: str, password: str) -> None:
        self.name = "AMQPLAIN"
        self._login = login
        self._password = password

    def initial_response(self) -> bytes:
        """Return the table without its length, which the long string around it has already."""
        return encode_table({"LOGIN": self._login, "PASSWORD": self._password})[4:]

    def respond(self, challenge: bytes) -> None:
        """Return None: everything has been said."""


class External:
    """The identity that TLS has proved with the client's certificate: RFC 4422, appendix A.

    RabbitMQ: needs the plugin rabbitmq_auth_mechanism_ssl.
    """

    def __init__(self, login: str = "", password: str = "") -> None:
        del login, password  # what the certificate says goes
        self.name = "EXTERNAL"

    def initial_response(self) -> bytes:
        """Return nothing: no other identity than the certificate's is asked for."""
        return b""

    def respond(self, challenge: bytes) -> None:
        """Return None: everything has been said."""


MakeMechanism: TypeAlias = Callable[[str, str], Mechanism]
"""Makes a mechanism of a login and a password, for one connection."""

LoginMethod: TypeAlias = str | MakeMechanism
"""What ``login_method`` takes: a name, or what makes a mechanism of one's own."""

MECHANISMS: Final[dict[str, MakeMechanism]] = {
    "PLAIN": Plain,
    "AMQPLAIN": AmqPlain,
    "EXTERNAL": External,
}
"""The mechanisms that ``login_method`` can name."""
