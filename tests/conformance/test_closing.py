"""Closing of connections, by the client and by the broker, and what is requeued then."""

import pytest

from amqp_codec import HEARTBEAT, Command, basic, channel, connection, queue
from tests.conformance.client import publish
from tests.conformance.raw_client import Endpoint, close, close_channel
from tests.conformance.scenario import NO_SUCH_QUEUE, scenario

SECOND_OPEN = close(504, "CHANNEL_ERROR - second 'channel.open' seen", channel.Open)


@scenario
async def test_the_broker_closes_the_transport_after_close_ok(endpoint: Endpoint) -> None:
    """Row 47."""
    raw = await endpoint.open_connection(1)
    assert await raw.request(channel.Open()) == SECOND_OPEN

    raw.send(connection.CloseOk(), channel=0)

    assert await raw.commands_until_eof() == []


@scenario
async def test_the_broker_ignores_everything_but_a_close_after_its_own_close(
    endpoint: Endpoint,
) -> None:
    """Row 48."""
    raw = await endpoint.open_connection(1)
    assert await raw.request(channel.Open()) == SECOND_OPEN

    raw.send(queue.Declare(exclusive=True))
    raw.send(connection.UpdateSecret(b"guest", "why"), channel=0)
    raw.send_frame(9, 1, b"abc")
    raw.send(connection.Close(200, "bye"), channel=0)

    assert await raw.commands_until_eof() == [connection.CloseOk()]


@pytest.mark.slow
@scenario
async def test_the_broker_closes_the_transport_without_close_ok_after_one_heartbeat_interval(
    endpoint: Endpoint,
) -> None:
    """Row 46, with a heartbeat interval shorter than 30 seconds."""
    raw = await endpoint.open_connection(1, heartbeat=1)
    assert await raw.request(channel.Open()) == SECOND_OPEN

    await endpoint.advance_time(1)

    assert set(map(type, await raw.commands_until_eof())) <= {type(HEARTBEAT)}


@scenario
async def test_methods_sent_after_connection_close_are_ignored(endpoint: Endpoint) -> None:
    """Row 49. The client may use any reply code and text."""
    raw = await endpoint.open_connection(1)

    raw.send(
        Command(0, connection.Close(320, "my text", 50, 10)),
        Command(1, queue.Declare(exclusive=True)),
    )

    assert await raw.commands_until_eof() == [connection.CloseOk()]


@scenario
async def test_deliveries_are_requeued_if_the_connection_closes_right_after_basic_consume(
    endpoint: Endpoint, name: str
) -> None:
    """Row 50. Whether they are also delivered to the closing connection depends on timing."""
    raw, other = await endpoint.open_connection(1), await endpoint.open_connection(1)
    bodies = [b"%d" % number for number in range(20)]
    await other.request(queue.Declare(name, durable=True))
    # When the first message can be got, the others are in the queue too.
    other.send(publish(name, body=b"first"), *(publish(name, body=body) for body in bodies))
    assert await other.get(name) is not None

    raw.send(Command(1, basic.Consume(name, "tag")), Command(0, connection.Close(200, "bye")))
    received = await raw.commands_until_eof()

    assert received[-1] == connection.CloseOk()
    got = [await other.get(name) for _ in bodies]
    assert [command.body for command in got if command is not None] == bodies
    assert got[0] is not None
    assert isinstance(got[0].method, basic.GetOk)
    assert got[0].method.redelivered


@scenario
async def test_exclusive_queues_are_deleted_before_connection_close_ok(
    endpoint: Endpoint, name: str
) -> None:
    """Rows 49, 51."""
    raw, other = await endpoint.open_connection(1), await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))

    raw.send(connection.Close(200, "bye"), channel=0)
    assert await raw.commands_until_eof() == [connection.CloseOk()]

    reply = await other.request(queue.Declare(name, passive=True))
    assert reply == close_channel(404, NO_SUCH_QUEUE.format(name), queue.Declare)
