"""How channels fail, close and begin again, and what becomes of what they held."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

from amqp_codec import Command, Method, basic, channel, confirm, exchange, queue, tx
from tests.conformance.raw import Door, close, close_channel, frame, ids
from tests.conformance.scenario import NO_SUCH_QUEUE, scenario
from tests.conformance.wire import Said, publish

NOTHING = "no-such-queue"

NOT_FOUND = close_channel(404, NO_SUCH_QUEUE.format(NOTHING), queue.Declare)

FAILURE = queue.Declare(NOTHING, passive=True)
"""What any channel is closed for."""

Say: TypeAlias = Callable[[str], Said]


@pytest.mark.parametrize(
    ("say", "code"),
    [
        (lambda name: FAILURE, 404),
        (lambda name: basic.Get(NOTHING), 404),
        (lambda name: basic.Consume(NOTHING), 404),
        (lambda name: queue.Bind(name, NOTHING), 404),
        (lambda name: publish(name, NOTHING), 404),
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
async def test_the_close_of_a_channel_names_the_method_that_failed(
    door: Door, name: str, say: Say, code: int
) -> None:
    """Row 65."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, exclusive=True))
    said = say(name)

    answer = await raw.ask(said)

    method = said.method if isinstance(said, Command) else said
    assert isinstance(answer, channel.Close)
    assert (answer.reply_code, *ids(type(method))) == (code, answer.class_id, answer.method_id)


@scenario
async def test_a_channel_that_the_broker_closes_hears_nothing_before_close_ok(
    door: Door, name: str
) -> None:
    """Rows 66, 67."""
    raw = await door.enter(1, 2)
    assert await raw.ask(FAILURE) == NOT_FOUND

    raw.send(queue.Declare(name, exclusive=True), publish(NOTHING, NOTHING))
    assert await raw.ask(channel.Close(200, "bye")) == channel.CloseOk()
    raw.send(channel.CloseOk(), channel.Open())

    assert await raw.hear() == channel.OpenOk()
    answer = await raw.ask(queue.Declare(name, passive=True))
    assert answer == close_channel(404, NO_SUCH_QUEUE.format(name), queue.Declare)


@scenario
async def test_a_channel_that_the_broker_closes_cannot_be_opened_before_close_ok(
    door: Door,
) -> None:
    """Rows 66, 45."""
    raw = await door.enter(1)
    assert await raw.ask(FAILURE) == NOT_FOUND

    answer = await raw.ask(channel.Open())

    assert answer == close(504, "CHANNEL_ERROR - second 'channel.open' seen", channel.Open)


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
async def test_which_queue_is_meant_comes_before_whether_the_channel_is_open(
    door: Door, method: Method
) -> None:
    """Rows 44, 66, 87."""
    raw = await door.enter(1)
    text = "NOT_FOUND - no previously declared queue"
    refused = close_channel(404, text, type(method))

    assert await raw.ask(method, number=2) == refused
    assert await raw.ask(FAILURE) == NOT_FOUND
    assert await raw.ask(method) == refused


@scenario
async def test_of_two_failures_in_one_piece_the_first_one_counts(door: Door) -> None:
    """Row 68. Other channels go on."""
    raw = await door.enter(1, 2)

    raw.send(FAILURE, basic.Ack(9), Command(2, basic.Qos(0, 1)))
    said = [await raw.hear(), await raw.hear()]

    assert sorted(said, key=repr) == sorted([NOT_FOUND, basic.QosOk()], key=repr)
    assert await raw.ask(basic.Qos(0, 2), number=2) == basic.QosOk()


@scenario
async def test_a_channel_that_is_opened_again_knows_nothing_of_the_one_before(
    door: Door, name: str
) -> None:
    """Row 69."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, exclusive=True))
    await raw.ask(confirm.Select())
    await raw.ask(basic.Qos(0, 1))
    assert isinstance(await raw.ask(publish(name)), basic.Ack)
    assert tag_of(await raw.ask(basic.Get(name))) == 1

    raw.send(FAILURE, channel.CloseOk(), channel.Open())
    assert [await raw.hear(), await raw.hear()] == [NOT_FOUND, channel.OpenOk()]

    assert await raw.say(publish(name)) == []  # not confirmed
    assert await raw.ask(basic.Consume(name, "tag")) == basic.ConsumeOk("tag")
    assert [tag_of(await raw.hear()), tag_of(await raw.hear())] == [1, 2]  # not limited
    answer = await raw.ask(queue.Bind("", "amq.direct", "key"))
    text = "NOT_FOUND - no previously declared queue"
    assert answer == close_channel(404, text, queue.Bind)


@scenario
async def test_a_transaction_ends_with_its_channel(door: Door, name: str) -> None:
    """Row 69."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, exclusive=True))
    assert await raw.ask(tx.Select()) == tx.SelectOk()

    raw.send(publish(name), FAILURE, channel.CloseOk(), channel.Open())
    assert [await raw.hear(), await raw.hear()] == [NOT_FOUND, channel.OpenOk()]

    assert await raw.ask(basic.Get(name)) == basic.GetEmpty()
    answer = await raw.ask(tx.Commit())
    assert answer == close_channel(
        406, "PRECONDITION_FAILED - channel is not transactional", tx.Commit
    )


