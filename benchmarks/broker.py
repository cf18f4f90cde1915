"""Blocking AMQP connection of the benchmark itself, which fills queues and counts messages."""

import socket
import time
from typing import Self, TypeVar

from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    Decoder,
    Method,
    Properties,
    basic,
    channel,
    connection,
    encode_command,
    queue,
)

from .clients.client import PROPERTIES, parts_of

_Reply = TypeVar("_Reply", bound=Method)

FRAME_MAX = 131_072
COUNT_SECONDS = 20.0
"""The longest time until a queue has all messages: those of a thousand channels take seconds."""


class BrokerConnection:
    """A connection with one channel, number 1, without heartbeats."""

    def __init__(self, url: str) -> None:
        parts = parts_of(url)
        self._decoder = Decoder()
        self._received: list[Command] = []
        self.socket = socket.create_connection((parts["host"], parts["port"]))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(PROTOCOL_HEADER)
        start = self.receive(connection.Start)
        self.version = str(start.server_properties.get("version", ""))
        response = f"\0{parts['user']}\0{parts['password']}"
        self.send(connection.StartOk({}, "PLAIN", response, "en_US"), number=0)
        channel_max = self.receive(connection.Tune).channel_max
        self.send(connection.TuneOk(channel_max, FRAME_MAX, 0), number=0)
        self.send(connection.Open(parts["vhost"]), number=0)
        self.receive(connection.OpenOk)
        self.request(channel.Open(), channel.OpenOk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.send(connection.Close(200, "", 0, 0), number=0)
        self.receive(connection.CloseOk)
        self.socket.close()

    def send(self, method: Method, *, number: int = 1) -> None:
        """Send a method without content."""
        self.socket.sendall(encode_command(Command(number, method), FRAME_MAX))

    def receive(self, expected: type[_Reply]) -> _Reply:
        """Receive until a method of this class arrives; fail if the server closes the channel."""
        while True:
            while self._received:
                method = self._received.pop(0).method
                if isinstance(method, expected):
                    return method
                if isinstance(method, connection.Close | channel.Close):
                    raise ConnectionError(f"{method.reply_code} {method.reply_text}")
            data = self.socket.recv(1 << 18)
            if not data:
                raise ConnectionError("The server closed the connection")
            self._received += self._decoder.feed(data)

    def request(self, method: Method, reply: type[_Reply]) -> _Reply:
        """Send a method and receive its reply."""
        self.send(method)
        return self.receive(reply)

    def declare(self, name: str) -> None:
        """Declare a queue; durable, since newer servers refuse others that are not exclusive."""
        self.request(queue.Declare(name, durable=True), queue.DeclareOk)

    def publish(self, name: str, size: int, count: int) -> None:
        """Publish to a queue."""
        data = publish_frames(name, size)
        for _ in range(count):
            self.socket.sendall(data)
        self.request(basic.Qos(0, 0), basic.QosOk)

    def count(self, name: str, expected: int) -> int:
        """Return how many messages are ready in a queue, once there are as many as expected."""
        until = time.monotonic() + COUNT_SECONDS
        while True:
            found = self.request(queue.Declare(name, passive=True), queue.DeclareOk).message_count
            if found == expected or time.monotonic() > until:
                return found

    def delete(self, name: str) -> None:
        """Delete a queue with its messages."""
        self.request(queue.Delete(name), queue.DeleteOk)


def publish_frames(name: str, size: int) -> bytes:
    """Return the frames of a message that is published to a queue."""
    method = basic.Publish("", name)
    return encode_command(Command(1, method, Properties(**PROPERTIES), b"x" * size), FRAME_MAX)


def delivery_frames(name: str, tag: str, size: int) -> bytes:
    """Return the frames of such a message as the server delivers it: all have the same length."""
    method = basic.Deliver(tag, 1, False, "", name)
    return encode_command(Command(1, method, Properties(**PROPERTIES), b"x" * size), FRAME_MAX)
