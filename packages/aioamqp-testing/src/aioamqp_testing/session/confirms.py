"""Publisher confirms of a channel: a stage of its own, so that grouping and order are its business.

RabbitMQ confirms what it cannot route at once and on its own, and the rest when the queues have
said that they have it, with one basic.ack for as many as that covers. Which these are is a matter
of timing there. Here they are those that came in one piece of input.
"""

from amqp_codec import basic


class Confirms:
    """Counts the publishes of a channel and says which are confirmed.

    Attributes:
        is_selected: whether the channel is in confirm mode.
    """

    def __init__(self) -> None:
        self.is_selected = False
        self._last = 0
        self._unconfirmed: dict[int, None] = {}

    def select(self) -> None:
        """Go into confirm mode; being in it already changes nothing."""
        self.is_selected = True

    def publish(self) -> int:
        """Count a publish and return its number."""
        self._last += 1
        self._unconfirmed[self._last] = None
        return self._last

    def confirm(self, number: int) -> basic.Ack:
        """Return the confirm of one publish."""
        del self._unconfirmed[number]
        return basic.Ack(number)

    def take_all(self) -> list[int]:
        """Take the numbers of all that is left, to be confirmed by somebody else."""
        numbers = list(self._unconfirmed)
        self._unconfirmed.clear()
        return numbers

    def confirm_all(self) -> basic.Ack | None:
        """Return the confirm of all that is left, None when there is nothing."""
        if not self._unconfirmed:
            return None
        several = len(self._unconfirmed) > 1
        number = next(reversed(self._unconfirmed))
        self._unconfirmed.clear()
        return basic.Ack(number, several)
