"""What the broker answers when a client asks for something wrong.

BrokerError          RabbitMQ refuses it too, with this reply code and this text
└── NotSupported     RabbitMQ would do it, this broker cannot yet; connection.close 540
"""

from amqp_codec import ReplyCode

_LONGEST = 255  # octets of a short string, which a reply text is


class BrokerError(Exception):
    """The end of a channel or of a connection; the reply code alone decides which.

    Attributes:
        reply_code: the code to close with; ``reply_code.is_hard`` means the connection.
        text: the explanation without the name of the code; empty where RabbitMQ gives none.
    """

    def __init__(self, reply_code: ReplyCode, text: str = "") -> None:
        super().__init__(reply_code, text)
        self.reply_code = reply_code
        self.text = text

    @property
    def code(self) -> int:
        """The code as a number, as the close method carries it."""
        return int(self.reply_code)

    @property
    def reply_text(self) -> str:
        """What goes into the close method. RabbitMQ: a long text is cut to 252 octets and dots."""
        text = f"{self.reply_code.name} - {self.text}" if self.text else self.reply_code.name
        octets = text.encode("utf-8", "surrogateescape")
        if len(octets) <= _LONGEST:
            return text
        return octets[: _LONGEST - 3].decode("utf-8", "surrogateescape") + "..."

    def __str__(self) -> str:
        return self.reply_text


class NotSupported(BrokerError):
    """Something that RabbitMQ does and this broker does not, so it is refused and not ignored."""

    def __init__(self, what: str) -> None:
        super().__init__(ReplyCode.NOT_IMPLEMENTED, f"aioamqp-testing cannot do this yet: {what}")
        self.what = what
