"""What may be declared, deleted and bound, and in what words the rest is refused."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from amqp_codec import Command, FieldValue, LongStr, basic, exchange, queue
from tests.conformance.scenario import NO_SUCH_QUEUE, NewName, scenario
from tests.conformance.wire import OpenWire, Said, publish

DEFAULT_EXCHANGE = (403, "ACCESS_REFUSED - operation not permitted on the default exchange")
NO_SUCH_EXCHANGE = "NOT_FOUND - no exchange '{}' in vhost '/'"
NO_QUEUE_YET = (404, "NOT_FOUND - no previously declared queue")


@scenario
async def test_a_missing_queue_is_named(open_wire: OpenWire, name: str) -> None:
    """Row 82."""
    wire = await open_wire()
    for method in (
        queue.Declare(name, passive=True),
        basic.Consume(name),
        basic.Get(name),
        queue.Purge(name),
    ):
        assert await wire.refusal(method) == (404, NO_SUCH_QUEUE.format(name)), method


@scenario
async def test_a_missing_exchange_is_named(open_wire: OpenWire, name: str) -> None:
    """Row 83."""
    wire = await open_wire()
    asked: list[Said] = [
        exchange.Declare(name, passive=True),
        exchange.Declare(name, "no type", passive=True),
        publish("k", name),
    ]
    for each in asked:
        assert await wire.refusal(each) == (404, NO_SUCH_EXCHANGE.format(name)), each


@scenario
async def test_of_a_missing_exchange_and_a_missing_queue_the_exchange_is_named(
    open_wire: OpenWire, name: str
) -> None:
    """Row 84."""
    wire = await open_wire()

    assert await wire.refusal(queue.Bind(name, name, "k")) == (404, NO_SUCH_EXCHANGE.format(name))
    assert await wire.refusal(queue.Bind(name, "amq.topic", "k")) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )


@scenario
async def test_what_is_not_there_can_be_deleted_and_unbound(open_wire: OpenWire, name: str) -> None:
    """Row 85."""
    wire = await open_wire()

    assert await wire.say(
        queue.Delete(name),
        exchange.Delete(name),
        queue.Unbind(name, "amq.direct", "k"),
        queue.Unbind(name, name, "k"),
        exchange.Unbind(name, "amq.direct", "k"),
        exchange.Unbind("amq.direct", name, "k"),
    ) == [
        queue.DeleteOk(0),
        exchange.DeleteOk(),
        queue.UnbindOk(),
        queue.UnbindOk(),
        exchange.UnbindOk(),
        exchange.UnbindOk(),
    ]


@scenario
async def test_exchanges_that_are_missing_cannot_be_bound(open_wire: OpenWire, name: str) -> None:
    """Row 86."""
    wire = await open_wire()

    for method in (exchange.Bind(name, "amq.direct", "k"), exchange.Bind("amq.direct", name, "k")):
        assert await wire.refusal(method) == (404, NO_SUCH_EXCHANGE.format(name))


@scenario
async def test_an_empty_name_means_nothing_before_a_queue_is_declared(open_wire: OpenWire) -> None:
    """Rows 87, 88. The second one is for passive declarations."""
    wire = await open_wire()

    for method in (
        basic.Consume(""),
        basic.Get(""),
        queue.Bind("", "amq.direct", "k"),
        queue.Purge(""),
        queue.Delete(""),
    ):
        assert await wire.refusal(method) == NO_QUEUE_YET, method
    assert await wire.refusal(queue.Declare("", passive=True)) == (404, NO_SUCH_QUEUE.format(""))


@scenario
async def test_an_empty_name_is_the_queue_declared_last_even_when_it_is_deleted(
    open_wire: OpenWire, name: str
) -> None:
    """Row 89. With an empty key too, a queue is bound with its name as the key."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True), queue.Bind("", "amq.direct", ""))
    await wire.say(publish(name, "amq.direct"))
    assert await wire.bodies(name) == [b"m"]

    assert await wire.say(queue.Delete("")) == [queue.DeleteOk(0)]
    assert await wire.refusal(basic.Get("")) == (404, NO_SUCH_QUEUE.format(name))


