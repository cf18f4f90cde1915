"""Publisher confirms of a channel: a stage of its own, so that grouping and order are its business.

RabbitMQ confirms what it cannot route at once and on its own, and the rest when the queues have
said that they have it, with one basic.ack for as many as that covers. Which these are is a matter
of timing there. Here they are those that came in one piece of input.
"""

from itertools import groupby

from amqp_codec import basic


class Confirms:
    """Counts the publishes of a channel and says which are confirmed.

    Attributes:
        is_selected: whether the channel is in confirm mode.
    """

    def __init__(self) -> None:
        self.is_selected = False
        self._last = 0
        self._unconfirmed: dict[int, bool] = {}  # number -> whether it was taken

    def select(self) -> None:
        """Go into confirm mode; being in it already changes nothing."""
        self.is_selected = True

    def publish(self) -> int:
        """Count a publish and return its number."""
        self._last += 1
        self._unconfirmed[self._last] = True
        return self._last

    def confirm(self, number: int) -> basic.Ack:
        """Return the confirm of one publish."""
        del self._unconfirmed[number]
        return basic.Ack(number)

    def refuse(self, number: int) -> None:
        """Remember that a queue had no room for a publish."""
        self._unconfirmed[number] = False

    def take_all(self) -> dict[int, bool]:
        """Take the numbers of all that is left, and whether each was taken.

        Somebody else has to say what has become of them.
        """
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        return unconfirmed

    def confirm_all(self) -> list[basic.Ack | basic.Nack]:
        """Return what to say of all that is left: one method for as many as have the same fate.

        RabbitMQ: a nack says multiple even if it is about one, and has the bit requeue set.
        """
        said: list[basic.Ack | basic.Nack] = []
        for is_taken, group in groupby(self._unconfirmed.items(), lambda item: item[1]):
            numbers = [number for number, _ in group]
            if is_taken:
                said.append(basic.Ack(numbers[-1], len(numbers) > 1))
            else:
                said.append(basic.Nack(numbers[-1], True, True))
        self._unconfirmed.clear()
        return said
