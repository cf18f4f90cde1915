"""Actions of a test in a broker, without a client."""

import asyncio

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.model import BrokerError, Message
from amqp_codec import Properties

pytestmark = pytest.mark.asyncio


async def test_a_message_is_published_to_consumers() -> None:
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        await channel.queue_declare("q", durable=True)
        bodies: list[bytes] = []

        async def callback(_: object, body: bytes, *rest: object) -> None:
            bodies.append(body)

        await channel.basic_consume(callback, "q")
        broker.publish("", "q", "text", delivery_mode=2)
        broker.publish("", "q", b"bytes", Properties(user_id="somebody"))
        await broker.wait_idle()

        assert bodies == [b"text", b"bytes"]
        await protocol.close()


async def test_a_message_that_rabbitmq_would_refuse_is_refused() -> None:
    broker = FakeBroker()

    with pytest.raises(BrokerError, match="NOT_FOUND - no exchange 'none' in vhost '/'"):
        broker.publish("none", "q")
    with pytest.raises(ValueError, match="pass either properties or delivery_mode, not both"):
        broker.publish("", "q", b"", Properties(), delivery_mode=2)


async def test_a_message_goes_to_the_virtual_host_that_is_named() -> None:
    broker = FakeBroker()
    other = broker.node.add_vhost("other")
    other.declare_queue("q", None, durable=True)

    broker.publish("", "q", b"m", vhost="other")

    assert [message.body for message in broker.drain("q", vhost="other")] == [b"m"]


async def test_a_queue_is_drained_of_what_is_ready() -> None:
    broker = FakeBroker()
    broker.vhost.declare_queue("q", None, durable=True)
    for body in ("1", "2"):
        broker.publish("", "q", body)

    assert [message.body for message in broker.drain("q")] == [b"1", b"2"]
    assert broker.drain("q") == []
    assert broker.vhost.queues["q"].unacked_count == 0


async def ask(broker: FakeBroker, body: str, correlation_id: str = "") -> Message:
    return broker.publish("", "rpc", body, reply_to="replies", correlation_id=correlation_id)


async def test_replies_are_sent_to_reply_to_with_the_correlation_id() -> None:
    async with FakeBroker() as broker:
        broker.vhost.declare_queue("replies", None, durable=True)
        replier = broker.rpc_reply("rpc", lambda request: request.body.upper())

        await ask(broker, "one", correlation_id="1")
        await ask(broker, "two", correlation_id="2")

        replies = broker.drain("replies")
        assert [(reply.body, reply.properties.correlation_id) for reply in replies] == [
            (b"ONE", "1"),
            (b"TWO", "2"),
        ]
        assert [request.body for request in replier.requests] == [b"one", b"two"]
        broker.assert_acked("rpc", count=2)


async def test_a_coroutine_function_can_reply() -> None:
    async with FakeBroker() as broker:
        broker.vhost.declare_queue("replies", None, durable=True)
        is_open = asyncio.Event()

        async def reply(request: Message) -> str:
            await is_open.wait()
            return "late"

        broker.rpc_reply("rpc", reply)
        await ask(broker, "one")
        await broker.wait_idle()
        assert broker.vhost.queues["replies"].message_count == 0

        is_open.set()
        await broker.wait_for(lambda: broker.vhost.queues["replies"].message_count)
        assert broker.drain("replies")[0].body == b"late"


async def test_a_reply_that_is_still_pending_is_cancelled_with_the_broker() -> None:
    async with FakeBroker() as broker:

        async def reply(request: Message) -> None:
            await asyncio.Event().wait()

        broker.rpc_reply("rpc", reply)
        await ask(broker, "one")
        await asyncio.sleep(0)


async def test_none_leaves_a_request_without_a_reply() -> None:
    async with FakeBroker() as broker:
        broker.vhost.declare_queue("replies", None, durable=True)
        broker.rpc_reply("rpc", lambda _: None)
        await ask(broker, "one")

        assert broker.drain("replies") == []
        broker.assert_acked("rpc")


async def test_an_exception_of_a_reply_function_fails_the_test() -> None:
    with pytest.raises(ZeroDivisionError):
        async with FakeBroker() as broker:
            broker.rpc_reply("rpc", lambda _: str(1 // 0))
            await ask(broker, "one")

    with pytest.raises(ZeroDivisionError):
        async with FakeBroker() as broker:

            async def reply(_: Message) -> str:
                return str(1 // 0)

            broker.rpc_reply("rpc", reply)
            await ask(broker, "one")
            await broker.wait_idle()


async def test_a_request_without_reply_to_fails_the_test() -> None:
    with pytest.raises(ValueError, match="the request has no reply_to property:\nmessage b'one'"):
        async with FakeBroker() as broker:
            broker.rpc_reply("rpc", lambda _: "reply")
            broker.publish("", "rpc", "one")


async def test_replying_can_be_stopped() -> None:
    async with FakeBroker() as broker:
        broker.rpc_reply("rpc", lambda _: None).stop()
        await ask(broker, "one")

        assert broker.vhost.queues["rpc"].consumer_count == 0
        assert broker.vhost.queues["rpc"].message_count == 1


async def test_a_client_uses_direct_reply_to() -> None:
    async with FakeBroker() as broker:
        broker.rpc_reply("double", lambda request: str(2 * int(request.body)))
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        replies: asyncio.Queue[tuple[bytes, str | None]] = asyncio.Queue()

        async def callback(_: object, body: bytes, __: object, properties: object) -> None:
            replies.put_nowait((body, getattr(properties, "correlation_id", None)))

        await channel.basic_consume(callback, "amq.rabbitmq.reply-to", no_ack=True)
        properties = {"reply_to": "amq.rabbitmq.reply-to", "correlation_id": "1"}
        await channel.basic_publish(b"21", "", "double", properties=properties)

        assert await replies.get() == (b"42", "1")
        assert list(broker.vhost.queues) == ["double"]
        await protocol.close()


@pytest.mark.parametrize("durable", [False, True])
async def test_requests_are_answered_after_a_restart(durable: bool) -> None:
    """Row U21."""
    async with FakeBroker(rabbitmq="3.10") as broker:
        broker.vhost.declare_queue("double", None, durable=durable)
        replier = broker.rpc_reply("double", lambda request: 2 * request.body)

        await broker.restart()

        broker.vhost.declare_queue("answers", None, durable=True)
        broker.publish("", "double", b"21", reply_to="answers")
        assert [answer.body for answer in broker.drain("answers")] == [b"2121"]
        replier.stop()
        assert not broker.vhost.queues["double"].consumer_count
        assert broker.vhost.queues["double"].durable


async def test_a_request_that_a_restart_interrupts_is_answered_once() -> None:
    """Row U21. RabbitMQ: a persistent message in a durable queue is delivered again."""
    async with FakeBroker() as broker:
        broker.vhost.declare_queue("double", None, durable=True)
        gates = [asyncio.Event(), asyncio.Event()]
        waiting = iter(gates)

        async def reply(request: Message) -> bytes:
            await next(waiting).wait()
            return 2 * request.body

        replier = broker.rpc_reply("double", reply)
        broker.publish("", "double", b"21", reply_to="answers", delivery_mode=2)
        await broker.restart()
        broker.vhost.declare_queue("answers", None, durable=True)
        for gate in gates:
            gate.set()
        await broker.wait_idle()

        assert len(replier.requests) == 2
        assert [answer.body for answer in broker.drain("answers")] == [b"2121"]
        broker.assert_acked("double", count=1)
