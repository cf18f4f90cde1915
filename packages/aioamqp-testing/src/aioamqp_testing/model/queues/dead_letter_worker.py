"""The dead-letter worker of a quorum queue: dead lettering at least once.

RabbitMQ: such a queue keeps a dead letter until all queues that it is routed to have confirmed it.
An internal consumer of the queue, the worker, publishes the dead letters; it holds a few at a time,
and those that it cannot deliver keep the others waiting.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..agenda import Agenda
from ..messages.message import Message
from .dead_letter import Reason
from .expiry import ROUNDING, Reminder

_PREFETCH: Final = 32  # RabbitMQ: dead_letter_worker_consumer_prefetch
_RETRY_SECONDS: Final = 180  # RabbitMQ: dead_letter_worker_publisher_confirm_timeout


@dataclass(slots=True, eq=False)
class DeadLetter:
    """A dead letter that some of its queues do not have yet.

    Attributes:
        message: the message as it was in the queue that dead-letters it.
        reason: why it is dead-lettered.
        died_at: the date of its death, which all attempts to publish it give.
        published_at: the time of the last attempt in which it was routed to a queue, or None.
        confirmed: the names of the queues that have it.
    """

    message: Message
    reason: Reason
    died_at: float
    published_at: float | None = None
    confirmed: set[str] = field(default_factory=set)


class DeadLetterWorker:
    """The dead letters of one queue that are published at least once.

    Args:
        agenda: of the virtual host.
        publish: publishes a dead letter, and returns whether all its queues have it.
    """

    def __init__(self, agenda: Agenda, publish: Callable[[DeadLetter], bool]) -> None:
        self._agenda = agenda
        self._publish = publish
        self._waiting: deque[tuple[Message, Reason]] = deque()
        self._held: list[DeadLetter] = []
        self._size = 0
        self._is_work_pending = False
        self._retry_timer = Reminder(agenda, self.retry)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._held)

    @property
    def size(self) -> int:
        """The bytes of the bodies of all dead letters."""
        return self._size

    @property
    def messages(self) -> list[Message]:
        """All dead letters as they were in the queue, the oldest first."""
        return [each.message for each in self._held] + [message for message, _ in self._waiting]

    def add(self, message: Message, reason: Reason) -> None:
        """Publish a dead letter when it is its turn."""
        self._waiting.append((message, reason))
        self._size += len(message.body)
        self._work_soon()

    def retry(self) -> None:
        """Publish the dead letters again that were not routed, or that a queue has refused."""
        due = self._agenda.clock.time() + ROUNDING - _RETRY_SECONDS
        self._held = [
            each
            for each in self._held
            if (each.published_at is not None and each.published_at > due)
            or not self._publish_one(each)
        ]
        self._work_soon()

    def restart(self) -> None:
        """Publish all dead letters again. RabbitMQ: the worker forgets which queues have them."""
        self._waiting.extendleft((each.message, each.reason) for each in reversed(self._held))
        self._held.clear()
        self._retry_timer.cancel()
        self._work_soon()

    def clear(self) -> list[Message]:
        """Drop all dead letters, and return them."""
        dropped = self.messages
        self._waiting.clear()
        self._held.clear()
        self._size = 0
        self._retry_timer.cancel()
        return dropped

    def _work_soon(self) -> None:
        if not self._is_work_pending:
            self._is_work_pending = True
            self._agenda.call_soon(self._work)

    def _work(self) -> None:
        """Publish the next dead letter, and see to the timer."""
        self._is_work_pending = False
        if self._waiting and len(self._held) < _PREFETCH:
            message, reason = self._waiting.popleft()
            letter = DeadLetter(message, reason, self._agenda.clock.now())
            if not self._publish_one(letter):
                self._held.append(letter)
            self._work_soon()
        elif self._held:
            self._retry_timer.schedule(self._agenda.clock.time() + _RETRY_SECONDS)
        else:
            self._retry_timer.cancel()

    def _publish_one(self, letter: DeadLetter) -> bool:
        is_done = self._publish(letter)
        if is_done:
            self._size -= len(letter.message.body)
        return is_done
