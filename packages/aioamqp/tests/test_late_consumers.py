"""Consumers that RabbitMQ 4.3 cancels because they do not acknowledge in time.

basic.cancel does not say why, and the channel stays open. Until it is closed, the server keeps the
consumer, with what is not late yet, and refuses its tag with 530.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import aioamqp
from aioamqp import AcknowledgementTimeout, Connection, ConsumerCancelled
from amqp_codec import Method, basic, channel, connection, queue
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


@pytest.fixture
def rabbitmq(server: ScriptedServer) -> ScriptedServer:
    properties = {"product": "RabbitMQ", "version": "4.3.6"}
    server.start = connection.Start(0, 9, properties, b"PLAIN", b"en_US")
    return server


@asynccontextmanager
async def recovering(server: ScriptedServer) -> AsyncIterator[Connection]:
    with aioamqp.dialing(server.dial):
        async with Connection("amqp://server/") as made:
            yield made


def is_gone(declare: queue.Declare) -> Method:
    text = f"NOT_FOUND - no queue '{declare.queue}' in vhost '/'"
    return channel.Close(404, text, queue.Declare.INDEX >> 16, queue.Declare.INDEX & 0xFFFF)


async def test_a_late_consumer_is_started_again_once(
    rabbitmq: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Row R18."""
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        cancelled: list[str] = []
        opened.add_cancellation_callback(lambda _, tag: cancelled.append(tag))
        async with opened.consume("q", consumer_tag="slow") as messages:
            rabbitmq.deliver("slow", b"first")
            first = await anext(messages)
            rabbitmq.received.clear()
            rabbitmq.send(basic.Cancel("slow", no_wait=True))
            await asyncio.sleep(1)

            names = [each.method.NAME for each in rabbitmq.received if each.channel == 1]
            assert names == ["channel.close", "channel.open", "basic.qos", "basic.consume"]
            assert await first.ack() is False  # RabbitMQ delivers it again
            rabbitmq.deliver("slow", b"first", b"second")
            second = await anext(messages)
            assert await second.ack() is True
            await anext(messages)
            assert (cancelled, opened.cancelled_consumers) == ([], set())
            assert (
                "Consumer slow is started again: The server cancelled the consumer because delivery"
                " 1 of consumer 'slow' was not acknowledged in time. Acknowledge sooner"
            ) in caplog.text

            rabbitmq.send(basic.Cancel("slow", no_wait=True))
            with pytest.raises(
                AcknowledgementTimeout, match="delivery 3 of consumer 'slow'"
            ) as end:
                await anext(messages)
            assert isinstance(end.value, ConsumerCancelled)
            assert (end.value.consumer_tag, end.value.delivery_tag) == ("slow", 3)
            assert (end.value.code, end.value.ended, end.value.is_retryable) == (0, None, True)
        await wait_idle()
        assert cancelled == ["slow"]
        assert str(made.topology) == "nothing"
        assert opened.is_open
        await opened.basic_consume(print, "q", "slow")  # RabbitMQ has forgotten the tag
        names = [each.method.NAME for each in rabbitmq.received if each.channel == 1]
        assert names[-4:] == ["channel.close", "channel.open", "basic.qos", "basic.consume"]


async def test_what_the_program_has_not_been_given_is_dropped(rabbitmq: ScriptedServer) -> None:
    """RabbitMQ queues it again."""
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        async with opened.consume("q", consumer_tag="slow") as messages:
            rabbitmq.deliver("slow", b"first", b"second", b"third")
            await anext(messages)
            rabbitmq.send(basic.Cancel("slow", no_wait=True))
            await asyncio.sleep(1)

            rabbitmq.deliver("slow", b"again")
            message = await anext(messages)
            assert (message.body, message.envelope.delivery_tag) == (b"again", 4)


async def test_other_consumers_of_the_channel_are_started_again_with_it(
    rabbitmq: ScriptedServer,
) -> None:
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        slow = opened.consume("q", consumer_tag="slow")
        quick = opened.consume("q", consumer_tag="quick", prefetch_count=7)
        async with slow as messages, quick as others:
            for attempt in range(2):
                rabbitmq.deliver("slow", b"first")
                await anext(messages)
                rabbitmq.received.clear()
                rabbitmq.send(basic.Cancel("slow", no_wait=True))
                await asyncio.sleep(1)

                started = [each.consumer_tag for each in rabbitmq.methods(basic.Consume)]
                assert started == [["slow", "quick"], ["quick"]][attempt]
                rabbitmq.deliver("quick", b"to the other")
                assert (await anext(others)).body == b"to the other"
            with pytest.raises(AcknowledgementTimeout):
                await anext(messages)


