"""Transactions: publishes and acknowledgements take effect at the commit."""

from typing import Any

import pytest

from amqp_codec import Command, Properties, basic, channel, confirm, queue, tx
from tests.conformance.client import OpenClient, publish
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    drain,
    exclusive_queue,
    refusal,
    scenario,
)


@scenario
async def test_messages_published_in_a_transaction_are_routed_at_the_commit(
    connect: Connect, name: str
) -> None:
    """Row 160."""
    protocol = await connect()
    channel, reader = await protocol.channel(), await protocol.channel()
    await exclusive_queue(channel, name)

    assert await channel.tx_select() is True
    await channel.publish(b"1", "", name)
    await channel.publish(b"2", "", name)
    before = await drain(reader, name)
    assert await channel.tx_commit() is True

    assert before == []
    assert await drain(reader, name) == [b"1", b"2"]


@scenario
async def test_messages_published_in_a_transaction_are_discarded_by_a_rollback(
    connect: Connect, name: str
) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name)
    await channel.tx_select()

    await channel.publish(b"lost", "", name)
    assert await channel.tx_rollback() is True
    await channel.publish(b"kept", "", name)
    await channel.tx_commit()

    assert await drain(channel, name) == [b"kept"]


@scenario
async def test_confirm_mode_and_transactions_exclude_each_other(connect: Connect) -> None:
    channel = await (await connect()).channel()
    await channel.tx_select()

    assert await refusal(channel.confirm_select()) == (
        406,
        "PRECONDITION_FAILED - cannot switch from tx to confirm mode",
    )


@scenario
async def test_a_commit_outside_a_transaction_is_refused(connect: Connect) -> None:
    channel = await (await connect()).channel()

    assert await refusal(channel.tx_commit()) == (
        406,
        "PRECONDITION_FAILED - channel is not transactional",
    )


@scenario
async def test_a_missing_exchange_is_refused_before_the_commit(
    open_client: OpenClient, name: str
) -> None:
    """Row 160. Messages published before it in the transaction are discarded."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True), tx.Select(), publish(name))

    assert await client.refusal(publish("k", f"{name}-missing")) == (
        404,
        f"NOT_FOUND - no exchange '{name}-missing' in vhost '/'",
    )
    assert await client.bodies(name) == []


@scenario
async def test_unroutable_mandatory_messages_are_returned_at_the_commit(
    open_client: OpenClient, name: str
) -> None:
    """Row 160. basic.return is sent before commit-ok."""
    client = await open_client()
    await client.call(tx.Select())
    assert await client.call(publish(name, mandatory=True, body=b"back"), publish(name)) == []

    client.send(tx.Commit())

    returned = basic.Return(312, "NO_ROUTE", "", name)
    assert await client.next_command() == Command(1, returned, Properties(), b"back")
    assert await client.next_command() == tx.CommitOk()


@scenario
async def test_a_message_is_routed_when_it_is_published_and_not_at_the_commit(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 160. Before 4.0, the default exchange routes to a queue that is declared later."""
    client = await open_client()
    await client.call(tx.Select(), publish(name, body=b"by name"), publish(name, "amq.direct"))
    await client.call(queue.Declare(name, exclusive=True), queue.Bind(name, "amq.direct", name))

    client.send(tx.Commit())

    assert await client.next_command() == tx.CommitOk()
    assert await client.bodies(name) == by_version({"3.10": [b"by name"], "4.0": []})


@scenario
async def test_acknowledgements_take_effect_at_the_commit(
    open_client: OpenClient, name: str
) -> None:
    """Row 161. After a rollback the delivery is unacknowledged again, with the same tag."""
    client = await open_client(1, 2)
    await client.call(queue.Declare(name, exclusive=True), publish(name, body=b"1"), tx.Select())
    (got,) = await client.call(basic.Get(name))
    assert isinstance(got, Command)
    assert got.method == basic.GetOk(1, False, "", name, 0)

    await client.call(basic.Ack(1))
    assert await client.call(tx.Rollback()) == [tx.RollbackOk()]
    assert await client.call(basic.Get(name)) == [basic.GetEmpty()]
    await client.call(basic.Ack(1))
    assert await client.call(tx.Commit()) == [tx.CommitOk()]
    assert await client.refusal(basic.Ack(1)) == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
    )
    assert await client.bodies(name) == []


