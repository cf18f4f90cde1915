"""Direct reply-to: answers that go straight to a channel, without a queue."""

from base64 import b64encode
from typing import Final

import pytest

from amqp_codec import Command, Properties, basic, channel, queue, tx
from tests.conformance.scenario import NO_SUCH_QUEUE, NewName, scenario
from tests.conformance.wire import OpenWire, Wire, publish

REPLY_TO: Final = "amq.rabbitmq.reply-to"


def consume(tag: str = "replies", *, no_ack: bool = True) -> basic.Consume:
    return basic.Consume(REPLY_TO, tag, no_ack=no_ack)


async def address_of(wire: Wire, name: str) -> str:
    """Ask a question on channel 1, and return where its answer is to go."""
    await wire.say(queue.Declare(name, exclusive=True))
    await wire.say(publish(name, reply_to=REPLY_TO))
    question = await wire.get(name)
    assert question is not None
    assert question.properties is not None
    assert question.properties.reply_to is not None
    return question.properties.reply_to


@scenario
async def test_a_reply_comes_without_a_queue(open_wire: OpenWire, name: str) -> None:
    """Rows 231, 232 and 237."""
    asking, answering = await open_wire(), await open_wire()
    assert await asking.say(consume()) == [basic.ConsumeOk("replies")]
    address = await address_of(asking, name)
    assert address.startswith(f"{REPLY_TO}.g1h")
    assert address.removeprefix(f"{REPLY_TO}.").count(".") == 1

    await answering.say(publish(address, body=b"answer", correlation_id="7"))

    assert await asking.hear() == Command(
        1,
        basic.Deliver("replies", 2, False, "", address),
        Properties(correlation_id="7"),
        b"answer",
    )


@scenario
async def test_the_broker_makes_tags_up_and_nothing_else_counts(open_wire: OpenWire) -> None:
    """Row 231."""
    wire = await open_wire()
    odd = basic.Consume(REPLY_TO, "", False, True, True, False, {"x-priority": "high"})

    (answer,) = await wire.say(odd)

    assert isinstance(answer, basic.ConsumeOk)
    assert answer.consumer_tag.startswith("amq.ctag-")


@scenario
async def test_a_question_needs_a_consumer_on_its_own_channel(
    open_wire: OpenWire, name: str
) -> None:
    """Row 233."""
    wire = await open_wire(1, 2)
    await wire.say(consume(), number=2)

    assert await wire.refusal(publish(name, reply_to=REPLY_TO)) == (
        406,
        "PRECONDITION_FAILED - fast reply consumer does not exist",
    )


@scenario
async def test_replies_are_not_acknowledged_and_have_one_consumer_a_channel(
    open_wire: OpenWire,
) -> None:
    """Row 234."""
    wire = await open_wire()

    assert await wire.refusal(consume(no_ack=False)) == (
        406,
        "PRECONDITION_FAILED - reply consumer cannot acknowledge",
    )
    for tag in ("replies", "other"):
        await wire.say(consume())
        assert await wire.refusal(consume(tag)) == (
            406,
            "PRECONDITION_FAILED - reply consumer already set",
        )


