"""Dead lettering at least once: a quorum queue keeps a dead letter until its queues have it."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from aioamqp import Channel, PublishFailed
from tests.conformance.administration import Administer
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    Inbox,
    Message,
    NewName,
    count,
    get_and_reject,
    inbox_of,
    scenario,
)

AT_LEAST_ONCE = {"dead_letter_strategy": "at-least-once", "overflow": "reject-publish"}


FIRST_DEATH = ["x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"]
LAST_DEATH = ["x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"]


class Policy:
    """The policy of one queue, which is cleared at the end. It defines also what is given here."""

    def __init__(self, administer: Administer) -> None:
        self._administer = administer
        self._names: list[str] = []

    async def set(self, queue: str, **definition: Any) -> None:
        """Define the policy, or define it anew: the queue retries its dead letters then."""
        keys = {key.replace("_", "-"): value for key, value in definition.items()}
        self._names.append(queue)
        async with self._administer() as broker:
            broker.set_policy(queue, f"^{queue}$", keys, apply_to="queues")

    async def clear(self) -> None:
        if not self._names:
            return
        async with self._administer() as broker:
            for name in dict.fromkeys(self._names):
                broker.clear_policy(name)


@pytest_asyncio.fixture
async def policy(administer: Administer) -> AsyncIterator[Policy]:
    policy = Policy(administer)
    yield policy
    await policy.clear()


async def source(channel: Channel, name: str, *bodies: bytes, **arguments: Any) -> str:
    """Declare a quorum queue that dead-letters at least once, and publish to it."""
    table = {"queue_type": "quorum", **AT_LEAST_ONCE, **arguments}
    table = {f"x-{key.replace('_', '-')}": value for key, value in table.items()}
    await channel.queue_declare(name, durable=True, arguments=table)
    await channel.confirm_select()
    for body in bodies:
        await channel.publish(body, "", name)
    return name


async def fanout(channel: Channel, exchange: str, *queues: str) -> None:
    """Declare an exchange that routes to queues."""
    await channel.exchange_declare(exchange, "fanout")
    for queue in queues:
        await channel.queue_bind(queue, exchange, "")


async def accepted(channel: Channel, queue: str, number: int) -> int:
    """Publish messages, and return how many of them the queue accepts."""
    accepted = 0
    for _ in range(number):
        try:
            await channel.publish(b"more", "", queue)
        except PublishFailed:
            continue
        accepted += 1
    return accepted


class Death(NamedTuple):
    exchange: str
    key: str
    body: bytes
    deaths: list[tuple[str, str, int, str, list[str]]]


def death_of(message: Message) -> Death:
    headers: dict[str, Any] = dict(message.properties.headers or {})
    envelope = message.envelope
    return Death(
        envelope.exchange_name,
        envelope.routing_key,
        message.body,
        [
            (each["queue"], each["reason"], each["count"], each["exchange"], each["routing-keys"])
            for each in headers["x-death"]
        ],
    )


@pytest.mark.parametrize("reason", ["rejected", "expired", "delivery_limit"])
@pytest.mark.parametrize("target", ["classic", "quorum"])
@scenario
async def test_a_dead_letter_arrives_as_it_does_at_most_once(
    connect: Connect, new_name: NewName, reason: str, target: str, by_version: ByVersion
) -> None:
    """Row U44."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = new_name(), new_name()
    await channel.queue_declare(dead_letter_queue, durable=True, arguments={"x-queue-type": target})
    dead_letters = await inbox_of(channel, dead_letter_queue)
    arguments = {"expired": {"message_ttl": 1}, "delivery_limit": {"delivery_limit": 0}}
    await source(
        channel,
        queue,
        b"m",
        dead_letter_exchange="",
        dead_letter_routing_key=dead_letter_queue,
        **arguments.get(reason, {}),
    )
    if reason == "rejected":
        await get_and_reject(channel, queue)
    elif reason == "delivery_limit":
        got = await channel.basic_get(queue)
        await channel.basic_reject(got["delivery_tag"], requeue=True)

    message = await dead_letters.next_message()

    assert death_of(message) == ("", dead_letter_queue, b"m", [(queue, reason, 1, "", [queue])])
    headers = dict(message.properties.headers or {})
    others = by_version({"3.10": FIRST_DEATH, "4.0": FIRST_DEATH + LAST_DEATH})
    if target == "quorum" and reason != "expired":
        # RabbitMQ: from 4.0 on, what a quorum queue counted stays with the dead letter.
        counts = ["x-delivery-count"] if reason == "rejected" else []
        both = ["x-acquired-count", "x-delivery-count"]
        others = by_version({"3.10": [], "4.0": counts, "4.3": both}) + others
    assert [name for name in headers if name != "x-death"] == others


