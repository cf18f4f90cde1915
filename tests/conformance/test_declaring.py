"""Declaring, deleting and binding, and the error texts of what is refused."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from amqp_codec import Command, FieldTable, FieldValue, LongStr, basic, connection, exchange, queue
from amqp_codec import channel as channel_methods
from tests.conformance.client import MethodOrCommand, OpenClient, publish
from tests.conformance.raw_client import close_channel
from tests.conformance.scenario import NO_SUCH_QUEUE, ByVersion, NewName, scenario

DEFAULT_EXCHANGE = (403, "ACCESS_REFUSED - operation not permitted on the default exchange")
NO_SUCH_EXCHANGE = "NOT_FOUND - no exchange '{}' in vhost '/'"
NO_QUEUE_YET = (404, "NOT_FOUND - no previously declared queue")


INVALID_MAX_AGE = "invalid arg 'x-max-age' for queue '{}' in vhost '/': invalid_max_age"


@scenario
async def test_the_error_for_a_missing_queue_names_the_queue(
    open_client: OpenClient, name: str
) -> None:
    """Row 82."""
    client = await open_client()
    for method in (
        queue.Declare(name, passive=True),
        basic.Consume(name),
        basic.Get(name),
        queue.Purge(name),
    ):
        assert await client.refusal(method) == (404, NO_SUCH_QUEUE.format(name)), method


@scenario
async def test_the_error_for_a_missing_exchange_names_the_exchange(
    open_client: OpenClient, name: str
) -> None:
    """Row 83."""
    client = await open_client()
    asked: list[MethodOrCommand] = [
        exchange.Declare(name, passive=True),
        exchange.Declare(name, "no type", passive=True),
        publish("k", name),
    ]
    for each in asked:
        assert await client.refusal(each) == (404, NO_SUCH_EXCHANGE.format(name)), each


@scenario
async def test_a_missing_exchange_is_reported_before_a_missing_queue(
    open_client: OpenClient, name: str
) -> None:
    """Row 84."""
    client = await open_client()

    assert await client.refusal(queue.Bind(name, name, "k")) == (404, NO_SUCH_EXCHANGE.format(name))
    assert await client.refusal(queue.Bind(name, "amq.topic", "k")) == (
        404,
        NO_SUCH_QUEUE.format(name),
    )


@scenario
async def test_deleting_and_unbinding_missing_entities_succeeds(
    open_client: OpenClient, name: str
) -> None:
    """Row 85."""
    client = await open_client()

    assert await client.call(
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
async def test_missing_exchanges_cannot_be_bound(open_client: OpenClient, name: str) -> None:
    """Row 86."""
    client = await open_client()

    for method in (exchange.Bind(name, "amq.direct", "k"), exchange.Bind("amq.direct", name, "k")):
        assert await client.refusal(method) == (404, NO_SUCH_EXCHANGE.format(name))


@scenario
async def test_an_empty_queue_name_is_an_error_before_a_queue_is_declared(
    open_client: OpenClient,
) -> None:
    """Rows 87, 88. Row 88 is about passive declarations."""
    client = await open_client()

    for method in (
        basic.Consume(""),
        basic.Get(""),
        queue.Bind("", "amq.direct", "k"),
        queue.Purge(""),
        queue.Delete(""),
    ):
        assert await client.refusal(method) == NO_QUEUE_YET, method
    assert await client.refusal(queue.Declare("", passive=True)) == (404, NO_SUCH_QUEUE.format(""))


@scenario
async def test_an_empty_queue_name_is_the_last_declared_queue_even_if_deleted(
    open_client: OpenClient, name: str
) -> None:
    """Row 89. If the routing key is empty too, the queue is bound with its name as the key."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True), queue.Bind("", "amq.direct", ""))
    await client.call(publish(name, "amq.direct"))
    assert await client.bodies(name) == [b"m"]

    assert await client.call(queue.Delete("")) == [queue.DeleteOk(0)]
    assert await client.refusal(basic.Get("")) == (404, NO_SUCH_QUEUE.format(name))


@scenario
async def test_the_broker_generates_queue_names(open_client: OpenClient) -> None:
    """Row 90."""
    client = await open_client()

    (declared,) = await client.call(queue.Declare("", exclusive=True))

    assert isinstance(declared, queue.DeclareOk)
    assert declared.queue.startswith("amq.gen-")
    assert len(declared.queue) == len("amq.gen-") + 22


