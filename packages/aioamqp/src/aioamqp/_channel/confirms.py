"""Which messages a channel has published, and what the server said about each.

In confirm mode both sides count the messages of a channel from 1; the server acks or nacks them by
these numbers, in any order and several at once. RabbitMQ: confirms.html.

A message that no queue takes comes back without its number, just before it is acked. Returns keep
the order of publishing, so the first message with that content that has not come back yet is meant.
"""

from asyncio import Future
from collections import deque
from typing import NamedTuple, TypeAlias

from amqp_codec import Properties as WireProperties
from amqp_codec import basic

from .._loggers import channel_logger
from ..envelope import ReturnEnvelope
from ..exceptions import PublishFailed, PublishReturned, unconfirmed
from ..properties import Properties

_Route: TypeAlias = tuple[str, str, bytes]  # exchange, routing key, body


class Content(NamedTuple):
    """What a return is recognized by.

    Attributes:
        exchange: that the message was published to.
        routing_key: that it was published with.
        properties: encoded, since what the caller gave may be changed after the call.
        body: its octets.
    """

    exchange: str
    routing_key: str
    properties: bytes
    body: bytes

    @classmethod
    def of(
        cls, exchange: str, routing_key: str, properties: WireProperties | None, body: bytes
    ) -> "Content":
        """Take what was published, or what came back."""
        return cls(exchange, routing_key, (properties or WireProperties()).encode(), body)

    @property
    def route(self) -> _Route:
        """All but the properties."""
        return self.exchange, self.routing_key, self.body


class Returned(NamedTuple):
    """A message that came back."""

    envelope: ReturnEnvelope
    body: bytes
    properties: Properties


class _Mandatory:
    __slots__ = ("content", "is_settled", "returned", "waiter")

    def __init__(self, content: Content, waiter: Future[None] | None) -> None:
        self.content = content
        self.waiter = waiter
        self.returned: Returned | None = None
        self.is_settled = False


class Confirms:
    """Counts the messages of one channel and tells those who wait how each ended.

    Attributes:
        is_selected: whether the channel is in confirm mode.
        last_tag: the number of the latest message; 0 before the first.
    """

    __slots__ = ("_first", "_mandatory", "_open", "_returnable", "is_selected", "last_tag")

    def __init__(self) -> None:
        self.is_selected: bool = False
        self.last_tag: int = 0
        self._first = 1  # all numbers below it are settled
        self._open: dict[int, Future[None] | None] = {}
        self._mandatory: dict[int, _Mandatory] = {}
        self._returnable: dict[_Route, deque[_Mandatory]] = {}

    def count(self, waiter: Future[None] | None, content: Content | None = None) -> int:
        """Count a message that is being written now.

        Args:
            waiter: gets its outcome; None when nobody waits for it.
            content: of a message that may come back; None for one that may not.

        Returns:
            Its number.
        """
        self.last_tag += 1
        self._open[self.last_tag] = waiter
        if content is not None:
            mandatory = _Mandatory(content, waiter)
            self._mandatory[self.last_tag] = mandatory
            self._returnable.setdefault(content.route, deque()).append(mandatory)
        return self.last_tag

    def receive(self, outcome: basic.Ack | basic.Nack) -> None:
        """Take the server's word on one message, or on all up to a number.

        What has been settled already is not settled again.
        """
        tag, is_taken = outcome.delivery_tag, isinstance(outcome, basic.Ack)
        if outcome.multiple:
            last = min(tag or self.last_tag, self.last_tag)  # Spec: basic.ack, 0 means all
            for each in range(self._first, last + 1):
                self._settle(each, is_taken)
        elif 0 < tag <= self.last_tag:
            self._settle(tag, is_taken)
        else:
            channel_logger.warning(
                "The server sent %s for delivery tag %d, but the latest message published has %d",
                outcome.NAME,
                tag,
                self.last_tag,
            )
        while self._first <= self.last_tag and self._first not in self._open:
            self._first += 1

    def receive_return(self, content: Content, returned: Returned) -> bool:
        """Remember that a message came back; its ack is still to come.

        Returns:
            Whether somebody waits for that message, and so will be told.
        """
        candidates = self._returnable.get(content.route, deque())
        due = (each for each in candidates if not each.is_settled)
        exact = (each for each in due if each.content.properties == content.properties)
        # RabbitMQ takes the header BCC out of what it sends back: so the properties may differ.
        meant = next(exact, None) or next((m for m in candidates if not m.is_settled), None)
        if meant is None:
            return False
        meant.returned = returned
        candidates.remove(meant)
        return meant.waiter is not None and not meant.waiter.done()

    def fail(self, error: Exception) -> None:
        """Let every message that is open end as unconfirmed, because of an error."""
        tags = tuple(self._open)
        for tag, waiter in self._open.items():
            if waiter is not None and not waiter.done():
                waiter.set_exception(unconfirmed(error, tag, tags))
        self._open.clear()
        self._mandatory.clear()
        self._returnable.clear()

    def _settle(self, tag: int, is_taken: bool) -> None:
        if tag not in self._open:
            return
        waiter = self._open.pop(tag)
        mandatory = self._mandatory.pop(tag, None)
        if mandatory is not None:
            self._forget(mandatory)
        if waiter is None or waiter.done():  # nobody waits, or nobody any more
            return
        if mandatory is not None and mandatory.returned is not None:
            waiter.set_exception(PublishReturned(tag, *mandatory.returned))
        elif is_taken:
            waiter.set_result(None)
        else:
            waiter.set_exception(PublishFailed(tag))

    def _forget(self, mandatory: _Mandatory) -> None:
        """Expect no return of a message; only the front is tidied, since most end in order."""
        mandatory.is_settled = True
        route = mandatory.content.route
        candidates = self._returnable.get(route)
        while candidates and candidates[0].is_settled:
            candidates.popleft()
        if not candidates:
            self._returnable.pop(route, None)
