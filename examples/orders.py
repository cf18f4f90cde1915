"""Handle orders: ask prices.py for the price of each, and publish a confirmed invoice.

    python orders.py --port 8080

It survives restarts of the broker. Orders that fail again and again go to the queue orders.dead.
"""

import asyncio
import json
import logging
import signal
from operator import attrgetter

from _cli import arguments, run
from aioamqp import Channel, Connection, Message, PublishUnconfirmed, Retry, RpcClient, Worker

log = logging.getLogger("orders")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {"at": self.formatTime(record), "level": record.levelname, "from": record.name}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry | {"text": record.getMessage()})


class Orders:
    def __init__(self, channel: Channel, rpc: RpcClient) -> None:
        self._channel, self._rpc = channel, rpc
        self._done: set[str] = set()  # with several instances, in their database

    async def handle(self, message: Message) -> None:
        number = message.properties.message_id or ""
        if number in self._done:  # it was delivered again after a lost connection
            return
        order = json.loads(message.body)
        price = await self._rpc.call("prices", order["fruit"].encode(), timeout=5, resend=True)
        await self._publish(number, {"order": number, "total": order["count"] * float(price)})
        self._done.add(number)
        log.info("order %s has its invoice", number)

    async def _publish(self, number: str, invoice: object) -> None:
        body, properties = json.dumps(invoice).encode(), {"message_id": number, "delivery_mode": 2}
        while True:
            try:
                await self._channel.publish(body, "", "invoices", properties, mandatory=True)
            except PublishUnconfirmed:
                log.warning("invoice %s is unconfirmed: it is sent again, maybe twice", number)
            else:
                return


async def main(url: str, delays: list[float], port: int) -> None:
    async with Connection(url) as connection, RpcClient(connection) as rpc:
        channel = await connection.channel()
        await channel.confirm_select()
        for queue in ("orders.dead", "invoices"):
            await channel.queue_declare(queue, durable=True)
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "orders.dead"}
        await channel.queue_declare("orders", durable=True, arguments=dead)
        orders, retry = Orders(channel, rpc), Retry(tuple(delays))
        # An order that is delivered again waits for the handler of its first delivery.
        by_number = attrgetter("properties.message_id")
        worker = Worker(connection, "orders", orders.handle, on_exception=retry, order_by=by_number)

        async def on_health(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            status = f"{connection.state.name}, {worker.handling} orders are being handled"
            code = 200 if worker.is_running and connection.state.name == "OPEN" else 503
            writer.write(f"HTTP/1.0 {code} {status}\r\n\r\n{status}\n".encode())
            writer.close()

        async with worker, await asyncio.start_server(on_health, "localhost", port) as health:
            work = asyncio.create_task(worker.run(signals=(signal.SIGTERM, signal.SIGINT)))
            await asyncio.sleep(0)  # so that signals are handled before anybody can send one
            log.info("ready, health at port %d", health.sockets[0].getsockname()[1])
            await work
    log.info("stopped")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--delays", type=float, nargs="+", default=[1, 10, 60], metavar="SECONDS")
    parser.add_argument("--port", type=int, default=8080, help="for its health")
    options = parser.parse_args()
    logs = logging.StreamHandler()
    logs.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[logs])
    run(main(options.url, options.delays, options.port), logging.INFO)
