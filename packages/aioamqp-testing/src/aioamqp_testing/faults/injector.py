"""Who stands between a session and its client, and has faults happen to them."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from amqp_codec import Command, FieldTable, Method, Properties, basic, connection
from amqp_codec.protocol.channel import OpenOk as ChannelOpenOk

from ..model import BrokerError
from ..session import Channel, Session
from .fault import Trigger

if TYPE_CHECKING:
    from ..transport.protocol import SessionProtocol
    from .plan import Broker, Faults


@dataclass(slots=True)
class Event:
    """A moment at which a fault can happen.

    Attributes:
        occasion: what kind of moment.
        broker: where.
        connection: on which connection; None when it is about none.
        channel: the number of the channel, 0 for none.
        command: what was received, or is to be sent.
        number: of the publish that is to be confirmed.
        tag: of the consumer.
    """

    occasion: Trigger
    broker: "Broker"
    connection: "Injector | None" = None
    channel: int = 0
    command: Command | None = None
    number: int = 0
    tag: str = ""

    @property
    def channel_counts(self) -> bool:
        """Whether it is about one channel, so that another one's faults are not for it."""
        return self.occasion not in (Trigger.NOW, Trigger.CONNECTED, Trigger.NAMED)

    @property
    def method_name(self) -> str:
        """The name of the method that is received or to be sent."""
        if self.command is None:
            return ""
        return self.command.method.NAME or "heartbeat"

    @property
    def injector(self) -> "Injector":
        """The one of the connection; only asked for by faults of connections."""
        assert self.connection is not None
        return self.connection


