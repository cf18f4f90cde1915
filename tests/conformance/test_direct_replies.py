"""Direct reply-to: replies that are delivered to a channel without a queue."""

from base64 import b64encode
from typing import Final

import pytest

from amqp_codec import Command, Properties, basic, channel, connection, queue, tx
from tests.conformance.client import MethodOrCommand, OpenClient, ScriptedClient, method_of, publish
from tests.conformance.raw_client import close_channel
from tests.conformance.scenario import NO_SUCH_QUEUE, ByVersion, NewName, scenario

REPLY_TO: Final = "amq.rabbitmq.reply-to"


def consume(tag: str = "replies", *, no_ack: bool = True) -> basic.Consume:
    return basic.Consume(REPLY_TO, tag, no_ack=no_ack)


async def address_of(client: ScriptedClient, name: str) -> str:
    """Publish a request on channel 1, and return the reply address that the broker puts in it."""
    await client.call(queue.Declare(name, exclusive=True))
    await client.call(publish(name, reply_to=REPLY_TO))
    request = await client.get(name)
    assert request is not None
    assert request.properties is not None
    assert request.properties.reply_to is not None
    return request.properties.reply_to


@scenario
async def test_a_reply_is_delivered_without_a_queue(open_client: OpenClient, name: str) -> None:
    """Rows 231, 232 and 237."""
    requester, responder = await open_client(), await open_client()
    assert await requester.call(consume()) == [basic.ConsumeOk("replies")]
    address = await address_of(requester, name)
    assert address.startswith(f"{REPLY_TO}.g1h")
    assert address.removeprefix(f"{REPLY_TO}.").count(".") == 1

    await responder.call(publish(address, body=b"answer", correlation_id="7"))

    assert await requester.next_command() == Command(
        1,
        basic.Deliver("replies", 2, False, "", address),
        Properties(correlation_id="7"),
        b"answer",
    )


@scenario
async def test_the_broker_generates_a_consumer_tag_and_ignores_other_arguments(
    open_client: OpenClient,
) -> None:
    """Row 231."""
    client = await open_client()
    odd = basic.Consume(REPLY_TO, "", False, True, True, False, {"x-priority": "high"})

    (reply,) = await client.call(odd)

    assert isinstance(reply, basic.ConsumeOk)
    assert reply.consumer_tag.startswith("amq.ctag-")


@scenario
async def test_a_request_needs_a_reply_consumer_on_its_channel(
    open_client: OpenClient, name: str
) -> None:
    """Row 233."""
    client = await open_client(1, 2)
    await client.call(consume(), channel=2)

    assert await client.refusal(publish(name, reply_to=REPLY_TO)) == (
        406,
        "PRECONDITION_FAILED - fast reply consumer does not exist",
    )


@scenario
async def test_a_channel_may_have_one_reply_consumer_without_acknowledgements(
    open_client: OpenClient,
) -> None:
    """Row 234."""
    client = await open_client()

    assert await client.refusal(consume(no_ack=False)) == (
        406,
        "PRECONDITION_FAILED - reply consumer cannot acknowledge",
    )
    for tag in ("replies", "other"):
        await client.call(consume())
        assert await client.refusal(consume(tag)) == (
            406,
            "PRECONDITION_FAILED - reply consumer already set",
        )


@scenario
async def test_a_consumer_tag_in_use_is_refused_for_the_reply_consumer(
    open_client: OpenClient, name: str
) -> None:
    """Row 234."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))
    client.send(basic.Consume(name, "tag"))
    await client.next_command()

    assert await client.refusal(consume("tag")) == (
        530,
        "NOT_ALLOWED - attempt to reuse consumer tag 'tag'",
    )


@scenario
async def test_declaring_the_pseudo_queue_always_succeeds(open_client: OpenClient) -> None:
    """Row 235. It counts as the last declared queue, too."""
    client = await open_client()

    for passive in (True, False):
        assert await client.call(queue.Declare(REPLY_TO, passive=passive)) == [
            queue.DeclareOk(REPLY_TO, 0, 1)
        ]
    assert await client.call(basic.Consume("", "tag", no_ack=True)) == [basic.ConsumeOk("tag")]
    assert await client.refusal(consume()) == (
        406,
        "PRECONDITION_FAILED - reply consumer already set",
    )


@scenario
async def test_declaring_a_reply_address_succeeds_while_it_has_a_consumer(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 236. Additional dots in the address are ignored, before 4.0."""
    requester, client = await open_client(), await open_client()
    await requester.call(consume())
    address = await address_of(requester, name)
    dotted = address.replace("reply-to.", "reply-to...")

    internal_error = connection.Close(541, "INTERNAL_ERROR")
    replies: dict[str, MethodOrCommand] = {
        "3.10": queue.DeclareOk(dotted, 0, 1),
        "4.0": close_channel(404, NO_SUCH_QUEUE.format(dotted), queue.Declare),
        "4.3": internal_error,
    }
    for passive in (True, False):
        declare = queue.Declare(address, passive=passive)
        assert await client.call(declare) == [queue.DeclareOk(address, 0, 1)]
        other = await open_client()
        assert await other.call(queue.Declare(dotted, passive=passive)) == [by_version(replies)]
    assert await requester.call(basic.Cancel("replies")) == [basic.CancelOk("replies")]
    no_address = [f"{REPLY_TO}.", f"{REPLY_TO}x", f"{REPLY_TO}.x"]
    for each in (f"{address}x", f"{address}.x", *no_address, address):
        not_found: MethodOrCommand = close_channel(404, NO_SUCH_QUEUE.format(each), queue.Declare)
        if each in no_address:
            not_found = by_version({"3.10": not_found, "4.3": internal_error})
        other = await open_client()
        assert await other.call(queue.Declare(each, passive=True)) == [not_found]


