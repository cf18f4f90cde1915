"""What the client costs: the modules that it imports, the bytes that it keeps, its calls at any size.

The bytes are those that Python has allocated in between, whichever version of Python runs the tests:
the limits are what is promised, not what was measured last.
"""

import asyncio
import gc
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

import pytest

import aioamqp
from amqp_codec import basic
from scripted_server import ScriptedServer, wait_idle

KIB = 1024

IMPORTED = {"aioamqp", "aioamqp.version"}
"""What ``import aioamqp`` loads beyond asyncio."""

NOT_NEEDED_TO_CONNECT = {
    "difflib",
    "pickle",
    "platform",
    "random",
    "uuid",
    "aioamqp._recovery",
    "aioamqp._retry",
    "aioamqp.connection",
    "aioamqp.opentelemetry",
    "aioamqp.prometheus",
    "aioamqp.rpc",
    "aioamqp.worker",
    "opentelemetry",
    "prometheus_client",
}


def run(program: str) -> set[str]:
    """Run a program in a new process, and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def loaded_by(statement: str) -> set[str]:
    """Return the names of the modules that a statement loads beyond those of asyncio.

    And beyond typing, which asyncio no longer loads on Python 3.14.
    """
    return run(
        "import sys, asyncio, typing; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sys.modules.keys() - before)"
    )


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded_by("import aioamqp") == IMPORTED


def test_connecting_loads_neither_recovery_nor_workers_nor_what_only_errors_need() -> None:
    loaded = loaded_by("from aioamqp import AmqpProtocol, Channel, connect, from_url")

    assert "aioamqp.connecting" in loaded
    assert loaded & NOT_NEEDED_TO_CONNECT == set()


def test_a_star_import_defines_all_public_names() -> None:
    assert run("from aioamqp import *; print(*globals())") >= set(aioamqp.__all__)


def test_the_listing_of_the_package_has_its_names_and_modules_before_their_first_use() -> None:
    listed = run("import aioamqp; print(*dir(aioamqp))")

    assert listed >= {*aioamqp.__all__, "exceptions", "protocol"}


@pytest.mark.parametrize(
    "name",
    ["exceptions.ChannelClosed", "protocol.OPEN", "tls.__name__", "urlparse", "ssl.SSLError"],
)
def test_modules_are_found_without_an_import_of_their_own_as_in_0_15(name: str) -> None:
    assert run(f"import aioamqp; aioamqp.{name}; print('found')") == {"found"}


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'aioamqp' has no attribute 'conect'"):
        _ = aioamqp.conect  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("module", "needed", "extra"),
    [
        ("opentelemetry", "opentelemetry", "aioamqp[opentelemetry]"),
        ("prometheus", "prometheus_client", "aioamqp[prometheus]"),
    ],
)
def test_an_extra_that_is_not_installed_says_what_to_install(
    module: str, needed: str, extra: str
) -> None:
    program = (
        f"import sys; sys.modules['{needed}'] = None\n"
        f"try: import aioamqp.{module}\n"
        "except ImportError as error: print(error)"
    )

    assert run(program) >= {"install", f"'{extra}'"}


class Kept:
    """The bytes that have been allocated in a block, and not been freed.

    Attributes:
        size: their number.
    """

    size = 0


@asynccontextmanager
async def bytes_kept(server: ScriptedServer) -> AsyncIterator[Kept]:
    """Count the bytes that the client keeps, without what the server has recorded."""
    kept = Kept()
    gc.collect()
    tracemalloc.start()
    try:
        yield kept
        await wait_idle()
        server.received.clear()
        server.transport.writes.clear()
        gc.collect()
        kept.size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.asyncio
async def test_an_idle_channel_keeps_less_than_4_kib(server: ScriptedServer) -> None:
    protocol = await server.connect()
    await protocol.channel()

    async with bytes_kept(server) as kept:
        channels = [await protocol.channel() for _ in range(500)]

    await protocol.close()
    assert kept.size < len(channels) * 4 * KIB


@pytest.mark.asyncio
async def test_a_channel_with_a_consumer_that_has_handled_a_message_keeps_less_than_8_kib(
    server: ScriptedServer,
) -> None:
    protocol = await server.connect()
    handled: list[bytes] = []

    async def on_message(
        _: aioamqp.Channel, body: bytes, envelope: aioamqp.Envelope, __: aioamqp.Properties
    ) -> None:
        handled.append(body)

    async def consume() -> aioamqp.Channel:
        channel = await protocol.channel()
        await channel.basic_consume(on_message, "queue", consumer_tag="tag", no_ack=True)
        server.deliver("tag", b"body", channel=channel.channel_id)
        await wait_idle()
        return channel

    await consume()

    async with bytes_kept(server) as kept:
        channels = [await consume() for _ in range(200)]

    await protocol.close()
    assert len(handled) == 1 + len(channels)
    assert kept.size < len(channels) * 8 * KIB


@pytest.mark.asyncio
async def test_an_idle_connection_keeps_less_than_64_kib(server: ScriptedServer) -> None:
    servers = [ScriptedServer() for _ in range(20)]
    connections = [await server.connect()]

    async with bytes_kept(server) as kept:
        connections += [await each.connect() for each in servers]

    for connection in connections:
        await connection.close()
    assert kept.size < len(servers) * 64 * KIB


@pytest.mark.asyncio
async def test_an_idle_connection_that_recovers_keeps_less_than_64_kib(
    server: ScriptedServer,
) -> None:
    async def connect(server: ScriptedServer) -> aioamqp.Connection:
        with aioamqp.dialing(server.dial):
            connection = aioamqp.Connection("amqp://host/")
            return await connection.__aenter__()

    servers = [ScriptedServer() for _ in range(20)]
    connections = [await connect(server)]

    async with bytes_kept(server) as kept:
        connections += [await connect(each) for each in servers]

    for connection in connections:
        await connection.close()
    assert kept.size < len(servers) * 64 * KIB


@pytest.mark.asyncio
async def test_an_unconfirmed_message_keeps_less_than_400_bytes(server: ScriptedServer) -> None:
    """So 100,000 of them keep less than 40 MB."""
    channel = await server.open_channel()
    publisher = channel.publisher("orders", routing_key="new", max_unconfirmed=10_000)
    await publisher.publish_deferred(b"body")

    async with bytes_kept(server) as kept:
        confirmations = [await publisher.publish_deferred(bytes(1000)) for _ in range(2000)]

    assert publisher.unconfirmed == 1 + len(confirmations)
    await channel.protocol.close()
    assert kept.size < len(confirmations) * 400


@pytest.mark.asyncio
async def test_a_publish_that_waits_for_its_confirm_does_not_keep_the_body(
    server: ScriptedServer,
) -> None:
    channel = await server.open_channel()
    await channel.confirm_select()

    async with bytes_kept(server) as kept:
        calls = [
            asyncio.create_task(channel.publish(bytes(64 * KIB), "orders", "new"))
            for _ in range(100)
        ]

    assert len(calls) * 100 < kept.size < len(calls) * 4 * KIB
    server.send(basic.Ack(0, True))
    await asyncio.gather(*calls)
    await channel.protocol.close()


class Calls:
    """The number of calls, of functions of Python and of C."""

    count = 0

    def note(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.count += event in ("call", "c_call")


@contextmanager
def counted_calls() -> Iterator[Calls]:
    calls = Calls()
    before = sys.getprofile()
    sys.setprofile(calls.note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


MESSAGES = 400


async def calls_for_messages(connections: int, channels: int) -> int:
    """Count the calls for messages that are published, delivered and acknowledged in turn.

    Args:
        connections: that take turns.
        channels: of each, which take turns.
    """
    handled: list[int] = []

    async def on_message(
        channel: aioamqp.Channel, _: bytes, envelope: aioamqp.Envelope, __: aioamqp.Properties
    ) -> None:
        await channel.basic_client_ack(envelope.delivery_tag)
        handled.append(channel.channel_id)

    opened: list[tuple[ScriptedServer, aioamqp.Channel]] = []
    for _ in range(connections):
        server = ScriptedServer()
        protocol = await server.connect(heartbeat=0)
        for _ in range(channels):
            channel = await protocol.channel()
            await channel.basic_consume(on_message, "queue", consumer_tag="tag")
            opened.append((server, channel))

    async def send(number: int) -> None:
        server, channel = opened[number % len(opened)]
        await channel.basic_publish(b"body", "exchange", "key")
        server.deliver("tag", b"body", channel=channel.channel_id, first=number + 1)
        await wait_idle()

    for number in range(len(opened)):
        await send(number)
    handled.clear()
    with counted_calls() as calls:
        for number in range(len(opened), len(opened) + MESSAGES):
            await send(number)
    assert len(handled) == MESSAGES
    for _, channel in opened[::channels]:
        await channel.protocol.close()
    return calls.count


@pytest.mark.asyncio
@pytest.mark.parametrize(("connections", "channels"), [(1, 200), (40, 1)])
async def test_a_message_costs_the_same_on_any_number_of_channels_and_connections(
    connections: int, channels: int
) -> None:
    one = await calls_for_messages(1, 1)

    many = await calls_for_messages(connections, channels)

    assert one >= MESSAGES
    assert many < one * 1.02


@pytest.mark.asyncio
async def test_a_message_costs_the_same_however_many_are_unconfirmed(
    server: ScriptedServer,
) -> None:
    channel = await server.open_channel()
    publisher = channel.publisher("orders", routing_key="new", max_unconfirmed=100_000)

    async def publish(count: int) -> int:
        with counted_calls() as calls:
            for _ in range(count):
                await publisher.publish_deferred(b"body")
                await wait_idle()
        return calls.count

    await publish(1)
    first = await publish(200)
    await publish(1000)
    last = await publish(200)

    assert publisher.unconfirmed == 1401
    assert 200 <= last < first * 1.02
    await channel.protocol.close()
