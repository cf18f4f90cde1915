"""Print the log lines of some severities, until Ctrl-C.

    python receive_log_direct.py warning error

emit_log_direct.py sends one.
"""

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Envelope, Properties


async def on_line(
    _channel: Channel, body: bytes, envelope: Envelope, _properties: Properties
) -> None:
    print(f"{envelope.routing_key}: {body.decode()}")


async def main(url: str, severities: list[str]) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.exchange_declare("direct_logs", type_name="direct")
        queue = (await channel.queue_declare(exclusive=True))["queue"]
        for severity in severities:
            await channel.queue_bind(queue, "direct_logs", routing_key=severity)
        await channel.basic_consume(on_line, queue, no_ack=True)
        print(f"Waiting for {', '.join(severities)}. Press Ctrl-C to end.")
        await protocol.wait_closed()
        await protocol.ensure_open()  # raises the reason


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("severities", nargs="+", help="such as info, warning, error")
    options = parser.parse_args()
    run(main(options.url, options.severities))
