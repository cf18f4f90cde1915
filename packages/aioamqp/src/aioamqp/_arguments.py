"""Errors for arguments that ``connect``, ``from_url`` or ``AmqpProtocol`` cannot take."""

import difflib
from collections.abc import Iterable
from typing import Final

OF_PROTOCOL: Final = (
    "on_error",
    "on_channel_close",
    "client_properties",
    "channel_max",
    "frame_max",
    "heartbeat",
    "max_message_size",
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
        meant = next(iter(difflib.get_close_matches(name.lower(), known, 1)), None)
    hint = f"did you mean {meant}?" if meant else f"the arguments are {', '.join(known)}"
    return TypeError(f"Unknown argument {name!r}, which aioamqp 0.15 ignored: {hint}")


def unknown_option(names: Iterable[str]) -> TypeError | None:
    """Create the error for options of ``Connection`` that are unknown; None if all are known.

    A ``protocol_factory`` may take others.
    """
    names = list(names)
    known = (*OF_CONNECT, *OF_PROTOCOL)
    unknown = [name for name in names if name not in known]
    if not unknown or "protocol_factory" in names:
        return None
    near = difflib.get_close_matches(unknown[0].lower(), (*known, *OF_CONNECTION), 1)
    meant = _ELSEWHERE.get(unknown[0].lower(), next(iter(near), None))
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
