"""Send a log line to all programs that are listening now.

    python emit_log.py The disk is full

Every running receive_log.py prints it; if there is none, the line is dropped.
"""

import aioamqp
from _cli import arguments, run


async def main(url: str, line: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        # A fanout exchange sends a copy to each queue that is bound to it.
        await channel.exchange_declare("logs", type_name="fanout")
        await channel.basic_publish(line.encode(), exchange_name="logs", routing_key="")
        print(f"Sent {line!r}")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("line", nargs="*", default=["info: Hello World!"])
    options = parser.parse_args()
    run(main(options.url, " ".join(options.line)))
