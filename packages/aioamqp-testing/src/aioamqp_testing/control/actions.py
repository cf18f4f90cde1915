"""Actions of a test in a broker, without a client: publish, drain a queue, reply to requests."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from amqp_codec import Properties

from ..model import Consumer, Message, QueuedMessage, SharedPrefetch, VirtualHost
from ..tasks import Tasks
from ..threads import running_loop, thread_safe
from .inspection import Inspection

Reply: TypeAlias = bytes | str | None
ReplyFunction: TypeAlias = Callable[[Message], Reply | Awaitable[Reply]]
"""Returns the body of the reply to a request; None for no reply."""


@thread_safe
class Actions(Inspection):
    """Methods by which a test acts in a broker in place of other programs."""

    _tasks: Tasks
    _repliers: "list[Replier]"

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
            queue: the name of the queue; it is declared if it does not exist, also after a restart
                of the broker.
            function: called with each request; returns the body of the reply, or None for no reply.
                It can be a coroutine function, which runs in the event loop that called
                ``rpc_reply``, or in that of a client if there was none. What it raises is raised
                when the broker is closed.
            vhost: the virtual host.

        Returns:
            the replier: ``requests`` lists the requests so far, and ``stop()`` stops it.
        """
        replier = Replier(self, self._vhost(vhost), queue, function)
        replier.start()
        self._repliers.append(replier)
        return replier

    def _run_deliveries(self, vhost: VirtualHost) -> None:
        vhost.agenda.run_pending()
        self._connections.notify_activity()


class _Channel:
    """A channel of the test, as the model sees it. It belongs to no connection."""

    ack_timeout = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefetch = SharedPrefetch(self)

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Ignore a delivery."""

    def notify_cancelled(self, consumer: Consumer) -> None:
        """Ignore it: what a replier gets is acknowledged at once."""

    def time_out(self) -> None:
        """Ignore it: the test acknowledges at once, too."""

    def cancel_consumers(self, consumers: list[Consumer]) -> None:
        """Ignore that the queue is deleted."""

    def crash(self) -> None:
        """Ignore that RabbitMQ's channel would crash, because no consumer is started twice."""


class Replier(_Channel):
    """A consumer that replies to the requests in a queue, from ``start`` to ``stop``.

    Attributes:
        requests: the requests so far, the oldest first.
        vhost: the virtual host.
    """

    def __init__(
        self, broker: Actions, vhost: VirtualHost, queue_name: str, function: ReplyFunction
    ) -> None:
        super().__init__(f"the test's rpc_reply({queue_name!r})")
        self.requests: list[Message] = []
        self.vhost = vhost
        self._broker = broker
        self._queue_name = queue_name
        self._function = function
        self._loop = running_loop()  # that of the test
        self._consumer: Consumer | None = None

    def start(self) -> None:
        """Start replying, also after the broker has been stopped. The queue is declared."""
        host = self.vhost
        name = self._queue_name
        queue = host.queues.get(name) or host.declare_queue(name, None, durable=True)
        self._consumer = Consumer("rpc_reply", self, queue)
        queue.add_consumer(self._consumer)
        self._broker._run_deliveries(host)

    def pause(self) -> None:
        """Stop replying until ``start``. Requests without a reply return to the queue."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.queue.remove_channel(self)

    def stop(self) -> None:
        """Stop replying. Requests without a reply return to the queue."""
        with self._broker.lock:
            self._broker._repliers.remove(self)
            self.pause()
            self._broker._run_deliveries(self.vhost)

    def deliver(self, consumer: Consumer, queued: QueuedMessage) -> None:
        """Handle a request after the queue has finished delivering."""
        self.vhost.agenda.call_soon(partial(self._handle, consumer, queued))

    def _handle(self, consumer: Consumer, queued: QueuedMessage) -> None:
        self.requests.append(queued.message)
        try:
            reply = self._function(queued.message)
            if inspect.isawaitable(reply):
                self._start(self._reply_later(consumer, queued, reply), reply)
                return
        except Exception as error:  # noqa: BLE001 (raised when the broker is closed)
            self._fail(consumer, queued, error)
            return
        self._reply(consumer, queued, reply)

    def _start(self, later: Coroutine[object, object, None], reply: Awaitable[Reply]) -> None:
        try:
            self._broker._tasks.start(later, self._loop, *self._broker._connections.loops)
        except RuntimeError:
            if inspect.iscoroutine(reply):
                reply.close()
            raise

    async def _reply_later(
        self, consumer: Consumer, queued: QueuedMessage, reply: Awaitable[Reply]
    ) -> None:
        try:
            result = await reply
        except Exception as error:  # noqa: BLE001 (as above)
            with self._broker.lock:
                self._fail(consumer, queued, error)
        else:
            with self._broker.lock:
                self._reply(consumer, queued, result)
        with self._broker.lock:
            self._broker._run_deliveries(self.vhost)

    def _reply(self, consumer: Consumer, queued: QueuedMessage, reply: Reply) -> None:
        if consumer is not self._consumer:
            return  # it was stopped meanwhile, and the request has returned to the queue
        request = queued.message.properties
        if reply is not None and request.reply_to is None:
            error = ValueError(f"the request has no reply_to property:\n{queued.message}")
            self._fail(consumer, queued, error)
            return
        if reply is not None and request.reply_to is not None:
            body = reply.encode() if isinstance(reply, str) else reply
            properties = Properties(correlation_id=request.correlation_id)
            self.vhost.publish(Message("", request.reply_to, properties, body))
        consumer.queue.acknowledge(self, [queued])

    def _fail(self, consumer: Consumer, queued: QueuedMessage, error: Exception) -> None:
        if consumer is self._consumer:
            consumer.queue.reject(self, [queued])
        self._broker._tasks.failures.append(error)
