"""Faults of publisher confirms. Each publish in confirm mode is an occurrence."""

from dataclasses import dataclass

from amqp_codec import basic

from .event import Event, Trigger
from .fault import ConnectionFault
from .injector import Injector


class ConfirmFault(ConnectionFault):
    """A fault of the publisher confirm of one message, which the broker has accepted."""

    TRIGGER = Trigger.CONFIRM
    ALLOWS_METHOD = False


@dataclass(frozen=True)
class LoseConfirm(ConfirmFault):
    """A message is accepted, but never confirmed."""

    def apply(self, event: Event, injector: Injector) -> bool:
        """Leave the publish unconfirmed."""
        channel = injector.channel_to_confirm(event)
        injector.withheld_confirms(channel).add(event.publish_number)
        return True


@dataclass(frozen=True)
class DelayConfirm(ConfirmFault):
    """A message is accepted, but confirmed late.

    Args:
        seconds: the delay, by the clock of the broker.
    """

    seconds: float

    def apply(self, event: Event, injector: Injector) -> bool:
        """Confirm the publish after the delay."""
        channel = injector.channel_to_confirm(event)
        withheld = injector.withheld_confirms(channel)
        withheld.add(event.publish_number)

        def confirm() -> None:
            withheld.discard(event.publish_number)
            if channel.is_open:
                channel.send(basic.Ack(event.publish_number))

        injector.clock.call_later(self.seconds, confirm)
        return True


@dataclass(frozen=True)
class DuplicateConfirm(ConfirmFault):
    """A message is accepted, and confirmed twice."""

    def apply(self, event: Event, injector: Injector) -> bool:
        """Send basic.ack twice."""
        channel = injector.channel_to_confirm(event)
        for _ in range(2):
            channel.send(basic.Ack(event.publish_number))
        return True


@dataclass(frozen=True)
class NackConfirm(ConfirmFault):
    """A message is nacked by the broker, although its queues have it.

    A nack means only that the broker takes no responsibility for the message.
    """

    def apply(self, event: Event, injector: Injector) -> bool:
        """Send basic.nack. RabbitMQ: its requeue bit is always set."""
        channel = injector.channel_to_confirm(event)
        channel.send(basic.Nack(event.publish_number, requeue=True))
        return True
