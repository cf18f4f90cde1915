"""Transactions: what is published and acknowledged waits for the commit."""

from tests.conformance.scenario import (
    Connect,
    drained,
    exclusive_queue,
    fails_on,
    refusal,
    scenario,
)

not_in_the_fake = fails_on("memory", "tcp", because="the fake refuses transactions so far")


@not_in_the_fake
@scenario
async def test_what_is_published_in_a_transaction_is_there_when_it_is_committed(
    connect: Connect, name: str
) -> None:
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


@not_in_the_fake
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


@not_in_the_fake
@scenario
async def test_confirm_mode_and_transactions_exclude_each_other(connect: Connect) -> None:
    channel = await (await connect()).channel()
    await channel.tx_select()

    assert await refusal(channel.confirm_select()) == (
        406,
        "PRECONDITION_FAILED - cannot switch from tx to confirm mode",
    )


@not_in_the_fake
@scenario
async def test_a_commit_outside_a_transaction_is_refused(connect: Connect) -> None:
    channel = await (await connect()).channel()

    assert await refusal(channel.tx_commit()) == (
        406,
        "PRECONDITION_FAILED - channel is not transactional",
    )
