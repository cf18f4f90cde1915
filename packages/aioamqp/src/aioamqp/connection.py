"""A connection that comes back by itself, with its channels, declarations and consumers."""

# The connection shows the cores of its channels.
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self, cast

from ._arguments import (
    OF_CHANGE,
    OF_ERROR,
    OF_MESSAGE,
    argument_of_url,
    check_callable,
    unknown_option,
)
from ._channel.core import ChannelCore
from ._channel.requests import check_timeout
from ._recovery.backoff import Backoff
from ._recovery.state import ConnectionState, Health, StateChange, Unrestored
from ._recovery.supervisor import Credentials, Supervisor
from ._recovery.topology import RECOVER, Recover, Topology
from .auth import LoginMethod
from .callbacks import CloseCallback, ErrorCallback, ReturnCallback
from .channel import Channel
from .connecting import arguments_of
from .exceptions import InvalidArgument
from .instrument import instruments_of
from .protocol import AmqpProtocol
from .uri import AmqpUrl, parse_url

__all__ = [
    "Backoff",
    "Connection",
    "ConnectionState",
    "Health",
    "StateChange",
    "Topology",
    "Unrestored",
]

WAIT_TIMEOUT: Final = 60.0
"""Seconds that a call waits while there is no connection, unless the caller sets others."""

BACKOFF: Final = Backoff()
"""When to connect again, unless the caller says otherwise."""


