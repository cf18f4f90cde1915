"""Publish, and know of every message what became of it.

    python confirms.py

In confirm mode, publish() returns when the broker has taken the message, and raises otherwise.
"""

import asyncio

import aioamqp
from _cli import arguments, run
from aioamqp import Channel


async def publish(channel: Channel, body: bytes, queue: str) -> str:
    """Publish a message; say in a word what became of it."""
    try:
        # Mandatory: or else the broker confirms also what it drops for want of a queue.
        await channel.publish(body, exchange_name="", routing_key=queue, mandatory=True)
    except aioamqp.PublishReturned:
        return "came back: no queue took it"
    except aioamqp.PublishFailed:
        return "refused: publish it again later"
    except aioamqp.PublishUnconfirmed:
        return "unknown: the connection ended first; publish it again if twice is better than never"
    except aioamqp.PublishNotSent:
        return "not sent: the connection had ended"
    return "confirmed"


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.confirm_select()
        queue = (await channel.queue_declare(exclusive=True))["queue"]
        queues = [queue, queue, "no-such-queue", queue]
        # All at once: waiting for each before the next is sent would take far longer.
        fates = await asyncio.gather(
            *(publish(channel, b"%d" % number, name) for number, name in enumerate(queues))
        )
        for number, fate in enumerate(fates):
            print(f"Message {number}: {fate}")


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
