"""Assertions about a broker, and the error texts of failed ones."""

import pytest

from aioamqp_testing import FakeBroker
from aioamqp_testing.faults import Delay
from aioamqp_testing.model import VirtualHost
from fake_broker_support import NotingChannel


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def error_of(call: object, *args: object, **kwargs: object) -> str:
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


def test_the_published_messages_are_shown(broker: FakeBroker) -> None:
    broker.publish("amq.topic", "a.b", b"1")

    assert error_of(broker.assert_published, "amq.topic", "a.x", body="2", headers={"k": 1}) == (
        "expected at least 1 message published to exchange 'amq.topic' with key 'a.x' and body b'2'"
        " and headers {'k': 1}, but found 0.\n"
        "Published messages:\n"
        "  message b'1' to exchange 'amq.topic' with key 'a.b'\n"
        "    published by guest\n"
        "    routed nowhere"
    )
    assert error_of(broker.assert_published, "amq.topic", count=2).startswith(
        "expected 2 messages published to exchange 'amq.topic', but found 1.\n"
    )
    assert "  none" in error_of(FakeBroker().assert_published, "x")


def test_of_many_messages_the_last_ones_are_shown(broker: FakeBroker) -> None:
    for number in range(20):
        broker.publish("", "q", str(number))

    text = error_of(broker.assert_published, "x")

    assert "(10 earlier ones left out)" in text
    assert "b'9'" not in text
    assert "b'19'" in text


def test_routes_are_asserted(broker: FakeBroker) -> None:
    broker.vhost.declare_queue("q", None, durable=True)
    broker.publish("", "q")
    broker.publish("amq.topic", "k")

    broker.assert_routed("", "q")
    broker.assert_routed("", "q", "q")
    assert error_of(broker.assert_routed, "", "q", "q", "other").startswith(
        "a message was not routed to 'other':"
    )
    text = error_of(broker.assert_routed, "amq.topic", "k")
    assert text.startswith(
        "a message was not routed to any queue:\nmessage b'' to exchange 'amq.topic'"
    )
    assert "nothing is bound to it" in text


def test_acknowledgements_are_asserted(broker: FakeBroker) -> None:
    queue = broker.vhost.declare_queue("q", None, durable=True)
    noting = NotingChannel()
    noting.consume(queue)
    broker.publish("", "q", b"1")
    broker.publish("", "q", b"2")
    broker.publish("", "q", b"3")
    queue.acknowledge(noting, noting.held[:2])

    assert [message.body for message in broker.assert_acked("q", count=2)] == [b"1", b"2"]
    broker.assert_acked("q", body="1")
    text = error_of(broker.assert_acked, "q")
    assert text.startswith(
        "expected all messages in queue 'q' to be acknowledged, but 2 of 3 were.\n"
    )
    assert "message b'3' to exchange '' with key 'q'" in text
    assert "expected 3 messages in queue 'q'" in error_of(broker.assert_acked, "q", count=3)
    assert "but 0 of 0 were" in error_of(broker.assert_acked, "none")


def test_an_unacknowledged_message_is_shown_with_its_consumer(broker: FakeBroker) -> None:
    queue = broker.vhost.declare_queue("q", None, durable=True)
    broker.vhost.declare_queue("other", None, durable=True)
    noting = NotingChannel()
    noting.consume(queue, "c")
    broker.assert_nothing_unacked()
    broker.publish("", "q", b"1")

    broker.assert_nothing_unacked("other")
    assert error_of(broker.assert_nothing_unacked, "q") == (
        "expected no unacknowledged messages, but found:\n"
        "  queue 'q', consumer 'c' on test: message b'1' to exchange '' with key 'q'"
    )
    queue.acknowledge(noting, noting.held)
    broker.assert_nothing_unacked()


def test_an_unknown_queue_is_refused_with_the_known_names(broker: FakeBroker) -> None:
    broker.vhost.declare_queue("q", None, durable=True)

    with pytest.raises(ValueError, match="there is no queue 'x' in the broker; there are: 'q'"):
        broker.assert_nothing_unacked("x")
    with pytest.raises(ValueError, match="there is no virtual host 'x' in the broker"):
        broker.publish("", "q", vhost="x")


def declare(vhost: VirtualHost) -> None:
    vhost.declare_queue("orders", None, durable=True, arguments={"x-max-length": 10})
    vhost.declare_exchange("events", "topic")
    vhost.bind_queue("orders", "events", "order.#", {}, None)


