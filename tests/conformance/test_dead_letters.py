"""Dead letters: their headers, their routing, and cycles."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aioamqp import Channel, EmptyQueue
from amqp_codec import field_type
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    Message,
    NewName,
    count,
    dead_lettering_queue,
    drain,
    get_and_reject,
    inbox_of,
    scenario,
)

FIRST_DEATH = ["x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"]
LAST_DEATH = ["x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"]

OTHER_HEADERS = {"3.10": FIRST_DEATH, "4.0": FIRST_DEATH + LAST_DEATH}
"""The headers of a dead letter besides x-death, by version."""


def headers_of(message: Message) -> dict[str, Any]:
    return dict(message.properties.headers or {})


def deaths_of(message: Message) -> list[tuple[str, str, int]]:
    """Return queue, reason and count of each death."""
    return [
        (death["queue"], death["reason"], death["count"])
        for death in headers_of(message)["x-death"]
    ]


async def cycle(channel: Channel, new_name: NewName, *, ttl: int = 1) -> tuple[str, str]:
    """Declare two queues that dead-letter to each other; messages expire in the second one.

    Returns:
        the names of both.
    """
    first, second = new_name(), new_name()
    for queue, other, arguments in ((first, second, {}), (second, first, {"x-message-ttl": ttl})):
        await channel.queue_declare(
            queue,
            exclusive=True,
            arguments={
                **arguments,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": other,
            },
        )
    return first, second


@pytest.mark.parametrize("reason", ["rejected", "expired", "maxlen"])
@scenario
async def test_x_death_contains_the_reason(
    connect: Connect, new_name: NewName, reason: str
) -> None:
    """Row 196."""
    channel = await (await connect()).channel()
    arguments = {"expired": {"message_ttl": 1}, "maxlen": {"max_length": 0}, "rejected": {}}
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, **arguments[reason])
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(b"m", "", queue)
    if reason == "rejected":
        await get_and_reject(channel, queue)

    dead_letter = await dead_letters.next_message()
    assert deaths_of(dead_letter) == [(queue, reason, 1)]


@scenario
async def test_a_dead_letter_keeps_its_routing_key_and_properties_except_the_expiration(
    connect: Connect, new_name: NewName
) -> None:
    """Row 197."""
    channel = await (await connect()).channel()
    exchange, queue, dead_letter_queue = new_name(), new_name(), new_name()
    await channel.exchange_declare(exchange, "direct", auto_delete=True)
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    await channel.queue_bind(dead_letter_queue, exchange, queue)
    await channel.queue_declare(
        queue, exclusive=True, arguments={"x-dead-letter-exchange": exchange}
    )
    dead_letters = await inbox_of(channel, dead_letter_queue)
    properties = {"message_id": "1", "delivery_mode": 2, "priority": 3, "expiration": "60000"}

    await channel.basic_publish(b"m", "", queue, properties)
    await get_and_reject(channel, queue)

    dead_letter = await dead_letters.next_message()
    envelope, kept = dead_letter.envelope, dead_letter.properties
    assert (envelope.exchange_name, envelope.routing_key) == (exchange, queue)
    assert not envelope.is_redeliver
    assert (kept.message_id, kept.delivery_mode, kept.priority) == ("1", 2, 3)
    assert kept.expiration is None


@scenario
async def test_the_first_death_adds_headers_in_this_order(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 198."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(
        b"m", "", queue, {"headers": {"z": 1, "a": "x"}, "expiration": "60000"}
    )
    await get_and_reject(channel, queue)

    headers = headers_of(await dead_letters.next_message())
    (death,) = headers["x-death"]
    assert list(headers) == ["a", "x-death", *by_version(OTHER_HEADERS), "z"]
    assert abs(death["time"] - datetime.now(UTC)) < timedelta(days=1)
    expiration = [("original-expiration", "60000")]
    assert list({**death, "time": None}.items()) == [
        *by_version({"3.10": [], "4.0": expiration}),
        ("count", 1),
        ("reason", "rejected"),
        ("queue", queue),
        ("time", None),
        ("exchange", ""),
        ("routing-keys", [queue]),
        *by_version({"3.10": expiration, "4.0": []}),
    ]
    types = by_version({"3.10": "lSSTSAS", "4.0": "SlSSTSA"})
    assert [field_type(value) for value in death.values()] == list(types)
    assert headers["x-first-death-queue"] == queue
    assert headers["x-first-death-reason"] == "rejected"
    assert headers["x-first-death-exchange"] == ""


@scenario
async def test_later_deaths_are_counted_and_listed_first(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 199, row 201: a cycle with a rejection in it is not detected."""
    channel = await (await connect()).channel()
    first, second = await cycle(channel, new_name)
    await channel.basic_publish(b"m", "", first)

    deaths: list[list[tuple[str, str, int]]] = []
    orders: list[list[list[str]]] = []
    last = b""
    for _ in range(3):
        await get_and_reject(channel, first)
        inbox = await inbox_of(channel, first, consumer_tag="looking")
        message = await inbox.next_message()
        await channel.basic_cancel("looking")
        deaths.append(deaths_of(message))
        orders.append([list(death) for death in headers_of(message)["x-death"]])
        last = message.body
        await channel.basic_publish(last, "", first, {"headers": headers_of(message)})

    by_key = ["count", "exchange", "queue", "reason", "routing-keys", "time"]
    as_made = ["count", "reason", "queue", "time", "exchange", "routing-keys"]
    # RabbitMQ: 4.0 ignores the x-death that a client publishes.
    assert deaths == [
        [(second, "expired", times), (first, "rejected", times)]
        for times in by_version({"3.10": (1, 2, 3), "4.0": (1, 1, 1)})
    ]
    assert orders == by_version(
        {
            "3.10": [[by_key, as_made], [by_key, by_key], [by_key, by_key]],
            "4.0": [[as_made, as_made]] * 3,
        }
    )


