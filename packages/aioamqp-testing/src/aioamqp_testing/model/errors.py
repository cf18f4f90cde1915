"""Errors of a channel or connection, with RabbitMQ's reply codes and texts.

BrokerError          RabbitMQ refuses it too, with this reply code and this text
└── NotSupported     RabbitMQ supports it, this broker does not yet; connection.close 540
"""

from amqp_codec import ReplyCode

_MAX_TEXT = 255  # bytes of a short string, such as a reply text


class BrokerError(Exception):
    """A client error, which closes the channel or the connection, depending on the reply code.

    Attributes:
        reply_code: the reply code; ``reply_code.is_hard`` closes the connection.
        text: the reply text without the name of the code; empty if RabbitMQ sends none.
    """

    def __init__(self, reply_code: ReplyCode, text: str = "") -> None:
        super().__init__(reply_code, text)
        self.reply_code = reply_code
        self.text = text

    @property
    def code(self) -> int:
        """The reply code as a number."""
        return int(self.reply_code)

    @property
    def reply_text(self) -> str:
        """The text of the close method. RabbitMQ: a long text is cut to 252 bytes and dots."""
        if not self.is_cut:
            return self._whole_text
        data = self._whole_text.encode("utf-8", "surrogateescape")
        return data[: _MAX_TEXT - 3].decode("utf-8", "surrogateescape") + "..."

    @property
    def is_cut(self) -> bool:
        """Whether the text is too long for a close method."""
        return len(self._whole_text.encode("utf-8", "surrogateescape")) > _MAX_TEXT

    @property
    def _whole_text(self) -> str:
        return f"{self.reply_code.name} - {self.text}" if self.text else self.reply_code.name

    def __str__(self) -> str:
        return self.reply_text


class NotSupported(BrokerError):
    """A feature of RabbitMQ that this broker does not support; it is refused and not ignored."""

    def __init__(self, what: str) -> None:
        super().__init__(ReplyCode.NOT_IMPLEMENTED, f"aioamqp-testing cannot do this yet: {what}")
        self.what = what
