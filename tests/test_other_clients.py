"""Other AMQP clients give the same results with the fake broker and with RabbitMQ."""

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import aiormq
import amqp
import amqpstorm
import kombu
import pika
import pytest
import pytest_asyncio

import aioamqp
from aioamqp.uri import parse_url
from aioamqp_testing import FakeBroker

pytestmark = pytest.mark.asyncio


@dataclass
class Results:
    """Results of a client; errors are reply codes and texts."""

    confirmed: bool
    returned: tuple[int, str]
    received: bytes
    left: int
    not_found: tuple[int, str]
    inequivalent: tuple[int, str]


def expected(queue: str) -> Results:
    return Results(
        confirmed=True,
        returned=(312, "NO_ROUTE"),
        received=b"hello",
        left=0,
        not_found=(404, f"NOT_FOUND - no queue '{queue}-no' in vhost '/'"),
        inequivalent=(
            406,
            f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/':"
            " received 'false' but current is 'true'",
        ),
    )


# Every client declares a durable queue, binds it to a topic exchange, publishes with confirms,
# receives, acknowledges, publishes an unroutable message, causes two channel errors, deletes the queue,
# and closes the connection.


def use_pika(url: str, queue: str) -> Results:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "amq.topic", f"{queue}.#")
    channel.confirm_delivery()
    properties = pika.BasicProperties(delivery_mode=2)
    channel.basic_publish("amq.topic", f"{queue}.new", b"hello", properties, mandatory=True)
    with pytest.raises(pika.exceptions.UnroutableError) as unroutable:
        channel.basic_publish("", f"{queue}-no", b"lost", mandatory=True)
    (returned,) = unroutable.value.messages
    method, _, body = next(channel.consume(queue))
    channel.basic_ack(method.delivery_tag)
    channel.cancel()
    left = channel.queue_declare(queue, durable=True).method.message_count
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as not_found:
        channel.queue_declare(f"{queue}-no", passive=True)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as inequivalent:
        connection.channel().queue_declare(queue)
    connection.channel().queue_delete(queue)
    connection.close()
    return Results(
        confirmed=True,  # otherwise basic_publish raises
        returned=(returned.method.reply_code, returned.method.reply_text),
        received=body,
        left=left,
        not_found=(not_found.value.reply_code, not_found.value.reply_text),
        inequivalent=(inequivalent.value.reply_code, inequivalent.value.reply_text),
    )


def use_py_amqp(url: str, queue: str) -> Results:
    address = urlsplit(url)
    connection = amqp.Connection(f"{address.hostname}:{address.port}", confirm_publish=True)
    connection.connect()
    channel = connection.channel()
    channel.queue_declare(queue, durable=True, auto_delete=False)
    channel.queue_bind(queue, "amq.topic", f"{queue}.#")
    confirmed: list[int] = []
    channel.events["basic_ack"].add(lambda tag, multiple: confirmed.append(tag))
    channel.basic_publish(amqp.Message("hello"), "amq.topic", f"{queue}.new")
    returned: list[tuple[int, str]] = []
    channel.events["basic_return"].add(
        lambda exception, *_: returned.append((exception.reply_code, exception.reply_text))
    )
    channel.basic_publish(amqp.Message("lost"), "", f"{queue}-no", mandatory=True)
    received: list[Any] = []
    tag = channel.basic_consume(queue, callback=received.append)
    while not received:
        connection.drain_events()
    channel.basic_ack(received[0].delivery_tag)
    channel.basic_cancel(tag)
    left = channel.queue_declare(queue, durable=True, auto_delete=False).message_count
    with pytest.raises(amqp.NotFound) as not_found:
        channel.queue_declare(f"{queue}-no", passive=True)
    with pytest.raises(amqp.PreconditionFailed) as inequivalent:
        connection.channel().queue_declare(queue, auto_delete=False)
    connection.channel().queue_delete(queue)
    connection.close()
    return Results(
        confirmed=confirmed == [1, 2],
        returned=returned[0],
        received=received[0].body.encode(),
        left=left,
        not_found=(not_found.value.reply_code, not_found.value.reply_text),
        inequivalent=(inequivalent.value.reply_code, inequivalent.value.reply_text),
    )


