"""The examples orders.py and web.py: services that survive restarts of their broker."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from aioamqp import Backoff, Channel, Connection, PublishUnconfirmed
from aioamqp_testing import FakeBroker
from tests.conftest import node_or_skip
from tests.rabbitmq import NODES, RabbitMQNode, rabbitmqctl
from tests.test_examples import Program, Proxy

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

ORDERS = 300
BAD = 7
"""The order of a fruit that has no price."""

DEADLINE = 50.0


class Broker(NamedTuple):
    """A broker over TCP, and a function that ends all connections to it, such as a restart."""

    url: str
    interrupt: Callable[[], Coroutine[Any, Any, None]]


async def restart_node(node: RabbitMQNode) -> None:
    await rabbitmqctl(node, "stop_app")
    await rabbitmqctl(node, "start_app")


async def cut(proxy: Proxy) -> None:
    proxy.abort()


@pytest.fixture(params=["fake", "serve", *NODES])
def node(request: pytest.FixtureRequest) -> Any:
    """Not asynchronous, so that starting RabbitMQ does not count against the deadline of a test."""
    if request.param in NODES:
        with node_or_skip(request.param) as node:
            yield node
    else:
        yield request.param


@pytest_asyncio.fixture
async def broker(node: str | RabbitMQNode) -> AsyncIterator[Broker]:
    """The fake broker in this process, or in another one behind a proxy, or RabbitMQ."""
    async with AsyncExitStack() as stack:
        if isinstance(node, RabbitMQNode):
            yield Broker(node.url, partial(restart_node, node))
        elif node == "fake":
            fake = await stack.enter_async_context(FakeBroker())
            yield Broker(await fake.listen(), fake.restart)
        else:
            url = await stack.enter_async_context(serving())
            proxy = await stack.enter_async_context(Proxy(url))
            yield Broker(proxy.url, partial(cut, proxy))


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Run ``python -m aioamqp_testing serve``; its URL is the first line that it prints."""
    command = ("-m", "aioamqp_testing", "serve", "--port=0", "--quiet")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


@pytest_asyncio.fixture
async def channel(broker: Broker) -> AsyncIterator[Channel]:
    """A channel of the test in confirm mode."""
    async with Connection(broker.url, reconnect=Backoff(maximum=0.5)) as connection:
        channel = await connection.channel()
        await channel.confirm_select()
        yield channel


class Service:
    """A running orders.py, and what it logs."""

    def __init__(self, program: Program) -> None:
        self.log: list[dict[str, str]] = []
        self._program = program

    async def next_text(self, begin: str) -> str:
        """Wait until it logs a text that begins so; return the rest of the text."""
        while True:
            line = await self._program.next_error_line()
            assert line, "the program has ended"
            self.log.append(json.loads(line))
            text = self.log[-1]["text"]
            if text.startswith(begin):
                return text.removeprefix(begin)

    async def terminate(self) -> None:
        """Send SIGTERM, and assert that it stops in order."""
        self._program.terminate()
        code, lines, errors = await self._program.wait()
        self.log += map(json.loads, errors.splitlines())
        assert (code, lines) == (0, [])
        assert self.log[-1]["text"] == "stopped"

    def texts(self, begin: str) -> list[str]:
        texts = [entry["text"] for entry in self.log]
        return [text.removeprefix(begin) for text in texts if text.startswith(begin)]


@pytest_asyncio.fixture
async def start(broker: Broker) -> AsyncIterator[Callable[..., Awaitable[Program]]]:
    programs: list[Program] = []

    async def start_one(name: str, *arguments: str) -> Program:
        programs.append(await Program.start(name, "--url", broker.url, *arguments))
        return programs[-1]

    yield start_one
    for program in programs:
        await program.kill()


async def order(channel: Channel, number: int) -> None:
    """Publish an order until it is confirmed."""
    body = {"fruit": "stone" if number == BAD else "apple", "count": number}
    properties = {"message_id": str(number), "delivery_mode": 2}
    while True:
        try:
            await channel.publish(
                json.dumps(body).encode(), "", "orders", properties, mandatory=True
            )
        except PublishUnconfirmed:
            continue  # two deliveries of one order get one invoice
        return


async def ask_health(port: str) -> str:
    reader, writer = await asyncio.open_connection("localhost", int(port))
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer.partition("\r\n")[0]


async def order_all(channel: Channel, numbers: range) -> None:
    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(order(channel, number))


