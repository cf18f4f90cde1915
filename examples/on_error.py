"""Be told why a connection ended.

    python on_error.py

on_error is called once, with an exception, when a connection that was open ends otherwise than by
close(). To have that at once, this program asks for something that RabbitMQ has given up.
"""

import asyncio

import aioamqp
from _cli import arguments, run


async def main(url: str) -> None:
    is_told = asyncio.Event()

    async def on_error(error: Exception) -> None:
        print(f"The connection ended: {error}")
        is_told.set()

    # Without a connection there is nothing to be told of: then from_url() raises.
    async with aioamqp.from_url(url, on_error=on_error) as protocol:
        channel = await protocol.channel()
        await channel.basic_publish(b"Now or never", "", "hello", immediate=True)
        async with asyncio.timeout(10):
            await is_told.wait()


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
