"""Channel errors, closing and reopening of channels, and requeueing of their messages."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

from amqp_codec import Command, Method, basic, channel, confirm, exchange, queue, tx
from tests.conformance.client import MethodOrCommand, method_of, publish
from tests.conformance.raw_client import (
    Endpoint,
    RawClient,
    close,
    close_channel,
    frame,
    method_ids,
)
from tests.conformance.scenario import NO_SUCH_QUEUE, scenario

MISSING = "no-such-queue"

NOT_FOUND = close_channel(404, NO_SUCH_QUEUE.format(MISSING), queue.Declare)

FAILING = queue.Declare(MISSING, passive=True)
"""A method that causes a channel error."""

MakeMethod: TypeAlias = Callable[[str], MethodOrCommand]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda name: FAILING, 404),
        (lambda name: basic.Get(MISSING), 404),
        (lambda name: basic.Consume(MISSING), 404),
        (lambda name: queue.Bind(name, MISSING), 404),
        (lambda name: publish(name, MISSING), 404),
        (lambda name: queue.Declare(name, auto_delete=True, exclusive=True), 406),
        (lambda name: basic.Ack(1), 406),
        (lambda name: basic.Nack(1), 406),
        (lambda name: basic.Reject(1), 406),
        (lambda name: tx.Commit(), 406),
        (lambda name: queue.Declare(name), 405),
        (lambda name: queue.Declare("amq.mine"), 403),
        (lambda name: exchange.Declare("amq.mine", "direct"), 403),
        (lambda name: exchange.Delete("amq.direct"), 403),
    ],
)
@scenario
async def test_channel_close_names_the_method_that_failed(
    endpoint: Endpoint, name: str, make: MakeMethod, code: int
) -> None:
    """Row 65."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))
    sent = make(name)

    reply = await raw.request(sent)

    assert isinstance(reply, channel.Close)
    assert (reply.reply_code, *method_ids(type(method_of(sent)))) == (
        code,
        reply.class_id,
        reply.method_id,
    )


@scenario
async def test_a_channel_closed_by_the_broker_ignores_methods_until_close_ok(
    endpoint: Endpoint, name: str
) -> None:
    """Rows 66, 67."""
    raw = await endpoint.open_connection(1, 2)
    assert await raw.request(FAILING) == NOT_FOUND

    raw.send(queue.Declare(name, exclusive=True), publish(MISSING, MISSING))
    assert await raw.request(channel.Close(200, "bye")) == channel.CloseOk()
    raw.send(channel.CloseOk(), channel.Open())

    assert await raw.next_command() == channel.OpenOk()
    reply = await raw.request(queue.Declare(name, passive=True))
    assert reply == close_channel(404, NO_SUCH_QUEUE.format(name), queue.Declare)


@scenario
async def test_a_channel_closed_by_the_broker_cannot_be_reopened_before_close_ok(
    endpoint: Endpoint,
) -> None:
    """Rows 66, 45."""
    raw = await endpoint.open_connection(1)
    assert await raw.request(FAILING) == NOT_FOUND

    reply = await raw.request(channel.Open())

    assert reply == close(504, "CHANNEL_ERROR - second 'channel.open' seen", channel.Open)


@pytest.mark.parametrize(
    "method",
    [
        queue.Bind("", "amq.direct", "k"),
        queue.Unbind("", "amq.direct", "k"),
        queue.Purge(),
        queue.Delete(),
        basic.Consume(),
        basic.Get(),
    ],
)
@scenario
async def test_an_empty_queue_name_is_resolved_before_the_channel_state_is_checked(
    endpoint: Endpoint, method: Method
) -> None:
    """Rows 44, 66, 87."""
    raw = await endpoint.open_connection(1)
    text = "NOT_FOUND - no previously declared queue"
    refused = close_channel(404, text, type(method))

    assert await raw.request(method, channel=2) == refused
    assert await raw.request(FAILING) == NOT_FOUND
    assert await raw.request(method) == refused


