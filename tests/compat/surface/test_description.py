"""This aioamqp looks from outside as 0.15 did, but where differences.toml says otherwise.

aioamqp_0_15.toml is how 0.15 looked; describe.py looks at both, and compare.py compares.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from aioamqp_testing import FakeBroker

from .compare import differences, raises_as, takes
from .describe import Description, describe

HERE = Path(__file__).parent


def stored() -> Description:
    return tomllib.loads((HERE / "aioamqp_0_15.toml").read_text())


def intended() -> dict[str, str]:
    """What a program of 0.15 finds changed on purpose, by where."""
    rows = tomllib.loads((HERE / "differences.toml").read_text())["difference"]
    return {where: row["ours"] for row in rows for where in row["of"]}


@pytest.mark.asyncio
async def test_all_that_0_15_shows_is_here_as_it_was_or_as_the_table_says(broker_url: str) -> None:
    if broker_url:
        ours = await describe(broker_url, "surface")
    else:
        async with FakeBroker() as broker:
            ours = await describe(await broker.listen(), "surface")

    assert differences(stored(), ours) == intended()


# What asyncio calls, and what cannot be called on a connection that is open or without waiting for
# its end.
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
def test_what_a_call_gives_is_described_of_every_call(cls: str) -> None:
    described = stored()
    prefix = f"aioamqp.{cls}."
    methods = {
        name.removeprefix(prefix)
        for name, signature in described["signatures"].items()
        if name.startswith(prefix)
        and signature != "property"
        and f"names: {name}" not in intended()
    }

    tried = {call.partition("(")[0].partition(".")[2] for call in described["outcomes"]}

    assert methods - tried - UNTRIED == {"__init__"}
    assert not UNTRIED & tried


def test_every_difference_has_a_reason_and_is_there_once() -> None:
    rows = tomllib.loads((HERE / "differences.toml").read_text())["difference"]

    assert all(row["why"].endswith(".") for row in rows)
    assert len(intended()) == sum(len(row["of"]) for row in rows)


# What follows shows that a drift is found.


def changed(section: str, name: str, value: Any) -> Description:
    """0.15, with one thing otherwise."""
    described = stored()
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
def test_a_change_is_a_difference(section: str, name: str, value: Any) -> None:
    found = differences(stored(), changed(section, name, value))

    assert list(found) == [f"{section}: {name}"]


def test_a_name_that_is_gone_is_a_difference_once() -> None:
    ours = stored()
    ours["names"]["aioamqp.channel.Channel"].remove("flow")
    del ours["signatures"]["aioamqp.channel.Channel.flow"]

    assert differences(stored(), ours) == {"names: aioamqp.channel.Channel.flow": "absent"}


def test_more_than_there_was_is_no_difference() -> None:
    ours = stored()
    ours["names"]["aioamqp"].append("Channel")
    ours["bases"]["aioamqp.channel.Channel"] = ["aioamqp._methods.basic.BasicMethods"]
    ours["signatures"]["aioamqp.dialing"] = "(dialer)"
    ours["attributes of a channel"]["spare"] = "aioamqp.spare.Spare"

    assert differences(stored(), ours) == {}


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
def test_a_signature_may_grow_by_keywords_that_can_be_left_out(ours: str, takes_it: bool) -> None:
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
def test_what_is_raised_may_be_more_than_it_was(ours: str, is_caught: bool) -> None:
    theirs = "awaited: raises ChannelClosed, AioamqpException with code 404"

    assert raises_as(ours, theirs) is is_caught
