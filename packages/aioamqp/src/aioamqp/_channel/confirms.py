"""Publisher confirms of one channel: the published messages, and the acks and nacks for them.

In confirm mode both sides count the messages of a channel from 1; the server acks or nacks them by
these numbers, in any order and several at once. RabbitMQ: confirms.html.

A mandatory message that no queue takes is returned without its number, just before it is acked.
Returns keep the order of publishing, so a return is for the first message with that content that
has not been returned yet.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from amqp_codec import basic

from .._connection.recorder import Recorder
from .._loggers import channel_logger
from ..envelope import ReturnEnvelope
from ..exceptions import PublishFailed, PublishReturned, unconfirmed
from ..instrument import Outcome, Publication
from ..properties import Properties

_K = TypeVar("_K")
_Route: TypeAlias = tuple[str, str, bytes]  # exchange, routing key, body


class Waiter(Protocol):
    """Gets the outcome of a message, as an asyncio.Future does."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...
    def set_exception(self, exception: Exception, /) -> None: ...


class Content(NamedTuple):
    """What a returned message is recognized by.

    Attributes:
        exchange: that the message was published to.
        routing_key: that it was published with.
        properties: encoded, since the caller may change what it gave.
        body: its bytes.
    """

    exchange: str
    routing_key: str
    properties: bytes
    body: bytes

    @property
    def route(self) -> _Route:
        """All but the properties."""
        return self.exchange, self.routing_key, self.body


class Returned(NamedTuple):
    """A returned message."""

    envelope: ReturnEnvelope
    body: bytes
    properties: Properties


class _Mandatory:
    __slots__ = ("content", "is_settled", "returned", "waiter")

    @property
    def is_returnable(self) -> bool:
        """Whether it may still be returned."""
        return not self.is_settled and self.returned is None

    def __init__(self, content: Content, waiter: Waiter | None) -> None:
        self.content = content
        self.waiter = waiter
        self.returned: Returned | None = None
        self.is_settled = False


