"""How quorum queues count deliveries, and the headers that show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from amqp_codec import FieldValue, Int64

from ..profile import DeliveryCounting


@dataclass(slots=True, eq=False)
class DeliveryCount:
    """The counts of one message in a quorum queue.

    Attributes:
        failures: what the delivery limit is compared with.
        acquired: how often the message was delivered, not counting the present delivery.
        carried: the failures before it was dead-lettered, which the limit does not include.
    """

    failures: int = 0
    acquired: int = 0
    carried: int = 0


class Counting(Protocol):
    """A way of counting."""

    def start(self, carried: int) -> DeliveryCount:
        """Return the counts of a new message.

        Args:
            carried: the failures of a dead letter in the queues where it was before.
        """

    def add(self, count: DeliveryCount, *, is_failure: bool) -> None:
        """Count a requeue.

        Args:
            count: the counts so far.
            is_failure: whether the message was rejected or its channel has ended, and the client
                has not just returned the message.
        """

    def headers(self, count: DeliveryCount, *, is_get: bool) -> Mapping[str, FieldValue]:
        """Return the headers of a delivery, or of the reply to basic.get."""
        ...


class _Returns:
    def start(self, carried: int) -> DeliveryCount:
        return DeliveryCount(carried=carried)

    def add(self, count: DeliveryCount, *, is_failure: bool) -> None:
        del is_failure
        count.failures += 1

    def headers(self, count: DeliveryCount, *, is_get: bool) -> Mapping[str, FieldValue]:
        del is_get
        shown = count.failures or count.carried
        return {"x-delivery-count": Int64(shown)} if shown else {}


class _ReturnsFromZero(_Returns):
    def headers(self, count: DeliveryCount, *, is_get: bool) -> Mapping[str, FieldValue]:
        # RabbitMQ: the count of 0 is in the headers of basic.get-ok, but not for consumers
        has_count = is_get or count.failures
        return {"x-delivery-count": Int64(count.failures)} if has_count else {}


class _Failures:
    def start(self, carried: int) -> DeliveryCount:
        return DeliveryCount(carried)

    def add(self, count: DeliveryCount, *, is_failure: bool) -> None:
        count.acquired += 1
        count.failures += is_failure

    def headers(self, count: DeliveryCount, *, is_get: bool) -> Mapping[str, FieldValue]:
        del is_get
        headers: dict[str, FieldValue] = {}
        if acquired := count.acquired or count.failures:
            headers["x-acquired-count"] = Int64(acquired)
        if count.failures:
            headers["x-delivery-count"] = Int64(count.failures)
        return headers


COUNTING: Final[Mapping[DeliveryCounting, Counting]] = {
    DeliveryCounting.RETURNS_FROM_ZERO: _ReturnsFromZero(),
    DeliveryCounting.RETURNS: _Returns(),
    DeliveryCounting.FAILURES: _Failures(),
}
"""The ways of counting, by the name in a profile."""
