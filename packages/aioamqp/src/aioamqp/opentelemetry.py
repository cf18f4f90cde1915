"""Traces for OpenTelemetry: an instrument on its API. Install ``aioamqp[opentelemetry]``.

A message has a span for publishing, which ends with its publisher confirm if there is one, and a
span for processing each time that a handler gets it. The context travels in the headers, so both
belong to one trace. The attributes are those of the semantic conventions for messaging.
"""

try:
    from opentelemetry import context, propagate, trace
    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Link, Span, SpanKind, StatusCode, TracerProvider
except ImportError as _missing:
    raise ImportError(
        "aioamqp.opentelemetry needs opentelemetry-api: python3 -m pip install"
        " 'aioamqp[opentelemetry]'"
    ) from _missing

from contextvars import Token
from weakref import WeakKeyDictionary

from .instrument import Delivery, Instrument, Outcome, Publication
from .properties import Properties
from .version import __version__

__all__ = ["OpenTelemetryInstrument"]


class OpenTelemetryInstrument(Instrument):
    """Makes spans of what connections publish, and of what their handlers process.

        tracing = OpenTelemetryInstrument()
        connection = aioamqp.Connection("amqp://localhost/", instrument=tracing)

    While a handler runs, its span is the current one: a callback, the handler of a ``Worker`` or
    of an ``RpcServer``, and the body of ``async for``. Leave such a loop through ``async with``, or
    the last span remains the current one until nothing refers to the iterator.

    Args:
        tracer_provider: None for the global one.
        propagator: writes the context into headers and reads it; None for the global one, by
            default W3C's ``traceparent``, ``tracestate`` and ``baggage``.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("aioamqp", __version__, tracer_provider)
        self._propagator = propagator
        self._publishing: WeakKeyDictionary[Publication, Span] = WeakKeyDictionary()
        self._handling: WeakKeyDictionary[Delivery, tuple[Span, Token[Context]]] = (
            WeakKeyDictionary()
        )

    # ---------------------------------------------------------------- publishing

    def publishing(self, message: Publication) -> None:
        """Start a span, and write its context into the headers."""
        attributes = _attributes(message, "publish", "send", _joined(message))
        span = self._tracer.start_span(
            f"publish {message.exchange or message.routing_key}".rstrip(),
            kind=SpanKind.PRODUCER,
            attributes=attributes,
        )
        propagator = self._propagator or propagate.get_global_textmap()
        propagator.inject(message.headers, trace.set_span_in_context(span))
        self._publishing[message] = span

    def published(self, message: Publication, seconds: float) -> None:  # noqa: ARG002
        """End the span, unless a publisher confirm follows."""
        if not message.awaits_confirm:
            self._end(message)

    def not_published(self, message: Publication, error: BaseException) -> None:
        """End the span with an error."""
        span = self._publishing.get(message)
        if span is not None:
            _fail(span, error)
        self._end(message)

    def confirmed(self, message: Publication, outcome: Outcome, seconds: float) -> None:  # noqa: ARG002
        """End the span; with an error if the message is not confirmed."""
        span = self._publishing.get(message)
        if span is not None and outcome != "confirmed":
            span.set_attribute("error.type", outcome)
            span.set_status(StatusCode.ERROR, f"The outcome of the message is: {outcome}")
        self._end(message)

    def _end(self, message: Publication) -> None:
        span = self._publishing.pop(message, None)
        if span is not None:
            span.end()

    # ---------------------------------------------------------------- consuming

    def delivered(self, message: Delivery) -> None:
        """Make a span for a message of basic.get, which has no handler."""
        if not message.consumer_tag:
            self._start(message, "receive", SpanKind.CLIENT)[0].end()

    def handling(self, message: Delivery) -> None:
        """Start a span in the trace of the message, and make it the current one."""
        span, parent = self._start(message, "process", SpanKind.CONSUMER)
        token = context.attach(trace.set_span_in_context(span, parent))
        self._handling[message] = span, token

    def handled(self, message: Delivery, seconds: float) -> None:  # noqa: ARG002
        """End the span."""
        self._finish(message, None)

    def handler_failed(self, message: Delivery, error: BaseException, seconds: float) -> None:  # noqa: ARG002
        """End the span with the error."""
        self._finish(message, error)

    def _start(self, message: Delivery, operation: str, kind: SpanKind) -> tuple[Span, Context]:
        # The parent is the span that published the message; without one the trace begins here,
        # and not in whatever span the consumer was started.
        base = trace.set_span_in_context(trace.INVALID_SPAN)
        propagator = self._propagator or propagate.get_global_textmap()
        properties = message.properties
        parent = propagator.extract(_carrier(properties), base)
        publisher = trace.get_current_span(parent).get_span_context()
        attributes = _attributes(
            message, operation, operation, _joined(message, message.queue), properties
        )
        attributes["messaging.rabbitmq.message.delivery_tag"] = message.delivery_tag
        span = self._tracer.start_span(
            f"{operation} {message.queue}".rstrip(),
            parent,
            kind,
            attributes,
            links=[Link(publisher)] if publisher.is_valid else [],
        )
        return span, parent

    def _finish(self, message: Delivery, error: BaseException | None) -> None:
        span, token = self._handling.pop(message, (None, None))
        if span is None or token is None:
            return
        if trace.get_current_span() is span:  # or the task has ended that had it
            context.detach(token)
        if error is not None:
            _fail(span, error)
        span.end()


def _attributes(
    message: Publication | Delivery,
    name: str,
    kind: str,
    destination: str,
    properties: Properties | None = None,
) -> dict[str, str | int]:
    """Return the attributes of a span. OpenTelemetry: semantic conventions for RabbitMQ."""
    if properties is None:
        properties = message.properties
    attributes: dict[str, str | int] = {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
        "messaging.message.body.size": message.size,
        "server.address": message.peer.host,
    }
    if isinstance(message.peer.port, int):
        attributes["server.port"] = message.peer.port
    if message.routing_key:
        attributes["messaging.rabbitmq.destination.routing_key"] = message.routing_key
    if properties.message_id:
        attributes["messaging.message.id"] = properties.message_id
    if properties.correlation_id:
        attributes["messaging.message.conversation_id"] = properties.correlation_id
    return attributes


def _joined(message: Publication | Delivery, queue: str = "") -> str:
    """Return the name of a destination: exchange, routing key and queue, as far as there are any.

    A queue that is its own routing key, as with the default exchange, is named once.
    """
    names = [message.exchange, message.routing_key]
    if queue != message.routing_key:
        names.append(queue)
    return ":".join(filter(None, names)) or "amq.default"


def _carrier(properties: Properties) -> dict[str, str]:
    """Return the headers that are text."""
    return {
        name: value for name, value in (properties.headers or {}).items() if isinstance(value, str)
    }


def _fail(span: Span, error: BaseException) -> None:
    span.record_exception(error)
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(StatusCode.ERROR, str(error) or type(error).__name__)
