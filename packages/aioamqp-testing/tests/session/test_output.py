"""What is sent to a client, and clients that do not read."""

import struct

from amqp_codec import Command, Properties, basic, encode_command, queue
from fake_broker_support import SilentClient, a_message


def test_a_large_body_leaves_in_frames_of_the_agreed_size() -> None:
    """Row 150."""
    client = SilentClient().open(1, frame_max=4096)
    client.say(1, queue.Declare("q"))
    client.raw(encode_command(Command(1, basic.Publish("", "q"), Properties(), b"y" * 10000), 4096))

    client.raw(encode_command(Command(1, basic.Get("q", no_ack=True))))
    data, sizes = client.session.take_output(), []
    while data:
        frame_type, _, size = struct.unpack(">BHI", data[:7])
        sizes += [size] if frame_type == 3 else []
        data = data[size + 8 :]

    assert sizes == [4088, 4088, 1824]


def test_properties_that_are_too_large_for_one_client_do_not_harm_another() -> None:
    client = SilentClient().open(1)
    small = SilentClient(client.node, client.clock).open(1, frame_max=4096)
    small.say(1, queue.Declare("q"), basic.Consume("q", "c"))

    assert client.publish("q", b"m", headers={"large": "x" * 5000}) == []

    assert client.session.is_open
    assert small.bodies() == [b"m"]


A_THIRD = bytes(100 * 1024)  # of what a session has ready at most, and a little more


def test_deliveries_wait_until_the_output_is_taken(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    for _ in range(10):
        client.vhost.queues["q"].publish(a_message(A_THIRD))

    client.raw(encode_command(Command(1, basic.Consume("q", "c", no_ack=True))))

    assert client.vhost.queues["q"].message_count == 7
    deliveries = 0
    while heard := client.heard():
        deliveries += sum(isinstance(method, basic.Deliver) for method in heard)
    assert deliveries == 10


def test_a_client_that_does_not_read_is_not_read_from(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    client.session.output.pause()

    assert client.say(1, queue.Declare("later")) == []

    client.session.output.resume()
    assert client.heard() == [queue.DeclareOk("later")]


def test_many_answers_wait_as_deliveries_do(client: SilentClient) -> None:
    client.say(1, queue.Declare("q"))
    for _ in range(10):
        client.vhost.queues["q"].publish(a_message(A_THIRD))

    gets = encode_command(Command(1, basic.Get("q", no_ack=True))) * 10
    client.raw(gets)

    assert client.vhost.queues["q"].message_count == 7
    answers = 0
    while heard := client.heard():
        answers += len(heard)
    assert answers == 10


def test_a_prefetch_of_the_channel_counts_on_when_the_client_reads_again(
    client: SilentClient,
) -> None:
    client.say(1, queue.Declare("q"), basic.Qos(0, 2, True), basic.Consume("q", "c"))
    client.publish("q", b"1")
    client.session.output.pause()
    for body in (b"2", b"3"):
        client.vhost.queues["q"].publish(a_message(body))
    client.vhost.agenda.run_pending()
    assert client.bodies() == []

    client.session.output.resume()
    assert client.bodies() == [b"2"]

    client.say(1, basic.Ack(1))
    assert client.vhost.queues["q"].message_count == 0


def test_a_message_of_another_client_waits_for_the_one_that_does_not_read() -> None:
    slow = SilentClient().open(1)
    slow.say(1, queue.Declare("q"), basic.Consume("q", "c", no_ack=True))
    publisher = slow.another(1)
    slow.session.output.pause()

    publisher.raw(encode_command(Command(1, basic.Publish("", "q"), Properties(), b"m")))

    assert slow.bodies() == []
    assert slow.vhost.queues["q"].message_count == 1
    slow.session.output.resume()
    assert slow.bodies() == [b"m"]
