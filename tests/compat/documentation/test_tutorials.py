"""The tutorials of 0.15's documentation, with the same calls and arguments."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import aioamqp
from aioamqp import Channel, Envelope, Properties
from aioamqp_testing import FakeBroker
from tests.conformance.scenario import NO_SUCH_QUEUE, Connect, Inbox, drain, refusal, scenario

# -------------------------------------------------------------------- hello world


def run_until_complete(main: Coroutine[Any, Any, bytes]) -> bytes:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


@scenario
async def test_hello_world_is_sent_as_a_string(connect: Connect, name: str) -> None:
    """M1, M24."""
    protocol = await connect()
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def callback(channel: Any, body: Any, envelope: Any, properties: Any) -> None:
        received.put_nowait(body)

    channel = await protocol.channel()
    await channel.queue_declare(queue_name=name, durable=True)
    await channel.basic_publish(payload="Hello World!", exchange_name="", routing_key=name)
    await channel.basic_consume(callback, queue_name=name, no_ack=True)

    assert await received.get() == b"Hello World!"


@pytest.mark.parametrize("run", [asyncio.run, run_until_complete])
def test_a_program_can_use_asyncio_run_or_run_until_complete(run: Callable[..., Any]) -> None:
    """M28. With asyncio.run, or with run_until_complete as in the documentation."""

    async def connect() -> bytes:
        async with FakeBroker() as broker:
            with aioamqp.dialing(broker.dial):
                transport, protocol = await aioamqp.connect()
                channel = await protocol.channel()
                await channel.queue_declare(queue_name="hello", durable=True)
                await channel.basic_publish("Hello World!", exchange_name="", routing_key="hello")
                message: bytes = (await channel.basic_get("hello", no_ack=True))["message"]
                await protocol.close()
                transport.close()
        return message

    assert run(connect()) == b"Hello World!"


@scenario
async def test_publish_takes_a_string_with_a_deprecation_warning(
    connect: Connect, name: str
) -> None:
    """M2. The string is sent as UTF-8."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, durable=True)

    with pytest.warns(DeprecationWarning, match="encode the string"):
        await channel.publish("aioamqp hellö", "", name)

    assert await drain(channel, name) == ["aioamqp hellö".encode()]


# -------------------------------------------------------------------- work queues


@scenario
async def test_a_worker_gets_one_persistent_task_at_a_time(connect: Connect, name: str) -> None:
    """M1, M26, M27."""
    protocol = await connect()
    channel = await protocol.channel()
    publisher = await protocol.channel()
    at_work: list[bytes] = []
    log: list[str] = []
    all_done = asyncio.Event()

    async def callback(
        channel: Channel, body: bytes, envelope: Envelope, properties: Properties
    ) -> None:
        at_work.append(body)
        log.append(f"{len(at_work)} at work, delivery_mode {properties.delivery_mode}")
        await asyncio.sleep(body.count(b"."))
        await channel.basic_client_ack(delivery_tag=envelope.delivery_tag)
        at_work.remove(body)
        if len(log) == 3:
            all_done.set()

    await channel.queue(name, durable=True)
    await channel.basic_qos(prefetch_count=1, prefetch_size=0, connection_global=False)
    for number in range(3):
        await publisher.basic_publish(
            payload=f"task {number}",
            exchange_name="",
            routing_key=name,
            properties={"delivery_mode": 2},
        )
    await channel.basic_consume(callback, queue_name=name)
    await all_done.wait()

    assert log == ["1 at work, delivery_mode 2"] * 3
    await channel.close()
    declared = await publisher.queue_declare(name, passive=True)
    assert declared == {"queue": name, "message_count": 0, "consumer_count": 0}


# -------------------------------------------------------------------- publish, subscribe


@scenario
async def test_a_log_message_reaches_every_listener(connect: Connect, name: str) -> None:
    """M20, M26. The server generates the names of the queues."""
    channel = await (await connect()).channel()
    inboxes = [Inbox(), Inbox()]
    queues = set()
    for inbox in inboxes:
        listener = await (await connect()).channel()
        await listener.exchange(exchange_name=name, type_name="fanout")
        result = await listener.queue(queue_name="", exclusive=True)
        assert result is not None
        queue_name = result["queue"]
        queues.add(queue_name)
        await listener.queue_bind(exchange_name=name, queue_name=queue_name, routing_key="")
        await listener.basic_consume(inbox, queue_name=queue_name, no_ack=True)

    await channel.exchange_declare(exchange_name=name, type_name="fanout")
    await channel.basic_publish("info: Hello World!", exchange_name=name, routing_key="")

    for inbox in inboxes:
        message = await inbox.next_message()
        assert message.body == b"info: Hello World!"
        assert (message.envelope.exchange_name, message.envelope.routing_key) == (name, "")
    assert len(queues) == 2
    assert all(queue.startswith("amq.gen-") for queue in queues)


