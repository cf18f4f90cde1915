"""Warnings for subclasses that override what aioamqp 0.15 called, and this version does not."""

import warnings
from collections.abc import Mapping
from typing import Final

_FRAMES: Final = (
    "override data_received(), or set the logger aioamqp.protocol to DEBUG to see frames"
)
_HANDSHAKE: Final = (
    "pass client_properties, channel_max, frame_max, heartbeat or login_method to connect()"
)
_END: Final = "pass on_error to connect(), or await wait_closed()"
_WRITING: Final = "override the method of the call, such as publish()"
_HEARTBEAT: Final = "pass heartbeat to connect()"

OF_PROTOCOL: Final = {
    "run": _FRAMES,
    "get_frame": _FRAMES,
    "dispatch_frame": _FRAMES,
    "start": _HANDSHAKE,
    "start_ok": _HANDSHAKE,
    "secure_ok": "pass a function as login_method to connect(); see aioamqp.auth",
    "tune": _HANDSHAKE,
    "tune_ok": _HANDSHAKE,
    "open": "pass virtualhost to connect()",
    "open_ok": "continue after await connect()",
    "close_ok": "continue after await close()",
    "server_close": _END,
    "send_heartbeat": _HEARTBEAT,
    "_write_frame": _WRITING,
    "_drain": _WRITING,
    "_close_channels": _END,
    "_close_ok": _END,
    "_heartbeat": _HEARTBEAT,
    "_heartbeat_send": _HEARTBEAT,
    "_heartbeat_recv": _HEARTBEAT,
    "_heartbeat_stop": _HEARTBEAT,
    "_heartbeat_timer_recv_reset": _HEARTBEAT,
    "_heartbeat_timer_send_reset": _HEARTBEAT,
}
"""The methods of AmqpProtocol that are not called, and what to use instead."""

_CALLED: Final = (
    *("exchange_declare", "exchange_bind", "exchange_unbind", "exchange_delete", "queue_declare"),
    *("queue_delete", "queue_bind", "queue_unbind", "queue_purge", "basic_qos", "basic_consume"),
    *("basic_cancel", "basic_get", "basic_recover", "confirm_select", "open", "flow", "close"),
)

OF_CHANNEL: Final = {
    **{f"{call}_ok": f"override {call}() and use what it returns" for call in _CALLED},
    "basic_get_empty": "override basic_get(), which raises EmptyQueue",
    "basic_deliver": "wrap the callback in an override of basic_consume(), or use consume()",
    "basic_return": "pass return_callback to channel(), or catch PublishReturned",
    "server_basic_cancel": "use add_cancellation_callback()",
    "basic_server_ack": "override publish(), which returns when the message is confirmed",
    "basic_server_nack": "override publish(), which raises PublishFailed",
    "server_channel_close": "catch ChannelClosed, or wait for close_event",
    "connection_closed": _END,
    "dispatch_frame": "override data_received() of the protocol",
    "_write_frame": _WRITING,
    "_write_frame_awaiting_response": _WRITING,
    "_get_waiter": _WRITING,
    "_set_waiter": _WRITING,
    "_send_channel_close_ok": "catch ChannelClosed, or wait for close_event",
}
"""The methods of Channel that are not called, and what to use instead."""


def warn_of_overrides(subclass: type, base: type, unused: Mapping[str, str]) -> None:
    """Warn of the methods in ``unused`` that a new subclass, or a mixin of it, defines.

    Args:
        subclass: of ``base``; the warning is for the line that defines it.
        base: of this package.
        unused: names of methods, and what to use instead.
    """
    parents = [each for each in subclass.__mro__[1:] if issubclass(each, base)]
    known = {each for parent in parents for each in parent.__mro__}
    for each in (each for each in subclass.__mro__ if each not in known):
        for name in unused.keys() & vars(each).keys():
            text = f"{subclass.__name__}.{name} is never called, unlike in aioamqp 0.15"
            warnings.warn(f"{text}: {unused[name]}", RuntimeWarning, stacklevel=3)
