"""``RpcClient`` and ``RpcServer``: requests over direct reply-to, their errors, and recovery."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from aioamqp import (
    AmqpClosedConnection,
    Backoff,
    Connection,
    InvalidArgument,
    Message,
    PublishNotSent,
    PublishReturned,
    RpcClient,
    RpcError,
    RpcInterrupted,
    RpcServer,
)
from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Reset

pytestmark = pytest.mark.asyncio

SERVER, CLIENT = 1, 2
"""The numbers of the connections to the broker."""


@pytest_asyncio.fixture(autouse=True)
async def queue(connection: Connection) -> None:
    async with await connection.channel() as channel:
        await channel.queue_declare("double", durable=True)


@pytest_asyncio.fixture
async def caller(amqp_broker: FakeBroker) -> AsyncIterator[Connection]:
    """The connection of the client, so that each side can be lost by itself."""
    url = "amqp://broker/"
    async with Connection(url, reconnect=Backoff(initial=1.0), heartbeat=0) as connection:
        yield connection


@pytest_asyncio.fixture
async def rpc(caller: Connection) -> AsyncIterator[RpcClient]:
    async with RpcClient(caller) as rpc:
        yield rpc


def double(request: Message) -> bytes:
    return b"%d" % (2 * int(request.body))


class Slow:
    """A handler that replies when the test allows it."""

    def __init__(self) -> None:
        self.requests: list[Message] = []
        self.gate = asyncio.Event()

    async def __call__(self, request: Message) -> bytes:
        self.requests.append(request)
        await self.gate.wait()
        return b"reply to " + request.body


def ready(broker: FakeBroker) -> int:
    return broker.vhost.queues["double"].message_count


async def lose(broker: FakeBroker, connection: Connection, number: int) -> None:
    """Lose the connection with that number, and notice it."""
    broker.faults.add(Reset(connection=number))
    await connection.protocol.wait_closed()


# ------------------------------------------------------------------------------ calls


async def test_a_call_returns_what_the_handler_returns(
    connection: Connection, rpc: RpcClient
) -> None:
    async with RpcServer(connection, "double", double):
        assert await rpc.call("double", b"21") == b"42"
        assert await asyncio.gather(*(rpc.call("double", b"%d" % n) for n in range(50))) == [
            b"%d" % (2 * n) for n in range(50)
        ]

    assert rpc.pending == 0


async def test_a_client_needs_no_block(connection: Connection, caller: Connection) -> None:
    async with RpcServer(connection, "double", double):
        rpc = RpcClient(caller)
        assert await rpc.call("double", b"1") == b"2"
        await rpc.close()

    assert caller.snapshot()["channels"] == []
    with pytest.raises(PublishNotSent, match="The RpcClient is closed"):
        await rpc.call("double", b"1")


@pytest.mark.parametrize(
    ("result", "reply"),
    [(b"", b""), (None, b""), (bytearray(b"b"), b"b"), (memoryview(b"m"), b"m")],
)
async def test_a_handler_may_return_any_bytes(
    result: Any, reply: bytes, connection: Connection, rpc: RpcClient
) -> None:
    async with RpcServer(connection, "double", lambda _: result):
        assert await rpc.call("double") == reply


async def test_the_request_has_its_deadline_and_the_properties_of_the_caller(
    connection: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    slow.gate.set()
    properties = {"headers": {"mine": 1}, "content_type": "text/plain"}
    async with RpcServer(connection, "double", slow):
        await rpc.call("double", b"1", timeout=5, properties=properties)
        await rpc.call("double", b"1", timeout=1e9)
        await rpc.call("double", b"1", timeout=None)

    first, second, third = (request.properties for request in slow.requests)
    assert (first.expiration, first.headers, first.content_type) == (
        "5000", {"mine": 1}, "text/plain",
    )  # fmt: skip
    assert (second.expiration, third.expiration) == ("4294967295", None)
    assert len({each.correlation_id for each in (first, second, third)}) == 3
    assert first.message_id == first.correlation_id


async def test_a_request_that_nobody_takes_expires_with_its_call(
    amqp_broker: FakeBroker, rpc: RpcClient
) -> None:
    with pytest.raises(TimeoutError, match="no reply to the request with routing key 'double'"):
        await rpc.call("double", b"1", timeout=2)

    await asyncio.sleep(0.1)
    assert (ready(amqp_broker), rpc.pending) == (0, 0)


async def test_a_late_reply_is_dropped(connection: Connection, rpc: RpcClient) -> None:
    slow = Slow()
    async with RpcServer(connection, "double", slow):
        with pytest.raises(TimeoutError):
            await rpc.call("double", b"1", timeout=2)
        slow.gate.set()

        assert await rpc.call("double", b"2") == b"reply to 2"


async def test_an_unroutable_request_fails_at_once(rpc: RpcClient) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    with pytest.raises(PublishReturned) as returned:
        await rpc.call("nowhere", b"1")

    assert loop.time() == began
    assert str(returned.value) == (
        "The message to exchange '' with routing key 'nowhere' was returned: 312 NO_ROUTE"
    )


async def test_a_request_can_go_to_an_exchange(connection: Connection, rpc: RpcClient) -> None:
    async with await connection.channel() as channel:
        await channel.queue_bind("double", "amq.topic", "math.#")
    async with RpcServer(connection, "double", double):
        assert await rpc.call("math.double", b"2", exchange="amq.topic") == b"4"


async def test_an_exchange_that_does_not_exist_interrupts_the_calls_and_no_later_one(
    connection: Connection, rpc: RpcClient
) -> None:
    async with RpcServer(connection, "double", double):
        with pytest.raises(RpcInterrupted, match="no exchange 'nowhere'") as interrupted:
            await rpc.call("double", b"1", exchange="nowhere", resend=True)
        assert not interrupted.value.is_retryable

        assert await rpc.call("double", b"1") == b"2"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"timeout": -1}, "timeout: must be 0 seconds or more"),
        ({"properties": {"reply_to": "x"}}, "reply_to: is set by RpcClient.call"),
        ({"properties": {"correlation_id": "x"}}, "correlation_id: is set by RpcClient.call"),
        ({"properties": {"expiration": "1"}}, "expiration: is set by RpcClient.call"),
        ({"properties": {"colour": "red"}}, "colour"),
        ({"routing_key": "x" * 256}, "routing_key"),
    ],
)
async def test_wrong_arguments_are_refused(
    arguments: dict[str, Any], text: str, rpc: RpcClient
) -> None:
    with pytest.raises(InvalidArgument, match=text):
        await rpc.call(**{"routing_key": "double", **arguments})

    assert rpc.pending == 0


async def test_the_connection_must_recover() -> None:
    with pytest.raises(InvalidArgument, match=r"must be an aioamqp\.Connection, not str"):
        RpcClient("amqp://broker/")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ errors


async def test_an_exception_of_the_handler_is_a_typed_error_at_the_caller(
    connection: Connection, rpc: RpcClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with RpcServer(connection, "double", double):
        with pytest.raises(RpcError) as error:
            await rpc.call("double", b"two")
        assert await rpc.call("double", b"2") == b"4"

    assert error.value.error_type == "ValueError"
    assert error.value.message == "invalid literal for int() with base 10: b'two'"
    assert str(error.value) == f"ValueError: {error.value.message}"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert "The RPC handler of queue 'double' has failed" in record.getMessage()


async def test_no_traceback_leaves_the_server(
    amqp_broker: FakeBroker, connection: Connection, rpc: RpcClient
) -> None:
    def handle(request: Message) -> bytes:
        raise LookupError

    async with RpcServer(connection, "double", handle):
        with pytest.raises(RpcError, match=r"^LookupError$"):
            await rpc.call("double")

    reply = amqp_broker.history()[-1]
    assert reply.properties.headers == {"x-aioamqp-error-type": "LookupError"}
    assert reply.body == b""


@pytest.mark.parametrize("result", ["text", 5, {"a": 1}])
async def test_a_handler_that_returns_something_else_is_an_error(
    result: Any, connection: Connection, rpc: RpcClient
) -> None:
    async with RpcServer(connection, "double", lambda _: result):
        with pytest.raises(RpcError, match="TypeError: The handler must return bytes, not"):
            await rpc.call("double")


async def test_a_reply_that_is_too_large_is_an_error_at_the_caller(
    amqp_broker: FakeBroker, rpc: RpcClient
) -> None:
    async with (
        Connection("amqp://broker/", heartbeat=0, max_message_size=1000) as small,
        RpcServer(small, "double", lambda _: bytes(1001)),
    ):
        with pytest.raises(RpcError, match="MessageTooLarge"):
            await rpc.call("double")


async def test_a_request_without_reply_to_is_handled_and_gets_no_reply(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    slow = Slow()
    slow.gate.set()
    async with RpcServer(connection, "double", slow):
        amqp_broker.publish("", "double", b"1")
        queue = amqp_broker.vhost.queues["double"]
        await amqp_broker.wait_for(lambda: slow.requests and not queue.unacked_count)

    assert len(amqp_broker.history()) == 1


async def test_a_server_drains_and_replies_to_what_it_handles(
    amqp_broker: FakeBroker, connection: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    server = RpcServer(connection, "double", slow, 1)
    running = asyncio.create_task(server.run())
    calls = [asyncio.create_task(rpc.call("double", b"%d" % n)) for n in range(2)]
    await amqp_broker.wait_for(lambda: slow.requests)

    draining = asyncio.create_task(server.drain())
    await asyncio.sleep(1)
    slow.gate.set()
    await draining
    await running

    assert await calls[0] == b"reply to 0"
    assert ready(amqp_broker) == 1
    async with RpcServer(connection, "double", slow):
        assert await calls[1] == b"reply to 1"


# ------------------------------------------------------------------------------ recovery


async def test_calls_in_flight_are_interrupted_when_the_connection_is_lost(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    async with RpcServer(connection, "double", slow):
        calls = [asyncio.create_task(rpc.call("double", b"%d" % n)) for n in range(2)]
        await amqp_broker.wait_for(lambda: len(slow.requests) == 2)

        await lose(amqp_broker, caller, CLIENT)

        for call in calls:
            with pytest.raises(RpcInterrupted, match="it is unknown whether the request was"):
                await call
        assert rpc.pending == 0
        slow.gate.set()
        assert await rpc.call("double", b"3") == b"reply to 3"


async def test_a_call_in_flight_is_sent_again_if_asked(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    async with RpcServer(connection, "double", slow):
        call = asyncio.create_task(rpc.call("double", b"1", resend=True, timeout=20))
        await amqp_broker.wait_for(lambda: slow.requests)

        await lose(amqp_broker, caller, CLIENT)
        await amqp_broker.wait_for(lambda: len(slow.requests) == 2)
        slow.gate.set()

        assert await call == b"reply to 1"
    first, second = (request.properties for request in slow.requests)
    assert first.message_id == second.message_id
    assert int(second.expiration or 0) < int(first.expiration or 0) == 20_000


async def test_a_call_waits_for_the_connection_and_its_deadline_is_what_is_left(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    slow.gate.set()
    loop = asyncio.get_running_loop()
    async with RpcServer(connection, "double", slow):
        await lose(amqp_broker, caller, CLIENT)
        began = loop.time()

        assert await rpc.call("double", b"1", timeout=20) == b"reply to 1"

    (request,) = slow.requests
    waited = loop.time() - began
    assert 0 < waited < 1
    assert abs(int(request.properties.expiration or 0) - 1000 * (20 - waited)) <= 1


async def test_a_call_that_was_never_sent_says_so(
    amqp_broker: FakeBroker, rpc: RpcClient, caller: Connection
) -> None:
    await amqp_broker.stop()
    await caller.protocol.wait_closed()

    with pytest.raises(PublishNotSent, match="was not ready within 3 seconds") as error:
        await rpc.call("double", b"1", timeout=3)

    assert isinstance(error.value, TimeoutError)
    await amqp_broker.start()


async def test_a_call_that_was_sent_once_never_says_that_it_was_not(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    async with RpcServer(connection, "double", slow):
        calls = [
            asyncio.create_task(rpc.call("double", b"1", resend=True, timeout=timeout))
            for timeout in (3, None)
        ]
        await amqp_broker.wait_for(lambda: len(slow.requests) == 2)
        await amqp_broker.stop()

        with pytest.raises(TimeoutError, match="There was no reply to the request") as error:
            await calls[0]
        assert not isinstance(error.value, PublishNotSent)
        await caller.close()
        with pytest.raises(RpcInterrupted, match="The program closed the connection"):
            await calls[1]

        slow.gate.set()
        await amqp_broker.start()


async def test_a_call_that_waits_to_be_sent_is_sent_on_the_next_connection_if_asked(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    slow.gate.set()
    async with RpcServer(connection, "double", slow):
        amqp_broker.block()
        await (await caller.channel()).basic_publish(b"x", "", "none")
        await caller.protocol.blocked.wait(timeout=5)
        call = asyncio.create_task(rpc.call("double", b"1", resend=True))
        await asyncio.sleep(1)
        assert not slow.requests

        await lose(amqp_broker, caller, CLIENT)
        amqp_broker.unblock()

        assert await call == b"reply to 1"


async def test_calls_are_interrupted_although_all_tasks_were_cancelled_before(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    for task in asyncio.all_tasks():
        if "rpc client" in task.get_name():
            task.cancel()
    await asyncio.sleep(0)
    async with RpcServer(connection, "double", slow):
        call = asyncio.create_task(rpc.call("double", b"1", timeout=None))
        await amqp_broker.wait_for(lambda: slow.requests)

        await lose(amqp_broker, caller, CLIENT)

        with pytest.raises(RpcInterrupted):
            async with asyncio.timeout(10):
                await call
        slow.gate.set()


async def test_a_server_survives_the_loss_of_its_connection(
    amqp_broker: FakeBroker, connection: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    async with RpcServer(connection, "double", slow):
        call = asyncio.create_task(rpc.call("double", b"1"))
        await amqp_broker.wait_for(lambda: slow.requests)

        await lose(amqp_broker, connection, SERVER)
        await amqp_broker.wait_for(lambda: len(slow.requests) == 2)
        slow.gate.set()

        assert await call == b"reply to 1"
        assert await rpc.call("double", b"2") == b"reply to 2"
    replies = [message for message in amqp_broker.history() if message.body == b"reply to 1"]
    assert len(replies) == 1


async def test_both_survive_a_restart_of_the_broker(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    async with RpcServer(connection, "double", double):
        for n in range(3):
            assert await rpc.call("double", b"%d" % n) == b"%d" % (2 * n)
            await amqp_broker.restart()
            for each in (caller, connection):
                await each.protocol.wait_closed()

        assert await rpc.call("double", b"5") == b"10"
    consumers = [str(method.queue) for method in caller.topology.consumers.values()]
    assert consumers == ["amq.rabbitmq.reply-to"]


@pytest.mark.amqp(rabbitmq="3.10")
async def test_a_reply_address_that_closes_the_connection_does_so_once(
    amqp_broker: FakeBroker, connection: Connection, rpc: RpcClient
) -> None:
    """RabbitMQ 3.10 answers a malformed one with 541, and would deliver the request again."""
    amqp_broker.publish("", "double", b"1", reply_to="amq.rabbitmq.reply-to.zz.yy")
    slow = Slow()
    slow.gate.set()
    async with RpcServer(connection, "double", slow):
        await connection.protocol.wait_closed()

        assert await rpc.call("double", b"2") == b"reply to 2"

    assert [request.body for request in slow.requests] == [b"1", b"2"]


async def test_closing_the_connection_interrupts_calls(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    async with RpcServer(connection, "double", slow):
        call = asyncio.create_task(rpc.call("double", b"1"))
        await amqp_broker.wait_for(lambda: slow.requests)

        await caller.close()

        with pytest.raises(RpcInterrupted, match="The program closed the connection"):
            await call
        with pytest.raises(AmqpClosedConnection):
            await rpc.call("double", b"1")
        slow.gate.set()


async def test_closing_the_client_interrupts_calls(
    amqp_broker: FakeBroker, connection: Connection, caller: Connection, rpc: RpcClient
) -> None:
    slow = Slow()
    async with RpcServer(connection, "double", slow):
        call = asyncio.create_task(rpc.call("double", b"1", resend=True))
        await amqp_broker.wait_for(lambda: slow.requests)

        await rpc.close()

        with pytest.raises(RpcInterrupted, match="The program closed the RpcClient"):
            await call
        slow.gate.set()
    assert caller.snapshot()["channels"] == []


async def test_a_connection_that_does_not_reconnect_fails_calls_when_it_is_lost(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    slow = Slow()
    async with (
        RpcServer(connection, "double", slow),
        Connection("amqp://broker/", reconnect=None, heartbeat=0) as caller,
        RpcClient(caller) as rpc,
    ):
        call = asyncio.create_task(rpc.call("double", b"1", resend=True))
        await amqp_broker.wait_for(lambda: slow.requests)

        await lose(amqp_broker, caller, CLIENT)

        with pytest.raises(AmqpClosedConnection):
            await call
        slow.gate.set()
