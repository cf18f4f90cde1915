"""Transactions: what is published and acknowledged waits for the commit."""

from typing import Any

import pytest

from amqp_codec import Command, Properties, basic, channel, confirm, queue, tx
from tests.conformance.scenario import (
    Connect,
    drained,
    exclusive_queue,
    refusal,
    scenario,
)
from tests.conformance.wire import OpenWire, publish


@scenario
async def test_what_is_published_in_a_transaction_is_there_when_it_is_committed(
    connect: Connect, name: str
) -> None:
    """Row 160."""
    protocol = await connect()
    channel, reader = await protocol.channel(), await protocol.channel()
    await exclusive_queue(channel, name)

    assert await channel.tx_select() is True
    await channel.publish(b"1", "", name)
    await channel.publish(b"2", "", name)
    before = await drained(reader, name)
    assert await channel.tx_commit() is True

    assert before == []
    assert await drained(reader, name) == [b"1", b"2"]


@scenario
async def test_what_is_published_in_a_transaction_is_lost_when_it_is_rolled_back(
    connect: Connect, name: str
) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name)
    await channel.tx_select()

    await channel.publish(b"lost", "", name)
    assert await channel.tx_rollback() is True
    await channel.publish(b"kept", "", name)
    await channel.tx_commit()

    assert await drained(channel, name) == [b"kept"]


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
    open_wire: OpenWire, name: str
) -> None:
    """Row 160. What was published before it is lost."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True), tx.Select(), publish(name))

    assert await wire.refusal(publish("k", f"{name}-missing")) == (
        404,
        f"NOT_FOUND - no exchange '{name}-missing' in vhost '/'",
    )
    assert await wire.bodies(name) == []


@scenario
async def test_what_is_mandatory_comes_back_at_the_commit(open_wire: OpenWire, name: str) -> None:
    """Row 160. Returns come before commit-ok."""
    wire = await open_wire()
    await wire.say(tx.Select())
    assert await wire.say(publish(name, mandatory=True, body=b"back"), publish(name)) == []

    wire.send(tx.Commit())

    returned = basic.Return(312, "NO_ROUTE", "", name)
    assert await wire.hear() == Command(1, returned, Properties(), b"back")
    assert await wire.hear() == tx.CommitOk()


@scenario
async def test_a_message_is_routed_when_it_is_published_and_not_at_the_commit(
    open_wire: OpenWire, name: str
) -> None:
    """Row 160. Only the default exchange names queues that may be declared meanwhile."""
    wire = await open_wire()
    await wire.say(tx.Select(), publish(name, body=b"by name"), publish(name, "amq.direct"))
    await wire.say(queue.Declare(name, exclusive=True), queue.Bind(name, "amq.direct", name))

    wire.send(tx.Commit())

    assert await wire.hear() == tx.CommitOk()
    assert await wire.bodies(name) == [b"by name"]


@scenario
async def test_acknowledgements_wait_for_the_commit(open_wire: OpenWire, name: str) -> None:
    """Row 161. A rollback gives the delivery back to the channel, under its tag."""
    wire = await open_wire(1, 2)
    await wire.say(queue.Declare(name, exclusive=True), publish(name, body=b"1"), tx.Select())
    (got,) = await wire.say(basic.Get(name))
    assert isinstance(got, Command)
    assert got.method == basic.GetOk(1, False, "", name, 0)

    await wire.say(basic.Ack(1))
    assert await wire.say(tx.Rollback()) == [tx.RollbackOk()]
    assert await wire.say(basic.Get(name)) == [basic.GetEmpty()]
    await wire.say(basic.Ack(1))
    assert await wire.say(tx.Commit()) == [tx.CommitOk()]
    assert await wire.refusal(basic.Ack(1)) == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
    )
    assert await wire.bodies(name) == []


@scenario
async def test_a_delivery_is_acknowledged_once_in_a_transaction_too(
    open_wire: OpenWire, name: str
) -> None:
    """Row 161. The channel ends, and the message is back in the queue."""
    wire = await open_wire(1, 2)
    await wire.say(queue.Declare(name, exclusive=True), publish(name), tx.Select())
    await wire.say(basic.Get(name))

    assert await wire.refusal(basic.Ack(1), basic.Ack(1)) == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 1",
    )
    assert await wire.bodies(name) == [b"m"]


@scenario
async def test_a_message_is_requeued_at_the_commit(open_wire: OpenWire, name: str) -> None:
    """Row 162."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True), publish(name), tx.Select())
    await wire.say(basic.Get(name))

    await wire.say(basic.Nack(1, requeue=True))
    assert await wire.say(basic.Get(name)) == [basic.GetEmpty()]
    assert await wire.say(tx.Commit()) == [tx.CommitOk()]

    again = await wire.get(name)
    assert again is not None
    assert again.method == basic.GetOk(2, True, "", name, 0)


