"""Faults of methods: lost and unexpected ones, refused logins, and closing by the broker."""

from dataclasses import dataclass
from functools import partial

from amqp_codec import Command, Method, Properties, ReplyCode, connection

from ..model import BrokerError
from ..session.handshake import login_refused
from .event import Event, Trigger
from .fault import ConnectionFault
from .injector import Injector


@dataclass(frozen=True)
class Lose(ConnectionFault):
    """A method is lost: one that was received is ignored, one that was to be sent is not sent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method_name is None:
            raise ValueError("Lose: name the method that is lost, with received= or sent=")

    def apply(self, event: Event, injector: Injector) -> bool:
        """Replace the method by nothing."""
        del event, injector
        return True


@dataclass(frozen=True)
class Send(ConnectionFault):
    """The broker sends a method that the client does not expect; with ``sent=``, before that one.

    A method that triggers it is handled as usual.

    Args:
        method: what is sent, on the channel of ``channel=`` or of the method that triggers it.
        properties: of the content, if the method has one.
        body: of the content.
    """

    method: Method
    properties: Properties | None = None
    body: bytes = b""

    TRIGGER = Trigger.OPENED

    @property
    def trigger(self) -> Trigger:
        """What triggers the fault: with ``channel=`` alone, that the channel is open."""
        if self.method_name is None and self.channel:
            return Trigger.CHANNEL
        return super().trigger

    def apply(self, event: Event, injector: Injector) -> bool:
        """Send the method."""
        properties = self.properties
        if self.method.HAS_CONTENT and properties is None:
            properties = Properties()
        command = Command(event.channel, self.method, properties, self.body)
        injector.bypass(partial(injector.session.output.send, command))
        return False


class InjectedError(BrokerError):
    """An error that no client has caused, with any reply code."""

    def __init__(self, code: int, text: str) -> None:
        known = {int(reply_code): reply_code for reply_code in ReplyCode}
        super().__init__(known.get(code, ReplyCode.INTERNAL_ERROR), text)
        self._code = code

    @property
    def code(self) -> int:
        """The reply code that the close method carries."""
        return self._code

    @property
    def reply_text(self) -> str:
        """The reply text, with the name of the code in front as in RabbitMQ if it has a name."""
        return super().reply_text if self._code == self.reply_code else self.text


@dataclass(frozen=True)
class CloseChannel(ConnectionFault):
    """The broker closes a channel, as after an error or a timeout.

    Args:
        code: the reply code, such as 406. It is not checked that it is one for channels.
        text: the explanation; the name of the code is put in front of it, as RabbitMQ does.
    """

    code: int = 541
    text: str = ""

    TRIGGER = Trigger.CHANNEL

    def matches(self, event: Event, injector: Injector | None) -> bool:
        """Return whether an event triggers the fault: only one on an open channel does."""
        return (
            super().matches(event, injector)
            and injector is not None
            and injector.find_channel(event.channel) is not None
        )

    def apply(self, event: Event, injector: Injector) -> bool:
        """Send channel.close."""
        injector.run(event, partial(self._close, event, injector), mute=event.channel)
        return True

    def _close(self, event: Event, injector: Injector) -> None:
        channel = injector.find_channel(event.channel)
        if channel is not None:
            error = InjectedError(self.code, self.text)
            injector.bypass(partial(channel.fail, error, event.received_index))
            injector.session.run_later()


@dataclass(frozen=True)
class CloseConnection(ConnectionFault):
    """The broker closes the connection.

    Args:
        code: the reply code, such as 320.
        text: the explanation; the name of the code is put in front of it, as RabbitMQ does.
    """

    code: int = 541
    text: str = ""

    TRIGGER = Trigger.OPENED

    def apply(self, event: Event, injector: Injector) -> bool:
        """Send connection.close."""
        error = InjectedError(self.code, self.text)
        close = partial(injector.session.close, error, event.received_index)
        injector.run(event, partial(injector.bypass, close))
        return True


@dataclass(frozen=True)
class RefuseLogin(ConnectionFault):
    """The broker refuses a login although the password is right. ``times=3`` refuses three."""

    TRIGGER = Trigger.RECEIVED

    def __post_init__(self) -> None:
        if self.received or self.sent:
            raise ValueError("RefuseLogin is triggered by logins; remove received= and sent=")
        super().__post_init__()

    @property
    def method_name(self) -> str | None:
        """The name of the method that triggers the fault."""
        return connection.StartOk.NAME

    def apply(self, event: Event, injector: Injector) -> bool:
        """Refuse the login as RabbitMQ refuses a wrong password."""
        assert event.command is not None
        start_ok = event.command.method
        assert isinstance(start_ok, connection.StartOk)
        injector.session.refuse_login(start_ok, login_refused(start_ok.mechanism))
        return True


@dataclass(frozen=True)
class CancelConsumer(ConnectionFault):
    """The broker cancels a consumer with basic.cancel, as when its queue fails over.

    The queue stays. Without a method it happens at once, or else as soon as there is such a
    consumer. A method that triggers it is handled as usual.

    Args:
        tag: the consumer tag; None for any.
    """

    tag: str | None = None

    TRIGGER = Trigger.CONSUMING

    def matches(self, event: Event, injector: Injector | None) -> bool:
        """Return whether an event triggers the fault: one about this consumer."""
        is_consumer = event.trigger is not Trigger.CONSUMING or self.tag in (
            None,
            event.consumer_tag,
        )
        return is_consumer and super().matches(event, injector)

    def apply(self, event: Event, injector: Injector) -> bool:
        """Cancel the consumer in the next iteration of the event loop."""
        injector.protocol.call_soon(partial(self._cancel, event, injector))
        return False

    def _cancel(self, event: Event, injector: Injector) -> None:
        channel = injector.find_channel(event.channel)
        if channel is None:
            return
        tag = event.consumer_tag or self.tag
        consumers = [each for each in channel.consuming.consumers if tag in (None, each.tag)]
        channel.consuming.cancel_consumers(consumers)
        for consumer in consumers:
            consumer.queue.remove_consumer(consumer)
        injector.session.run_later()
