"""Actions of a test in a broker, without a client: publish, drain a queue, reply to requests."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from amqp_codec import Properties

from ..model import Consumer, Message, Queue, QueuedMessage, SharedPrefetch, VirtualHost
from ..tasks import Tasks
from ..threads import thread_safe
from .inspection import Inspection

Reply: TypeAlias = bytes | str | None
ReplyFunction: TypeAlias = Callable[[Message], Reply | Awaitable[Reply]]
"""Returns the body of the reply to a request; None for no reply."""


@thread_safe
class Actions(Inspection):
    """Methods by which a test acts in a broker in place of other programs."""

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
        """Publish a message.

        Args:
            exchange: the name of the exchange; empty for the default exchange.
            key: the routing key.
            body: bytes, or text that is encoded as UTF-8.
            properties: of the message.
            vhost: the virtual host.
            more: single properties instead of ``properties``, such as ``headers={"a": 1}``.

        Returns:
            the message; ``message.history`` lists what happens to it.

        Raises:
            BrokerError: RabbitMQ would refuse the publish, with this code and text.
            ValueError: both properties and single properties are given.
        """
        if properties is not None and more:
            raise ValueError(f"pass either properties or {', '.join(more)}, not both")
        data = body.encode() if isinstance(body, str) else body
        message = Message(exchange, key, properties or Properties(**more), data)
        host = self._vhost(vhost)
        host.publish(message, message.properties.user_id or "guest")
        self._run_deliveries(host)
        return message

    def drain(self, queue: str, *, vhost: str = "/") -> list[Message]:
        """Remove all ready messages from a queue and return them, the next one first.

        Raises:
            BrokerError: the queue is a stream, from which messages cannot be removed.
        """
        host, source, channel = self._vhost(vhost), self._queue(queue, vhost), _Channel("the test")
        messages: list[Message] = []
        while (queued := source.get(channel, no_ack=True)) is not None:
            messages.append(queued.message)
        self._run_deliveries(host)
        return messages

    def rpc_reply(self, queue: str, function: ReplyFunction, *, vhost: str = "/") -> "Replier":
        """Reply to the requests in a queue, in place of an RPC server.

        Args:
            queue: the name of the queue; it is declared if it does not exist.
            function: called with each request; returns the body of the reply, or None for no reply.
                It can be a coroutine function. What it raises is raised when the broker is closed.
            vhost: the virtual host.

        Returns:
            the replier: ``requests`` lists the requests so far, and ``stop()`` stops it.
        """
        host = self._vhost(vhost)
        source = host.queues.get(queue) or host.declare_queue(queue, None)
        replier = Replier(host, source, function, self._tasks, partial(self._run_deliveries, host))
        self._run_deliveries(host)
        return replier

    def _run_deliveries(self, vhost: VirtualHost) -> None:
        vhost.agenda.run_pending()
        self._connections.notify_activity()


class _Channel:
    """A channel of the test, as the model sees it. It belongs to no connection."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefetch = SharedPrefetch(self)

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Ignore a delivery."""

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        """Ignore that the queue is deleted."""


class Replier(_Channel):
    """A consumer that replies to the requests in a queue.

    Attributes:
        requests: the requests so far, the oldest first.
    """

    def __init__(
        self,
        vhost: VirtualHost,
        queue: Queue,
        function: ReplyFunction,
        tasks: Tasks,
        run_deliveries: Callable[[], None],
    ) -> None:
        super().__init__(f"the test's rpc_reply({queue.name!r})")
        self.requests: list[Message] = []
        self._vhost = vhost
        self._queue = queue
        self._function = function
        self._tasks = tasks
        self._run_deliveries = run_deliveries
        self._consumer = Consumer("rpc_reply", self, queue)
        queue.add_consumer(self._consumer)

    def stop(self) -> None:
        """Stop replying. Requests without a reply return to the queue."""
        self._queue.remove_channel(self)
        self._run_deliveries()

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Handle a request after the queue has finished delivering."""
        del consumer
        self._vhost.agenda.call_soon(partial(self._handle, queued))

    def _handle(self, queued: QueuedMessage) -> None:
        self.requests.append(queued.message)
        try:
            reply = self._function(queued.message)
        except Exception as error:  # noqa: BLE001 (raised when the broker is closed)
            self._fail(queued, error)
            return
        if inspect.isawaitable(reply):
            self._tasks.start(self._reply_later(queued, reply))
        else:
            self._reply(queued, reply)

    async def _reply_later(self, queued: QueuedMessage, reply: Awaitable[Reply]) -> None:
        try:
            self._reply(queued, await reply)
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(queued, error)
        self._run_deliveries()

    def _reply(self, queued: QueuedMessage, reply: Reply) -> None:
        request = queued.message.properties
        if reply is not None and request.reply_to is None:
            error = ValueError(f"the request has no reply_to property:\n{queued.message}")
            self._fail(queued, error)
            return
        if reply is not None and request.reply_to is not None:
            body = reply.encode() if isinstance(reply, str) else reply
            properties = Properties(correlation_id=request.correlation_id)
            self._vhost.publish(Message("", request.reply_to, properties, body))
        self._queue.acknowledge(self, [queued])

    def _fail(self, queued: QueuedMessage, error: Exception) -> None:
        self._queue.reject(self, [queued])
        self._tasks.failures.append(error)
