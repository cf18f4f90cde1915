"""How the client proves who it is: SASL mechanisms. Spec: 2.2.4, connection.start-ok."""

from collections.abc import Callable
from typing import Final, Protocol


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


MECHANISMS: Final[dict[str, Callable[[str, str], Mechanism]]] = {"PLAIN": Plain}
"""What makes a mechanism of a login and a password, by the name that ``login_method`` gives it."""
