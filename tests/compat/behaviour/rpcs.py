"""The methods of a channel that wait for a reply from the server."""

from typing import Any, NamedTuple

import aioamqp
from amqp_codec import Method, basic, channel, confirm, exchange, queue, tx


class Rpc(NamedTuple):
    """A call of such a method.

    Attributes:
        name: of the method of ``aioamqp.Channel``.
        arguments: of the call.
        sends: the class of the AMQP method that is sent.
        returns: the result, or the class of the exception, with the answers of ``scripted_server``.
    """

    name: str
    arguments: tuple[Any, ...]
    sends: type[Method]
    returns: Any = True

    async def call(self, opened: aioamqp.Channel, **options: Any) -> Any:
        """Make the call; return its result, or the class of an expected exception."""
        try:
            return await getattr(opened, self.name)(*self.arguments, **options)
        except (aioamqp.EmptyQueue, ValueError) as error:
            return type(error)


async def _nothing(*_: object) -> None:
    pass


DECLARED = {"queue": "q", "message_count": 3, "consumer_count": 1}

RPCS = [
    Rpc("flow", (True,), channel.Flow, {"active": True}),
    Rpc("exchange_declare", ("e", "topic"), exchange.Declare),
    Rpc("exchange", ("e", "topic"), exchange.Declare),
    Rpc("exchange_delete", ("e",), exchange.Delete),
    Rpc("exchange_bind", ("to", "from", "key"), exchange.Bind),
    Rpc("exchange_unbind", ("to", "from", "key"), exchange.Unbind),
    Rpc("queue_declare", ("q",), queue.Declare, DECLARED),
    Rpc("queue", ("q",), queue.Declare, DECLARED),
    Rpc("queue_delete", ("q",), queue.Delete),
    Rpc("queue_bind", ("q", "e", "key"), queue.Bind),
    Rpc("queue_unbind", ("q", "e", "key"), queue.Unbind),
    Rpc("queue_purge", ("q",), queue.Purge, {"message_count": 7}),
    Rpc("basic_qos", (0, 5), basic.Qos),
    Rpc("basic_consume", (_nothing, "q", "tag"), basic.Consume, {"consumer_tag": "tag"}),
    Rpc("basic_cancel", ("tag",), basic.Cancel, {"consumer_tag": "tag"}),
    Rpc("basic_get", ("q",), basic.Get, aioamqp.EmptyQueue),
    Rpc("basic_recover", (True,), basic.Recover),
    Rpc("confirm_select", (), confirm.Select),
    Rpc("tx_select", (), tx.Select),
    Rpc("tx_commit", (), tx.Commit),
    Rpc("tx_rollback", (), tx.Rollback),
]
"""All methods with a reply except ``open`` and ``close``."""


def name_of(rpc: Rpc) -> str:
    """Return the name for test ids."""
    return rpc.name
