"""What the methods of all AMQP classes have in common."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from amqp_codec import Command, Method

from .._channel.core import ChannelCore
from .._channel.requests import ReplyCallback, check_timeout
from ..exceptions import InvalidArgument

_Reply = TypeVar("_Reply", bound=Method)
_T = TypeVar("_T")


def check_flags(**flags: object) -> None:
    """Check that flags are True or False, or 0, 1 or None as programs for 0.15 give them.

    Anything else is a mistake: an argument at the wrong place, or ``"false"``, which is true.

    Raises:
        InvalidArgument: one is not; nothing has been sent.
    """
    for name, flag in flags.items():
        if flag is True or flag is False or flag is None:
            continue
        if not isinstance(flag, int) or flag not in (0, 1):
            raise InvalidArgument(f"must be True or False, not {flag!r:.80}", (name,))


def check_numbers(**numbers: object) -> None:
    """Check that numbers are no flags: ``True`` would be sent as 1.

    Raises:
        InvalidArgument: one is; nothing has been sent.
    """
    for name, number in numbers.items():
        if isinstance(number, bool):
            raise InvalidArgument(f"must be a number, not {number}", (name,))


def alias(name: str, value: _T, other_name: str, other: _T | None, absent: object = None) -> _T:
    """Return the argument that was given by one of its two names, or else its default.

    Args:
        name: of the argument.
        value: that was given by it.
        other_name: of the argument.
        other: the value that was given by that one.
        absent: the default of ``value``.

    Raises:
        InvalidArgument: it was given by both names.
    """
    if other is None:
        return value
    if value != absent:
        raise InvalidArgument(f"is another name of {name}: give one of them", (other_name,))
    return other


def given(name: str, value: _T | None, other_name: str = "", other: _T | None = None) -> _T:
    """Return the argument that was given by one of its names.

    Raises:
        InvalidArgument: it was given by both, or by none.
    """
    argument = alias(name, value, other_name, other)
    if argument is None:
        raise InvalidArgument("must be given", (name,))
    return argument


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
            check_timeout(timeout)
            await self._send(method, timeout)
            return None
        await self._call(method, timeout)
        return True

    async def _request(self, method: Method, reply: type[_Reply], timeout: float | None) -> _Reply:
        """Send a method and return its reply."""
        received = (await self._call(method, timeout)).method
        assert isinstance(received, reply)
        return received

    async def _send(self, method: Method, timeout: float | None = None) -> None:
        """Send a method and do not wait for its reply, if there is one."""

        async def send(core: ChannelCore, _: float | None) -> None:
            core.requests.send(method)

        await self._over(method, timeout, send)

    async def _call(
        self, method: Method, timeout: float | None, on_late_reply: ReplyCallback | None = None
    ) -> Command:
        """Send a method and return the command with its reply. See ``Requests.request``."""

        def send(core: ChannelCore, seconds: float | None) -> Awaitable[Command]:
            def note_late(reply: Command) -> None:
                if core.recovery is not None:
                    core.recovery.record(method, core)
                if on_late_reply is not None:
                    on_late_reply(reply)

            return core.requests.request(method, seconds, note_late)

        return await self._over(method, timeout, send)

    async def _over(
        self,
        method: Method,
        timeout: float | None,
        send: Callable[[ChannelCore, float | None], Awaitable[_T]],
    ) -> _T:
        """Send a method over the core of the channel, or of the one that recovery makes.

        Args:
            method: to send.
            timeout: seconds for all of it.
            send: sends it over a core within so many seconds, and returns the result.
        """
        recovery = self._core.recovery
        if recovery is None:
            return await send(self._core, timeout)
        recovery.complete(method)
        return await recovery.call(method, timeout, send)