@scenario
async def test_the_tag_of_another_consumer_is_taken(open_wire: OpenWire, name: str) -> None:
    """Row 234."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True))
    wire.send(basic.Consume(name, "tag"))
    await wire.hear()

    assert await wire.refusal(consume("tag")) == (
        530,
        "NOT_ALLOWED - attempt to reuse consumer tag 'tag'",
    )


@scenario
async def test_the_bare_name_is_always_declared(open_wire: OpenWire) -> None:
    """Row 235. The name of a queue that is declared last may be left out."""
    wire = await open_wire()

    for passive in (True, False):
        assert await wire.say(queue.Declare(REPLY_TO, passive=passive)) == [
            queue.DeclareOk(REPLY_TO, 0, 1)
        ]
    assert await wire.say(basic.Consume("", "tag", no_ack=True)) == [basic.ConsumeOk("tag")]
    assert await wire.refusal(consume()) == (
        406,
        "PRECONDITION_FAILED - reply consumer already set",
    )


@scenario
async def test_an_address_is_declared_as_long_as_someone_waits(
    open_wire: OpenWire, name: str
) -> None:
    """Row 236. Dots beside the one that counts do not."""
    asking, wire = await open_wire(), await open_wire()
    await asking.say(consume())
    address = await address_of(asking, name)
    dotted = address.replace("reply-to.", "reply-to...")

    for each in (address, dotted):
        for passive in (True, False):
            assert await wire.say(queue.Declare(each, passive=passive)) == [
                queue.DeclareOk(each, 0, 1)
            ]
    dead = [f"{address}x", f"{address}.x", f"{REPLY_TO}.", f"{REPLY_TO}x", f"{REPLY_TO}.x"]
    assert await asking.say(basic.Cancel("replies")) == [basic.CancelOk("replies")]
    for each in (*dead, address):
        assert await wire.refusal(queue.Declare(each, passive=True)) == (
            404,
            NO_SUCH_QUEUE.format(each),
        )


@scenario
async def test_replies_have_the_next_delivery_tag_and_do_not_use_it_up(
    open_wire: OpenWire, name: str
) -> None:
    """Row 237."""
    asking, answering = await open_wire(), await open_wire()
    await asking.say(consume())
    address = await address_of(asking, name)

    await answering.say(publish(address), publish(address))

    deliver = basic.Deliver("replies", 2, False, "", address)
    for _ in range(2):
        assert await asking.hear() == Command(1, deliver, Properties(), b"m")
    await asking.say(publish(name))
    got = await asking.get(name)
    assert got is not None
    assert isinstance(got.method, basic.GetOk)
    assert got.method.delivery_tag == 2


@scenario
async def test_a_mandatory_reply_is_delivered_and_returned(open_wire: OpenWire, name: str) -> None:
    """Row 238."""
    asking, answering = await open_wire(), await open_wire()
    await asking.say(consume())
    address = await address_of(asking, name)

    (returned,) = await answering.say(publish(address, mandatory=True))

    assert isinstance(returned, Command)
    assert returned.method == basic.Return(312, "NO_ROUTE", "", address)
    assert isinstance(await asking.hear(), Command)


@pytest.mark.parametrize("end", [basic.Cancel("replies"), channel.Close(200, "bye")])
@scenario
async def test_a_late_reply_is_dropped(
    open_wire: OpenWire, name: str, end: basic.Cancel | channel.Close
) -> None:
    """Row 239."""
    asking, answering = await open_wire(), await open_wire()
    await asking.say(consume())
    address = await address_of(asking, name)
    asking.send(end)
    await asking.hear()

    assert await answering.say(publish(address)) == []
    (returned,) = await answering.say(publish(address, mandatory=True))

    assert isinstance(returned, Command)
    assert returned.method == basic.Return(312, "NO_ROUTE", "", address)


@pytest.mark.parametrize("address", ["zz.yy", "%%%.k", "g2EB.k"])
@scenario
async def test_an_address_that_cannot_be_one_ends_the_connection_without_a_word(
    open_wire: OpenWire, address: str
) -> None:
    """Row 240. What has one part, or three, is no address at all."""
    nonsense = f"{REPLY_TO}.{address}"

    for wrong in (publish(nonsense), queue.Declare(nonsense, passive=True)):
        wire = await open_wire()
        assert await wire.refusal(wrong) == (541, "INTERNAL_ERROR")
    wire = await open_wire()
    assert await wire.say(publish(f"{nonsense}.x"), publish(f"{REPLY_TO}.x")) == []


@scenario
async def test_there_is_no_queue_behind_the_name(open_wire: OpenWire, name: str) -> None:
    """Row 241, and the same for an address."""
    asking, wire = await open_wire(), await open_wire()
    await asking.say(consume())

    for each in (REPLY_TO, await address_of(asking, name)):
        for method in (basic.Get(each), queue.Bind(each, "amq.fanout"), queue.Purge(each)):
            assert await wire.refusal(method) == (404, NO_SUCH_QUEUE.format(each)), method
        assert await wire.say(queue.Delete(each), queue.Unbind(each, "amq.fanout")) == [
            queue.DeleteOk(0),
            queue.UnbindOk(),
        ]


@scenario
async def test_only_the_default_exchange_leads_to_addresses_by_any_key(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Row 237. A delivery has the first key, even when it was another one that led here."""
    asking, wire = await open_wire(), await open_wire()
    await asking.say(consume())
    address = await address_of(asking, new_name())

    await wire.say(publish(address, "amq.fanout"), publish("k", headers={"CC": [address]}))

    said = await asking.hear()
    assert isinstance(said, Command)
    assert said.method == basic.Deliver("replies", 2, False, "", "k")


@scenario
async def test_replies_do_not_wait_for_a_commit(open_wire: OpenWire, name: str) -> None:
    asking, answering = await open_wire(), await open_wire()
    await asking.say(consume())
    address = await address_of(asking, name)

    await answering.say(tx.Select(), publish(address, body=b"answer"))

    said = await asking.hear()
    assert isinstance(said, Command)
    assert bytes(said.body) == b"answer"
    assert await answering.say(tx.Rollback()) == [tx.RollbackOk()]


@scenario
async def test_a_channel_cannot_ask_for_its_own_address(open_wire: OpenWire, name: str) -> None:
    """Row 236, which is about others: whoever waits for replies would wait for itself."""
    wire = await open_wire(1, 2)
    await wire.say(consume())
    address = await address_of(wire, name)

    assert await wire.say(queue.Declare(address, passive=True), number=2) == [
        queue.DeclareOk(address, 0, 1)
    ]
    await wire.say(basic.Cancel("replies"))
    assert await wire.refusal(queue.Declare(address, passive=True)) == (541, "INTERNAL_ERROR")


@pytest.mark.parametrize("node", [b"a@b", b"reply@1", b"reply"])
@scenario
async def test_an_address_on_a_node_that_there_is_not_is_an_internal_error(
    open_wire: OpenWire, node: bytes
) -> None:
    """Row 240."""
    process = b"\x83Xv" + len(node).to_bytes(2, "big") + node + bytes(12)
    address = f"{REPLY_TO}.{b64encode(process).decode()}.key"

    for wrong in (publish(address), queue.Declare(address, passive=True)):
        wire = await open_wire()
        assert await wire.refusal(wrong) == (541, "INTERNAL_ERROR")


@scenario
async def test_a_dead_letter_can_be_a_reply(open_wire: OpenWire, new_name: NewName) -> None:
    """Row 237, row 197."""
    wire = await open_wire()
    await wire.say(consume())
    address = await address_of(wire, new_name())
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": address}
    mortal = new_name()
    await wire.say(queue.Declare(mortal, exclusive=True, arguments=arguments))

    wire.send(publish(mortal, body=b"answer", expiration="0"))

    said = await wire.hear()

    assert isinstance(said, Command)
    assert said.method == basic.Deliver("replies", 2, False, "", address)
    assert said.properties is not None
    assert (said.properties.headers or {})["x-first-death-reason"] == "expired"
