"""What was declared, as data."""

import json
from decimal import Decimal
from typing import Any

import pytest

from aioamqp import Topology
from amqp_codec import Method, basic, exchange, queue

EXCHANGE = exchange.Declare("events", "topic", durable=True)
QUEUE = queue.Declare("orders", durable=True)
BINDING = queue.Bind("orders", "events", "order.*")
CONSUMER = basic.Consume("orders", "tag")


def recorded(*methods: Method, channel: int = 1) -> Topology:
    topology = Topology()
    for method in methods:
        topology.record(method, channel)
    return topology


def names(topology: Topology) -> list[str]:
    return str(topology).splitlines()


# --------------------------------------------------------------------------------- recording


def test_declarations_are_recorded_and_shown_a_line_each() -> None:
    topology = recorded(EXCHANGE, QUEUE, BINDING, CONSUMER)

    assert names(topology) == [
        "exchange 'events' (topic, durable)",
        "queue 'orders' (durable)",
        "binding of queue 'orders' to exchange 'events' with routing key 'order.*'",
        "consumer 'tag' of queue 'orders' on channel 1",
    ]
    assert repr(topology) == "<Topology: 1 bindings, 1 consumers, 1 exchanges, 1 queues>"


def test_an_empty_topology_is_false_and_says_so() -> None:
    assert not Topology()
    assert str(Topology()) == "nothing"
    assert recorded(QUEUE)


def test_entities_come_in_an_order_in_which_they_can_be_declared() -> None:
    topology = recorded(QUEUE, exchange.Declare("first", "fanout"), EXCHANGE, BINDING)
    topology.record(exchange.Bind("events", "first", "k"), 1)

    kinds = [type(entity) for entity in topology]

    assert kinds == [
        exchange.Declare, exchange.Declare, queue.Declare, queue.Bind, exchange.Bind,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "method",
    [
        exchange.Declare("events", passive=True),
        exchange.Declare("amq.topic", "topic", durable=True),
        exchange.Declare("", "direct"),
        queue.Declare("orders", passive=True),
        queue.Bind("orders", "", "orders"),
        basic.Qos(0, 1),
        queue.Purge("orders"),
        queue.Delete("orders"),
        basic.Cancel("tag"),
    ],
    ids=repr,
)
def test_other_methods_change_nothing(method: Method) -> None:
    assert not recorded(method)


def test_what_is_declared_twice_is_there_once_with_the_latest_arguments() -> None:
    topology = recorded(QUEUE, queue.Declare("orders"), BINDING, BINDING)

    assert topology.queues == {"orders": queue.Declare("orders")}
    assert topology.bindings == (BINDING,)


def test_bindings_differ_by_routing_key_and_arguments() -> None:
    topology = recorded(
        BINDING,
        queue.Bind("orders", "events", "other"),
        queue.Bind("orders", "events", "order.*", arguments={"x": 1}),
    )

    topology.record(queue.Unbind("orders", "events", "order.*"), 1)

    assert [(b.routing_key, b.arguments) for b in topology.bindings] == [
        ("other", {}),
        ("order.*", {"x": 1}),
    ]


def test_a_queue_and_an_exchange_of_one_name_have_their_own_bindings() -> None:
    topology = recorded(queue.Bind("x", "events", "k"), exchange.Bind("x", "events", "k"))

    topology.record(exchange.Unbind("x", "events", "k"), 1)

    assert topology.bindings == (queue.Bind("x", "events", "k"),)


def test_methods_are_recorded_as_they_are_sent_again() -> None:
    arguments = {"x-max-length": 1}
    method = queue.Declare("orders", no_wait=True, arguments=arguments)
    topology = recorded(method)

    arguments["x-max-length"] = 2
    method.queue = "another"

    assert topology.queues["orders"] == queue.Declare("orders", arguments={"x-max-length": 1})


# --------------------------------------------------------------------------------- forgetting


def test_a_deleted_queue_is_forgotten_with_its_bindings_and_consumers() -> None:
    topology = recorded(EXCHANGE, QUEUE, BINDING, CONSUMER, basic.Consume("other", "tag2"))

    topology.record(queue.Delete("orders"), 2)

    assert names(topology) == [
        "exchange 'events' (topic, durable)",
        "consumer 'tag2' of queue 'other' on channel 1",
    ]


def test_a_deleted_exchange_is_forgotten_with_the_bindings_at_both_ends() -> None:
    topology = recorded(
        EXCHANGE, QUEUE, BINDING,
        exchange.Declare("source", "direct"), exchange.Bind("events", "source", "k"),
        queue.Bind("orders", "source", "k"),
    )  # fmt: skip

    topology.record(exchange.Delete("events"), 1)

    assert names(topology) == [
        "exchange 'source' (direct)",
        "queue 'orders' (durable)",
        "binding of queue 'orders' to exchange 'source' with routing key 'k'",
    ]


def test_an_auto_delete_exchange_is_forgotten_with_its_last_binding_and_so_on() -> None:
    """RabbitMQ: an exchange is in use while it is the source of a binding."""
    auto = exchange.Declare("auto", "fanout", auto_delete=True)
    above = exchange.Declare("above", "fanout", auto_delete=True)
    topology = recorded(
        auto, above, QUEUE, exchange.Bind("auto", "above", ""),
        queue.Bind("orders", "auto", "1"), queue.Bind("orders", "auto", "2"),
    )  # fmt: skip

    topology.record(queue.Unbind("orders", "auto", "1"), 1)
    assert set(topology.exchanges) == {"auto", "above"}
    topology.record(queue.Delete("orders"), 1)

    assert not topology


