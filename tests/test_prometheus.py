"""The metrics of `aioamqp.prometheus`, as a server of Prometheus scrapes them."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

import aioamqp
from aioamqp.prometheus import PrometheusInstrument
from aioamqp_testing import FakeBroker

REGISTRY = CollectorRegistry()


@pytest.fixture(scope="module")
def metrics() -> PrometheusInstrument:
    return PrometheusInstrument(REGISTRY, max_names=3)


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """The URL of the page that is scraped."""
    server, thread = start_http_server(0, "127.0.0.1", REGISTRY)
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def empty(metrics: PrometheusInstrument) -> None:
    """Begin without time series of other tests."""
    for each in vars(metrics).values():
        clear = getattr(each, "clear", None)
        if clear is not None:
            clear()


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker() as running:
        yield running


class Scraped:
    """The samples of a page."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (sample.name, frozenset(sample.labels.values()), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def __call__(self, name: str, *labels: str) -> float:
        """Return the value of the only sample with these labels, besides the server; else 0."""
        values = [
            value
            for found, having, value in self._samples
            if found == f"aioamqp_{name}" and {"localhost:5672", *labels} == having
        ]
        assert len(values) <= 1
        return values[0] if values else 0.0

    def labels(self, name: str) -> set[str]:
        return {
            label
            for found, having, _ in self._samples
            if found == f"aioamqp_{name}"
            for label in having
        }


async def scrape(url: str) -> Scraped:
    def read() -> str:
        with urllib.request.urlopen(url) as response:
            return str(response.read().decode())

    return Scraped(await asyncio.to_thread(read))


@pytest.mark.asyncio
async def test_messages_and_their_handlers_are_counted(
    metrics: PrometheusInstrument, page: str, broker: FakeBroker
) -> None:
    handled = asyncio.Event()

    async def on_message(
        channel: aioamqp.Channel, body: bytes, envelope: aioamqp.Envelope, _: aioamqp.Properties
    ) -> None:
        if body == b"bad":
            await channel.basic_reject(envelope.delivery_tag)
            handled.set()
            raise ValueError(body)
        await channel.basic_client_ack(envelope.delivery_tag)

    _, protocol = await broker.connect(instrument=metrics)
    channel = await protocol.channel()
    await channel.queue_declare("orders", durable=True)
    await channel.basic_consume(on_message, "orders")
    await channel.confirm_select()
    await channel.publish(b"good", "", "orders")
    await channel.publish(b"bad", "", "orders")
    with pytest.raises(aioamqp.PublishReturned):
        await channel.publish(b"", "", "nowhere", mandatory=True)
    await handled.wait()
    await broker.wait_idle()
    scraped = await scrape(page)

    assert scraped("connections") == scraped("connections_opened_total") == 1
    assert scraped("published_total", "") == 3
    assert scraped("published_bytes_total", "") == 7
    assert scraped("confirms_total", "", "confirmed") == 2
    assert scraped("confirms_total", "", "returned") == 1
    assert scraped("confirm_seconds_count") == 3
    assert scraped("returned_total", "") == 1
    assert scraped("delivered_total", "orders") == 2
    assert scraped("delivered_bytes_total", "orders") == 7
    assert scraped("handler_seconds_count", "orders", "returned") == 1
    assert scraped("handler_seconds_count", "orders", "failed") == 1
    assert scraped("handling", "orders") == 0
    assert scraped("settled_total", "acked") == scraped("settled_total", "rejected") == 1
    assert scraped("settle_seconds_count") == 2
    assert scraped("waiting", "reply") == 0
    assert scraped("wait_seconds_count", "reply") == 4

    await protocol.close()
    assert (await scrape(page))("connections") == 0


@pytest.mark.asyncio
async def test_losses_blocked_connections_and_closed_channels_are_counted(
    metrics: PrometheusInstrument, page: str, broker: FakeBroker
) -> None:
    _, protocol = await broker.connect(instrument=metrics)
    channel, other = await protocol.channel(), await protocol.channel()
    with pytest.raises(aioamqp.ChannelClosed):
        await channel.queue_declare("missing", passive=True)
    broker.block("low on memory")
    await other.basic_publish(b"", "", "q")
    await protocol.blocked.wait()
    waiting = asyncio.create_task(other.basic_publish(b"", "", "q"))
    await broker.wait_idle()
    scraped = await scrape(page)
    assert scraped("connections_blocked") == 1
    assert scraped("waiting", "gate") == 1
    assert scraped("channels_closed_total", "404") == 1

    broker.close_all_connections("maintenance")
    await asyncio.wait([waiting])
    assert isinstance(waiting.exception(), aioamqp.PublishNotSent)
    await protocol.wait_closed()
    scraped = await scrape(page)

    assert scraped("connections") == scraped("connections_blocked") == 0
    assert scraped("waiting", "gate") == 0
    assert scraped("connections_lost_total") == 1
    assert scraped("not_published_total", "") == 1


@pytest.mark.asyncio
async def test_a_recovery_is_timed(
    metrics: PrometheusInstrument, page: str, broker: FakeBroker
) -> None:
    backoff = aioamqp.Backoff(initial=0, maximum=0)
    with aioamqp.dialing(broker.dial, everywhere=True):
        async with aioamqp.Connection(
            "amqp://localhost/", reconnect=backoff, instrument=metrics
        ) as connection:
            changes = connection.state_changes()
            broker.close_all_connections("maintenance")
            while (await anext(changes)).new is not aioamqp.ConnectionState.OPEN:
                pass

    servers = (await scrape(page)).labels("recovery_seconds_count")
    assert len(servers) == 1


@pytest.mark.asyncio
async def test_labels_are_bounded_and_have_no_routing_keys(
    metrics: PrometheusInstrument, page: str, broker: FakeBroker
) -> None:
    _, protocol = await broker.connect(instrument=metrics)
    channel = await protocol.channel()
    for number in range(5):
        await channel.exchange_declare(f"exchange {number}", "fanout")
        await channel.basic_publish(b"", f"exchange {number}", f"key {number}")
    await protocol.close()

    labels = (await scrape(page)).labels("published_total") - {"localhost:5672"}

    assert "(other)" in labels
    assert len(labels) <= 4
    assert not any("key" in label for label in labels)
