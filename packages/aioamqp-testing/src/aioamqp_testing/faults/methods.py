"""Faults in what a broker says: too much, too little, and that it has had enough."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amqp_codec import Method, Properties, ReplyCode, connection

from ..model import BrokerError
from ..session.handshake import login_refused
from .fault import Fault, Trigger

if TYPE_CHECKING:
    from .injector import Event


@dataclass(frozen=True)
class Lose(Fault):
    """A method is lost: one that was received is ignored, one that was to be sent is not sent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trigger is None:
            raise ValueError("Lose: say what is lost, with received= or sent=")

    def happen(self, at: "Event") -> bool:
        """Take its place with nothing."""
        del at
        return True


@dataclass(frozen=True)
class Send(Fault):
    """The broker says something that nobody has asked for; with ``sent=``, right before that.

    Args:
        method: what it says, on the channel of ``channel=``, or of the method at which it happens.
        properties: of the content, if the method has one.
        body: of the content.
    """

    method: Method
    properties: Properties | None = None
    body: bytes = b""

    OCCASION = Trigger.OPENED

    @property
    def occasion(self) -> Trigger:
        """When it happens: on a channel, when that is open."""
        if self.trigger is None and self.channel:
            return Trigger.CHANNEL
        return super().occasion

    def happen(self, at: "Event") -> bool:
        """Say it."""
        at.injector.say(at.channel, self.method, self.properties, self.body)
        return False


class Staged(BrokerError):
    """A mistake that nobody has made, with any reply code."""

    def __init__(self, code: int, text: str) -> None:
        known = {int(reply_code): reply_code for reply_code in ReplyCode}
        super().__init__(known.get(code, ReplyCode.INTERNAL_ERROR), text)
        self._code = code

    @property
    def code(self) -> int:
        """What the close method carries."""
        return self._code

    @property
    def reply_text(self) -> str:
        """RabbitMQ's form, the code's name in front, unless it has none."""
        return super().reply_text if self._code == self.reply_code else self.text


@dataclass(frozen=True)
class CloseChannel(Fault):
    """The broker closes a channel: a mistake that nobody made, a timeout, a policy.

    Args:
        code: a reply code, such as 406; whether it is one that closes a channel is not looked at.
        text: the explanation; the name of the code is put in front of it, as RabbitMQ does.
    """

    code: int = 541
    text: str = ""

    OCCASION = Trigger.CHANNEL

    def concerns(self, at: "Event") -> bool:
        """Return whether this is on an open channel."""
        return at.injector.has_open(at.channel)

    def happen(self, at: "Event") -> bool:
        """Close it."""
        at.injector.close_channel(at, Staged(self.code, self.text))
        return True


@dataclass(frozen=True)
class CloseConnection(Fault):
    """The broker closes the connection.

    Args:
        code: a reply code, such as 320.
        text: the explanation; the name of the code is put in front of it, as RabbitMQ does.
    """

    code: int = 541
    text: str = ""

    OCCASION = Trigger.OPENED

    def happen(self, at: "Event") -> bool:
        """Close it."""
        at.injector.close(at, Staged(self.code, self.text))
        return True


@dataclass(frozen=True)
class RefuseLogin(Fault):
    """A client may not log in, though its password is right. ``times=3`` refuses three times."""

    OCCASION = Trigger.RECEIVED
    HAS_TRIGGER = False

    @property
    def trigger(self) -> str | None:
        """The method at which it happens."""
        return None if self.received or self.sent else connection.StartOk.NAME

    def __post_init__(self) -> None:
        if self.received or self.sent:
            raise ValueError("RefuseLogin happens at logins: leave out received= and sent=")

    def happen(self, at: "Event") -> bool:
        """Say what RabbitMQ says about a wrong password."""
        assert at.command is not None
        start_ok = at.command.method
        assert isinstance(start_ok, connection.StartOk)
        at.injector.session.refuse_login(start_ok, login_refused(start_ok.mechanism))
        return True


@dataclass(frozen=True)
class CancelConsumer(Fault):
    """The broker cancels a consumer, as when its queue fails, and the queue is still there.

    At once if there is such a consumer, else as soon as there is one; or beside a method.

    Args:
        tag: of the consumer; None for any.
    """

    tag: str | None = None

    OCCASION = Trigger.CONSUMING

    def concerns(self, at: "Event") -> bool:
        """Return whether it is about this consumer."""
        return at.occasion is not Trigger.CONSUMING or self.tag in (None, at.tag)

    def happen(self, at: "Event") -> bool:
        """Send basic.cancel, and deliver nothing more."""
        at.injector.cancel_consumer(at, self.tag)
        return False
