"""Metrics for Prometheus: an instrument on prometheus-client. Install ``aioamqp[prometheus]``."""

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
except ImportError as _missing:
    raise ImportError(
        "aioamqp.prometheus needs prometheus-client: python3 -m pip install 'aioamqp[prometheus]'"
    ) from _missing

from typing import Final

from .exceptions import ChannelClosed
from .instrument import Delivery, Instrument, Outcome, Peer, Publication, Settlement, WaitReason

__all__ = ["PrometheusInstrument"]

MAX_NAMES: Final = 100
"""Names of exchanges, and of queues, that have time series of their own by default."""

OTHER: Final = "(other)"
"""The label of exchanges and queues beyond that number."""

_SERVER: Final = ["server"]


class PrometheusInstrument(Instrument):
    """Counts what connections do, and how long it takes, in a registry of prometheus-client.

        metrics = PrometheusInstrument()
        connection = aioamqp.Connection("amqp://localhost/", instrument=metrics)

    Make one, and give it to every connection. The label ``server`` is the host and the port.
    There are no routing keys in labels, and no more than ``max_names`` exchanges and queues:
    ``docs/guides/observability.md`` lists the metrics.

    Args:
        registry: to register the metrics in.
        namespace: the first part of their names.
        max_names: exchanges, and queues, that have time series of their own; the others share the
            label "(other)".

    Raises:
        ValueError: the registry has metrics of these names already.
    """

    def __init__(
        self,
        registry: CollectorRegistry = REGISTRY,
        *,
        namespace: str = "aioamqp",
        max_names: int = MAX_NAMES,
    ) -> None:
        self._max_names = max_names
        self._exchanges: set[str] = set()
        self._queues: set[str] = set()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, [*_SERVER, *labels], namespace, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, [*_SERVER, *labels], namespace, registry=registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(name, text, [*_SERVER, *labels], namespace, registry=registry)

        self._connections = gauge("connections", "Connections that are open.")
        self._connected = counter("connections_opened", "Connections that were opened.")
        self._lost = counter("connections_lost", "Connections that ended unasked.")
        self._recovered = histogram(
            "recovery_seconds", "Seconds from the loss of a connection to its recovery."
        )
        self._blocked = gauge("connections_blocked", "Connections whose publishers are blocked.")
        self._channels_closed = counter(
            "channels_closed", "Channels that ended unasked, by reply code; 0 without one.", "code"
        )
        self._published = counter("published", "Messages that were written.", "exchange")
        self._published_bytes = counter(
            "published_bytes", "Bytes of the bodies that were written.", "exchange"
        )
        self._not_published = counter(
            "not_published", "Messages that were not written, because of an error.", "exchange"
        )
        self._confirms = counter(
            "confirms", "Outcomes of messages in confirm mode.", "exchange", "outcome"
        )
        self._confirm_seconds = histogram(
            "confirm_seconds", "Seconds from the write of a message to its publisher confirm."
        )
        self._returned = counter("returned", "Messages that the server returned.", "exchange")
        self._delivered = counter("delivered", "Messages that were delivered.", "queue")
        self._delivered_bytes = counter(
            "delivered_bytes", "Bytes of the bodies that were delivered.", "queue"
        )
        self._handling = gauge("handling", "Messages whose handler runs.", "queue")
        self._handler_seconds = histogram(
            "handler_seconds", "Seconds that handlers took.", "queue", "outcome"
        )
        self._settled = counter("settled", "Deliveries that were settled.", "settlement")
        self._settle_seconds = histogram(
            "settle_seconds", "Seconds from a delivery to its acknowledgement or rejection."
        )
        self._waiting = gauge("waiting", "Calls that wait.", "reason")
        self._wait_seconds = histogram("wait_seconds", "Seconds that calls waited.", "reason")

    def connected(self, peer: Peer, seconds: float) -> None:  # noqa: ARG002
        """See ``Instrument``, as for all hooks."""
        self._connections.labels(_server(peer)).inc()
        self._connected.labels(_server(peer)).inc()

    def closed(self, peer: Peer, seconds: float) -> None:  # noqa: ARG002
        """Count the connection as closed."""
        self._connections.labels(_server(peer)).dec()

    def lost(self, peer: Peer, error: Exception, seconds: float) -> None:  # noqa: ARG002
        """Count the connection as lost."""
        self._connections.labels(_server(peer)).dec()
        self._lost.labels(_server(peer)).inc()

    def recovered(self, peer: Peer, seconds: float, unrestored: int) -> None:  # noqa: ARG002
        """Observe the time that recovery took."""
        self._recovered.labels(_server(peer)).observe(seconds)

    def blocked(self, peer: Peer, reason: str) -> None:  # noqa: ARG002
        """Count the connection as blocked."""
        self._blocked.labels(_server(peer)).inc()

    def unblocked(self, peer: Peer, seconds: float) -> None:  # noqa: ARG002
        """Count the connection as blocked no longer."""
        self._blocked.labels(_server(peer)).dec()

    def channel_closed(self, peer: Peer, channel: int, error: Exception | None) -> None:  # noqa: ARG002
        """Count the end of a channel by its reply code, unless the program has closed it."""
        if error is not None:
            code = error.code if isinstance(error, ChannelClosed) else 0
            self._channels_closed.labels(_server(peer), str(code)).inc()

    def published(self, message: Publication, seconds: float) -> None:  # noqa: ARG002
        """Count the message and its bytes."""
        labels = _server(message.peer), self._exchange(message.exchange)
        self._published.labels(*labels).inc()
        self._published_bytes.labels(*labels).inc(message.size)

    def not_published(self, message: Publication, error: BaseException) -> None:  # noqa: ARG002
        """Count the message."""
        exchange = self._exchange(message.exchange)
        self._not_published.labels(_server(message.peer), exchange).inc()

    def confirmed(self, message: Publication, outcome: Outcome, seconds: float) -> None:
        """Count the outcome, and observe how long it took to be known."""
        server = _server(message.peer)
        self._confirms.labels(server, self._exchange(message.exchange), outcome).inc()
        if outcome != "unknown":
            self._confirm_seconds.labels(server).observe(seconds)

    def returned(
        self,
        peer: Peer,
        channel: int,  # noqa: ARG002
        exchange: str,
        routing_key: str,  # noqa: ARG002
        size: int,  # noqa: ARG002
        code: int,  # noqa: ARG002
    ) -> None:
        """Count the message."""
        self._returned.labels(_server(peer), self._exchange(exchange)).inc()

    def delivered(self, message: Delivery) -> None:
        """Count the message and its bytes."""
        labels = _server(message.peer), self._queue(message.queue)
        self._delivered.labels(*labels).inc()
        self._delivered_bytes.labels(*labels).inc(message.size)

    def handling(self, message: Delivery) -> None:
        """Count the handler as running."""
        self._handling.labels(_server(message.peer), self._queue(message.queue)).inc()

    def handled(self, message: Delivery, seconds: float) -> None:
        """Count the handler as running no longer, and observe its time."""
        self._handler_ended(message, seconds, "returned")

    def handler_failed(self, message: Delivery, error: BaseException, seconds: float) -> None:  # noqa: ARG002
        """Count the handler as running no longer, and observe its time."""
        self._handler_ended(message, seconds, "failed")

    def settled(
        self,
        peer: Peer,
        channel: int,  # noqa: ARG002
        settlement: Settlement,
        count: int,
        seconds: float,
    ) -> None:
        """Count the deliveries, and observe the time since the oldest of them."""
        self._settled.labels(_server(peer), settlement).inc(count)
        if count:
            self._settle_seconds.labels(_server(peer)).observe(seconds)

    def waiter_added(self, peer: Peer, call: str, reason: WaitReason) -> None:  # noqa: ARG002
        """Count the call as waiting."""
        self._waiting.labels(_server(peer), reason).inc()

    def waiter_gone(self, peer: Peer, call: str, reason: WaitReason, seconds: float) -> None:  # noqa: ARG002
        """Count the call as waiting no longer, and observe its time."""
        self._waiting.labels(_server(peer), reason).dec()
        self._wait_seconds.labels(_server(peer), reason).observe(seconds)

    def _handler_ended(self, message: Delivery, seconds: float, outcome: str) -> None:
        labels = _server(message.peer), self._queue(message.queue)
        self._handling.labels(*labels).dec()
        self._handler_seconds.labels(*labels, outcome).observe(seconds)

    def _exchange(self, name: str) -> str:
        return self._bounded(self._exchanges, name)

    def _queue(self, name: str) -> str:
        return self._bounded(self._queues, name)

    def _bounded(self, names: set[str], name: str) -> str:
        if name in names:
            return name
        if len(names) >= self._max_names:
            return OTHER
        names.add(name)
        return name


def _server(peer: Peer) -> str:
    return f"{peer.host}:{peer.port}"