def test_the_expected_topology_passes(broker: FakeBroker) -> None:
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

    assert error_of(
        broker.assert_topology,
        queues={"orders": {"durable": False, "auto_delete": False}, "payments": {}},
        exchanges={},
        bindings=[("events", "orders", "order.*")],
    ) == (
        "the topology is not the expected one (- missing, + unexpected):\n"
        "  - queue 'orders', durable=False\n"
        "  + queue 'orders', durable=True\n"
        "  - queue 'payments'\n"
        "  + exchange 'events'\n"
        "  - binding of 'orders' to exchange 'events' with key 'order.*'\n"
        "  + binding of 'orders' to exchange 'events' with key 'order.#'"
    )


def test_an_invalid_topology_is_refused(broker: FakeBroker) -> None:
    with pytest.raises(ValueError, match="a queue has no property 'durible'; use type, durable,"):
        broker.assert_topology(queues={"q": {"durible": True}})
    with pytest.raises(ValueError, match="pass the queue names as a list, not as the string 'q'"):
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

        assert error_of(broker.assert_no_leaks) == (
            "expected all connections to be closed, but found:\n"
            f"  connection {broker.sessions[0].name} of user 'guest' is open\n"
            "    channel 1 is open\n"
            "      consumer 'c' of queue 'mine'\n"
            "      unacknowledged delivery 1: message b'm' to exchange '' with key 'mine'\n"
            "  exclusive queue 'mine'"
        )

        await protocol.close()
        await broker.wait_idle()
        broker.assert_no_leaks()


def test_a_broker_shows_unacknowledged_messages_with_their_consumer(broker: FakeBroker) -> None:
    noting = NotingChannel()
    noting.consume(broker.vhost.declare_queue("q", None, durable=True), "c")
    broker.publish("", "q", b"m")

    assert "unacked by consumer 'c' on test: b'm', published to '' with key 'q'" in str(broker)


@pytest.mark.asyncio
async def test_assertions_see_what_clients_have_just_sent() -> None:
    """Row U19: without a wait, also for writes that the client joins in one iteration."""
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        await channel.queue_declare("q", durable=True)

        for body in b"1", b"2", b"3":
            await channel.basic_publish(body, "", "q")
        broker.assert_published("", "q", count=3)
        assert [message.body for message in broker.history("q")] == [b"1", b"2", b"3"]
        assert broker.vhost.queues["q"].message_count == 3

        got = await channel.basic_get("q")
        await channel.basic_client_ack(got["delivery_tag"])
        broker.assert_acked("q", count=1)
        broker.assert_nothing_unacked()

        await channel.queue_declare("more", no_wait=True, durable=True)
        broker.assert_topology(queues=["q", "more"])
        await channel.basic_publish(b"4", "", "more")
        broker.assert_routed("", "more", "more")
        await channel.basic_publish(b"5", "", "more")
        assert [message.body for message in broker.drain("more")] == [b"4", b"5"]

        await channel.basic_publish(b"6", "", "more")
        broker.publish("", "more", b"7")
        assert [message.body for message in broker.drain("more")] == [b"6", b"7"]
        await protocol.close()


@pytest.mark.asyncio
async def test_what_a_client_has_closed_is_no_leak() -> None:
    """Row U19."""
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        await protocol.channel()
        await protocol.close()

        broker.assert_no_leaks()


@pytest.mark.asyncio
async def test_an_assertion_in_a_reply_function_sees_what_the_broker_has_processed() -> None:
    """Row U19."""
    async with FakeBroker() as broker:
        seen: list[int] = []

        def reply(_: object) -> None:
            seen.append(len(broker.assert_published("", "requests")))

        broker.rpc_reply("requests", reply)
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        for _ in range(3):
            await channel.basic_publish(b"", "", "requests")

        broker.assert_published("", "requests", count=3)
        assert seen == [1, 2, 3]
        await protocol.close()


@pytest.mark.asyncio
async def test_what_a_fault_delays_is_not_here_yet() -> None:
    """Row U19."""
    async with FakeBroker(clock="manual") as broker:
        _, protocol = await broker.connect()
        channel = await protocol.channel()
        broker.faults.add(Delay(5, reading=True))
        await channel.basic_publish(b"", "", "q")

        assert "but found 0" in error_of(broker.assert_published, "", "q")
        broker.clock.advance(5)
        broker.assert_published("", "q", count=1)