@scenario
async def test_only_the_first_of_two_errors_in_one_write_is_reported(endpoint: Endpoint) -> None:
    """Row 68. Other channels are not affected."""
    raw = await endpoint.open_connection(1, 2)

    raw.send(FAILING, basic.Ack(9), Command(2, basic.Qos(0, 1)))
    received = [await raw.next_command(), await raw.next_command()]

    assert sorted(received, key=repr) == sorted([NOT_FOUND, basic.QosOk()], key=repr)
    assert await raw.request(basic.Qos(0, 2), channel=2) == basic.QosOk()


@scenario
async def test_a_reopened_channel_starts_with_fresh_state(endpoint: Endpoint, name: str) -> None:
    """Row 69."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))
    await raw.request(confirm.Select())
    await raw.request(basic.Qos(0, 1))
    assert isinstance(await raw.request(publish(name)), basic.Ack)
    assert tag_of(await raw.request(basic.Get(name))) == 1

    await fail_and_reopen(raw)

    assert await raw.call(publish(name)) == []  # not confirmed
    assert await raw.request(basic.Consume(name, "tag")) == basic.ConsumeOk("tag")
    assert [tag_of(await raw.next_command()), tag_of(await raw.next_command())] == [
        1,
        2,
    ]  # not limited
    reply = await raw.request(queue.Bind("", "amq.direct", "key"))
    text = "NOT_FOUND - no previously declared queue"
    assert reply == close_channel(404, text, queue.Bind)


@scenario
async def test_a_channel_error_discards_the_transaction(endpoint: Endpoint, name: str) -> None:
    """Row 69."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))
    assert await raw.request(tx.Select()) == tx.SelectOk()

    await fail_and_reopen(raw, publish(name))

    assert await raw.request(basic.Get(name)) == basic.GetEmpty()
    reply = await raw.request(tx.Commit())
    assert reply == close_channel(
        406, "PRECONDITION_FAILED - channel is not transactional", tx.Commit
    )


@scenario
async def test_a_channel_error_requeues_deliveries_before_close_ok(
    endpoint: Endpoint, name: str
) -> None:
    """Row 70."""
    raw, other = await endpoint.open_connection(1), await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, durable=True))
    await raw.request(basic.Consume(name, "tag"))
    assert tag_of(await raw.request(publish(name))) == 1

    assert await raw.request(FAILING) == NOT_FOUND

    declared = await other.request(queue.Declare(name, passive=True))
    assert isinstance(declared, queue.DeclareOk)
    assert declared.consumer_count == 0
    got = await other.request(basic.Get(name))
    assert tag_of(got) == 1
    assert is_redelivered(got)


@scenario
async def test_a_channel_error_requeues_messages_of_basic_get_after_close_ok(
    endpoint: Endpoint, name: str
) -> None:
    """Row 71."""
    raw, other = await endpoint.open_connection(1), await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, durable=True))
    assert tag_of(await raw.request(publish(name), basic.Get(name))) == 1

    assert await raw.request(FAILING) == NOT_FOUND

    assert await other.request(basic.Get(name)) == basic.GetEmpty()
    await other.request(basic.Consume(name, "tag"))
    raw.send(channel.CloseOk())
    assert is_redelivered(await other.next_command())


@scenario
async def test_closing_a_channel_requeues_all_its_messages_in_order(
    endpoint: Endpoint, name: str
) -> None:
    """Row 72."""
    raw, other = await endpoint.open_connection(1), await endpoint.open_connection(1)
    bodies = [b"0", b"1", b"2", b"3"]
    await raw.request(queue.Declare(name, durable=True))
    raw.send(*(publish(name, body=body) for body in bodies))
    await raw.request(basic.Get(name))
    await raw.request(basic.Consume(name, "tag"))
    for _ in bodies[1:]:
        await raw.next_command()

    assert await raw.request(channel.Close(200, "bye")) == channel.CloseOk()

    await other.request(basic.Consume(name, "tag"))
    back = [await other.next_command() for _ in bodies]
    assert [each.body for each in back if isinstance(each, Command)] == bodies
    assert all(map(is_redelivered, back))


