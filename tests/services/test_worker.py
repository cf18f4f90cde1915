"""``Worker``: how it settles messages, in which order it handles them, and how it ends."""

import asyncio
import logging
import signal
from contextvars import ContextVar
from typing import Any

import pytest
import pytest_asyncio

import aioamqp
from aioamqp import Connection, InvalidArgument, Message, Retry, Worker
from aioamqp_testing import FakeBroker
from aioamqp_testing import Message as Published
from aioamqp_testing.faults import CancelConsumer, CloseChannel, Reset, Restart

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(autouse=True)
async def queues(connection: Connection) -> None:
    """The queue ``q``, which dead-letters to ``dead``."""
    async with await connection.channel() as channel:
        await channel.queue_declare("dead", durable=True)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        await channel.queue_declare("q", durable=True, arguments=arguments)


def put(broker: FakeBroker, *bodies: bytes, **properties: Any) -> None:
    for body in bodies:
        broker.publish("", "q", body, delivery_mode=2, **properties)


def ready(broker: FakeBroker, queue: str = "q") -> list[bytes]:
    return [message.body for message in broker.vhost.queues[queue].messages]


def unacked(broker: FakeBroker) -> int:
    return broker.vhost.queues["q"].unacked_count


def only(broker: FakeBroker, queue: str) -> Published:
    (message,) = broker.vhost.queues[queue].messages
    return message


def headers_of(message: Published) -> dict[str, Any]:
    return dict(message.properties.headers or {})


def records(caplog: pytest.LogCaptureFixture, level: int) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno == level]


class Handler:
    """A handler that keeps the bodies, and may wait or fail.

    Attributes:
        started: the bodies of all messages, in the order in which they were handled.
        finished: those whose handling has ended, in that order.
        most: how many were handled at the same time.
    """

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.started: list[bytes] = []
        self.finished: list[bytes] = []
        self.cancelled: list[bytes] = []
        self.running = self.most = 0
        self.has_finished = asyncio.Condition()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, message: Message) -> None:
        self.started.append(message.body)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
            failure = self.failures.pop(0) if self.failures else None
            if failure is not None:
                raise failure
            self.finished.append(message.body)
            async with self.has_finished:
                self.has_finished.notify_all()
        except asyncio.CancelledError:
            self.cancelled.append(message.body)
            raise
        finally:
            self.running -= 1

    async def wait_finished(self, bodies: set[bytes]) -> None:
        """Wait until the handling of all these bodies has ended, also while the broker is down."""
        async with self.has_finished:
            await self.has_finished.wait_for(lambda: bodies <= {*self.finished})


def fail(message: Message) -> None:
    raise ValueError(f"cannot handle {message.body.decode()}")


def lose(broker: FakeBroker) -> None:
    broker.faults.add(Reset())


# ------------------------------------------------------------------------------ settling


