"""Section 2 of the contract with aioamqp 0.15: URLs, and the names of queues and exchanges."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, TypeVar
from unittest.mock import MagicMock

import pytest

import aioamqp
from amqp_codec import queue
from scripted_server import ScriptedServer, wait_idle
from tests.compat.behaviour.conftest import Connect

pytestmark = pytest.mark.asyncio

P = TypeVar("P", bound=asyncio.BaseProtocol)

DEFAULTS: dict[str, Any] = {
    "host": "localhost",
    "port": None,
    "login": "guest",
    "password": "guest",
    "virtualhost": "/",
    "login_method": "PLAIN",
    "insist": False,
    "protocol_factory": aioamqp.AmqpProtocol,
}


@pytest.fixture
def connect_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of the calls of ``aioamqp.connect``, which is replaced and does not connect."""
    calls: list[dict[str, Any]] = []

    async def connect(**options: Any) -> tuple[None, None]:
        calls.append(options)
        return None, None

    monkeypatch.setattr("aioamqp.connect", connect)
    return calls


@pytest.mark.parametrize(
    ("url", "differing"),
    [
        ("amqp://", {}),
        ("amqp://localhost", {}),
        ("AMQP://localhost/", {}),
        ("amqp://host", {"host": "host"}),
        ("amqp://host:7777", {"host": "host", "port": 7777}),
        ("amqp://tom:pass@host", {"host": "host", "login": "tom", "password": "pass"}),
        ("amqp://tom@host", {"host": "host", "login": "tom"}),
        ("amqp://tom:@host", {"host": "host", "login": "tom", "password": ""}),
        ("amqp://:@host", {"host": "host"}),
        ("amqp://host/", {"host": "host"}),
        ("amqp://host//", {"host": "host"}),
        ("amqp://host/name", {"host": "host", "virtualhost": "name"}),
        ("amqp://host/a/b", {"host": "host", "virtualhost": "a/b"}),
        ("amqp://host//a", {"host": "host", "virtualhost": "/a"}),
        ("amqp://[::1]:7777/v", {"host": "::1", "port": 7777, "virtualhost": "v"}),
        ("amqp://[fe80::1]", {"host": "fe80::1"}),
    ],
)
async def test_a_url_sets_host_port_login_password_and_virtual_host(
    connect_calls: list[dict[str, Any]], url: str, differing: dict[str, Any]
) -> None:
    """B51."""
    await aioamqp.from_url(url)

    assert connect_calls == [DEFAULTS | differing]


async def test_from_url_passes_its_arguments_to_connect(
    connect_calls: list[dict[str, Any]],
) -> None:
    """B51."""
    factory = MagicMock()

    await aioamqp.from_url(
        "amqp://h", "AMQPLAIN", True, factory, on_error=print, heartbeat=5, whatever=1
    )

    assert connect_calls == [
        DEFAULTS
        | {"host": "h", "login_method": "AMQPLAIN", "insist": True, "protocol_factory": factory}
        | {"on_error": print, "heartbeat": 5, "whatever": 1}
    ]


@pytest.mark.parametrize(
    "url", ["http://host", "amqpss://host", "host:5672", "", "//host", "amqp://host:port"]
)
async def test_an_unknown_scheme_or_an_invalid_port_is_a_value_error(
    connect_calls: list[dict[str, Any]], url: str
) -> None:
    """B51."""
    with pytest.raises(ValueError):
        await aioamqp.from_url(url)

    assert connect_calls == []