@scenario
async def test_the_queue_of_a_listener_is_deleted_when_it_disconnects(connect: Connect) -> None:
    """M20."""
    listener = await connect()
    result = await (await listener.channel()).queue(queue_name="", exclusive=True)
    assert result is not None
    await listener.close()

    channel = await (await connect()).channel()

    assert await refusal(channel.queue_declare(result["queue"], passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(result["queue"]),
    )


# -------------------------------------------------------------------- routing, topics


@scenario
async def test_messages_are_routed_by_severity(connect: Connect, name: str) -> None:
    """M20, M26."""
    channel = await (await connect()).channel()
    await channel.exchange(exchange_name=name, type_name="direct")
    result = await channel.queue(queue_name="", durable=True, auto_delete=True)
    assert result is not None
    queue_name = result["queue"]
    for severity in ("warning", "error"):
        await channel.queue_bind(exchange_name=name, queue_name=queue_name, routing_key=severity)
    inbox = Inbox()
    await channel.basic_consume(inbox, queue_name=queue_name)

    for severity in ("info", "error", "warning"):
        await channel.publish(severity.encode(), exchange_name=name, routing_key=severity)

    assert await inbox.bodies(2) == [b"error", b"warning"]


@scenario
async def test_messages_are_routed_by_pattern(connect: Connect, name: str) -> None:
    """M5, M26. Exchange and type are given by position.

    The documentation awaits publish() twice by mistake. Awaiting it once returns None.
    """
    channel = await (await connect()).channel()
    await channel.exchange(name, "topic")
    result = await channel.queue(queue_name="", durable=True, auto_delete=True)
    assert result is not None
    queue_name = result["queue"]
    for binding_key in ("*.critical", "nginx.*"):
        await channel.queue_bind(exchange_name=name, queue_name=queue_name, routing_key=binding_key)
    inbox = Inbox()
    await channel.basic_consume(inbox, queue_name=queue_name)

    publish: Any = channel.publish
    for key in ("anonymous.info", "kern.critical", "nginx.info", "nginx.a.b"):
        assert await publish(key.encode(), exchange_name=name, routing_key=key) is None
    await channel.publish(b"the last", exchange_name="", routing_key=queue_name)

    assert await inbox.bodies(3) == [b"kern.critical", b"nginx.info", b"the last"]


# -------------------------------------------------------------------- RPC


@scenario
async def test_an_rpc_reply_has_the_reply_to_and_correlation_id_of_its_request(
    connect: Connect, name: str
) -> None:
    """M1, M3. The client uses `exchange` and `body`; the server replies with a string."""

    async def on_request(
        channel: Channel, body: bytes, envelope: Envelope, properties: Properties
    ) -> None:
        await channel.basic_publish(
            payload=str(int(body) * 2),
            exchange_name="",
            routing_key=properties.reply_to,
            properties={"correlation_id": properties.correlation_id},
        )
        await channel.basic_client_ack(delivery_tag=envelope.delivery_tag)

    server = await (await connect()).channel()
    await server.queue_declare(queue_name=name, durable=True)
    await server.basic_qos(prefetch_count=1, prefetch_size=0, connection_global=False)
    await server.basic_consume(on_request, queue_name=name)

    channel = await (await connect()).channel()
    result = await channel.queue_declare(exclusive=True)
    assert result is not None
    callback_queue = result["queue"]
    inbox = Inbox()
    await channel.basic_consume(inbox, no_ack=True, queue_name=callback_queue)
    await channel.basic_publish(
        exchange="",
        routing_key=name,
        properties={"reply_to": callback_queue, "correlation_id": "the first"},
        body="21",
    )

    answer = await inbox.next_message()
    assert answer.body == b"42"
    assert answer.properties.correlation_id == "the first"


@scenario
async def test_publishing_an_rpc_request_can_be_a_task(connect: Connect, name: str) -> None:
    """M3, M4. The documentation does not await it, which creates a coroutine that never runs."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, durable=True)

    await asyncio.create_task(
        channel.basic_publish(exchange="", routing_key=name, properties={}, body=b"request")
    )

    assert await drain(channel, name) == [b"request"]


@scenario
async def test_passing_an_argument_under_both_names_or_neither_is_refused(
    connect: Connect, name: str
) -> None:
    """M3."""
    channel = await (await connect()).channel()
    await channel.queue_declare(name, durable=True)

    with pytest.raises(TypeError, match="exchange: "):
        await channel.basic_publish(b"", "", name, exchange="")
    with pytest.raises(TypeError, match="body: "):
        await channel.publish(b"", "", name, body=b"")
    with pytest.raises(TypeError, match="payload: "):
        await channel.basic_publish(exchange="", routing_key=name)
    with pytest.raises(TypeError, match="exchange_name: "):
        await channel.publish(body=b"", routing_key=name)

    assert await drain(channel, name) == []
