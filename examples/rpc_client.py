"""Call rpc_server.py to compute Fibonacci numbers, all of them concurrently.

    python rpc_client.py 10 20 30

Start rpc_server.py first.
"""

import asyncio
import uuid

import aioamqp
from _cli import arguments, run
from aioamqp import AmqpProtocol, Channel, Envelope, Properties


class FibonacciClient:
    """Sends requests, and matches each answer to its request."""

    def __init__(self) -> None:
        self._answers: dict[str | None, asyncio.Future[int]] = {}

    async def open(self, protocol: AmqpProtocol) -> None:
        self._channel = await protocol.channel()
        # An exclusive queue for the answers, deleted with this connection.
        self._queue = (await self._channel.queue_declare(exclusive=True))["queue"]
        await self._channel.basic_consume(self._on_answer, self._queue, no_ack=True)

    async def call(self, n: int) -> int:
        request = str(uuid.uuid4())
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[request] = answer
        try:
            await self._channel.basic_publish(
                str(n).encode(),
                exchange_name="",
                routing_key="rpc_queue",
                properties={"reply_to": self._queue, "correlation_id": request},
            )
            return await answer
        finally:
            del self._answers[request]

    async def _on_answer(
        self, _channel: Channel, body: bytes, _envelope: Envelope, properties: Properties
    ) -> None:
        answer = self._answers.get(properties.correlation_id)
        if answer is not None and not answer.done():  # else the call was cancelled
            answer.set_result(int(body))


async def main(url: str, numbers: list[int], seconds: float) -> None:
    async with aioamqp.from_url(url) as protocol:
        client = FibonacciClient()
        await client.open(protocol)
        try:
            async with asyncio.timeout(seconds):
                results = await asyncio.gather(*map(client.call, numbers))
        except TimeoutError:
            text = f"No answer within {seconds:g} seconds. Is rpc_server.py running?"
            raise TimeoutError(text) from None
        for n, result in zip(numbers, results, strict=True):
            print(f"fib({n}) is {result}")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("numbers", nargs="*", type=int, default=[30], metavar="n")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS")
    options = parser.parse_args()
    run(main(options.url, options.numbers, options.timeout))
