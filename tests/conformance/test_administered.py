"""What an administrator allows and forbids: users, permissions, limits, policies, ends.

On RabbitMQ each block of administration is one call of its `rabbitmqctl`, which takes a second.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from amqp_codec import basic, channel, connection, exchange, queue
from tests.conformance.administering import Administer
from tests.conformance.scenario import NewName, scenario
from tests.conformance.wire import LogIn, OpenWire, Said, Wire, publish

pytestmark = pytest.mark.slow


class Place:
    """A virtual host and a user that only this test has."""

    def __init__(self, name: str) -> None:
        self.vhost = f"{name}-vhost"
        self.user = f"{name}-user"
        self.password = "secret"


@pytest_asyncio.fixture
async def place(administer: Administer, new_name: NewName) -> AsyncIterator[Place]:
    """Such a place, which the user may not enter yet."""
    place = Place(new_name())
    yield place
    async with administer() as broker:
        broker.delete_user(place.user)
        broker.delete_vhost(place.vhost)


async def enter(log_in: LogIn, place: Place, *channels: int) -> Wire:
    """Log in as the user, into the virtual host."""
    wire = await log_in(*channels, user=place.user, password=place.password, vhost=place.vhost)
    assert isinstance(wire, Wire), wire
    return wire


def not_allowed(text: str) -> connection.Close:
    return connection.Close(530, f"NOT_ALLOWED - {text}", 10, 40)


@scenario
async def test_nobody_gets_in_without_permission_or_above_a_limit(
    administer: Administer, place: Place, log_in: LogIn
) -> None:
    """Rows 17-20 and 30."""
    async with administer() as broker:
        broker.add_vhost(place.vhost)
        broker.add_user(place.user, place.password)
    credentials = {"user": place.user, "password": place.password}
    refused = f"access to vhost '{{}}' refused for user '{place.user}'"

    assert await log_in(vhost=f"{place.vhost}x") == not_allowed(f"vhost {place.vhost}x not found")
    assert await log_in(vhost=place.vhost, **credentials) == not_allowed(
        refused.format(place.vhost)
    )

    async with administer() as broker:
        broker.set_permissions(place.user, place.vhost)
        broker.set_user_limits(place.user, max_connections=1, max_channels=2)
        broker.set_vhost_limits(place.vhost, max_connections=2)
    wire = await enter(log_in, place, 1, 2)
    assert await log_in(vhost=place.vhost, **credentials) == not_allowed(
        f"connection refused for user '{place.user}': user connection limit (1) is reached"
    )
    assert isinstance(await log_in(vhost=place.vhost), Wire)
    assert await log_in(vhost=place.vhost, **credentials) == not_allowed(
        f"{refused.format(place.vhost)}: connection limit (2) is reached"
    )
    wire.send(channel.Open(), number=3)
    assert await wire.hear() == connection.Close(
        530,
        f"NOT_ALLOWED - number of channels opened for user '{place.user}' has reached"
        " the maximum allowed user limit of (2)",
        0,
        0,
    )


@scenario
async def test_permissions_are_asked_for_by_name(
    administer: Administer, place: Place, log_in: LogIn
) -> None:
    """Rows 78-81."""
    async with administer() as broker:
        broker.add_vhost(place.vhost)
        broker.add_user(place.user, place.password)
        broker.set_permissions(
            place.user, place.vhost, configure="^c", write="^(cw|amq.topic|cr$)", read="^(cr|amq)"
        )
        broker.set_topic_permissions(
            place.user, "amq.topic", place.vhost, write="^w[.]{username}$", read="^r[.]"
        )
    wire, other = await enter(log_in, place), await log_in(vhost=place.vhost)
    assert isinstance(other, Wire)
    await other.say(exchange.Declare("x", "fanout"), queue.Declare("q"))
    await wire.say(queue.Declare("cw"), queue.Declare("cr"), exchange.Declare("cx", "fanout"))

    def refusal(what: str) -> tuple[int, str]:
        text = f"access to {what} in vhost '{place.vhost}' refused for user '{place.user}'"
        return 403, f"ACCESS_REFUSED - {text}"

    forbidden: list[tuple[Said, str]] = [
        # Row 78: configure, write, read; both ends of a binding, the destination first
        (queue.Declare("q"), "queue 'q'"),
        (queue.Delete("q"), "queue 'q'"),
        (exchange.Declare("x", "fanout"), "exchange 'x'"),
        (exchange.Delete("x"), "exchange 'x'"),
        (publish("k", "x"), "exchange 'x'"),
        (publish("k", "missing"), "exchange 'missing'"),
        (basic.Consume("q"), "queue 'q'"),
        (basic.Get("q"), "queue 'q'"),
        (basic.Get("missing"), "queue 'missing'"),
        (queue.Purge("q"), "queue 'q'"),
        (queue.Bind("q", "x"), "queue 'q'"),
        (queue.Bind("cw", "x"), "exchange 'x'"),
        (queue.Unbind("q", "x"), "queue 'q'"),
        (queue.Unbind("cw", "x"), "exchange 'x'"),
        (exchange.Bind("cx", "x"), "exchange 'cx'"),
        (exchange.Unbind("cx", "x"), "exchange 'cx'"),
        # Row 79: only topic exchanges ask for more
        (publish("w.guest", "amq.topic"), "topic 'w.guest' in exchange 'amq.topic'"),
        (queue.Bind("cw", "amq.topic", "w"), "topic 'w' in exchange 'amq.topic'"),
        (queue.Unbind("cw", "amq.topic", "w"), "topic 'w' in exchange 'amq.topic'"),
        # Row 80
        (publish("cr"), "exchange 'amq.default'"),
        # Row 81
        (queue.Declare("cn", arguments={"x-dead-letter-exchange": "cr"}), "queue 'cn'"),
        (queue.Declare("cr1", arguments={"x-dead-letter-exchange": "x"}), "exchange 'x'"),
        (exchange.Declare("cn", "topic", arguments={"alternate-exchange": "cr"}), "exchange 'cn'"),
        (exchange.Declare("cr1", "topic", arguments={"alternate-exchange": "x"}), "exchange 'x'"),
    ]
    for what, named in forbidden:
        assert await wire.refusal(what) == refusal(named), what
    assert await wire.say(
        queue.Declare("q", passive=True),
        exchange.Declare("x", passive=True),
        queue.Bind("cw", "amq.topic", "r.1"),
        publish(f"w.{place.user}", "amq.topic"),
        exchange.Declare("cr1", "topic", arguments={"alternate-exchange": "cw"}),
    ) == [
        queue.DeclareOk("q", 0, 0),
        exchange.DeclareOk(),
        queue.BindOk(),
        exchange.DeclareOk(),
    ]


@scenario
async def test_a_virtual_host_has_room_for_so_many_queues(
    administer: Administer, place: Place, log_in: LogIn
) -> None:
    """Row 118. Queues that are there may be declared again."""
    async with administer() as broker:
        broker.add_vhost(place.vhost)
        broker.add_user(place.user, place.password)
        broker.set_vhost_limits(place.vhost, max_queues=1)
    wire = await log_in(vhost=place.vhost)
    assert isinstance(wire, Wire)

    assert await wire.say(queue.Declare("q"), queue.Declare("q")) == [
        queue.DeclareOk("q", 0, 0),
        queue.DeclareOk("q", 0, 0),
    ]
    assert await wire.refusal(queue.Declare("r")) == (
        406,
        f"PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost '{place.vhost}'"
        " (1) is reached",
    )


@scenario
async def test_an_impersonator_publishes_in_any_name(
    administer: Administer, place: Place, log_in: LogIn
) -> None:
    """Row 143."""
    async with administer() as broker:
        broker.add_vhost(place.vhost)
        broker.add_user(place.user, place.password, ["impersonator"])
        broker.set_permissions(place.user, place.vhost)
    wire = await enter(log_in, place)
    await wire.say(queue.Declare("q"))

    assert await wire.say(publish("q", user_id="bob")) == []

    message = await wire.get("q")
    assert message is not None
    assert message.properties is not None
    assert message.properties.user_id == "bob"


@scenario
async def test_a_policy_holds_for_what_is_there_at_once(
    administer: Administer, place: Place, log_in: LogIn
) -> None:
    """Row 121. The lower of argument and policy holds, and declaring again compares arguments."""
    async with administer() as broker:
        broker.add_vhost(place.vhost)
        broker.add_user(place.user, place.password)
        broker.set_policy("low", ".", {"max-length": 1}, priority=-1, vhost=place.vhost)
    wire = await log_in(vhost=place.vhost)
    assert isinstance(wire, Wire)
    five = queue.Declare("q5", arguments={"x-max-length": 5})
    two = queue.Declare("q2", arguments={"x-max-length": 2})
    await wire.say(five, two, exchange.Declare("x", "fanout"), queue.Declare("lost"))
    numbers = [b"%d" % number for number in range(6)]

    async with administer() as broker:
        broker.set_policy("length", "^q", {"max-length": 3}, apply_to="queues", vhost=place.vhost)
        definition = {"alternate-exchange": "amq.fanout"}
        broker.set_policy("x", "^x$", definition, apply_to="exchanges", vhost=place.vhost)
    await wire.say(queue.Bind("lost", "amq.fanout"), publish("k", "x"))
    for name in ("q5", "q2"):
        await wire.say(*(publish(name, body=number) for number in numbers))
    assert await wire.bodies("lost") == [b"m"]
    assert await wire.bodies("q5") == numbers[3:]
    assert await wire.bodies("q2") == numbers[4:]
    assert await wire.say(five) == [queue.DeclareOk("q5", 0, 0)]

    await wire.say(*(publish("q5", body=number) for number in numbers))
    async with administer() as broker:
        broker.set_policy("length", "^q5$", {"max-length": 2}, vhost=place.vhost)
    assert await wire.bodies("q5") == numbers[4:]


@scenario
async def test_connections_are_closed_from_outside(
    administer: Administer, place: Place, log_in: LogIn
) -> None:
    """Rows 56 and 57."""
    async with administer() as broker:
        broker.add_vhost(place.vhost)
        broker.add_user(place.user, place.password)
        broker.set_permissions(place.user, place.vhost)
    wire = await enter(log_in, place)

    async with administer() as broker:
        broker.close_all_connections("for a reason", vhost=place.vhost)
    assert await wire.hear() == forced("for a reason")
    wire.send(connection.CloseOk(), number=0)
    await wire.lost.wait()

    wire = await enter(log_in, place)
    async with administer() as broker:
        broker.delete_user(place.user)
        broker.add_user(place.user, place.password)
    assert await wire.hear() == forced(f"user '{place.user}' is deleted")


@scenario
async def test_a_virtual_host_that_is_down_lets_nobody_in(
    administer: Administer, place: Place, log_in: LogIn
) -> None:
    """Row 21."""
    async with administer() as broker:
        broker.add_vhost(place.vhost)
        broker.add_user(place.user, place.password)
        broker.crash_vhost(place.vhost)

    assert await log_in(vhost=place.vhost) == connection.Close(
        541,
        f"INTERNAL_ERROR - access to vhost '{place.vhost}' refused for user 'guest':"
        f" vhost '{place.vhost}' is down",
        10,
        40,
    )


@scenario
async def test_a_message_may_be_too_large(
    administer: Administer, open_wire: OpenWire, name: str
) -> None:
    """Row 146. It comes before the question whether the exchange is there."""
    async with administer() as broker:
        broker.set_max_message_size(100)
    try:
        wire = await open_wire()
        await wire.say(queue.Declare(name, exclusive=True), publish(name, body=bytes(100)))

        assert await wire.bodies(name) == [bytes(100)]
        assert await wire.refusal(publish(name, f"{name}-missing", bytes(101))) == (
            406,
            "PRECONDITION_FAILED - message size 101 is larger than configured max size 100",
        )
    finally:
        async with administer() as broker:
            broker.set_max_message_size(134217728)


def forced(text: str) -> connection.Close:
    return connection.Close(320, f"CONNECTION_FORCED - {text}", 0, 0)
