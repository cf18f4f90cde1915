"""How connections end, by whoever begins it, and what is given back."""

import pytest

from amqp_codec import HEARTBEAT, Command, basic, channel, connection, queue
from tests.conformance.raw import Door, close, close_channel
from tests.conformance.scenario import NO_SUCH_QUEUE, scenario
from tests.conformance.wire import publish

SECOND_OPEN = close(504, "CHANNEL_ERROR - second 'channel.open' seen", channel.Open)


@scenario
async def test_a_client_that_agrees_to_the_end_is_hung_up_on_at_once(door: Door) -> None:
    """Row 47."""
    raw = await door.enter(1)
    assert await raw.ask(channel.Open()) == SECOND_OPEN

    raw.send(connection.CloseOk(), number=0)

    assert await raw.rest() == []


@scenario
async def test_a_client_that_does_not_agree_is_not_listened_to_until_it_closes_too(
    door: Door,
) -> None:
    """Row 48."""
    raw = await door.enter(1)
    assert await raw.ask(channel.Open()) == SECOND_OPEN

    raw.send(queue.Declare(exclusive=True))
    raw.send(connection.UpdateSecret(b"guest", "why"), number=0)
    raw.frame(9, 1, b"abc")
    raw.send(connection.Close(200, "bye"), number=0)

    assert await raw.rest() == [connection.CloseOk()]


@pytest.mark.slow
@scenario
async def test_a_client_that_says_nothing_more_is_hung_up_on_after_the_interval_of_heartbeats(
    door: Door,
) -> None:
    """Row 46, with an interval that is shorter than the 30 seconds."""
    raw = await door.enter(1, heartbeat=1)
    assert await raw.ask(channel.Open()) == SECOND_OPEN

    await door.let_pass(1)

    assert set(map(type, await raw.rest())) <= {type(HEARTBEAT)}


@scenario
async def test_what_a_client_says_behind_connection_close_is_ignored(door: Door) -> None:
    """Row 49. It may give any code and any reason."""
    raw = await door.enter(1)

    raw.send(
        Command(0, connection.Close(320, "my text", 50, 10)),
        Command(1, queue.Declare(exclusive=True)),
    )

    assert await raw.rest() == [connection.CloseOk()]


@scenario
async def test_deliveries_come_again_if_the_connection_ends_right_behind_the_consume(
    door: Door, name: str
) -> None:
    """Row 50. Whether they come the first time, too, is a matter of timing."""
    raw, other = await door.enter(1), await door.enter(1)
    bodies = [b"%d" % number for number in range(20)]
    await other.ask(queue.Declare(name))
    # What is taken out again shows that the rest has come.
    other.send(publish(name, body=b"first"), *(publish(name, body=body) for body in bodies))
    assert await other.get(name) is not None

    raw.send(Command(1, basic.Consume(name, "tag")), Command(0, connection.Close(200, "bye")))
    said = await raw.rest()

    assert said[-1] == connection.CloseOk()
    got = [await other.get(name) for _ in bodies]
    assert [command.body for command in got if command is not None] == bodies
    assert got[0] is not None
    assert isinstance(got[0].method, basic.GetOk)
    assert got[0].method.redelivered


@scenario
async def test_what_was_exclusive_is_gone_before_the_end_is_agreed_to(
    door: Door, name: str
) -> None:
    """Rows 49, 51."""
    raw, other = await door.enter(1), await door.enter(1)
    await raw.ask(queue.Declare(name, exclusive=True))

    raw.send(connection.Close(200, "bye"), number=0)
    assert await raw.rest() == [connection.CloseOk()]

    answer = await other.ask(queue.Declare(name, passive=True))
    assert answer == close_channel(404, NO_SUCH_QUEUE.format(name), queue.Declare)
