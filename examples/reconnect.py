"""Print the messages of the queue hello, and reconnect after a lost connection.

    python reconnect.py

Restart the broker to see it. If the first attempt fails, the program ends: the URL may be wrong. It
ends as well after an error that trying again does not mend, such as a queue with other arguments.
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
    """Consume on a new connection until it ends."""
    channel = await protocol.channel()
    await channel.queue_declare("hello")
    await channel.basic_consume(on_message, "hello")
    print("Waiting for messages. Press Ctrl-C to end.")
    await protocol.wait_closed()
    await protocol.ensure_open()  # raises the reason


async def main(url: str, first_pause: float) -> None:
    was_connected, pause = False, first_pause
    while True:
        try:
            async with aioamqp.from_url(url) as protocol:
                was_connected, pause = True, first_pause
                await consume(protocol)
        except aioamqp.AioamqpException as error:
            if not (was_connected and error.is_retryable):
                raise
            print(f"{error}. Trying again in {pause:g} seconds.")
        await asyncio.sleep(pause)
        # Longer each time, to reduce the load on a broker in trouble.
        pause = min(2 * pause, LONGEST_PAUSE)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--pause", type=float, default=1.0, metavar="SECONDS")
    options = parser.parse_args()
    run(main(options.url, options.pause))
