"""What the methods of all AMQP classes have in common."""

from typing import TypeVar

from amqp_codec import Method

from .._channel.core import ChannelCore

_Reply = TypeVar("_Reply", bound=Method)


class Methods:
    """Base of the classes that ``Channel`` consists of.

    Args:
        core: of the channel.
    """

    def __init__(self, core: ChannelCore) -> None:
        self._core = core
        self.last_consumer_tag: str | None = None

    async def _do(self, method: Method, no_wait: bool, timeout: float | None) -> bool | None:
        """Send a method whose reply says nothing; return None without waiting, else True."""
        if no_wait:
            self._core.requests.send(method)
            return None
        await self._core.requests.request(method, timeout)
        return True

    async def _request(self, method: Method, reply: type[_Reply], timeout: float | None) -> _Reply:
        """Send a method and return its reply."""
        received = (await self._core.requests.request(method, timeout)).method
        assert isinstance(received, reply)
        return received
