"""The numbers of a connection's channels."""

from typing import Final

from ..exceptions import NoChannelAvailable

HIGHEST: Final = 65535
"""A channel number has two bytes. Spec: 4.2.3."""


class ChannelNumbers:
    """Allocates channel numbers: the lowest that is free, from 1 to channel-max.

    Args:
        channel_max: the highest number, as negotiated; 0 for no limit.

    Attributes:
        highest: the highest number that may be allocated.
        ceil: the highest number that has been allocated.
        free: the numbers up to ``ceil`` that are free.
    """

    __slots__ = ("ceil", "free", "highest")

    def __init__(self, channel_max: int) -> None:
        self.highest: int = channel_max or HIGHEST
        self.ceil: int = 0
        self.free: set[int] = set()

    @property
    def count(self) -> int:
        """The number of channel numbers in use."""
        return self.ceil - len(self.free)

    def allocate(self) -> int:
        """Return a free number, which is in use from now on.

        Raises:
            NoChannelAvailable: all numbers are in use.
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
        """Free a number; one that is free already may be released too."""
        if 0 < number <= self.ceil:
            self.free.add(number)

    def release_all(self) -> None:
        """Free all numbers."""
        self.free.update(range(1, self.ceil + 1))