@scenario
async def test_names_with_the_prefix_amq_are_reserved(open_client: OpenClient, name: str) -> None:
    """Rows 91-93."""
    client = await open_client()
    reserved = f"amq.{name}"

    assert await client.refusal(queue.Declare(reserved)) == (
        403,
        f"ACCESS_REFUSED - queue name '{reserved}' contains reserved prefix 'amq.*'",
    )
    assert await client.refusal(exchange.Declare(reserved, "direct")) == (
        403,
        f"ACCESS_REFUSED - exchange name '{reserved}' contains reserved prefix 'amq.*'",
    )
    assert await client.refusal(queue.Declare(reserved, passive=True)) == (
        404,
        NO_SUCH_QUEUE.format(reserved),
    )
    assert await client.call(
        exchange.Declare("amq.direct", passive=True),
        exchange.Declare("amq.direct", "direct", durable=True),
    ) == [exchange.DeclareOk(), exchange.DeclareOk()]
    for system in ("amq.direct", reserved):
        assert await client.refusal(exchange.Delete(system)) == (
            403,
            f"ACCESS_REFUSED - deletion of system exchange '{system}' in vhost '/' not allowed",
        )


@scenario
async def test_the_default_exchange_cannot_be_declared_deleted_or_bound(
    open_client: OpenClient, name: str
) -> None:
    """Row 94."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))

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
        assert await client.refusal(method) == DEFAULT_EXCHANGE, method


@scenario
async def test_a_dead_letter_or_alternate_exchange_must_be_a_string_but_need_not_exist(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Rows 106 and 107."""
    client = await open_client()
    name = new_name()

    assert await client.refusal(queue.Declare(name, arguments={"x-dead-letter-exchange": 5})) == (
        406,
        "PRECONDITION_FAILED - invalid type 'byte' for arg 'x-dead-letter-exchange'"
        f" in queue '{name}' in vhost '/'",
    )
    assert await client.refusal(
        exchange.Declare(name, "direct", arguments={"alternate-exchange": True})
    ) == (
        406,
        "PRECONDITION_FAILED - invalid type 'bool' for arg 'alternate-exchange'"
        f" in exchange '{name}' in vhost '/'",
    )
    assert await client.call(
        queue.Declare(name, exclusive=True, arguments={"x-dead-letter-exchange": new_name()}),
        exchange.Declare(name, "direct", arguments={"alternate-exchange": new_name()}),
    ) == [queue.DeclareOk(name, 0, 0), exchange.DeclareOk()]