@scenario
async def test_dead_letters_arrive_in_their_order(connect: Connect, new_name: NewName) -> None:
    """Row U44. There are more of them than the queue's worker holds at a time."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue = new_name(), new_name()
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    numbers = [b"%d" % number for number in range(100)]
    keys = {"dead_letter_exchange": "", "dead_letter_routing_key": dead_letter_queue}
    await source(channel, queue, *numbers, **keys)
    dead_letters = await inbox_of(channel, dead_letter_queue)

    for _ in numbers:
        await get_and_reject(channel, queue)

    assert await dead_letters.bodies(100) == numbers


@scenario
async def test_a_dead_letter_without_an_exchange_is_kept_and_arrives_when_there_is_one(
    connect: Connect, new_name: NewName, policy: Policy
) -> None:
    """Row U44."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue, exchange = new_name(), new_name(), new_name()
    await source(channel, queue, b"0", b"1", dead_letter_exchange=exchange)
    await get_and_reject(channel, queue)
    await get_and_reject(channel, queue)
    assert await count(channel, queue) == 0

    await channel.queue_declare(dead_letter_queue, exclusive=True)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await fanout(channel, exchange, dead_letter_queue)
    await policy.set(queue, delivery_limit=5)

    arrived = [death_of(await dead_letters.next_message()) for _ in range(2)]
    deaths = [(queue, "rejected", 1, "", [queue])]
    assert arrived == [(exchange, queue, b"0", deaths), (exchange, queue, b"1", deaths)]


@scenario
async def test_a_dead_letter_that_is_routed_nowhere_is_kept_until_a_queue_is_bound(
    connect: Connect, new_name: NewName, policy: Policy
) -> None:
    """Row U44."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue, exchange = new_name(), new_name(), new_name()
    await fanout(channel, exchange)
    await source(channel, queue, b"m", dead_letter_exchange=exchange)
    await get_and_reject(channel, queue)
    assert await count(channel, queue) == 0

    await channel.queue_declare(dead_letter_queue, exclusive=True)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await channel.queue_bind(dead_letter_queue, exchange, "")
    await policy.set(queue, delivery_limit=5)

    assert await dead_letters.bodies(1) == [b"m"]


@scenario
async def test_kept_dead_letters_count_in_the_limit_of_their_queue(
    connect: Connect, name: str
) -> None:
    """Row U44. They are not ready."""
    channel = await (await connect()).channel()
    queue = await source(
        channel, name, b"0", b"1", dead_letter_exchange=f"{name}-missing", max_length=3
    )
    await get_and_reject(channel, queue)
    await get_and_reject(channel, queue)

    assert await count(channel, queue) == 0
    assert await accepted(channel, queue, 5) == 2  # one more than the limit, as always
    assert await count(channel, queue) == 2


@scenario
async def test_a_purge_keeps_dead_letters(
    connect: Connect, new_name: NewName, policy: Policy, by_version: ByVersion
) -> None:
    """Row U44."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue, exchange = new_name(), new_name(), new_name()
    await source(channel, queue, b"0", b"1", dead_letter_exchange=exchange)
    await get_and_reject(channel, queue)

    purged = await channel.queue_purge(queue)
    assert purged is not None
    # RabbitMQ: 4.3 counts the dead letter, too, although it keeps it.
    assert purged["message_count"] == by_version({"3.10": 1, "4.3": 2})

    await channel.queue_declare(dead_letter_queue, exclusive=True)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await fanout(channel, exchange, dead_letter_queue)
    await policy.set(queue, delivery_limit=5)
    assert await dead_letters.bodies(1) == [b"0"]


