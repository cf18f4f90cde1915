"""Programs in forked processes, which have a copy of the broker."""

import asyncio
import os
import sys
from collections.abc import Callable

import pytest

import aioamqp
from aioamqp_testing import FakeBroker, fake_broker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")


def error_in_fork(program: Callable[[], object]) -> str:
    """Run a program in a forked process; return its error."""
    read, write = os.pipe()
    process = os.fork()
    if not process:
        text = "no error"
        try:
            program()
        except BaseException as error:  # noqa: BLE001 (the process must end here)
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(process, 0)
    return text


async def publish() -> None:
    async with aioamqp.connect() as protocol:
        channel = await protocol.channel()
        await channel.confirm_select()
        await channel.queue_declare("q", durable=True)
        await channel.publish(b"lost", "", "q")


@pytest.mark.parametrize(
    "program", [lambda _: asyncio.run(publish()), lambda b: b.publish("", "q")]
)
def test_a_forked_worker_gets_an_error_that_names_the_process(
    program: Callable[[FakeBroker], object],
) -> None:
    """Row U15."""
    with fake_broker() as broker:
        broker.vhost.declare_queue("q", None, durable=True)

        text = error_in_fork(lambda: program(broker))

        assert text.startswith("WrongProcess: process ")
        assert f" was forked from process {os.getpid()}" in text
        assert "--amqp-backend=tcp" in text
        asyncio.run(publish())
        assert broker.vhost.queues["q"].message_count == 1
