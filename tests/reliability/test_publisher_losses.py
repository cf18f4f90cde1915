"""A publisher loses its link, or a call of it is cancelled, at any turn of the event loop."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Literal

import pytest

from aioamqp import PublishNotSent, PublishUnconfirmed
from aioamqp_testing import FakeBroker
from tests.compat.test_cancelling import cancelled_after
from tests.reliability.test_cancelling import (
    PERSISTENT,
    Scene,
    check_topology,
    is_over,
    scene_in,
    turns,
)

Resend = Literal["never", "unsent", "unconfirmed"]

COUNT = 12
WINDOW = 5


def published(broker: FakeBroker) -> set[bytes]:
    return {message.body for message in broker.history("empty")}


async def check_publishes(scene: Scene, outcomes: dict[bytes, Any], resend: Resend) -> None:
    """Assert that each message has one outcome, and that it is the right one."""
    there = {message.body for message in scene.broker.vhost.queues["empty"].messages}
    for body, outcome in outcomes.items():
        if isinstance(outcome, asyncio.CancelledError):
            continue
        if outcome is None:
            assert body in there
        elif isinstance(outcome, PublishNotSent):
            assert resend == "never"
            assert body not in published(scene.broker)
        else:
            assert isinstance(outcome, PublishUnconfirmed), repr(outcome)
            assert resend != "unconfirmed"


@pytest.mark.parametrize("losses", [1, 2])
@pytest.mark.parametrize("resend", ["never", "unsent", "unconfirmed"])
@pytest.mark.parametrize("how", ["publish", "publish_deferred"])
def test_a_publisher_may_lose_its_link_at_any_turn(how: str, resend: Resend, losses: int) -> None:
    """R13."""

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        publisher = scene.channel.publisher(
            "", routing_key="empty", properties=PERSISTENT, resend=resend, max_unconfirmed=WINDOW
        )
        bodies = [str(number).encode() for number in range(COUNT)]

        async def publish_all() -> dict[bytes, Any]:
            outcomes: dict[bytes, Any] = {}
            if how == "publish":
                ends = await asyncio.gather(
                    *(publisher.publish(body) for body in bodies), return_exceptions=True
                )
                return dict(zip(bodies, ends, strict=True))
            waiting: dict[bytes, Awaitable[None]] = {}
            for body in bodies:
                try:
                    waiting[body] = await publisher.publish_deferred(body)
                except PublishNotSent as error:
                    outcomes[body] = error
            for body, confirmation in waiting.items():
                try:
                    await confirmation
                    outcomes[body] = None
                except (PublishNotSent, PublishUnconfirmed) as error:
                    outcomes[body] = error
            return outcomes

        task = asyncio.ensure_future(publish_all())
        await turns(iterations)
        was_running = not task.done()
        for _ in range(losses):
            scene.lose()
            await turns(7)
        async with asyncio.timeout(100):
            outcomes = await task
        assert len(outcomes) == COUNT
        await check_topology(scene)
        await check_publishes(scene, outcomes, resend)
        await publisher.publish(b"after")
        await scene.connection.close()
        return was_running

    assert is_over(trial) > 3


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("resend", ["never", "unsent", "unconfirmed"])
@pytest.mark.parametrize("call", ["publish", "publish_deferred", "flush"])
def test_a_call_of_a_publisher_can_be_cancelled_at_any_turn(
    call: str, resend: Resend, is_lost: bool
) -> None:
    """R21."""

    async def trial(broker: FakeBroker, iterations: int) -> bool:
        scene = await scene_in(broker)
        publisher = scene.channel.publisher(
            "", routing_key="empty", properties=PERSISTENT, resend=resend, max_unconfirmed=WINDOW
        )
        earlier = [await publisher.publish_deferred(str(n).encode()) for n in range(WINDOW)]
        made: Awaitable[Any]
        match call:
            case "publish":
                made = publisher.publish(b"x")
            case "publish_deferred":
                made = publisher.publish_deferred(b"x")
            case _:
                made = publisher.flush()
        task = asyncio.ensure_future(made)
        if is_lost:
            await turns(1)
            scene.lose()
        was_cancelled = await cancelled_after(iterations, task)
        ends = await asyncio.gather(*earlier, return_exceptions=True)
        outcomes = {str(number).encode(): end for number, end in enumerate(ends)}
        await check_publishes(scene, outcomes, resend)
        for number in range(2 * WINDOW):
            await publisher.publish(f"after {number}".encode())
        await check_topology(scene)
        scene.lose()
        await turns(3)
        await scene.connection.wait_open()
        await publisher.publish(b"last")
        await scene.connection.close()
        return was_cancelled

    is_over(trial)
