"""What methods of channels are answered with, and in which order."""

import pytest

from amqp_codec import (
    HEARTBEAT,
    Command,
    Decoder,
    FieldTable,
    Method,
    Properties,
    basic,
    channel,
    confirm,
    connection,
    encode_command,
    encode_method,
    exchange,
    queue,
)
from fake_broker_support import SilentClient


def channel_close(code: int, text: str, method: type[Method]) -> list[Method]:
    return [channel.Close(code, text, *divmod(method.INDEX, 1 << 16))]


def connection_close(code: int, text: str, method: type[Method]) -> list[Method]:
    return [connection.Close(code, text, *divmod(method.INDEX, 1 << 16))]


def deliver(tag: int, redelivered: bool = False, consumer: str = "c", key: str = "q") -> Method:
    return basic.Deliver(consumer, tag, redelivered, "", key)


# ---------------------------------------------------------------------------------- channel life


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


def test_a_server_method_with_a_content_is_refused_once_it_is_complete(
    client: SilentClient,
) -> None:
    octets = encode_command(Command(1, basic.Deliver(), Properties(), b"x"))

    client.raw(octets[:-1])
    assert client.heard() == []
    client.raw(octets[-1:])
    assert client.heard() == connection_close(
        503, "COMMAND_INVALID - unimplemented method", basic.Deliver
    )


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


def test_access_is_granted_to_whoever_still_asks(client: SilentClient) -> None:
    """Row 75."""
    client.method(1, 30 << 16 | 10, b"\x05/data\x1f")

    assert client.session.take_output() == bytes.fromhex("0100010000000600 1e000b0001ce")
    assert client.say(1, basic.Qos()) == [basic.QosOk()]


def test_credit_is_about_a_consumer(client: SilentClient) -> None:
    """Row 77."""
    client.method(1, 60 << 16 | 200, b"\x01z\0\0\0\5\0")

    text = "PRECONDITION_FAILED - unknown consumer tag 'z'"
    assert client.heard() == [channel.Close(406, text, 60, 200)]

    client.method(2, 60 << 16 | 200, b"\x01z\0\0")
    (answer,) = client.heard()
    assert isinstance(answer, connection.Close)
    assert answer.reply_text == "FRAME_ERROR - cannot decode <<1,122,0,0>>"


def credit(client: SilentClient, count: int, *, drain: bool = False) -> None:
    client.method(1, 60 << 16 | 200, b"\x01z" + count.to_bytes(4, "big") + bytes((drain,)))


def credit_ok(available: int) -> bytes:
    return encode_method(1, (60 << 16 | 201).to_bytes(4, "big") + available.to_bytes(4, "big"))


def test_credit_is_how_many_messages_a_consumer_has_instead_of_its_prefetch_count(
    client: SilentClient,
) -> None:
    """Row 77."""
    client.say(1, queue.Declare("q"), basic.Qos(prefetch_count=1), basic.Consume("q", "z"))
    client.publish("q", b"m0", b"m1", b"m2", b"m3", b"m4")

    credit(client, 2)
    output = client.session.take_output()
    client.say(1, basic.Ack(1))

    assert output.startswith(credit_ok(4))
    assert [
        bytes(command.body) for command in Decoder().feed(output.removeprefix(credit_ok(4)))
    ] == [b"m1", b"m2"]
    assert client.bodies() == []


