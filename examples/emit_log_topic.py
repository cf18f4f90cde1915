"""Send a log line to the programs whose pattern matches its routing key.

    python emit_log_topic.py kern.critical The disk is full

Every receive_log_topic.py that was started with a matching pattern prints it.
"""

import aioamqp
from _cli import arguments, run


async def main(url: str, routing_key: str, line: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        # A topic exchange compares routing keys word by word; dots separate the words.
        await channel.exchange_declare("topic_logs", type_name="topic")
        await channel.basic_publish(
            line.encode(), exchange_name="topic_logs", routing_key=routing_key
        )
        print(f"Sent {line!r} as {routing_key}")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument(
        "routing_key", nargs="?", default="anonymous.info", help="facility.severity"
    )
    parser.add_argument("line", nargs="*", default=["Hello World!"])
    options = parser.parse_args()
    run(main(options.url, options.routing_key, " ".join(options.line)))