async def test_a_message_is_acknowledged_when_its_handler_returns(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    handler.gate.clear()
    async with Worker(connection, "q", handler) as worker:
        put(amqp_broker, b"1")
        await amqp_broker.wait_for(lambda: handler.started)
        assert (unacked(amqp_broker), worker.handling) == (1, 1)

        handler.gate.set()
        await amqp_broker.wait_for(lambda: not unacked(amqp_broker))

        assert (ready(amqp_broker), worker.handling) == ([], 0)


async def test_a_plain_function_can_be_the_handler(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    bodies: list[bytes] = []
    put(amqp_broker, b"1", b"2")
    async with Worker(connection, "q", lambda message: bodies.append(message.body)):
        await amqp_broker.wait_for(lambda: len(bodies) == 2 and not unacked(amqp_broker))

    assert ready(amqp_broker) == []


async def test_a_message_that_its_handler_has_settled_stays_as_it_is(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async def reject(message: Message) -> None:
        await message.reject()
        if message.body == b"2":
            raise ValueError("after that")

    put(amqp_broker, b"1", b"2")
    async with Worker(connection, "q", reject):
        await amqp_broker.wait_for(lambda: len(ready(amqp_broker, "dead")) == 2)

    (record,) = records(caplog, logging.ERROR)
    assert "it has settled the message itself" in record.getMessage()


@pytest.mark.parametrize("policy", ["reject", "dead-letter"])
async def test_a_message_whose_handler_fails_is_dead_lettered_by_the_server(
    policy: Any,
    amqp_broker: FakeBroker,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put(amqp_broker, b"1")
    async with Worker(connection, "q", fail, on_exception=policy):
        await amqp_broker.wait_for(lambda: ready(amqp_broker, "dead"))

    assert ready(amqp_broker, "dead") == [b"1"]
    (record,) = records(caplog, logging.ERROR)
    assert record.exc_info
    assert "cannot handle 1" in caplog.text
    assert "attempt 1" in record.getMessage()
    assert records(caplog, logging.WARNING) == []


async def test_a_message_can_be_requeued(amqp_broker: FakeBroker, connection: Connection) -> None:
    handler = Handler(ValueError("once"))
    put(amqp_broker, b"1")
    async with Worker(connection, "q", handler, on_exception="requeue"):
        await amqp_broker.wait_for(lambda: handler.finished and not unacked(amqp_broker))

    assert handler.started == [b"1", b"1"]


async def test_the_policy_stop_returns_the_message_and_raises_the_exception(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    put(amqp_broker, b"1", b"2")
    worker = Worker(connection, "q", fail, 1, on_exception="stop")

    with pytest.raises(ValueError, match="cannot handle 1"):
        await worker.run()

    await amqp_broker.wait_idle()
    assert ready(amqp_broker) == [b"1", b"2"]
    assert amqp_broker.vhost.queues["q"].consumer_count == 0


async def test_a_function_can_choose_the_policy_by_the_exception(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler(KeyError("x"), ValueError("x"))
    asked: list[tuple[bytes, type]] = []

    def choose(message: Message, error: Exception) -> Any:
        asked.append((message.body, type(error)))
        return "requeue" if isinstance(error, KeyError) else "reject"

    put(amqp_broker, b"1")
    async with Worker(connection, "q", handler, on_exception=choose):
        await amqp_broker.wait_for(lambda: ready(amqp_broker, "dead"))

    assert asked == [(b"1", KeyError), (b"1", ValueError)]


@pytest.mark.parametrize("answer", ["rejct", None])
async def test_a_wrong_policy_stops_the_worker_with_the_message_in_the_queue(
    answer: Any, amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    put(amqp_broker, b"1")

    with pytest.raises(ValueError, match="cannot handle 1"):
        await Worker(connection, "q", fail, on_exception=lambda *_: answer).run()

    assert ready(amqp_broker) == [b"1"]
    assert "on_exception has failed" in caplog.text
    assert "must be one of 'reject'" in caplog.text


async def test_dead_letters_can_go_to_a_queue_with_the_error_in_their_headers(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    put(amqp_broker, b"1", headers={"mine": 1}, message_id="m")
    options: Any = {"on_exception": "dead-letter", "dead_letter_queue": "dead"}
    async with Worker(connection, "q", fail, **options):
        await amqp_broker.wait_for(lambda: ready(amqp_broker, "dead") and not unacked(amqp_broker))

    message = only(amqp_broker, "dead")
    assert headers_of(message) == {
        "mine": 1,
        "x-aioamqp-attempts": 1,
        "x-aioamqp-error": "ValueError: cannot handle 1",
        "x-aioamqp-exchange": "",
        "x-aioamqp-routing-key": "q",
    }
    assert (message.properties.message_id, message.properties.delivery_mode) == ("m", 2)


async def test_a_queue_for_dead_letters_that_does_not_exist_is_an_error_at_the_start(
    connection: Connection,
) -> None:
    worker = Worker(connection, "q", fail, dead_letter_queue="nowhere")

    with pytest.raises(aioamqp.ChannelClosed, match="no queue 'nowhere'"):
        await worker.run()


async def test_a_queue_without_a_dead_letter_exchange_is_warned_of(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async with Worker(connection, "dead", fail, on_exception="dead-letter"):
        pass

    (record,) = records(caplog, logging.WARNING)
    assert "Queue 'dead' was declared without x-dead-letter-exchange" in record.getMessage()


# ------------------------------------------------------------------------------ retrying


async def test_a_message_is_tried_again_after_growing_delays_and_then_dead_lettered(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    attempts: list[tuple[float, object]] = []

    def handle(message: Message) -> None:
        headers = message.properties.headers or {}
        attempts.append((loop.time() - began, headers.get("x-aioamqp-attempts")))
        raise ValueError("no")

    put(amqp_broker, b"1")
    async with Worker(connection, "q", handle, on_exception=Retry(delays=(1, 10, 60))):
        await amqp_broker.wait_for(lambda: ready(amqp_broker, "dead"), timeout=100)

    assert attempts == [(0, None), (1, 1), (11, 2), (71, 3)]
    retries = {name: queue for name, queue in amqp_broker.vhost.queues.items() if "retry" in name}
    assert list(retries) == ["q.retry.1000", "q.retry.10000", "q.retry.60000"]
    assert all(queue.durable and not queue.message_count for queue in retries.values())
    assert unacked(amqp_broker) == 0
    headers = headers_of(only(amqp_broker, "dead"))
    assert headers["x-aioamqp-error"] == "ValueError: no"
    assert headers["x-aioamqp-attempts"] == 3


class Undescribed(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Undescribed(), "Undescribed"),
        (ValueError("a \udcff name"), "ValueError: a ? name"),
        (ValueError("x" * 5000), f"ValueError: {'x' * 1000}"),
    ],
)
async def test_every_error_can_be_published(
    error: Exception,
    text: str,
    amqp_broker: FakeBroker,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "aioamqp")  # pytest-xdist fails to send such a text
    handler = Handler(error)
    put(amqp_broker, b"1")
    options: Any = {"on_exception": "dead-letter", "dead_letter_queue": "dead"}
    async with Worker(connection, "q", handler, **options):
        await amqp_broker.wait_for(lambda: ready(amqp_broker, "dead"))

    assert headers_of(only(amqp_broker, "dead"))["x-aioamqp-error"] == text


async def test_an_exception_that_is_no_exception_is_a_failure_as_well(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(BaseException):
        pass

    def handle(message: Message) -> None:
        if message.body == b"1":
            raise Odd

    put(amqp_broker, b"1", b"2")
    async with Worker(connection, "q", handle, 1) as worker:
        await amqp_broker.wait_for(lambda: not unacked(amqp_broker) and not ready(amqp_broker))
        assert worker.is_running

    assert ready(amqp_broker, "dead") == [b"1"]
    assert "The handler has raised Odd()" in caplog.text


async def test_a_retried_message_keeps_its_properties_and_says_where_it_was_published(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    async with await connection.channel() as channel:
        await channel.queue_bind("q", "amq.topic", "order.*")
    messages: list[Message] = []

    def handle(message: Message) -> None:
        messages.append(message)
        if len(messages) == 1:
            raise KeyError

    properties: Any = {
        "headers": {"CC": ["dead"], "x-death": [], "mine": "kept"},
        "user_id": "guest",
        "expiration": "60000",
        "correlation_id": "7",
        "type": "order",
        "priority": 3,
    }
    amqp_broker.publish("amq.topic", "order.new", b"1", **properties)
    async with Worker(connection, "q", handle, on_exception=Retry((1,))):
        await amqp_broker.wait_for(lambda: len(messages) == 2)

    again = messages[1].properties
    headers = dict(again.headers or {})
    assert (again.correlation_id, again.message_type, again.priority) == ("7", "order", 3)
    assert (again.user_id, again.expiration) == (None, None)
    assert headers["mine"] == "kept"
    assert headers["x-aioamqp-exchange"] == "amq.topic"
    assert headers["x-aioamqp-routing-key"] == "order.new"
    assert headers["x-aioamqp-error"] == "KeyError"
    assert "CC" not in headers
    assert ready(amqp_broker, "dead") == []


async def test_a_retried_message_goes_to_the_policy_then(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    put(amqp_broker, b"1")
    options: Any = {"on_exception": Retry((0.5,), then="stop")}

    with pytest.raises(ValueError, match="cannot handle 1"):
        await Worker(connection, "q", fail, **options).run()

    assert ready(amqp_broker) == [b"1"]
    assert headers_of(only(amqp_broker, "q"))["x-aioamqp-attempts"] == 1


async def test_a_message_that_cannot_be_published_again_returns_to_the_queue_after_the_delay(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    handler = Handler(ValueError("1"), ValueError("2"))
    amqp_broker.faults.add(CloseChannel(406, "PRECONDITION_FAILED", received="basic.publish"))
    put(amqp_broker, b"1")
    began = loop.time()
    async with Worker(connection, "q", handler, on_exception=Retry((5,))):
        await amqp_broker.wait_for(lambda: handler.finished, timeout=20)

    assert loop.time() - began == 10  # it was waited for here, and then in the delay queue
    record = records(caplog, logging.WARNING)[-1]
    assert "cannot be published again; it returns to queue 'q' in 5 seconds" in record.getMessage()


async def test_a_delay_queue_that_was_deleted_is_declared_again(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler(ValueError("1"), ValueError("2"))
    async with Worker(connection, "q", handler, on_exception=Retry((5,))):
        async with await connection.channel() as channel:
            await channel.queue_delete("q.retry.5000")
        put(amqp_broker, b"1")
        await amqp_broker.wait_for(lambda: handler.finished, timeout=20)

    assert amqp_broker.vhost.queues["q.retry.5000"].durable


async def test_a_delay_queue_that_is_different_is_an_error_at_the_start(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    async with await connection.channel() as channel:
        await channel.queue_declare("q.retry.1000", durable=True)

    with pytest.raises(aioamqp.ChannelClosed, match=r"q\.retry\.1000"):
        await Worker(connection, "q", fail, on_exception=Retry((1,))).run()

    await amqp_broker.wait_idle()
    assert amqp_broker.vhost.queues["q"].consumer_count == 0


async def test_a_message_is_not_published_again_when_its_connection_was_lost(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """The server has queued it again, so a copy would be a second one."""
    handler = Handler(ValueError("the old delivery"))
    handler.gate.clear()
    put(amqp_broker, b"1")
    async with Worker(connection, "q", handler, on_exception=Retry((5,))):
        await amqp_broker.wait_for(lambda: handler.started)
        lose(amqp_broker)
        await amqp_broker.wait_for(lambda: len(handler.started) == 2)

        handler.gate.set()
        await amqp_broker.wait_for(lambda: handler.finished and not unacked(amqp_broker))

    assert handler.started == [b"1", b"1"]
    assert ready(amqp_broker, "q.retry.5000") == []
    assert "the message is delivered again, since its connection was lost" in caplog.text


@pytest.mark.parametrize("delays", [(), 5, (0,), (-1,), ("1",), (float("nan"),), (1e9,), (True,)])
async def test_wrong_delays_are_refused(delays: Any) -> None:
    with pytest.raises(InvalidArgument, match="delays"):
        Retry(delays)


async def test_a_wrong_policy_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="then: must be one of 'reject'"):
        Retry(then="drop")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ order


async def test_as_many_messages_are_handled_at_the_same_time_as_allowed(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, *(b"%d" % n for n in range(10)))
    async with Worker(connection, "q", handler, 3):
        await amqp_broker.wait_idle()
        assert (handler.running, unacked(amqp_broker)) == (3, 3)

        handler.gate.set()
        await amqp_broker.wait_for(lambda: len(handler.finished) == 10)

    assert handler.most == 3


async def test_messages_with_the_same_key_are_handled_one_at_a_time_in_their_order(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    running: set[bytes] = set()
    handled: dict[bytes, list[int]] = {b"a": [], b"b": [], b"c": []}
    together = 0

    async def handle(message: Message) -> None:
        nonlocal together
        key, number = message.body[:1], int(message.body[1:])
        assert key not in running
        running.add(key)
        together = max(together, len(running))
        await asyncio.sleep(5 - number % 5)
        running.remove(key)
        handled[key].append(number)

    put(amqp_broker, *(b"%s%d" % (key, n) for n in range(10) for key in (b"a", b"b", b"c")))
    options: Any = {"order_by": lambda message: message.body[:1]}
    async with Worker(connection, "q", handle, 2, **options):
        await amqp_broker.wait_for(lambda: sum(map(len, handled.values())) == 30, timeout=200)

    assert all(numbers == list(range(10)) for numbers in handled.values())
    assert together == 2


async def test_a_busy_key_does_not_hold_up_the_others(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    slow = asyncio.Event()
    finished: list[bytes] = []

    async def handle(message: Message) -> None:
        if message.body == b"a1":
            await slow.wait()
        finished.append(message.body)

    put(amqp_broker, b"a1", b"a2", b"a3", b"b1", b"b2")
    options: Any = {"order_by": lambda message: message.body[:1]}
    async with Worker(connection, "q", handle, 2, **options):
        await amqp_broker.wait_for(lambda: len(finished) == 2)
        assert finished == [b"b1", b"b2"]
        slow.set()
        await amqp_broker.wait_for(lambda: len(finished) == 5)

    assert finished[2:] == [b"a1", b"a2", b"a3"]


async def test_a_key_that_cannot_be_found_is_a_failure_of_the_handler(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()

    def key(message: Message) -> Any:
        return [] if message.body == b"1" else message.body

    put(amqp_broker, b"1", b"2")
    async with Worker(connection, "q", handler, order_by=key):
        await amqp_broker.wait_for(lambda: handler.finished and ready(amqp_broker, "dead"))

    assert (handler.finished, ready(amqp_broker, "dead")) == ([b"2"], [b"1"])
    assert "unhashable" in caplog.text


async def test_a_handler_does_not_see_the_context_of_the_one_before(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    variable.set("of the program")
    seen: list[str] = []

    def handle(message: Message) -> None:
        seen.append(variable.get())
        variable.set("of a handler")

    put(amqp_broker, b"1", b"2", b"3")
    async with Worker(connection, "q", handle, 1, order_by=lambda _: "one line"):
        await amqp_broker.wait_for(lambda: len(seen) == 3 and not unacked(amqp_broker))

    assert seen == ["of the program"] * 3


# ------------------------------------------------------------------------------ recovery


async def test_a_lost_connection_does_not_stop_handlers_and_their_messages_come_again(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, b"1", b"2")
    async with Worker(connection, "q", handler, 2) as worker:
        await amqp_broker.wait_for(lambda: handler.running == 2)
        lose(amqp_broker)
        await connection.protocol.wait_closed()
        assert (handler.running, worker.is_running) == (2, True)

        handler.gate.set()
        await amqp_broker.wait_for(lambda: len(handler.finished) == 4 and not unacked(amqp_broker))

    assert handler.cancelled == []
    assert ready(amqp_broker) == []
    assert connection.snapshot()["channels"] == []


async def test_a_message_that_comes_again_waits_for_its_old_handler_with_order_by(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, b"1", message_id="1")
    options: Any = {"order_by": lambda message: message.properties.message_id}
    async with Worker(connection, "q", handler, **options):
        await amqp_broker.wait_for(lambda: handler.started)
        lose(amqp_broker)
        await connection.protocol.wait_closed()
        await connection.wait_open()
        await amqp_broker.wait_for(lambda: unacked(amqp_broker) == 1)
        await amqp_broker.wait_idle()
        assert handler.started == [b"1"]

        handler.gate.set()
        await amqp_broker.wait_for(lambda: len(handler.finished) == 2 and not unacked(amqp_broker))

    assert handler.most == 1


async def test_a_restart_of_the_broker_loses_no_message(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler(*(ValueError("x"),) * 5)
    bodies = [b"%d" % n for n in range(20)]
    put(amqp_broker, *bodies)
    amqp_broker.faults.add(Restart(received="basic.ack", nth=3))
    async with Worker(connection, "q", handler, 4, on_exception=Retry((1, 1, 1))):
        await handler.wait_finished({*bodies})
        await asyncio.sleep(10)  # a message whose publisher confirm was lost comes twice

    assert ready(amqp_broker) == ready(amqp_broker, "q.retry.1000") == []
    assert ready(amqp_broker, "dead") == []


# ------------------------------------------------------------------------------ poison, and time


async def test_a_message_that_was_delivered_too_often_is_dead_lettered_and_not_handled(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async with await connection.channel() as channel:
        await channel.queue_declare("quorum", durable=True, arguments={"x-queue-type": "quorum"})
    handler = Handler(*(ValueError("x"),) * 5)
    amqp_broker.publish("", "quorum", b"1")
    options: Any = {"on_exception": "requeue", "max_deliveries": 3, "dead_letter_queue": "dead"}
    async with Worker(connection, "quorum", handler, **options):
        await amqp_broker.wait_for(lambda: ready(amqp_broker, "dead"))

    assert handler.started == [b"1"] * 3
    headers = headers_of(only(amqp_broker, "dead"))
    assert headers["x-aioamqp-error"] == "RuntimeError: It was delivered 3 times and never settled"
    (record,) = records(caplog, logging.WARNING)
    assert "is dead-lettered: It was delivered 3 times" in record.getMessage()


@pytest.mark.parametrize("header", ["x-delivery-count", "x-acquired-count"])
async def test_both_headers_that_count_deliveries_are_read(
    header: str, amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    put(amqp_broker, b"poison", headers={header: 2})
    put(amqp_broker, b"fine", headers={header: 1})
    async with Worker(connection, "q", handler, max_deliveries=2):
        await amqp_broker.wait_for(lambda: handler.finished and ready(amqp_broker, "dead"))

    assert (handler.finished, ready(amqp_broker, "dead")) == ([b"fine"], [b"poison"])


async def test_a_retried_message_does_not_keep_the_count_of_its_deliveries(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler(ValueError("x"))
    put(amqp_broker, b"1", headers={"x-delivery-count": 1})
    options: Any = {"on_exception": Retry((1,)), "max_deliveries": 2}
    async with Worker(connection, "q", handler, **options):
        await amqp_broker.wait_for(lambda: handler.finished)

    assert handler.started == [b"1", b"1"]


async def test_a_warning_comes_before_the_acknowledgement_timeout(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, b"1", b"2", b"waits for a handler")
    options: Any = {"acknowledgement_timeout": 100, "prefetch_count": 3}
    async with Worker(connection, "q", handler, 2, **options):
        await asyncio.sleep(79)
        assert records(caplog, logging.WARNING) == []
        await asyncio.sleep(2)
        warned = [record.getMessage() for record in records(caplog, logging.WARNING)]
        await asyncio.sleep(100)
        handler.gate.set()
        await amqp_broker.wait_for(lambda: not unacked(amqp_broker))

    assert len(warned) == len(records(caplog, logging.WARNING)) == 3
    assert warned[2].startswith(
        "Delivery 3 of queue 'q' has not been acknowledged for 80 seconds; after 100 seconds"
    )


@pytest.mark.parametrize(
    "type_of_q",
    [
        pytest.param("classic", marks=pytest.mark.amqp(consumer_timeout=100, rabbitmq="4.0")),
        pytest.param("quorum", marks=pytest.mark.amqp(consumer_timeout=100)),
    ],
)
async def test_a_worker_continues_after_one_acknowledgement_timeout_and_ends_with_the_next(
    type_of_q: str, amqp_broker: FakeBroker, connection: Connection
) -> None:
    """RabbitMQ: up to 4.2 it checks once a minute and closes the channel, 4.3 cancels at once."""
    async with await connection.channel() as channel:
        await channel.queue_delete("q")
        await channel.queue_declare("q", durable=True, arguments={"x-queue-type": type_of_q})
    seconds = [150, 0, 500]
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        await asyncio.sleep(seconds.pop(0))
        handled.append(message.body)

    options: Any = {"order_by": lambda message: message.body, "acknowledgement_timeout": 100}
    running = asyncio.create_task(Worker(connection, "q", handle, **options).run())
    put(amqp_broker, b"1")
    await asyncio.sleep(200)
    assert handled == [b"1", b"1"]
    assert (ready(amqp_broker), unacked(amqp_broker)) == ([], 0)

    put(amqp_broker, b"2")
    with pytest.raises(aioamqp.AcknowledgementTimeout, match="raise consumer_timeout"):
        await running

    await amqp_broker.wait_idle()
    assert ready(amqp_broker) == [b"2"]


# ------------------------------------------------------------------------------ the end


async def test_drain_lets_handlers_finish_and_returns_all_other_messages(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, *(b"%d" % n for n in range(6)))
    options: Any = {"order_by": lambda message: int(message.body) % 2}
    async with Worker(connection, "q", handler, 2, **options) as worker:
        await amqp_broker.wait_for(lambda: handler.running == 2)
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(1)
        assert (worker.is_running, draining.done()) == (False, False)

        handler.gate.set()
        await draining

        await amqp_broker.wait_idle()
        assert handler.finished == [b"0", b"1"]
        assert ready(amqp_broker) == [b"2", b"3", b"4", b"5"]
        assert amqp_broker.vhost.queues["q"].consumer_count == 0
        await worker.run()  # which has nothing left to do


async def test_handlers_that_take_too_long_are_cancelled_and_their_messages_return(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, b"1", b"2")
    loop = asyncio.get_running_loop()
    async with Worker(connection, "q", handler, drain_timeout=30) as worker:
        await amqp_broker.wait_for(lambda: handler.running == 2)
        began = loop.time()
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(5)
        await worker.drain(timeout=2)  # less patience
        await draining

    assert loop.time() - began == 7
    assert sorted(handler.cancelled) == [b"1", b"2"]
    assert ready(amqp_broker) == [b"1", b"2"]
    assert "2 handlers of queue 'q' are cancelled" in caplog.text


async def test_a_handler_that_ignores_its_cancellation_does_not_hold_up_the_end(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    over = asyncio.Event()
    ended = asyncio.Event()

    async def stubborn(message: Message) -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        raise ValueError("too late")

    put(amqp_broker, b"1")
    async with Worker(connection, "q", stubborn, on_exception=Retry((1,))) as worker:
        await amqp_broker.wait_for(lambda: worker.handling)
        await worker.drain(1)

    await amqp_broker.wait_idle()
    assert ready(amqp_broker) == [b"1"]
    assert "1 handlers of queue 'q' go on although they were cancelled" in caplog.text
    over.set()
    await ended.wait()
    await asyncio.sleep(5)
    assert ready(amqp_broker) == [b"1"]  # and no copy of it
    assert connection.snapshot()["channels"] == []


async def test_an_exception_in_the_block_cancels_the_handlers_at_once(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, b"1")
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def enter() -> None:
        async with Worker(connection, "q", handler):
            await amqp_broker.wait_for(lambda: handler.started)
            raise LookupError("of the block")

    with pytest.raises(LookupError, match="of the block"):
        await enter()

    assert (loop.time() - began, handler.cancelled) == (0, [b"1"])
    assert ready(amqp_broker) == [b"1"]


async def test_a_handler_can_drain_its_worker(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    async def handle(message: Message) -> None:
        await worker.drain()

    put(amqp_broker, b"1", b"2")
    worker = Worker(connection, "q", handle, 1)

    await worker.run()

    await amqp_broker.wait_idle()
    assert ready(amqp_broker) == [b"2"]


async def test_a_handler_whose_await_was_cancelled_has_failed(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(message: Message) -> None:
        raise asyncio.CancelledError("of something else")

    put(amqp_broker, b"1")
    async with Worker(connection, "q", handle) as worker:
        await amqp_broker.wait_for(lambda: ready(amqp_broker, "dead"))
        assert worker.is_running

    assert "of something else" in caplog.text


async def cancel_itself(message: Message) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def close_itself(message: Message) -> None:
    raise GeneratorExit


@pytest.mark.parametrize("handle", [cancel_itself, close_itself])
async def test_a_handler_that_ends_its_own_task_has_failed(
    handle: Any, amqp_broker: FakeBroker, connection: Connection
) -> None:
    bodies = [b"1", b"2", b"3"]
    put(amqp_broker, *bodies)
    async with Worker(connection, "q", handle, 2) as worker:
        await amqp_broker.wait_for(lambda: len(ready(amqp_broker, "dead")) == 3, timeout=1)
        assert worker.is_running

    assert ready(amqp_broker, "dead") == bodies


@pytest.mark.parametrize("is_ordered", [False, True])
async def test_a_worker_goes_on_when_all_tasks_were_cancelled_and_the_loop_still_runs(
    is_ordered: bool,
    amqp_broker: FakeBroker,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, b"1", b"2", b"3")
    order_by = len_of_body if is_ordered else None
    async with Worker(connection, "q", handler, 2, order_by=order_by):
        await amqp_broker.wait_for(lambda: handler.running == (1 if is_ordered else 2))
        for task in asyncio.all_tasks():
            if "worker" in task.get_name():
                task.cancel()
        handler.gate.set()

        async with asyncio.timeout(10):
            await handler.wait_finished({b"1", b"2", b"3"})

    await amqp_broker.wait_idle()
    assert ready(amqp_broker) == ready(amqp_broker, "dead") == []
    assert "A task that runs handlers of queue 'q' was cancelled" in caplog.text


def len_of_body(message: Message) -> int:
    return len(message.body)


async def test_a_line_is_handled_although_its_next_task_was_cancelled_before_it_began(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    number: ContextVar[int] = ContextVar("number")
    handled: list[bytes] = []

    def handle(message: Message) -> None:
        handled.append(message.body)
        number.set(len(handled))  # so another task continues
        if message.body == b"1":
            asyncio.get_running_loop().call_soon(cancel_new_tasks, asyncio.all_tasks())

    put(amqp_broker, b"1", b"2", b"3")
    async with Worker(connection, "q", handle, 1, order_by=len_of_body):
        await amqp_broker.wait_for(lambda: len(handled) == 3, timeout=10)

    assert handled == [b"1", b"2", b"3"]


def cancel_new_tasks(old: set[asyncio.Task[Any]]) -> None:
    for task in asyncio.all_tasks() - old:
        task.cancel()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_worker_and_its_handler_is_restored(
    number: signal.Signals, amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, b"1", b"2")
    before = signal.getsignal(number)
    worker = Worker(connection, "q", handler, 1)
    running = asyncio.create_task(worker.run(signals=(signal.SIGTERM, signal.SIGINT)))
    await amqp_broker.wait_for(lambda: handler.started)

    signal.raise_signal(number)
    await amqp_broker.wait_for(lambda: not worker.is_running)
    handler.gate.set()
    await running

    assert signal.getsignal(number) == before
    await amqp_broker.wait_idle()
    assert (handler.finished, ready(amqp_broker)) == ([b"1"], [b"2"])


async def test_a_second_signal_cancels_the_handlers(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    handler = Handler()
    handler.gate.clear()
    put(amqp_broker, b"1")
    loop = asyncio.get_running_loop()
    worker = Worker(connection, "q", handler)
    running = asyncio.create_task(worker.run(signals=[signal.SIGTERM]))
    await amqp_broker.wait_for(lambda: handler.started)
    began = loop.time()

    for _ in range(2):
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(1)
    await running

    assert (loop.time() - began, handler.cancelled) == (2, [b"1"])


async def test_without_signals_no_handler_is_installed(connection: Connection) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    worker = Worker(connection, "q", Handler())
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(1)

    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before

    await worker.drain()
    await running


async def test_run_raises_what_ended_the_consumer(
    amqp_broker: FakeBroker, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    amqp_broker.faults.add(CancelConsumer(received="basic.consume"))

    with pytest.raises(aioamqp.ConsumerCancelled):
        await Worker(connection, "q", Handler()).run()

    assert "The worker of queue 'q' ends: The server has cancelled" in caplog.text


async def test_run_raises_the_error_that_closed_the_channel(
    amqp_broker: FakeBroker, connection: Connection
) -> None:
    amqp_broker.faults.add(CloseChannel(406, "PRECONDITION_FAILED", received="basic.ack"))
    put(amqp_broker, b"1")

    with pytest.raises(aioamqp.ChannelClosed, match="406"):
        await Worker(connection, "q", Handler()).run()


async def test_run_returns_when_the_program_closes_the_connection(connection: Connection) -> None:
    running = asyncio.create_task(Worker(connection, "q", Handler()).run())
    await asyncio.sleep(1)

    await connection.close()

    await running


async def test_a_queue_that_does_not_exist_is_an_error_at_the_start(
    connection: Connection,
) -> None:
    worker = Worker(connection, "nowhere", Handler())

    with pytest.raises(aioamqp.ChannelClosed, match="no queue 'nowhere'"):
        await worker.run()

    assert connection.snapshot()["channels"] == []
    with pytest.raises(RuntimeError, match="entered once"):
        await worker.run()


async def test_nothing_is_left_of_a_worker(amqp_broker: FakeBroker, connection: Connection) -> None:
    put(amqp_broker, b"1")
    handler = Handler(ValueError("x"))
    async with Worker(connection, "q", handler, on_exception=Retry((1,))):
        await amqp_broker.wait_for(lambda: handler.finished and not unacked(amqp_broker))

    assert connection.snapshot()["channels"] == []
    assert connection.topology.consumers == {}
    assert connection.protocol.pending == {}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"handler": None}, "handler: must be a function"),
    ({"handler": 5}, "handler: must be a function"),
    ({"handler": lambda: None}, "handler: is called with 1 arguments"),
    ({"concurrency": 0}, "concurrency: must be a number from 1"),
    ({"concurrency": True}, "concurrency: must be a number from 1"),
    ({"order_by": lambda: None}, "order_by: is called with 1 arguments"),
    ({"on_exception": "drop"}, "on_exception: must be one of 'reject'"),
    ({"on_exception": lambda message: "reject"}, "on_exception: is called with 2 arguments"),
    ({"max_deliveries": 0}, "max_deliveries: must be a number from 1"),
    ({"acknowledgement_timeout": 0}, "acknowledgement_timeout: must be more than 0"),
    ({"drain_timeout": -1}, "drain_timeout: must be 0 seconds or more"),
    ({"connection": "amqp://"}, "connection: must be an aioamqp.Connection, not str"),
]


@pytest.mark.parametrize(("wrong", "text"), WRONG, ids=[text for _, text in WRONG])
async def test_wrong_arguments_are_refused(
    wrong: dict[str, Any], text: str, connection: Connection
) -> None:
    right: dict[str, Any] = {"connection": connection, "queue": "q", "handler": Handler()}

    with pytest.raises(InvalidArgument) as refused:
        Worker(**right | wrong)

    assert str(refused.value).startswith(text)