@scenario
async def test_the_broker_makes_names_up(open_wire: OpenWire) -> None:
    """Row 90."""
    wire = await open_wire()

    (declared,) = await wire.say(queue.Declare("", exclusive=True))

    assert isinstance(declared, queue.DeclareOk)
    assert declared.queue.startswith("amq.gen-")
    assert len(declared.queue) == len("amq.gen-") + 22


@scenario
async def test_names_that_begin_with_amq_are_the_brokers(open_wire: OpenWire, name: str) -> None:
    """Rows 91-93."""
    wire = await open_wire()
    reserved = f"amq.{name}"

    assert await wire.refusal(queue.Declare(reserved)) == (
        403,
        f"ACCESS_REFUSED - queue name '{reserved}' contains reserved prefix 'amq.*'",
    )
    assert await wire.refusal(exchange.Declare(reserved, "direct")) == (
        403,
        f"ACCESS_REFUSED - exchange name '{reserved}' contains reserved prefix 'amq.*'",
    )
    assert await wire.refusal(queue.Declare(reserved, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(reserved),
    )
    assert await wire.say(
        exchange.Declare("amq.direct", passive=True),
        exchange.Declare("amq.direct", "direct", durable=True),
    ) == [exchange.DeclareOk(), exchange.DeclareOk()]
    for system in ("amq.direct", reserved):
        assert await wire.refusal(exchange.Delete(system)) == (
            403,
            f"ACCESS_REFUSED - deletion of system exchange '{system}' in vhost '/' not allowed",
        )


@scenario
async def test_the_default_exchange_is_left_alone(open_wire: OpenWire, name: str) -> None:
    """Row 94."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True))

    for method in (
        exchange.Declare("", "direct"),
        exchange.Declare("", passive=True),
        exchange.Delete(""),
        queue.Bind(name, "", "k"),
        queue.Unbind(name, "", "k"),
        exchange.Bind("amq.direct", "", "k"),
        exchange.Bind("", "amq.direct", "k"),
        exchange.Unbind("", "amq.direct", "k"),
    ):
        assert await wire.refusal(method) == DEFAULT_EXCHANGE, method


@scenario
async def test_exchanges_to_send_on_to_need_to_be_names_but_not_to_exist(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Rows 106 and 107."""
    wire = await open_wire()
    name = new_name()

    assert await wire.refusal(queue.Declare(name, arguments={"x-dead-letter-exchange": 5})) == (
        406,
        "PRECONDITION_FAILED - invalid type 'byte' for arg 'x-dead-letter-exchange'"
        f" in queue '{name}' in vhost '/'",
    )
    assert await wire.refusal(
        exchange.Declare(name, "direct", arguments={"alternate-exchange": True})
    ) == (
        406,
        "PRECONDITION_FAILED - invalid type 'bool' for arg 'alternate-exchange'"
        f" in exchange '{name}' in vhost '/'",
    )
    assert await wire.say(
        queue.Declare(name, exclusive=True, arguments={"x-dead-letter-exchange": new_name()}),
        exchange.Declare(name, "direct", arguments={"alternate-exchange": new_name()}),
    ) == [queue.DeclareOk(name, 0, 0), exchange.DeclareOk()]


@scenario
async def test_an_unknown_queue_master_ends_the_connection_without_a_word(
    open_wire: OpenWire, name: str
) -> None:
    """Row 108."""
    wire = await open_wire()

    assert await wire.refusal(queue.Declare(name, arguments={"x-queue-master-locator": "foo"})) == (
        541,
        "INTERNAL_ERROR",
    )


@scenario
async def test_an_exchange_is_compared_in_a_certain_order(open_wire: OpenWire, name: str) -> None:
    """Row 109. Arguments other than alternate-exchange do not count."""
    wire = await open_wire()
    alternate = {"alternate-exchange": "amq.fanout"}
    await wire.say(exchange.Declare(name, "direct", arguments=alternate))
    inequivalent = (
        f"PRECONDITION_FAILED - inequivalent arg '{{}}' for exchange '{name}' in vhost '/': {{}}"
    )

    for method, argument, how in (
        (
            exchange.Declare(name, "fanout", durable=True),
            "type",
            "received 'fanout' but current is 'direct'",
        ),
        (
            exchange.Declare(name, "direct", durable=True, auto_delete=True),
            "durable",
            "received 'true' but current is 'false'",
        ),
        (
            exchange.Declare(name, "direct", auto_delete=True, internal=True),
            "auto_delete",
            "received 'true' but current is 'false'",
        ),
        (
            exchange.Declare(name, "direct", internal=True),
            "internal",
            "received 'true' but current is 'false'",
        ),
        (
            exchange.Declare(name, "direct"),
            "alternate-exchange",
            "received none but current is the value 'amq.fanout' of type 'longstr'",
        ),
    ):
        assert await wire.refusal(method) == (406, inequivalent.format(argument, how))
    again = exchange.Declare(name, "direct", arguments={**alternate, "other": 1})
    assert await wire.say(again) == [exchange.DeclareOk()]


@pytest.mark.parametrize(
    ("kind", "word"),
    [("no-type", "unknown"), ("queue", "invalid"), ("", "invalid"), ("null", "invalid")],
)
@scenario
async def test_an_unknown_type_of_exchange_ends_the_connection(
    open_wire: OpenWire, kind: str, word: str
) -> None:
    """Row 110. It comes before every other mistake."""
    wire = await open_wire()

    assert await wire.refusal(exchange.Declare("", kind)) == (
        503,
        f"COMMAND_INVALID - {word} exchange type '{kind}'",
    )


@scenario
async def test_what_is_in_use_or_not_empty_stays_if_so_asked(
    open_wire: OpenWire, name: str
) -> None:
    """Rows 111 and 112. An exchange is in use as a source, not as a destination."""
    wire = await open_wire(1, 2)
    await wire.say(queue.Declare(name, exclusive=True), publish(name), number=1)

    assert await wire.refusal(queue.Delete(name, if_empty=True)) == (
        406,
        f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty",
    )
    await wire.say(queue.Purge(name))
    wire.send(basic.Consume(name, "tag"), number=2)
    assert await wire.hear() == basic.ConsumeOk("tag")
    assert await wire.refusal(queue.Delete(name, if_unused=True)) == (
        406,
        f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use",
    )
    await wire.say(exchange.Declare(name, "direct"), exchange.Bind(name, "amq.fanout", name))
    await wire.say(queue.Bind(name, name, "k"))
    assert await wire.refusal(exchange.Delete(name, if_unused=True)) == (
        406,
        f"PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use",
    )
    assert await wire.say(queue.Unbind(name, name, "k"), exchange.Delete(name, if_unused=True)) == [
        queue.UnbindOk(),
        exchange.DeleteOk(),
    ]


@scenario
async def test_an_auto_delete_exchange_goes_with_its_last_binding_as_a_source(
    open_wire: OpenWire, new_name: NewName
) -> None:
    """Row 119."""
    wire = await open_wire()
    name, target = new_name(), new_name()
    await wire.say(
        exchange.Declare(name, "direct", auto_delete=True),
        exchange.Declare(target, "direct"),
        exchange.Bind(name, "amq.fanout", name),
        exchange.Unbind(name, "amq.fanout", name),
    )
    assert await wire.say(exchange.Declare(name, passive=True)) == [exchange.DeclareOk()]

    await wire.say(exchange.Bind(target, name, "1"), exchange.Bind(target, name, "2"))
    await wire.say(exchange.Unbind(target, name, "1"))
    assert await wire.say(exchange.Declare(name, passive=True)) == [exchange.DeclareOk()]

    await wire.say(exchange.Delete(target))
    assert await wire.refusal(exchange.Declare(name, passive=True)) == (
        404,
        NO_SUCH_EXCHANGE.format(name),
    )


@scenario
async def test_names_lose_their_line_breaks(open_wire: OpenWire, name: str) -> None:
    """RabbitMQ does so in names that are declared; basic.get looks for the name as it is."""
    wire = await open_wire()
    first, last = name[:4], name[4:]

    assert await wire.say(queue.Declare(f"{first}\r\n{last}", exclusive=True)) == [
        queue.DeclareOk(name, 0, 0)
    ]
    answer = await wire.refusal(basic.Get(f"{first}\n{last}"))
    assert answer == (404, NO_SUCH_QUEUE.format(f"{first}\n{last}"))


@scenario
async def test_who_asks_with_no_wait_hears_of_mistakes_only(open_wire: OpenWire, name: str) -> None:
    wire = await open_wire()

    assert (
        await wire.say(
            exchange.Declare(name, "topic", no_wait=True),
            queue.Declare(name, exclusive=True, no_wait=True),
            queue.Bind(name, name, "#", no_wait=True),
            exchange.Bind("amq.fanout", name, "k", no_wait=True),
            exchange.Unbind("amq.fanout", name, "k", no_wait=True),
        )
        == []
    )
    assert isinstance((await wire.say(publish("k", name), basic.Get(name)))[0], Command)
    refused = await wire.refusal(exchange.Declare(name, "fanout", no_wait=True))
    assert refused[0] == 406


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.5, "the value '1.5' of type 'double'"),
        (100.0, "the value '100.0' of type 'double'"),
        (-1000.0, "the value '-1.0e3' of type 'double'"),
        (0.001, "the value '0.001' of type 'double'"),
        (0.00003, "the value '3.0e-5' of type 'double'"),
        (1e22, "the value '1.0e22' of type 'double'"),
        (2.0**53, "the value '9.007199254740992e15' of type 'double'"),
        (Decimal("-1.25"), "the value '{2,4294967171}' of type 'decimal'"),
        (None, "the value 'undefined' of type 'void'"),
        (datetime.fromtimestamp(17, UTC), "the value '17' of type 'timestamp'"),
        ({"a": True}, "the value '[{<<\"a\">>,bool,true}]' of type 'table'"),
        ([1, "x"], "the value '[{byte,1},{longstr,<<\"x\">>}]' of type 'array'"),
        (b"abc", "the value 'abc' of type 'binary'"),
        (LongStr(b"\xff"), "the value '\udcff' of type 'longstr'"),
    ],
)
@scenario
async def test_an_argument_that_is_new_is_printed_as_erlang_does(
    open_wire: OpenWire, name: str, value: FieldValue, shown: str
) -> None:
    """Rows 98 and 109."""
    wire = await open_wire()
    await wire.say(exchange.Declare(name, "direct"))

    code, text = await wire.refusal(
        exchange.Declare(name, "direct", arguments={"alternate-exchange": value})
    )

    assert (code, text.partition(": ")[2]) == (406, f"received {shown} but current is none")


