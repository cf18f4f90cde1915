"""Details of methods that aioamqp does not show: single confirms, generated tags, counts."""

import re
import struct

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
from tests.conformance.client import method_of, publish
from tests.conformance.raw_client import Endpoint, RawClient
from tests.conformance.scenario import ByVersion, scenario

CREDIT = 60 << 16 | 200
"""The class and method id of basic.credit, which AMQP 0-9-1 does not define."""


@scenario
async def test_basic_credit_for_an_unknown_consumer_is_refused(
    endpoint: Endpoint, by_version: ByVersion
) -> None:
    """Row 77. RabbitMQ 4.0 does not know the method."""
    raw = await endpoint.open_connection(1)

    raw.send_method(1, CREDIT, b"\x04none" + b"\0\0\0\5" + b"\0")

    unknown = "PRECONDITION_FAILED - unknown consumer tag 'none'"
    assert await raw.next_command() == by_version(
        {
            "3.10": channel.Close(406, unknown, 60, 200),
            "4.0": connection.Close(503, "COMMAND_INVALID - unimplemented method", 60, 200),
        }
    )


@scenario
async def test_an_x_credit_argument_that_is_not_a_table_is_an_internal_error(
    endpoint: Endpoint, name: str, by_version: ByVersion
) -> None:
    """Row 64. RabbitMQ 4.0 ignores the argument."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))

    reply = await raw.request(basic.Consume(name, "tag", arguments={"x-credit": 1}))

    assert reply == by_version(
        {"3.10": connection.Close(541, "INTERNAL_ERROR"), "4.0": basic.ConsumeOk("tag")}
    )


@scenario
async def test_purge_and_delete_count_ready_messages(endpoint: Endpoint, name: str) -> None:
    """Row 113."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))
    raw.send(*(publish(name) for _ in range(3)))
    assert isinstance(await raw.request(basic.Get(name)), Command)

    assert await raw.request(queue.Purge(name)) == queue.PurgeOk(2)
    raw.send(*(publish(name) for _ in range(3)))
    assert isinstance(await raw.request(basic.Get(name)), Command)
    assert await raw.request(queue.Delete(name)) == queue.DeleteOk(2)


@scenario
async def test_consume_ok_with_a_generated_tag_precedes_all_deliveries(
    endpoint: Endpoint, name: str
) -> None:
    """Rows 166, 168."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))

    raw.send(publish(name), publish(name), basic.Consume(name))

    reply = await raw.next_command()
    assert isinstance(reply, basic.ConsumeOk)
    assert re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", reply.consumer_tag)
    for number in (1, 2):
        delivered = await raw.next_command()
        assert isinstance(delivered, Command)
        assert delivered.method == basic.Deliver(reply.consumer_tag, number, False, "", name)


@scenario
async def test_a_consumer_with_no_wait_gets_no_consume_ok(endpoint: Endpoint, name: str) -> None:
    """Row 168."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))

    reply = await raw.request(publish(name), basic.Consume(name, "tag", no_wait=True))

    assert isinstance(reply, Command)
    assert reply.method == basic.Deliver("tag", 1, False, "", name)


@pytest.mark.parametrize("unused", [1, 2, 3])
@scenario
async def test_unused_property_flags_are_forwarded(
    endpoint: Endpoint, name: str, unused: int, by_version: ByVersion
) -> None:
    """Row 147. RabbitMQ 4.0 clears them."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))
    flagged = (0x8000 | unused).to_bytes(2, "big") + b"\x04text"
    header = struct.pack(">HHQ", 60, 0, 0) + flagged

    raw.send_frame(1, 1, basic.Publish("", name).encode())
    raw.send_frame(2, 1, header)
    reply = await raw.request(basic.Get(name, True))

    assert isinstance(reply, Command)
    assert reply.properties == Properties(content_type="text")
    cleared = struct.pack(">HHQ", 60, 0, 0) + b"\x80\x00\x04text"
    assert by_version({"3.10": header, "4.0": cleared}) in raw.received_bytes


@pytest.mark.parametrize(
    ("durable", "modes"),
    [(False, [1] * 20), (True, [2] * 20), (True, [1, 2] * 10)],
    ids=["transient", "persistent", "mixed"],
)
@scenario
async def test_every_message_is_confirmed_once(
    endpoint: Endpoint, name: str, durable: bool, modes: list[int]
) -> None:
    """Rows 153, 154, 155. Half of them are unroutable; which acks have multiple set depends on timing."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, durable=durable, exclusive=not durable))
    await raw.request(confirm.Select())

    for mode in modes:
        raw.send(publish(name, delivery_mode=mode), publish("", delivery_mode=mode))

    assert await confirmed(raw, 40) == set(range(1, 41))


async def confirmed(raw: RawClient, count: int) -> set[int]:
    """Receive the acks of ``count`` publishes; return the tags, none of which is acked twice."""
    pending, done = set(range(1, count + 1)), set[int]()
    while pending:
        ack = await raw.next_command()
        assert isinstance(ack, basic.Ack), ack
        tags = {tag for tag in pending if tag <= ack.delivery_tag} if ack.multiple else set[int]()
        tags.add(ack.delivery_tag)
        assert tags <= pending, (ack, pending)
        pending -= tags
        done |= tags
    return done


@scenario
async def test_a_publisher_that_consumes_gets_the_delivery_and_the_confirm(
    endpoint: Endpoint, name: str
) -> None:
    """Row 156. The delivery is nearly always first."""
    raw = await endpoint.open_connection(1)
    await raw.request(queue.Declare(name, exclusive=True))
    await raw.request(basic.Consume(name, "tag"))
    await raw.request(confirm.Select())

    raw.send(publish(name))

    received = [method_of(await raw.next_command()) for _ in range(2)]
    assert sorted(received, key=repr) == [
        basic.Ack(1),
        basic.Deliver("tag", 1, False, "", name),
    ]


@scenario
async def test_a_nack_from_the_broker_has_requeue_set(endpoint: Endpoint, name: str) -> None:
    """Row 159. The value of multiple is undefined."""
    raw = await endpoint.open_connection(1)
    full: dict[str, FieldValue] = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await raw.request(queue.Declare(name, exclusive=True, arguments=full))
    await raw.request(confirm.Select())
    assert isinstance(await raw.request(publish(name)), basic.Ack)

    reply = await raw.request(publish(name))

    assert isinstance(reply, basic.Nack)
    assert (reply.delivery_tag, reply.requeue) == (2, True)
