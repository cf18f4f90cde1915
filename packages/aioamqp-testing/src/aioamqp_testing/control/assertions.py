"""What a test can claim of a broker, and what it is told when that is wrong: what did happen."""

from collections.abc import Iterable, Mapping
from typing import Final

from amqp_codec import FieldTable

from ..model import Message, Queue
from ..model.messages.events import EventType
from .inspection import Inspection
from .topology_diff import Wanted, difference

_SHOWN: Final = 10  # messages, where there are many


class Assertions(Inspection):
    """Claims about a broker. Each raises AssertionError, with the facts, when it is wrong.

    ``__tracebackhide__`` lets pytest show the test's own line, and not what is in here.
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
        """Claim that such messages were published, whatever became of them.

        Args:
            exchange: the name of the exchange, empty for the default one.
            key: the routing key; None for any.
            body: octets, or text in UTF-8; None for any.
            headers: that they have, perhaps beside others; None for any.
            count: how many, exactly; None for at least one.
            vhost: in which virtual host.

        Returns:
            these messages, the oldest first.
        """
        __tracebackhide__ = True
        wanted = body.encode() if isinstance(body, str) else body
        found = [
            message
            for message in self.history(exchange=exchange, key=key, body=wanted, vhost=vhost)
            if headers is None or _has(message, headers)
        ]
        if (count is None and found) or count == len(found):
            return found
        claim = f"{_number(count)} published to exchange {exchange!r}"
        claim += "" if key is None else f" with key {key!r}"
        claim += "" if wanted is None else f" and body {wanted!r}"
        claim += "" if headers is None else f" and headers {dict(headers)!r}"
        raise AssertionError(f"{claim}, but {len(found)} were.\n{self._published(vhost)}")

    def assert_routed(
        self, exchange: str, key: str, *queues: str, vhost: str = "/"
    ) -> list[Message]:
        """Claim that all messages with this exchange and key have reached these queues, or any.

        Args:
            exchange: the name of the exchange, empty for the default one.
            key: the routing key.
            queues: the names of the queues; none if it does not matter which.
            vhost: in which virtual host.

        Returns:
            these messages, of which there is at least one.
        """
        __tracebackhide__ = True
        found = self.assert_published(exchange, key, vhost=vhost)
        for message in found:
            missing = [queue for queue in queues if queue not in message.queues]
            if missing or not message.queues:
                where = ", ".join(map(repr, missing)) or "any queue"
                explained = self._explained(message, vhost)
                raise AssertionError(f"not routed to {where}:\n{message}\n{explained}")
        return found

    def assert_acked(
        self,
        queue: str,
        *,
        body: bytes | str | None = None,
        count: int | None = None,
        vhost: str = "/",
    ) -> list[Message]:
        """Claim that messages of a queue were acknowledged, all of them unless a count is given.

        Args:
            queue: the name of the queue, which may be gone by now.
            body: only of messages with this body.
            count: how many were acknowledged, exactly; None for all that were routed to the queue,
                and at least one.
            vhost: in which virtual host.

        Returns:
            the messages that were acknowledged, the oldest first.
        """
        __tracebackhide__ = True
        wanted = body.encode() if isinstance(body, str) else body
        routed = self.history(queue, body=wanted, vhost=vhost)
        acked = [
            message
            for message in routed
            if any(e.what is EventType.ACKED and e.where == queue for e in message.history)
        ]
        if (routed and len(acked) == len(routed)) if count is None else count == len(acked):
            return acked
        claim = "all to be" if count is None else f"{count} to be"
        raise AssertionError(
            f"expected {claim} acknowledged to queue {queue!r}, but {len(acked)} were, of"
            f" {len(routed)} that were routed to it.\n{_list(routed)}"
        )

    def assert_nothing_unacked(self, queue: str | None = None, *, vhost: str = "/") -> None:
        """Claim that nobody has a message that is not acknowledged.

        Args:
            queue: the name of the queue; None for all of the virtual host.
            vhost: in which virtual host.
        """
        __tracebackhide__ = True
        everywhere = list(self._host(vhost).queues.values())
        queues = everywhere if queue is None else [self._queue(queue, vhost)]
        lines = "\n".join(line for each in queues for line in _unacked_lines(each))
        if lines:
            raise AssertionError(f"there are messages that nobody has acknowledged:\n{lines}")

    def assert_topology(
        self,
        *,
        queues: Iterable[str] | Mapping[str, Mapping[str, object]] | None = None,
        exchanges: Iterable[str] | Mapping[str, str | Mapping[str, object]] | None = None,
        bindings: Iterable[tuple[str, str, str]] | None = None,
        vhost: str = "/",
    ) -> None:
        """Claim what there is, and that there is nothing else of the kind.

        Args:
            queues: names, or name -> the properties that matter, as in
                ``{"orders": {"durable": True, "arguments": {"x-max-length": 10}}}``; None if queues
                do not matter.
            exchanges: the same for those that were declared; a type can stand for
                ``{"type": type}``, as in ``{"events": "topic"}``.
            bindings: exchange, name of the queue or exchange that it leads to, and routing key;
                without those of the default exchange.
            vhost: in which virtual host.
        """
        __tracebackhide__ = True
        wanted = Wanted.of(queues=queues, exchanges=exchanges, bindings=bindings)
        lines = difference(self._host(vhost), wanted)
        if lines:
            listed = "\n".join(f"  {line}" for line in lines)
            raise AssertionError(
                f"the topology is another one (- is missing, + is there instead):\n{listed}"
            )

    def assert_no_leaks(self) -> None:
        """Claim that everything was closed: connections with their channels and consumers.

        With these, what is not acknowledged and exclusive queues are gone too.
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
                    f"      delivery {each.tag} not acknowledged: {_headline(each.queued.message)}"
                    for each in consuming.unacked
                ]
        for vhost in self.node.vhosts.values():
            lines += [
                f"  exclusive queue {queue.name!r}"
                for queue in vhost.queues.values()
                if queue.owner is not None
            ]
        if lines:
            raise AssertionError("something was left open:\n" + "\n".join(lines))

    def _published(self, vhost: str) -> str:
        history = self._host(vhost).history
        count = history.forgotten
        forgotten = f" ({count} earlier ones are forgotten)" if count else ""
        return f"What was published{forgotten}:\n{_list(list(history))}"

    def _explained(self, message: Message, vhost: str) -> str:
        headers = message.properties.headers
        if message.exchange not in self._host(vhost).exchanges:
            return f"exchange {message.exchange!r} is gone by now"
        key = message.routing_key
        return f"By now, {self.explain_route(message.exchange, key, headers, vhost=vhost)}"


def _has(message: Message, headers: FieldTable) -> bool:
    actual = message.properties.headers or {}
    return all(name in actual and actual[name] == value for name, value in headers.items())


def _number(count: int | None) -> str:
    if count is None:
        return "expected a message to be"
    return f"expected {count} message{'' if count == 1 else 's'} to be"


def _headline(message: Message) -> str:
    return str(message).partition("\n")[0]


def _list(messages: list[Message]) -> str:
    """Show messages with what became of them, of many the last ones."""
    if not messages:
        return "  nothing"
    left_out = len(messages) - _SHOWN
    first = [f"  ({left_out} earlier ones left out)"] if left_out > 0 else []
    shown = [f"  {line}" for each in messages[-_SHOWN:] for line in str(each).split("\n")]
    return "\n".join([*first, *shown])


def _unacked_lines(queue: Queue) -> list[str]:
    return [
        f"  queue {queue.name!r}, with {who}: {_headline(message)}"
        for who, messages in queue.unacked.items()
        for message in messages
    ]