@scenario
async def test_an_argument_that_differs_is_printed_without_its_type(
    open_wire: OpenWire, name: str
) -> None:
    """Rows 97 and 109. A string may come as octets, and nothing is none."""
    wire = await open_wire()
    await wire.say(exchange.Declare(name, "direct", arguments={"alternate-exchange": "a"}))

    others: list[tuple[FieldValue, str]] = [
        (b"b", "'b'"),
        (None, "none"),
        ([True], "'[{bool,true}]'"),
    ]
    for value, shown in others:
        code, text = await wire.refusal(
            exchange.Declare(name, "direct", arguments={"alternate-exchange": value})
        )
        assert (code, text.partition(": ")[2]) == (406, f"received {shown} but current is 'a'")
    same = exchange.Declare(name, "direct", arguments={"alternate-exchange": b"a"})
    assert await wire.say(same) == [exchange.DeclareOk()]


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        (False, {"x-queue-type": "foo"}),
        (False, {"x-queue-type": 5}),
        (True, {"x-queue-type": "stream", "x-max-age": "D"}),
        (True, {"x-queue-type": "stream", "x-max-age": ""}),
    ],
)
@scenario
async def test_some_arguments_of_a_queue_are_an_internal_error(
    open_wire: OpenWire, name: str, named: bool, arguments: dict[str, FieldValue]
) -> None:
    """Rows 64 and 104."""
    wire = await open_wire()

    declare = queue.Declare(name if named else "", durable=True, arguments=arguments)

    assert await wire.refusal(declare) == (541, "INTERNAL_ERROR")