@scenario
async def test_the_deaths_of_three_queues_are_in_the_order_of_rabbitmq(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 199: before 4.0, each death reverses the order of the earlier ones."""
    channel = await (await connect()).channel()
    names = [new_name() for _ in range(4)]
    for queue, following in zip(names, [*names[1:], ""], strict=True):
        await channel.queue_declare(
            queue,
            exclusive=True,
            arguments={
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": following,
            }
            if following
            else {},
        )
    last = await inbox_of(channel, names[3])
    await channel.basic_publish(b"m", "", names[0])

    for queue in names[:3]:
        got = None
        while got is None:
            if await count(channel, queue):
                got = await channel.basic_get(queue)
        await channel.basic_reject(got["delivery_tag"])

    dead_letter = await last.next_message()
    order = by_version({"3.10": (2, 0, 1), "4.0": (2, 1, 0)})
    assert [queue for queue, _, _ in deaths_of(dead_letter)] == [names[each] for each in order]


@pytest.mark.parametrize("how", ["with another key", "with its own keys"])
@scenario
async def test_cc_keys_are_kept_unless_a_dead_letter_routing_key_is_set(
    connect: Connect, new_name: NewName, how: str, by_version: ByVersion
) -> None:
    """Row 198, row 200. RabbitMQ 4.0 keeps CC always, and does not read it for the dead letter."""
    channel = await (await connect()).channel()
    exchange, dead_letter_queue, queue = new_name(), new_name(), new_name()
    await channel.exchange_declare(exchange, "direct", auto_delete=True)
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    await channel.queue_bind(dead_letter_queue, exchange, "copy")
    arguments = {"x-dead-letter-exchange": exchange}
    if how == "with another key":
        arguments["x-dead-letter-routing-key"] = "copy"
    await channel.queue_declare(queue, exclusive=True, arguments=arguments)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(b"m", "", queue, {"headers": {"CC": ["copy"], "BCC": ["secret"]}})
    await get_and_reject(channel, queue)

    dead_letter = await dead_letters.next_message()
    headers = headers_of(dead_letter)
    assert headers["x-death"][0]["routing-keys"] == [queue, "copy"]
    if how == "with another key":
        assert dead_letter.envelope.routing_key == "copy"
        assert ("CC" in headers) is by_version({"3.10": False, "4.0": True})
    else:
        assert dead_letter.envelope.routing_key == queue
        assert headers["CC"] == ["copy"]


@scenario
async def test_a_dead_letter_cycle_without_a_rejection_is_dropped(
    connect: Connect, new_name: NewName
) -> None:
    """Row 201."""
    channel = await (await connect()).channel()
    queue = new_name()
    await channel.queue_declare(
        queue,
        exclusive=True,
        arguments={"x-message-ttl": 1, "x-dead-letter-exchange": ""},
    )
    timer_queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, message_ttl=20)
    timer = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(b"m", "", queue)
    await channel.basic_publish(b"", "", timer_queue)
    await timer.next_message()

    assert await drain(channel, queue) == []


@scenario
async def test_an_x_death_header_set_by_the_publisher_counts_for_cycle_detection(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 202. RabbitMQ 4.0 ignores the x-death that a client publishes."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name, message_ttl=1)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    forged = {"queue": dead_letter_queue, "reason": "expired", "count": 1}

    await channel.basic_publish(b"cycle", "", queue, {"headers": {"x-death": [forged]}})
    await channel.basic_publish(b"none", "", queue)

    arriving = by_version({"3.10": [b"none"], "4.0": [b"cycle", b"none"]})
    assert await dead_letters.bodies(len(arriving)) == arriving


@scenario
async def test_an_x_death_header_of_a_wrong_type_is_replaced(
    connect: Connect, new_name: NewName, by_version: ByVersion
) -> None:
    """Row 203."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    await channel.basic_publish(b"m", "", queue, {"headers": {"x-death": "never"}})
    await get_and_reject(channel, queue)

    dead_letter = await dead_letters.next_message()
    others = by_version({"3.10": [], "4.0": FIRST_DEATH + LAST_DEATH})
    assert list(headers_of(dead_letter)) == ["x-death", *others]
    assert deaths_of(dead_letter) == [(queue, "rejected", 1)]


@pytest.mark.parametrize("exchange", ["missing", ""])
@scenario
async def test_an_unroutable_dead_letter_is_dropped(
    connect: Connect, new_name: NewName, exchange: str
) -> None:
    """Row 107, row 204."""
    channel = await (await connect()).channel()
    queue, _ = await dead_lettering_queue(
        channel,
        new_name,
        dead_letter_exchange=exchange and new_name(),
        dead_letter_routing_key=new_name(),
    )
    await channel.basic_publish(b"m", "", queue)

    await get_and_reject(channel, queue)

    assert await drain(channel, queue) == []
    assert channel.is_open


@pytest.mark.parametrize("end", ["purge", "delete"])
@scenario
async def test_purged_and_deleted_messages_are_not_dead_lettered(
    connect: Connect, new_name: NewName, end: str
) -> None:
    """Row 205."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await channel.basic_publish(b"gone", "", queue)

    # A purge is processed by the queue itself, so after the publish.
    if end == "purge":
        assert await channel.queue_purge(queue) == {"message_count": 1}
    else:
        await channel.queue_delete(queue)
    await channel.basic_publish(b"last", "", dead_letter_queue)

    assert await dead_letters.bodies(1) == [b"last"]


@pytest.mark.parametrize(
    ("forged", "counts"),
    [
        ([{}], [1, None]),
        ([{"reason": "rejected"}], [1, None]),
        ([{"queue": "this", "reason": "rejected"}], [1]),
        ([{"queue": "this", "reason": "rejected"}] * 2, [3]),
        ([{"queue": "this", "reason": "rejected", "count": 7}], [8]),
    ],
)
@scenario
async def test_deaths_set_by_the_publisher_are_counted(
    connect: Connect,
    new_name: NewName,
    forged: list[Any],
    counts: list[int | None],
    by_version: ByVersion,
) -> None:
    """Row 199: deaths without a count are counted only if there are several.

    RabbitMQ 4.0 ignores the x-death that a client publishes.
    """
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await dead_lettering_queue(channel, new_name)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    deaths = [
        {key: queue if value == "this" else value for key, value in death.items()}
        for death in forged
    ]

    await channel.basic_publish(b"m", "", queue, {"headers": {"x-death": deaths}})
    await get_and_reject(channel, queue)

    headers = headers_of(await dead_letters.next_message())
    assert [death.get("count") for death in headers["x-death"]] == by_version(
        {"3.10": counts, "4.0": [1]}
    )


@pytest.mark.parametrize("is_waiting", [False, True])
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@scenario
async def test_a_rejected_message_is_redelivered_as_a_dead_letter(
    connect: Connect,
    new_name: NewName,
    queue_type: str,
    is_waiting: bool,
    by_version: ByVersion,
) -> None:
    """RabbitMQ 4.3: not if the queue is classic and a consumer waits for the dead letter."""
    channel = await (await connect()).channel()
    name, dead_letter_queue = new_name(), new_name()
    table = {"x-queue-type": queue_type}
    await channel.queue_declare(dead_letter_queue, durable=True, arguments=table)
    dead_lettering = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letter_queue,
    }
    await channel.queue_declare(name, exclusive=True, arguments=dead_lettering)
    inbox = await inbox_of(channel, dead_letter_queue) if is_waiting else None
    await channel.basic_publish(b"", "", name)
    await get_and_reject(channel, name)
    if inbox is None:
        while not await count(channel, dead_letter_queue):
            pass
        inbox = await inbox_of(channel, dead_letter_queue)

    keeps = queue_type == "quorum" or not is_waiting
    message = await inbox.next_message()
    assert message.envelope.is_redeliver == by_version({"3.10": False, "4.3": keeps})


FAILED_TWICE: dict[str, dict[str, tuple[bool, int | None, int | None]]] = {
    "classic to classic": {"3.10": (False, None, None), "4.3": (True, None, None)},
    "classic to quorum": {
        "3.10": (False, 0, None),
        "4.0": (False, None, None),
        "4.3": (True, 2, 2),
    },
    "quorum to classic": {"3.10": (False, None, None), "4.3": (True, None, None)},
    "quorum to quorum": {"3.10": (False, 0, None), "4.0": (True, 1, None), "4.3": (True, 2, 2)},
}
"""Whether a dead letter is redelivered, its x-delivery-count, and its x-acquired-count."""


@pytest.mark.parametrize("way", FAILED_TWICE)
@scenario
async def test_a_dead_letter_may_count_on_what_has_failed_before(
    connect: Connect, new_name: NewName, way: str, by_version: ByVersion
) -> None:
    """RabbitMQ: 4.0 counts a rejection, and 4.3 a requeue by basic.reject before it, too."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await failing_queues(channel, new_name, way)
    await channel.basic_publish(b"m", "", queue)
    first = await get(channel, queue)
    await channel.basic_reject(first["delivery_tag"], requeue=True)
    await channel.basic_reject((await get(channel, queue))["delivery_tag"])

    got = await get(channel, dead_letter_queue)

    headers = got["properties"].headers
    counts = (headers.get("x-delivery-count"), headers.get("x-acquired-count"))
    assert (got["redelivered"], *counts) == by_version(FAILED_TWICE[way])


@pytest.mark.parametrize("way", ["classic to quorum", "quorum to quorum"])
@scenario
async def test_failures_before_may_count_for_the_delivery_limit(
    connect: Connect, new_name: NewName, way: str, by_version: ByVersion
) -> None:
    """RabbitMQ 4.3 counts them."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = await failing_queues(channel, new_name, way, limit=1)
    await channel.basic_publish(b"m", "", queue)
    await channel.basic_reject((await get(channel, queue))["delivery_tag"])

    got = await get(channel, dead_letter_queue)
    await channel.basic_reject(got["delivery_tag"], requeue=True)

    dropped = by_version({"3.10": False, "4.3": True})
    again = await get(channel, queue if dropped else dead_letter_queue)
    assert again["message"] == b"m"


async def failing_queues(
    channel: Channel, new_name: NewName, way: str, limit: int | None = None
) -> tuple[str, str]:
    """Declare two queues that dead-letter to each other; return their names."""
    names = new_name(), new_name()
    for name, other, kind in zip(names, reversed(names), way.split(" to "), strict=True):
        arguments: dict[str, Any] = {
            "x-queue-type": kind,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": other,
        }
        if limit is not None and kind == "quorum":
            arguments["x-delivery-limit"] = limit
        await channel.queue_declare(name, durable=True, arguments=arguments)
    return names


async def get(channel: Channel, queue: str) -> dict[str, Any]:
    """Get a message as soon as there is one."""
    while True:
        try:
            return await channel.basic_get(queue)
        except EmptyQueue:
            continue
