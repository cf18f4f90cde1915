"""Publishing: bodies, properties, and the arguments' two names."""

from typing import Any

import pytest

import aioamqp
from amqp_codec import (
    Command,
    Properties,
    basic,
)
from scripted_server import ScriptedServer, wait_idle

pytestmark = pytest.mark.asyncio


async def test_a_message_is_sent_as_it_was_given(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    await opened.basic_publish(
        b"body", "ex", "key", {"message_type": "t", "headers": {"a": 1}}, mandatory=True
    )
    await wait_idle()

    assert server.received == [
        Command(
            1, basic.Publish("ex", "key", True), Properties(type="t", headers={"a": 1}), b"body"
        )
    ]
    await opened.protocol.close()


async def test_properties_may_be_changed_between_messages(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    headers: dict[str, Any] = {"n": 1, "inner": {"a": [1]}}
    properties: dict[str, Any] = {"headers": headers, "priority": 1}

    for change in (
        lambda: None,
        lambda: headers.update(n=True),
        lambda: headers["inner"]["a"].append(2),
        lambda: properties.update(priority=2),
    ):
        change()
        await opened.basic_publish(b"", "", "q", properties)
    await wait_idle()

    received: list[Any] = [command.properties for command in server.received]
    sent = [(properties.headers, properties.priority) for properties in received]
    assert sent == [
        ({"n": 1, "inner": {"a": [1]}}, 1),
        ({"n": True, "inner": {"a": [1]}}, 1),
        ({"n": True, "inner": {"a": [1, 2]}}, 1),
        ({"n": True, "inner": {"a": [1, 2]}}, 2),
    ]
    assert [type(sent_headers["n"]) for sent_headers, _ in sent] == [int, bool, bool, bool]
    await opened.protocol.close()


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        ("grün", "grün".encode()),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd").cast("H"), b"abcd"),
        (b"", b""),
        ("", b""),
        (b"x" * 300_000, b"x" * 300_000),
    ],
    ids=["str", "bytearray", "memoryview", "empty", "empty str", "large"],
)
async def test_any_bytes_and_strings_can_be_sent(
    server: ScriptedServer, payload: Any, body: bytes
) -> None:
    opened = await server.open_channel()

    await opened.basic_publish(payload, "", "q")
    await wait_idle()

    assert server.published() == [body]
    await opened.protocol.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"payload": None},
        {"exchange_name": None},
        {"payload": 5},
        {"payload": [1, 2]},
        {"routing_key": "k" * 256},
        {"routing_key": None},
        {"exchange_name": ["ex"]},
        {"properties": {"colour": "red"}},
        {"properties": {"priority": "high"}},
        {"properties": {"expiration": 5}},
        pytest.param({"properties": {"headers": {"a": object()}}}, id="headers of an object"),
        {"properties": {"correlation_id": "c" * 256}},
        {"properties": "red"},
    ],
    ids=str,
)
async def test_a_message_that_cannot_be_sent_is_not_written(
    server: ScriptedServer, arguments: dict[str, Any]
) -> None:
    opened = await server.open_channel()
    good: dict[str, Any] = {"payload": b"good", "exchange_name": "", "routing_key": "q"}

    with pytest.raises(ValueError) as caught:
        await opened.basic_publish(**{**good, **arguments})
    assert isinstance(caught.value, TypeError)
    await opened.basic_publish(**good)
    await wait_idle()

    assert server.published() == [b"good"]
    assert len(server.received) == 1
    await opened.protocol.close()


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
async def test_the_exchange_and_the_body_have_other_names_too(
    server: ScriptedServer, call: str
) -> None:
    opened = await server.open_channel()

    await getattr(opened, call)(exchange="ex", routing_key="key", body=b"body")
    await wait_idle()

    assert server.received == [Command(1, basic.Publish("ex", "key"), Properties(), b"body")]
    await opened.protocol.close()


@pytest.mark.parametrize("name", ["payload", "exchange_name", "routing_key"])
async def test_a_missing_argument_is_named(server: ScriptedServer, name: str) -> None:
    opened = await server.open_channel()
    arguments: dict[str, Any] = {"payload": b"", "exchange_name": "", "routing_key": "q"}
    del arguments[name]

    with pytest.raises(TypeError, match=f"{name}: must be given"):
        await opened.basic_publish(**arguments)

    await opened.protocol.close()


@pytest.mark.parametrize("call", ["publish", "basic_publish"])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"exchange": "ex"}, "exchange: is another name of exchange_name"),
        ({"body": b"body"}, "body: is another name of payload"),
    ],
)
async def test_an_argument_cannot_be_given_by_both_its_names(
    server: ScriptedServer, call: str, arguments: dict[str, Any], text: str
) -> None:
    opened = await server.open_channel()

    with pytest.raises(TypeError, match=text):
        await getattr(opened, call)(b"", "", "q", **arguments)
    await wait_idle()

    assert server.received == []
    await opened.protocol.close()


async def test_a_closed_channel_takes_no_message(server: ScriptedServer) -> None:
    opened = await server.open_channel()
    await opened.close()

    with pytest.raises(aioamqp.ChannelClosed):
        await opened.basic_publish(b"", "", "q")

    await opened.protocol.close()


async def test_publish_takes_a_string_with_a_warning_that_points_at_the_caller(
    server: ScriptedServer,
) -> None:
    opened = await server.open_channel()

    with pytest.warns(DeprecationWarning, match="encode") as caught:
        await opened.publish("grün", "", "q")
    await wait_idle()

    assert caught[0].filename == __file__
    assert [command.body for command in server.received] == ["grün".encode()]
    await opened.protocol.close()


@pytest.mark.parametrize("payload", [None, 5, [1, 2]], ids=str)
async def test_publish_takes_only_bytes_and_strings(server: ScriptedServer, payload: Any) -> None:
    opened = await server.open_channel()

    with pytest.raises(ValueError):
        await opened.publish(payload, "", "q")
    await wait_idle()

    assert server.received == []
    await opened.protocol.close()


async def test_outside_confirm_mode_publish_does_not_wait(server: ScriptedServer) -> None:
    opened = await server.open_channel()

    await opened.publish(b"body", "ex", "key", {"priority": 1}, mandatory=True)
    await wait_idle()

    assert server.received == [
        Command(1, basic.Publish("ex", "key", True), Properties(priority=1), b"body")
    ]
    await opened.protocol.close()
