"""The spans of `aioamqp.opentelemetry`, in the memory exporter of OpenTelemetry's SDK."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import aioamqp
from aioamqp.opentelemetry import OpenTelemetryInstrument
from aioamqp_testing import FakeBroker

pytestmark = pytest.mark.asyncio


class Traces:
    """Spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")
        self.instrument = OpenTelemetryInstrument(self.provider)

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.finished]

    def one(self, name: str) -> ReadableSpan:
        (span,) = [each for each in self.finished if each.name == name]
        return span


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker() as running:
        with aioamqp.dialing(running.dial, everywhere=True):
            yield running


@pytest.fixture(autouse=True)
def _no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    """OpenTelemetry only logs when a context is left in another task."""
    yield
    assert [each for each in caplog.records if each.name.startswith("opentelemetry")] == []


async def open_channel(broker: FakeBroker, traces: Traces) -> aioamqp.Channel:
    _, protocol = await broker.connect(instrument=traces.instrument)
    channel = await protocol.channel()
    await channel.queue_declare("orders", durable=True)
    return channel


def current_span_id() -> int:
    number: int = trace.get_current_span().get_span_context().span_id
    return number


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    number: int = span.context.span_id
    return number


async def test_publishing_and_processing_belong_to_the_trace_of_the_program(
    broker: FakeBroker, traces: Traces
) -> None:
    channel = await open_channel(broker, traces)
    seen: asyncio.Future[tuple[int, object]] = asyncio.get_running_loop().create_future()

    async def on_message(*_: object) -> None:
        await asyncio.sleep(0)
        seen.set_result((current_span_id(), baggage.get_baggage("tenant")))

    await channel.basic_consume(on_message, "orders")
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    with traces.tracer.start_as_current_span("program"):
        await channel.publish(b"body", "amq.direct", "nowhere")
        await channel.publish(b"body", "", "orders")
    context.detach(token)
    current, tenant = await seen
    await broker.wait_idle()
    await channel.protocol.close()

    program, publish = traces.one("program"), traces.one("publish orders")
    process = traces.one("process orders")
    assert publish.parent is not None
    assert publish.parent.span_id == span_id(program)
    assert process.parent is not None
    assert process.parent.span_id == span_id(publish)
    assert process.parent.is_remote
    assert [link.context.span_id for link in process.links] == [span_id(publish)]
    assert current == span_id(process)
    assert tenant == "acme"


async def test_the_attributes_are_those_of_the_semantic_conventions(
    broker: FakeBroker, traces: Traces
) -> None:
    channel = await open_channel(broker, traces)
    await channel.exchange_declare("shop", "topic")
    await channel.queue_bind("orders", "shop", "order.*")
    await channel.basic_consume(lambda *_: None, "orders", no_ack=True)
    properties = {"message_id": "id", "correlation_id": "conversation"}

    await channel.publish(b"body", "shop", "order.new", properties)
    await broker.wait_idle()
    await channel.protocol.close()

    publish, process = traces.one("publish shop"), traces.one("process orders")
    common = {
        "messaging.system": "rabbitmq",
        "messaging.message.body.size": 4,
        "messaging.message.id": "id",
        "messaging.message.conversation_id": "conversation",
        "messaging.rabbitmq.destination.routing_key": "order.new",
        "server.address": "localhost",
        "server.port": 5672,
    }
    assert publish.kind is SpanKind.PRODUCER
    assert dict(publish.attributes or {}) == common | {
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "shop:order.new",
    }
    assert process.kind is SpanKind.CONSUMER
    assert dict(process.attributes or {}) == common | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "shop:order.new:orders",
        "messaging.rabbitmq.message.delivery_tag": 1,
    }


async def test_the_headers_of_the_caller_stay_as_they_are(
    broker: FakeBroker, traces: Traces
) -> None:
    channel = await open_channel(broker, traces)
    headers: dict[str, Any] = {"a": 1}
    properties = aioamqp.Properties(headers=headers)

    await channel.publish(b"body", "", "orders", properties)
    await channel.publisher("", routing_key="orders", properties={"headers": headers}).publish(b"")
    messages = [await channel.basic_get("orders", no_ack=True) for _ in range(2)]
    await channel.protocol.close()

    assert headers == properties.headers == {"a": 1}
    for message in messages:
        assert set(message["properties"].headers) == {"a", "traceparent"}
    assert traces.names.count("receive orders") == 2


