"""Channels: concurrent calls, cancelled calls, and channel errors."""

import asyncio

import pytest

from aioamqp import ChannelClosed, EmptyQueue
from tests.conformance.scenario import (
    NO_SUCH_QUEUE,
    ByVersion,
    Connect,
    Inbox,
    NewName,
    drain,
    exclusive_queue,
    refusal,
    scenario,
)


@scenario
async def test_a_channel_error_does_not_affect_other_channels_or_the_connection(
    connect: Connect, new_name: NewName
) -> None:
    """Row 68."""
    protocol = await connect()
    good, bad = await protocol.channel(), await protocol.channel()
    queue = await exclusive_queue(good, new_name())
    inbox = Inbox()
    await good.basic_consume(inbox, queue, no_ack=True)

    await refusal(bad.queue_declare(new_name(), passive=True))
    await good.basic_publish(b"still here", "", queue)

    assert await inbox.bodies(1) == [b"still here"]
    assert good.is_open
    assert not bad.is_open
    assert protocol.is_open


@scenario
async def test_a_channel_error_fails_all_pending_calls_with_its_code_and_text(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    missing = new_name()

    outcomes = await asyncio.gather(
        channel.basic_qos(prefetch_count=1),
        channel.queue_declare(missing, passive=True),
        channel.queue_declare(new_name(), durable=True),
        channel.basic_qos(prefetch_count=2),
        return_exceptions=True,
    )

    assert outcomes[0] is True
    refused = [error for error in outcomes[1:] if isinstance(error, ChannelClosed)]
    assert [(error.code, error.message) for error in refused] == [
        (404, NO_SUCH_QUEUE.format(missing))
    ] * 3


@scenario
async def test_methods_after_a_channel_error_are_ignored(
    connect: Connect, new_name: NewName
) -> None:
    """Row 66."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()
    later, missing = new_name(), new_name()

    await asyncio.gather(
        channel.queue_declare(missing, passive=True),
        channel.queue_declare(later, durable=True),
        return_exceptions=True,
    )

    assert await refusal(other.queue_declare(later, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(later),
    )


@scenario
async def test_calls_on_a_closed_channel_raise_channel_closed(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()

    assert await channel.close()

    for call in (
        channel.queue_declare(name),
        channel.basic_publish(b"", "", name),
        channel.basic_client_ack(1),
        channel.close(),
    ):
        with pytest.raises(ChannelClosed):
            await call


@scenario
async def test_closing_a_channel_fails_pending_calls(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()

    declared, closed = await asyncio.gather(
        channel.queue_declare(name, durable=True), channel.close(), return_exceptions=True
    )

    assert isinstance(declared, ChannelClosed)
    assert closed is True


@scenario
async def test_a_channel_id_is_reused_after_a_close(connect: Connect, name: str) -> None:
    """Row 69."""
    protocol = await connect()
    first = await protocol.channel()
    await exclusive_queue(first, name, b"0", b"1")
    await first.basic_get(name)
    await first.close()

    second = await protocol.channel()

    assert second.channel_id == first.channel_id == 1
    assert (await second.basic_get(name))["delivery_tag"] == 1


@scenario
async def test_a_channel_id_is_reused_after_a_channel_error(connect: Connect, name: str) -> None:
    """Row 69."""
    protocol = await connect()
    first = await protocol.channel()
    await refusal(first.queue_declare(name, passive=True))

    second = await protocol.channel()

    assert second.channel_id == first.channel_id == 1
    assert (await second.queue_declare(name, durable=True))["queue"] == name


@scenario
async def test_concurrent_calls_each_get_their_own_reply(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    queues = [new_name() for _ in range(100)]

    declared = await asyncio.gather(
        *(channel.queue_declare(queue, exclusive=True) for queue in queues)
    )

    assert [reply["queue"] for reply in declared] == queues


@scenario
async def test_concurrent_calls_of_different_methods_each_get_their_own_reply(
    connect: Connect, new_name: NewName
) -> None:
    protocol = await connect()
    channel = await protocol.channel()
    queue, missing = new_name(), new_name()

    outcomes = await asyncio.gather(
        channel.queue_declare(queue, exclusive=True),
        channel.queue_bind(queue, "amq.direct", queue),
        channel.basic_publish(b"0", "amq.direct", queue),
        channel.basic_publish(b"1", "", queue),
        channel.basic_get(queue, no_ack=True),
        channel.basic_qos(prefetch_count=5),
        channel.queue_purge(queue),
        channel.basic_get(queue),
        channel.queue_delete(missing),
        channel.basic_cancel("nobody"),
        protocol.channel(),
        return_exceptions=True,
    )

    declared, bound, _, _, got, limited, purged, nothing, deleted, cancelled, new = outcomes
    assert isinstance(declared, dict)
    assert declared["queue"] == queue
    assert isinstance(got, dict)
    assert (got["message"], got["message_count"]) == (b"0", 1)
    assert purged == {"message_count": 1}
    assert isinstance(nothing, EmptyQueue)
    assert (bound, limited, deleted) == (True, True, True)
    assert cancelled == {"consumer_tag": "nobody"}
    assert not isinstance(new, BaseException)


@scenario
async def test_basic_consume_among_concurrent_calls_gets_its_own_reply(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    queue, other = await exclusive_queue(channel, new_name()), new_name()
    inbox = Inbox()

    outcomes = await asyncio.gather(
        channel.basic_consume(inbox, queue, consumer_tag="left", no_ack=True),
        channel.basic_qos(prefetch_count=1),
        channel.basic_consume(inbox, queue, consumer_tag="right", no_ack=True),
        channel.queue_declare(other, exclusive=True),
        channel.basic_publish(b"hello", "", queue),
    )

    assert outcomes[0] == {"consumer_tag": "left"}
    assert outcomes[1] is True
    assert outcomes[2] == {"consumer_tag": "right"}
    assert outcomes[3]["queue"] == other
    assert await inbox.bodies(1) == [b"hello"]


@scenario
async def test_basic_cancel_among_concurrent_calls_gets_its_own_reply(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    queue, other = await exclusive_queue(channel, new_name()), new_name()
    for tag in ("left", "right"):
        await channel.basic_consume(Inbox(), queue, consumer_tag=tag)

    outcomes = await asyncio.gather(
        channel.basic_cancel("left"),
        channel.basic_qos(prefetch_count=1),
        channel.basic_cancel("nobody"),
        channel.basic_cancel("right"),
        channel.queue_declare(other, exclusive=True),
    )

    assert outcomes[0] == {"consumer_tag": "left"}
    assert outcomes[1] is True
    assert outcomes[2] == {"consumer_tag": "nobody"}
    assert outcomes[3] == {"consumer_tag": "right"}
    assert outcomes[4]["queue"] == other


@scenario
async def test_the_channel_works_after_a_cancelled_call(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    abandoned, wanted = new_name(), new_name()
    call = asyncio.create_task(channel.queue_declare(abandoned, exclusive=True))
    await asyncio.sleep(0)  # the request has been written

    call.cancel()
    reply = await channel.queue_declare(wanted, exclusive=True)

    with pytest.raises(asyncio.CancelledError):
        await call
    assert reply["queue"] == wanted
    assert (await channel.queue_declare(abandoned, passive=True))["queue"] == abandoned


@scenario
async def test_the_channel_works_after_a_call_has_timed_out(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    late, wanted = new_name(), new_name()

    with pytest.raises(TimeoutError):
        await channel.queue_declare(late, exclusive=True, timeout=0)

    assert (await channel.queue_declare(wanted, exclusive=True))["queue"] == wanted
    assert (await channel.queue_declare(late, passive=True))["queue"] == late


@scenario
async def test_a_cancelled_basic_get_requeues_its_message(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"first", b"second")
    call = asyncio.create_task(channel.basic_get(name))
    await asyncio.sleep(0)

    call.cancel()
    await channel.basic_qos()  # the reply follows get-ok

    with pytest.raises(asyncio.CancelledError):
        await call
    assert await drain(channel, name) == [b"first", b"second"]


@scenario
async def test_a_cancelled_consume_leaves_no_consumer(connect: Connect, name: str) -> None:
    channel = await (await connect()).channel()
    await exclusive_queue(channel, name, b"first", b"second")
    inbox = Inbox()
    call = asyncio.create_task(channel.basic_consume(inbox, name))
    await asyncio.sleep(0)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    # The reply to the first call follows cancel-ok and the deliveries, the reply to the second one
    # follows their requeueing.
    await channel.basic_qos()
    await channel.basic_qos()
    assert (await channel.queue_declare(name, passive=True))["consumer_count"] == 0
    assert await drain(channel, name) == [b"first", b"second"]
    assert inbox.waiting_bodies() == []


@scenario
async def test_cancelled_calls_among_many_do_not_shift_the_replies(
    connect: Connect, new_name: NewName
) -> None:
    channel = await (await connect()).channel()
    queues = [new_name() for _ in range(60)]
    calls = [asyncio.create_task(channel.queue_declare(queue, exclusive=True)) for queue in queues]
    await asyncio.sleep(0)

    for call in calls[::3]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    for number, (queue, outcome) in enumerate(zip(queues, outcomes, strict=True)):
        if number % 3 == 0:
            assert isinstance(outcome, asyncio.CancelledError)
        else:
            assert isinstance(outcome, dict)
            assert outcome["queue"] == queue


@scenario
async def test_an_unknown_exchange_type_is_refused(
    connect: Connect, name: str, by_version: ByVersion
) -> None:
    """Row 110. RabbitMQ 3.10 closes the connection, 4.0 the channel."""
    protocol = await connect()
    channel, other = await protocol.channel(), await protocol.channel()

    code, text = by_version({"3.10": (503, "COMMAND_INVALID"), "4.0": (406, "PRECONDITION_FAILED")})
    assert await refusal(channel.exchange_declare(name, "nonsense")) == (
        code,
        f"{text} - unknown exchange type 'nonsense'",
    )

    if code == 503:
        await protocol.wait_closed()
    assert other.is_open is (code == 406)


@scenario
async def test_an_immediate_message_closes_the_connection(connect: Connect, name: str) -> None:
    """Row 142."""
    protocol = await connect()
    channel = await protocol.channel()

    await channel.basic_publish(b"", "", name, immediate=True)

    assert await refusal(channel.basic_qos(prefetch_count=1)) == (
        540,
        "NOT_IMPLEMENTED - immediate=true",
    )
    await protocol.wait_closed()


@scenario
async def test_channel_flow_accepts_only_active_true(
    connect: Connect,
) -> None:
    """Rows 73 and 74."""
    channel = await (await connect()).channel()

    assert await channel.flow(active=True) == {"active": True}
    assert await refusal(channel.flow(active=False)) == (540, "NOT_IMPLEMENTED - active=false")
