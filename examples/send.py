"""Send one message to the queue hello.

    python send.py

receive.py prints it, even if it is started later.
"""

import aioamqp
from _cli import arguments, run


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        # Either program may declare the queue first, if both use the same arguments.
        await channel.queue_declare("hello", durable=True)
        # The default exchange, with the empty name, routes to the queue named by the routing key.
        await channel.basic_publish(b"Hello World!", exchange_name="", routing_key="hello")
        print("Sent 'Hello World!'")
    # The end of the block has closed the connection, after sending everything.


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
