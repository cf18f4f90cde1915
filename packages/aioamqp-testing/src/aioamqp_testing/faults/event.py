"""Events on a connection that can trigger faults."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from amqp_codec import Command, basic, connection
from amqp_codec.protocol.channel import OpenOk as ChannelOpenOk


class Trigger(Enum):
    """What triggers a fault."""

    NOW = "at once"
    CONNECTED = "when the client has connected"
    NAMED = "when the client has sent its client properties"
    OPENED = "when the connection is open"
    CHANNEL = "when a channel is open"
    CONSUMING = "when there is a consumer"
    RECEIVED = "when a method is received"
    SENT = "when a method is about to be sent"
    CONFIRM = "when a publish is about to be confirmed"


_WITHOUT_CHANNEL: Final = (Trigger.NOW, Trigger.CONNECTED, Trigger.NAMED)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that can trigger a fault.

    Attributes:
        trigger: what has happened.
        channel: the number of the channel; 0 for the connection as a whole.
        command: the command that was received or is about to be sent.
        publish_number: the number of the publish that is about to be confirmed.
        consumer_tag: the tag of the consumer that there is.
    """

    trigger: Trigger
    channel: int = 0
    command: Command | None = None
    publish_number: int = 0
    consumer_tag: str = ""

    @property
    def has_channel(self) -> bool:
        """Whether a fault of another channel ignores the event."""
        return self.trigger not in _WITHOUT_CHANNEL

    @property
    def method_name(self) -> str:
        """The name of the method that was received or is about to be sent."""
        if self.command is None:
            return ""
        return self.command.method.NAME or "heartbeat"

    @property
    def received_index(self) -> int:
        """The class and method id of the method that was received; 0 if there is none."""
        if self.trigger is not Trigger.RECEIVED or self.command is None:
            return 0
        return self.command.method.INDEX


def event_after(reply: Command) -> Event | None:
    """Return the event that follows when the broker has sent this command."""
    match reply.method:
        case connection.Tune():
            return Event(Trigger.NAMED)
        case connection.OpenOk():
            return Event(Trigger.OPENED)
        case ChannelOpenOk():
            return Event(Trigger.CHANNEL, reply.channel)
        case basic.ConsumeOk(tag):
            return Event(Trigger.CONSUMING, reply.channel, consumer_tag=tag)
        case _:
            return None
