"""Publish a message that no queue takes, and have it back.

    python returns.py

The broker drops such messages, unless they are mandatory.
"""

import asyncio

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Properties, ReturnEnvelope


async def main(url: str) -> None:
    is_back = asyncio.Event()

    async def on_return(
        _channel: Channel, body: bytes, envelope: ReturnEnvelope, _properties: Properties
    ) -> None:
        print(f"{body.decode()!r} for {envelope.routing_key!r} came back: {envelope.reply_text}")
        is_back.set()

    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel(return_callback=on_return)
        await channel.basic_publish(b"Anybody there?", "", "no-such-queue", mandatory=True)
        async with asyncio.timeout(10):
            await is_back.wait()


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
