"""Exchanges, queues and bindings of a channel."""

import pytest

from amqp_codec import Method, basic, channel, confirm, exchange, queue
from fake_broker_support import SilentClient, channel_close


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