class Connection:
    """A connection to one of several servers, which is opened again when it is lost.

        async with aioamqp.Connection("amqp://localhost/") as connection:
            channel = await connection.channel()
            async for message in channel.consume("orders", prefetch_count=50):
                ...

    After a loss, exchanges, queues and bindings are declared again, channels are opened with their
    modes and limits, and consumers continue. Meanwhile

    - calls wait, for ``wait_timeout`` seconds or their own ``timeout``;
    - calls whose reply was lost are sent again, if doing them twice changes nothing more: not
      ``basic_get``, ``publish`` and the end of a transaction, which raise their error;
    - messages that were delivered before are delivered again: settling them sends nothing and
      returns False. Delivery tags are never used twice.

    Two things end it: ``close``, and an error that trying again cannot mend, such as a wrong
    password or a certificate that is not valid. It can be entered once.

    Args:
        url: an AMQP URL, or several, of servers that can stand in for each other; see
            ``from_url``.
        login_method: see ``connect``, as for ``options``.
        reconnect: how long to wait before each attempt; None not to connect again.
        recover: "all" to declare exchanges, queues and bindings again; "transient" only those that
            do not survive a restart of the server; "none" for none of them.
        credentials: a function, or a coroutine function, that returns login and password for each
            attempt, instead of those in the URL: for tokens that expire.
        wait_timeout: seconds that a call waits while there is no connection; None for no limit.
        shuffle: whether to try servers and their addresses in random order.
        on_error: called as ``callback(error)`` if the connection has ended without ``close``.
        on_state_change: called as ``callback(change)`` with each StateChange.
        options: what ``connect`` takes besides what is in the URL, such as ``heartbeat`` and
            ``instrument``.

    Raises:
        ValueError: a URL is wrong.
        TypeError: an option is unknown; the error names the nearest known one.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        login_method: LoginMethod = "PLAIN",
        reconnect: Backoff | None = BACKOFF,
        recover: Recover = "all",
        credentials: Credentials | None = None,
        wait_timeout: float | None = WAIT_TIMEOUT,
        shuffle: bool = True,
        on_error: ErrorCallback | None = None,
        on_state_change: Callable[[StateChange], object] | None = None,
        **options: Any,
    ) -> None:
        unknown = argument_of_url(options) or unknown_option(options)
        if unknown is not None:
            raise unknown
        check_callable("on_error", on_error, OF_ERROR)
        check_callable("on_state_change", on_state_change, OF_CHANGE)
        _check_credentials(credentials)
        instruments_of(options.get("instrument"))
        check_timeout(wait_timeout, "wait_timeout")
        if recover not in RECOVER:
            text = f"must be {' or '.join(map(repr, RECOVER))}, not {recover!r:.40}"
            raise InvalidArgument(text, ("recover",))
        _check_backoff(reconnect)
        urls = _parsed(url)
        for each in urls:
            arguments_of(each, login_method, options)  # which reads the files of certificates
        self._virtualhost = urls[0].virtualhost
        self._supervisor = Supervisor(
            urls,
            login_method,
            options,
            reconnect=reconnect,
            recover=recover,
            credentials=credentials,
            wait_timeout=wait_timeout,
            shuffle=shuffle,
            on_error=on_error,
            on_state_change=on_state_change,
        )

    def __repr__(self) -> str:
        target = self._supervisor.target
        where = "" if target is None else f" {target}"
        return f"<Connection{where} {self.state.name}>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # ---------------------------------------------------------------- life

    async def open(self, timeout: float | None = None) -> None:
        """Connect, trying again as after a loss. ``async with`` calls it.

        Args:
            timeout: seconds; None for ``wait_timeout``.

        Raises:
            AmqpClosedConnection: no server could be reached in time, or one refuses the login.
            TimeoutError: the ``timeout`` has passed.
        """
        check_timeout(timeout)
        supervisor = self._supervisor
        supervisor.check_not_closed()
        if not supervisor.has_started:
            supervisor.start()
        try:
            await supervisor.wait_open(timeout, limit=supervisor.wait_timeout)
        except BaseException:
            await supervisor.close(None, None)
            raise

    async def close(self, timeout: float | None = None, *, drain: float | None = None) -> None:
        """Close the connection for good, in whatever state it is. It may be called again.

        Args:
            timeout: seconds in which the server must agree; see ``AmqpProtocol.close``.
            drain: seconds in which callbacks that run may finish; see ``Channel.close``.

        Raises:
            TimeoutError: the server has not agreed within the ``timeout`` that was given; the
                connection is closed all the same.
        """
        check_timeout(timeout)
        check_timeout(drain, "drain")
        await self._supervisor.close(timeout, drain)

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._supervisor.state

    @property
    def health(self) -> Health:
        """Whether the connection can be used now, and why not: for readiness checks.

        It is not healthy while it is being opened or restored, while the server blocks publishers,
        when something could not be restored, and when it is CLOSED. Recovery goes on in all these
        states but CLOSED, so restart a program for that one only.
        """
        if not self._supervisor.has_started:
            return Health(False, "The connection is not open yet: enter it first")
        return self._supervisor.health

    @property
    def is_healthy(self) -> bool:
        """Whether the connection can be used now; ``health`` has the reason, too."""
        return self.health.is_healthy

    def state_changes(self) -> AsyncIterator[StateChange]:
        """Iterate over the changes of the state from now on, until the connection is CLOSED."""
        return self._supervisor.changes()

    async def wait_open(self, timeout: float | None = None) -> None:
        """Wait until the connection is open; return at once if it is.

        Raises:
            AmqpClosedConnection: it is CLOSED.
            TimeoutError: it is not open after so many seconds.
        """
        check_timeout(timeout)
        await self._supervisor.wait_open(timeout)

    # ---------------------------------------------------------------- use

    @property
    def protocol(self) -> AmqpProtocol:
        """The AMQP connection that is in use now, or was last; recovery makes another.

        Raises:
            AmqpClosedConnection: there has been none yet.
        """
        return self._supervisor.protocol

    async def channel(
        self,
        *,
        return_callback: ReturnCallback | None = None,
        on_close: CloseCallback | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Channel:
        """Open a channel that survives the loss of the connection.

        It ends when the program closes it, when the server closes it because of an error of the
        program, and with this connection.

        Args:
            return_callback: see ``Channel``.
            on_close: see ``Channel``.
            timeout: seconds in which it must be open; None for ``wait_timeout``.
            kwargs: see ``AmqpProtocol.channel``.

        Raises:
            AmqpClosedConnection: the connection is CLOSED, or has not been opened in time.
            NoChannelAvailable: all channel numbers are in use.
            TimeoutError: the ``timeout`` has passed.
        """
        check_callable("return_callback", return_callback, OF_MESSAGE)
        check_callable("on_close", on_close, OF_ERROR)
        check_timeout(timeout)
        if not self._supervisor.has_started:
            self._supervisor.protocol  # noqa: B018 - raises the error for that

        async def open_one(protocol: AmqpProtocol, seconds: float | None) -> Channel:
            return await protocol.channel(
                return_callback=return_callback, timeout=seconds, **kwargs
            )

        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        channel = await self._supervisor.open_channel(deadline, open_one)
        assert isinstance(channel, Channel)
        if on_close is not None:  # not before: another one is opened if the connection is lost
            channel.on_close = on_close
        return channel

    @property
    def topology(self) -> Topology:
        """What was declared on this connection and not deleted since: a copy."""
        return self._supervisor.topology.copy()

    def snapshot(self) -> dict[str, Any]:
        """Return what the connection waits for, and what waits in it, for JSON.

        Returns:
            ``state``, ``seconds_in_state``, ``address``, ``attempt``, ``last_error``, ``blocked``
            (the server's reason), ``waiting`` (calls, each with its ``call``, ``channel`` and
            ``seconds``), ``bytes_to_send``, ``bytes_for_callbacks``, and ``channels``, each with
            its ``number``, ``state``, ``consumers`` (``tag``, ``queue``, ``buffered``),
            ``unconfirmed``, ``unacked``, ``oldest_unacked`` (seconds) and ``stale``.
        """
        supervisor = self._supervisor
        now = asyncio.get_running_loop().time()
        waiting: list[dict[str, Any]] = []
        channels: list[dict[str, Any]] = []
        for recovery in supervisor.channels:
            core: ChannelCore = recovery.core
            calls = [
                *recovery.waiting(now),
                *((name, now - began) for name, began in core.requests.waiting()),
            ]
            waiting += [
                {"call": name, "channel": core.number, "seconds": seconds}
                for name, seconds in calls
            ]
            unacked = core.consumers.unacked or {}
            oldest = next(iter(unacked.values()), None)
            channels.append(
                {
                    "number": core.number,
                    "state": recovery.state.name,
                    "consumers": [
                        {
                            "tag": consumer.tag,
                            "queue": consumer.method.queue,
                            "buffered": len(consumer.buffered),
                        }
                        for consumer in core.consumers
                    ],
                    "unconfirmed": core.confirms.unconfirmed,
                    "unacked": len(unacked),
                    "oldest_unacked": None if oldest is None else now - oldest[1],
                    "stale": recovery.stale,
                }
            )
        link = supervisor.protocol._core if supervisor.has_protocol else None
        error = supervisor.last_error
        return {
            "state": self.state.name,
            "seconds_in_state": supervisor.seconds_in_state if supervisor.has_started else 0.0,
            "address": None if supervisor.target is None else str(supervisor.target),
            "attempt": supervisor.attempt,
            "last_error": None if error is None else f"{type(error).__name__}: {error}",
            "blocked": None if link is None else supervisor.protocol.blocked.reason,
            "waiting": sorted(waiting, key=lambda each: -each["seconds"]),
            "bytes_to_send": 0 if link is None else link.writer.size,
            "bytes_for_callbacks": 0 if link is None else link.read_flow.size,
            "channels": channels,
        }


def _check_credentials(credentials: object) -> None:
    if credentials is not None and not callable(credentials):
        # Not quoted: it may be the password.
        text = f"must be a function or None, not {type(credentials).__name__}"
        raise InvalidArgument(text, ("credentials",))


def _check_backoff(reconnect: object) -> None:
    if reconnect is not None and not isinstance(reconnect, Backoff):
        text = f"must be a Backoff or None, not {type(reconnect).__name__}"
        raise InvalidArgument(text, ("reconnect",))


def _parsed(url: object) -> list[AmqpUrl]:
    urls: list[str] = []
    if isinstance(url, str):
        urls = [url]
    elif isinstance(url, Iterable) and not isinstance(url, bytes | bytearray):
        urls = list(cast("Iterable[str]", url))
    elif url is not None:
        text = f"must be a URL, or several, not {type(url).__name__}"
        raise InvalidArgument(text, ("url",))
    if not urls:
        raise InvalidArgument("must be a URL, or several", ("url",))
    return [parse_url(each) for each in urls]