@scenario
async def test_a_reply_has_the_next_delivery_tag_but_does_not_use_it(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 237. RabbitMQ 4.3 uses it."""
    requester, responder = await open_client(), await open_client()
    await requester.call(consume())
    address = await address_of(requester, name)

    await responder.call(publish(address), publish(address))

    *tags, following = by_version({"3.10": (2, 2, 2), "4.3": (2, 3, 4)})
    for tag in tags:
        deliver = basic.Deliver("replies", tag, False, "", address)
        assert await requester.next_command() == Command(1, deliver, Properties(), b"m")
    await requester.call(publish(name))
    got = await requester.get(name)
    assert got is not None
    assert isinstance(got.method, basic.GetOk)
    assert got.method.delivery_tag == following


@scenario
async def test_a_mandatory_reply_is_delivered_and_returned(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 238. RabbitMQ 4.3 does not return it."""
    requester, responder = await open_client(), await open_client()
    await requester.call(consume())
    address = await address_of(requester, name)

    returned = await responder.call(publish(address, mandatory=True))

    no_route = basic.Return(312, "NO_ROUTE", "", address)
    assert list(map(method_of, returned)) == by_version({"3.10": [no_route], "4.3": []})
    assert isinstance(await requester.next_command(), Command)


@pytest.mark.parametrize("end", [basic.Cancel("replies"), channel.Close(200, "bye")])
@scenario
async def test_a_late_reply_is_dropped(
    open_client: OpenClient, name: str, end: basic.Cancel | channel.Close, by_version: ByVersion
) -> None:
    """Row 239. RabbitMQ 4.3 does not return it, even if it is mandatory."""
    requester, responder = await open_client(), await open_client()
    await requester.call(consume())
    address = await address_of(requester, name)
    requester.send(end)
    await requester.next_command()

    assert await responder.call(publish(address)) == []
    returned = await responder.call(publish(address, mandatory=True))

    no_route = basic.Return(312, "NO_ROUTE", "", address)
    assert list(map(method_of, returned)) == by_version({"3.10": [no_route], "4.3": []})


@pytest.mark.parametrize("address", ["zz.yy", "%%%.k", "g2EB.k"])
@scenario
async def test_a_malformed_reply_address_is_an_internal_error(
    open_client: OpenClient, address: str, by_version: ByVersion
) -> None:
    """Row 240. A key with one or three parts is not taken for an address.

    RabbitMQ 4.3 drops a message to any of them.
    """
    nonsense = f"{REPLY_TO}.{address}"

    internal_error = [connection.Close(541, "INTERNAL_ERROR")]
    client = await open_client()
    assert await client.call(publish(nonsense)) == by_version({"3.10": internal_error, "4.3": []})
    client = await open_client()
    assert await client.call(queue.Declare(nonsense, passive=True)) == internal_error
    client = await open_client()
    assert await client.call(publish(f"{nonsense}.x"), publish(f"{REPLY_TO}.x")) == []


@scenario
async def test_the_pseudo_queue_does_not_exist_for_other_methods(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 241, and the same for a reply address."""
    requester, client = await open_client(), await open_client()
    await requester.call(consume())

    address = await address_of(requester, name)
    # RabbitMQ: in 4.3, an address is that of a volatile queue.
    for each in by_version({"3.10": (REPLY_TO, address), "4.3": (REPLY_TO,)}):
        for method in (basic.Get(each), queue.Bind(each, "amq.fanout"), queue.Purge(each)):
            assert await client.refusal(method) == (404, NO_SUCH_QUEUE.format(each)), method
        assert await client.call(queue.Delete(each), queue.Unbind(each, "amq.fanout")) == [
            queue.DeleteOk(0),
            queue.UnbindOk(),
        ]
    if by_version({"3.10": False, "4.3": True}):
        bound = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue"
        assert await client.refusal(queue.Bind(address, "amq.fanout")) == (403, bound)
        assert await client.refusal(queue.Unbind(address, "amq.fanout")) == (403, bound)
        assert await client.call(queue.Purge(address), queue.Delete(address)) == [
            queue.PurgeOk(0),
            queue.DeleteOk(0),
        ]
        text = (
            f"NOT_IMPLEMENTED - basic.get not supported by volatile queue '{address}' in vhost '/'"
        )
        assert await client.refusal(basic.Get(address)) == (540, text)


@scenario
async def test_only_the_default_exchange_routes_to_reply_addresses_by_any_key(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 237. A delivery has the routing key, even if the address was in the CC header."""
    requester, client = await open_client(), await open_client()
    await requester.call(consume())
    address = await address_of(requester, new_name())

    await client.call(publish(address, "amq.fanout"), publish("k", headers={"CC": [address]}))

    delivered = await requester.next_command()
    assert isinstance(delivered, Command)
    assert delivered.method == basic.Deliver("replies", 2, False, "", "k")


@scenario
async def test_a_reply_published_in_a_transaction_is_delivered_at_once_or_with_it(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    requester, responder = await open_client(), await open_client()
    await requester.call(consume())
    address = await address_of(requester, name)

    await responder.call(tx.Select(), publish(address, body=b"answer"))

    is_delivered_at_once = by_version({"3.10": True, "4.3": False})
    if not is_delivered_at_once:
        assert await responder.call(tx.Commit()) == [tx.CommitOk()]
    delivered = await requester.next_command()
    assert isinstance(delivered, Command)
    assert bytes(delivered.body) == b"answer"
    assert await responder.call(tx.Rollback()) == [tx.RollbackOk()]


@scenario
async def test_declaring_its_own_reply_address_is_an_internal_error(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 236, from the channel of the consumer, which would wait for itself, before 4.3."""
    client = await open_client(1, 2)
    await client.call(consume())
    address = await address_of(client, name)

    assert await client.call(queue.Declare(address, passive=True), channel=2) == [
        queue.DeclareOk(address, 0, 1)
    ]
    await client.call(basic.Cancel("replies"))
    assert await client.refusal(queue.Declare(address, passive=True)) == by_version(
        {"3.10": (541, "INTERNAL_ERROR"), "4.3": (404, NO_SUCH_QUEUE.format(address))}
    )


@pytest.mark.parametrize("node", [b"a@b", b"reply@1", b"reply"])
@scenario
async def test_a_reply_address_on_an_unknown_node_is_refused(
    open_client: OpenClient, node: bytes, by_version: ByVersion
) -> None:
    """Row 240. From 4.0 on, a message to it is dropped."""
    process = b"\x83Xv" + len(node).to_bytes(2, "big") + node + bytes(12)
    address = f"{REPLY_TO}.{b64encode(process).decode()}.key"

    internal_error: MethodOrCommand = connection.Close(541, "INTERNAL_ERROR")
    not_found: MethodOrCommand = close_channel(404, NO_SUCH_QUEUE.format(address), queue.Declare)
    client = await open_client()
    assert await client.call(publish(address)) == by_version({"3.10": [internal_error], "4.0": []})
    client = await open_client()
    assert await client.call(queue.Declare(address, passive=True)) == [
        by_version({"3.10": internal_error, "4.0": not_found, "4.3": internal_error})
    ]


@scenario
async def test_a_dead_letter_can_be_a_reply(
    open_client: OpenClient, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 237, row 197. RabbitMQ 4.0 drops it."""
    client = await open_client()
    await client.call(consume())
    address = await address_of(client, new_name())
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": address}
    expiring = new_name()
    await client.call(queue.Declare(expiring, exclusive=True, arguments=arguments))

    client.send(publish(expiring, body=b"answer", expiration="0"))
    if by_version({"3.10": False, "4.0": True, "4.3": False}):
        while await client.call(queue.Declare(expiring, passive=True)) != [
            queue.DeclareOk(expiring, 0, 0)
        ]:
            pass
        assert await client.call(basic.Qos(0, 1)) == [basic.QosOk()]
        return

    delivered = await client.next_command()

    assert isinstance(delivered, Command)
    assert delivered.method == basic.Deliver("replies", 2, False, "", address)
    assert delivered.properties is not None
    assert (delivered.properties.headers or {})["x-first-death-reason"] == "expired"
