"""Print the messages of the queue hello, until Ctrl-C.

    python receive.py

send.py sends one.
"""

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Envelope, Properties


async def on_message(
    _channel: Channel, body: bytes, _envelope: Envelope, _properties: Properties
) -> None:
    print(f"Received {body.decode()!r}")


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("hello", durable=True)
        # With no_ack the broker deletes each message when it sends it; worker.py acknowledges.
        await channel.basic_consume(on_message, "hello", no_ack=True)
        print("Waiting for messages. Press Ctrl-C to end.")
        await protocol.wait_closed()
        await protocol.ensure_open()  # raises the reason


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
