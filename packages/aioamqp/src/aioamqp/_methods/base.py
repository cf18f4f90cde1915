"""What the calls of all classes of AMQP are made with."""

import asyncio
from typing import TYPE_CHECKING, TypeVar

from amqp_codec import Method

if TYPE_CHECKING:
    from .._channel.confirms import Confirms
    from .._channel.consumers import Consumers
    from .._channel.core import ChannelCore
    from .._channel.requests import Requests
    from .._connection.writer import Writer

_Reply = TypeVar("_Reply", bound=Method)


class Methods:
    """What a channel gives to its calls."""

    channel_id: int
    close_event: asyncio.Event
    inbound: "ChannelCore"
    last_consumer_tag: str | None
    _wire: "Writer"
    _dialogue: "Requests"
    _consumers: "Consumers"
    _confirms: "Confirms"

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed the channel."""
        return not self.close_event.is_set()

    async def _do(self, method: Method, no_wait: bool, timeout: float | None) -> bool | None:
        if no_wait:
            self._dialogue.send(method)
            return None
        await self._dialogue.request(method, timeout)
        return True

    async def _ask(self, method: Method, reply: type[_Reply], timeout: float | None) -> _Reply:
        answer = (await self._dialogue.request(method, timeout)).method
        assert isinstance(answer, reply)
        return answer
