"""How long the broker waits for its clients, where RabbitMQ can be told not to wait for so long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from amqp_codec import Command, basic, queue
from tests.conformance.conftest import door_of
from tests.conformance.raw import Door, close_channel
from tests.conformance.scenario import scenario
from tests.rabbitmq import RabbitMQNode

LIMITS = {"handshake_timeout": 500, "consumer_timeout": 300, "channel_tick_interval": 200}
"""RabbitMQ's settings, in milliseconds, while the tests run."""

DEFAULTS = {"handshake_timeout": 10000, "consumer_timeout": 1800000, "channel_tick_interval": 60000}

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def hasty(request: pytest.FixtureRequest, broker: str) -> AsyncIterator[Door]:
    """A broker that soon loses its patience."""
    async with AsyncExitStack() as stack:
        door = await door_of(broker, stack, consumer_timeout=LIMITS["consumer_timeout"] / 1000)
        if broker not in ("memory", "tcp"):
            node: RabbitMQNode = request.getfixturevalue("rabbitmq_node")
            await set_limits(node, LIMITS)
            stack.push_async_callback(set_limits, node, DEFAULTS)
        yield door
        await door.close([])


async def set_limits(node: RabbitMQNode, limits: dict[str, int]) -> None:
    """Set what RabbitMQ looks at when a connection or a channel is opened."""
    calls = [f"application:set_env(rabbit, {name}, {value})" for name, value in limits.items()]
    process = await asyncio.create_subprocess_exec(
        *("rabbitmqctl", "--quiet", "eval", f"{', '.join(calls)}."),
        env=dict(node.environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@scenario
async def test_who_does_not_get_on_in_time_is_hung_up_on(hasty: Door) -> None:
    """Rows 5, 191. RabbitMQ allows 10 seconds for logging in, and half an hour to acknowledge."""
    newcomer, consumer, getter = await hasty.dial(), await hasty.enter(1), await hasty.enter(3)
    newcomer.send(b"AMQP")
    for number, raw in ((1, consumer), (3, getter)):
        declared = await raw.ask(queue.Declare(exclusive=True), number=number)
        assert isinstance(declared, queue.DeclareOk)
        raw.send(Command(number, basic.Publish("", declared.queue), None, b"m"))
        if raw is consumer:
            await raw.ask(basic.Consume(declared.queue), number=number)
            assert isinstance(await raw.hear(), Command)
        else:
            assert isinstance(await raw.ask(basic.Get(declared.queue), number=number), Command)

    await hasty.let_pass(10)
    await hasty.let_pass(110)

    assert await newcomer.rest() == []
    assert newcomer.was_reset
    text = (
        "PRECONDITION_FAILED - delivery acknowledgement on channel {} timed out."
        " Timeout value used: 300 ms. This timeout value can be configured,"
        " see consumers doc guide to learn more"
    )
    assert await consumer.hear() == close_channel(406, text.format(1))
    assert await getter.hear() == close_channel(406, text.format(3))
