"""Print the log lines whose routing key matches a pattern, until Ctrl-C.

    python receive_log_topic.py '*.critical' 'nginx.#'

In a pattern * stands for one word and # for any number of them. emit_log_topic.py sends a line.
"""

import aioamqp
from _cli import arguments, run
from aioamqp import Channel, Envelope, Properties


async def on_line(
    _channel: Channel, body: bytes, envelope: Envelope, _properties: Properties
) -> None:
    print(f"{envelope.routing_key}: {body.decode()}")


async def main(url: str, patterns: list[str]) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        await channel.exchange_declare("topic_logs", type_name="topic")
        queue = (await channel.queue_declare(exclusive=True))["queue"]
        for pattern in patterns:
            await channel.queue_bind(queue, "topic_logs", routing_key=pattern)
        await channel.basic_consume(on_line, queue, no_ack=True)
        print(f"Waiting for {', '.join(patterns)}. Press Ctrl-C to end.")
        await protocol.wait_closed()
        await protocol.ensure_open()  # raises the reason


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("patterns", nargs="+", help="such as '*.critical' or 'kern.#'")
    options = parser.parse_args()
    run(main(options.url, options.patterns))
