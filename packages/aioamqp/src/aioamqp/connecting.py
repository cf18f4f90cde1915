"""``connect`` and ``from_url``: from a host or a URL to an open connection."""

# The transport flushes the write buffer of the protocol.
# pyright: reportPrivateUsage=false

import asyncio
import errno
import inspect
import re
import ssl as tls
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, TypeAlias, TypeVar, cast

from ._arguments import argument_of_url
from ._connection.transport import FlushingTransport
from ._delegating import DelegatingCoroutine
from .auth import LoginMethod
from .callbacks import ErrorCallback
from .dial import current_dialer
from .exceptions import ConnectionFailed, InvalidArgument, WrongLoop, failed_link
from .protocol import OPEN, AmqpProtocol
from .tls import TlsSettings, explain
from .uri import AmqpUrl, default_port, parse_url

CONNECTION_TIMEOUT: Final = 10.0
"""Seconds until a connection must be open, unless the caller sets others."""

Connected: TypeAlias = tuple[asyncio.Transport, AmqpProtocol]


class Connecting(DelegatingCoroutine[Connected]):
    """A connection that is being opened: await it, or enter it with ``async with``.

    Awaiting it returns ``(transport, protocol)``, as in 0.15. Entering it returns the protocol, and
    leaving the block closes the connection. It is a coroutine for ``asyncio.run`` and the like.
    """

    __slots__ = ("_protocol",)

    def __init__(self, coroutine: Coroutine[Any, Any, Connected]) -> None:
        super().__init__(coroutine)
        self._protocol: AmqpProtocol | None = None

    async def __aenter__(self) -> AmqpProtocol:
        _, self._protocol = await self._coroutine
        return self._protocol

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._protocol is not None
        if self._protocol.state == OPEN:
            await self._protocol.close()
        else:
            await self._protocol.wait_closed()


_Function = TypeVar("_Function", bound=Callable[..., Connecting])


def _known_as_coroutine_function(function: _Function) -> _Function:
    """Mark a function so that ``mock.patch`` replaces it with an AsyncMock, as in 0.15."""
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    marker = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    function._is_coroutine = marker  # type: ignore[attr-defined]
    return function


@_known_as_coroutine_function
def connect(
    host: str = "localhost",
    port: int | str | None = None,
    login: str = "guest",
    password: str = "guest",
    virtualhost: str = "/",
    ssl: tls.SSLContext | bool | None = None,
    login_method: LoginMethod = "PLAIN",
    insist: bool = False,
    protocol_factory: Callable[..., AmqpProtocol] = AmqpProtocol,
    *,
    connection_timeout: float | None = CONNECTION_TIMEOUT,
    verify_ssl: bool | None = None,
    server_hostname: str | None = None,
    on_error: ErrorCallback | None = None,
    **kwargs: Any,
) -> Connecting:
    """Connect to a server: ``await`` for ``(transport, protocol)``, or ``async with`` the protocol.

    Args:
        host: name or address, without a port; for a URL there is ``from_url``.
        port: None for 5672, or 5671 with TLS.
        login: the user's name.
        password: the user's.
        virtualhost: to open.
        ssl: a context, or True, to use TLS; True trusts whom the system trusts.
        login_method: PLAIN, AMQPLAIN, EXTERNAL (by the client's certificate), ANONYMOUS (RabbitMQ
            4.0 and later), or a function that makes an ``aioamqp.auth.Mechanism`` from login and
            password, called for each connection. For another name PLAIN is used, with a warning, as
            in 0.15.
        insist: ignored, as by every server.
        protocol_factory: makes the protocol; called with ``kwargs``.
        connection_timeout: seconds until the connection must be open; None for no limit.
        verify_ssl: False to use TLS without checking the server's certificate, with a warning; it
            neither turns TLS on nor changes a context that is given.
        server_hostname: the name to find in the server's certificate, if it is not ``host``; the
            dialer gets it only where it is given.
        on_error: see ``AmqpProtocol``, which gets it and the other arguments.
        kwargs: ``client_properties``, ``channel_max``, ``frame_max``, ``heartbeat``,
            ``max_message_size``, ``instrument``, and what a ``protocol_factory`` of the program
            takes besides; a ``loop``, as in 0.15's documentation, must be the running one.

    Raises:
        TypeError: an argument is unknown; the error names the nearest known one.
        WrongLoop: ``loop`` is not the running event loop.
        ConnectionFailed: there is no link to the server, or not in time. It is also the OSError
            behind it, such as ConnectionRefusedError or ssl.SSLError. If the host has several
            addresses, all of them have failed.
        HandshakeFailed: the server refuses the login or the virtual host, or is no AMQP server.
    """
    if on_error is not None:
        kwargs["on_error"] = on_error
    if verify_ssl is False and ssl is True:
        ssl = TlsSettings(verify=False).context()
    return Connecting(
        _connect(
            host,
            port,
            login,
            password,
            virtualhost,
            ssl,
            login_method,
            insist,
            lambda: protocol_factory(**kwargs),
            connection_timeout,
            {"server_hostname": server_hostname} if server_hostname else {},
            kwargs.get("loop"),
        )
    )


