"""Print all log lines that are sent from now on, until Ctrl-C.

    python receive_log.py

emit_log.py sends one.
"""

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Envelope, Properties


async def on_line(
    _channel: Channel, body: bytes, _envelope: Envelope, _properties: Properties
) -> None:
    print(body.decode())


async def main(url: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.exchange_declare("logs", type_name="fanout")
        # An exclusive queue, deleted with this connection; the broker generates its name.
        queue = (await channel.queue_declare(exclusive=True))["queue"]
        await channel.queue_bind(queue, "logs", routing_key="")
        await channel.basic_consume(on_line, queue, no_ack=True)
        print("Waiting for the log. Press Ctrl-C to end.")
        await protocol.wait_closed()
        await protocol.ensure_open()  # raises the reason


if __name__ == "__main__":
    run(main(arguments(__doc__).parse_args().url))