async def test_a_span_ends_with_the_publisher_confirm_and_fails_without(
    broker: FakeBroker, traces: Traces
) -> None:
    channel = await open_channel(broker, traces)
    await channel.confirm_select()

    await channel.publish(b"", "", "orders")
    with pytest.raises(aioamqp.PublishReturned):
        await channel.publish(b"", "", "nowhere", mandatory=True)
    with pytest.raises(aioamqp.InvalidArgument):
        await channel.publish(b"", "", "x" * 256)
    await channel.protocol.close()

    assert traces.one("publish orders").status.status_code is StatusCode.UNSET
    returned = traces.one("publish nowhere")
    assert returned.status.status_code is StatusCode.ERROR
    assert (returned.attributes or {})["error.type"] == "returned"
    invalid = traces.one("publish " + "x" * 256)
    assert (invalid.attributes or {})["error.type"] == "InvalidArgument"


async def test_a_handler_that_fails_fails_its_span(
    broker: FakeBroker, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await open_channel(broker, traces)

    async def on_message(*_: object) -> None:
        raise ValueError("no such product")

    await channel.basic_consume(on_message, "orders", no_ack=True)
    await channel.publish(b"", "", "orders")
    await broker.wait_idle()
    await channel.protocol.close()

    process = traces.one("process orders")
    assert process.status.status_code is StatusCode.ERROR
    assert process.status.description == "no such product"
    assert (process.attributes or {})["error.type"] == "ValueError"
    assert [event.name for event in process.events] == ["exception"]
    assert "no such product" in caplog.text


async def test_callbacks_do_not_inherit_the_span_of_the_consumer_or_of_each_other(
    broker: FakeBroker, traces: Traces
) -> None:
    channel = await open_channel(broker, traces)
    untraced = await (await broker.connect())[1].channel()
    seen: list[int] = []
    with traces.tracer.start_as_current_span("start"):
        await channel.basic_consume(
            lambda *_: seen.append(current_span_id()), "orders", no_ack=True
        )

    for _ in range(2):
        await untraced.publish(b"", "", "orders")
    await broker.wait_idle()
    await untraced.protocol.close()
    await channel.protocol.close()

    assert traces.names.count("process orders") == len(set(seen)) == 2
    for span in traces.finished:
        assert span.parent is None


async def test_the_span_is_the_current_one_in_the_body_of_a_loop(
    broker: FakeBroker, traces: Traces
) -> None:
    channel = await open_channel(broker, traces)
    await channel.publish(b"1", "", "orders")
    await channel.publish(b"2", "", "orders")
    seen: list[int] = []

    with traces.tracer.start_as_current_span("outside") as outside:
        async with channel.consume("orders") as messages:
            async for message in messages:
                seen.append(current_span_id())
                await asyncio.sleep(0)
                await message.ack()
                if len(seen) == 2:
                    break
        assert trace.get_current_span() is outside
    await channel.protocol.close()

    spans = [each for each in traces.finished if "process" in each.name]
    assert [span_id(each) for each in spans] == seen
    publishes = [each for each in traces.finished if "publish" in each.name]
    assert [each.parent and each.parent.span_id for each in spans] == [
        span_id(each) for each in publishes
    ]


async def test_a_loop_that_is_left_without_a_block_leaves_the_span_too(
    broker: FakeBroker, traces: Traces
) -> None:
    channel = await open_channel(broker, traces)
    await channel.publish(b"1", "", "orders")

    async for _ in channel.consume("orders"):
        break

    assert not trace.get_current_span().get_span_context().is_valid
    assert "process orders" in traces.names
    await broker.wait_idle()
    await channel.protocol.close()


async def test_tasks_that_share_an_iterator_have_spans_of_their_own(
    broker: FakeBroker, traces: Traces
) -> None:
    channel = await open_channel(broker, traces)
    for _ in range(4):
        await channel.publish(b"", "", "orders")
    seen: list[tuple[int, int]] = []

    async def work(messages: aioamqp.Messages) -> None:
        async for message in messages:
            before = current_span_id()
            await broker.wait_idle()
            seen.append((before, current_span_id()))
            await message.ack()
            if len(seen) == 4:
                await messages.aclose()

    async with channel.consume("orders", prefetch_count=4) as messages:
        await asyncio.gather(work(messages), work(messages))
    await channel.protocol.close()

    assert all(before == after for before, after in seen)
    assert len({before for before, _ in seen}) == traces.names.count("process orders") == 4


@pytest.mark.parametrize("is_continued", [False, True])
async def test_each_wait_for_a_message_may_be_a_task_of_its_own(
    broker: FakeBroker, traces: Traces, is_continued: bool
) -> None:
    channel = await open_channel(broker, traces)
    for _ in range(3):
        await channel.publish(b"", "", "orders")

    async with channel.consume("orders", no_ack=True) as messages:
        if is_continued:
            await anext(messages)
        for _ in range(2):
            await asyncio.create_task(messages.__anext__())
    await channel.protocol.close()

    assert traces.names.count("process orders") == 2 + is_continued


async def test_what_a_worker_publishes_belongs_to_the_trace_of_its_message(
    broker: FakeBroker, traces: Traces
) -> None:
    async with aioamqp.Connection("amqp://localhost/", instrument=traces.instrument) as connection:
        channel = await connection.channel()
        await channel.queue_declare("orders", durable=True)
        done = asyncio.Event()

        async def handle(message: aioamqp.Message) -> None:
            await channel.publish(b"", "amq.fanout", "done")
            done.set()

        async with aioamqp.Worker(connection, "orders", handle):
            await channel.publish(b"", "", "orders")
            await done.wait()

    process, publish = traces.one("process orders"), traces.one("publish amq.fanout")
    assert publish.parent is not None
    assert publish.parent.span_id == span_id(process)


async def test_a_remote_call_is_one_trace(broker: FakeBroker, traces: Traces) -> None:
    async with aioamqp.Connection("amqp://localhost/", instrument=traces.instrument) as connection:
        channel = await connection.channel()
        await channel.queue_declare("double", durable=True)

        async def double(request: aioamqp.Message) -> bytes:
            return request.body * 2

        async with (
            aioamqp.RpcServer(connection, "double", double),
            aioamqp.RpcClient(connection) as client,
        ):
            with traces.tracer.start_as_current_span("call"):
                assert await client.call("double", b"2", timeout=5) == b"22"

    finished = traces.finished
    assert len([each for each in finished if each.name.startswith("publish")]) == 2
    trace_ids = {each.context.trace_id for each in finished if each.context is not None}
    assert len(trace_ids) == 1
    assert "process double" in traces.names


async def test_a_message_keeps_its_trace_through_rabbitmq(
    rabbitmq_url: str, traces: Traces
) -> None:
    async with aioamqp.Connection(rabbitmq_url, instrument=traces.instrument) as connection:
        channel = await connection.channel()
        queue = (await channel.queue_declare(exclusive=True))["queue"]
        await channel.confirm_select()
        await channel.publish(b"body", "", queue, {"headers": {"a": 1}})
        with pytest.raises(aioamqp.PublishReturned) as raised:
            await channel.publish(b"body", "amq.direct", "nowhere", mandatory=True)
        async with channel.consume(queue) as messages:
            message = await anext(messages)
            await message.ack()

    publish, process = traces.one(f"publish {queue}"), traces.one(f"process {queue}")
    assert process.parent is not None
    assert process.parent.span_id == span_id(publish)
    assert set(message.properties.headers or {}) == {"a", "traceparent"}
    assert set(raised.value.properties.headers or {}) == {"traceparent"}
    assert (traces.one("publish amq.direct").attributes or {})["error.type"] == "returned"
