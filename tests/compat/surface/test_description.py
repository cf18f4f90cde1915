"""The public surface of this aioamqp differs from that of 0.15 only as listed in differences.toml.

aioamqp_0_15.toml describes 0.15. describe.py writes descriptions, and compare.py compares them.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from aioamqp_testing import FakeBroker
from tests.conformance.scenario import selection
from tests.rabbitmq import RabbitMQNode

from .compare import differences, raises_as, takes
from .describe import Description, describe

HERE = Path(__file__).parent


def description_of_0_15() -> Description:
    return tomllib.loads((HERE / "aioamqp_0_15.toml").read_text())


def intended_differences() -> dict[str, str]:
    """Return the intended differences, by section and name."""
    rows = tomllib.loads((HERE / "differences.toml").read_text())["difference"]
    return {where: row["ours"] for row in rows for where in row["of"]}


@pytest.mark.asyncio
async def test_the_public_surface_differs_from_0_15_only_as_listed(
    request: pytest.FixtureRequest, broker_url: str
) -> None:
    if broker_url:
        node: RabbitMQNode = request.getfixturevalue("rabbitmq_node")
        if selection(node.version)({"3.10": False, "4.3": True}):
            pytest.skip("0.15 was described with a queue that RabbitMQ 4.3 denies")
        ours = await describe(broker_url, "surface")
    else:
        async with FakeBroker(rabbitmq="3.10") as broker:
            ours = await describe(await broker.listen(), "surface")

    assert differences(description_of_0_15(), ours) == intended_differences()


# Methods that asyncio calls, and methods that cannot be called on an open connection or that wait until
# it is closed.
UNTRIED = {
    "connection_lost",
    "connection_made",
    "data_received",
    "eof_received",
    "heartbeat",
    "open",
    "pause_writing",
    "resume_writing",
    "start_connection",
}


@pytest.mark.parametrize("cls", ["channel.Channel", "protocol.AmqpProtocol"])
def test_the_outcome_of_every_method_is_described(cls: str) -> None:
    described = description_of_0_15()
    prefix = f"aioamqp.{cls}."
    methods = {
        name.removeprefix(prefix)
        for name, signature in described["signatures"].items()
        if name.startswith(prefix)
        and signature != "property"
        and f"names: {name}" not in intended_differences()
    }

    tried = {call.partition("(")[0].partition(".")[2] for call in described["outcomes"]}

    assert methods - tried - UNTRIED == {"__init__"}
    assert not UNTRIED & tried


def test_every_difference_has_a_reason_and_is_listed_once() -> None:
    rows = tomllib.loads((HERE / "differences.toml").read_text())["difference"]

    assert all(row["why"].endswith(".") for row in rows)
    assert len(intended_differences()) == sum(len(row["of"]) for row in rows)


# The tests below show that changes are found.


def changed(section: str, name: str, value: Any) -> Description:
    """Return the description of 0.15 with one changed value."""
    described = description_of_0_15()
    assert described[section][name] != value
    described[section][name] = value
    return described


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("slots", "aioamqp.envelope.ReturnEnvelope", ["reply_text", "reply_code"]),
        ("bases", "aioamqp.exceptions.EmptyQueue", ["builtins.Exception"]),
        ("aliases", "aioamqp.channel.Channel.queue", "queue_bind"),
        ("constants", "aioamqp.constants.QUEUE_BIND", "21"),
        ("constants", "aioamqp.protocol.logger", "the logger aioamqp"),
        ("exceptions", "ChannelClosed()", "args (), str ''"),
        ("attributes of AmqpProtocol()", "channels", "[]"),
        ("attributes of a channel", "delivery_tag_iter", "itertools.count"),
        ("callbacks", "consumer", "(aioamqp.channel.Channel, bytes)"),
        ("outcomes", "channel.exchange_delete('F')", "awaited: None"),
        ("outcomes", "channel.flow(True)", "{'active': True}"),
        ("signatures", "aioamqp.channel.Channel.flow", "(self, active)"),
    ],
)
def test_a_changed_description_is_a_difference(section: str, name: str, value: Any) -> None:
    found = differences(description_of_0_15(), changed(section, name, value))

    assert list(found) == [f"{section}: {name}"]


def test_a_removed_name_is_one_difference() -> None:
    ours = description_of_0_15()
    ours["names"]["aioamqp.channel.Channel"].remove("flow")
    del ours["signatures"]["aioamqp.channel.Channel.flow"]

    assert differences(description_of_0_15(), ours) == {
        "names: aioamqp.channel.Channel.flow": "absent"
    }


def test_an_addition_is_not_a_difference() -> None:
    ours = description_of_0_15()
    ours["names"]["aioamqp"].append("Channel")
    ours["bases"]["aioamqp.channel.Channel"] = ["aioamqp._methods.basic.BasicMethods"]
    ours["signatures"]["aioamqp.dialing"] = "(dialer)"
    ours["attributes of a channel"]["spare"] = "aioamqp.spare.Spare"

    assert differences(description_of_0_15(), ours) == {}


@pytest.mark.parametrize(
    ("ours", "takes_it"),
    [
        ("async (self, a, b=1, *, c=2, **rest)", True),
        ("async (self, a, b=1, *, c=2, d=None, **others)", True),
        ("async (self, b, a=1, *, c=2, **rest)", False),
        ("async (self, a, b=2, *, c=2, **rest)", False),
        ("async (self, a, b, *, c=2, **rest)", False),
        ("async (self, a=0, b=1, *, c=2, **rest)", False),
        ("async (self, a, b=1, d=None, *, c=2, **rest)", False),
        ("async (self, a, *, b=1, c=2, **rest)", False),
        ("async (self, a, b=1, *, d, c=2, **rest)", False),
        ("async (self, a, b=1, *, c=3, **rest)", False),
        ("async (self, a, b=1, *, c=2)", False),
        ("async (self, a, b=1, **rest)", False),
        ("(self, a, b=1, *, c=2, **rest)", False),
        ("property", False),
    ],
)
def test_a_signature_may_gain_only_optional_keyword_arguments(ours: str, takes_it: bool) -> None:
    assert takes(ours, "async (self, a, b=1, *, c=2, **rest)") is takes_it


@pytest.mark.parametrize(
    ("ours", "is_caught"),
    [
        ("awaited: raises ChannelClosed, AioamqpException with code 404", True),
        ("awaited: raises Later, ChannelClosed, AioamqpException with code 404", True),
        ("awaited: raises ChannelClosed, AioamqpException with code 403", False),
        ("awaited: raises ChannelClosed, AioamqpException", False),
        ("awaited: raises AioamqpException with code 404", False),
        ("raises ChannelClosed, AioamqpException with code 404", False),
        ("awaited: True", False),
    ],
)
def test_an_exception_may_gain_base_classes(ours: str, is_caught: bool) -> None:
    theirs = "awaited: raises ChannelClosed, AioamqpException with code 404"

    assert raises_as(ours, theirs) is is_caught
