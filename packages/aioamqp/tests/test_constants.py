"""The constants of 0.15 are those of the protocol."""

import pytest

from aioamqp import constants
from aioamqp.properties import Properties
from amqp_codec import METHODS
from amqp_codec import Properties as CodecProperties


def constant_of(method: str) -> str:
    return method.upper().replace(".", "_").replace("-", "_")


# methods that 0.15 does not know
LATER = {"connection.blocked", "connection.unblocked", "connection.update-secret"}
LATER |= {"connection.update-secret-ok"}


def test_every_method_has_the_ids_of_the_protocol() -> None:
    for index, method in METHODS.items():
        if method.NAME in LATER:
            continue
        class_name = method.NAME.partition(".")[0].upper()
        assert getattr(constants, f"CLASS_{class_name}") == index >> 16
        assert getattr(constants, constant_of(method.NAME)) == index & 0xFFFF


def test_the_properties_are_in_the_order_of_0_15() -> None:
    assert Properties.__slots__ == constants.MESSAGE_PROPERTIES


@pytest.mark.parametrize("name", sorted(CodecProperties.__match_args__))
def test_a_property_sets_its_flag(name: str) -> None:
    values: dict[str, object] = {"headers": {}, "delivery_mode": 1, "priority": 1, "timestamp": 1}
    properties = CodecProperties(**{name: values.get(name, "text")})  # type: ignore[arg-type]

    flags = int.from_bytes(properties.encode()[:2])

    assert flags == getattr(constants, f"FLAG_{name.upper()}")


def test_frame_constants_are_those_of_the_protocol() -> None:
    assert constants.PROTOCOL_HEADER == b"AMQP\0\0\x09\x01"
    assert constants.FRAME_END == b"\xce"
    assert (constants.TYPE_METHOD, constants.TYPE_HEADER, constants.TYPE_BODY) == (1, 2, 3)
    assert constants.TYPE_HEARTBEAT == 8
