"""Reply texts, and octets as Erlang prints them."""

import pytest

from aioamqp_testing.model import BrokerError, Node, NotSupported
from aioamqp_testing.model.erlang import printing as erlang
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


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", "<<>>"),
        (b"abc", '<<"abc">>'),
        (b'a"\\\n', '<<"a\\"\\\\\\n">>'),
        (b"\x00a", "<<0,97>>"),
        (b"\x7f", "<<127>>"),
    ],
)
def test_a_binary_is_shown_as_text_only_if_all_of_it_is_printable(octets: bytes, text: str) -> None:
    assert erlang.binary(octets) == text


def test_a_raw_binary_and_an_unprintable_string_are_shown_by_numbers() -> None:
    assert erlang.raw_binary(b"ab") == "<<97,98>>"
    assert erlang.string(b"ab") == '"ab"'
    assert erlang.string(b"\x01b") == "[1,98]"
    assert erlang.string(b"") == "[]"


def test_brokers_make_up_the_same_names_in_every_run_and_never_one_twice() -> None:
    one, other = Node(), Node()

    names = [one.new_name("amq.ctag-") for _ in range(100)]

    assert len(set(names)) == 100
    assert names[:3] == [other.new_name("amq.ctag-") for _ in range(3)]
    assert {len(name) for name in names} == {len("amq.ctag-") + 22}


def test_a_virtual_host_can_be_added_once() -> None:
    node = Node()

    assert node.add_vhost("other").name == "other"
    with pytest.raises(ValueError, match="choose another name"):
        node.add_vhost("other")