@scenario
async def test_a_decimal_where_something_else_was_is_an_internal_error(
    open_wire: OpenWire, name: str
) -> None:
    """Rows 64 and 97."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True, arguments={"x-max-length": 5}))

    declare = queue.Declare(name, exclusive=True, arguments={"x-max-length": Decimal(5)})

    assert await wire.refusal(declare) == (541, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        ("a\nb", "\"unsupported queue mode 'a\\nb'\""),
        (LongStr(b"\xff"), "\"unsupported queue mode '\udcff'\""),
        (
            "ł",
            "[117,110,115,117,112,112,111,114,116,101,100,32,113,117,101,117,101,32,"
            "109,111,100,101,32,39,197,130,39]",
        ),
    ],
)
@scenario
async def test_a_mode_that_there_is_not_is_quoted_as_erlang_quotes_lists(
    open_wire: OpenWire, name: str, mode: FieldValue, shown: str
) -> None:
    """Row 104."""
    wire = await open_wire()

    assert await wire.refusal(queue.Declare(name, arguments={"x-queue-mode": mode})) == (
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue '{name}' in vhost '/': {shown}",
    )


@scenario
async def test_a_string_that_is_not_utf_8_is_a_string(open_wire: OpenWire, name: str) -> None:
    """Rows 104 and 106."""
    wire = await open_wire()
    arguments: dict[str, FieldValue] = {
        "x-dead-letter-exchange": LongStr(b"\xff"),
        "x-dead-letter-routing-key": LongStr(b"\xfe"),
    }

    declare = queue.Declare(name, exclusive=True, arguments=arguments)

    assert await wire.say(declare) == [queue.DeclareOk(name, 0, 0)]


@scenario
async def test_a_binding_is_found_by_its_arguments_in_any_order_but_not_by_their_own(
    open_wire: OpenWire, name: str
) -> None:
    """Row 124."""
    wire = await open_wire()
    bound: dict[str, FieldValue] = {"a": {"x": 1, "y": 2}, "b": 3}
    await wire.say(queue.Declare(name, exclusive=True))
    await wire.say(queue.Bind(name, "amq.topic", name, arguments=bound))
    returned = publish(name, "amq.topic", mandatory=True)

    other = queue.Unbind(name, "amq.topic", name, {"a": {"y": 2, "x": 1}, "b": 3})
    assert await wire.say(other, returned) == [queue.UnbindOk()]
    same = queue.Unbind(name, "amq.topic", name, {"b": 3, "a": {"x": 1, "y": 2}})
    unbound, said = await wire.say(same, returned)

    assert unbound == queue.UnbindOk()
    assert isinstance(said, Command)
    assert isinstance(said.method, basic.Return)


@scenario
async def test_a_classic_queue_is_of_no_type_that_there_is_not(
    open_wire: OpenWire, name: str
) -> None:
    """Row 101."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True))

    again = queue.Declare(name, exclusive=True, arguments={"x-queue-type": "foo"})

    assert await wire.refusal(again) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{name}' in vhost '/':"
        " received the value 'foo' of type 'longstr' but current is none",
    )


@scenario
async def test_what_a_consumer_asks_for_is_checked(open_wire: OpenWire, name: str) -> None:
    """Rows 64 and 105. Only a table can give credit; anything else crashes the queue."""
    wire = await open_wire()
    await wire.say(queue.Declare(name, exclusive=True))

    consume = basic.Consume(name, arguments={"x-cancel-on-ha-failover": "yes"})
    assert await wire.refusal(consume) == (
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover' for queue '{name}'"
        " in vhost '/': {unacceptable_type,longstr}",
    )
    consume = basic.Consume(name, arguments={"x-credit": 5})
    assert await wire.refusal(consume) == (541, "INTERNAL_ERROR")
