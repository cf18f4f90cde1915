"""Interception of one session: fires the events that trigger faults, and withholds output."""

from collections import deque
from collections.abc import Callable
from functools import partial

from amqp_codec import Command, FieldTable, basic, connection

from ..model import Clock
from ..session import Channel
from ..transport.protocol import SessionProtocol
from .event import Event, Trigger, event_after


class Injector:
    """The interceptor of a session, and what faults use to act on its connection.

    Args:
        protocol: the server side of the connection.
        number: 1 for the first connection to the broker.
        clock: the clock of the broker.
        fire: applies the faults that an event triggers, and returns whether one of them replaces
            the method.

    Attributes:
        protocol: the same.
        session: the session of the connection.
        clock: the same.
    """

    def __init__(
        self,
        protocol: SessionProtocol,
        number: int,
        clock: Clock,
        fire: "Callable[[Event, Injector], bool]",
    ) -> None:
        self.protocol = protocol
        self.session = protocol.session
        self.clock = clock
        self._number = number
        self._fire = fire
        self._client_properties: FieldTable = {}
        self._is_bypassed = False
        self._muted: set[int] = set()  # numbers of channels; 0 is all of them
        self._hold_seconds: float | None = None
        self._held: dict[int, deque[Command]] = {}
        self._unsent_acks: list[int] = []
        self._withheld_confirms: dict[Channel, set[int]] = {}

    @property
    def provided_name(self) -> object:
        """The name that the client has given to the connection, if any."""
        properties = self.session.client_properties or self._client_properties
        return properties.get("connection_name")

    @property
    def names(self) -> tuple[object, ...]:
        """Every value by which a fault can name the connection."""
        return (self._number, self.session.name, self.provided_name)

    def find_channel(self, number: int) -> Channel | None:
        """Return the open channel with this number."""
        for channel in self.session.channels:
            if channel.number == number and channel.is_open:
                return channel
        return None

    # ----------------------------------------------------------------------------- events

    def past_events(self) -> list[Event]:
        """Return the events that a fault which is added now has missed, and which still hold."""
        events = [Event(Trigger.CONNECTED)]
        if self.session.is_open:
            events.append(Event(Trigger.OPENED))
        for channel in self.session.channels:
            if channel.is_open:
                events.append(Event(Trigger.CHANNEL, channel.number))
                events += [
                    Event(Trigger.CONSUMING, channel.number, consumer_tag=consumer.tag)
                    for consumer in channel.consuming.consumers
                ]
        return events

    def on_received(self, command: Command) -> bool:
        """Fire an event; return True if the session must ignore the command."""
        if isinstance(command.method, connection.StartOk):
            self._client_properties = command.method.client_properties
        event = Event(Trigger.RECEIVED, command.channel, command)
        return self._is_muted(command.channel) or self._fire(event, self)

    def on_send(self, command: Command) -> bool:
        """Fire an event; return True if the session must not send the command."""
        if self._is_bypassed:
            return False
        if self._is_muted(command.channel):
            return True
        if command.channel in self._held:
            self._held[command.channel].append(command)
            return True
        is_replaced = self._fire(Event(Trigger.SENT, command.channel, command), self)
        seconds, self._hold_seconds = self._hold_seconds, None
        if is_replaced:
            return True
        if seconds is not None:
            self._held[command.channel] = deque([command])
            self.clock.call_later(seconds, partial(self._release, command.channel))
            return True
        self._fire_after(command)
        return False

    def on_confirm(self, channel: Channel, outcomes: dict[int, bool]) -> None:
        """Fire an event for each publish, and confirm those that no fault has dealt with."""
        for number, is_accepted in outcomes.items():
            if self._fire(Event(Trigger.CONFIRM, channel.number, publish_number=number), self):
                continue
            if is_accepted:
                self._unsent_acks.append(number)
            else:
                self._send_acks(channel)
                channel.send(basic.Nack(number, not self._withheld_confirms.get(channel), True))
        self._send_acks(channel)

    def _send_acks(self, channel: Channel) -> None:
        numbers, self._unsent_acks = self._unsent_acks, []
        if not numbers or not channel.is_open:
            return
        if not self._withheld_confirms.get(channel):
            channel.send(basic.Ack(numbers[-1], len(numbers) > 1))
            return
        for number in numbers:  # multiple=True would confirm the withheld ones too
            channel.send(basic.Ack(number))

    def _fire_after(self, reply: Command) -> None:
        event = event_after(reply)
        if event is not None:
            self.protocol.call_soon(partial(self._fire, event, self))

    def _is_muted(self, number: int) -> bool:
        return bool(self._muted) and (number in self._muted or 0 in self._muted)

    # ----------------------------------------------------------------------------- for faults

    def run(self, event: Event, action: Callable[[], object], *, mute: int = 0) -> None:
        """Run ``action``, but not while the session is sending a command.

        Args:
            event: the event that triggers the action. If a command is about to be sent, the action
                runs in the next iteration of the event loop.
            action: called once.
            mute: the channel on which nothing is received or sent until then; 0 for all channels.
        """
        if event.trigger is not Trigger.SENT:
            action()
            return
        self._muted.add(mute)

        def unmute_and_run() -> None:
            self._muted.discard(mute)
            action()

        self.protocol.call_soon(unmute_and_run)

    def bypass(self, action: Callable[[], object]) -> None:
        """Run ``action``; what it sends fires no events and is not withheld."""
        self._is_bypassed = True
        try:
            action()
        finally:
            self._is_bypassed = False

    def hold(self, seconds: float) -> None:
        """Hold back the command that is about to be sent, and what follows it on its channel."""
        self._hold_seconds = seconds

    def _release(self, number: int) -> None:
        first, *others = self._held.pop(number)
        self._fire_after(first)
        self.bypass(partial(self.session.output.send, first))
        for command in others:
            self.session.output.send(command)

    def channel_to_confirm(self, event: Event) -> Channel:
        """Return the channel of a publish, after confirming every earlier publish."""
        channel = self.find_channel(event.channel)
        assert channel is not None  # it has called on_confirm
        self._send_acks(channel)
        return channel

    def withheld_confirms(self, channel: Channel) -> set[int]:
        """Return the numbers of the publishes that are left unconfirmed; faults change this set."""
        return self._withheld_confirms.setdefault(channel, set())
