"""fake_broker(): for tests without the fixtures of pytest."""

import asyncio
import subprocess
import sys
import unittest
from urllib.parse import urlsplit

import pytest

import aioamqp
from aioamqp.dial import current_dialer, dial_tcp
from aioamqp_testing import FakeBroker, describe, fake_broker
from aioamqp_testing.faults import Reset
from aioamqp_testing.session import Session


async def send(text: str) -> None:
    """Code under test."""
    async with aioamqp.connect("rabbitmq.example") as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("orders", durable=True)
        await channel.basic_publish(text, "", "orders")
        await channel.queue_declare("orders", passive=True)


def test_a_program_reaches_the_broker_from_a_loop_of_its_own() -> None:
    with fake_broker() as broker:
        asyncio.run(send("one"))

        assert broker.vhost.queues["orders"].message_count == 1

    assert current_dialer() is dial_tcp


class Synchronous(unittest.TestCase):
    def setUp(self) -> None:
        self.broker = self.enterContext(fake_broker())

    def test_it(self) -> None:
        asyncio.run(send("one"))

        assert self.broker.vhost.queues["orders"].message_count == 1


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.broker = await self.enterAsyncContext(fake_broker(clock="manual"))

    async def test_it(self) -> None:
        await send("one")

        assert self.broker.vhost.queues["orders"].message_count == 1

    async def test_what_is_left_open_is_ended(self) -> None:
        _, protocol = await aioamqp.connect()
        await protocol.channel()


def test_a_port_is_opened_again_in_another_event_loop() -> None:
    """Row U50."""

    async def restart(broker: FakeBroker) -> None:
        await broker.restart()
        transport, _ = await dial_tcp(asyncio.Protocol, "127.0.0.1", port or 0, ssl=None)
        transport.close()
        await broker.close()

    with fake_broker() as broker:
        port = urlsplit(asyncio.run(broker.listen())).port
        asyncio.run(restart(broker))


def test_a_connection_that_is_left_open_ends_with_its_event_loop() -> None:
    async def leave(broker: FakeBroker) -> Session:
        await broker.dial(asyncio.Protocol)
        (session,) = broker.sessions
        return session

    with fake_broker() as broker:
        session = asyncio.run(leave(broker))

        assert not broker.sessions
        assert session.ending is not None


def test_what_was_sent_before_the_end_of_an_event_loop_counts() -> None:
    """Row U19."""

    async def leave() -> None:
        transport, protocol = await aioamqp.connect()
        channel = await protocol.channel()
        for _ in range(3):
            await channel.basic_publish(b"m", "", "q")
        transport.close()

    with fake_broker() as broker:
        asyncio.run(leave())

        broker.assert_published("", "q", count=3)


def test_a_test_sees_what_was_sent_while_no_loop_runs() -> None:
    """Row U19."""

    async def publish() -> aioamqp.AmqpProtocol:
        _, protocol = await aioamqp.connect()
        channel = await protocol.channel()
        for _ in range(3):
            await channel.basic_publish(b"m", "", "q")
        return protocol

    with fake_broker() as broker, asyncio.Runner() as runner:
        protocol = runner.run(publish())

        broker.assert_published("", "q", count=3)
        runner.run(protocol.close())


def test_leaving_without_a_loop_drops_what_is_left_open() -> None:
    async def leave(broker: FakeBroker) -> None:
        await broker.dial(asyncio.Protocol)

    with asyncio.Runner() as runner:
        with fake_broker() as broker:
            runner.run(leave(broker))
            (session,) = broker.sessions  # it is still there

        assert session.ending is not None
        assert not broker.sessions


@pytest.mark.asyncio
async def test_an_exception_gets_a_note_on_the_broker() -> None:
    with pytest.raises(ValueError, match="mine") as caught:
        async with fake_broker() as broker:
            await send("one")
            state = describe(broker)
            raise ValueError("mine")

    assert caught.value.__notes__ == [state]
    assert "queue 'orders', durable: 1 ready, 0 unacked, 0 consumers" in state


def test_an_exception_gets_the_note_without_a_loop_too() -> None:
    with pytest.raises(ValueError, match="mine") as caught, fake_broker():
        raise ValueError("mine")

    assert "virtual host /" in caught.value.__notes__[0]


def test_what_the_broker_does_not_support_fails_the_block() -> None:
    with (
        pytest.raises(AssertionError, match=r"does not support yet[^!]*magic"),
        fake_broker() as broker,
    ):
        broker.refused.append("magic")


@pytest.mark.asyncio
async def test_it_fails_the_asynchronous_block_too_but_does_not_replace_an_error() -> None:
    with pytest.raises(AssertionError, match="magic"):
        async with fake_broker() as broker:
            broker.refused.append("magic")
    with pytest.raises(ValueError, match="mine"):
        async with fake_broker() as broker:
            broker.refused.append("magic")
            raise ValueError("mine")


def test_a_plain_broker_does_not_receive_other_connections() -> None:
    async def main() -> None:
        async with FakeBroker():
            assert current_dialer() is dial_tcp

    asyncio.run(main())


def test_the_package_needs_no_pytest() -> None:
    program = (
        "import sys, aioamqp_testing; sys.exit('pytest' in sys.modules or 'aioamqp' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_fault_that_was_not_triggered_fails_the_block() -> None:
    with pytest.raises(AssertionError, match="added but not triggered"), fake_broker() as broker:
        broker.faults.add(Reset(received="basic.publish"))
