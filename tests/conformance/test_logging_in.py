"""Logging in with what every broker knows."""

import pytest

from aioamqp import HandshakeFailed
from aioamqp.protocol import OPEN
from tests.conformance.scenario import Connect, scenario


@scenario
async def test_a_user_can_log_in_with_amqplain(connect: Connect) -> None:
    """Row 9."""
    protocol = await connect(login_method="AMQPLAIN")

    assert protocol.state == OPEN


@scenario
async def test_a_wrong_password_is_refused_with_amqplain_too(connect: Connect) -> None:
    """Row 10."""
    with pytest.raises(HandshakeFailed) as refused:
        await connect(login_method="AMQPLAIN", password="wrong")

    assert (refused.value.code, refused.value.message) == (
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN."
        " For details see the broker logfile.",
    )
