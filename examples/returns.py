"""Publish a message that matches no queue, and receive it as a returned message.

    python returns.py

The broker drops unroutable messages unless they are mandatory.
"""

import asyncio

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Properties, ReturnEnvelope


async def main(url: str) -> None:
    returned = asyncio.Event()

    async def on_return(
        _channel: Channel, body: bytes, envelope: ReturnEnvelope, _properties: Properties
    ) -> None:
        print(f"{body.decode()!r} for {envelope.routing_key!r} was returned: {envelope.reply_text}")
        returned.set()

    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel(return_callback=on_return)
        await channel.basic_publish(b"Anybody there?", "", "no-such-queue", mandatory=True)
        async with asyncio.timeout(10):
            await returned.wait()


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