@scenario
async def test_acknowledging_a_delivery_twice_in_a_transaction_is_an_error(
    open_client: OpenClient, name: str
) -> None:
    """Row 161. The channel is closed, and the message is requeued."""
    client = await open_client(1, 2)
    await client.call(queue.Declare(name, exclusive=True), publish(name), tx.Select())
    await client.call(basic.Get(name))

    assert await client.refusal(basic.Ack(1), basic.Ack(1)) == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
    )
    assert await client.bodies(name) == [b"m"]


@scenario
async def test_a_message_is_requeued_at_the_commit(open_client: OpenClient, name: str) -> None:
    """Row 162."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True), publish(name), tx.Select())
    await client.call(basic.Get(name))

    await client.call(basic.Nack(1, requeue=True))
    assert await client.call(basic.Get(name)) == [basic.GetEmpty()]
    assert await client.call(tx.Commit()) == [tx.CommitOk()]

    again = await client.get(name)
    assert again is not None
    assert again.method == basic.GetOk(2, True, "", name, 0)


@scenario
async def test_recover_does_not_requeue_deliveries_acknowledged_in_the_transaction(
    open_client: OpenClient, name: str
) -> None:
    client = await open_client()
    await client.call(
        queue.Declare(name, exclusive=True), publish(name, body=b"1"), publish(name, body=b"2")
    )
    await client.call(tx.Select(), basic.Get(name), basic.Get(name), basic.Ack(1))

    assert await client.call(basic.Recover(requeue=True)) == [basic.RecoverOk()]

    assert await client.bodies(name) == [b"2"]


@scenario
async def test_closing_a_channel_discards_its_transaction(
    open_client: OpenClient, name: str
) -> None:
    """Row 163. Selecting twice is not an error."""
    client = await open_client(1, 2)
    await client.call(queue.Declare(name, exclusive=True), publish(name, body=b"unacked"))
    assert await client.call(tx.Select(), tx.Select()) == [tx.SelectOk(), tx.SelectOk()]
    await client.call(basic.Get(name), basic.Ack(1), publish(name, body=b"dropped"))

    client.send(channel.Close(200, "bye"))
    assert await client.next_command() == channel.CloseOk()

    client.send(channel.Open())
    assert await client.next_command() == channel.OpenOk()
    assert await client.bodies(name) == [b"unacked"]


@pytest.mark.parametrize("method", [tx.Commit(), tx.Rollback()])
@scenario
async def test_commit_and_rollback_without_select_are_refused(
    open_client: OpenClient, method: tx.Commit | tx.Rollback
) -> None:
    """Row 164."""
    client = await open_client()

    assert await client.refusal(method) == (
        406,
        "PRECONDITION_FAILED - channel is not transactional",
    )


@scenario
async def test_a_channel_in_confirm_mode_has_no_transactions(open_client: OpenClient) -> None:
    """Row 152."""
    client = await open_client()

    assert await client.call(confirm.Select()) == [confirm.SelectOk()]
    assert await client.refusal(tx.Select()) == (
        406,
        "PRECONDITION_FAILED - cannot switch from confirm to tx mode",
    )


@scenario
async def test_a_commit_into_a_full_queue_is_partial(open_client: OpenClient, name: str) -> None:
    """Row 165. Messages routed to other queues are kept."""
    client = await open_client()
    other = f"{name}-other"
    full: dict[str, Any] = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await client.call(queue.Declare(name, exclusive=True, arguments=full), publish(name))
    await client.call(queue.Declare(other, exclusive=True))
    await client.call(tx.Select(), publish(name, headers={"CC": [other]}))

    client.send(tx.Commit())

    assert await client.next_command() == channel.Close(
        406, "PRECONDITION_FAILED - partial tx completion", 90, 20
    )
    client.send(channel.CloseOk(), channel.Open())
    assert await client.next_command() == channel.OpenOk()
    assert await client.bodies(other) == [b"m"]


@scenario
async def test_a_method_during_a_commit_is_a_connection_error(
    open_client: OpenClient, name: str
) -> None:
    """Row 76: the commit waits for the queues that messages were routed to."""
    client = await open_client()
    messages = [publish(name)] * 200  # else a queue may be faster than the reader
    await client.call(queue.Declare(name, exclusive=True), tx.Select(), *messages)

    assert await client.refusal(tx.Commit(), basic.Qos()) == (
        504,
        "CHANNEL_ERROR - unexpected command while processing 'tx.commit'",
    )


@scenario
async def test_a_commit_without_routed_messages_is_processed_at_once(
    open_client: OpenClient, name: str
) -> None:
    """Row 76."""
    client = await open_client()
    await client.call(tx.Select(), publish(name))

    assert await client.call(tx.Commit(), basic.Qos()) == [tx.CommitOk(), basic.QosOk()]
