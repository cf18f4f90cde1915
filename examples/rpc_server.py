"""Compute Fibonacci numbers for rpc_client.py, until Ctrl-C.

    python rpc_server.py

Start several: they share the requests.
"""

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Envelope, Properties


def fib(n: int) -> int:
    current, following = 0, 1
    for _ in range(n):
        current, following = following, current + following
    return current


async def on_request(
    channel: Channel, body: bytes, envelope: Envelope, properties: Properties
) -> None:
    n = int(body)
    print(f"fib({n})")
    if properties.reply_to:
        await channel.basic_publish(
            str(fib(n)).encode(),
            exchange_name="",
            routing_key=properties.reply_to,
            # With this the client finds the request that was answered.
            properties={"correlation_id": properties.correlation_id},
        )
    await channel.basic_client_ack(envelope.delivery_tag)


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("rpc_queue", durable=True)
        await channel.basic_qos(prefetch_count=1)
        await channel.basic_consume(on_request, "rpc_queue")
        print("Waiting for requests. Press Ctrl-C to end.")
        await protocol.wait_closed()
        await protocol.ensure_open()  # raises the reason


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
