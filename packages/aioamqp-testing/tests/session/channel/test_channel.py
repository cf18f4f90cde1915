"""The life of a channel: opening, errors, closing."""

import pytest

from amqp_codec import Method, basic, channel, connection, queue
from fake_broker_support import SilentClient, channel_close, connection_close


@pytest.mark.parametrize(
    "method", [queue.Declare("x"), channel.Close(200, ""), channel.CloseOk(), basic.Ack(1)]
)
def test_a_channel_has_to_be_opened_first(client: SilentClient, method: Method) -> None:
    """Row 44."""
    text = "CHANNEL_ERROR - expected 'channel.open'"

    assert client.say(5, method) == connection_close(504, text, type(method))


def test_a_channel_is_not_opened_twice(client: SilentClient) -> None:
    """Row 45."""
    text = "CHANNEL_ERROR - second 'channel.open' seen"

    assert client.say(1, channel.Open()) == connection_close(504, text, channel.Open)


@pytest.mark.parametrize(
    "method",
    [connection.Close(200, ""), basic.CancelOk("x"), channel.CloseOk(), queue.DeclareOk("q")],
)
def test_methods_that_are_not_for_a_broker_are_refused(
    client: SilentClient, method: Method
) -> None:
    """Row 43."""
    text = "COMMAND_INVALID - unimplemented method"

    assert client.say(1, method) == connection_close(503, text, type(method))


def test_a_channel_error_leaves_other_channels_alone(client: SilentClient) -> None:
    """Rows 65 and 68."""
    missing = queue.Declare("none", passive=True)

    answer = client.say(1, missing, missing)

    text = "NOT_FOUND - no queue 'none' in vhost '/'"
    assert answer == channel_close(404, text, queue.Declare)
    assert client.say(2, basic.Qos(0, 1)) == [basic.QosOk()]


def test_after_a_channel_error_everything_is_dropped_until_close_ok(client: SilentClient) -> None:
    """Rows 66 and 67."""
    client.say(1, queue.Declare("none", passive=True))

    assert client.say(1, queue.Declare("q"), channel.Close(200, "")) == [channel.CloseOk()]
    assert client.say(1, channel.CloseOk(), channel.Open()) == [channel.OpenOk()]
    assert client.vhost.queues == {}


def test_a_closing_channel_cannot_be_opened(client: SilentClient) -> None:
    client.say(1, queue.Declare("none", passive=True))

    (answer,) = client.say(1, channel.Open())

    assert isinstance(answer, connection.Close)


def test_flow_can_be_on_but_not_off(client: SilentClient) -> None:
    """Rows 73 and 74."""
    assert client.say(1, channel.Flow(active=True)) == [channel.FlowOk(active=True)]
    assert client.say(1, channel.Flow(active=False)) == connection_close(
        540, "NOT_IMPLEMENTED - active=false", channel.Flow
    )


def test_a_channel_error_gives_consumed_messages_back_at_once_and_others_with_close_ok(
    client: SilentClient,
) -> None:
    """Row 70, row 71."""
    client.say(1, queue.Declare("consumed"), queue.Declare("got"))
    client.publish("consumed", b"1")
    client.publish("got", b"2")
    client.say(1, basic.Consume("consumed"), basic.Get("got"))

    client.say(1, queue.Declare("none", passive=True))
    queues = client.vhost.queues
    assert (queues["consumed"].message_count, queues["consumed"].consumer_count) == (1, 0)
    assert queues["got"].message_count == 0

    client.say(1, channel.CloseOk())
    assert queues["got"].message_count == 1


def test_closing_a_channel_gives_back_everything_in_its_order(client: SilentClient) -> None:
    """Row 72."""
    client.say(1, queue.Declare("q"))
    client.publish("q", b"1", b"2", b"3")
    client.say(1, basic.Consume("q", "c"))

    client.say(1, channel.Close(200, "bye"))

    assert [message.body for message in client.vhost.queues["q"].messages] == [b"1", b"2", b"3"]


def close(code: int, text: str, class_id: int = 0, method_id: int = 0) -> list[Method]:
    return [connection.Close(code, text, class_id, method_id)]


def test_channel_max_limits_how_many_channels_there_are_and_not_their_numbers() -> None:
    """Row 29."""
    client = SilentClient().open(7, 9, channel_max=2)
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"

    assert client.say(3, channel.Open()) == close(530, text)


def test_a_channel_that_is_closing_still_counts() -> None:
    client = SilentClient().open(1, channel_max=1)
    client.say(1, queue.Declare("none", passive=True))

    client.say(1, channel.CloseOk())
    assert client.say(2, channel.Open()) == [channel.OpenOk()]


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_deliveries_that_a_failing_channel_has_not_sent_return_to_their_queue(
    client: SilentClient, kind: str, is_cancelled: bool
) -> None:
    """Rows F6 and F7."""
    client.say(1, queue.Declare("q", durable=True, arguments={"x-queue-type": kind}))
    client.publish("q", b"1", b"2")
    cancel = [basic.Cancel("c", no_wait=True)] if is_cancelled else []

    replies = client.say(
        1, basic.Consume("q", "c", no_wait=True), *cancel, basic.Qos(prefetch_size=1)
    )

    assert replies == connection_close(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)", basic.Qos)
    returned = client.vhost.queues["q"]
    assert [message.body for message in returned.messages] == [b"1", b"2"]
    assert returned.unacked_count == 0
