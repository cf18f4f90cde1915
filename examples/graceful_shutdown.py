"""Perform the tasks of new_task.py; at SIGTERM, finish the one that has begun, then end.

    python graceful_shutdown.py & pid=$!
    python new_task.py "takes four seconds ...."
    kill $pid

Service managers and containers end programs with SIGTERM, and kill them some seconds later. Without
the signal handler, the task would be performed again by another worker. (Windows has no SIGTERM.)
"""

import asyncio
import signal

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Envelope, Properties


async def on_task(
    channel: Channel, body: bytes, envelope: Envelope, _properties: Properties
) -> None:
    print(f"Received {body.decode()!r}")
    await asyncio.sleep(body.count(b"."))
    await channel.basic_client_ack(envelope.delivery_tag)
    print("Done")


async def main(url: str, drain: float) -> None:
    stopping = asyncio.Event()
    async with aioamqp.from_url(url, on_error=lambda _: stopping.set()) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("task_queue", durable=True)
        await channel.basic_qos(prefetch_count=10)
        await channel.basic_consume(on_task, "task_queue")
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        print("Waiting for tasks. Press Ctrl-C to end.")
        await stopping.wait()
        await protocol.ensure_open()  # raises the reason if the connection was lost
        print("Ending")
        # The broker delivers nothing any longer, and requeues the tasks that have not begun. The
        # task that has may be finished and acknowledged, if it takes no longer than that.
        await protocol.close(drain=drain)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--drain", type=float, default=20, help="seconds for the last task")
    options = parser.parse_args()
    run(main(options.url, options.drain))
