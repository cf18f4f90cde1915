"""Consuming, getting and acknowledging."""

import pytest

from amqp_codec import Method, basic, channel, confirm, queue
from fake_broker_support import SilentClient, channel_close, connection_close


def deliver(tag: int, redelivered: bool = False, consumer: str = "c", key: str = "q") -> Method:
    return basic.Deliver(consumer, tag, redelivered, "", key)


def test_consume_ok_comes_before_the_first_delivery(client: SilentClient) -> None:
    """Row 168."""
    client.say(1, queue.Declare("q"))
    client.publish("q", b"m")

    assert client.say(1, basic.Consume("q", "c")) == [basic.ConsumeOk("c"), deliver(1)]


def test_the_own_delivery_comes_before_the_confirm(client: SilentClient) -> None:
    """Row 156."""
    client.say(1, queue.Declare("q"), confirm.Select(), basic.Consume("q", "c"))

    assert client.publish("q", b"m") == [deliver(1), basic.Ack(1)]


def test_another_connection_is_woken_for_its_delivery(client: SilentClient) -> None:
    other = client.another(1)
    other.say(1, queue.Declare("q"), basic.Consume("q", "c"))
    wakes = other.wakes

    client.publish("q", b"1", b"2")

    assert other.wakes == wakes + 1
    assert other.heard() == [deliver(1), deliver(2)]


def test_a_tag_is_made_up_if_there_is_none(client: SilentClient) -> None:
    """Row 166."""
    client.say(1, queue.Declare("q"))

    (answer,) = client.say(1, basic.Consume("q"))

    assert isinstance(answer, basic.ConsumeOk)
    assert answer.consumer_tag.startswith("amq.ctag-")


def test_a_tag_is_for_one_consumer_of_a_channel(client: SilentClient) -> None:
    """Row 167."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "c"))

    assert client.say(2, basic.Consume("q", "c")) == [basic.ConsumeOk("c")]
    text = "NOT_ALLOWED - attempt to reuse consumer tag 'c'"
    assert client.say(1, basic.Consume("none", "c")) == connection_close(530, text, basic.Consume)


def test_cancel_keeps_what_is_unacked_and_an_unknown_tag_is_no_mistake(
    client: SilentClient,
) -> None:
    """Row 169."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "c"))
    client.publish("q", b"m")

    assert client.say(1, basic.Cancel("c"), basic.Cancel("none")) == [
        basic.CancelOk("none"),  # a queue has to say the other one
        basic.CancelOk("c"),
    ]
    assert client.publish("q", b"later") == []
    assert client.say(1, basic.Ack(1)) == []
    assert client.vhost.queues["q"].unacked_count == 0


def test_a_deleted_queue_cancels_its_consumers_behind_delete_ok(client: SilentClient) -> None:
    """Row 170."""
    deaf = SilentClient(client.node, client.clock).open(1, capabilities={})
    client.say(1, queue.Declare("q"), basic.Consume("q", "b"), basic.Consume("q", "a"))
    deaf.say(1, basic.Consume("q", "c"))

    assert client.say(1, queue.Delete("q")) == [
        queue.DeleteOk(),
        basic.Cancel("a", no_wait=True),
        basic.Cancel("b", no_wait=True),
    ]
    assert deaf.heard() == []
    assert client.say(1, basic.Cancel("a"), queue.Declare("q"), basic.Consume("q", "a")) == [
        basic.CancelOk("a"),
        queue.DeclareOk("q"),
        basic.ConsumeOk("a"),
    ]


def test_get_says_how_many_are_left(client: SilentClient) -> None:
    """Row 190."""
    client.say(1, queue.Declare("q"))
    client.publish("q", b"1", b"2")

    assert client.say(1, basic.Get("q"), basic.Get("q", no_ack=True), basic.Get("q")) == [
        basic.GetOk(1, False, "", "q", 1),
        basic.GetOk(2, False, "", "q", 0),
        basic.GetEmpty(),
    ]


