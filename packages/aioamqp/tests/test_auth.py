"""SASL mechanisms."""

import pytest

from aioamqp._connection.handshake import mechanism_named
from aioamqp.auth import AmqPlain, External, Plain
from amqp_codec import (
    decode_table,
)


def test_amqplain_is_a_table_without_its_length() -> None:
    response = AmqPlain("me", "p\u00e4ss").initial_response()

    table, end = decode_table(len(response).to_bytes(4, "big") + response)
    assert table == {"LOGIN": "me", "PASSWORD": "p\u00e4ss"}
    assert end == 4 + len(response)


def test_external_sends_an_empty_response() -> None:
    assert External("me", "secret").initial_response() == b""


@pytest.mark.parametrize("name", ["PLAIN", "AMQPLAIN", "EXTERNAL", "external", "ANONYMOUS"])
def test_a_login_method_has_a_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert mechanism_named(name, "me", "x").name == name.upper()
    assert caplog.text == ""


@pytest.mark.parametrize("mechanism", [Plain("me", "secret"), AmqPlain("me", "secret")])
def test_a_mechanism_does_not_show_the_password(mechanism: object) -> None:
    assert "secret" not in repr(mechanism)