@scenario
async def test_a_kept_dead_letter_goes_where_a_new_policy_says(
    connect: Connect, new_name: NewName, policy: Policy
) -> None:
    """Row U44. A policy can also define the strategy."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue, exchange = new_name(), new_name(), new_name()
    await channel.queue_declare(dead_letter_queue, exclusive=True)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await fanout(channel, exchange, dead_letter_queue)
    await policy.set(queue, **AT_LEAST_ONCE, dead_letter_exchange=f"{queue}-missing")
    await channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    await channel.confirm_select()
    await channel.publish(b"m", "", queue)
    await get_and_reject(channel, queue)

    await policy.set(
        queue, **AT_LEAST_ONCE, dead_letter_exchange=exchange, dead_letter_routing_key="new"
    )

    arrived = death_of(await dead_letters.next_message())
    assert arrived == (exchange, "new", b"m", [(queue, "rejected", 1, "", [queue])])


@pytest.mark.parametrize(
    "changes", [{"dead_letter_strategy": "at-most-once"}, {"overflow": "drop-head"}]
)
@scenario
async def test_without_the_strategy_or_reject_publish_dead_letters_are_dropped(
    connect: Connect, new_name: NewName, policy: Policy, changes: dict[str, str]
) -> None:
    """Row U44. Also those that were kept."""
    channel = await (await connect()).channel()
    queue, dead_letter_queue, exchange = new_name(), new_name(), new_name()
    keys = {**AT_LEAST_ONCE, "dead_letter_exchange": exchange}
    await policy.set(queue, **keys)
    await channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    await channel.confirm_select()
    for body in (b"kept", b"not kept", b"last"):
        await channel.publish(body, "", queue)
    await get_and_reject(channel, queue)

    await policy.set(queue, **{**keys, **changes})
    await get_and_reject(channel, queue)

    await channel.queue_declare(dead_letter_queue, exclusive=True)
    dead_letters = await inbox_of(channel, dead_letter_queue)
    await fanout(channel, exchange, dead_letter_queue)
    await policy.set(queue, **keys)
    await get_and_reject(channel, queue)
    assert await dead_letters.bodies(1) == [b"last"]


@scenario
async def test_a_full_queue_does_not_keep_others_from_getting_a_dead_letter(
    connect: Connect, new_name: NewName
) -> None:
    """Row U44. The source keeps the dead letter for the one that is full."""
    channel = await (await connect()).channel()
    queue, free, full, exchange = new_name(), new_name(), new_name(), new_name()
    await channel.queue_declare(free, exclusive=True)
    await channel.queue_declare(
        full, exclusive=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    dead_letters = await inbox_of(channel, free)
    await fanout(channel, exchange, free, full)
    await source(channel, queue, b"m", dead_letter_exchange=exchange, max_length=1)
    await get_and_reject(channel, queue)

    assert await dead_letters.bodies(1) == [b"m"]
    assert await accepted(channel, queue, 3) == 1


@scenario
async def test_a_dead_letter_reaches_a_stream(connect: Connect, new_name: NewName) -> None:
    """Row U44. At most once it does not."""
    channel = await (await connect()).channel()
    queue, stream = new_name(), new_name()
    await channel.queue_declare(stream, durable=True, arguments={"x-queue-type": "stream"})
    keys = {"dead_letter_exchange": "", "dead_letter_routing_key": stream}
    await source(channel, queue, b"m", **keys)
    inbox = Inbox()
    await channel.basic_qos(prefetch_count=10)
    await channel.basic_consume(inbox, stream, arguments={"x-stream-offset": "first"})

    await get_and_reject(channel, queue)

    assert await inbox.bodies(1) == [b"m"]
