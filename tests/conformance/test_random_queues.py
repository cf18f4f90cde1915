"""Random sequences of calls on queues with arguments, compared on the fake broker and RabbitMQ.

To look for new sequences: `hatch run test tests/conformance/test_random_queues.py
--hypothesis-profile=explore`.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

import aioamqp
from tests.conformance.test_random_sequences import CHANNEL, QUEUES, Sequences, run_sequences
from tests.rabbitmq import RabbitMQNode

Arguments = dict[str, Any]

DEAD_LETTER_KEY = "x-dead-letter-routing-key"
"""The argument with the routing key of dead letters, here the name of a queue."""

CLASSIC: dict[str, dict[str, Arguments]] = {
    "limits": {
        "q1": {"x-max-length": 4, DEAD_LETTER_KEY: "q3"},
        "q2": {"x-max-length": 2, "x-overflow": "reject-publish"},
        "q3": {"x-max-length": 3, "x-overflow": "reject-publish-dlx", DEAD_LETTER_KEY: "q2"},
    },
    "priorities": {
        "q1": {"x-max-priority": 2, DEAD_LETTER_KEY: "q1"},
        "q2": {"x-max-priority": 1, "x-max-length": 3, DEAD_LETTER_KEY: "q3"},
        "q3": {"x-max-length-bytes": 4, DEAD_LETTER_KEY: "q1"},
    },
    "single active consumer": {
        "q1": {"x-single-active-consumer": True, DEAD_LETTER_KEY: "q2"},
        "q2": {"x-single-active-consumer": True, "x-max-length": 3, DEAD_LETTER_KEY: "q1"},
        "q3": {"x-max-length": 0, DEAD_LETTER_KEY: "q1"},
    },
}

QUORUM: dict[str, dict[str, Arguments]] = {
    "quorum": {
        "q1": {"x-queue-type": "quorum", "x-delivery-limit": 2, DEAD_LETTER_KEY: "q3"},
        "q2": {"x-queue-type": "quorum", "x-max-length": 3, DEAD_LETTER_KEY: "q3"},
        "q3": {},
    },
    "quorum with a single active consumer": {
        "q1": {"x-queue-type": "quorum", "x-single-active-consumer": True, DEAD_LETTER_KEY: "q3"},
        "q2": {"x-queue-type": "quorum", "x-single-active-consumer": True, "x-max-length": 3},
        "q3": {},
    },
}


class QueueSequences(Sequences):
    """The calls that a program may make on queues with arguments."""

    variants: dict[str, dict[str, Arguments]]

    def __init__(self) -> None:
        super().__init__()
        self.arguments: dict[str, Arguments] = {}

    @initialize(prefetch=st.sampled_from((0, 1, 2, 3)), data=st.data())
    def begin(self, prefetch: int, data: st.DataObject) -> None:
        self.arguments = self.variants[data.draw(st.sampled_from(sorted(self.variants)))]
        for queue in QUEUES:
            self.declare(queue, 0)
        self.consume("q1", "c1", 0, no_ack=False, prefetch=prefetch)
        self.consume("q1", "c2", 1, no_ack=False, prefetch=2)
        self.consume("q2", "c3", 1, no_ack=False, prefetch=1)
        for queue in QUEUES:
            self.fill(queue, 0, 5)

    @rule(queue=st.sampled_from(QUEUES), number=CHANNEL)
    def declare(self, queue: str, number: int) -> None:
        arguments = dict(self.arguments[queue])

        async def call(channel: aioamqp.Channel, name: Callable[[str], str]) -> object:
            if DEAD_LETTER_KEY in arguments:
                dead_lettering = {
                    DEAD_LETTER_KEY: name(arguments[DEAD_LETTER_KEY]),
                    "x-dead-letter-exchange": "",
                }
                return await channel.queue_declare(
                    name(queue), durable=True, arguments={**arguments, **dead_lettering}
                )
            return await channel.queue_declare(name(queue), durable=True, arguments=arguments)

        self.calls(number, call, new=queue)

    @rule(
        queue=st.sampled_from(QUEUES),
        number=CHANNEL,
        priority=st.sampled_from((None, 0, 1, 2, 9)),
        count=st.integers(1, 3),
    )
    def fill_with(self, queue: str, number: int, priority: int | None, count: int) -> None:
        for _ in range(count):
            self.publish_to(number, queue, priority)

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        # RabbitMQ 3.10 does not activate the next consumer when a single active consumer is
        # cancelled, and the queue crashes at the next publish. The fake differs: see COVERAGE.md.
        if self.arguments is not CLASSIC["single active consumer"]:
            super().cancel(data)

    def _publish(self, number: int, exchange: str, key: str, mandatory: bool) -> None:
        if not exchange:
            self.publish_to(number, key, None)

    def publish_to(self, number: int, queue: str, priority: int | None) -> None:
        body = b"%d" % next(self.published)

        async def call(channel: aioamqp.Channel, name: Callable[[str], str]) -> object:
            properties = {} if priority is None else {"priority": priority}
            try:
                await channel.publish(body, "", name(queue), properties, mandatory=True)
            except aioamqp.PublishReturned as returned:
                return {"returned": returned.envelope.reply_text}
            except aioamqp.PublishFailed:
                return {"returned": "nack"}
            return None

        self.calls(number, call)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("variants", [CLASSIC, QUORUM], ids=["classic", "quorum"])
def test_random_sequences_on_queues_with_arguments_give_the_same_results_on_rabbitmq(
    rabbitmq_node: RabbitMQNode, variants: dict[str, dict[str, Arguments]]
) -> None:
    """Rows 176, 177, 187, 201, 206-211, 219, 220."""
    run_sequences(QueueSequences, 20, node=rabbitmq_node, variants=variants)
