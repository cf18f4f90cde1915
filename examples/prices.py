"""Serve the prices of fruit to orders.py over RPC, until SIGTERM or Ctrl-C.

    python prices.py

Start several: they share the requests.
"""

import signal

from _cli import arguments, run
from aioamqp import Connection, Message, RpcServer

PRICES = {"apple": b"0.50", "banana": b"0.25", "mango": b"2.00"}


def price(request: Message) -> bytes:
    return PRICES[request.body.decode()]  # a KeyError is a RpcError for the caller


async def main(url: str) -> None:
    async with Connection(url) as connection:
        async with await connection.channel() as channel:
            await channel.queue_declare("prices", durable=True)
        print("Waiting for requests. Press Ctrl-C to end.")
        await RpcServer(connection, "prices", price).run(signals=(signal.SIGTERM, signal.SIGINT))


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
