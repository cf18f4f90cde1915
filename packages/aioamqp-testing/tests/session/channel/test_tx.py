"""Transactions of a channel."""

from aioamqp_testing.session.channel.channel import Channel
from amqp_codec import Command, basic, channel, connection, queue, tx
from fake_broker_support import SilentClient

NOT_NOW = "CHANNEL_ERROR - unexpected command while processing 'tx.commit'"


def test_commit_ok_comes_when_all_input_is_dealt_with(client: SilentClient) -> None:
    """Row 76. The own delivery comes before it."""
    client.say(1, queue.Declare("q"), basic.Consume("q", "tag"), tx.Select())
    client.publish("q", b"1")

    assert client.say(1, tx.Commit()) == [
        basic.Deliver("tag", 1, False, "", "q"),
        tx.CommitOk(),
    ]


def test_behind_a_commit_there_is_only_the_end_of_the_channel(client: SilentClient) -> None:
    """Row 76. A channel that closes is not told of its commit."""
    client.say(1, queue.Declare("q"), tx.Select())
    client.publish("q", b"1")

    assert client.say(1, tx.Commit(), channel.Close(200, "bye")) == [channel.CloseOk()]
    assert client.vhost.queues["q"].message_count == 1

    client.say(2, tx.Select())
    client.publish("q", b"2", number=2)
    assert client.say(2, tx.Commit(), tx.Commit()) == [connection.Close(504, NOT_NOW, 90, 20)]


def test_a_channel_error_gives_back_what_a_transaction_would_have_acknowledged(
    client: SilentClient,
) -> None:
    """Rows 161 and 163: messages of basic.get with close-ok, as always."""
    client.say(1, queue.Declare("q"))
    client.publish("q", b"1", b"2")
    client.say(1, tx.Select(), basic.Get("q"), basic.Get("q"), basic.Ack(1))

    assert isinstance(client.say(1, basic.Ack(9))[0], channel.Close)
    assert client.vhost.queues["q"].message_count == 0
    client.say(1, channel.CloseOk())

    assert [message.body for message in client.vhost.queues["q"].messages] == [b"1", b"2"]


def test_a_consumer_gets_no_more_before_the_commit(client: SilentClient) -> None:
    """Row 161. What is rolled back counts as it did before."""
    client.say(1, queue.Declare("q"), basic.Qos(0, 1, True), basic.Consume("q", "tag"))
    client.publish("q", b"1", b"2")
    client.say(1, tx.Select(), basic.Ack(1))

    assert client.say(1, tx.Rollback()) == [tx.RollbackOk()]
    assert client.say(1, basic.Ack(1)) == []
    assert client.say(1, tx.Commit()) == [tx.CommitOk(), basic.Deliver("tag", 2, False, "", "q")]


def test_a_rollback_forgets_what_was_published_and_nothing_else(client: SilentClient) -> None:
    """Row 160."""
    client.say(1, queue.Declare("q"), tx.Select())
    client.publish("q", b"lost")

    assert client.say(1, tx.Rollback(), tx.Commit()) == [tx.RollbackOk(), tx.CommitOk()]
    assert client.vhost.queues["q"].message_count == 0


def test_a_connection_that_is_interfered_with_has_its_commits_answered(
    client: SilentClient,
) -> None:
    class Bystander:
        def on_received(self, command: Command) -> bool:
            return False

        def on_send(self, command: Command) -> bool:
            return False

        def on_confirm(self, channel: Channel, outcomes: dict[int, bool]) -> None:
            raise AssertionError("nothing is to be confirmed")

    client.say(1, queue.Declare("q"), tx.Select())
    client.session.interceptor = Bystander()
    client.publish("q", b"1")

    assert client.say(1, tx.Commit()) == [tx.CommitOk()]
