"""Continue to consume after the queue was deleted, until Ctrl-C.

    python server_cancellation.py

The broker cancels a consumer whose queue is deleted; this program then declares the queue again.
Delete the queue my_queue to see it, for example with `rabbitmqctl delete_queue my_queue`.
"""

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Envelope, Properties

QUEUE = "my_queue"


async def on_message(
    channel: Channel, body: bytes, envelope: Envelope, _properties: Properties
) -> None:
    print(f"Received {body.decode()!r}")
    await channel.basic_client_ack(envelope.delivery_tag)


async def consume(channel: Channel) -> None:
    await channel.queue_declare(QUEUE, durable=True)
    await channel.basic_consume(on_message, QUEUE, consumer_tag="printer")


async def on_cancel(channel: Channel, consumer_tag: str) -> None:
    # A callback can make any call, including those that wait for the broker.
    await consume(channel)
    print(f"The broker cancelled {consumer_tag}; consuming again.")


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        channel.add_cancellation_callback(on_cancel)
        await consume(channel)
        print("Waiting for messages. Press Ctrl-C to end.")
        await protocol.wait_closed()
        await protocol.ensure_open()  # raises the reason


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
