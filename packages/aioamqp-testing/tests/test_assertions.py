"""What a test can claim of a broker, and what it is told when that is wrong."""

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.model import VirtualHost
from fake_broker_support import NotingChannel


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def wrong(call: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(AssertionError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    return str(caught.value)


def test_what_was_published_is_found(broker: FakeBroker) -> None:
    broker.publish("amq.topic", "a.b", b"1", headers={"kind": "new", "size": 1})
    broker.publish("amq.topic", "a.c", "2")

    (found,) = broker.assert_published("amq.topic", "a.b", headers={"kind": "new"})
    assert found.body == b"1"
    assert len(broker.assert_published("amq.topic", count=2)) == 2
    broker.assert_published("amq.topic", body="2")
    broker.assert_published("amq.topic", "none", count=0)


def test_what_was_published_instead_is_shown(broker: FakeBroker) -> None:
    broker.publish("amq.topic", "a.b", b"1")

    assert wrong(broker.assert_published, "amq.topic", "a.x", body="2", headers={"k": 1}) == (
        "expected a message to be published to exchange 'amq.topic' with key 'a.x' and body b'2'"
        " and headers {'k': 1}, but 0 were.\n"
        "What was published:\n"
        "  message b'1' to exchange 'amq.topic' with key 'a.b'\n"
        "    published by guest\n"
        "    routed nowhere"
    )
    assert wrong(broker.assert_published, "amq.topic", count=2).startswith(
        "expected 2 messages to be published to exchange 'amq.topic', but 1 were."
    )
    assert "  nothing" in wrong(FakeBroker().assert_published, "x")


def test_of_many_messages_the_last_ones_are_shown(broker: FakeBroker) -> None:
    for number in range(20):
        broker.publish("", "q", str(number))

    text = wrong(broker.assert_published, "x")

    assert "(10 earlier ones left out)" in text
    assert "b'9'" not in text
    assert "b'19'" in text


def test_where_messages_went_is_claimed(broker: FakeBroker) -> None:
    broker.vhost.declare_queue("q", None)
    broker.publish("", "q")
    broker.publish("amq.topic", "k")

    broker.assert_routed("", "q")
    broker.assert_routed("", "q", "q")
    assert wrong(broker.assert_routed, "", "q", "q", "other").startswith("not routed to 'other':")
    text = wrong(broker.assert_routed, "amq.topic", "k")
    assert text.startswith("not routed to any queue:\nmessage b'' to exchange 'amq.topic'")
    assert "nothing is bound to it" in text


def test_acknowledgements_are_claimed(broker: FakeBroker) -> None:
    queue = broker.vhost.declare_queue("q", None)
    noting = NotingChannel()
    noting.consume(queue)
    broker.publish("", "q", b"1")
    broker.publish("", "q", b"2")
    broker.publish("", "q", b"3")
    queue.acknowledge(noting, noting.held[:2])

    assert [message.body for message in broker.assert_acked("q", count=2)] == [b"1", b"2"]
    broker.assert_acked("q", body="1")
    text = wrong(broker.assert_acked, "q")
    assert text.startswith(
        "expected all to be acknowledged to queue 'q', but 2 were, of 3 that were routed to it.\n"
    )
    assert "message b'3' to exchange '' with key 'q'" in text
    assert "expected 3 to be acknowledged" in wrong(broker.assert_acked, "q", count=3)
    assert "but 0 were, of 0" in wrong(broker.assert_acked, "none")


def test_what_nobody_has_acknowledged_is_shown_with_its_holder(broker: FakeBroker) -> None:
    queue = broker.vhost.declare_queue("q", None)
    broker.vhost.declare_queue("other", None)
    noting = NotingChannel()
    noting.consume(queue, "c")
    broker.assert_nothing_unacked()
    broker.publish("", "q", b"1")

    broker.assert_nothing_unacked("other")
    assert wrong(broker.assert_nothing_unacked, "q") == (
        "there are messages that nobody has acknowledged:\n"
        "  queue 'q', with consumer 'c' on test: message b'1' to exchange '' with key 'q'"
    )
    queue.acknowledge(noting, noting.held)
    broker.assert_nothing_unacked()


def test_a_queue_that_is_not_there_is_named(broker: FakeBroker) -> None:
    broker.vhost.declare_queue("q", None)

    with pytest.raises(ValueError, match="there is no queue 'x' in the broker; there are: 'q'"):
        broker.assert_nothing_unacked("x")
    with pytest.raises(ValueError, match="there is no virtual host 'x' in the broker"):
        broker.publish("", "q", vhost="x")


def declare(vhost: VirtualHost) -> None:
    vhost.declare_queue("orders", None, durable=True, arguments={"x-max-length": 10})
    vhost.declare_exchange("events", "topic")
    vhost.bind_queue("orders", "events", "order.#", {}, None)


def test_a_topology_that_is_as_claimed_passes(broker: FakeBroker) -> None:
    declare(broker.vhost)

    broker.assert_topology(
        queues={"orders": {"durable": True, "arguments": {"x-max-length": 10}}},
        exchanges={"events": "topic"},
        bindings=[("events", "orders", "order.#")],
    )
    broker.assert_topology(queues=["orders"], exchanges=["events"])
    broker.assert_topology()


def test_another_topology_is_shown_as_a_difference(broker: FakeBroker) -> None:
    declare(broker.vhost)

    assert wrong(
        broker.assert_topology,
        queues={"orders": {"durable": False, "auto_delete": False}, "payments": {}},
        exchanges={},
        bindings=[("events", "orders", "order.*")],
    ) == (
        "the topology is another one (- is missing, + is there instead):\n"
        "  - queue 'orders', durable=False\n"
        "  + queue 'orders', durable=True\n"
        "  - queue 'payments'\n"
        "  + exchange 'events'\n"
        "  - binding of 'orders' to exchange 'events' with key 'order.*'\n"
        "  + binding of 'orders' to exchange 'events' with key 'order.#'"
    )


def test_a_topology_that_cannot_be_is_refused(broker: FakeBroker) -> None:
    with pytest.raises(ValueError, match="a queue has no 'durible' that could be asked for"):
        broker.assert_topology(queues={"q": {"durible": True}})
    with pytest.raises(ValueError, match="in a list, not 'q'"):
        broker.assert_topology(queues="q")


@pytest.mark.asyncio
async def test_what_was_left_open_is_listed() -> None:
    async with FakeBroker() as broker:
        broker.assert_no_leaks()
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        await channel.queue_declare("mine", exclusive=True)

        async def callback(*_: object) -> None: ...

        await channel.basic_consume(callback, "mine", consumer_tag="c")
        broker.publish("", "mine", b"m")
        await broker.wait_idle()

        assert wrong(broker.assert_no_leaks) == (
            "something was left open:\n"
            f"  connection {broker.sessions[0].name} of user 'guest' is open\n"
            "    channel 1 is open\n"
            "      consumer 'c' of queue 'mine'\n"
            "      delivery 1 not acknowledged: message b'm' to exchange '' with key 'mine'\n"
            "  exclusive queue 'mine'"
        )

        await protocol.close()
        await broker.wait_idle()
        broker.assert_no_leaks()


def test_a_broker_shows_who_has_what_is_not_acknowledged(broker: FakeBroker) -> None:
    noting = NotingChannel()
    noting.consume(broker.vhost.declare_queue("q", None), "c")
    broker.publish("", "q", b"m")

    assert "with consumer 'c' on test: b'm', published to '' with key 'q'" in str(broker)