@scenario
async def test_a_failure_gives_deliveries_back_before_close_ok(door: Door, name: str) -> None:
    """Row 70."""
    raw, other = await door.enter(1), await door.enter(1)
    await raw.ask(queue.Declare(name))
    await raw.ask(basic.Consume(name, "tag"))
    assert tag_of(await raw.ask(publish(name))) == 1

    assert await raw.ask(FAILURE) == NOT_FOUND

    declared = await other.ask(queue.Declare(name, passive=True))
    assert isinstance(declared, queue.DeclareOk)
    assert declared.consumer_count == 0
    got = await other.ask(basic.Get(name))
    assert tag_of(got) == 1
    assert is_redelivered(got)


@scenario
async def test_a_failure_gives_back_what_was_got_only_after_close_ok(door: Door, name: str) -> None:
    """Row 71."""
    raw, other = await door.enter(1), await door.enter(1)
    await raw.ask(queue.Declare(name))
    assert tag_of(await raw.ask(publish(name), basic.Get(name))) == 1

    assert await raw.ask(FAILURE) == NOT_FOUND

    assert await other.ask(basic.Get(name)) == basic.GetEmpty()
    await other.ask(basic.Consume(name, "tag"))
    raw.send(channel.CloseOk())
    assert is_redelivered(await other.hear())


@scenario
async def test_a_channel_that_is_closed_gives_everything_back_as_it_was(
    door: Door, name: str
) -> None:
    """Row 72."""
    raw, other = await door.enter(1), await door.enter(1)
    bodies = [b"0", b"1", b"2", b"3"]
    await raw.ask(queue.Declare(name))
    raw.send(*(publish(name, body=body) for body in bodies))
    await raw.ask(basic.Get(name))
    await raw.ask(basic.Consume(name, "tag"))
    for _ in bodies[1:]:
        await raw.hear()

    assert await raw.ask(channel.Close(200, "bye")) == channel.CloseOk()

    await other.ask(basic.Consume(name, "tag"))
    back = [await other.hear() for _ in bodies]
    assert [each.body for each in back if isinstance(each, Command)] == bodies
    assert all(map(is_redelivered, back))


@scenario
async def test_a_client_may_let_the_broker_go_on(door: Door) -> None:
    """Row 73."""
    raw = await door.enter(1)

    assert await raw.ask(channel.Flow(active=True)) == channel.FlowOk(active=True)


@scenario
async def test_access_is_granted_as_in_amqp_0_8(door: Door) -> None:
    """Row 75."""
    raw = await door.enter(1)
    request, granted = frame(1, 1, b"\0\x1e\0\x0a\x05/data\x1f"), frame(1, 1, b"\0\x1e\0\x0b\0\1")

    assert await raw.ask_octets(request, len(granted)) == granted

    declare = queue.Declare(exclusive=True).encode()
    raw.frame(1, 1, declare[:4] + b"\0\x09" + declare[6:])  # with a ticket
    assert isinstance(await raw.hear(), queue.DeclareOk)


def tag_of(said: Said) -> int:
    """Return the delivery tag of what was delivered."""
    assert isinstance(said, Command), said
    assert isinstance(said.method, basic.Deliver | basic.GetOk), said
    return said.method.delivery_tag


def is_redelivered(said: Said) -> bool:
    """Tell whether it was delivered before."""
    assert isinstance(said, Command), said
    assert isinstance(said.method, basic.Deliver | basic.GetOk), said
    return said.method.redelivered


@scenario
async def test_what_comes_with_the_close_of_a_channel_is_dropped(door: Door, name: str) -> None:
    """Row 66."""
    raw = await door.enter(1)

    raw.send(channel.Close(200, "bye"), queue.Declare(name, exclusive=True), FAILURE)

    assert await raw.hear() == channel.CloseOk()
    assert await raw.ask(channel.Open()) == channel.OpenOk()
    answer = await raw.ask(queue.Declare(name, passive=True))
    assert answer == close_channel(404, NO_SUCH_QUEUE.format(name), queue.Declare)


@scenario
async def test_a_channel_cannot_be_opened_in_one_piece_with_its_close(door: Door) -> None:
    """Rows 45, 69. It is free at once only for who waits for close-ok."""
    raw = await door.enter(1)

    answer = await raw.ask(channel.Close(200, "bye"), channel.Open())

    assert answer == close(504, "CHANNEL_ERROR - second 'channel.open' seen", channel.Open)


@scenario
async def test_a_client_that_answers_its_own_close_gets_no_other_answer(door: Door) -> None:
    """Rows 67, 69."""
    raw = await door.enter(1)

    answer = await raw.ask(channel.Close(200, "bye"), channel.CloseOk(), channel.Open())

    assert answer == channel.OpenOk()


@scenario
async def test_two_closes_in_one_piece_have_two_answers(door: Door) -> None:
    """Row 67."""
    raw = await door.enter(1)

    raw.send(channel.Close(200, "bye"), channel.Close(200, "bye"))

    assert [await raw.hear(), await raw.hear()] == [channel.CloseOk()] * 2


@scenario
async def test_other_channels_do_what_came_with_a_mistake_that_ends_the_connection(
    door: Door,
) -> None:
    """Rows 65, 68."""
    raw = await door.enter(1, 2)

    raw.send(channel.Open(), channel.Flow(active=True), Command(2, basic.Qos(0, 1)))
    said = [await raw.hear(), await raw.hear()]

    text = "CHANNEL_ERROR - second 'channel.open' seen"
    assert sorted(said, key=repr) == sorted(
        [basic.QosOk(), close(504, text, channel.Open)], key=repr
    )
