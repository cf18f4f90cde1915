"""Reply texts of errors."""

from aioamqp_testing.model import BrokerError, NotSupported
from amqp_codec import ReplyCode


def test_a_reply_text_begins_with_the_name_of_the_code() -> None:
    assert BrokerError(ReplyCode.NOT_FOUND, "no queue").reply_text == "NOT_FOUND - no queue"


def test_a_code_without_an_explanation_stands_alone() -> None:
    """Row 64."""
    assert BrokerError(ReplyCode.INTERNAL_ERROR).reply_text == "INTERNAL_ERROR"


def test_a_text_that_does_not_fit_a_short_string_is_cut() -> None:
    """Row 63."""
    fits = BrokerError(ReplyCode.NOT_FOUND, "x" * 243).reply_text
    cut = BrokerError(ReplyCode.NOT_FOUND, "é" * 200).reply_text

    assert fits == "NOT_FOUND - " + "x" * 243
    assert cut == "NOT_FOUND - " + "é" * 120 + "..."
    assert len(cut.encode("utf-8", "surrogateescape")) == 255


def test_what_is_not_supported_closes_the_connection_and_says_what_it_was() -> None:
    error = NotSupported("tx.select")

    assert error.reply_code.is_hard
    assert error.reply_text == "NOT_IMPLEMENTED - aioamqp-testing cannot do this yet: tx.select"