@scenario
async def test_channel_flow_with_active_true_is_answered(endpoint: Endpoint) -> None:
    """Row 73."""
    raw = await endpoint.open_connection(1)

    assert await raw.request(channel.Flow(active=True)) == channel.FlowOk(active=True)


@scenario
async def test_access_request_of_amqp_0_8_is_granted(endpoint: Endpoint) -> None:
    """Row 75."""
    raw = await endpoint.open_connection(1)
    request, granted = frame(1, 1, b"\0\x1e\0\x0a\x05/data\x1f"), frame(1, 1, b"\0\x1e\0\x0b\0\1")

    assert await raw.request_bytes(request, len(granted)) == granted

    declare = queue.Declare(exclusive=True).encode()
    raw.send_frame(1, 1, declare[:4] + b"\0\x09" + declare[6:])  # with a ticket
    assert isinstance(await raw.next_command(), queue.DeclareOk)


async def fail_and_reopen(raw: RawClient, *before: MethodOrCommand) -> None:
    """Cause a channel error, after other commands in the same write, and open the channel again.

    RabbitMQ: if it reads close-ok before it has sent channel.close, it sends open-ok first, and
    channel.close later or never. So close-ok is only sent when channel.close has been received.
    """
    assert await raw.request(*before, FAILING) == NOT_FOUND
    assert await raw.request(channel.CloseOk(), channel.Open()) == channel.OpenOk()


def tag_of(received: MethodOrCommand) -> int:
    """Return the delivery tag of a delivery or get-ok."""
    assert isinstance(received, Command), received
    assert isinstance(received.method, basic.Deliver | basic.GetOk), received
    return received.method.delivery_tag


def is_redelivered(received: MethodOrCommand) -> bool:
    """Return whether the message of a delivery or get-ok was delivered before."""
    assert isinstance(received, Command), received
    assert isinstance(received.method, basic.Deliver | basic.GetOk), received
    return received.method.redelivered


@scenario
async def test_methods_sent_after_channel_close_are_ignored(endpoint: Endpoint, name: str) -> None:
    """Row 66."""
    raw = await endpoint.open_connection(1)

    raw.send(channel.Close(200, "bye"), queue.Declare(name, exclusive=True), FAILING)

    assert await raw.next_command() == channel.CloseOk()
    assert await raw.request(channel.Open()) == channel.OpenOk()
    reply = await raw.request(queue.Declare(name, passive=True))
    assert reply == close_channel(404, NO_SUCH_QUEUE.format(name), queue.Declare)


@scenario
async def test_a_channel_cannot_be_reopened_in_the_same_write_as_its_close(
    endpoint: Endpoint,
) -> None:
    """Rows 45, 69. The channel number is free only for a client that waits for close-ok."""
    raw = await endpoint.open_connection(1)

    reply = await raw.request(channel.Close(200, "bye"), channel.Open())

    assert reply == close(504, "CHANNEL_ERROR - second 'channel.open' seen", channel.Open)


@scenario
async def test_a_client_that_sends_close_ok_to_its_own_close_gets_no_close_ok(
    endpoint: Endpoint,
) -> None:
    """Rows 67, 69."""
    raw = await endpoint.open_connection(1)

    reply = await raw.request(channel.Close(200, "bye"), channel.CloseOk(), channel.Open())

    assert reply == channel.OpenOk()


@scenario
async def test_two_channel_closes_in_one_write_are_both_answered(endpoint: Endpoint) -> None:
    """Row 67."""
    raw = await endpoint.open_connection(1)

    raw.send(channel.Close(200, "bye"), channel.Close(200, "bye"))

    assert [await raw.next_command(), await raw.next_command()] == [channel.CloseOk()] * 2


@scenario
async def test_other_channels_still_process_methods_sent_with_a_connection_error(
    endpoint: Endpoint,
) -> None:
    """Rows 65, 68."""
    raw = await endpoint.open_connection(1, 2)

    raw.send(channel.Open(), channel.Flow(active=True), Command(2, basic.Qos(0, 1)))
    received = [await raw.next_command(), await raw.next_command()]

    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert sorted(received, key=repr) == sorted(
        [basic.QosOk(), close(504, text, channel.Open)], key=repr
    )
