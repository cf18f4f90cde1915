"""What a channel in transaction mode has asked for and not committed yet."""

from collections.abc import Callable, Iterable

from ...model import ConsumingChannel, Delivery, Publication, Queue, QueuedMessage

Settle = Callable[[Queue], Callable[[ConsumingChannel, Iterable[QueuedMessage]], None]]
"""Says what is to become of delivered messages: the method of a queue that does it."""


class Transaction:
    """A channel's transaction; RabbitMQ begins the next one as soon as one has ended.

    Attributes:
        is_selected: whether the channel is in transaction mode.
        is_committing: whether tx.commit has come and is not answered yet.
        publications: what is to be delivered, and whether it is mandatory.
        settlements: what is to be settled, and how.
    """

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
        """Forget what was asked for; the channel stays in transaction mode."""
        self.is_committing = False
        self.publications.clear()
        self.settlements.clear()
