"""A consumer that is started again after basic.cancel, while links are lost at any turn."""

import asyncio

import pytest

from aioamqp_testing import FakeBroker
from tests.reliability.breakable import protocol_of
from tests.reliability.test_cancelling import check_topology, is_over, scene_in, turns


@pytest.mark.parametrize(
    "order", ["delete, lose, declare", "lose, delete, declare", "declare, lose"]
)
def test_a_consumer_is_started_again_whenever_the_link_is_lost(order: str) -> None:
    """R17."""

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        _, other = await broker.connect()
        admin = await other.channel()
        await admin.queue_declare("r", durable=True)
        messages = scene.channel.consume("r", restart=True, prefetch_count=3)
        await messages.__aenter__()
        waiting = asyncio.ensure_future(anext(messages))
        protocol = protocol_of(scene.connection)

        async def lose() -> None:
            if protocol.is_open:
                protocol.break_off()

        async def delete() -> None:
            await admin.queue_delete("r")

        async def declare() -> None:
            await admin.queue_declare("r", durable=True)

        match order:
            case "delete, lose, declare":
                steps = [delete, lose, declare]
            case "lose, delete, declare":
                steps = [lose, delete, declare]
            case _:
                await delete()
                steps = [declare, lose]
        for step in steps:
            await step()
            await turns(iterations)
        broker.publish("", "r", b"back")
        async with asyncio.timeout(100):
            message = await waiting
            while not await message.ack():
                message = await anext(messages)
        assert message.body == b"back"
        await other.close()
        await check_topology(scene)
        assert broker.vhost.queues["r"].consumer_count == 1
        await messages.aclose()
        await check_topology(scene)
        assert broker.vhost.queues["r"].consumer_count == 0
        await scene.connection.close()
        return iterations < 30

    assert is_over(trial) == 30


def test_a_stream_continues_wherever_the_link_is_lost() -> None:
    """R13, R14."""

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        await scene.channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
        for number in range(8):
            broker.publish("", "s", str(number).encode())
        checkpoints: list[int] = []
        messages = scene.channel.consume(
            "s",
            prefetch_count=3,
            arguments={"x-stream-offset": "first"},
            on_checkpoint=checkpoints.append,
        )
        settled: list[bytes] = []

        async def read() -> None:
            while len(set(settled)) < 8:
                message = await anext(messages)
                if await message.ack():
                    settled.append(message.body)

        reading = asyncio.ensure_future(read())
        await turns(iterations)
        was_running = not reading.done()
        scene.lose()
        async with asyncio.timeout(100):
            await reading
        assert sorted(set(settled)) == [str(number).encode() for number in range(8)]
        assert checkpoints == sorted(checkpoints)
        await messages.aclose()
        await scene.connection.close()
        return was_running

    assert is_over(trial) > 5


def test_a_consumer_without_its_queue_survives_an_acknowledgement_timeout() -> None:
    """R17, R18."""

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        _, other = await broker.connect()
        await other.channel()  # whose number times out, too
        admin = await other.channel()
        await admin.queue_declare("r", durable=True)
        messages = scene.channel.consume("r", restart=True)
        await messages.__aenter__()
        waiting = asyncio.ensure_future(anext(messages))
        kept = scene.channel.consume("q")
        assert (await anext(kept)).body == b"1"
        scene.time_out()
        await turns(iterations)
        await admin.queue_delete("r")
        await turns(20)
        await admin.queue_declare("r", durable=True)
        broker.publish("", "r", b"back")
        async with asyncio.timeout(100):
            message = await waiting
            assert (await anext(kept)).body == b"1"
        assert message.body == b"back"
        await other.close()
        await check_topology(scene)
        await scene.connection.close()
        return iterations < 30

    assert is_over(trial) == 30