class Confirms:
    """Counts the messages of one channel, and gives each its outcome.

    Attributes:
        is_selected: whether the channel is in confirm mode.
        last_tag: the delivery tag of the latest message; 0 before the first.
    """

    __slots__ = (
        "_by_content", "_by_route", "_first", "_mandatory", "_unconfirmed", "is_selected",
        "last_tag",
    )  # fmt: skip

    def __init__(self) -> None:
        self.is_selected: bool = False
        self.last_tag: int = 0
        self._first = 1  # all tags below it are settled
        self._unconfirmed: dict[int, Waiter | None] = {}
        self._mandatory: dict[int, _Mandatory] = {}
        # Both in the order of publishing; those that cannot be returned any longer are dropped
        # when they come to the front.
        self._by_content: dict[Content, deque[_Mandatory]] = {}
        self._by_route: dict[_Route, deque[_Mandatory]] = {}

    @property
    def unconfirmed(self) -> int:
        """The number of messages whose outcome is still to come."""
        return len(self._unconfirmed)

    @property
    def pending(self) -> int:
        """The number of records that are kept of unconfirmed messages."""
        returnable = len(self._by_content) + len(self._by_route)
        return len(self._unconfirmed) + len(self._mandatory) + returnable

    def add(self, waiter: Waiter | None, content: Content | None = None) -> int:
        """Count a message; call it right after writing.

        Args:
            waiter: gets the outcome; None if no call waits for it.
            content: of a message that may be returned; None for one that may not.

        Returns:
            The delivery tag of the message.
        """
        self.last_tag += 1
        self._unconfirmed[self.last_tag] = waiter
        if content is not None:
            mandatory = _Mandatory(content, waiter)
            self._mandatory[self.last_tag] = mandatory
            self._by_content.setdefault(content, deque()).append(mandatory)
            self._by_route.setdefault(content.route, deque()).append(mandatory)
        return self.last_tag

    def track(self, message: Publication, written: float) -> None:
        """Note nothing: without instruments there is nobody to tell."""

    def handle_ack(self, ack: basic.Ack | basic.Nack) -> None:
        """Apply a basic.ack or basic.nack; ``multiple`` settles every tag up to it.

        Tags that are settled already are ignored.
        """
        tag, is_acked = ack.delivery_tag, isinstance(ack, basic.Ack)
        if ack.multiple:
            last = min(tag or self.last_tag, self.last_tag)  # Spec: basic.ack, 0 means all
            tags = range(self._first, last + 1)
            self._first = max(self._first, last + 1)
            self._settle(tags, is_acked)
        elif 0 < tag <= self.last_tag:
            self._settle((tag,), is_acked)
        else:
            channel_logger.warning(
                "The server sent %s for delivery tag %d, but the latest message published has %d",
                ack.NAME,
                tag,
                self.last_tag,
            )
        while self._first <= self.last_tag and self._first not in self._unconfirmed:
            self._first += 1

    def handle_return(self, content: Content, returned: Returned) -> bool:
        """Note that a message was returned; its basic.ack is still to come.

        Returns:
            Whether a call waits for the outcome of that message.
        """
        # RabbitMQ takes the header BCC out of what it returns: so the properties may differ.
        found = _first(self._by_content, content) or _first(self._by_route, content.route)
        if found is None:
            return False
        found.returned = returned
        return found.waiter is not None and not found.waiter.done()

    def give_up(self, tag: int, text: str) -> None:
        """Raise PublishUnconfirmed in the call that waits for one message: it waits too long."""
        waiter = self._unconfirmed.get(tag)
        if waiter is not None and not waiter.done():
            waiter.set_exception(unconfirmed(TimeoutError(text), tag, tuple(self._unconfirmed)))

    def give_up_all(self, text: str) -> None:
        """Raise PublishUnconfirmed in every call that waits: no publisher confirm can be read."""
        tags = tuple(self._unconfirmed)
        for tag, waiter in self._unconfirmed.items():
            if waiter is not None and not waiter.done():
                waiter.set_exception(unconfirmed(TimeoutError(text), tag, tags))

    def fail(self, error: Exception) -> None:
        """Raise PublishUnconfirmed in every call that waits: the channel has ended."""
        tags = tuple(self._unconfirmed)
        waiting, self._unconfirmed = self._unconfirmed, {}
        for tag, waiter in waiting.items():
            if waiter is not None and not waiter.done():
                waiter.set_exception(unconfirmed(error, tag, tags))
        self._mandatory.clear()
        self._by_content.clear()
        self._by_route.clear()

    def _settle(self, tags: Iterable[int], is_acked: bool) -> None:
        unconfirmed = self._unconfirmed
        for tag in tags:
            waiter = unconfirmed.pop(tag, None)
            mandatory = self._mandatory.pop(tag, None) if self._mandatory else None
            if mandatory is not None:
                self._forget(mandatory)
            if waiter is None or waiter.done():  # no call waits, or it has been cancelled
                continue
            if mandatory is not None and mandatory.returned is not None:
                waiter.set_exception(PublishReturned(tag, *mandatory.returned))
            elif is_acked:
                waiter.set_result(None)
            else:
                waiter.set_exception(PublishFailed(tag))

    def _forget(self, mandatory: _Mandatory) -> None:
        """Expect no return of a message."""
        mandatory.is_settled = True
        _first(self._by_content, mandatory.content)
        _first(self._by_route, mandatory.content.route)


class NotedConfirms(Confirms):
    """Confirms of a channel with instruments, which are told the outcome of each message.

    Args:
        recorder: of the connection.
    """

    __slots__ = ("_publications", "_recorder")

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._publications: dict[int, tuple[Publication, float]] = {}

    def track(self, message: Publication, written: float) -> None:
        """Note the outcome of the message that is added next, and was written at a time."""
        self._publications[self.last_tag + 1] = message, written

    def give_up(self, tag: int, text: str) -> None:
        """See ``Confirms``. An outcome that comes later is not noted."""
        self._note(tag, "unknown")
        super().give_up(tag, text)

    def give_up_all(self, text: str) -> None:
        """See ``Confirms``."""
        for tag, waiter in self._unconfirmed.items():
            if waiter is not None:
                self._note(tag, "unknown")
        super().give_up_all(text)

    def fail(self, error: Exception) -> None:
        """See ``Confirms``."""
        for tag in list(self._publications):
            self._note(tag, "unknown")
        super().fail(error)

    def _settle(self, tags: Iterable[int], is_acked: bool) -> None:
        for tag in tags:
            mandatory = self._mandatory.get(tag)
            if mandatory is not None and mandatory.returned is not None:
                self._note(tag, "returned")
            else:
                self._note(tag, "confirmed" if is_acked else "nacked")
        super()._settle(tags, is_acked)

    def _note(self, tag: int, outcome: Outcome) -> None:
        noted = self._publications.pop(tag, None)
        if noted is not None:
            self._recorder.confirmed(noted[0], outcome, noted[1])


def _first(candidates: dict[_K, deque[_Mandatory]], key: _K) -> _Mandatory | None:
    """Return the first message with a key that may be returned; drop those before it."""
    queue = candidates.get(key)
    while queue and not queue[0].is_returnable:
        queue.popleft()
    if queue:
        return queue[0]
    candidates.pop(key, None)
    return None