async def test_every_order_gets_an_invoice_although_all_connections_are_lost(
    broker: Broker, channel: Channel, start: Callable[..., Awaitable[Program]]
) -> None:
    async with asyncio.timeout(DEADLINE):
        await (await start("prices.py")).wait_ready()
        service = Service(await start("orders.py", "--port", "0", "--delays", "0.1", "0.2"))
        port = await service.next_text("ready, health at port ")
        assert (await ask_health(port)).startswith("HTTP/1.0 200 OPEN")

        async with asyncio.TaskGroup() as group:
            group.create_task(order_all(channel, range(ORDERS // 2)))
            for _ in range(ORDERS // 10):
                await service.next_text("order ")
            group.create_task(broker.interrupt())
            await service.next_text("Connecting again in ")
            group.create_task(order_all(channel, range(ORDERS // 2, ORDERS)))
        while len(set(service.texts("order "))) < ORDERS - 1:
            await service.next_text("order ")
        async for message in channel.consume("orders.dead"):
            await message.ack()
            headers = message.properties.headers or {}
            assert message.properties.message_id == str(BAD)
            assert headers["x-aioamqp-error"] == "RpcError: KeyError: 'stone'"
            break
        assert (await ask_health(port)).startswith("HTTP/1.0 200 OPEN")
        await service.terminate()

    orders = await channel.queue_declare("orders", passive=True)
    assert (orders["message_count"], orders["consumer_count"]) == (0, 0)
    invoices = Counter([invoice["order"] for invoice in await all_invoices(channel)])
    assert {*invoices} == {str(number) for number in range(ORDERS) if number != BAD}
    sent_again = Counter(text.partition(" ")[0] for text in service.texts("invoice "))
    assert invoices - sent_again - Counter({*invoices}) == Counter()


async def request(port: str, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """Send an HTTP request; return the status and the JSON of the answer."""
    reader, writer = await asyncio.open_connection("localhost", int(port))
    head = f"{method} {path} HTTP/1.0\r\ncontent-type: application/json\r\n"
    try:
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.read()
    finally:
        writer.close()
    await writer.wait_closed()
    status, content = answer.split(b" ", 2)[1], answer.partition(b"\r\n\r\n")[2]
    return int(status), json.loads(content)


async def wait_healthy(port: str, *, is_healthy: bool) -> str:
    """Ask for the health until it is this; return the reason."""
    while True:
        status, health = await request(port, "GET", "/health")
        assert (status == 200) == health["is_healthy"]
        if health["is_healthy"] is is_healthy:
            return str(health["reason"])


async def start_web(start: Callable[..., Awaitable[Program]]) -> tuple[Program, str]:
    program = await start("web.py", "--port", "0")
    while "running on" not in (line := await program.next_error_line()):
        assert line, "the program has ended"
    return program, line.split("running on http://127.0.0.1:")[1].split()[0]


async def test_a_web_service_confirms_orders_before_and_after_its_broker_restarts(
    broker: Broker, channel: Channel, start: Callable[..., Awaitable[Program]]
) -> None:
    async with asyncio.timeout(DEADLINE):
        program, port = await start_web(start)
        await wait_healthy(port, is_healthy=True)
        while (await request(port, "POST", "/orders", b'{"n": 1}'))[0] == 503:
            pass  # the queue is being declared

        async with asyncio.TaskGroup() as group:
            group.create_task(broker.interrupt())
            reason = await wait_healthy(port, is_healthy=False)
        await wait_healthy(port, is_healthy=True)

        confirmed = await request(port, "POST", "/orders", b'{"n": 2}')
        assert confirmed == (202, {"status": "confirmed"})
        assert reason.startswith("There has been no connection for ")
        program.terminate()
        await program.wait()
    bodies = []
    async for message in channel.consume("orders"):
        bodies.append(message.body)
        await message.ack()
        if len(bodies) == 2:
            break
    assert bodies == [b'{"n": 1}', b'{"n": 2}']


async def test_a_web_service_answers_while_its_broker_is_not_there() -> None:
    async with asyncio.timeout(DEADLINE), FakeBroker() as fake:
        url = await fake.listen()
        await fake.stop()

        async def start_one(name: str, *arguments: str) -> Program:
            return await Program.start(name, "--url", url, *arguments)

        program, port = await start_web(start_one)
        try:
            while "Cannot connect" not in await wait_healthy(port, is_healthy=False):
                pass
            status, refused = await request(port, "POST", "/orders", b"{}")
            assert (status, "Cannot connect" in refused["detail"]) == (503, True)

            await fake.start()

            await wait_healthy(port, is_healthy=True)
        finally:
            await program.kill()


async def test_a_service_waits_for_its_broker() -> None:
    async with asyncio.timeout(DEADLINE), FakeBroker() as broker:
        url = await broker.listen()
        await broker.stop()
        program = await Program.start("orders.py", "--url", url, "--port", "0")
        service = Service(program)
        try:
            waiting = await service.next_text("Connecting again in ")
            assert "attempt 2: Cannot connect to 127.0.0.1:" in waiting

            await broker.start()

            port = await service.next_text("ready, health at port ")
            # It answers when its event loop runs, and so the worker, which handles SIGTERM.
            assert (await ask_health(port)).startswith("HTTP/1.0 200 OPEN")
            await service.terminate()
        finally:
            await program.kill()


async def all_invoices(channel: Channel) -> list[dict[str, Any]]:
    count = (await channel.queue_declare("invoices", passive=True))["message_count"]
    got = [await channel.basic_get("invoices", no_ack=True) for _ in range(count)]
    return [json.loads(each["message"]) for each in got]
