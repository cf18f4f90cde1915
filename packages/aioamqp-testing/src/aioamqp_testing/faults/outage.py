"""Faults of the broker as a whole: alarms and restarts."""

from dataclasses import dataclass

from .fault import Broker, BrokerFault


@dataclass(frozen=True)
class Block(BrokerFault):
    """The broker raises an alarm: connections that publish are blocked.

    A method that triggers it is handled as usual.

    Args:
        reason: the reason that connection.blocked gives.
    """

    reason: str = "low on memory"

    def apply(self, broker: Broker) -> bool:
        """Raise the alarm."""
        broker.block(self.reason)
        return False


@dataclass(frozen=True)
class Unblock(BrokerFault):
    """The broker clears an alarm. A method that triggers this is handled as usual.

    Args:
        reason: the reason of the alarm; None clears the latest alarm.
    """

    reason: str | None = None

    def apply(self, broker: Broker) -> bool:
        """Clear the alarm."""
        broker.unblock(self.reason)
        return False


@dataclass(frozen=True)
class Restart(BrokerFault):
    """The broker stops and starts again. Durable queues and exchanges survive."""

    def apply(self, broker: Broker) -> bool:
        """Restart in a task."""
        broker.restart_soon()
        return True
