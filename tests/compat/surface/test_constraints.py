"""Less obvious behaviour that programs and tests of 0.15 rely on."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

import aioamqp
from aioamqp.channel import Channel
from aioamqp.envelope import Envelope
from aioamqp.protocol import OPEN, AmqpProtocol
from scripted_server import ScriptedServer

from .conftest import Connect

pytestmark = pytest.mark.asyncio

FROM_URL = {
    "host": "example.com",
    "port": 7777,
    "login": "tom",
    "password": "pass",
    "virtualhost": "myvhost",
    "login_method": "PLAIN",
    "insist": False,
    "protocol_factory": AmqpProtocol,
}


# ------------------------------------------------------------------------------------ connecting


@pytest.mark.parametrize(
    "more", [{}, {"on_error": None}, {"heartbeat": 5, "loop": None}, {"ssl": False}]
)
async def test_from_url_calls_aioamqp_connect_with_exactly_these_arguments(
    more: dict[str, Any],
) -> None:
    expected = {name: value for name, value in more.items() if name != "on_error"}
    with mock.patch("aioamqp.connect", return_value=("transport", "protocol")) as connect:
        given: object = await aioamqp.from_url("amqp://tom:pass@example.com:7777/myvhost", **more)

    assert given == ("transport", "protocol")
    connect.assert_called_once_with(**FROM_URL, **expected)


async def test_amqps_calls_ssl_create_default_context_at_connect_time() -> None:
    with (
        mock.patch("aioamqp.connect", return_value=(None, None)) as connect,
        mock.patch("ssl.create_default_context") as create,
    ):
        await aioamqp.from_url("amqps://tom:pass@example.com:7777/myvhost")

    connect.assert_called_once_with(**FROM_URL, ssl=create.return_value)
    assert aioamqp.ssl is ssl


@pytest.mark.parametrize("asked", [100, 10])
async def test_the_heartbeat_of_the_caller_overrides_that_of_the_server(
    connect: Connect, asked: int
) -> None:
    _, protocol = await connect(heartbeat=asked)

    assert protocol.server_heartbeat == asked


async def test_frame_max_and_channel_max_are_the_lower_of_both_limits(connect: Connect) -> None:
    _, lower = await connect(frame_max=8192, channel_max=10)
    _, higher = await connect(frame_max=1_000_000, channel_max=60_000)
    _, unlimited = await connect(frame_max=0, channel_max=0)

    assert (lower.server_frame_max, lower.server_channel_max) == (8192, 10)
    assert (higher.server_frame_max, higher.server_channel_max) == (131072, 2047)
    assert (unlimited.server_frame_max, unlimited.server_channel_max) == (131072, 2047)


async def test_a_heartbeat_is_sent_once_per_interval(server: ScriptedServer) -> None:
    protocol = await server.connect(heartbeat=60)
    with mock.patch.object(protocol, "send_heartbeat", wraps=protocol.send_heartbeat) as sent:
        protocol.server_heartbeat = 1
        task = asyncio.create_task(protocol._heartbeat_send())
        await asyncio.sleep(1.001)
        assert sent.call_count == 1
        await asyncio.sleep(0.998)
        assert sent.call_count == 1
        await asyncio.sleep(0.002)
        assert sent.call_count == 2

    await protocol.close()
    await task


async def test_the_documented_arguments_that_do_nothing_are_accepted(connect: Connect) -> None:
    given: dict[str, Any] = {"loop": asyncio.get_running_loop(), "verify_ssl": False}

    _, protocol = await connect(**given)
    AmqpProtocol("reader", "writer", loop=given["loop"])
    with mock.patch("aioamqp.connect", return_value=(None, None)) as called:
        await aioamqp.from_url("amqp://tom:pass@example.com:7777/myvhost", **given)

    assert protocol.state == OPEN
    called.assert_called_once_with(**FROM_URL, **given)


@pytest.mark.parametrize("name", ["program_name", "virtual_host"])
async def test_unknown_keyword_arguments_are_refused(connect: Connect, name: str) -> None:
    """Row U3. 0.15 ignored them: a program logged in as guest to "/"."""
    unknown: dict[str, Any] = {name: "x"}

    with pytest.raises(TypeError, match=name):
        await connect(**unknown)
    with pytest.raises(TypeError, match=name):
        AmqpProtocol("reader", "writer", **unknown)


# ------------------------------------------------------------------------------------ channels


class MyChannel(Channel):
    """A subclass as in programs, which changes a consumer tag."""

    async def basic_consume(
        self, *args: Any, consumer_tag: str = "", **kwargs: Any
    ) -> dict[str, Any]:
        mine = f"mine.{consumer_tag}"
        return await super().basic_consume(*args, consumer_tag=mine, **kwargs)  # type: ignore[misc]


class WithChannelSubclass(AmqpProtocol):
    CHANNEL_FACTORY = MyChannel


class WithFactoryMethod(AmqpProtocol):
    """The factory is a method, so it gets the protocol twice."""

    def CHANNEL_FACTORY(  # noqa: N802 - the name of 0.15
        self, protocol: AmqpProtocol, channel_id: int, return_callback: Any = None
    ) -> Channel:
        assert self is protocol
        return MyChannel(protocol, channel_id, return_callback=return_callback)


@pytest.mark.parametrize("factory", [WithChannelSubclass, WithFactoryMethod])
async def test_channel_factory_may_be_a_channel_subclass_or_a_method(
    connect: Connect, factory: Callable[..., AmqpProtocol]
) -> None:
    _, protocol = await connect(protocol_factory=factory)

    channel = await protocol.channel(return_callback=print)

    assert isinstance(channel, MyChannel)
    assert channel.return_callback is print
    queue = await channel.queue_declare(exclusive=True)
    consumed = await channel.basic_consume(print, queue["queue"], consumer_tag="tag")
    assert consumed == {"consumer_tag": "mine.tag"}


@pytest.mark.parametrize(
    "limit",
    [
        {"prefetch_size": 2**32},
        {"prefetch_count": 2**16},
        {"prefetch_count": -1},
        {"prefetch_size": -1},
    ],
)
async def test_a_prefetch_out_of_range_is_a_type_error(
    channel: Channel, limit: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        await channel.basic_qos(**limit)

    assert await channel.basic_qos(prefetch_count=1)


async def test_the_server_refuses_a_consumer_tag_in_use_with_530(
    channel: Channel,
) -> None:
    queue = (await channel.queue_declare(exclusive=True))["queue"]
    await channel.basic_consume(print, queue, consumer_tag="tag")

    with pytest.raises(aioamqp.ChannelClosed) as refused:
        await channel.basic_consume(print, queue, consumer_tag="tag")

    assert refused.value.code == 530


async def test_basic_consume_needs_no_callback_and_no_queue_name(channel: Channel) -> None:
    queue = (await channel.queue_declare(exclusive=True))["queue"]

    await channel.basic_consume(None)

    declared = await channel.queue_declare(queue, passive=True)
    assert declared["consumer_count"] == 1


async def test_an_awaitable_returned_by_a_callback_is_awaited(
    channel: Channel,
) -> None:
    protocol = channel.protocol
    queue = (await channel.queue_declare(exclusive=True))["queue"]
    await channel.basic_consume(None, queue)
    channel.add_cancellation_callback(lambda *args, **kwargs: protocol.close())

    await channel.queue_delete(queue)

    await protocol.wait_closed(timeout=5)


async def test_a_callback_may_return_a_value_that_is_not_awaitable(channel: Channel) -> None:
    called = asyncio.Event()
    queue = (await channel.queue_declare(exclusive=True))["queue"]
    await channel.basic_publish(b"body", "", queue)

    def callback(*args: Any) -> int:
        called.set()
        return 5

    await channel.basic_consume(callback, queue)

    await asyncio.wait_for(called.wait(), 5)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda channel: channel.basic_qos(prefetch_size=10), 540),
        (lambda channel: channel.basic_consume(None, consumer_tag="tag"), 530),
    ],
    ids=["540", "530"],
)
async def test_pending_calls_fail_with_channel_closed_when_the_server_closes_the_connection(
    channel: Channel, call: Callable[[Channel], Any], code: int
) -> None:
    await channel.queue_declare(exclusive=True)
    await channel.basic_consume(None, consumer_tag="tag")

    failed = await asyncio.gather(
        call(channel), channel.queue_declare(), channel.queue_declare(), return_exceptions=True
    )

    assert all(isinstance(error, aioamqp.ChannelClosed) for error in failed)
    assert [getattr(error, "code", None) for error in failed] == [code] * 3
    await channel.protocol.wait_closed()
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await channel.queue_declare()


# ------------------------------------------------------------------------------------ names and mocks


async def test_urlparse_is_an_attribute_of_the_package() -> None:
    assert aioamqp.urlparse("amqp://host:5672/vhost").port == 5672


async def test_the_logger_of_the_protocol_module_can_be_replaced(
    connect: Connect,
) -> None:
    with mock.patch("aioamqp.protocol.logger") as logger:
        transport, protocol = await connect()
        transport.abort()
        await protocol.wait_closed()

    logger.warning.assert_called()


async def test_the_loggers_have_the_names_of_0_15() -> None:
    assert aioamqp.protocol.logger is logging.getLogger("aioamqp.protocol")
    assert aioamqp.channel.logger is logging.getLogger("aioamqp.channel")


async def test_state_can_be_compared_and_channels_counted(
    protocol: AmqpProtocol,
) -> None:
    assert protocol.state == aioamqp.protocol.OPEN
    assert len(protocol.channels) == 0

    channels = [await protocol.channel() for _ in range(3)]
    assert len(protocol.channels) == 3

    await channels[0].close()
    assert len(protocol.channels) == 2


async def test_a_mock_of_a_protocol_has_its_methods() -> None:
    protocol = mock.MagicMock(spec=aioamqp.protocol.AmqpProtocol)

    await protocol.close(no_wait=True)
    await protocol.channel()
    await protocol.wait_closed()

    protocol.close.assert_awaited_once_with(no_wait=True)
    assert isinstance(protocol, AmqpProtocol)
    with pytest.raises(AttributeError):
        protocol.no_such_call()


async def test_a_mock_of_a_channel_has_its_methods() -> None:
    channel = mock.MagicMock(spec=aioamqp.channel.Channel)

    for call in (
        "basic_publish",
        "publish",
        "queue_declare",
        "queue",
        "exchange",
        "basic_client_ack",
    ):
        await getattr(channel, call)()
        getattr(channel, call).assert_awaited_once_with()
    channel.add_cancellation_callback(print)

    assert channel.is_open
    with pytest.raises(AttributeError):
        channel.no_such_call()


async def test_a_mock_of_an_envelope_has_its_attributes() -> None:
    envelope = mock.MagicMock(spec=Envelope)
    for name in ("consumer_tag", "delivery_tag", "exchange_name", "routing_key", "is_redeliver"):
        getattr(envelope, name)

    with pytest.raises(AttributeError):
        _ = envelope.redelivered
