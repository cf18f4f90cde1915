"""Print the messages of the queue hello as receive.py does, by `async for`, until Ctrl-C.

    python consume.py

A message is acknowledged after it was printed, so that none is lost when this program is stopped.
"""

import aioamqp
from _cli import arguments, run


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("hello")
        # No more than 10 are delivered before they are acknowledged. Leaving the block gives back
        # those that are left.
        async with channel.consume("hello", prefetch_count=10) as messages:
            print("Waiting for messages. Press Ctrl-C to end.")
            # It ends with an exception when the queue is deleted, or the connection is lost.
            async for message in messages:
                # Acknowledged when this block ends, rejected if an exception leaves it.
                async with message:
                    print(f"Received {message.body.decode()!r}")


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