@pytest.mark.parametrize("given", [{}, {"ssl": None}, {"ssl": False}])
async def test_amqps_uses_the_default_ssl_context_unless_one_is_given(
    connect_calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    """B51. The function is looked up in the module ``ssl`` at each call, so tests can replace it."""
    made = MagicMock()
    monkeypatch.setattr("ssl.create_default_context", made)

    await aioamqp.from_url("AMQPS://host", **given)

    assert connect_calls == [DEFAULTS | {"host": "host", "ssl": made.return_value}]
    made.assert_called_once_with()


async def test_an_explicit_ssl_context_is_used_with_either_scheme(
    connect_calls: list[dict[str, Any]],
) -> None:
    """B51."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    for url in ("amqps://host", "amqp://host"):
        await aioamqp.from_url(url, ssl=context)

    assert connect_calls == [DEFAULTS | {"host": "host", "ssl": context}] * 2
    assert connect_calls[0]["ssl"] is context


@pytest.mark.parametrize(
    ("url", "given", "port"),
    [
        ("amqp://host", {}, 5672),
        ("amqps://host", {}, 5671),
        ("amqp://host", {"ssl": True}, 5671),
        ("amqp://host:1", {"ssl": True}, 1),
        ("amqps://host:1", {}, 1),
    ],
)
async def test_the_default_port_depends_on_the_scheme(
    server: ScriptedServer, url: str, given: dict[str, Any], port: int
) -> None:
    """B51."""
    dialed: list[tuple[str, int | str, bool]] = []

    async def dial(
        protocol_factory: Callable[[], P], host: str, port: int | str, *, ssl: Any
    ) -> tuple[asyncio.Transport, P]:
        dialed.append((host, port, bool(ssl)))
        return await server.dial(protocol_factory, host, port, ssl=ssl)

    with aioamqp.dialing(dial):
        _, protocol = await aioamqp.from_url(url, **given)
    await protocol.close()

    assert dialed == [("host", port, "amqps" in url or bool(given))]


@pytest.mark.parametrize(
    ("url", "differing"),
    [
        ("amqp://h/%2F", {"virtualhost": "/"}),
        ("amqp://h/%2f", {"virtualhost": "/"}),
        ("amqp://h/a%2Fb", {"virtualhost": "a/b"}),
        ("amqp://h/%C3%BC", {"virtualhost": "ü"}),
        ("amqp://t%3Aom:p%40ss%2F@h", {"login": "t:om", "password": "p@ss/"}),
        ("amqp://tom:100%25@h", {"login": "tom", "password": "100%"}),
        ("amqp://tom:100%@h", {"login": "tom", "password": "100%"}),
        ("amqp://tom:a+b@h", {"login": "tom", "password": "a+b"}),
    ],
)
async def test_user_password_and_virtual_host_are_percent_decoded(
    connect_calls: list[dict[str, Any]], url: str, differing: dict[str, Any]
) -> None:
    """B52. 0.15 sent them without decoding."""
    await aioamqp.from_url(url)

    assert connect_calls == [DEFAULTS | {"host": "h"} | differing]


@pytest.mark.parametrize("arguments", [{}, {"queue_name": ""}, {"queue_name": None}])
async def test_a_queue_declared_without_a_name_is_named_by_the_server(
    server: ScriptedServer, arguments: dict[str, Any]
) -> None:
    """B53."""
    opened = await server.open_channel()

    declared = await opened.queue_declare(exclusive=True, **arguments)

    assert server.methods(queue.Declare) == [queue.Declare("", exclusive=True)]
    assert declared["queue"] == "amq.gen-1"
    await opened.protocol.close()


async def test_each_queue_declared_without_a_name_gets_a_different_name(connect: Connect) -> None:
    """B53."""
    opened = await (await connect()).channel()

    names = [(await opened.queue_declare(name, exclusive=True))["queue"] for name in ("", None)]

    assert all(name.startswith("amq.gen-") for name in names)
    assert names[0] != names[1]
    for name in names:
        assert (await opened.queue_declare(name, passive=True))["queue"] == name
    # The empty name means the last queue that was declared on the channel.
    assert (await opened.basic_consume(None, "", "tag")) == {"consumer_tag": "tag"}


LONG = "ü" * 128  # 256 bytes of UTF-8

NAMED: list[tuple[str, tuple[Any, ...]]] = [
    ("queue_declare", (LONG,)),
    ("queue_delete", (LONG,)),
    ("queue_purge", (LONG,)),
    ("queue_bind", (LONG, "e", "k")),
    ("queue_bind", ("q", LONG, "k")),
    ("queue_bind", ("q", "e", LONG)),
    ("queue_unbind", ("q", "e", LONG)),
    ("exchange_declare", (LONG, "direct")),
    ("exchange_declare", ("e", LONG)),
    ("exchange_delete", (LONG,)),
    ("exchange_bind", (LONG, "e", "k")),
    ("exchange_unbind", ("e", LONG, "k")),
    ("basic_consume", (print, LONG)),
    ("basic_consume", (print, "q", LONG)),
    ("basic_cancel", (LONG,)),
    ("basic_get", (LONG,)),
    ("publish", (b"", LONG, "k")),
    ("publish", (b"", "e", LONG)),
    ("basic_publish", (b"", "e", LONG)),
]


GENERATED: list[tuple[str, tuple[Any, ...]]] = [
    ("queue_declare", (LONG,)),
    ("basic_consume", (print, "q", LONG)),
]
"""Arguments that may be None, so that a name is generated."""


@pytest.mark.parametrize(
    ("name", "arguments", "wrong"),
    [
        (*named, wrong)
        for named in NAMED
        for wrong in (LONG, None, 5, b"q")
        if wrong is not None or named not in GENERATED
    ],
)
async def test_an_invalid_name_is_a_type_error_before_anything_is_written(
    server: ScriptedServer, name: str, arguments: tuple[Any, ...], wrong: Any
) -> None:
    """B54."""
    opened = await server.open_channel()

    with pytest.raises(TypeError):
        await getattr(opened, name)(*(wrong if each == LONG else each for each in arguments))

    await wait_idle()
    assert server.transport.writes == []
    assert opened.consumer_callbacks == {}
    assert (await opened.queue_declare("q"))["queue"] == "q"
    await opened.protocol.close()


@pytest.mark.parametrize("name", ["compat-$ %", "compat-ü€😀", "compat:é", "compat-" + "x" * 248])
async def test_every_name_of_at_most_255_bytes_is_accepted(connect: Connect, name: str) -> None:
    """B54."""
    opened = await (await connect()).channel()

    assert (await opened.queue_declare(name, exclusive=True))["queue"] == name
    await opened.exchange_declare(name, "direct", auto_delete=True)
    await opened.queue_bind(name, name, name)
    await opened.publish(b"m", name, name)

    assert (await opened.basic_get(name, no_ack=True))["routing_key"] == name
    assert await opened.exchange_delete(name) is True
