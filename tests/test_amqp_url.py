"""The fixture amqp_url of the pytest plugin, with other clients than aioamqp."""

import pytest

TESTS = """
import asyncio
import aio_pika
import aioamqp
import kombu
import pika
import pytest


def send_with_pika(url, body):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("orders", durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", "orders", body)


def fetch_with_pika(url):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        return next(channel.consume("orders", auto_ack=True))[2]


@pytest.mark.asyncio
async def test_a_blocking_client_in_the_thread_of_the_test(amqp_broker, amqp_url, amqp_channel):
    send_with_pika(amqp_url, b"one")

    amqp_broker.assert_published("", "orders", body="one")
    assert (await amqp_channel.basic_get("orders", no_ack=True))["message"] == b"one"
    await amqp_channel.confirm_select()
    await amqp_channel.publish(b"two", "", "orders")
    assert fetch_with_pika(amqp_url) == b"two"
    await amqp_broker.restart()
    send_with_pika(amqp_url, b"three")


@pytest.mark.asyncio
async def test_a_consumer_of_aioamqp_receives_what_a_blocking_client_publishes(amqp_url):
    async with aioamqp.from_url(amqp_url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("orders", durable=True)
        received = asyncio.Queue()

        async def callback(channel, body, envelope, properties):
            received.put_nowait(body)

        await channel.basic_consume(callback, "orders", no_ack=True)
        send_with_pika(amqp_url, b"one")
        assert await received.get() == b"one"


@pytest.mark.asyncio
async def test_aio_pika_in_the_loop_of_the_test(amqp_broker, amqp_url):
    connection = await aio_pika.connect_robust(amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue("orders", durable=True)
        await channel.default_exchange.publish(aio_pika.Message(b"one"), "orders")
    amqp_broker.assert_published("", "orders", body="one")


@pytest.mark.asyncio
async def test_aioamqp_itself(request, amqp_url):
    transport, protocol = await aioamqp.from_url(amqp_url)
    is_in_memory = request.config.getoption("amqp_backend") == "fake"
    assert (transport.get_extra_info("socket") is None) == is_in_memory
    await protocol.close()


def test_a_test_without_a_loop(amqp_broker, amqp_url):
    with kombu.Connection(amqp_url) as connection:
        queue = connection.SimpleQueue("orders")
        queue.put("one")
        assert queue.get(timeout=5).payload == "one"
        queue.close()
    amqp_broker.assert_published("orders", count=1)


def test_a_client_that_is_left_open(amqp_url):
    test_a_client_that_is_left_open.connection = pika.BlockingConnection(pika.URLParameters(amqp_url))


def test_is_closed_after_its_test():
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
        test_a_client_that_is_left_open.connection.channel()
"""


@pytest.mark.parametrize("backend", ["fake", "tcp"])
def test_the_url_of_the_pytest_plugin_is_for_every_client(
    pytester: pytest.Pytester, backend: str
) -> None:
    """Row U18."""
    pytester.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\ntimeout = 20\nfilterwarnings = error\n"
    )
    pytester.makepyfile(test_it=TESTS)

    pytester.runpytest(f"--amqp-backend={backend}").assert_outcomes(passed=7)
