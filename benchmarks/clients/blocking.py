"""Blocking libraries: pika, py-amqp and amqpstorm."""

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from unittest.mock import patch

from .client import NOT_PREPARED, PROPERTIES, REPLY_TO, Client, in_turn, parts_of

WAITS_FOR_EACH = "waits for the confirm of each message before it publishes the next"


def timed_calls(send: Callable[[], object], wait: Callable[[], object], count: int) -> list[float]:
    """Send requests one after the other; return the seconds until each reply."""
    seconds: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        send()
        wait()
        seconds.append(time.perf_counter() - began)
    return seconds


class Pika(Client):
    """pika with its BlockingConnection."""

    cannot: ClassVar[Mapping[str, str]] = {
        "confirm 100": WAITS_FOR_EACH,
        "deferred": WAITS_FOR_EACH,
        "prepared": NOT_PREPARED,
        "unconfirmed": WAITS_FOR_EACH,
    }

    async def open(self, url: str) -> None:
        self.library: Any = importlib.import_module("pika")
        self.connection = self.library.BlockingConnection(self.library.URLParameters(url))
        self.properties = self.library.BasicProperties(**PROPERTIES)

    async def close(self) -> None:
        self.connection.close()

    async def open_channels(self, count: int) -> None:
        self.channels += [self.connection.channel() for _ in range(count)]

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        for channel in in_turn(self.channels, count):
            channel.basic_publish("", queue, body, self.properties)

    async def flush(self) -> None:
        self.channels[-1].basic_qos(prefetch_count=0)

    async def confirm(self, queue: str, body: bytes, count: int, in_flight: int) -> None:
        self.channels[0].confirm_delivery()
        await self.publish(queue, body, count)

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        left = count

        def callback(channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
            nonlocal left
            if ack:
                channel.basic_ack(method.delivery_tag)
            left -= 1

        self.channels[0].basic_qos(prefetch_count=prefetch)
        self.channels[0].basic_consume(queue, callback, auto_ack=not ack)
        while left:
            self.connection.process_data_events(time_limit=None)

    async def iterate(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        channel, left = self.channels[0], count
        channel.basic_qos(prefetch_count=prefetch)
        for method, _properties, _body in channel.consume(queue, auto_ack=not ack):
            if ack:
                channel.basic_ack(method.delivery_tag)
            left -= 1
            if not left:
                break

    async def get(self, queue: str, count: int) -> None:
        for _ in range(count):
            self.channels[0].basic_get(queue, auto_ack=True)

    async def call(self, queue: str, body: bytes, count: int) -> list[float]:
        channel, replies = self.channels[0], 0

        def on_reply(_channel: Any, _method: Any, _properties: Any, _body: bytes) -> None:
            nonlocal replies
            replies += 1

        def wait() -> None:
            nonlocal replies
            while not replies:
                self.connection.process_data_events(time_limit=None)
            replies -= 1

        channel.basic_consume(REPLY_TO, on_reply, auto_ack=True)
        properties = self.library.BasicProperties(
            **PROPERTIES, reply_to=REPLY_TO, correlation_id="1"
        )
        return timed_calls(lambda: channel.basic_publish("", queue, body, properties), wait, count)


class PyAmqp(Client):
    """py-amqp, the library under kombu and Celery."""

    cannot: ClassVar[Mapping[str, str]] = {
        "confirm 100": WAITS_FOR_EACH,
        "deferred": WAITS_FOR_EACH,
        "prepared": NOT_PREPARED,
        "unconfirmed": WAITS_FOR_EACH,
        "iterate": "has no iterator",
    }

    async def open(self, url: str) -> None:
        self.library: Any = importlib.import_module("amqp")
        parts = parts_of(url)
        self.connection = self.library.Connection(
            f"{parts['host']}:{parts['port']}",
            parts["user"],
            parts["password"],
            virtual_host=parts["vhost"],
        )
        self.connection.connect()

    async def close(self) -> None:
        self.connection.close()

    async def open_channels(self, count: int) -> None:
        self.channels += [self.connection.channel() for _ in range(count)]

    def _message(self, body: bytes, **more: str) -> Any:
        names = {**PROPERTIES, **more}
        headers = names.pop("headers")
        return self.library.Message(body, application_headers=headers, **names)

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        for channel in in_turn(self.channels, count):
            channel.basic_publish(self._message(body), routing_key=queue)

    async def flush(self) -> None:
        self.channels[-1].basic_qos(0, 0, False)

    async def confirm(self, queue: str, body: bytes, count: int, in_flight: int) -> None:
        for _ in range(count):
            self.channels[0].basic_publish_confirm(self._message(body), routing_key=queue)

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        channel, left = self.channels[0], count

        def callback(message: Any) -> None:
            nonlocal left
            if ack:
                channel.basic_ack(message.delivery_tag)
            left -= 1

        channel.basic_qos(0, prefetch, False)
        channel.basic_consume(queue, callback=callback, no_ack=not ack)
        while left:
            self.connection.drain_events()

    async def get(self, queue: str, count: int) -> None:
        for _ in range(count):
            self.channels[0].basic_get(queue, no_ack=True)

    async def call(self, queue: str, body: bytes, count: int) -> list[float]:
        channel, replies = self.channels[0], 0

        def on_reply(_message: Any) -> None:
            nonlocal replies
            replies += 1

        def send() -> None:
            message = self._message(body, reply_to=REPLY_TO, correlation_id="1")
            channel.basic_publish(message, routing_key=queue)

        def wait() -> None:
            nonlocal replies
            while not replies:
                self.connection.drain_events()
            replies -= 1

        channel.basic_consume(REPLY_TO, callback=on_reply, no_ack=True)
        return timed_calls(send, wait, count)


class AmqpStorm(Client):
    """AMQPStorm, which reads in a thread of its own."""

    cannot: ClassVar[Mapping[str, str]] = {
        "confirm 100": WAITS_FOR_EACH,
        "deferred": WAITS_FOR_EACH,
        "prepared": NOT_PREPARED,
        "unconfirmed": WAITS_FOR_EACH,
    }

    async def open(self, url: str) -> None:
        library: Any = importlib.import_module("amqpstorm")
        parts = parts_of(url)
        self.connection = library.Connection(
            parts["host"],
            parts["user"],
            parts["password"],
            port=parts["port"],
            virtual_host=parts["vhost"],
        )

    async def close(self) -> None:
        self.connection.close()

    async def open_channels(self, count: int) -> None:
        # It looks for a reply every 10 ms, so 1,000 channels would take longer than all else.
        with patch("amqpstorm.rpc.IDLE_WAIT", 0.0002):
            self.channels += [self.connection.channel() for _ in range(count)]

    async def publish(self, queue: str, body: bytes, count: int) -> None:
        for channel in in_turn(self.channels, count):
            channel.basic.publish(body, queue, "", dict(PROPERTIES))

    async def flush(self) -> None:
        self.channels[-1].basic.qos(prefetch_count=0)

    async def confirm(self, queue: str, body: bytes, count: int, in_flight: int) -> None:
        self.channels[0].confirm_deliveries()
        await self.publish(queue, body, count)

    async def consume(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        channel, left = self.channels[0], count

        def callback(message: Any) -> None:
            nonlocal left
            if ack:
                message.ack()
            left -= 1
            if not left:
                channel.stop_consuming()

        channel.basic.qos(prefetch_count=prefetch)
        channel.basic.consume(callback, queue, no_ack=not ack)
        channel.start_consuming()

    async def iterate(self, queue: str, count: int, *, ack: bool, prefetch: int) -> None:
        channel, left = self.channels[0], count
        channel.basic.qos(prefetch_count=prefetch)
        channel.basic.consume(None, queue, no_ack=not ack)
        for message in channel.build_inbound_messages(break_on_empty=False):
            if ack:
                message.ack()
            left -= 1
            if not left:
                break

    async def get(self, queue: str, count: int) -> None:
        for _ in range(count):
            self.channels[0].basic.get(queue, no_ack=True)

    async def call(self, queue: str, body: bytes, count: int) -> list[float]:
        channel = self.channels[0]
        channel.basic.consume(None, REPLY_TO, no_ack=True)
        replies = channel.build_inbound_messages(break_on_empty=False)
        properties = {**PROPERTIES, "reply_to": REPLY_TO, "correlation_id": "1"}
        return timed_calls(
            lambda: channel.basic.publish(body, queue, "", dict(properties)),
            lambda: next(replies),
            count,
        )