async def test_a_consumer_is_cancelled_for_each_late_delivery_and_reported_once(
    rabbitmq: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await rabbitmq.open_channel()
    cancelled: list[str] = []
    opened.add_cancellation_callback(lambda _, tag: cancelled.append(tag))
    await opened.basic_consume(print, "q", "slow")
    rabbitmq.send(*[basic.Cancel("slow", no_wait=True)] * 3)
    await wait_idle()

    assert cancelled == ["slow"]
    assert caplog.text.count("has cancelled consumer slow") == 1
    await opened.protocol.close()


async def test_a_late_consumer_with_a_callback_is_started_again_and_then_ends(
    rabbitmq: ScriptedServer,
) -> None:
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        bodies: list[bytes] = []
        cancelled: list[str] = []
        opened.add_cancellation_callback(lambda _, tag: cancelled.append(tag))

        async def callback(_: Any, body: bytes, *_rest: Any) -> None:
            bodies.append(body)

        await opened.basic_consume(callback, "q", "slow")
        for number in (1, 2):
            rabbitmq.deliver("slow", b"%d" % number)
            await wait_idle()
            rabbitmq.send(basic.Cancel("slow", no_wait=True))
            await asyncio.sleep(1)

        assert bodies == [b"1", b"2"]
        assert cancelled == ["slow"]
        assert opened.cancelled_consumers == {"slow"}


async def test_a_consumer_whose_queue_is_deleted_handles_what_it_has(
    rabbitmq: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        rabbitmq.answers[queue.Declare] = is_gone
        async with opened.consume("q", consumer_tag="tag") as messages:
            rabbitmq.deliver("tag", b"first", b"second")
            assert (await anext(messages)).body == b"first"
            rabbitmq.send(basic.Cancel("tag", no_wait=True))
            await asyncio.sleep(1)

            assert (await anext(messages)).body == b"second"
            with pytest.raises(ConsumerCancelled) as end:
                await anext(messages)
        assert not isinstance(end.value, AcknowledgementTimeout)
        assert "its queue was deleted, or the node that had it is down" in caplog.text
        assert opened.is_open
        assert str(made.topology) == "nothing"


async def test_a_consumer_that_waits_for_its_queue_is_started_again_when_that_is_back(
    rabbitmq: ScriptedServer,
) -> None:
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        rabbitmq.answers[queue.Declare] = is_gone
        async with opened.consume("q", consumer_tag="tag", restart=True) as messages:
            rabbitmq.deliver("tag", b"first")
            await anext(messages)
            rabbitmq.send(basic.Cancel("tag", no_wait=True))
            await asyncio.sleep(10)
            assert len(rabbitmq.methods(basic.Consume)) == 1

            rabbitmq.answers[queue.Declare] = lambda m: queue.DeclareOk(m.queue, 0, 0)
            await asyncio.sleep(60)
            rabbitmq.deliver("tag", b"back", first=2)
            assert (await anext(messages)).body == b"back"


@pytest.mark.parametrize("unanswered", [queue.Declare, channel.Close])
@pytest.mark.parametrize("seconds", [0, 0.1, 1])
async def test_a_connection_that_is_lost_meanwhile_restores_the_consumer(
    rabbitmq: ScriptedServer, seconds: float, unanswered: type[Method]
) -> None:
    """Before the queue is looked for, before the answer, and before channel.close-ok."""
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        async with opened.consume("q", consumer_tag="slow") as messages:
            rabbitmq.deliver("slow", b"first", b"dropped")
            await anext(messages)
            answers = dict(rabbitmq.answers)
            rabbitmq.mute(unanswered)
            rabbitmq.send(basic.Cancel("slow", no_wait=True))
            await asyncio.sleep(seconds)
            rabbitmq.answers.update(answers)
            rabbitmq.transport.end(ConnectionResetError(104, "reset"))
            await asyncio.sleep(10)
            assert made.state is aioamqp.ConnectionState.OPEN

            rabbitmq.deliver("slow", b"first")
            assert (await anext(messages)).body == b"first"


async def test_the_program_may_leave_a_late_consumer(rabbitmq: ScriptedServer) -> None:
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        async with opened.consume("q", consumer_tag="slow") as messages:
            rabbitmq.deliver("slow", b"first")
            await anext(messages)
            rabbitmq.mute(queue.Declare)
            rabbitmq.send(basic.Cancel("slow", no_wait=True))
            await asyncio.sleep(1)
        rabbitmq.send(queue.DeclareOk("q", 0, 0), channel=2)
        await wait_idle()

        assert len(rabbitmq.methods(basic.Consume)) == 1
        assert str(made.topology) == "nothing"
        assert opened.is_open


async def test_the_program_may_close_the_channel_while_it_is_opened_again(
    rabbitmq: ScriptedServer,
) -> None:
    async with recovering(rabbitmq) as made:
        opened = await made.channel()
        async with opened.consume("q", consumer_tag="slow") as messages:
            rabbitmq.deliver("slow", b"first")
            await anext(messages)
            rabbitmq.mute(channel.Close)
            rabbitmq.send(basic.Cancel("slow", no_wait=True))
            await asyncio.sleep(1)
            await opened.close()
        rabbitmq.send(channel.CloseOk())
        await wait_idle()

        assert not opened.is_open
        assert (await made.channel()).channel_id == 1


async def test_without_recovery_the_error_names_the_timeout_as_a_possible_reason(
    rabbitmq: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    opened = await rabbitmq.open_channel()
    async with opened.consume("q", consumer_tag="tag") as messages:
        rabbitmq.deliver("tag", b"first")
        message = await anext(messages)
        rabbitmq.send(basic.Cancel("tag", no_wait=True))
        with pytest.raises(ConsumerCancelled, match="within the server's consumer_timeout"):
            await anext(messages)
    assert "within the server's consumer_timeout" in caplog.text
    assert "on another channel, or with another consumer tag" in caplog.text
    await message.ack()
    await opened.protocol.close()


async def test_a_consumer_that_does_not_acknowledge_cannot_be_late(
    rabbitmq: ScriptedServer,
) -> None:
    opened = await rabbitmq.open_channel()
    async with opened.consume("q", consumer_tag="tag", no_ack=True) as messages:
        rabbitmq.send(basic.Cancel("tag", no_wait=True))
        with pytest.raises(ConsumerCancelled) as end:
            await anext(messages)

    assert "consumer_timeout" not in str(end.value)
    await opened.protocol.close()
