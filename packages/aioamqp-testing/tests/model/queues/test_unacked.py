"""Delivery tags, and which deliveries an acknowledgement covers."""

import pytest

from aioamqp_testing.model import BrokerError, Delivery, Queue, QueuedMessage, Unacked, VirtualHost
from aioamqp_testing.model.queues.unacked import group_by_consumer
from fake_broker_support import NotingChannel, a_message


@pytest.fixture
def queue(vhost: VirtualHost) -> Queue:
    return vhost.declare_queue("q", None)


def delivery(tag: int, queue: Queue) -> Delivery:
    return Delivery(tag, queue, None, QueuedMessage(tag, a_message()))


@pytest.fixture
def unacked(queue: Queue) -> Unacked:
    unacked = Unacked()
    for tag in (1, 3, 4, 6):
        unacked.add(delivery(tag, queue))
    return unacked


def tags(deliveries: list[Delivery]) -> list[int]:
    return [delivery.tag for delivery in deliveries]


def test_one_tag_takes_one_delivery(unacked: Unacked) -> None:
    assert tags(unacked.pop(3, multiple=False)) == [3]
    assert tags(unacked.pop_all()) == [1, 4, 6]


def test_multiple_takes_all_up_to_the_tag(unacked: Unacked) -> None:
    assert tags(unacked.pop(4, multiple=True)) == [1, 3, 4]
    assert len(unacked) == 1


def test_multiple_with_tag_0_takes_everything_even_nothing(unacked: Unacked) -> None:
    assert tags(unacked.pop(0, multiple=True)) == [1, 3, 4, 6]
    assert unacked.pop(0, multiple=True) == []


@pytest.mark.parametrize(("tag", "multiple"), [(0, False), (2, False), (5, True), (99, True)])
def test_an_unknown_tag_takes_nothing(unacked: Unacked, tag: int, multiple: bool) -> None:
    with pytest.raises(BrokerError, match=f"PRECONDITION_FAILED - unknown delivery tag {tag}$"):
        unacked.pop(tag, multiple=multiple)

    assert len(unacked) == 4


def test_a_queue_that_has_its_messages_back_can_be_forgotten(
    vhost: VirtualHost, unacked: Unacked, queue: Queue
) -> None:
    other = vhost.declare_queue("other", None)
    unacked.add(delivery(7, other))

    unacked.drop_queue(queue)

    assert unacked.queues == [other]
    assert len(unacked) == 1


def test_messages_are_grouped_by_queue_and_consumer_in_the_order_of_the_tags(
    vhost: VirtualHost, noting: NotingChannel
) -> None:
    b, a = vhost.declare_queue("b", None), vhost.declare_queue("a", None)
    y, x = noting.consume(b, "y"), noting.consume(b, "x")
    messages = [QueuedMessage(number, a_message()) for number in range(5)]
    deliveries = [
        Delivery(1, b, y, messages[0]),
        Delivery(2, b, x, messages[1]),
        Delivery(3, b, None, messages[2]),
        Delivery(4, a, None, messages[3]),
        Delivery(5, b, y, messages[4]),
    ]

    assert group_by_consumer(deliveries) == [
        (a, [messages[3]]),
        (b, [messages[2]]),
        (b, [messages[1]]),
        (b, [messages[0], messages[4]]),
    ]
