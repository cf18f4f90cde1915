"""What brokers say and clients do not show: confirms one by one, made-up tags, counts."""

import re
import struct
from collections.abc import Iterable

import pytest

from amqp_codec import (
    Command,
    FieldValue,
    Properties,
    basic,
    channel,
    confirm,
    connection,
    queue,
)
from tests.conformance.raw import Door, Raw
from tests.conformance.scenario import scenario
from tests.conformance.wire import Said, publish

CREDIT = 60 << 16 | 200
"""Basic.credit, which is none of 0-9-1's methods."""


@scenario
async def test_credit_is_given_to_a_consumer(door: Door) -> None:
    """Row 77."""
    raw = await door.enter(1)

    raw.arguments(1, CREDIT, b"\x04none" + b"\0\0\0\5" + b"\0")

    text = "PRECONDITION_FAILED - unknown consumer tag 'none'"
    assert await raw.hear() == channel.Close(406, text, 60, 200)


@scenario
async def test_credit_to_begin_with_comes_in_a_table(door: Door, name: str) -> None:
    """Row 64."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name))

    refused = await raw.ask(basic.Consume(name, "tag", arguments={"x-credit": 1}))

    assert refused == connection.Close(541, "INTERNAL_ERROR")


@scenario
async def test_deleting_counts_the_messages_that_are_ready(door: Door, name: str) -> None:
    """Row 113."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name))
    raw.send(*(publish(name) for _ in range(3)))
    assert isinstance(await raw.ask(basic.Get(name)), Command)

    assert await raw.ask(queue.Purge(name)) == queue.PurgeOk(2)
    raw.send(*(publish(name) for _ in range(3)))
    assert isinstance(await raw.ask(basic.Get(name)), Command)
    assert await raw.ask(queue.Delete(name)) == queue.DeleteOk(2)


@scenario
async def test_a_consumer_without_a_tag_is_given_one_before_any_message(
    door: Door, name: str
) -> None:
    """Rows 166, 168."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, exclusive=True))

    raw.send(publish(name), publish(name), basic.Consume(name))

    answer = await raw.hear()
    assert isinstance(answer, basic.ConsumeOk)
    assert re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", answer.consumer_tag)
    for number in (1, 2):
        delivered = await raw.hear()
        assert isinstance(delivered, Command)
        assert delivered.method == basic.Deliver(answer.consumer_tag, number, False, "", name)


@scenario
async def test_a_consumer_may_begin_without_an_answer(door: Door, name: str) -> None:
    """Row 168."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, exclusive=True))

    answer = await raw.ask(publish(name), basic.Consume(name, "tag", no_wait=True))

    assert isinstance(answer, Command)
    assert answer.method == basic.Deliver("tag", 1, False, "", name)


@pytest.mark.parametrize("unused", [1, 2, 3])
@scenario
async def test_flags_that_stand_for_no_property_are_passed_on(
    door: Door, name: str, unused: int
) -> None:
    """Row 147."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, exclusive=True))
    flagged = (0x8000 | unused).to_bytes(2, "big") + b"\x04text"
    header = struct.pack(">HHQ", 60, 0, 0) + flagged

    raw.frame(1, 1, basic.Publish("", name).encode())
    raw.frame(2, 1, header)
    answer = await raw.ask(basic.Get(name, True))

    assert isinstance(answer, Command)
    assert answer.properties == Properties(content_type="text")
    assert header in raw.octets


@pytest.mark.parametrize(
    ("durable", "modes"),
    [(False, [1] * 20), (True, [2] * 20), (True, [1, 2] * 10)],
    ids=["transient", "persistent", "mixed"],
)
@scenario
async def test_every_message_is_confirmed_once_alone_or_with_others(
    door: Door, name: str, durable: bool, modes: list[int]
) -> None:
    """Rows 153, 154, 155. Half of them are unroutable. Which are confirmed together is timing."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, durable=durable))
    await raw.ask(confirm.Select())

    for mode in modes:
        raw.send(publish(name, delivery_mode=mode), publish("", delivery_mode=mode))

    assert await confirmed(raw, 40) == set(range(1, 41))


async def confirmed(raw: Raw, count: int) -> set[int]:
    """Hear the confirms of some publishes; none of them may be confirmed twice."""
    pending, done = set(range(1, count + 1)), set[int]()
    while pending:
        ack = await raw.hear()
        assert isinstance(ack, basic.Ack), ack
        tags = {tag for tag in pending if tag <= ack.delivery_tag} if ack.multiple else set[int]()
        tags.add(ack.delivery_tag)
        assert tags <= pending, (ack, pending)
        pending -= tags
        done |= tags
    return done


@scenario
async def test_who_consumes_what_it_publishes_hears_of_both(door: Door, name: str) -> None:
    """Row 156. The delivery nearly always comes first."""
    raw = await door.enter(1)
    await raw.ask(queue.Declare(name, exclusive=True))
    await raw.ask(basic.Consume(name, "tag"))
    await raw.ask(confirm.Select())

    raw.send(publish(name))

    heard = methods([await raw.hear(), await raw.hear()])
    assert sorted(heard, key=repr) == [
        basic.Ack(1),
        basic.Deliver("tag", 1, False, "", name),
    ]


@scenario
async def test_a_message_that_is_refused_has_to_be_published_again(door: Door, name: str) -> None:
    """Row 159. That is what requeue=1 says; multiple=1 says nothing."""
    raw = await door.enter(1)
    full: dict[str, FieldValue] = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await raw.ask(queue.Declare(name, exclusive=True, arguments=full))
    await raw.ask(confirm.Select())
    assert isinstance(await raw.ask(publish(name)), basic.Ack)

    answer = await raw.ask(publish(name))

    assert isinstance(answer, basic.Nack)
    assert (answer.delivery_tag, answer.requeue) == (2, True)


def methods(said: Iterable[Said]) -> list[object]:
    """Return the methods alone."""
    return [each.method if isinstance(each, Command) else each for each in said]
