"""The calls take the arguments of 0.15, by the same names, in the same order, with the same defaults."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from aioamqp import AmqpProtocol, Channel

CHANNEL = """
    __init__            protocol channel_id return_callback=None
    open
    close               reply_code=0 reply_text='Normal Shutdown'
    flow                active
    exchange_declare    exchange_name type_name passive=False durable=False auto_delete=False no_wait=False arguments=None
    exchange            exchange_name type_name passive=False durable=False auto_delete=False no_wait=False arguments=None
    exchange_delete     exchange_name if_unused=False no_wait=False
    exchange_bind       exchange_destination exchange_source routing_key no_wait=False arguments=None
    exchange_unbind     exchange_destination exchange_source routing_key no_wait=False arguments=None
    queue_declare       queue_name=None passive=False durable=False exclusive=False auto_delete=False no_wait=False arguments=None
    queue               queue_name=None passive=False durable=False exclusive=False auto_delete=False no_wait=False arguments=None
    queue_delete        queue_name if_unused=False if_empty=False no_wait=False
    queue_bind          queue_name exchange_name routing_key no_wait=False arguments=None
    queue_unbind        queue_name exchange_name routing_key arguments=None
    queue_purge         queue_name no_wait=False
    basic_publish       payload exchange_name routing_key properties=None mandatory=False immediate=False
    publish             payload exchange_name routing_key properties=None mandatory=False immediate=False
    basic_qos           prefetch_size=0 prefetch_count=0 connection_global=False
    basic_consume       callback queue_name='' consumer_tag='' no_local=False no_ack=False exclusive=False no_wait=False arguments=None
    basic_cancel        consumer_tag no_wait=False
    basic_get           queue_name='' no_ack=False
    basic_client_ack    delivery_tag multiple=False
    basic_client_nack   delivery_tag multiple=False requeue=True
    basic_reject        delivery_tag requeue=False
    basic_recover       requeue=True
    basic_recover_async requeue=True
    confirm_select
    add_cancellation_callback callback
"""

PROTOCOL = """
    channel
    close               no_wait=False timeout=None
    wait_closed         timeout=None
    ensure_open
    start_connection    host port login password virtualhost ssl=False login_method='PLAIN' insist=False
    heartbeat
    send_heartbeat
    release_channel_id  channel_id
"""

CALLS = [
    (cls, *line.partition(" ")[::2])
    for cls, text in ((Channel, CHANNEL), (AmqpProtocol, PROTOCOL))
    for line in map(str.strip, text.strip().splitlines())
]


def described(arguments: str) -> dict[str, str | None]:
    """Read a row of the tables: the arguments and their defaults, None for none."""
    found = re.findall(r"(\w+)(?:=('[^']*'|\S+))?", arguments)
    return {name: default or None for name, default in found}


def positional(function: Callable[..., Any]) -> dict[str, str | None]:
    """List the arguments that can be given without their names, with their defaults."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return {
        p.name: None if p.default is p.empty else repr(p.default)
        for p in parameters
        if p.kind is p.POSITIONAL_OR_KEYWORD
    }


@pytest.mark.parametrize(("cls", "name", "arguments"), CALLS)
def test_a_call_takes_the_arguments_of_0_15(cls: type, name: str, arguments: str) -> None:
    wanted = described(arguments)

    taken = positional(getattr(cls, name))

    assert list(taken) == list(wanted)
    # What had to be given may have a default now; the other defaults are as they were.
    assert {k: taken[k] for k in wanted if wanted[k]} == {k: v for k, v in wanted.items() if v}


@pytest.mark.parametrize(("cls", "name", "arguments"), CALLS)
def test_what_is_new_can_be_left_out(cls: type, name: str, arguments: str) -> None:
    parameters = inspect.signature(getattr(cls, name)).parameters.values()

    new = [p for p in parameters if p.kind is p.KEYWORD_ONLY]

    assert all(p.default is not p.empty for p in new)


def test_a_short_name_is_another_name_of_the_same_call() -> None:
    assert Channel.queue is Channel.queue_declare
    assert Channel.exchange is Channel.exchange_declare
    assert Channel.basic_ack is Channel.basic_client_ack
    assert Channel.basic_nack is Channel.basic_client_nack
