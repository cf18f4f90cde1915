"""SASL mechanisms, with which a client authenticates. Spec: 2.2.4, connection.start-ok.

``login_method`` of ``connect`` is a name, PLAIN, AMQPLAIN, EXTERNAL or ANONYMOUS, or a function
that returns a Mechanism for a login and a password. The function is called for every connection, so
it can fetch a password or token that changes:

    await aioamqp.connect(login_method=lambda login, _: Plain(login, current_token()))

A custom mechanism has a name that the server offers, an initial response, and a response to the
server's challenges.
"""

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from amqp_codec import encode_table


class Mechanism(Protocol):
    """A SASL mechanism, used for one connection.

    Attributes:
        name: the name under which servers offer it.
    """

    name: str

    def initial_response(self) -> bytes:
        """Return the ``response`` of connection.start-ok."""
        ...

    def respond(self, challenge: bytes) -> bytes | None:
        """Return the response to a connection.secure; None if the mechanism has no challenges."""
        ...


class Plain:
    """User name and password in plain text: RFC 4616, without an authorization identity."""

    def __init__(self, login: str, password: str) -> None:
        self.name = "PLAIN"
        self._login = login
        self._password = password

    def initial_response(self) -> bytes:
        """Return user name and password, each after a zero byte."""
        return b"\0" + self._login.encode() + b"\0" + self._password.encode()

    def respond(self, challenge: bytes) -> None:
        """Return None: the mechanism has no challenges."""


class AmqPlain:
    """User name and password as a field table. RabbitMQ: access-control.html, AMQPLAIN."""

    def __init__(self, login: str, password: str) -> None:
        self.name = "AMQPLAIN"
        self._login = login
        self._password = password

    def initial_response(self) -> bytes:
        """Return the table without its length, since the long string around it has a length."""
        return encode_table({"LOGIN": self._login, "PASSWORD": self._password})[4:]

    def respond(self, challenge: bytes) -> None:
        """Return None: the mechanism has no challenges."""


class External:
    """The identity in the client's TLS certificate: RFC 4422, appendix A.

    RabbitMQ: requires the plugin rabbitmq_auth_mechanism_ssl.
    """

    def __init__(self, login: str = "", password: str = "") -> None:
        del login, password  # the certificate names the user
        self.name = "EXTERNAL"

    def initial_response(self) -> bytes:
        """Return no bytes: the client asks for the identity of its certificate."""
        return b""

    def respond(self, challenge: bytes) -> None:
        """Return None: the mechanism has no challenges."""


class Anonymous:
    """No identity: RFC 4505. The server chooses the user.

    RabbitMQ: offered since 4.0; the user is ``anonymous_login_user``, by default guest, which may
    connect from the same machine only.
    """

    def __init__(self, login: str = "", password: str = "") -> None:
        del login, password  # not sent
        self.name = "ANONYMOUS"

    def initial_response(self) -> bytes:
        """Return no bytes: there is nothing to tell the server's log."""
        return b""

    def respond(self, challenge: bytes) -> None:
        """Return None: the mechanism has no challenges."""


MakeMechanism: TypeAlias = Callable[[str, str], Mechanism]
"""A function that returns a mechanism for a login and a password, for one connection."""

LoginMethod: TypeAlias = str | MakeMechanism
"""The type of ``login_method``: a name, or a function that returns a custom mechanism."""

MECHANISMS: Final[dict[str, MakeMechanism]] = {
    "PLAIN": Plain,
    "AMQPLAIN": AmqPlain,
    "EXTERNAL": External,
    "ANONYMOUS": Anonymous,
}
"""The mechanisms that ``login_method`` can name."""
