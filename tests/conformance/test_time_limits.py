"""Timeouts of the broker, with shorter limits than RabbitMQ's defaults."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from amqp_codec import Command, basic, queue
from tests.conformance.conftest import endpoint_of
from tests.conformance.raw_client import Endpoint, close_channel
from tests.conformance.scenario import FAKES, ByVersion, scenario
from tests.rabbitmq import RabbitMQNode, evaluate

LIMITS = {"handshake_timeout": 500, "consumer_timeout": 300, "channel_tick_interval": 200}
"""Settings of RabbitMQ during the tests, in milliseconds."""

DEFAULTS = {"handshake_timeout": 10000, "consumer_timeout": 1800000, "channel_tick_interval": 60000}

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def impatient_endpoint(
    request: pytest.FixtureRequest, broker: str
) -> AsyncIterator[Endpoint]:
    """The endpoint of a broker with short timeouts."""
    async with AsyncExitStack() as stack:
        endpoint = await endpoint_of(
            broker, stack, consumer_timeout=LIMITS["consumer_timeout"] / 1000
        )
        if broker not in FAKES:
            node: RabbitMQNode = request.getfixturevalue("rabbitmq_node")
            await set_limits(node, LIMITS)
            stack.push_async_callback(set_limits, node, DEFAULTS)
        yield endpoint
        await endpoint.close([])


async def set_limits(node: RabbitMQNode, limits: dict[str, int]) -> None:
    """Change settings that RabbitMQ reads when a connection or a channel is opened."""
    calls = [f"application:set_env(rabbit, {name}, {value})" for name, value in limits.items()]
    await evaluate(node, f"{', '.join(calls)}.")


@scenario
async def test_handshake_and_acknowledgement_timeouts_close_the_connection_or_channel(
    impatient_endpoint: Endpoint, by_version: ByVersion
) -> None:
    """Rows 5, 191. RabbitMQ's defaults are 10 seconds for the handshake and 30 minutes for an ack.

    Classic queues of RabbitMQ 4.3 have no timeout for an ack.
    """
    newcomer, consumer, getter = (
        await impatient_endpoint.connect(),
        await impatient_endpoint.open_connection(1),
        await impatient_endpoint.open_connection(3),
    )
    newcomer.send(b"AMQP")
    for number, raw in ((1, consumer), (3, getter)):
        declared = await raw.request(queue.Declare(exclusive=True), channel=number)
        assert isinstance(declared, queue.DeclareOk)
        raw.send(Command(number, basic.Publish("", declared.queue), None, b"m"))
        if raw is consumer:
            await raw.request(basic.Consume(declared.queue), channel=number)
            assert isinstance(await raw.next_command(), Command)
        else:
            assert isinstance(await raw.request(basic.Get(declared.queue), channel=number), Command)

    await impatient_endpoint.advance_time(10)
    await impatient_endpoint.advance_time(110)

    assert await newcomer.commands_until_eof() == []
    assert newcomer.was_reset
    if by_version({"3.10": False, "4.3": True}):
        for number, raw in ((1, consumer), (3, getter)):
            assert await raw.request(basic.Qos(0, 1), channel=number) == basic.QosOk()
        return
    text = (
        "PRECONDITION_FAILED - delivery acknowledgement on channel {} timed out."
        " Timeout value used: 300 ms. This timeout value can be configured,"
        " see consumers doc guide to learn more"
    )
    assert await consumer.next_command() == close_channel(406, text.format(1))
    assert await getter.next_command() == close_channel(406, text.format(3))
