"""What to do about a refusal of RabbitMQ, by its reply code and text.

Pure: a table of the refusals that programs meet, with the cure of each. RabbitMQ names neither the
method nor the cure in its texts; here they are added to the text of the exception.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from amqp_codec import ReplyCode


class Refusal(NamedTuple):
    """A refusal, and what to do about it.

    Attributes:
        code: the reply code.
        text: a regular expression for a part of the reply text; its groups are named.
        advice: what to do, with the groups in braces.
    """

    code: ReplyCode
    text: str
    advice: str


_EXCHANGE_TYPE: Final = "unknown exchange type '"
_EXCHANGE_TYPES: Final = (
    "the types are direct, fanout, topic and headers; for another one, enable its plugin on the"
    " server"
)
_PERMIT: Final = "set deprecated_features.permit.{feature} = true in rabbitmq.conf for now"


def _deprecated(feature: str, instead: str) -> Refusal:
    text = f"Feature `+(?P<feature>{feature})`+ is deprecated"
    return Refusal(ReplyCode.INTERNAL_ERROR, text, f"{instead}, or {_PERMIT}")


REFUSALS: Final = (
    # RabbitMQ: see deprecated-features.html
    _deprecated(
        "transient_nonexcl_queues",
        "declare the queue with durable=True, or with exclusive=True if only this connection uses"
        " it",
    ),
    _deprecated(
        "global_qos",
        "limit each consumer instead, with basic_qos(prefetch_count=...) and without"
        " connection_global",
    ),
    _deprecated(
        "queue_master_locator",
        "leave the argument x-queue-master-locator out, or use x-queue-leader-locator",
    ),
    _deprecated(r"\w+", "do without it"),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>\w+) '(?P<name>[^']*)'",
        "it exists with another value of {argument}, which is after 'current is': declare it with"
        " that one, leave the declaration to whoever created it (passive=True checks that it"
        " exists), or delete it first",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"unknown delivery tag (?P<tag>\d+)",
        "a message is settled once, and on the channel that delivered it; it was settled already"
        " (perhaps with multiple=True), delivered with no_ack, or came over another channel",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"message size \d+ is larger than|larger than configured max size",
        "send a smaller body, or a reference to it, or raise max_message_size in rabbitmq.conf",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"' in use$",
        "it has consumers or bindings: end these first, or delete it without if_unused",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"' not empty$",
        "purge the queue first, or delete it without if_empty",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"fast reply consumer does not exist",
        "consume from amq.rabbitmq.reply-to, with no_ack, on the same channel before publishing the"
        " request",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"consumer prefetch count is not set",
        "set basic_qos(prefetch_count=...) on the channel before consuming from a stream",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"Cannot declare a server-named queue",
        "give the queue a name: only classic queues can be named by the server",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"invalid property '(?P<property>[^']*)' for queue",
        "queues of this type must be durable, and neither exclusive nor auto_delete",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"cannot switch from|channel is not transactional|partial tx completion",
        "use one channel for publisher confirms and another one for transactions",
    ),
    Refusal(
        ReplyCode.PRECONDITION_FAILED,
        r"(queue|exchange) limit",
        "delete what is not used, or ask an administrator to raise the limit",
    ),
    Refusal(ReplyCode.PRECONDITION_FAILED, _EXCHANGE_TYPE, _EXCHANGE_TYPES),
    Refusal(ReplyCode.COMMAND_INVALID, _EXCHANGE_TYPE, _EXCHANGE_TYPES),  # before RabbitMQ 3.13.3
    Refusal(
        ReplyCode.ACCESS_REFUSED,
        r"Login was refused",
        "check the user name and the password, whose special characters are percent-encoded in a"
        " URL; guest may log in from the server's own host only",
    ),
    Refusal(
        ReplyCode.ACCESS_REFUSED,
        r"in exclusive use",
        "the queue has an exclusive consumer, or this one asks to be exclusive beside others",
    ),
    Refusal(
        ReplyCode.ACCESS_REFUSED,
        r"reserved prefix",
        "choose a name that does not begin with amq.",
    ),
    Refusal(
        ReplyCode.ACCESS_REFUSED,
        r"internal exchange",
        "publish to an exchange that is bound to it",
    ),
    Refusal(
        ReplyCode.ACCESS_REFUSED,
        r"access to (topic|queue|exchange) .* refused for user '(?P<user>[^']*)'",
        "grant the permission with rabbitmqctl set_permissions or set_topic_permissions for the"
        " virtual host",
    ),
    Refusal(
        ReplyCode.NOT_FOUND,
        r"no previously declared queue",
        "name the queue, or declare one on this channel first",
    ),
    Refusal(
        ReplyCode.NOT_FOUND,
        r"no (?P<kind>queue|exchange) '",
        "declare the {kind} first, and check its name and the virtual host",
    ),
    Refusal(
        ReplyCode.RESOURCE_LOCKED,
        r"locked queue",
        "wait until the other connection has ended, with which the queue is deleted, or choose"
        " another name",
    ),
    Refusal(
        ReplyCode.NOT_ALLOWED,
        r"attempt to reuse consumer tag",
        "choose a tag that no other consumer of the channel has, or let the client choose one",
    ),
    Refusal(
        ReplyCode.NOT_ALLOWED,
        r"vhost .* not found|vhost '.*' is down|to vhost '[^']*' refused: it is down",
        "check the virtual host in the URL: that after the last / is percent-encoded, and the"
        " default one, /, is left out or %2F; rabbitmqctl add_vhost creates one",
    ),
    Refusal(
        ReplyCode.NOT_ALLOWED,
        r"access to vhost '(?P<vhost>[^']*)' refused for user '(?P<user>[^']*)': "
        r"(?=.*(limit|maximum|exceed))",
        "close connections that are not used (one with many channels is enough for a program), or"
        " ask an administrator to raise the limit",
    ),
    Refusal(
        ReplyCode.NOT_ALLOWED,
        r"access to vhost '(?P<vhost>[^']*)' refused for user '(?P<user>[^']*)'",
        "grant the user permissions in it: rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*'"
        " '.*'",
    ),
    Refusal(
        ReplyCode.NOT_ALLOWED,
        r"number of channels opened",
        "close channels that are not used, or ask an administrator to raise the limit",
    ),
    Refusal(
        ReplyCode.NOT_ALLOWED,
        r"limit|maximum",
        "close connections that are not used, or ask an administrator to raise the limit",
    ),
    Refusal(
        ReplyCode.NOT_IMPLEMENTED,
        r"immediate=true",
        "publish without immediate: RabbitMQ has not supported it since 3.0",
    ),
    Refusal(
        ReplyCode.NOT_IMPLEMENTED,
        r"does not support global qos",
        "set the prefetch count of each consumer, without connection_global",
    ),
    Refusal(
        ReplyCode.NOT_IMPLEMENTED,
        r"stream",
        "use what streams support: consumers with a prefetch count and acknowledgements",
    ),
    Refusal(
        ReplyCode.FRAME_ERROR,
        r"frame_too_large",
        "connect with a frame_max that is not larger than the server's",
    ),
)
"""The first row that fits applies."""

_MOST_NAMES: Final = 1000

_MISSING: Final = r"no (?P<kind>queue|exchange) '(?P<name>.*)' in vhost"


def advise(code: int, text: str) -> str:
    """Return what to do about a refusal; empty if that is not known."""
    for refusal in REFUSALS:
        if refusal.code == code and (found := re.search(refusal.text, text)):
            return refusal.advice.format(**found.groupdict())
    return ""


def with_advice(text: str, advice: str) -> str:
    """Return a text of the server, and what to do about it."""
    return f"{text.rstrip('.')}; {advice}" if advice else text


def missing(code: int, text: str) -> tuple[str, str] | None:
    """Return the kind and the name of what does not exist, if a refusal says so.

    Returns:
        ``queue`` or ``exchange``, and its name.
    """
    found = re.search(_MISSING, text) if code == ReplyCode.NOT_FOUND else None
    return None if found is None else (found["kind"], found["name"])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelt one is most like; None if it is like none."""
    import difflib  # only errors need it

    return next(iter(difflib.get_close_matches(name, list(known), 1)), None)


class DeclaredNames:
    """The latest names that were declared on a connection, among which a misspelt one is sought.

    It has a thousand of each, so that a program that declares new names all the time needs no
    more memory for it.
    """

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[str, dict[str, None]] = {}

    def add(self, kind: str, name: str) -> None:
        """Add the name of a ``queue`` or an ``exchange``, unless the server has made it up."""
        if name.startswith("amq."):
            return
        names = self._names.setdefault(kind, {})
        names.pop(name, None)
        names[name] = None
        if len(names) > _MOST_NAMES:
            del names[next(iter(names))]

    def of(self, kind: str) -> list[str]:
        """Return the names of a kind, the oldest first."""
        return list(self._names.get(kind, ()))
