"""Send a task to the workers; every dot in it stands for a second of work.

    python new_task.py Count the stars...

One worker.py performs it. The queue and the message survive a restart of the broker.
"""

import aioamqp
from _cli import arguments, run


async def main(url: str, task: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("task_queue", durable=True)
        await channel.basic_publish(
            task.encode(),
            exchange_name="",
            routing_key="task_queue",
            properties={"delivery_mode": 2},  # persistent: stored on disk, like the durable queue
        )
        print(f"Sent {task!r}")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("task", nargs="*", default=["Hello World!"])
    options = parser.parse_args()
    run(main(options.url, " ".join(options.task)))