def test_an_auto_delete_exchange_that_never_had_a_binding_stays() -> None:
    topology = recorded(exchange.Declare("auto", auto_delete=True), QUEUE)

    topology.record(queue.Delete("orders"), 1)

    assert set(topology.exchanges) == {"auto"}


def test_an_auto_delete_queue_is_forgotten_with_its_last_consumer() -> None:
    topology = recorded(
        queue.Declare("q", auto_delete=True), basic.Consume("q", "one"), basic.Consume("q", "two")
    )

    topology.record(basic.Cancel("one"), 1)
    assert set(topology.queues) == {"q"}
    topology.record(basic.Cancel("two"), 1)

    assert not topology


def test_a_consumer_tag_belongs_to_its_channel() -> None:
    topology = recorded(CONSUMER, channel=1)
    topology.record(CONSUMER, 2)

    topology.record(basic.Cancel("tag"), 2)

    assert list(topology.consumers) == [("tag", 1)]


def test_a_closed_channel_is_forgotten_with_its_consumers_and_their_auto_delete_queues() -> None:
    topology = recorded(QUEUE, queue.Declare("q", auto_delete=True), basic.Consume("q", "one"))
    topology.record(CONSUMER, 2)

    topology.forget_channel(1)

    assert names(topology) == [
        "queue 'orders' (durable)",
        "consumer 'tag' of queue 'orders' on channel 2",
    ]


@pytest.mark.parametrize("method", [EXCHANGE, QUEUE, BINDING], ids=repr)
def test_an_entity_that_cannot_be_declared_is_forgotten(
    method: exchange.Declare | queue.Declare | queue.Bind,
) -> None:
    topology = recorded(EXCHANGE, QUEUE, BINDING)

    topology.forget(method)

    assert method not in list(topology)
    assert topology.bindings == ()


# --------------------------------------------------------------------------------- as a value


def test_a_copy_is_equal_and_does_not_change_with_the_original() -> None:
    topology = recorded(EXCHANGE, QUEUE, BINDING, CONSUMER)
    duplicate = topology.copy()

    assert duplicate == topology
    topology.record(queue.Delete("orders"), 1)

    assert duplicate != topology
    assert duplicate == recorded(EXCHANGE, QUEUE, BINDING, CONSUMER)


def test_a_topology_equals_only_a_topology_and_cannot_be_a_key() -> None:
    assert Topology() != "nothing"
    with pytest.raises(TypeError):
        hash(Topology())


# --------------------------------------------------------------------------------- declaring


LASTING = exchange.Declare("lasting", durable=True)
BRIEF = exchange.Declare("brief")
MINE = queue.Declare("mine", durable=True, exclusive=True)
AUTO = queue.Declare("auto", durable=True, auto_delete=True)


def test_everything_is_declared_again_or_nothing() -> None:
    topology = recorded(EXCHANGE, QUEUE, BINDING)

    assert topology.to_declare("all") == list(topology)
    assert topology.to_declare("none") == []


def test_only_what_the_server_may_have_deleted_is_declared_again() -> None:
    topology = recorded(
        LASTING, BRIEF, QUEUE, MINE, AUTO,
        queue.Bind("orders", "lasting", ""), queue.Bind("orders", "brief", ""),
        queue.Bind("mine", "lasting", ""), exchange.Bind("lasting", "brief", ""),
        queue.Bind("orders", "amq.topic", ""), queue.Bind("auto", "amq.topic", ""),
    )  # fmt: skip

    assert topology.to_declare("transient") == [
        BRIEF, MINE, AUTO,
        queue.Bind("orders", "brief", ""), queue.Bind("mine", "lasting", ""),
        exchange.Bind("lasting", "brief", ""), queue.Bind("auto", "amq.topic", ""),
    ]  # fmt: skip


# --------------------------------------------------------------------------------- definitions


def test_definitions_are_those_that_rabbitmq_imports() -> None:
    topology = recorded(
        exchange.Declare("events", "topic", durable=True, internal=True),
        queue.Declare("orders", durable=True, arguments={"x-max-length": 5}),
        queue.Bind("orders", "events", "order.*", arguments={"n": None}),
        exchange.Bind("events", "amq.topic", "#"),
    )

    definitions = topology.to_definitions("shop")

    assert definitions == {
        "exchanges": [
            {
                "name": "events", "vhost": "shop", "type": "topic", "durable": True,
                "auto_delete": False, "internal": True, "arguments": {},
            }
        ],
        "queues": [
            {
                "name": "orders", "vhost": "shop", "durable": True, "auto_delete": False,
                "arguments": {"x-max-length": 5},
            }
        ],
        "bindings": [
            {
                "source": "events", "vhost": "shop", "destination": "orders",
                "destination_type": "queue", "routing_key": "order.*", "arguments": {"n": None},
            },
            {
                "source": "amq.topic", "vhost": "shop", "destination": "events",
                "destination_type": "exchange", "routing_key": "#", "arguments": {},
            },
        ],
    }  # fmt: skip
    assert json.loads(json.dumps(definitions)) == definitions


def test_exclusive_queues_and_their_bindings_are_not_in_definitions() -> None:
    definitions = recorded(MINE, queue.Bind("mine", "amq.topic", "k")).to_definitions()

    assert definitions == {"exchanges": [], "queues": [], "bindings": []}


def test_arguments_of_every_type_become_json() -> None:
    arguments: dict[str, Any] = {
        "bytes": b"\xffb",
        "table": {"list": [1, True, 2.5]},
        "decimal": Decimal("1.5"),
    }

    (definition,) = recorded(queue.Declare("q", arguments=arguments)).to_definitions()["queues"]

    assert json.loads(json.dumps(definition["arguments"])) == {
        "bytes": "\N{REPLACEMENT CHARACTER}b",
        "table": {"list": [1, True, 2.5]},
        "decimal": "1.5",
    }
