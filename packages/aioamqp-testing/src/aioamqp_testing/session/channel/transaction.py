"""The transaction of a channel: what it has published and settled, and not committed yet."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from ...model import ConsumingChannel, Delivery, Publication, Queue, QueuedMessage

Settle: TypeAlias = Callable[[Queue], Callable[[ConsumingChannel, Iterable[QueuedMessage]], None]]
"""How messages are settled: gets the method of a queue that acknowledges, rejects or requeues."""


class Transaction:
    """A channel's transaction. RabbitMQ: when one has ended, the next one begins.

    Attributes:
        is_selected: whether the channel is in transaction mode.
        is_committing: whether tx.commit has been received and not been answered.
        publications: what is to be delivered, and whether it is mandatory.
        settlements: which deliveries are to be settled, and how.
    """

    __slots__ = ("is_committing", "is_selected", "publications", "settlements")

    def __init__(self) -> None:
        self.is_selected = False
        self.is_committing = False
        self.publications: list[tuple[Publication, bool]] = []
        self.settlements: list[tuple[list[Delivery], Settle]] = []

    @property
    def deliveries(self) -> list[Delivery]:
        """The deliveries that are to be settled."""
        return [delivery for deliveries, _ in self.settlements for delivery in deliveries]

    def clear(self) -> None:
        """Drop what has not been committed; the channel stays in transaction mode."""
        self.is_committing = False
        self.publications.clear()
        self.settlements.clear()
