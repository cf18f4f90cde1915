"""Direct reply-to as a program uses it, with the test in the place of the server."""

import asyncio

import pytest

from aioamqp_testing import FakeBroker

pytestmark = pytest.mark.asyncio


async def test_a_program_asks_and_the_test_answers_without_a_queue_for_it() -> None:
    async with FakeBroker() as broker:
        broker.rpc_reply("double", lambda request: str(2 * int(request.body)))
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        answers: asyncio.Queue[tuple[bytes, str | None]] = asyncio.Queue()

        async def callback(_: object, body: bytes, __: object, properties: object) -> None:
            answers.put_nowait((body, getattr(properties, "correlation_id", None)))

        await channel.basic_consume(callback, "amq.rabbitmq.reply-to", no_ack=True)
        properties = {"reply_to": "amq.rabbitmq.reply-to", "correlation_id": "1"}
        await channel.basic_publish(b"21", "", "double", properties=properties)

        assert await answers.get() == (b"42", "1")
        assert list(broker.vhost.queues) == ["double"]
        await protocol.close()
