"""Publisher confirms of a channel: which publishes are confirmed by one basic.ack or basic.nack.

RabbitMQ confirms a message that it cannot route at once and singly, and the others when the queues
have accepted them, with one basic.ack for as many as that covers. How many these are depends on
timing there. Here they are those that came in one read.
"""

from itertools import groupby

from amqp_codec import basic


class Confirms:
    """The numbers of the publishes on a channel that are not confirmed.

    Attributes:
        is_selected: whether the channel is in confirm mode.
    """

    __slots__ = ("_last", "_unconfirmed", "is_selected")

    def __init__(self) -> None:
        self.is_selected = False
        self._last = 0
        self._unconfirmed: dict[int, bool] = {}  # number -> whether the message was accepted

    def add(self, *, is_accepted: bool) -> int:
        """Count a publish and return its number.

        Args:
            is_accepted: whether every queue had room for the message.
        """
        self._last += 1
        self._unconfirmed[self._last] = is_accepted
        return self._last

    def confirm(self, number: int) -> basic.Ack:
        """Return the confirm of one publish."""
        del self._unconfirmed[number]
        return basic.Ack(number)

    def take_all(self) -> dict[int, bool]:
        """Return the numbers of all unconfirmed publishes, and whether each message was accepted.

        They count as confirmed from here on.
        """
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        return unconfirmed

    def confirm_all(self) -> list[basic.Ack | basic.Nack]:
        """Return the confirms of all unconfirmed publishes, one for as many as have one outcome.

        RabbitMQ: a nack has multiple set even if it is for one, and also the bit for requeue.
        """
        confirms: list[basic.Ack | basic.Nack] = []
        for is_accepted, group in groupby(self.take_all().items(), lambda item: item[1]):
            numbers = [number for number, _ in group]
            if is_accepted:
                confirms.append(basic.Ack(numbers[-1], len(numbers) > 1))
            else:
                confirms.append(basic.Nack(numbers[-1], True, True))
        return confirms
