"""Arguments that are declared again: which are equivalent, and how the others are refused."""

import pytest

from aioamqp_testing.model import BrokerError
from aioamqp_testing.model.erlang.arguments import Argument
from amqp_codec import FieldTable, Int64

Q = "queue 'q' in vhost '/'"


def test_integers_are_compared_by_value_whatever_their_width() -> None:
    Argument("x-max-length").compare({"x-max-length": 10}, {"x-max-length": Int64(10)}, Q)


@pytest.mark.parametrize(
    ("received", "current", "text"),
    [
        ({"a": 11}, {"a": 10}, "received '11' but current is '10'"),
        ({"a": "2"}, {"a": 2}, "received '2' but current is '2'"),
        ({"a": True}, {"a": 1}, "received 'true' but current is '1'"),
        ({}, {"a": 1000}, "received none but current is the value '1000' of type 'short'"),
        ({"a": "x"}, {}, "received the value 'x' of type 'longstr' but current is none"),
    ],
)
def test_a_difference_names_both_values(
    received: FieldTable, current: FieldTable, text: str
) -> None:
    with pytest.raises(BrokerError) as caught:
        Argument("a").compare(received, current, Q)

    assert caught.value.text == f"inequivalent arg 'a' for {Q}: {text}"


def test_a_default_is_equivalent_to_none() -> None:
    argument = Argument("a", default="x")

    argument.compare({"a": "x"}, {}, Q)
    argument.compare({}, {"a": b"x"}, Q)
    with pytest.raises(BrokerError, match="received the value 'y' of type 'longstr'"):
        argument.compare({"a": "y"}, {}, Q)
