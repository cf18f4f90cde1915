"""Direct reply-to: answers that go straight to a channel, without a queue.

Whoever consumes from ``amq.rabbitmq.reply-to`` gets an address; what is published to the default
exchange with that address as its routing key is delivered to that consumer.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from itertools import count
from typing import Final

from amqp_codec import ReplyCode

from ..errors import BrokerError
from .message import REPLY_TO, Message

# RabbitMQ: an address names an Erlang process, printed as the outside of Erlang sees it, and a key.
# The name of the node is a number by which its cluster knows it; no other node can be meant.
_NODE: Final = b"reply@104395301"
_PROCESS: Final = b"\x83Xv" + len(_NODE).to_bytes(2, "big") + _NODE
_AFTER_NODE: Final = 8  # octets of a process that are needed behind the name of its node


class DirectReplies:
    """The consumers of direct replies in a broker, by their addresses.

    Args:
        new_name: makes up what nobody can guess.
    """

    def __init__(self, new_name: Callable[[str], str]) -> None:
        self._new_name = new_name
        self._processes = count(1000)
        self._consumers: dict[tuple[str, ...], Callable[[Message], None]] = {}

    def open(self, deliver: Callable[[Message], None]) -> str:
        """Let a consumer have answers, and return the address for them.

        Args:
            deliver: called with each answer.
        """
        process = b64encode(_PROCESS + next(self._processes).to_bytes(4, "big") + bytes(8)).decode()
        key = self._new_name("") + "=="
        self._consumers[process, key] = deliver
        return f"{REPLY_TO}.{process}.{key}"

    def close(self, address: str) -> None:
        """Let answers to an address go nowhere."""
        del self._consumers[self._parts(address)]

    def find(self, address: str) -> Callable[[Message], None] | None:
        """Return what delivers answers to an address; None when nobody waits for them.

        Raises:
            BrokerError: 541, there cannot be such an address.
        """
        parts = self._parts(address)
        if len(parts) != 2:
            return None
        _check_process(parts[0])
        return self._consumers.get(parts)

    @staticmethod
    def _parts(address: str) -> tuple[str, ...]:
        # RabbitMQ: any number of dots lies between two words
        return tuple(filter(None, address.removeprefix(f"{REPLY_TO}.").split(".")))


def is_address(name: str) -> bool:
    """Return whether a routing key is to be taken for an address, and not for a queue's name."""
    return name.startswith(f"{REPLY_TO}.")


def _check_process(encoded: str) -> None:
    try:
        octets = b64decode(encoded, validate=True)
    except (Base64Error, ValueError):
        octets = b""
    if not octets.startswith(_PROCESS) or len(octets) < len(_PROCESS) + _AFTER_NODE:
        raise BrokerError(ReplyCode.INTERNAL_ERROR)