class Injector:
    """Hears all that is said on one connection before the other side does.

    Args:
        protocol: the broker's end of the connection.
        number: 1 for the first connection to the broker.
        faults: what may happen.
    """

    def __init__(self, protocol: "SessionProtocol", number: int, faults: "Faults") -> None:
        self._protocol = protocol
        self._number = number
        self._faults = faults
        self._introduced_with: FieldTable = {}
        self._is_speaking = False
        self._muted: set[int] = set()  # numbers of channels; 0 is all of them
        self._hold_for: float | None = None
        self._held: dict[int, deque[Command]] = {}
        self._plain: list[int] = []
        self._withheld: dict[Channel, set[int]] = {}

    @property
    def session(self) -> Session:
        """The broker's side of the connection."""
        return self._protocol.session

    @property
    def given_name(self) -> object:
        """What the client calls the connection, if it does."""
        properties = self.session.client_properties or self._introduced_with
        return properties.get("connection_name")

    @property
    def names(self) -> tuple[object, ...]:
        """All that a test can call the connection."""
        return (self._number, self.session.name, self.given_name)

    def has_open(self, number: int) -> bool:
        """Return whether there is an open channel of this number."""
        return self._channel(number) is not None

    def _channel(self, number: int) -> Channel | None:
        for channel in self.session.channels:
            if channel.number == number and channel.is_open:
                return channel
        return None

    # ----------------------------------------------------------------------------- what is said

    def present(self) -> list[Event]:
        """Return what has come about already, for a fault that was set afterwards."""
        moments = [self._moment(Trigger.CONNECTED)]
        if self.session.is_open:
            moments.append(self._moment(Trigger.OPENED))
        for channel in self.session.channels:
            if channel.is_open:
                moments.append(self._moment(Trigger.CHANNEL, channel.number))
                moments += [
                    self._moment(Trigger.CONSUMING, channel.number, tag=consumer.tag)
                    for consumer in channel.consuming.consumers
                ]
        return moments

    def on_received(self, command: Command) -> bool:
        """Return whether a fault takes the place of what the client has said."""
        if isinstance(command.method, connection.StartOk):
            self._introduced_with = command.method.client_properties
        moment = self._moment(Trigger.RECEIVED, command.channel, command)
        return self._is_muted(command.channel) or self._faults.happen(moment)

    def on_send(self, command: Command) -> bool:
        """Return whether a fault takes the place of what is to be said to the client."""
        number = command.channel
        if self._is_speaking:
            return False
        if self._is_muted(number):
            return True
        if number in self._held:
            self._held[number].append(command)
            return True
        if self._faults.happen(self._moment(Trigger.SENT, number, command)):
            return True
        if self._hold_for is not None:
            self._held[number] = deque([command])
            self._faults.broker.clock.call_later(self._hold_for, partial(self._release, number))
            self._hold_for = None
            return True
        self._note(command)
        return False

    def _note(self, command: Command) -> None:
        """Take notice of what begins with an answer; it happens when the answer is out."""
        match command.method:
            case connection.Tune():
                moment = self._moment(Trigger.NAMED)
            case connection.OpenOk():
                moment = self._moment(Trigger.OPENED)
            case ChannelOpenOk():
                moment = self._moment(Trigger.CHANNEL, command.channel)
            case basic.ConsumeOk(tag):
                moment = self._moment(Trigger.CONSUMING, command.channel, tag=tag)
            case _:
                return
        _soon(partial(self._faults.happen, moment))

    def on_confirm(self, channel: Channel, outcomes: dict[int, bool]) -> None:
        """Say what becomes of publishes, as far as no fault says it."""
        for number, is_taken in outcomes.items():
            moment = self._moment(Trigger.CONFIRM, channel.number, number=number)
            if self._faults.happen(moment):
                continue
            if is_taken:
                self._plain.append(number)
            else:
                self._confirm_plain(channel)
                channel.send(basic.Nack(number, not self._withheld.get(channel), True))
        self._confirm_plain(channel)

    def _confirm_plain(self, channel: Channel) -> None:
        numbers, self._plain = self._plain, []
        if not numbers or not channel.is_open:
            return
        if not self._withheld.get(channel):
            channel.send(basic.Ack(numbers[-1], len(numbers) > 1))
            return
        for number in numbers:  # "all up to this one" would confirm what is withheld
            channel.send(basic.Ack(number))

    def _moment(
        self,
        occasion: Trigger,
        channel: int = 0,
        command: Command | None = None,
        *,
        number: int = 0,
        tag: str = "",
    ) -> Event:
        return Event(occasion, self._faults.broker, self, channel, command, number, tag)

    def _is_muted(self, number: int) -> bool:
        return bool(self._muted) and (number in self._muted or 0 in self._muted)

    # ----------------------------------------------------------------------------- what happens

    def reset(self, at: Event) -> None:
        """Hang up."""
        self._now_or_soon(at, 0, partial(self._protocol.break_off, "a fault"))

    def close(self, at: Event, error: BrokerError) -> None:
        """Close the connection."""
        self._now_or_soon(at, 0, partial(self._close, error, _index(at)))

    def close_channel(self, at: Event, error: BrokerError) -> None:
        """Close a channel."""
        number = at.channel
        self._now_or_soon(at, number, partial(self._close_channel, number, error, _index(at)))

    def silence(self) -> None:
        """Let nothing through any more, behind what was said so far."""
        self._protocol.flush()
        self._protocol.tap().die()
        self._protocol.flush()  # stops reading

    def cut(self, after: int, *, reading: bool) -> None:
        """Hang up when so many more octets have passed."""
        self._protocol.flush()
        self._protocol.tap().way(reading=reading).cut(after)

    def split(self, size: int, pause: float, *, reading: bool) -> None:
        """Let octets pass in pieces."""
        self._protocol.flush()
        way = self._protocol.tap().way(reading=reading)
        way.size, way.pause = size, pause

    def delay(self, seconds: float, *, reading: bool) -> None:
        """Let octets pass late."""
        self._protocol.flush()
        self._protocol.tap().way(reading=reading).delay = seconds

    def hold(self, seconds: float) -> None:
        """Keep what is to be sent, and what comes behind it on its channel."""
        self._hold_for = seconds

    def corrupt(self, command: Command, offset: int, octet: int) -> None:
        """Send a command with one octet changed."""
        octets = bytearray(self.session.output.encode(command))
        octets[offset % len(octets)] = octet
        self.session.output.send_bytes(bytes(octets))

    def say(self, number: int, method: Method, properties: Properties | None, body: bytes) -> None:
        """Send something that nobody has asked for."""
        if method.HAS_CONTENT and properties is None:
            properties = Properties()
        self._speak(partial(self.session.output.send, Command(number, method, properties, body)))

    def cancel_consumer(self, at: Event, tag: str | None) -> None:
        """Cancel a consumer, or all of the channel."""
        tag = at.tag or tag
        _soon(partial(self._cancel_consumers, at.channel, tag))

    def withhold(self, at: Event) -> None:
        """Leave a publish unconfirmed."""
        channel = self._publishing_on(at)
        self._withheld.setdefault(channel, set()).add(at.number)

    def confirm_later(self, at: Event, seconds: float) -> None:
        """Confirm a publish when it is time."""
        self.withhold(at)
        channel = self._publishing_on(at)

        def confirm() -> None:
            self._withheld[channel].discard(at.number)
            if channel.is_open:
                channel.send(basic.Ack(at.number))

        self._faults.broker.clock.call_later(seconds, confirm)

    def confirm_twice(self, at: Event) -> None:
        """Confirm a publish, and once more."""
        channel = self._publishing_on(at)
        for _ in range(2):
            channel.send(basic.Ack(at.number))

    def nack(self, at: Event) -> None:
        """Refuse to confirm a publish. RabbitMQ: the bit for requeue is always set."""
        self._publishing_on(at).send(basic.Nack(at.number, requeue=True))

    def _publishing_on(self, at: Event) -> Channel:
        """Return the channel of a publish, when all before it is confirmed."""
        channel = self._channel(at.channel)
        assert channel is not None  # it has just asked what to confirm
        self._confirm_plain(channel)
        return channel

    def _now_or_soon(self, at: Event, mute: int, action: Callable[[], object]) -> None:
        """Do something, but not while the broker is in the middle of saying something else."""
        if at.occasion is not Trigger.SENT:
            action()
            return
        self._muted.add(mute)

        def act() -> None:
            self._muted.discard(mute)
            action()

        _soon(act)

    def _close(self, error: BrokerError, index: int) -> None:
        self._speak(partial(self.session.close, error, index))

    def _close_channel(self, number: int, error: BrokerError, index: int) -> None:
        channel = self._channel(number)
        if channel is not None:
            self._speak(partial(channel.fail, error, index))
            self.session.run_later()

    def _cancel_consumers(self, number: int, tag: str | None) -> None:
        channel = self._channel(number)
        if channel is None:
            return
        consumers = [each for each in channel.consuming.consumers if tag in (None, each.tag)]
        channel.consuming.cancel_consumers(consumers)
        for consumer in consumers:
            consumer.queue.remove_consumer(consumer)
        self.session.run_later()

    def _release(self, number: int) -> None:
        held = self._held.pop(number)
        delayed = held.popleft()
        self._note(delayed)
        self._speak(partial(self.session.output.send, delayed))
        for command in held:
            self.session.output.send(command)

    def _speak(self, action: Callable[[], object]) -> None:
        self._is_speaking = True
        try:
            action()
        finally:
            self._is_speaking = False


def _soon(action: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_soon(action)


def _index(at: Event) -> int:
    """Return the method that a close method names: the one that was received, or none."""
    is_received = at.occasion is Trigger.RECEIVED and at.command is not None
    return at.command.method.INDEX if is_received and at.command is not None else 0
