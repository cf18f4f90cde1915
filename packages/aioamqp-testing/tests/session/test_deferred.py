"""What waits until all frames of a read are processed."""

from aioamqp_testing.session import Ending
from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    Method,
    Properties,
    basic,
    channel,
    confirm,
    connection,
    encode_command,
    queue,
)
from fake_broker_support import SilentClient, start_ok


def a_method(number: int, method: object) -> bytes:
    return encode_command(Command(number, method))  # type: ignore[arg-type]


def test_close_ok_comes_behind_the_replies_of_other_channels(client: SilentClient) -> None:
    """Row 72."""
    client.raw(a_method(1, channel.Close(200, "")) + a_method(2, queue.Declare("q")))

    assert [(command.channel, command.method) for command in client.commands()] == [
        (2, queue.DeclareOk("q")),
        (1, channel.CloseOk()),
    ]


def test_a_closed_channel_drops_commands_until_the_end_of_the_read(client: SilentClient) -> None:
    answer = client.say(1, channel.Close(200, ""), queue.Declare("dropped"))

    assert answer == [channel.CloseOk()]
    assert client.vhost.queues == {}
    assert client.say(1, channel.Open(), queue.Declare("q")) == [
        channel.OpenOk(),
        queue.DeclareOk("q"),
    ]


def test_a_channel_may_be_opened_again_behind_close_ok_in_the_read_that_closed_it(
    client: SilentClient,
) -> None:
    assert client.say(1, channel.Close(200, ""), channel.CloseOk(), channel.Open()) == [
        channel.OpenOk()
    ]


def test_an_error_that_ends_the_connection_waits_for_the_other_channels(
    client: SilentClient,
) -> None:
    client.say(1, queue.Declare("q"))

    client.raw(
        a_method(1, basic.Qos(prefetch_size=1))
        + a_method(1, queue.Purge("q"))
        + a_method(2, queue.Declare("other"))
    )

    first, second = client.heard()
    assert first == queue.DeclareOk("other")
    assert isinstance(second, connection.Close)
    assert (second.reply_code, second.class_id, second.method_id) == (540, 60, 10)


def test_connection_close_of_the_client_is_answered_with_the_error_that_came_before_it(
    client: SilentClient,
) -> None:
    client.raw(a_method(1, basic.Qos(prefetch_size=1)) + a_method(0, connection.Close(200, "")))

    (answer,) = client.heard()
    assert isinstance(answer, connection.Close)
    assert answer.reply_code == 540


def test_deliveries_of_a_large_read_are_sent_before_its_end(client: SilentClient) -> None:
    """The mailbox of a channel holds 256 KiB, of which a delivery without a body takes 100 bytes."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "c", no_ack=True))
    publish = encode_command(Command(1, basic.Publish("", "q"), Properties(), b""))

    client.raw(publish * 3000 + a_method(1, queue.Declare("q")))

    answers = client.heard()
    assert len(answers) == 3001
    assert answers.index(queue.DeclareOk("q", 0, 1)) == 0x40000 // 100 + 1


def test_a_read_that_is_processed_in_slices_is_one_read(client: SilentClient) -> None:
    """Row U47. Deliveries and publisher confirms still follow the replies."""
    client.say(1, queue.Declare("q"), queue.Declare("r"))
    other = SilentClient(client.node, client.clock).open(1)
    slow = SilentClient(client.node, client.clock, schedule=lambda: None)
    slow.session.receive_data(PROTOCOL_HEADER)
    slow.session.read()
    for method in (start_ok(), connection.TuneOk(2047, 131072, 0), connection.Open("/")):
        slow.session.receive_data(a_method(0, method))
        slow.session.read()
    slow.heard()

    publish = encode_command(Command(1, basic.Publish("", "q"), Properties(), b"x"))
    slow.session.receive_data(
        a_method(1, channel.Open())
        + a_method(1, confirm.Select())
        + a_method(1, basic.Consume("q", "c"))
        + 3 * publish
        + a_method(1, queue.Declare("r"))
    )
    heard: list[list[Method]] = []
    while not heard or slow.session.has_more:
        slow.session.read(1)
        heard.append(slow.heard())
        other.publish("q", b"y")  # between two slices, from another connection

    assert [names(methods) for methods in heard[:-1] if methods] == [
        ["channel.open-ok"],
        ["confirm.select-ok"],
        ["queue.declare-ok"],
    ]
    assert names(heard[-1])[0] == "basic.consume-ok"
    assert names(heard[-1])[-1] == "basic.ack"
    assert names(heard[-1]).count("basic.deliver") > 3


def names(methods: list[Method]) -> list[str]:
    return [method.NAME for method in methods]


def test_a_client_whose_read_is_processed_in_slices_is_not_taken_for_dead() -> None:
    """Row U47. The broker has not looked at the heartbeats yet that have come meanwhile."""
    client = SilentClient(schedule=lambda: None)
    client.session.receive_data(PROTOCOL_HEADER)
    client.session.read()
    for method in (start_ok(), connection.TuneOk(2047, 131072, 1), connection.Open("/")):
        client.session.receive_data(a_method(0, method))
        client.session.read()
    client.session.receive_data(
        a_method(1, channel.Open()) + b"".join(9 * [a_method(1, queue.Declare("q"))])
    )

    client.session.read(1)
    while client.session.has_more:
        client.clock.advance(1)
        client.session.read(1)
    assert client.session.is_open
    client.clock.advance(3)

    assert client.session.ending is Ending.RESET
