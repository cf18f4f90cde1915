"""The consumer of direct replies on a channel."""

import pytest

from amqp_codec import Command, Method, Properties, basic, channel, encode_command, queue
from fake_broker_support import SilentClient, channel_close, connection_close

REPLY_TO = "amq.rabbitmq.reply-to"


def ask(client: SilentClient) -> str:
    """Consume direct replies and publish a request; return the address that the server gets."""
    client.say(1, queue.Declare("rpc"), basic.Consume(REPLY_TO, "c", no_ack=True))
    client.publish("rpc", b"request", reply_to=REPLY_TO)
    client.raw(encode_command(Command(2, basic.Get("rpc", no_ack=True))))
    (request,) = client.commands()
    assert request.properties is not None
    assert request.properties.reply_to is not None
    return request.properties.reply_to


def test_a_reply_has_the_next_delivery_tag_and_does_not_use_it_up(client: SilentClient) -> None:
    address = ask(client)

    for _ in range(2):
        assert client.publish(address, b"reply", number=2) == [
            basic.Deliver("c", 1, False, "", address)
        ]


@pytest.mark.parametrize("end", [basic.Cancel("c"), channel.Close(200, "")])
def test_a_reply_to_a_consumer_that_has_ended_is_dropped(client: SilentClient, end: Method) -> None:
    address = ask(client)
    client.say(1, end)

    assert client.publish(address, b"late", number=2) == []


def test_a_reply_that_is_on_its_way_when_the_consumer_ends_is_dropped(
    client: SilentClient,
) -> None:
    address = ask(client)
    publish = encode_command(Command(1, basic.Publish("", address), Properties(), b"late"))

    client.raw(publish + encode_command(Command(1, basic.Cancel("c"))))

    assert client.heard() == [basic.CancelOk("c")]


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        ([basic.Consume(REPLY_TO)], "reply consumer cannot acknowledge"),
        ([basic.Consume(REPLY_TO, no_ack=True)] * 2, "reply consumer already set"),
    ],
)
def test_there_is_one_consumer_at_most_and_it_cannot_acknowledge(
    client: SilentClient, methods: list[Method], text: str
) -> None:
    *_, answer = client.say(1, *methods)

    assert [answer] == channel_close(406, f"PRECONDITION_FAILED - {text}", basic.Consume)


def test_an_address_is_a_queue_for_other_channels_only(client: SilentClient) -> None:
    address = ask(client)

    assert client.say(2, queue.Declare(address)) == [queue.DeclareOk(address, 0, 1)]
    close = connection_close(541, "INTERNAL_ERROR", queue.Declare)
    close[0].class_id = close[0].method_id = 0  # type: ignore[attr-defined]
    assert client.say(1, queue.Declare(address)) == close