def _explain(error: OSError, *, is_secure: bool) -> str:
    """Return the text of an error that ended an attempt to connect, and what it means."""
    if isinstance(error, ConnectionRefusedError):
        return f"no server listens on this port ({error})"
    return explain(error) if is_secure else str(error) or type(error).__name__


def _check_host(host: object) -> None:
    """Raise InvalidArgument for what is more than a host; it may have a password, so no quotes."""
    if not isinstance(host, str):
        return  # a dialer may take it
    text = ""
    if "://" in host:
        text = "must be the name or address of a host, but that is a URL: use from_url()"
    elif "@" in host:
        text = (
            "must be the name or address of a host; login and password are arguments of their own"
        )
    elif host != host.strip():
        text = "must not begin or end with a space or a line break"
    elif re.search(r"^[^:]*:\d+$", host):
        text = "must be the name or address of a host; the port is an argument of its own"
    elif host.startswith("["):
        text = "must be an IPv6 address without brackets, which only a URL has"
    if text:
        raise InvalidArgument(text, ("host",))


def _check_server_hostname(name: object) -> None:
    """Raise InvalidArgument for what OpenSSL refuses when there is a link already."""
    if not isinstance(name, str):
        text = f"must be a string, not {type(name).__name__}"
        raise InvalidArgument(text, ("server_hostname",))
    try:
        name.encode("idna")
        is_name = "\0" not in name
    except UnicodeError:  # an empty part, or one that is too long
        is_name = False
    if not is_name:
        raise InvalidArgument(f"is not the name of a host: {name!r:.80}", ("server_hostname",))


def _check_port(port: object) -> None:
    """Raise InvalidArgument for what is no port; resolvers take 99999 for another one."""
    text = port.strip() if isinstance(port, str) else ""
    if text.isascii() and text.isdigit():
        port = int(text[:6])
    if isinstance(port, bool) or (isinstance(port, int) and not 0 <= port <= 65535):
        raise InvalidArgument(f"must be a number from 0 to 65535, not {port}", ("port",))
    if isinstance(port, str) and not re.fullmatch(r"[\w.+*-]+", port):
        # Not quoted: it may be a URL with a password.
        raise InvalidArgument("must be a number, or the name of a service", ("port",))


def _check_timeout(timeout: object) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise InvalidArgument("must be 0 seconds or more, or None", ("connection_timeout",))


async def _connect(
    host: str,
    port: int | str | None,
    login: str,
    password: str,
    virtualhost: str,
    ssl: tls.SSLContext | bool | None,
    login_method: LoginMethod,
    insist: bool,
    make_protocol: Callable[[], AmqpProtocol],
    connection_timeout: float | None,
    names: dict[str, str],
    loop: asyncio.AbstractEventLoop | None,
) -> Connected:
    if loop not in (None, asyncio.get_running_loop()):
        raise WrongLoop(
            "loop is not the running event loop, which the connection would belong to: call"
            " connect() in that loop, from another thread with asyncio.run_coroutine_threadsafe()"
        )
    _check_host(host)
    if not (isinstance(cast("object", login_method), str) or callable(login_method)):
        text = f"must be a name or a function, not {type(login_method).__name__}"
        raise InvalidArgument(text, ("login_method",))
    if ssl and ssl is not True and not hasattr(ssl, "wrap_bio"):
        text = f"must be an SSLContext, True, False or None, not {type(ssl).__name__}"
        raise InvalidArgument(text, ("ssl",))
    if getattr(ssl, "protocol", None) is tls.PROTOCOL_TLS_SERVER:
        raise InvalidArgument("is a context for servers: use PROTOCOL_TLS_CLIENT", ("ssl",))
    if names and not ssl:
        text = "is the name in a certificate, so it needs TLS: pass ssl=True or a context"
        raise InvalidArgument(text, ("server_hostname",))
    if names:
        _check_server_hostname(names["server_hostname"])
    if port is None:
        port = default_port(is_secure=bool(ssl))
    _check_port(port)
    _check_timeout(connection_timeout)
    where = f"{host}:{port}"
    stage = "link"
    made = make_protocol()  # before there is a link: a bad argument must not cost one
    deadline = asyncio.timeout(connection_timeout)
    try:
        async with deadline:
            try:
                transport, protocol = await current_dialer()(
                    lambda: made, host, port, ssl=ssl, **names
                )
            except OSError as error:
                text = _explain(error, is_secure=bool(ssl))
                raise failed_link(
                    ConnectionFailed, error, f"Cannot connect to {where}: {text}"
                ) from error
            except UnicodeError as error:
                raise ConnectionFailed(
                    f"Cannot connect to {where}: that is not the name of a host"
                ) from error
            stage = "open connection"
            try:
                await protocol.start_connection(
                    host, port, login, password, virtualhost, ssl, login_method, insist
                )
            except BaseException:
                transport.abort()
                raise
    except TimeoutError:
        if not deadline.expired():
            raise
        text = f"Cannot connect to {where}: no {stage} within {connection_timeout:g} seconds"
        if ssl and stage == "link":
            text += "; the port may not speak TLS"
        cause = TimeoutError(errno.ETIMEDOUT, text)
        raise failed_link(ConnectionFailed, cause, text) from None
    core = protocol._connection
    set_flush = transport.get_extra_info("set_flush")
    if set_flush is not None:
        set_flush(core.writer.flush_until_full)
    return FlushingTransport(transport, core.writer, core.closer), protocol


