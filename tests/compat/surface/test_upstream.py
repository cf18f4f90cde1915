"""Uses of aioamqp in 0.15's own tests.

The tests themselves need the management interface of a broker, and a package that no supported Python
can import. Their tests of heartbeats are in the client's test_legacy.py.
"""

import asyncio
import inspect
import socket
from collections.abc import Callable
from typing import Any

import pytest

import aioamqp
from aioamqp.channel import Channel
from aioamqp.protocol import CLOSED, OPEN, AmqpProtocol
from aioamqp_testing import FakeBroker

from .conftest import Connect

pytestmark = pytest.mark.asyncio


def transport_of(protocol: AmqpProtocol) -> asyncio.Transport:
    assert protocol._stream_reader is not None
    return protocol._stream_reader._transport


# ----------------------------------------------------------------------------------- test harness


class Harness:
    """Keeps the channels of a test, as the base class of 0.15's tests does."""

    def __init__(self) -> None:
        self.channels: list[ChannelOfHarness] = []

    def protocol(self, **kwargs: Any) -> AmqpProtocol:
        return ProtocolOfHarness(self, **kwargs)


def prefixing(call: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """Return a method that adds a prefix to some arguments, given by name or by position."""
    signature = inspect.signature(call)

    def prefixed(self: "ChannelOfHarness", *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind_partial(self, *args, **kwargs)
        for name in names:
            if name in bound.arguments:
                bound.arguments[name] = f"compat.{bound.arguments[name]}"
        return call(*bound.args, **bound.kwargs)

    return prefixed


class ChannelOfHarness(Channel):
    def __init__(self, harness: Harness, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        harness.channels.append(self)

    exchange_declare = prefixing(Channel.exchange_declare, "exchange_name")
    queue_declare = prefixing(Channel.queue_declare, "queue_name")
    queue_bind = prefixing(Channel.queue_bind, "queue_name", "exchange_name")
    publish = prefixing(Channel.publish, "exchange_name")
    basic_get = prefixing(Channel.basic_get, "queue_name")
    basic_consume = prefixing(Channel.basic_consume, "queue_name")


class ProtocolOfHarness(AmqpProtocol):
    def __init__(self, harness: Harness, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.harness = harness

    def CHANNEL_FACTORY(self, *args: Any, **kwargs: Any) -> Channel:  # noqa: N802
        return ChannelOfHarness(self.harness, *args, **kwargs)


async def test_a_test_harness_can_subclass_protocol_and_channel(
    connect: Connect,
) -> None:
    harness = Harness()
    _, protocol = await connect(protocol_factory=harness.protocol)

    channel = await protocol.channel()

    assert harness.channels == [channel]
    assert protocol.state == OPEN
    assert protocol.server_properties is not None
    version = tuple(map(int, protocol.server_properties["version"].split(".")))
    assert version >= (3, 8)


async def test_a_channel_subclass_can_prefix_all_names(connect: Connect) -> None:
    _, protocol = await connect(protocol_factory=Harness().protocol)
    channel = await protocol.channel()
    bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def callback(channel: Channel, body: bytes, envelope: Any, properties: Any) -> None:
        bodies.put_nowait(body)

    declared = await channel.queue_declare("upstream.q", exclusive=True, no_wait=False)
    await channel.exchange_declare("upstream.e", "direct", auto_delete=False)
    await channel.queue_bind("upstream.q", "upstream.e", routing_key="")
    with pytest.deprecated_call():
        await channel.publish("first", "upstream.e", routing_key="")
    await channel.publish(b"second", exchange_name="upstream.e", routing_key="")
    first = await channel.basic_get(queue_name="upstream.q")
    await channel.basic_consume(callback, queue_name="upstream.q")

    assert declared["queue"] == "compat.upstream.q"
    assert (first["message"], first["exchange_name"]) == (b"first", "compat.upstream.e")
    assert await asyncio.wait_for(bodies.get(), 5) == b"second"
    await channel.exchange_delete("compat.upstream.e")


@pytest.mark.parametrize(
    ("call", "names"),
    [
        ("exchange_declare", {"exchange_name"}),
        ("exchange_delete", {"exchange_name"}),
        ("exchange_bind", {"exchange_source", "exchange_destination"}),
        ("exchange_unbind", {"exchange_source", "exchange_destination"}),
        ("queue_declare", {"queue_name"}),
        ("queue_delete", {"queue_name"}),
        ("queue_bind", {"queue_name", "exchange_name"}),
        ("queue_unbind", {"queue_name", "exchange_name"}),
        ("queue_purge", {"queue_name"}),
        ("publish", {"exchange_name"}),
        ("basic_get", {"queue_name"}),
        ("basic_consume", {"queue_name"}),
    ],
)
async def test_the_parameter_names_show_which_arguments_are_queue_or_exchange_names(
    call: str, names: set[str]
) -> None:
    parameters = set(inspect.signature(getattr(Channel, call)).parameters)

    known = {"queue_name", "exchange_name", "exchange_source", "exchange_destination"}
    assert parameters & known == names


# ------------------------------------------------------------------------------------- connections


async def test_requested_and_negotiated_limits_are_attributes(connect: Connect) -> None:
    requested = {"channel_max": 10, "frame_max": 10000, "heartbeat": 100}
    _, protocol = await connect(**requested)

    assert protocol.connection_tunning == requested
    assert protocol.server_channel_max == 10
    assert protocol.server_frame_max == 10000
    assert protocol.server_heartbeat == 100


async def test_the_socket_is_accessible_and_has_tcp_nodelay_set() -> None:
    async with FakeBroker() as broker:
        transport, protocol = await aioamqp.from_url(await broker.listen())

        link = transport.get_extra_info("socket")

        assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        await protocol.close()


async def test_the_properties_of_the_client_are_kept_as_given(connect: Connect) -> None:
    given = {"program_name": "tests", "program_version": "1"}

    _, protocol = await connect(client_properties=given)

    assert protocol.client_properties == given


async def test_the_transport_is_closing_and_the_worker_done_after_a_close(
    protocol: AmqpProtocol,
) -> None:
    await protocol.close()

    assert transport_of(protocol).is_closing()
    await asyncio.wait_for(protocol.stop_now.wait(), 2)
    assert protocol.worker is not None
    await asyncio.wait_for(protocol.worker, 2)
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await protocol.close()


async def test_on_error_is_called_when_the_transport_is_closed(
    channel: Channel,
) -> None:
    protocol = channel.protocol
    errors: list[Any] = []

    def on_error(*args: Any, **kwargs: Any) -> None:
        errors.append((args, kwargs))

    protocol._on_error_callback = on_error

    transport_of(protocol).close()
    assert protocol.worker is not None
    await asyncio.wait_for(protocol.worker, 1)

    assert protocol.state == CLOSED
    assert not channel.is_open
    [((error,), named)] = errors
    assert isinstance(error, aioamqp.AmqpClosedConnection)
    assert named == {}


@pytest.mark.parametrize(
    "wrong", [{"virtualhost": "/unexistent"}, {"login": "wrong", "password": "wrong"}]
)
async def test_a_refused_virtual_host_or_login_raises_amqp_closed_connection(
    connect: Connect, wrong: dict[str, str]
) -> None:
    with pytest.raises(aioamqp.AmqpClosedConnection):
        await connect(**wrong)


# ---------------------------------------------------------------------------------------- channels


async def test_channels_ids_count_follows_opened_and_closed_channels(
    protocol: AmqpProtocol,
) -> None:
    before = protocol.channels_ids_count
    first, second = await protocol.channel(), await protocol.channel()

    assert first.channel_id != second.channel_id
    assert protocol.channels_ids_count == before + 2

    assert await first.close() is True
    assert not first.is_open
    assert protocol.channels_ids_count == before + 1
    with pytest.raises(aioamqp.ChannelClosed):
        await first.close()


async def test_a_channel_closed_by_the_server_releases_its_channel_id(channel: Channel) -> None:
    with pytest.raises(aioamqp.ChannelClosed) as closed:
        await channel.queue_declare("compat.upstream.none", passive=True)

    assert closed.value.code == 404
    assert not channel.is_open
    assert channel.protocol.channels_ids_count == 0


async def test_a_queue_argument_may_exceed_31_bits(channel: Channel) -> None:
    declared = await channel.queue_declare(exclusive=True, arguments={"answer": 2147483648})

    assert declared["message_count"] == 0


async def test_publisher_confirms_is_true_in_confirm_mode(channel: Channel) -> None:
    queue = (await channel.queue_declare(exclusive=True))["queue"]
    modes = [channel.publisher_confirms]

    await channel.confirm_select()
    await channel.publish(b"body", routing_key=queue, exchange_name="")

    modes.append(channel.publisher_confirms)
    assert modes == [False, True]
    assert (await channel.basic_get(queue, no_ack=True))["message"] == b"body"


class Consumers:
    """A callback with too few arguments, which is never called."""

    async def callback(self, body: bytes, envelope: Any, properties: Any) -> None:
        raise NotImplementedError


async def test_a_callback_with_a_wrong_signature_can_be_registered(channel: Channel) -> None:
    queue = (await channel.queue_declare(exclusive=True))["queue"]

    callback: Any = Consumers().callback
    tags = [(await channel.basic_consume(callback, queue))["consumer_tag"] for _ in range(2)]

    assert len(set(tags)) == 2


async def test_consumers_can_be_cancelled_concurrently_from_another_channel(
    protocol: AmqpProtocol,
) -> None:
    """Consumer tags belong to one channel; cancelling an unknown consumer succeeds."""
    consuming, other = await protocol.channel(), await protocol.channel()
    queue = (await consuming.queue_declare(exclusive=True))["queue"]
    tags = [
        (await consuming.basic_consume(print, queue, tag))["consumer_tag"] for tag in ("a", "b")
    ]

    cancelled = await asyncio.gather(*(other.basic_cancel(tag) for tag in tags))

    assert cancelled == [{"consumer_tag": tag} for tag in tags]


async def test_every_cancellation_callback_is_called_even_if_others_raise(
    channel: Channel,
) -> None:
    calls: list[Any] = []
    called = asyncio.Event()

    def failing(channel: Channel, tag: str) -> None:
        raise RuntimeError("plain")

    async def failing_later(channel: Channel, tag: str) -> None:
        raise RuntimeError("coroutine")

    def plain(channel: Channel, tag: str) -> None:
        calls.append((channel, tag))

    async def coroutine(channel: Channel, tag: str) -> None:
        calls.append((channel, tag))
        called.set()

    for callback in (failing, failing_later, plain, coroutine):
        channel.add_cancellation_callback(callback)
    queue = (await channel.queue_declare(exclusive=True))["queue"]
    tag = (await channel.basic_consume(None, queue))["consumer_tag"]

    await channel.queue_delete(queue)
    await asyncio.wait_for(called.wait(), 5)

    assert calls == [(channel, tag)] * 2
    assert channel.is_open