@scenario
async def test_an_unknown_queue_master_locator_is_refused_until_every_one_is(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 108. RabbitMQ 4.0 ignores the argument; 4.3 denies it as a deprecated feature."""
    client = await open_client()

    (reply,) = await client.call(
        queue.Declare(name, durable=True, arguments={"x-queue-master-locator": "foo"})
    )

    if isinstance(reply, connection.Close):
        reply = connection.Close(reply.reply_code, reply.reply_text.partition(" deprecated")[0])
    denied = "INTERNAL_ERROR - Feature `queue_master_locator` is"
    assert reply == by_version(
        {
            "3.10": connection.Close(541, "INTERNAL_ERROR"),
            "4.0": queue.DeclareOk(name),
            "4.3": connection.Close(541, denied),
        }
    )


@scenario
async def test_exchange_properties_are_compared_in_a_fixed_order(
    open_client: OpenClient, name: str
) -> None:
    """Row 109. Arguments other than alternate-exchange are not compared."""
    client = await open_client()
    alternate = {"alternate-exchange": "amq.fanout"}
    await client.call(exchange.Declare(name, "direct", arguments=alternate))
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
        assert await client.refusal(method) == (406, inequivalent.format(argument, how))
    again = exchange.Declare(name, "direct", arguments={**alternate, "other": 1})
    assert await client.call(again) == [exchange.DeclareOk()]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("no-type", "unknown"),
        ("queue", "invalid"),
        ("", "invalid"),
        ("null", "invalid"),
        ("#", "invalid"),
        (" ", {"3.10": "invalid", "4.0": "unknown"}),
    ],
    ids=["no-type", "queue", "empty", "null", "hash", "blank"],
)
@scenario
async def test_an_unknown_exchange_type_is_refused(
    open_client: OpenClient, kind: str, word: str | dict[str, str], by_version: ByVersion
) -> None:
    """Row 110. It is reported before any other error; before 4.0, it closes the connection.

    The text depends on whether Erlang has an atom of this name, and so on the version.
    """
    client = await open_client()

    code, reason = by_version(
        {"3.10": (503, "COMMAND_INVALID"), "4.0": (406, "PRECONDITION_FAILED")}
    )
    found = by_version(word) if isinstance(word, dict) else word
    assert await client.refusal(exchange.Declare("", kind)) == (
        code,
        f"{reason} - {found} exchange type '{kind}'",
    )


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
@scenario
async def test_a_consumer_timeout_is_checked_and_compared_since_4_3(
    open_client: OpenClient, name: str, kind: str, by_version: ByVersion
) -> None:
    client = await open_client()
    asked: FieldTable
    answers = []

    for asked in ({"x-consumer-timeout": "x"}, {"x-consumer-timeout": 900_000}, {}):
        declare = queue.Declare(name, durable=True, arguments={"x-queue-type": kind, **asked})
        (reply,) = await client.call(declare)
        answers.append(reply.reply_code if isinstance(reply, channel_methods.Close) else "ok")

    refused: dict[str, list[object]] = {"classic": [406, 406, "ok"], "stream": [406, 406, "ok"]}
    assert answers == by_version({"3.10": ["ok"] * 3, "4.3": refused.get(kind, [406, "ok", 406])})
    await client.call(queue.Delete(name))


@scenario
async def test_if_unused_and_if_empty_prevent_a_deletion(
    open_client: OpenClient, name: str
) -> None:
    """Rows 111 and 112. An exchange is in use if it is the source of a binding."""
    client = await open_client(1, 2)
    await client.call(queue.Declare(name, exclusive=True), publish(name), channel=1)

    assert await client.refusal(queue.Delete(name, if_empty=True)) == (
        406,
        f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty",
    )
    await client.call(queue.Purge(name))
    client.send(basic.Consume(name, "tag"), channel=2)
    assert await client.next_command() == basic.ConsumeOk("tag")
    assert await client.refusal(queue.Delete(name, if_unused=True)) == (
        406,
        f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use",
    )
    await client.call(exchange.Declare(name, "direct"), exchange.Bind(name, "amq.fanout", name))
    await client.call(queue.Bind(name, name, "k"))
    assert await client.refusal(exchange.Delete(name, if_unused=True)) == (
        406,
        f"PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use",
    )
    assert await client.call(
        queue.Unbind(name, name, "k"), exchange.Delete(name, if_unused=True)
    ) == [
        queue.UnbindOk(),
        exchange.DeleteOk(),
    ]


@scenario
async def test_an_auto_delete_exchange_is_deleted_with_its_last_binding_as_a_source(
    open_client: OpenClient, new_name: NewName
) -> None:
    """Row 119."""
    client = await open_client()
    name, target = new_name(), new_name()
    await client.call(
        exchange.Declare(name, "direct", auto_delete=True),
        exchange.Declare(target, "direct"),
        exchange.Bind(name, "amq.fanout", name),
        exchange.Unbind(name, "amq.fanout", name),
    )
    assert await client.call(exchange.Declare(name, passive=True)) == [exchange.DeclareOk()]

    await client.call(exchange.Bind(target, name, "1"), exchange.Bind(target, name, "2"))
    await client.call(exchange.Unbind(target, name, "1"))
    assert await client.call(exchange.Declare(name, passive=True)) == [exchange.DeclareOk()]

    await client.call(exchange.Delete(target))
    assert await client.refusal(exchange.Declare(name, passive=True)) == (
        404,
        NO_SUCH_EXCHANGE.format(name),
    )


@scenario
async def test_line_breaks_are_removed_from_declared_names(
    open_client: OpenClient, name: str
) -> None:
    """RabbitMQ removes them only from declared names; basic.get uses the name unchanged."""
    client = await open_client()
    first, last = name[:4], name[4:]

    assert await client.call(queue.Declare(f"{first}\r\n{last}", exclusive=True)) == [
        queue.DeclareOk(name, 0, 0)
    ]
    reply = await client.refusal(basic.Get(f"{first}\n{last}"))
    assert reply == (404, NO_SUCH_QUEUE.format(f"{first}\n{last}"))


@scenario
async def test_methods_with_no_wait_are_answered_only_on_errors(
    open_client: OpenClient, name: str
) -> None:
    client = await open_client()

    assert (
        await client.call(
            exchange.Declare(name, "topic", no_wait=True),
            queue.Declare(name, exclusive=True, no_wait=True),
            queue.Bind(name, name, "#", no_wait=True),
            exchange.Bind("amq.fanout", name, "k", no_wait=True),
            exchange.Unbind("amq.fanout", name, "k", no_wait=True),
        )
        == []
    )
    assert isinstance((await client.call(publish("k", name), basic.Get(name)))[0], Command)
    refused = await client.refusal(exchange.Declare(name, "fanout", no_wait=True))
    assert refused[0] == 406


@pytest.mark.parametrize(
    ("value", "printed"),
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
async def test_a_new_argument_is_printed_as_an_erlang_term_with_its_type(
    open_client: OpenClient, name: str, value: FieldValue, printed: str, by_version: ByVersion
) -> None:
    """Rows 98 and 109."""
    client = await open_client()
    await client.call(exchange.Declare(name, "direct"))

    code, text = await client.refusal(
        exchange.Declare(name, "direct", arguments={"alternate-exchange": value})
    )

    # RabbitMQ: 4.0 takes bytes that are not UTF-8 for Latin-1.
    printed = by_version({"3.10": printed, "4.0": printed.replace("\udcff", "\xff")})
    assert (code, text.partition(": ")[2]) == (406, f"received {printed} but current is none")


@scenario
async def test_a_changed_argument_is_printed_without_its_type(
    open_client: OpenClient, name: str
) -> None:
    """Rows 97 and 109. A string may be sent as bytes, and void equals an absent argument."""
    client = await open_client()
    await client.call(exchange.Declare(name, "direct", arguments={"alternate-exchange": "a"}))

    others: list[tuple[FieldValue, str]] = [
        (b"b", "'b'"),
        (None, "none"),
        ([True], "'[{bool,true}]'"),
    ]
    for value, printed in others:
        code, text = await client.refusal(
            exchange.Declare(name, "direct", arguments={"alternate-exchange": value})
        )
        assert (code, text.partition(": ")[2]) == (406, f"received {printed} but current is 'a'")
    same = exchange.Declare(name, "direct", arguments={"alternate-exchange": b"a"})
    assert await client.call(same) == [exchange.DeclareOk()]


@pytest.mark.parametrize(
    ("named", "arguments", "text"),
    [
        (False, {"x-queue-type": "foo"}, "unknown queue type 'foo'"),
        (False, {"x-queue-type": 5}, ""),
        (True, {"x-queue-type": "stream", "x-max-age": "D"}, INVALID_MAX_AGE),
        (True, {"x-queue-type": "stream", "x-max-age": ""}, INVALID_MAX_AGE),
    ],
)
@scenario
async def test_some_arguments_of_a_queue_are_an_internal_error(
    open_client: OpenClient,
    name: str,
    named: bool,
    arguments: dict[str, FieldValue],
    text: str,
    by_version: ByVersion,
) -> None:
    """Rows 64 and 104. RabbitMQ 4.3 refuses most of them."""
    client = await open_client()

    declare = queue.Declare(name if named else "", durable=True, arguments=arguments)

    refusal = (541, "INTERNAL_ERROR")
    if text:
        text = f"PRECONDITION_FAILED - {text.format(name)}"
        refusal = by_version({"3.10": refusal, "4.3": (406, text)})
    assert await client.refusal(declare) == refusal


@scenario
async def test_a_decimal_in_place_of_an_integer_argument_is_an_internal_error(
    open_client: OpenClient, name: str
) -> None:
    """Rows 64 and 97."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True, arguments={"x-max-length": 5}))

    declare = queue.Declare(name, exclusive=True, arguments={"x-max-length": Decimal(5)})

    assert await client.refusal(declare) == (541, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("mode", "printed"),
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
async def test_an_unknown_queue_mode_is_quoted_as_an_erlang_list(
    open_client: OpenClient, name: str, mode: FieldValue, printed: str, by_version: ByVersion
) -> None:
    """Row 104. RabbitMQ 4.3 ignores the argument."""
    client = await open_client()

    (reply,) = await client.call(
        queue.Declare(name, exclusive=True, arguments={"x-queue-mode": mode})
    )

    # RabbitMQ: 4.0 prints characters; bytes that are not UTF-8 are Latin-1.
    printed = by_version(
        {"3.10": printed, "4.0": printed.replace("\udcff", "\xff").replace("197,130", "322")}
    )
    assert reply == by_version(
        {
            "3.10": close_channel(
                406,
                "PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue"
                f" '{name}' in vhost '/': {printed}",
                queue.Declare,
            ),
            "4.3": queue.DeclareOk(name),
        }
    )


@scenario
async def test_a_string_argument_need_not_be_utf_8(open_client: OpenClient, name: str) -> None:
    """Rows 104 and 106."""
    client = await open_client()
    arguments: dict[str, FieldValue] = {
        "x-dead-letter-exchange": LongStr(b"\xff"),
        "x-dead-letter-routing-key": LongStr(b"\xfe"),
    }

    declare = queue.Declare(name, exclusive=True, arguments=arguments)

    assert await client.call(declare) == [queue.DeclareOk(name, 0, 0)]


@scenario
async def test_the_order_of_binding_arguments_is_ignored_but_not_inside_a_table(
    open_client: OpenClient, name: str
) -> None:
    """Row 124."""
    client = await open_client()
    bound: dict[str, FieldValue] = {"a": {"x": 1, "y": 2}, "b": 3}
    await client.call(queue.Declare(name, exclusive=True))
    await client.call(queue.Bind(name, "amq.topic", name, arguments=bound))
    returned = publish(name, "amq.topic", mandatory=True)

    other = queue.Unbind(name, "amq.topic", name, {"a": {"y": 2, "x": 1}, "b": 3})
    assert await client.call(other, returned) == [queue.UnbindOk()]
    same = queue.Unbind(name, "amq.topic", name, {"b": 3, "a": {"x": 1, "y": 2}})
    unbound, returned_message = await client.call(same, returned)

    assert unbound == queue.UnbindOk()
    assert isinstance(returned_message, Command)
    assert isinstance(returned_message.method, basic.Return)


@scenario
async def test_an_unknown_queue_type_is_inequivalent_to_a_classic_queue(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 101."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))

    again = queue.Declare(name, exclusive=True, arguments={"x-queue-type": "foo"})

    assert await client.refusal(again) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{name}' in vhost '/': received "
        + by_version(
            {
                "3.10": "the value 'foo' of type 'longstr' but current is none",
                "4.0": "'foo' but current is 'classic'",
            }
        ),
    )


@scenario
async def test_consumer_arguments_are_checked(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Rows 64 and 105. An x-credit that is not a table crashes the queue; 4.0 ignores both arguments."""
    client = await open_client()
    await client.call(queue.Declare(name, exclusive=True))

    both: FieldTable = {"x-cancel-on-ha-failover": "yes", "x-credit": 5}
    if by_version({"3.10": False, "4.0": True}):
        client.send(basic.Consume(name, "c", arguments=both))
        assert await client.next_command() == basic.ConsumeOk("c")
        return
    consume = basic.Consume(name, arguments={"x-cancel-on-ha-failover": "yes"})
    assert await client.refusal(consume) == (
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover' for queue '{name}'"
        " in vhost '/': {unacceptable_type,longstr}",
    )
    consume = basic.Consume(name, arguments={"x-credit": 5})
    assert await client.refusal(consume) == (541, "INTERNAL_ERROR")


@scenario
async def test_an_unnamed_queue_needs_a_type_that_is_a_text(
    open_client: OpenClient, by_version: ByVersion
) -> None:
    """RabbitMQ 4.3: a boolean is its text, and void is refused like another wrong value."""
    client = await open_client()
    with_type = [
        queue.Declare("", exclusive=True, arguments={"x-queue-type": value})
        for value in (True, None)
    ]

    if by_version({"3.10": True, "4.3": False}):
        assert (await client.refusal(with_type[0]))[0] == 541
        return
    assert await client.refusal(with_type[0]) == (
        406,
        "PRECONDITION_FAILED - unknown queue type 'true'",
    )
    code, text = await client.refusal(with_type[1])
    assert code == 406
    assert text.endswith("{unacceptable_type,void}")


@scenario
async def test_a_missing_max_age_is_compared_with_a_text(
    open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    client = await open_client()
    stream = {"x-queue-type": "stream"}
    aged = queue.Declare(name, durable=True, arguments={**stream, "x-max-age": "60m"})
    await client.call(aged)

    _, text = await client.refusal(queue.Declare(name, durable=True, arguments=stream))

    value = by_version({"3.10": "60m", "4.3": "3600000"})
    assert text.endswith(f"received none but current is the value '{value}' of type 'longstr'")
