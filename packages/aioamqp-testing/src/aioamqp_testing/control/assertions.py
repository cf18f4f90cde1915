"""Assertions about a broker. A failed one shows what was expected and what has happened."""

from collections.abc import Iterable, Mapping
from typing import Final

from amqp_codec import FieldTable

from ..model import Message, Queue
from ..model.messages.events import EventType
from ..threads import thread_safe
from .inspection import Inspection
from .topology_diff import ExpectedTopology, difference

_MAX_MESSAGES: Final = 10  # in an error text


@thread_safe
class Assertions(Inspection):
    """Assertions about messages, queues, exchanges and connections of a broker.

    ``__tracebackhide__`` makes pytest show the line of the test instead of a line in here.
    """

    def assert_published(
        self,
        exchange: str,
        key: str | None = None,
        *,
        body: bytes | str | None = None,
        headers: FieldTable | None = None,
        count: int | None = None,
        vhost: str = "/",
    ) -> list[Message]:
        """Assert that messages were published, whether they were routed or not.

        Args:
            exchange: the name of the exchange; empty for the default exchange.
            key: the routing key; None for any.
            body: bytes, or text that is encoded as UTF-8; None for any.
            headers: headers that the messages have, possibly among others; None for any.
            count: the exact number of messages; None for at least one.
            vhost: the virtual host.

        Returns:
            the messages, the oldest first.

        Raises:
            AssertionError: not so many were published; the text lists those that were.
        """
        __tracebackhide__ = True
        data = body.encode() if isinstance(body, str) else body
        found = [
            message
            for message in self.history(exchange=exchange, key=key, body=data, vhost=vhost)
            if headers is None or _has(message, headers)
        ]
        if (count is None and found) or count == len(found):
            return found
        number = "at least 1 message" if count is None else _messages(count)
        expected = f"{number} published to exchange {exchange!r}"
        expected += "" if key is None else f" with key {key!r}"
        expected += "" if data is None else f" and body {data!r}"
        expected += "" if headers is None else f" and headers {dict(headers)!r}"
        raise AssertionError(
            f"expected {expected}, but found {len(found)}.\n{self._published(vhost)}"
        )

    def assert_routed(
        self, exchange: str, key: str, *queues: str, vhost: str = "/"
    ) -> list[Message]:
        """Assert that every message with this exchange and key was routed to these queues.

        Args:
            exchange: the name of the exchange; empty for the default exchange.
            key: the routing key.
            queues: the names of the queues; without any, one queue is enough.
            vhost: the virtual host.

        Returns:
            the messages; there is at least one.

        Raises:
            AssertionError: no such message was published, or one was not routed there; the text
                shows it and explains the route.
        """
        __tracebackhide__ = True
        found = self.assert_published(exchange, key, vhost=vhost)
        for message in found:
            missing = [queue for queue in queues if queue not in message.queues]
            if missing or not message.queues:
                where = ", ".join(map(repr, missing)) or "any queue"
                route = self._explained(message, vhost)
                raise AssertionError(
                    f"a message was not routed to {where}:\n{message}\nNow {route}"
                )
        return found

    def assert_acked(
        self,
        queue: str,
        *,
        body: bytes | str | None = None,
        count: int | None = None,
        vhost: str = "/",
    ) -> list[Message]:
        """Assert that messages in a queue were acknowledged: all of them, or ``count``.

        Args:
            queue: the name of the queue, which may have been deleted.
            body: only messages with this body.
            count: the exact number of acknowledged messages; None for all messages that were routed
                to the queue, and at least one.
            vhost: the virtual host.

        Returns:
            the messages that were acknowledged, the oldest first.

        Raises:
            AssertionError: the number differs; the text lists what was routed to the queue.
        """
        __tracebackhide__ = True
        data = body.encode() if isinstance(body, str) else body
        routed = self.history(queue, body=data, vhost=vhost)
        acked = [
            message
            for message in routed
            if any(e.what is EventType.ACKED and e.where == queue for e in message.history)
        ]
        if (routed and len(acked) == len(routed)) if count is None else count == len(acked):
            return acked
        expected = "all messages" if count is None else _messages(count)
        raise AssertionError(
            f"expected {expected} in queue {queue!r} to be acknowledged, but {len(acked)} of"
            f" {len(routed)} were.\n{_list(routed)}"
        )

    def assert_nothing_unacked(self, queue: str | None = None, *, vhost: str = "/") -> None:
        """Assert that every delivered message was acknowledged.

        Args:
            queue: the name of the queue; None for all queues of the virtual host.
            vhost: the virtual host.

        Raises:
            AssertionError: some were not; the text lists them.
        """
        __tracebackhide__ = True
        everywhere = list(self._vhost(vhost).queues.values())
        queues = everywhere if queue is None else [self._queue(queue, vhost)]
        lines = "\n".join(line for each in queues for line in _unacked_lines(each))
        if lines:
            raise AssertionError(f"expected no unacknowledged messages, but found:\n{lines}")

    def assert_topology(
        self,
        *,
        queues: Iterable[str] | Mapping[str, Mapping[str, object]] | None = None,
        exchanges: Iterable[str] | Mapping[str, str | Mapping[str, object]] | None = None,
        bindings: Iterable[tuple[str, str, str]] | None = None,
        vhost: str = "/",
    ) -> None:
        """Assert that exactly these queues, exchanges and bindings exist.

        Args:
            queues: names, or name -> the properties to compare, as in
                ``{"orders": {"durable": True, "arguments": {"x-max-length": 10}}}``; None to
                compare no queues.
            exchanges: the same for declared exchanges; a type can stand for ``{"type": type}``, as
                in ``{"events": "topic"}``.
            bindings: exchange, destination queue or exchange, and routing key, without the bindings
                of the default exchange.
            vhost: the virtual host.

        Raises:
            AssertionError: the topology differs; the text lists the differences.
            ValueError: a property is unknown.
        """
        __tracebackhide__ = True
        expected = ExpectedTopology.of(queues=queues, exchanges=exchanges, bindings=bindings)
        lines = difference(self._vhost(vhost), expected)
        if lines:
            listed = "\n".join(f"  {line}" for line in lines)
            raise AssertionError(
                f"the topology is not the expected one (- missing, + unexpected):\n{listed}"
            )

    def assert_no_leaks(self) -> None:
        """Assert that every connection was closed, with its channels and consumers.

        Closing also ends unacknowledged deliveries and exclusive queues.

        Raises:
            AssertionError: something is still open; the text lists it.
        """
        __tracebackhide__ = True
        lines: list[str] = []
        for session in self.sessions:
            lines.append(f"  connection {session.name} of user {session.user!r} is open")
            for channel in session.channels:
                lines.append(f"    channel {channel.number} is open")
                consuming = channel.consuming
                lines += [
                    f"      consumer {each.tag!r} of queue {each.queue.name!r}"
                    for each in consuming.consumers
                ]
                lines += [
                    f"      unacknowledged delivery {each.tag}: {_headline(each.queued.message)}"
                    for each in consuming.unacked
                ]
        for vhost in self.node.vhosts.values():
            lines += [
                f"  exclusive queue {queue.name!r}"
                for queue in vhost.queues.values()
                if queue.owner is not None
            ]
        if lines:
            raise AssertionError(
                "expected all connections to be closed, but found:\n" + "\n".join(lines)
            )

    def _published(self, vhost: str) -> str:
        history = self._vhost(vhost).history
        count = history.forgotten
        dropped = f" ({count} earlier ones are no longer kept)" if count else ""
        return f"Published messages{dropped}:\n{_list(list(history))}"

    def _explained(self, message: Message, vhost: str) -> str:
        headers = message.properties.headers
        if message.exchange not in self._vhost(vhost).exchanges:
            return f"the exchange {message.exchange!r} no longer exists"
        key = message.routing_key
        return str(self.explain_route(message.exchange, key, headers, vhost=vhost))


def _has(message: Message, headers: FieldTable) -> bool:
    actual = message.properties.headers or {}
    return all(name in actual and actual[name] == value for name, value in headers.items())


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def _headline(message: Message) -> str:
    return str(message).partition("\n")[0]


def _list(messages: list[Message]) -> str:
    """List messages with their history; of many the last ones."""
    if not messages:
        return "  none"
    left_out = len(messages) - _MAX_MESSAGES
    first = [f"  ({left_out} earlier ones left out)"] if left_out > 0 else []
    lines = [f"  {line}" for each in messages[-_MAX_MESSAGES:] for line in str(each).split("\n")]
    return "\n".join([*first, *lines])


def _unacked_lines(queue: Queue) -> list[str]:
    return [
        f"  queue {queue.name!r}, {holder}: {_headline(message)}"
        for holder, messages in queue.unacked.items()
        for message in messages
    ]
