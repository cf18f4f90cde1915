"""Print why a connection was closed, with on_error.

    python on_error.py

on_error is called once, with an exception, when an open connection ends without close(). To cause
that, this program uses the immediate flag, which RabbitMQ no longer supports.
"""

import asyncio

import aioamqp
from _cli import arguments, run


async def main(url: str) -> None:
    called = asyncio.Event()

    async def on_error(error: Exception) -> None:
        print(f"The connection ended: {error}")
        called.set()

    # If the connection cannot be opened, from_url() raises instead.
    async with aioamqp.from_url(url, on_error=on_error) as protocol:
        channel = await protocol.channel()
        await channel.basic_publish(b"Now or never", "", "hello", immediate=True)
        async with asyncio.timeout(10):
            await called.wait()


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
