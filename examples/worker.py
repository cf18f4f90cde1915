"""Perform the tasks of new_task.py, one at a time, until Ctrl-C.

    python worker.py

Start several: they share the tasks. If one is stopped during a task, another performs it.
"""

import asyncio

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Envelope, Properties


async def on_task(
    channel: Channel, body: bytes, envelope: Envelope, _properties: Properties
) -> None:
    print(f"Received {body.decode()!r}")
    await asyncio.sleep(body.count(b"."))
    # The broker keeps the task until here, and redelivers it if this program ends.
    await channel.basic_client_ack(envelope.delivery_tag)
    print("Done")


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("task_queue", durable=True)
        # Only one unacknowledged task at a time, so idle workers receive the next one.
        await channel.basic_qos(prefetch_count=1)
        await channel.basic_consume(on_task, "task_queue")
        print("Waiting for tasks. Press Ctrl-C to end.")
        await protocol.wait_closed()
        await protocol.ensure_open()  # raises the reason


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
