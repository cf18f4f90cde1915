"""Publish messages with publisher confirms, and print the outcome of each.

    python confirms.py

In confirm mode, publish() returns when the broker has confirmed the message, and raises otherwise.
"""

import asyncio

import aioamqp
from _cli import arguments, run
from aioamqp import Channel


async def publish(channel: Channel, body: bytes, queue: str) -> str:
    """Publish a message and return its outcome."""
    try:
        # Mandatory: otherwise the broker also confirms messages that it drops as unroutable.
        await channel.publish(body, exchange_name="", routing_key=queue, mandatory=True)
    except aioamqp.PublishReturned:
        return "returned: it matched no queue"
    except aioamqp.PublishFailed:
        return "nacked: publish it again later"
    except aioamqp.PublishUnconfirmed:
        return "unknown: the connection was lost; publish it again if a duplicate does no harm"
    except aioamqp.PublishNotSent:
        return "not sent: the connection was closed"
    return "confirmed"


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.confirm_select()
        queue = (await channel.queue_declare(exclusive=True))["queue"]
        queues = [queue, queue, "no-such-queue", queue]
        # Concurrently: waiting for each confirm before the next publish takes far longer.
        outcomes = await asyncio.gather(
            *(publish(channel, b"%d" % number, name) for number, name in enumerate(queues))
        )
        for number, outcome in enumerate(outcomes):
            print(f"Message {number}: {outcome}")


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