@scenario
async def test_recovering_leaves_alone_what_is_acknowledged_in_the_transaction(
    open_wire: OpenWire, name: str
) -> None:
    wire = await open_wire()
    await wire.say(
        queue.Declare(name, exclusive=True), publish(name, body=b"1"), publish(name, body=b"2")
    )
    await wire.say(tx.Select(), basic.Get(name), basic.Get(name), basic.Ack(1))

    assert await wire.say(basic.Recover(requeue=True)) == [basic.RecoverOk()]

    assert await wire.bodies(name) == [b"2"]


@scenario
async def test_a_channel_that_ends_drops_its_transaction(open_wire: OpenWire, name: str) -> None:
    """Row 163. Selecting twice is no mistake."""
    wire = await open_wire(1, 2)
    await wire.say(queue.Declare(name, exclusive=True), publish(name, body=b"unacked"))
    assert await wire.say(tx.Select(), tx.Select()) == [tx.SelectOk(), tx.SelectOk()]
    await wire.say(basic.Get(name), basic.Ack(1), publish(name, body=b"dropped"))

    wire.send(channel.Close(200, "bye"))
    assert await wire.hear() == channel.CloseOk()

    wire.send(channel.Open())
    assert await wire.hear() == channel.OpenOk()
    assert await wire.bodies(name) == [b"unacked"]


@pytest.mark.parametrize("method", [tx.Commit(), tx.Rollback()])
@scenario
async def test_there_is_nothing_to_commit_or_roll_back_without_a_select(
    open_wire: OpenWire, method: tx.Commit | tx.Rollback
) -> None:
    """Row 164."""
    wire = await open_wire()

    assert await wire.refusal(method) == (
        406,
        "PRECONDITION_FAILED - channel is not transactional",
    )


@scenario
async def test_a_channel_in_confirm_mode_has_no_transactions(open_wire: OpenWire) -> None:
    """Row 152."""
    wire = await open_wire()

    assert await wire.say(confirm.Select()) == [confirm.SelectOk()]
    assert await wire.refusal(tx.Select()) == (
        406,
        "PRECONDITION_FAILED - cannot switch from confirm to tx mode",
    )


@scenario
async def test_a_commit_into_a_full_queue_is_partial(open_wire: OpenWire, name: str) -> None:
    """Row 165. What was routed to other queues is there all the same."""
    wire = await open_wire()
    other = f"{name}-other"
    full: dict[str, Any] = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await wire.say(queue.Declare(name, exclusive=True, arguments=full), publish(name))
    await wire.say(queue.Declare(other, exclusive=True))
    await wire.say(tx.Select(), publish(name, headers={"CC": [other]}))

    wire.send(tx.Commit())

    assert await wire.hear() == channel.Close(
        406, "PRECONDITION_FAILED - partial tx completion", 90, 20
    )
    wire.send(channel.CloseOk(), channel.Open())
    assert await wire.hear() == channel.OpenOk()
    assert await wire.bodies(other) == [b"m"]


@scenario
async def test_nothing_may_be_asked_while_a_commit_goes_on(open_wire: OpenWire, name: str) -> None:
    """Row 76: queues need a while for what was routed to them."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True), tx.Select(), publish(name))

    assert await wire.refusal(tx.Commit(), basic.Qos()) == (
        504,
        "CHANNEL_ERROR - unexpected command while processing 'tx.commit'",
    )


@scenario
async def test_a_commit_without_anything_for_a_queue_is_done_at_once(
    open_wire: OpenWire, name: str
) -> None:
    """Row 76."""
    wire = await open_wire()
    await wire.say(tx.Select(), publish(name))

    assert await wire.say(tx.Commit(), basic.Qos()) == [tx.CommitOk(), basic.QosOk()]