def test_qos_holds_for_consumers_to_come(client: SilentClient) -> None:
    """Row 181."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "all"), basic.Qos(0, 1))
    client.say(1, basic.Cancel("all"), basic.Consume("q", "one"))

    assert len(client.publish("q", b"1", b"2")) == 1


def test_a_shared_limit_is_raised_behind_qos_ok(client: SilentClient) -> None:
    """Row 182."""
    client.say(1, queue.Declare("q"), basic.Qos(0, 1, True), basic.Consume("q", "c"))
    client.publish("q", b"1", b"2", b"3")

    assert client.say(1, basic.Qos(0, 2, True)) == [basic.QosOk(), deliver(2)]
    assert client.say(1, basic.Ack(1)) == [deliver(3)]


def test_a_prefetch_size_is_not_implemented_by_rabbitmq_either(client: SilentClient) -> None:
    text = "NOT_IMPLEMENTED - prefetch_size!=0 (10)"

    assert client.say(1, basic.Qos(10)) == connection_close(540, text, basic.Qos)


def test_several_consumers_with_room_again_have_their_turns_as_in_rabbitmq(
    client: SilentClient,
) -> None:
    client.say(1, queue.Declare("q"))
    client.publish("q", *(b"m",) * 12)
    client.say(1, basic.Qos(0, 2), basic.Consume("q", "A"), basic.Consume("q", "B"))
    client.say(1, basic.Qos(0, 1), basic.Ack(1), basic.Consume("q", "C"))
    client.say(1, basic.Qos(0, 3, True), basic.Ack(2))

    answer = client.say(1, basic.Ack(0, multiple=True))

    assert answer == [deliver(7, consumer="C"), deliver(8, consumer="B"), deliver(9, consumer="A")]
    assert client.say(1, basic.Qos(0, 0, True)) == [
        basic.QosOk(),
        deliver(10, consumer="B"),
        deliver(11, consumer="A"),
    ]


# ---------------------------------------------------------------------------------- acknowledging


@pytest.mark.parametrize(
    "method",
    [basic.Ack(99), basic.Nack(99), basic.Reject(99), basic.Ack(0), basic.Ack(99, multiple=True)],
)
def test_an_unknown_delivery_tag_closes_the_channel(client: SilentClient, method: Method) -> None:
    """Row 184, row 186."""
    tag = getattr(method, "delivery_tag")  # noqa: B009 (there is none in Method)
    text = f"PRECONDITION_FAILED - unknown delivery tag {tag}"

    assert client.say(1, method) == channel_close(406, text, type(method))


def test_the_tag_of_a_message_that_needs_no_ack_is_unknown(client: SilentClient) -> None:
    """Row 179."""
    client.say(1, queue.Declare("q"))
    client.publish("q", b"1")
    client.say(1, basic.Get("q", no_ack=True))

    (answer,) = client.say(1, basic.Ack(1))

    assert isinstance(answer, channel.Close)


def test_delivery_tags_belong_to_their_channel(client: SilentClient) -> None:
    """Row 180."""
    client.say(1, queue.Declare("q"))
    client.publish("q", b"1")
    client.say(1, basic.Get("q"))

    (answer,) = client.say(2, basic.Ack(1))

    assert isinstance(answer, channel.Close)
    assert client.say(1, basic.Ack(1)) == []


def test_a_requeued_message_comes_again_with_a_new_tag(client: SilentClient) -> None:
    """Row 187."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "c"))
    client.publish("q", b"m")

    assert client.say(1, basic.Reject(1, requeue=True)) == [deliver(2, redelivered=True)]
    assert client.say(1, basic.Nack(2, requeue=True)) == [deliver(3, redelivered=True)]
    assert client.say(1, basic.Nack(3, requeue=False)) == []
    assert client.vhost.queues["q"].message_count == 0


def test_recover_ok_comes_before_what_is_recovered(client: SilentClient) -> None:
    """Row 188."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "c"))
    client.publish("q", b"1", b"2")

    again = [deliver(3, redelivered=True), deliver(4, redelivered=True)]
    assert client.say(1, basic.Recover(requeue=True)) == [basic.RecoverOk(), *again]
    assert len(client.say(1, basic.RecoverAsync(requeue=True))) == 2


def test_recover_without_requeue_is_not_implemented_by_rabbitmq_either(
    client: SilentClient,
) -> None:
    """Row 189."""
    text = "NOT_IMPLEMENTED - requeue=false"

    assert client.say(1, basic.Recover(requeue=False)) == connection_close(540, text, basic.Recover)