@_known_as_coroutine_function
def from_url(
    url: str,
    login_method: LoginMethod = "PLAIN",
    insist: bool = False,
    protocol_factory: Callable[..., AmqpProtocol] = AmqpProtocol,
    *,
    on_error: ErrorCallback | None = None,
    **kwargs: Any,
) -> Connecting:
    """Connect to the server of an AMQP URL: await or enter it as ``connect``.

    Args:
        url: ``amqp://login:password@host:port/virtualhost`` or ``amqps://…``, percent-encoded; the
            query may have RabbitMQ's parameters: heartbeat, frame_max, channel_max,
            connection_timeout (milliseconds), auth_mechanism, and for TLS cacertfile, certfile,
            keyfile, verify (verify_peer or verify_none) and server_name_indication.
        login_method: see ``connect``; PLAIN gives way to the URL's auth_mechanism.
        insist: see ``connect``.
        protocol_factory: see ``connect``.
        on_error: see ``connect``.
        kwargs: for ``connect``; they take precedence over the query. With amqps, ``ssl`` is by
            default made by ``ssl.create_default_context`` and the parameters of the query.

    Raises:
        ValueError: the URL is wrong, or a file that it names cannot be used. The text names the
            character and its escape, and never contains the password.
        TypeError: an argument is unknown, or is one that the URL sets.
    """
    given_twice = argument_of_url(kwargs)
    if given_twice is not None:
        raise given_twice
    if on_error is not None:
        kwargs["on_error"] = on_error
    return Connecting(_from_url(url, login_method, insist, protocol_factory, kwargs))


async def _from_url(
    url: str,
    login_method: LoginMethod,
    insist: bool,
    protocol_factory: Callable[..., AmqpProtocol],
    kwargs: dict[str, Any],
) -> Connected:
    arguments = arguments_of(parse_url(url), login_method, kwargs)
    return await connect_with(
        {
            "insist": insist,
            "protocol_factory": protocol_factory,
            **arguments,
        }
    )


async def connect_with(arguments: Mapping[str, Any]) -> Connected:
    """Connect with the arguments of ``arguments_of``."""
    import aioamqp  # not connect() itself: programs replace aioamqp.connect in their tests

    return await aioamqp.connect(**arguments)


def arguments_of(
    parts: AmqpUrl, login_method: LoginMethod, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of ``connect`` for the server of a URL.

    Args:
        parts: of the URL.
        login_method: of the caller; PLAIN gives way to the URL's auth_mechanism.
        options: of the caller; they take precedence over the query.

    Raises:
        ValueError: a file that the URL names cannot be used.
    """
    arguments: dict[str, Any] = {**parts.options, **options}
    if parts.auth_mechanism is not None and login_method == "PLAIN":
        login_method = parts.auth_mechanism
    given = arguments.get("ssl")
    if parts.is_secure and (not given or given is True):
        verify = arguments.get("verify_ssl")
        settings = parts.tls if verify is None else replace(parts.tls, verify=verify)
        arguments["ssl"] = settings.context()
    return {
        **arguments,
        "host": parts.host,
        "port": parts.port,
        "login": parts.login,
        "password": parts.password,
        "virtualhost": parts.virtualhost,
        "login_method": login_method,
    }
