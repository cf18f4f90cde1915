"""Doing something in a broker without a client: what a test does in the place of other programs."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from amqp_codec import Properties

from ..model import Consumer, Message, Queue, QueuedMessage, SharedPrefetch, VirtualHost
from ..tasks import Tasks
from .inspection import Inspection

Answer: TypeAlias = bytes | str | None
Function: TypeAlias = Callable[[Message], Answer | Awaitable[Answer]]
"""Answers a request; None leaves it without an answer."""


class Actions(Inspection):
    """What a test can do in a broker by itself."""

    _tasks: Tasks

    def publish(
        self,
        exchange: str,
        key: str,
        body: bytes | str = b"",
        properties: Properties | None = None,
        *,
        vhost: str = "/",
        **more: Any,
    ) -> Message:
        """Publish a message, as some other program would.

        Args:
            exchange: the name of the exchange, empty for the default one.
            key: the routing key.
            body: octets, or text for UTF-8.
            properties: of the message.
            vhost: in which virtual host.
            more: properties one by one, such as ``headers={"a": 1}``, in the place of
                ``properties``.

        Returns:
            the message; ``message.history`` is what becomes of it.

        Raises:
            BrokerError: RabbitMQ would refuse it, with this code and text.
        """
        if properties is not None and more:
            raise ValueError(f"give either properties or {', '.join(more)}, not both")
        octets = body.encode() if isinstance(body, str) else body
        message = Message(exchange, key, properties or Properties(**more), octets)
        host = self._host(vhost)
        host.publish(message, message.properties.user_id or "guest")
        self._go_on(host)
        return message

    def drain(self, queue: str, *, vhost: str = "/") -> list[Message]:
        """Take all messages out of a queue that are ready, and return them, the next one first.

        Raises:
            BrokerError: it is a stream, which nothing can be taken out of.
        """
        host, source, channel = self._host(vhost), self._queue(queue, vhost), _Hand("the test")
        taken: list[Message] = []
        while (queued := source.get(channel, no_ack=True)) is not None:
            taken.append(queued.message)
        self._go_on(host)
        return taken

    def rpc_reply(self, queue: str, function: Function, *, vhost: str = "/") -> "Replier":
        """Answer the requests that come to a queue, in the place of the program that would.

        Args:
            queue: the name of the queue, which is declared if it is not there.
            function: gets each request and returns the body of the answer, or None for no answer.
                It can be a coroutine function. What it raises is raised when the broker is left.
            vhost: in which virtual host.

        Returns:
            what answers: ``requests`` are those that have come, and ``stop()`` ends it.
        """
        host = self._host(vhost)
        source = host.queues.get(queue) or host.declare_queue(queue, None)
        replier = Replier(host, source, function, self._tasks, partial(self._go_on, host))
        self._go_on(host)
        return replier

    def _go_on(self, vhost: VirtualHost) -> None:
        vhost.agenda.run_pending()
        self._connections.moved()


class _Hand:
    """A channel that belongs to no connection: the test's own hand."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefetch = SharedPrefetch(self)

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Take a message."""

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        """Take notice that the queue is gone."""


class Replier(_Hand):
    """Answers the requests that come to a queue.

    Attributes:
        requests: those that have come, the oldest first.
    """

    def __init__(
        self,
        vhost: VirtualHost,
        queue: Queue,
        function: Function,
        tasks: Tasks,
        go_on: Callable[[], None],
    ) -> None:
        super().__init__(f"the test's answers to {queue.name!r}")
        self.requests: list[Message] = []
        self._vhost = vhost
        self._queue = queue
        self._function = function
        self._tasks = tasks
        self._go_on = go_on
        self._consumer = Consumer("rpc_reply", self, queue)
        queue.add_consumer(self._consumer)

    def stop(self) -> None:
        """Answer no more; what is not answered yet is back in the queue."""
        self._queue.remove_channel(self)
        self._go_on()

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Take a request; it is dealt with when the queue has finished delivering."""
        del consumer
        self._vhost.agenda.call_soon(partial(self._serve, queued))

    def _serve(self, queued: QueuedMessage) -> None:
        self.requests.append(queued.message)
        try:
            answer = self._function(queued.message)
        except Exception as error:  # noqa: BLE001 (raised when the broker is left)
            self._fail(queued, error)
            return
        if inspect.isawaitable(answer):
            self._tasks.start(self._serve_later(queued, answer))
        else:
            self._answer(queued, answer)

    async def _serve_later(self, queued: QueuedMessage, answer: Awaitable[Answer]) -> None:
        try:
            self._answer(queued, await answer)
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(queued, error)
        self._go_on()

    def _answer(self, queued: QueuedMessage, answer: Answer) -> None:
        request = queued.message.properties
        if answer is not None and request.reply_to is None:
            self._fail(queued, ValueError(f"a request without reply_to:\n{queued.message}"))
            return
        if answer is not None and request.reply_to is not None:
            octets = answer.encode() if isinstance(answer, str) else answer
            properties = Properties(correlation_id=request.correlation_id)
            self._vhost.publish(Message("", request.reply_to, properties, octets))
        self._queue.acknowledge(self, [queued])

    def _fail(self, queued: QueuedMessage, error: Exception) -> None:
        self._queue.reject(self, [queued])
        self._tasks.failures.append(error)