def use_kombu(url: str, queue: str) -> Results:
    received: list[Any] = []
    returned: list[tuple[int, str]] = []
    with kombu.Connection(url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.channel()
        declared = kombu.Queue(queue, kombu.Exchange("amq.topic", passive=True), f"{queue}.#")
        bound = declared(channel)
        bound.declare()
        with kombu.Producer(
            channel,
            on_return=lambda exception, *_: returned.append(
                (exception.reply_code, exception.reply_text)
            ),
        ) as producer:
            producer.publish("hello", routing_key=f"{queue}.new", exchange="amq.topic")
            producer.publish("lost", routing_key=f"{queue}-no", exchange="", mandatory=True)
        with kombu.Consumer(channel, [bound], callbacks=[lambda _, m: received.append(m)]):
            while not received:
                connection.drain_events()
            received[0].ack()
        left = channel.queue_declare(queue, durable=True, auto_delete=False).message_count
        with pytest.raises(amqp.NotFound) as not_found:
            channel.queue_declare(f"{queue}-no", passive=True)
        with pytest.raises(amqp.PreconditionFailed) as inequivalent:
            connection.channel().queue_declare(queue, auto_delete=False)
        kombu.Queue(queue)(connection.channel()).delete()
    return Results(
        confirmed=True,  # otherwise publish raises
        returned=returned[0],
        received=str(received[0].payload).encode(),
        left=left,
        not_found=(not_found.value.reply_code, not_found.value.reply_text),
        inequivalent=(inequivalent.value.reply_code, inequivalent.value.reply_text),
    )


def use_amqpstorm(url: str, queue: str) -> Results:
    connection = amqpstorm.UriConnection(url)
    channel = connection.channel()
    channel.queue.declare(queue, durable=True)
    channel.queue.bind(queue, "amq.topic", f"{queue}.#")
    channel.confirm_deliveries()
    confirmed = channel.basic.publish("hello", f"{queue}.new", "amq.topic")
    with pytest.raises(amqpstorm.AMQPMessageError) as returned:
        channel.basic.publish("lost", f"{queue}-no", mandatory=True)
    received: list[Any] = []

    def take(message: Any) -> None:
        received.append(message)
        message.ack()
        channel.stop_consuming()

    channel.basic.consume(take, queue)
    channel.start_consuming()
    left = channel.queue.declare(queue, durable=True)["message_count"]
    with pytest.raises(amqpstorm.AMQPChannelError) as not_found:
        channel.queue.declare(f"{queue}-no", passive=True)
    with pytest.raises(amqpstorm.AMQPChannelError) as inequivalent:
        connection.channel().queue.declare(queue)
    connection.channel().queue.delete(queue)
    connection.close()
    code, text = returned.value.error_code, str(returned.value)
    return Results(
        confirmed=confirmed is True,
        returned=(code, "NO_ROUTE" if "NO_ROUTE" in text else text),
        received=received[0].body.encode(),
        left=left,
        not_found=(not_found.value.error_code, str(not_found.value).partition("server: ")[2]),
        inequivalent=(
            inequivalent.value.error_code,
            str(inequivalent.value).partition("server: ")[2],
        ),
    )


async def use_aio_pika(url: str, name: str) -> Results:
    connection = await aio_pika.connect_robust(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue(name, durable=True)
        exchange = await channel.get_exchange("amq.topic")
        await queue.bind(exchange, f"{name}.#")
        confirm = await exchange.publish(aio_pika.Message(b"hello"), f"{name}.new")
        with pytest.raises(aio_pika.exceptions.DeliveryError) as returned:
            await channel.default_exchange.publish(aio_pika.Message(b"lost"), f"{name}-no")
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                break
        left = (await channel.declare_queue(name, durable=True)).declaration_result.message_count
        with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity) as not_found:
            await channel.declare_queue(f"{name}-no", passive=True)
        other = await connection.channel()
        with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed) as inequivalent:
            await other.declare_queue(name)
        last = await connection.channel()
        await last.queue_delete(name)
    method = returned.value.message.delivery
    return Results(
        confirmed=isinstance(confirm, aiormq.spec.Basic.Ack),
        returned=(method.reply_code, method.reply_text),
        received=message.body,
        left=left or 0,
        not_found=(404, str(not_found.value)),
        inequivalent=(406, str(inequivalent.value)),
    )


BLOCKING = [use_pika, use_py_amqp, use_kombu, use_amqpstorm]


@pytest_asyncio.fixture
async def fake_url() -> AsyncIterator[str]:
    async with FakeBroker() as broker:
        yield await broker.listen()
        assert broker.refused == []
        assert [session for session in broker.sessions if session.is_open] == []


@pytest.mark.parametrize("use", BLOCKING)
async def test_a_blocking_client_works_with_the_fake_broker(
    use: Callable[[str, str], Results], fake_url: str
) -> None:
    assert await asyncio.to_thread(use, fake_url, "orders") == expected("orders")


async def test_aio_pika_works_with_the_fake_broker(fake_url: str) -> None:
    assert await use_aio_pika(fake_url, "orders") == expected("orders")


