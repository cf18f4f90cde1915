"""Send a log line to the programs that listen for its severity.

    python emit_log_direct.py error The disk is full

Every receive_log_direct.py that was started with that severity prints it.
"""

import aioamqp
from _cli import arguments, run


async def main(url: str, severity: str, line: str) -> None:
    async with aioamqp.from_url(url) as protocol:
        channel = await protocol.channel()
        # A direct exchange routes to the queues that are bound with the same routing key.
        await channel.exchange_declare("direct_logs", type_name="direct")
        await channel.basic_publish(
            line.encode(), exchange_name="direct_logs", routing_key=severity
        )
        print(f"Sent {line!r} as {severity}")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("severity", nargs="?", default="info", help="such as info, warning, error")
    parser.add_argument("line", nargs="*", default=["Hello World!"])
    options = parser.parse_args()
    run(main(options.url, options.severity, " ".join(options.line)))
