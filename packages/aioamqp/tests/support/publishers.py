"""Publishing in confirm mode, and the outcomes."""

import asyncio
from typing import Any

import aioamqp
from amqp_codec import Command, Properties, basic
from scripted_server import ScriptedServer, wait_idle


async def confirming(server: ScriptedServer, **kwargs: Any) -> aioamqp.Channel:
    opened = await server.open_channel(**kwargs)
    await opened.confirm_select()
    server.received.clear()
    return opened


async def publishes(
    opened: aioamqp.Channel, *bodies: bytes, mandatory: bool = False
) -> list[asyncio.Task[None]]:
    """Publish messages concurrently; each publish waits for its publisher confirm then."""
    tasks = [
        asyncio.create_task(opened.publish(body, "", "q", mandatory=mandatory)) for body in bodies
    ]
    await wait_idle()
    return tasks


async def outcomes(tasks: list[asyncio.Task[None]]) -> list[Any]:
    """Return what each publish returned or raised; all have ended."""
    await wait_idle()
    assert all(task.done() for task in tasks)
    return await asyncio.gather(*tasks, return_exceptions=True)


def returned(body: bytes, properties: Properties | None = None) -> Command:
    method = basic.Return(312, "NO_ROUTE", "", "q")
    return Command(1, method, properties or Properties(), body)
