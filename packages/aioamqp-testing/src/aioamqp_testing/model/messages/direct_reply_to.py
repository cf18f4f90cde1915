"""Direct reply-to: replies that are delivered to a channel without a queue.

A client that consumes from ``amq.rabbitmq.reply-to`` gets an address. A message that is published
to the default exchange with this address as its routing key is delivered to that consumer.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from itertools import count
from typing import Final

from amqp_codec import ReplyCode

from ..errors import BrokerError
from ..profile import DEFAULT_PROFILE, Profile
from .message import REPLY_TO, Message

# RabbitMQ: an address is a key and an Erlang process in Erlang's external term format. The name of
# the node is a number that its cluster knows; addresses of other nodes are refused.
_NODE: Final = b"reply@104395301"
_PROCESS: Final = b"\x83Xv" + len(_NODE).to_bytes(2, "big") + _NODE
_AFTER_NODE: Final = 8  # bytes of a process that follow the name of its node, at least


class DirectReplies:
    """The direct reply consumers of a broker, by address.

    Args:
        new_name: returns names that nobody can guess.
        profile: the version of RabbitMQ.
    """

    def __init__(self, new_name: Callable[[str], str], profile: Profile = DEFAULT_PROFILE) -> None:
        self._new_name = new_name
        self._profile = profile
        self._processes = count(1000)
        self._consumers: dict[tuple[str, ...], Callable[[Message], None]] = {}

    def open(self, deliver: Callable[[Message], None]) -> str:
        """Add a consumer, and return its address.

        Args:
            deliver: called with each reply.
        """
        process = b64encode(_PROCESS + next(self._processes).to_bytes(4, "big") + bytes(8)).decode()
        key = self._new_name("") + "=="
        self._consumers[process, key] = deliver
        return f"{REPLY_TO}.{process}.{key}"

    def close(self, address: str) -> None:
        """Remove a consumer; later replies to its address are dropped."""
        del self._consumers[self._parts(address)]

    def find(self, address: str) -> Callable[[Message], None] | None:
        """Return the function that delivers replies to an address, or None without a consumer.

        Raises:
            BrokerError: 541, the address is malformed.
        """
        parts = self._parts(address)
        if len(parts) != 2:
            return None
        is_valid = _is_any_process if self._profile.drops_foreign_replies else _is_process
        if not is_valid(parts[0]):
            raise BrokerError(ReplyCode.INTERNAL_ERROR)
        return self._consumers.get(parts)

    def is_well_formed(self, address: str) -> bool:
        """Return whether an address can be one of a consumer, which may have ended."""
        parts = self._parts(address)
        return len(parts) == 2 and _is_process(parts[0])

    @staticmethod
    def begins_well(name: str) -> bool:
        """Return whether the first part of what may be an address is that of a consumer."""
        return _is_process(name.removeprefix(f"{REPLY_TO}.").partition(".")[0])

    def _parts(self, address: str) -> tuple[str, ...]:
        parts = address.removeprefix(f"{REPLY_TO}.").split(".")
        return tuple(parts if self._profile.reply_dots_count else filter(None, parts))


def is_address(name: str) -> bool:
    """Return whether a routing key is an address of direct replies, and no name of a queue."""
    return name.startswith(f"{REPLY_TO}.")


def _is_process(encoded: str) -> bool:
    process = _decoded(encoded)
    return process.startswith(_PROCESS) and len(process) >= len(_PROCESS) + _AFTER_NODE


def _is_any_process(encoded: str) -> bool:
    """Return whether it is a process of any node."""
    process = _decoded(encoded)
    if not process.startswith(_PROCESS[:3]):
        return False
    return len(process) >= 5 + int.from_bytes(process[3:5], "big") + _AFTER_NODE


def _decoded(encoded: str) -> bytes:
    try:
        return b64decode(encoded, validate=True)
    except (Base64Error, ValueError):
        return b""
