"""Binaries and strings as Erlang prints them."""

import pytest

from aioamqp_testing.model.erlang import printing as erlang


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "<<>>"),
        (b"abc", '<<"abc">>'),
        (b'a"\\\n', '<<"a\\"\\\\\\n">>'),
        (b"\x00a", "<<0,97>>"),
        (b"\x7f", "<<127>>"),
    ],
)
def test_a_binary_is_shown_as_text_only_if_all_of_it_is_printable(data: bytes, text: str) -> None:
    assert erlang.binary(data) == text


def test_a_raw_binary_and_an_unprintable_string_are_shown_by_numbers() -> None:
    assert erlang.raw_binary(b"ab") == "<<97,98>>"
    assert erlang.string(b"ab") == '"ab"'
    assert erlang.string(b"\x01b") == "[1,98]"
    assert erlang.string(b"") == "[]"
