"""Every argument of every call is checked before anything is sent or changed."""

import inspect
import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest

import aioamqp
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio

NAMES: list[Any] = [5, b"q", ["q"], 1.5, "x" * 256, "\ud800"]
FLAGS: list[Any] = ["false", 2, -1, [], 1.5, b"", ""]
SHORTS: list[Any] = [-1, 1 << 16, "1", 1.5, True, False]
LONGS: list[Any] = [-1, 1 << 32, "1", None, 1.5, True, False]
TAGS: list[Any] = [-1, 1 << 64, "1", None, 1.5, True, False]
TABLES: list[Any] = [
    b"abc", "abc", 5, [("a", 1)], {"a": object()}, {1: 1}, {"a": {"b": {1}}},
    {"a": math.nan}, {"a": {"b": [math.inf]}},
]  # fmt: skip
TIMEOUTS: list[Any] = ["1", -1, math.nan, [], True, 10**400]
CALLBACKS: list[Any] = ["q", 5]
BODIES: list[Any] = [5, [1], {}]
PROPERTIES: list[Any] = [
    5, "abc", b"x", [1], {"headers": b"abc"}, {"headers": "a"}, {"headers": [1]}, {"priority": 256},
    {"delivery_mode": 3}, {"timestamp": "x"}, {"timestamp": -1}, {"message_id": 5},
    {"content_type": b"x"}, {"expiration": 60}, {1: 2}, {"colour": "red"},
    {"priority": True}, {"delivery_mode": True}, {"timestamp": False}, {"headers": {"a": math.nan}},
    aioamqp.Properties(headers=b"abc"), aioamqp.Properties(priority=-1),  # type: ignore[arg-type]
]  # fmt: skip

WAYS = {
    "callback": CALLBACKS, "queue_name": NAMES, "exchange_name": NAMES, "routing_key": NAMES,
    "type_name": NAMES, "exchange_destination": NAMES, "exchange_source": NAMES,
    "consumer_tag": NAMES, "reply_text": NAMES,
    "passive": FLAGS, "durable": FLAGS, "exclusive": FLAGS, "auto_delete": FLAGS, "no_wait": FLAGS,
    "if_unused": FLAGS, "if_empty": FLAGS, "connection_global": FLAGS, "no_local": FLAGS,
    "no_ack": FLAGS, "multiple": FLAGS, "requeue": FLAGS, "active": FLAGS, "mandatory": FLAGS,
    "immediate": FLAGS,
    "concurrent": FLAGS, "restart": FLAGS, "on_checkpoint": CALLBACKS, "drain": TIMEOUTS, "arguments": TABLES, "timeout": TIMEOUTS, "prefetch_size": LONGS, "prefetch_count": SHORTS,
    "reply_code": SHORTS, "delivery_tag": TAGS, "properties": PROPERTIES, "payload": BODIES,
}  # fmt: skip
"""Values of each argument that cannot be meant."""

ALIASES = {
    "body": "payload", "exchange": "exchange_name", "queue": "queue_name",
    "exchange_type": "type_name", "destination": "exchange_destination",
    "source": "exchange_source",
}  # fmt: skip

GOOD: dict[str, dict[str, Any]] = {
    "queue_delete": {"queue_name": "q"},
    "queue_bind": {"queue_name": "q", "exchange_name": "e", "routing_key": "k"},
    "queue_unbind": {"queue_name": "q", "exchange_name": "e", "routing_key": "k"},
    "queue_purge": {"queue_name": "q"},
    "exchange_declare": {"exchange_name": "e"},
    "exchange_delete": {"exchange_name": "e"},
    "exchange_bind": {"exchange_destination": "e", "exchange_source": "f", "routing_key": "k"},
    "exchange_unbind": {"exchange_destination": "e", "exchange_source": "f", "routing_key": "k"},
    "basic_consume": {"callback": None},
    "basic_cancel": {"consumer_tag": "t"},
    "basic_client_ack": {"delivery_tag": 1},
    "basic_client_nack": {"delivery_tag": 1},
    "basic_reject": {"delivery_tag": 1},
    "flow": {"active": True},
    "publish": {"payload": b"", "exchange_name": "", "routing_key": "q"},
    "basic_publish": {"payload": b"", "exchange_name": "", "routing_key": "q"},
}
"""Arguments without which a call makes no sense."""