@pytest.mark.parametrize("use", BLOCKING)
async def test_a_blocking_client_gives_the_same_results_with_rabbitmq(
    use: Callable[[str, str], Results], rabbitmq_url: str
) -> None:
    queue = f"clients-{uuid.uuid4().hex}"

    assert await asyncio.to_thread(use, rabbitmq_url, queue) == expected(queue)


async def test_aio_pika_gives_the_same_results_with_rabbitmq(rabbitmq_url: str) -> None:
    queue = f"clients-{uuid.uuid4().hex}"

    assert await use_aio_pika(rabbitmq_url, queue) == expected(queue)


async def test_every_client_reads_the_virtual_host_of_a_url_of_the_fake_broker(
    fake_url: str,
) -> None:
    """Row U46: without a path, which Java's client, bunny and librabbitmq need, it is "/"."""
    assert urlsplit(fake_url).path == ""
    assert pika.URLParameters(fake_url).virtual_host == "/"
    assert amqpstorm.UriConnection(fake_url, lazy=True).parameters["virtual_host"] == "/"
    assert aiormq.Connection(fake_url).vhost == "/"
    assert parse_url(fake_url).virtualhost == "/"


# A Celery worker runs tasks in one process, and another process calls them. Together they use most of
# kombu: fanout and topic exchanges, expiring queues and messages, remote control by broadcast.

CELERY_PROGRAM = Path(__file__).with_name("celery_program.py")


@asynccontextmanager
async def celery_worker(environment: dict[str, str]) -> AsyncGenerator[None]:
    """Run a worker, which is ready in the block, and assert that it shuts down cleanly."""
    options = ["-A", CELERY_PROGRAM.stem, "worker", "--pool=solo", "--loglevel=INFO"]
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "celery", *options),
        cwd=CELERY_PROGRAM.parent,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert worker.stdout is not None
    log: list[str] = []

    async def read_until(text: str) -> None:
        assert worker.stdout is not None
        while not (log and text in log[-1]):
            line = await worker.stdout.readline()
            assert line, "the worker has ended:\n" + "".join(log)
            log.append(line.decode())

    try:
        await read_until(" ready.")
        yield
        worker.send_signal(signal.SIGTERM)
        await read_until("Warm shutdown")
        rest = await worker.stdout.read()
        assert await worker.wait() == 0
        assert b"Traceback" not in rest
        assert "Connection to broker lost" not in "".join(log)
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()


async def use_celery(url: str, queue: str, queue_type: str = "classic") -> Any:
    environment = os.environ | {
        "CELERY_URL": url,
        "CELERY_QUEUE": queue,
        "CELERY_QUEUE_TYPE": queue_type,
        "C_FORCE_ROOT": "1",  # allow Celery to run as root
    }
    async with celery_worker(environment):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, str(CELERY_PROGRAM)), env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await program.communicate()
        assert program.returncode == 0
    return json.loads(output)


TASKS_DONE = {"outcomes": ["5", "no", "1", "9"], "pongs": [[{"ok": "pong"}]]}


@pytest.mark.slow
async def test_a_celery_worker_runs_tasks_with_the_fake_broker(fake_url: str) -> None:
    assert await use_celery(fake_url, "tasks") == TASKS_DONE


@pytest.mark.slow
async def test_a_celery_worker_gives_the_same_results_with_rabbitmq(rabbitmq_url: str) -> None:
    assert await use_celery(rabbitmq_url, f"clients-{uuid.uuid4().hex}") == TASKS_DONE


@pytest.mark.slow
async def test_a_celery_worker_delays_tasks_with_quorum_queues_of_the_fake_broker() -> None:
    """Row U44."""
    async with FakeBroker() as broker:
        assert await use_celery(await broker.listen(), "tasks", "quorum") == TASKS_DONE
        # the retry was delayed in the queue for one second, and dead-lettered from there
        delayed = [each for each in broker.vhost.history if "celery_delayed_0" in each.queues]
        assert [each.queues for each in delayed] == [["celery_delayed_0", "tasks"]]
        assert broker.refused == []


@pytest.mark.slow
async def test_a_celery_worker_delays_tasks_with_quorum_queues_of_rabbitmq(
    rabbitmq_url: str,
) -> None:
    """Row U44."""
    queue = f"clients-{uuid.uuid4().hex}"

    assert await use_celery(rabbitmq_url, queue, "quorum") == TASKS_DONE

    async with aioamqp.from_url(rabbitmq_url) as protocol:
        channel = await protocol.channel()
        for level in range(28):
            await channel.queue_delete(f"celery_delayed_{level}")
            await channel.exchange_delete(f"celery_delayed_{level}")
        await channel.exchange_delete("celery_delayed_delivery")
        await channel.queue_delete(queue)
