"""Checks of arguments: of ``connect``, ``from_url`` and ``AmqpProtocol``, and of callbacks."""

import inspect
from collections.abc import Callable, Iterable
from typing import Final

from ._advice import nearest
from ._loggers import channel_logger
from .exceptions import InvalidArgument

OF_PROTOCOL: Final = (
    "on_error",
    "on_channel_close",
    "client_properties",
    "channel_max",
    "frame_max",
    "heartbeat",
    "max_message_size",
    "instrument",
)
OF_SERVER: Final = ("host", "port", "login", "password", "virtualhost")
OF_CONNECT: Final = (
    *OF_SERVER,
    "ssl",
    "login_method",
    "insist",
    "protocol_factory",
    "connection_timeout",
    "verify_ssl",
    "server_hostname",
)

OF_CONNECTION: Final = (
    "reconnect",
    "recover",
    "credentials",
    "wait_timeout",
    "shuffle",
    "on_state_change",
)

OF_MESSAGE: Final = ("channel", "body", "envelope", "properties")
OF_CANCELLATION: Final = ("channel", "consumer_tag")
OF_CHANNEL_CLOSE: Final = ("channel", "error")
OF_ERROR: Final = ("error",)
OF_BLOCKED: Final = ("reason",)
OF_CHECKPOINT: Final = ("offset",)
OF_CHANGE: Final = ("change",)
"""The arguments that callbacks are called with."""

_ELSEWHERE: Final = {
    "user": "login",
    "username": "login",
    "userid": "login",
    "user_name": "login",
    "passwd": "password",
    "hostname": "host",
    "virtual_host": "virtualhost",
    "vhost": "virtualhost",
    "timeout": "connection_timeout",
    "connect_timeout": "connection_timeout",
    "socket_timeout": "connection_timeout",
    "heartbeat_interval": "heartbeat",
    "ssl_context": "ssl",
    "ssl_options": "ssl",
    "tls": "ssl",
    "verify": "verify_ssl",
    "server_name": "server_hostname",
    "auth_mechanism": "login_method",
    "auth": "login_method",
    "name": "client_properties",
    "connection_name": "client_properties",
    "program_name": "client_properties",
}
"""What the arguments are called by other clients, and by programs that 0.15 ignored."""


def unknown_argument(names: Iterable[str]) -> TypeError:
    """Create the error for keyword arguments that neither ``connect`` nor the protocol has."""
    name = next(iter(names))
    known = (*OF_CONNECT, *OF_PROTOCOL)
    meant = _ELSEWHERE.get(name.lower())
    if meant is None:
        meant = nearest(name.lower(), known)
    hint = f"did you mean {meant}?" if meant else f"the arguments are {', '.join(known)}"
    return TypeError(f"Unknown argument {name!r}, which aioamqp 0.15 ignored: {hint}")


def check_size(name: str, size: object) -> None:
    """Check that a size is a number of bytes.

    Raises:
        InvalidArgument: it is not.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise InvalidArgument(f"must be a number of bytes, not {size!r:.80}", (name,))


def unknown_option(names: Iterable[str]) -> TypeError | None:
    """Create the error for options of ``Connection`` that are unknown; None if all are known.

    A ``protocol_factory`` may take others.
    """
    names = list(names)
    known = (*OF_CONNECT, *OF_PROTOCOL)
    unknown = [name for name in names if name not in known]
    if not unknown or "protocol_factory" in names:
        return None
    meant = _ELSEWHERE.get(unknown[0].lower())
    if meant is None:
        meant = nearest(unknown[0].lower(), (*known, *OF_CONNECTION))
    hint = f"did you mean {meant}?" if meant else f"known are {', '.join((*OF_CONNECTION, *known))}"
    return TypeError(f"Unknown argument {unknown[0]!r}: {hint}")


def argument_of_url(names: Iterable[str]) -> TypeError | None:
    """Create the error for keyword arguments that the URL has for ``from_url``; None if none is."""
    for name in names:
        if name in OF_SERVER:
            return TypeError(
                f"The URL sets {name}: write it into the URL, or call connect() without a URL"
            )
    return None


def check_callable(what: str, callback: object, arguments: tuple[str, ...] = ()) -> None:
    """Raise InvalidArgument unless a callback is None, or can be called.

    Args:
        what: the name of the argument.
        callback: the callback; None if there is none.
        arguments: the names of those that it is called with; empty to check only the type.

    Raises:
        InvalidArgument: the callback is not callable, or takes another number of arguments.
    """
    if callback is None:
        return
    if not callable(callback):
        raise InvalidArgument(f"must be a function or None, not {callback!r}", (what,))
    if not arguments or _may_take(callback, len(arguments)):
        return
    if arguments is OF_MESSAGE and [*inspect.signature(callback).parameters] == [*arguments[1:]]:
        channel_logger.warning(
            "%s %r will fail: it is called with (%s); the first argument is new since aioamqp 0.5",
            what,
            callback,
            ", ".join(arguments),
        )
    else:
        raise InvalidArgument(
            f"is called with {len(arguments)} arguments, ({', '.join(arguments)}), which"
            f" {callback!r} does not take",
            (what,),
        )


def _may_take(callback: Callable[..., object], count: int) -> bool:
    """Return whether a callback can be called with so many arguments, as far as can be known.

    A decorator may show the signature of the function that it wraps, and take other arguments.
    """
    inner = getattr(callback, "func", callback)  # of a functools.partial
    layers = (callback, inner, getattr(inner, "__func__", None), type(inner).__call__)
    if isinstance(callback, type) or any(hasattr(each, "__signature__") for each in layers):
        return True
    try:
        signature = inspect.signature(callback, follow_wrapped=False)
    except (TypeError, ValueError):  # of a function written in C
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
