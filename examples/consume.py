"""Print the messages of the queue hello with `async for`, until Ctrl-C.

    python consume.py

Each message is acknowledged after it was printed, so none is lost when this program is stopped.
"""

import aioamqp
from _cli import arguments, run


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("hello", durable=True)
        # The prefetch count limits unacknowledged messages to 10. At the end of the block, those
        # that are left are requeued.
        async with channel.consume("hello", prefetch_count=10) as messages:
            print("Waiting for messages. Press Ctrl-C to end.")
            # The loop raises an exception if the queue is deleted or the connection is lost.
            async for message in messages:
                # Acknowledged at the end of this block, rejected after an exception.
                async with message:
                    print(f"Received {message.body.decode()!r}")


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
