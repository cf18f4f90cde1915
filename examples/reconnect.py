"""Print the messages of the queue hello as receive.py does, and outlive lost connections.

    python reconnect.py

Restart the broker to see it. A first attempt that fails ends the program: then the URL is wrong.
"""

import asyncio

import aioamqp
from _cli import arguments, run
from aioamqp import AmqpProtocol, Channel, Envelope, Properties

LONGEST_PAUSE = 30.0


async def on_message(
    channel: Channel, body: bytes, envelope: Envelope, _properties: Properties
) -> None:
    print(f"Received {body.decode()!r}")
    await channel.basic_client_ack(envelope.delivery_tag)


async def consume(protocol: AmqpProtocol) -> None:
    """Do what every new connection needs, and stay until it ends."""
    channel = await protocol.channel()
    await channel.queue_declare("hello")
    await channel.basic_consume(on_message, "hello")
    print("Waiting for messages. Press Ctrl-C to end.")
    await protocol.wait_closed()
    await protocol.ensure_open()  # it is not: this raises why


async def main(url: str, first_pause: float) -> None:
    was_connected, pause = False, first_pause
    while True:
        try:
            async with aioamqp.from_url(url) as protocol:
                was_connected, pause = True, first_pause
                await consume(protocol)
        except (aioamqp.AioamqpException, OSError) as error:
            if not was_connected:
                raise
            print(f"{error}. Trying again in {pause:g} seconds.")
        await asyncio.sleep(pause)
        # Longer each time, so that a broker in trouble is left in peace.
        pause = min(2 * pause, LONGEST_PAUSE)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--pause", type=float, default=1.0, metavar="SECONDS")
    options = parser.parse_args()
    run(main(options.url, options.pause))
