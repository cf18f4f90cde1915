"""Programs that the clients of the benchmark talk to, besides the broker.

python -m benchmarks.partners echo URL QUEUE    an RPC server that returns each request
python -m benchmarks.partners silent            a server that accepts messages and never confirms
"""

import argparse
import asyncio
from typing import Any, cast

import aioamqp
from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    Decoder,
    Method,
    basic,
    channel,
    confirm,
    connection,
    encode_command,
)


async def echo(url: str, queue: str) -> None:
    """Return every request, until the process is ended."""
    async with aioamqp.from_url(url, heartbeat=0) as protocol:
        requests = await protocol.channel()

        async def reply(channel: Any, body: bytes, _envelope: Any, properties: Any) -> None:
            answer = {"correlation_id": properties.correlation_id}
            await channel.basic_publish(body, "", properties.reply_to, properties=answer)

        await requests.basic_consume(reply, queue_name=queue, no_ack=True)
        print("ready", flush=True)
        await protocol.wait_closed()


CAPABILITIES = {"publisher_confirms": True, "basic.nack": True, "consumer_cancel_notify": True}
START = connection.Start(0, 9, {"capabilities": CAPABILITIES}, "PLAIN", "en_US")

REPLIES: dict[type[Method], Method] = {
    connection.StartOk: connection.Tune(2047, 131072, 0),
    connection.Open: connection.OpenOk(),
    connection.Close: connection.CloseOk(),
    channel.Open: channel.OpenOk(),
    channel.Close: channel.CloseOk(),
    confirm.Select: confirm.SelectOk(),
    basic.Qos: basic.QosOk(),
}


class Silent(asyncio.Protocol):
    """A server that answers what opens and closes channels, and nothing else."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._header = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport. Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Reply to requests. Called by asyncio."""
        if len(self._header) < len(PROTOCOL_HEADER):
            received = self._header + data
            self._header, data = received[: len(PROTOCOL_HEADER)], received[len(PROTOCOL_HEADER) :]
            if len(self._header) == len(PROTOCOL_HEADER):
                self._send(0, START)
        for command in self._decoder.feed(data):
            reply = REPLIES.get(type(command.method))
            if reply is not None:
                self._send(command.channel, reply)

    def _send(self, number: int, method: Method) -> None:
        self._transport.write(encode_command(Command(number, method)))


async def silent() -> None:
    """Serve on a free port, which is printed, until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Run the program named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=("echo", "silent"))
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    asyncio.run(silent() if options.program == "silent" else echo(*options.arguments))


if __name__ == "__main__":
    main()
