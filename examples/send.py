"""Send one message to the queue hello.

    python send.py

receive.py prints it, whether it runs already or is started later.
"""

import aioamqp
from _cli import arguments, run


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        # It does not matter who declares the queue first, as long as all declare it the same.
        await channel.queue_declare("hello")
        # The exchange with the empty name routes to the queue that the routing key names.
        await channel.basic_publish(b"Hello World!", exchange_name="", routing_key="hello")
        print("Sent 'Hello World!'")
    # Leaving the block has closed the connection, and so sent all that was published.


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