def test_draining_a_queue_is_an_internal_error(client: SilentClient) -> None:
    """Row 77. RabbitMQ 3.10 stumbles over telling the client that there is no more."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "z"))

    credit(client, 2, drain=True)

    output = client.session.take_output()
    assert output.startswith(credit_ok(0))
    (close,) = Decoder().feed(output.removeprefix(credit_ok(0)))
    assert close.method == connection.Close(541, "INTERNAL_ERROR", 0, 0)


# ---------------------------------------------------------------------------------- topology


def test_topology_is_declared_and_deleted(client: SilentClient) -> None:
    assert client.say(
        1,
        exchange.Declare("x", "direct"),
        exchange.Declare("y", "direct"),
        exchange.Declare("x", passive=True),
        exchange.Bind("y", "x", "k"),
        queue.Declare("q"),
        queue.Bind("q", "y", "k"),
        queue.Purge("q"),
        queue.Unbind("q", "y", "k"),
        exchange.Unbind("y", "x", "k"),
        queue.Delete("q"),
        exchange.Delete("x"),
    ) == [
        exchange.DeclareOk(),
        exchange.DeclareOk(),
        exchange.DeclareOk(),
        exchange.BindOk(),
        queue.DeclareOk("q"),
        queue.BindOk(),
        queue.PurgeOk(),
        queue.UnbindOk(),
        exchange.UnbindOk(),
        queue.DeleteOk(),
        exchange.DeleteOk(),
    ]


def test_what_a_consumer_has_is_not_counted_when_its_queue_is_purged_or_deleted(
    client: SilentClient,
) -> None:
    """Row 113."""
    client.say(1, queue.Declare("q"))
    client.publish("q", b"taken", b"1", b"2")
    client.say(1, basic.Get("q"))

    assert client.say(1, queue.Purge("q")) == [queue.PurgeOk(2)]
    client.publish("q", b"3")
    assert client.say(1, queue.Delete("q")) == [queue.DeleteOk(1)]


def test_no_wait_means_no_reply(client: SilentClient) -> None:
    """Row 103, row 168."""
    assert (
        client.say(
            1,
            exchange.Declare("x", "direct", no_wait=True),
            queue.Declare("q", no_wait=True),
            queue.Bind("q", "x", "k", no_wait=True),
            basic.Consume("q", "c", no_wait=True),
            basic.Cancel("c", no_wait=True),
            confirm.Select(no_wait=True),
            queue.Purge("q", no_wait=True),
            queue.Delete("q", no_wait=True),
            exchange.Delete("x", no_wait=True),
        )
        == []
    )


def test_a_mistake_is_answered_even_with_no_wait(client: SilentClient) -> None:
    """Row 103."""
    client.say(1, queue.Declare("q"))

    (answer,) = client.say(1, queue.Declare("q", durable=True, no_wait=True))

    assert isinstance(answer, channel.Close)


def test_an_empty_name_is_the_queue_declared_last_on_the_channel(client: SilentClient) -> None:
    (declared,) = client.say(1, queue.Declare(exclusive=True))
    assert isinstance(declared, queue.DeclareOk)

    assert client.say(1, queue.Bind("", "amq.direct", ""), basic.Get()) == [
        queue.BindOk(),
        basic.GetEmpty(),
    ]
    client.publish(declared.queue, b"m", exchange="amq.direct")
    assert client.say(1, queue.Purge()) == [queue.PurgeOk(1)]
    assert client.say(1, queue.Delete()) == [queue.DeleteOk()]
    text = f"NOT_FOUND - no queue '{declared.queue}' in vhost '/'"
    assert client.say(1, basic.Get()) == channel_close(404, text, basic.Get)


@pytest.mark.parametrize(
    "method",
    [
        basic.Consume(),
        basic.Get(),
        queue.Bind("", "amq.direct", ""),
        queue.Unbind("", "amq.direct", ""),
        queue.Purge(),
        queue.Delete(),
    ],
)
def test_an_empty_name_needs_a_queue_that_was_declared(
    client: SilentClient, method: Method
) -> None:
    text = "NOT_FOUND - no previously declared queue"

    assert client.say(1, method) == channel_close(404, text, type(method))


def test_declare_ok_counts_ready_messages_and_consumers(client: SilentClient) -> None:
    """Row 122. RabbitMQ may miss the latest ones."""
    client.say(1, queue.Declare("q"))
    client.publish("q", b"1", b"2", b"3")
    client.say(1, basic.Qos(0, 1), basic.Consume("q"))

    assert client.say(1, queue.Declare("q", passive=True)) == [queue.DeclareOk("q", 2, 1)]


# ---------------------------------------------------------------------------------- publishing


def test_an_unroutable_message_comes_back_if_it_is_mandatory(client: SilentClient) -> None:
    assert client.publish("none", b"m") == []

    client.raw(
        encode_command(
            Command(1, basic.Publish("", "none", True), Properties(message_id="1"), b"m")
        )
    )

    (returned,) = client.commands()
    assert returned.method == basic.Return(312, "NO_ROUTE", "", "none")
    assert (returned.properties, returned.body) == (Properties(message_id="1"), b"m")


def test_the_return_comes_before_the_confirm(client: SilentClient) -> None:
    client.say(1, confirm.Select())

    assert client.publish("none", b"m", mandatory=True) == [
        basic.Return(312, "NO_ROUTE", "", "none"),
        basic.Ack(1),
    ]


def test_what_comes_in_one_piece_is_confirmed_in_one(client: SilentClient) -> None:
    """Rows 153 and 154."""
    client.say(1, queue.Declare("q"), confirm.Select())

    assert client.publish("q", *(b"m",) * 20) == [basic.Ack(20, multiple=True)]
    assert client.publish("q", b"m") == [basic.Ack(21)]


def test_a_nack_says_multiple_and_requeue_even_of_one(client: SilentClient) -> None:
    """Row 159."""
    limits: FieldTable = {"x-max-length": 2, "x-overflow": "reject-publish"}
    client.say(1, confirm.Select(), queue.Declare("q", arguments=limits))

    assert client.publish("q", b"0", b"1", b"2") == [basic.Ack(2, True), basic.Nack(3, True, True)]
    client.raw(encode_command(Command(1, basic.Publish("", "q"), Properties(), b"")))
    output = client.session.take_output()
    assert output == bytes.fromhex("01 0001 0000000d 003c 0078 0000000000000004 03 ce")


def test_unroutable_messages_are_confirmed_at_once_and_singly(client: SilentClient) -> None:
    """Rows 153 and 155."""
    client.say(1, queue.Declare("q"), confirm.Select())
    octets = b"".join(
        encode_command(Command(1, basic.Publish("", key), Properties(), b"m"))
        for key in ("none", "q", "none", "q")
    )

    client.raw(octets)

    assert client.heard() == [basic.Ack(1), basic.Ack(3), basic.Ack(4, multiple=True)]


def test_selecting_confirms_twice_does_not_begin_to_count_again(client: SilentClient) -> None:
    client.say(1, confirm.Select())
    client.publish("none", b"m")

    assert client.say(1, confirm.Select()) == [confirm.SelectOk()]
    assert client.publish("none", b"m") == [basic.Ack(2)]


def test_confirms_that_were_due_are_lost_with_the_channel(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"), confirm.Select())
    good = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m"))
    bad = encode_command(Command(1, basic.Publish("none", "q"), Properties(), b"m"))

    client.raw(good + bad + good)

    text = "NOT_FOUND - no exchange 'none' in vhost '/'"
    assert client.heard() == channel_close(404, text, basic.Publish)
    assert client.vhost.queues["q"].message_count == 1


def test_closing_a_channel_does_not_wait_for_confirms(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"), confirm.Select())
    publish = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m"))

    client.raw(publish + encode_command(Command(1, channel.Close(200, ""))))

    assert client.heard() == [channel.CloseOk()]


def test_immediate_is_not_implemented_by_rabbitmq_either(client: SilentClient) -> None:
    """Row 142."""
    text = "NOT_IMPLEMENTED - immediate=true"

    assert client.publish("q", b"m", immediate=True) == connection_close(540, text, basic.Publish)
    assert client.node.refused == []


def test_a_message_may_be_too_large(client: SilentClient) -> None:
    """Row 146."""
    client.node.max_message_size = 3

    text = "PRECONDITION_FAILED - message size 4 is larger than configured max size 3"
    assert client.publish("none", b"1234", exchange="none") == channel_close(
        406, text, basic.Publish
    )


def test_properties_come_out_octet_for_octet(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    # a table that no encoder would write: a key twice, and a boolean of 5
    table = b"\x01kt\x05\x01kV"
    client.frame(1, 1, basic.Publish("", "q").encode())
    client.frame(
        2,
        1,
        b"\0<\0\0" + b"\0" * 8 + b"\x20\0" + len(table).to_bytes(4, "big") + table,
    )

    client.raw(encode_command(Command(1, basic.Get("q"))))

    assert len(table).to_bytes(4, "big") + table in client.session.take_output()


# ---------------------------------------------------------------------------------- consuming


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


# ---------------------------------------------------------------------------------- heartbeats


def test_the_broker_beats_when_it_has_been_quiet_for_half_the_interval() -> None:
    """Row 52."""
    client = SilentClient().open(1, heartbeat=4)

    client.clock.advance(1.5)
    client.say(1, basic.Qos())
    client.clock.advance(1.5)
    assert client.heard() == []

    client.clock.advance(0.5)
    assert client.heard() == [HEARTBEAT]
    client.clock.advance(2)
    assert client.heard() == [HEARTBEAT]


def test_a_client_that_is_silent_for_two_intervals_is_reset() -> None:
    """Row 52."""
    client = SilentClient().open(1, heartbeat=2)

    client.clock.advance(5.9)
    assert client.session.is_open
    client.clock.advance(0.1)

    assert client.session.ending is not None
    assert client.vhost.queues == {}


def test_any_octet_keeps_a_connection_alive() -> None:
    client = SilentClient().open(1, heartbeat=2)

    for _ in range(10):
        client.clock.advance(3)
        client.frame(8, 0, b"")

    assert client.session.is_open


def test_without_heartbeats_nobody_looks(client: SilentClient) -> None:
    client.clock.advance(100_000)

    assert client.session.is_open
    assert client.heard() == []


def test_a_short_heartbeat_shortens_the_wait_for_close_ok() -> None:
    """Row 46."""
    client = SilentClient().open(1, heartbeat=5)
    client.say(1, channel.Open())

    for _ in range(4):
        client.clock.advance(1)
        client.frame(8, 0, b"")
    assert client.session.ending is None
    client.clock.advance(1)
    assert client.session.ending is not None