ELSEWHERE = {("queue_delete", "arguments")}
"""Arguments that are ignored, as in 0.15."""

CALLS = sorted(
    name
    for name, function in inspect.getmembers(aioamqp.Channel, inspect.isfunction)
    if not name.startswith("_")
    and name == function.__name__
    and name not in ("add_cancellation_callback", "publisher")  # which send nothing
)


def bad_calls(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the arguments of calls in which one is bad, with its name."""
    good = GOOD.get(name, {})
    for parameter in list(inspect.signature(getattr(aioamqp.Channel, name)).parameters)[1:]:
        if (name, parameter) in ELSEWHERE:
            continue
        stands_for = ALIASES.get(parameter, parameter)
        others = {key: value for key, value in good.items() if key != stands_for}
        for value in WAYS[stands_for]:
            yield parameter, {**others, parameter: value}


@pytest.mark.parametrize("name", CALLS)
async def test_a_bad_argument_is_refused_before_anything_is_sent_or_changed(
    server: ScriptedServer, name: str
) -> None:
    """Row C4."""
    channel = await server.open_channel()
    await channel.basic_consume(lambda *_: None, "q", "t")
    before = len(server.received)
    accepted = []

    for parameter, arguments in bad_calls(name):
        try:
            made = getattr(channel, name)(**arguments)
            if inspect.isawaitable(made):
                await made
        except aioamqp.InvalidArgument as error:
            assert str(error)
        else:
            accepted.append((parameter, arguments[parameter]))
    await wait_idle()

    assert accepted == []
    assert [command.method for command in server.received[before:]] == []
    assert channel.is_open
    assert not channel.publisher_confirms
    assert list(channel.consumer_callbacks) == ["t"]
    assert channel.protocol.pending == {}
    await channel.publish(b"still", "", "q")
    await channel.protocol.close()
    assert server.published()[-1] == b"still"


async def test_every_call_has_a_bad_argument() -> None:
    """Row C4."""
    assert {name for name in CALLS if next(bad_calls(name), None) is None} == set()
    assert set(itertools.chain(GOOD)) <= set(CALLS)


@pytest.mark.parametrize(
    ("settle", "arguments"),
    [
        ("ack", {"multiple": "false"}),
        ("nack", {"multiple": 2}),
        ("nack", {"requeue": "no"}),
        ("reject", {"requeue": []}),
        ("process", {"requeue": "no"}),
    ],
)
async def test_a_message_is_not_settled_by_a_bad_flag(
    server: ScriptedServer, settle: str, arguments: dict[str, Any]
) -> None:
    """Row C4."""
    channel = await server.open_channel()
    async with channel.consume("q", consumer_tag="t") as messages:
        server.deliver("t", b"1")
        message = await anext(messages)

        with pytest.raises(aioamqp.InvalidArgument, match=next(iter(arguments))):
            await getattr(message, settle)(**arguments)

        assert not message.is_settled
        await message.ack()
    await channel.protocol.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"heartbeat": True},
        {"channel_max": True},
        {"frame_max": True},
        {"port": True},
        {"connection_timeout": True},
        {"max_message_size": True},
        {"max_message_size": "1"},
        {"max_message_size": -1},
    ],
)
async def test_a_connection_is_not_opened_with_a_bad_number(
    server: ScriptedServer, arguments: dict[str, Any]
) -> None:
    """Row C4."""
    with pytest.raises(aioamqp.InvalidArgument, match=next(iter(arguments))):
        await server.connect(**arguments)


@pytest.mark.parametrize("timeout", TIMEOUTS)
async def test_waiting_for_the_end_of_a_connection_needs_a_number_of_seconds(
    server: ScriptedServer, timeout: Any
) -> None:
    """Row C4."""
    protocol = await server.connect()

    for call in (protocol.wait_closed, protocol.close, protocol.channel):
        with pytest.raises(aioamqp.InvalidArgument, match="timeout"):
            await call(timeout=timeout)

    assert server.received == []
    assert protocol.is_open
    await protocol.close()


@pytest.mark.parametrize("flag", [0, 1, None, True, False])
async def test_flags_of_0_15_are_accepted(server: ScriptedServer, flag: Any) -> None:
    channel = await server.open_channel()

    await channel.queue_declare("q", durable=flag)
    await channel.basic_publish(b"", "", "q", mandatory=flag)

    await channel.protocol.close()
