"""The methods of a channel: what each sends and returns, and which arguments it refuses."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import aioamqp
from amqp_codec import (
    Command,
    Method,
    basic,
    channel,
    exchange,
    queue,
    tx,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


CALLS: list[tuple[Callable[[aioamqp.Channel], Awaitable[Any]], Method, Any]] = [
    (
        lambda c: c.exchange_declare("e", "topic", durable=True, arguments={"a": 1}),
        exchange.Declare("e", "topic", durable=True, arguments={"a": 1}),
        True,
    ),
    (lambda c: c.exchange("e"), exchange.Declare("e", "direct"), True),
    (lambda c: c.exchange_delete("e", if_unused=True), exchange.Delete("e", True), True),
    (
        lambda c: c.exchange_bind("to", "from", "k", arguments={"a": 1}),
        exchange.Bind("to", "from", "k", arguments={"a": 1}),
        True,
    ),
    (
        lambda c: c.exchange_bind("to", "from", "k", True),
        exchange.Bind("to", "from", "k", True),
        None,
    ),
    (
        lambda c: c.exchange_unbind(
            exchange_destination="to", exchange_source="from", routing_key="k"
        ),
        exchange.Unbind("to", "from", "k"),
        True,
    ),
    (
        lambda c: c.exchange_unbind("to", "from", "k", no_wait=True),
        exchange.Unbind("to", "from", "k", True),
        None,
    ),
    (
        lambda c: c.queue_declare("q", durable=True, arguments={"x-max-length": 5}),
        queue.Declare("q", durable=True, arguments={"x-max-length": 5}),
        {"queue": "q", "message_count": 3, "consumer_count": 1},
    ),
    (
        lambda c: c.queue("q", exclusive=True),
        queue.Declare("q", exclusive=True),
        {"queue": "q", "message_count": 3, "consumer_count": 1},
    ),
    (
        lambda c: c.queue_declare(),
        queue.Declare(""),
        {"queue": "amq.gen-1", "message_count": 3, "consumer_count": 1},
    ),
    (lambda c: c.queue_declare("q", no_wait=True), queue.Declare("q", no_wait=True), None),
    (lambda c: c.queue_bind("q", "e", "k"), queue.Bind("q", "e", "k"), True),
    (lambda c: c.queue_bind("q", "e", "k", True), queue.Bind("q", "e", "k", True), None),
    (
        lambda c: c.queue_delete("q", if_unused=True, if_empty=True),
        queue.Delete("q", True, True),
        True,
    ),
    (lambda c: c.queue_delete("q", arguments={"a": 1}), queue.Delete("q"), True),
    (
        lambda c: c.queue_unbind("q", "e", "k", {"a": 1}),
        queue.Unbind("q", "e", "k", {"a": 1}),
        True,
    ),
    (lambda c: c.queue_unbind("q", "e", "k", no_wait=True), queue.Unbind("q", "e", "k"), None),
    (lambda c: c.queue_purge("q"), queue.Purge("q"), {"message_count": 7}),
    (lambda c: c.queue_purge("q", no_wait=True), queue.Purge("q", True), None),
    (lambda c: c.basic_qos(prefetch_count=5), basic.Qos(0, 5, False), True),
    (lambda c: c.basic_qos(0, 5, connection_global=True), basic.Qos(0, 5, True), True),
    (lambda c: c.basic_client_ack(5, multiple=True), basic.Ack(5, True), None),
    (lambda c: c.basic_ack(delivery_tag=5), basic.Ack(5), None),
    (lambda c: c.basic_client_nack(5), basic.Nack(5, False, True), None),
    (lambda c: c.basic_nack(5, True, False), basic.Nack(5, True, False), None),
    (lambda c: c.basic_reject(5), basic.Reject(5, False), None),
    (lambda c: c.basic_recover(), basic.Recover(True), True),
    (lambda c: c.basic_recover(requeue=False), basic.Recover(False), True),
    (lambda c: c.basic_recover_async(), basic.RecoverAsync(True), None),
    (lambda c: c.flow(True), channel.Flow(True), {"active": True}),
    (lambda c: c.flow(active=False), channel.Flow(False), {"active": False}),
    (lambda c: c.tx_select(), tx.Select(), True),
    (lambda c: c.tx_commit(), tx.Commit(), True),
    (lambda c: c.tx_rollback(), tx.Rollback(), True),
    (lambda c: c.basic_cancel("tag"), basic.Cancel("tag"), {"consumer_tag": "tag"}),
    (lambda c: c.basic_cancel("tag", no_wait=True), basic.Cancel("tag", True), None),
]


@pytest.mark.parametrize(
    ("call", "method", "result"),
    CALLS,
    ids=[f"{n}-{method.NAME}" for n, (_, method, _) in enumerate(CALLS)],
)
async def test_a_method_sends_its_amqp_method_and_returns_the_same_as_in_0_15(
    server: ScriptedServer,
    call: Callable[[aioamqp.Channel], Awaitable[Any]],
    method: Method,
    result: Any,
) -> None:
    opened = await server.open_channel()

    assert await call(opened) == result

    await wait_idle()
    assert server.received == [Command(1, method)]
    await opened.protocol.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.queue_declare("q" * 256),
        lambda c: c.queue_declare(5),
        lambda c: c.exchange_declare(None, "direct"),
        lambda c: c.queue_bind("q", "e", None),
        lambda c: c.basic_qos(prefetch_count=65536),
        lambda c: c.basic_qos(prefetch_size=-1),
        lambda c: c.queue_declare("q", arguments={"x": object()}),
        lambda c: c.basic_consume(print, 5),
        lambda c: c.basic_client_ack("one"),
    ],
)
async def test_an_argument_that_cannot_be_sent_is_a_type_error_and_costs_nothing(
    server: ScriptedServer, call: Callable[[Any], Awaitable[Any]]
) -> None:
    opened = await server.open_channel()

    with pytest.raises(TypeError) as caught:
        await call(opened)

    assert isinstance(caught.value, ValueError)
    await wait_idle()
    assert server.received == []
    assert opened.consumer_callbacks == {}
    assert await opened.queue_declare("q")
    await opened.protocol.close()


async def test_names_need_not_be_ascii(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    assert (await opened.queue_declare("$größe:字"))["queue"] == "$größe:字"
    await opened.protocol.close()


async def test_ack_and_nack_have_the_names_that_other_clients_give_them() -> None:
    assert aioamqp.Channel.basic_ack is aioamqp.Channel.basic_client_ack
    assert aioamqp.Channel.basic_nack is aioamqp.Channel.basic_client_nack
