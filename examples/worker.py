"""Do the tasks of new_task.py, one at a time, until Ctrl-C.

    python worker.py

Start several: they share the tasks. When one is stopped in the middle of a task, another does it.
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
    # Until here the broker keeps the task, and gives it to another if this program is gone.
    await channel.basic_client_ack(envelope.delivery_tag)
    print("Done")


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("task_queue", durable=True)
        # No second task before the first is acknowledged, so that idle workers get the next one.
        await channel.basic_qos(prefetch_count=1)
        await channel.basic_consume(on_task, "task_queue")
        print("Waiting for tasks. Press Ctrl-C to end.")
        await protocol.wait_closed()
        await protocol.ensure_open()  # it is not: this raises why


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
