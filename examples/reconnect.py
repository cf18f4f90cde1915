"""Print the messages of the queue hello, also after the connection was lost.

    python reconnect.py

Restart the broker to see it. The program ends when trying again cannot help, as with a wrong
password, and when there has been no connection for ten seconds at the beginning.
"""

from _cli import arguments, run
from aioamqp import Connection, ConnectionState, StateChange


def report(change: StateChange) -> None:
    """Print what happens to the connection."""
    if change.new is ConnectionState.RECOVERING:
        print(f"The connection was lost: {change.reason}")
    elif change.new is ConnectionState.OPEN:
        print("Waiting for messages. Press Ctrl-C to end.")


async def main(url: str, patience: float) -> None:
    async with Connection(url, on_state_change=report, wait_timeout=patience) as connection:
        channel = await connection.channel()
        # Declared again on each new connection, like everything that is declared here.
        await channel.queue_declare("hello", durable=True)
        async for message in channel.consume("hello"):
            async with message:  # which acknowledges it
                print(f"Received {message.body.decode()!r}")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--patience", type=float, default=10.0, metavar="SECONDS")
    options = parser.parse_args()
    run(main(options.url, options.patience))
