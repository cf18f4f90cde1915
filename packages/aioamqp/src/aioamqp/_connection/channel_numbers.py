"""The numbers of a connection's channels."""

from ..exceptions import NoChannelAvailable

HIGHEST = 65535
"""A channel number has two octets. Spec: 4.2.3."""


class ChannelNumbers:
    """Gives out the lowest number that is free, from 1 to channel-max.

    Attributes:
        highest: that may be given out.
        ceil: the highest that ever was.
        free: those up to it that are not in use.
    """

    __slots__ = ("ceil", "free", "highest")

    def __init__(self, channel_max: int) -> None:
        self.highest: int = channel_max or HIGHEST
        self.ceil: int = 0
        self.free: set[int] = set()

    @property
    def count(self) -> int:
        """How many are in use."""
        return self.ceil - len(self.free)

    def take(self) -> int:
        """Return a number that is in use from now on.

        Raises:
            NoChannelAvailable: all are.
        """
        if self.free:
            number = min(self.free)
            self.free.remove(number)
            return number
        if self.ceil >= self.highest:
            raise NoChannelAvailable(
                f"All {self.highest} channels of the connection are in use: close one, or raise"
                " channel_max here and at the server"
            )
        self.ceil += 1
        return self.ceil

    def release(self, number: int) -> None:
        """Let a number be given out again; one that is free already may be released too."""
        if 0 < number <= self.ceil:
            self.free.add(number)

    def release_all(self) -> None:
        """Let all numbers be given out again."""
        self.free.update(range(1, self.ceil + 1))
