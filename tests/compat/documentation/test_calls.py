"""Methods for queues and exchanges, called as in 0.15's documentation with all documented parameters."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from aioamqp import Channel
from tests.conformance.scenario import (
    NO_SUCH_QUEUE,
    Connect,
    Inbox,
    NewName,
    drain,
    refusal,
    scenario,
)

SECONDS = 5
"""A timeout in whole seconds, as in the documentation."""

PARAMETERS = {
    Channel.queue_declare: "queue_name passive durable exclusive auto_delete no_wait arguments timeout",
    Channel.queue_delete: "queue_name if_unused if_empty no_wait arguments timeout",
    Channel.queue_bind: "queue_name exchange_name routing_key no_wait arguments timeout",
    Channel.queue_unbind: "queue_name exchange_name routing_key no_wait arguments timeout",
    Channel.queue_purge: "queue_name no_wait timeout",
    Channel.exchange_declare: "exchange_name type_name passive durable auto_delete no_wait arguments timeout",
    Channel.exchange_delete: "exchange_name if_unused no_wait timeout",
    Channel.exchange_bind: "exchange_destination exchange_source routing_key no_wait arguments timeout",
    Channel.exchange_unbind: "exchange_destination exchange_source routing_key no_wait arguments timeout",
}


@pytest.mark.parametrize("call", PARAMETERS, ids=lambda call: call.__name__)
def test_a_call_takes_all_documented_parameters_by_name(call: Any) -> None:
    """M7, M10, M11, M14."""
    documented = PARAMETERS[call].split()

    inspect.signature(call).bind(None, **dict.fromkeys(documented))


@scenario
async def test_the_channel_works_after_a_call_has_timed_out(
    connect: Connect, new_name: NewName
) -> None:
    """M7. The late reply does not answer the next call."""
    channel = await (await connect()).channel()
    queue, exchange, other = new_name(), new_name(), new_name()
    await channel.exchange_declare(other)
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (channel.queue_declare, {"queue_name": queue, "durable": True}),
        (channel.exchange_declare, {"exchange_name": exchange}),
        (channel.queue_bind, {"queue_name": queue, "exchange_name": exchange, "routing_key": ""}),
        (channel.queue_unbind, {"queue_name": queue, "exchange_name": exchange, "routing_key": ""}),
        (channel.queue_purge, {"queue_name": queue}),
        (
            channel.exchange_bind,
            {"exchange_destination": other, "exchange_source": exchange, "routing_key": ""},
        ),
        (
            channel.exchange_unbind,
            {"exchange_destination": other, "exchange_source": exchange, "routing_key": ""},
        ),
        (channel.queue_delete, {"queue_name": queue}),
        (channel.exchange_delete, {"exchange_name": exchange}),
    ]
    assert {call.__name__ for call, _ in calls} == {call.__name__ for call in PARAMETERS}

    for call, arguments in calls:
        with pytest.raises(asyncio.TimeoutError):
            await call(**arguments, timeout=0)

    answers = [await call(**arguments, timeout=SECONDS) for call, arguments in calls]
    declared = {"queue": queue, "message_count": 0, "consumer_count": 0}
    assert answers == [declared, True, True, True, {"message_count": 0}, True, True, True, True]


# -------------------------------------------------------------------- queues


@scenario
async def test_queue_declare_accepts_all_documented_parameters(connect: Connect, name: str) -> None:
    """M7, M13."""
    channel = await (await connect()).channel()

    declared = await channel.queue_declare(
        queue_name=name,
        passive=False,
        durable=False,
        exclusive=True,
        auto_delete=True,
        no_wait=False,
        arguments={},
        timeout=SECONDS,
    )

    assert declared == {"queue": name, "message_count": 0, "consumer_count": 0}
    assert await channel.queue_declare(name, exclusive=True, auto_delete=True, no_wait=True) is None
    assert await channel.queue_declare(name, passive=True) == declared


@scenario
async def test_a_passive_declaration_fails_where_there_is_no_queue(
    connect: Connect, name: str
) -> None:
    channel = await (await connect()).channel()

    assert await refusal(channel.queue_declare(name, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )


@scenario
async def test_a_priority_queue_without_a_name_is_named_by_the_server(
    connect: Connect,
) -> None:
    """M20."""
    channel = await (await connect()).channel()

    result = await channel.queue_declare(
        queue_name="", durable=True, arguments={"x-max-priority": 4}
    )

    assert result is not None
    await channel.queue_delete(result["queue"])
    assert result["queue"].startswith("amq.gen-")
    assert result == {"queue": result["queue"], "message_count": 0, "consumer_count": 0}


@scenario
async def test_queue_delete_accepts_all_documented_parameters(connect: Connect, name: str) -> None:
    """M7, M11."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, durable=True)

    deleted = await channel.queue_delete(
        queue_name=name,
        if_unused=True,
        if_empty=True,
        no_wait=False,
        arguments={},
        timeout=SECONDS,
    )

    assert deleted is True
    assert await channel.queue_delete(name, no_wait=True) is None
    assert await refusal(channel.queue_declare(name, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )


@scenario
async def test_if_unused_and_if_empty_prevent_the_deletion_of_a_queue(
    connect: Connect, name: str
) -> None:
    """M7."""
    protocol = await connect()
    channel = await protocol.channel()
    await channel.queue_declare(name, exclusive=True)
    await channel.basic_publish(b"", "", name)

    code, _ = await refusal(channel.queue_delete(name, if_empty=True))
    assert code == 406

    channel = await protocol.channel()
    await channel.basic_consume(Inbox(), name)
    code, _ = await refusal(channel.queue_delete(name, if_unused=True))
    assert code == 406


@scenario
async def test_queue_bind_and_queue_unbind_accept_all_documented_parameters(
    connect: Connect, new_name: NewName
) -> None:
    """M6, M7, M10. The exchange is declared without a type, as in the example."""
    channel = await (await connect()).channel()
    queue, exchange = new_name(), new_name()
    await channel.queue_declare(queue_name=queue, durable=True)
    await channel.exchange_declare(exchange_name=exchange)
    await channel.queue_bind(queue, exchange, routing_key="")
    await channel.basic_publish(b"by the example", exchange, "")
    await channel.queue_unbind(queue, exchange, "")
    options: dict[str, Any] = {"arguments": {"a": 1}, "timeout": SECONDS}
    for no_wait in (False, True):
        answered = None if no_wait else True
        assert answered is await channel.queue_bind(
            queue_name=queue, exchange_name=exchange, routing_key="key", no_wait=no_wait, **options
        )
        await channel.basic_publish(b"bound", exchange, "key")
        assert answered is await channel.queue_unbind(
            queue_name=queue, exchange_name=exchange, routing_key="key", no_wait=no_wait, **options
        )
        await channel.basic_publish(b"unbound", exchange, "key")

    assert await drain(channel, queue) == [b"by the example", b"bound", b"bound"]


@scenario
async def test_queue_purge_accepts_all_documented_parameters(connect: Connect, name: str) -> None:
    """M14."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, exclusive=True)
    for _ in range(3):
        await channel.basic_publish(b"", "", name)

    purged = await channel.queue_purge(queue_name=name, no_wait=False, timeout=SECONDS)

    assert purged == {"message_count": 3}
    assert await channel.queue_purge(name, no_wait=True) is None


# -------------------------------------------------------------------- exchanges


@scenario
async def test_exchange_declare_accepts_all_documented_parameters(
    connect: Connect, new_name: NewName
) -> None:
    """M6, M7, M12. It returns True, which differs from the documentation."""
    channel = await (await connect()).channel()
    name = new_name()

    declared = await channel.exchange_declare(
        exchange_name=name,
        type_name="fanout",
        passive=False,
        durable=True,
        auto_delete=False,
        no_wait=False,
        arguments={},
        timeout=SECONDS,
    )

    assert declared is True
    assert await channel.exchange_declare(name, passive=True, timeout=SECONDS) is True
    assert await channel.exchange_declare(new_name(), "topic", no_wait=True) is None


@scenario
async def test_an_exchange_is_direct_where_no_type_is_given(
    connect: Connect, new_name: NewName
) -> None:
    """M6."""
    channel = await (await connect()).channel()
    name, lasting = new_name(), new_name()

    await channel.exchange_declare(exchange_name=name, auto_delete=True)
    await channel.exchange_declare(exchange_name=lasting)

    assert await channel.exchange_declare(name, "direct", auto_delete=True) is True
    assert await channel.exchange_declare(lasting, "direct") is True


@scenario
async def test_the_internal_flag_is_not_offered(connect: Connect, name: str) -> None:
    """M15."""
    channel: Any = await (await connect()).channel()

    with pytest.raises(TypeError, match="internal"):
        await channel.exchange_declare(name, internal=True)

    assert channel.is_open


@scenario
async def test_exchange_delete_accepts_all_documented_parameters(
    connect: Connect, name: str
) -> None:
    """M7."""
    channel = await (await connect()).channel()
    await channel.exchange_declare(name)

    deleted = await channel.exchange_delete(
        exchange_name=name, if_unused=True, no_wait=False, timeout=SECONDS
    )

    assert deleted is True
    assert await channel.exchange_delete(name, no_wait=True) is None
    code, _ = await refusal(channel.exchange_declare(name, passive=True))
    assert code == 404


@scenario
async def test_exchange_bind_and_exchange_unbind_accept_all_documented_parameters(
    connect: Connect, new_name: NewName
) -> None:
    """M7."""
    channel = await (await connect()).channel()
    source, destination, queue = new_name(), new_name(), new_name()
    await channel.exchange_declare(source, "fanout")
    await channel.exchange_declare(destination, "fanout")
    await channel.queue_declare(queue, exclusive=True)
    await channel.queue_bind(queue, destination, "")
    link: dict[str, Any] = {
        "exchange_destination": destination,
        "exchange_source": source,
        "routing_key": "key",
        "arguments": {},
        "timeout": SECONDS,
    }
    for no_wait in (False, True):
        answered = None if no_wait else True
        assert await channel.exchange_bind(no_wait=no_wait, **link) is answered
        await channel.basic_publish(b"bound", source, "key")
        assert await channel.exchange_unbind(no_wait=no_wait, **link) is answered
        await channel.basic_publish(b"unbound", source, "key")

    assert await drain(channel, queue) == [b"bound", b"bound"]
