"""What the frames of a client are answered with, as RabbitMQ 3.10, 4.0 and 4.3."""

import struct
from typing import Any

import pytest

from aioamqp_testing.model import Message, Node, Permissions, Policy, User
from aioamqp_testing.model.limits import NODE_NAME
from aioamqp_testing.model.profile import find_profile
from amqp_codec import (
    PROTOCOL_HEADER,
    Command,
    FieldTable,
    Int64,
    Method,
    Properties,
    basic,
    channel,
    confirm,
    connection,
    encode_command,
    exchange,
    queue,
    tx,
)
from fake_broker_support import SilentClient, channel_close, connection_close, start_ok

VERSIONS = ("3.10", "4.0", "4.3")
HEADER_1_0 = b"AMQP\x03\x01\x00\x00"


def by_version(*values: Any) -> pytest.MarkDecorator:
    """Run a test as each version, with the value of the version."""
    return pytest.mark.parametrize(
        ("version", "expected"), list(zip(VERSIONS, values, strict=True))
    )


@pytest.fixture
def started(version: str) -> SilentClient:
    return SilentClient(Node(profile=find_profile(version)))


@pytest.fixture
def client(started: SilentClient) -> SilentClient:
    return started.open(1)


def declare(client: SilentClient, name: str, **arguments: Any) -> list[Method]:
    table = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return client.say(1, queue.Declare(name, durable=True, arguments=table))


def codes(methods: list[Method]) -> list[int]:
    return [
        each.reply_code for each in methods if isinstance(each, connection.Close | channel.Close)
    ]


def contents(client: SilentClient, *methods: Method) -> list[Command]:
    client.raw(b"".join(encode_command(Command(1, method)) for method in methods))
    return [each for each in client.commands() if each.method.HAS_CONTENT]


# ----------------------------------------------------------------------------- handshake


@by_version(b"AMQPLAIN PLAIN", b"ANONYMOUS PLAIN AMQPLAIN", b"ANONYMOUS PLAIN AMQPLAIN")
def test_the_mechanisms_are_those_of_the_version(started: SilentClient, expected: bytes) -> None:
    started.raw(PROTOCOL_HEADER)

    (start,) = started.heard()
    assert isinstance(start, connection.Start)
    assert start.mechanisms == expected


@by_version([], [connection.Tune], [connection.Tune])
def test_anonymous_logs_in_as_guest(started: SilentClient, expected: list[type[Method]]) -> None:
    started.raw(PROTOCOL_HEADER)
    started.heard()

    replies = started.say(0, start_ok(mechanism="ANONYMOUS", response=b""))

    assert [type(each) for each in replies] == expected
    assert started.session.user == ("guest" if expected else "")


@by_version([connection.OpenOk], [connection.OpenOk], [])
def test_frame_max_may_be_too_low(started: SilentClient, expected: list[type[Method]]) -> None:
    started.start()

    replies = started.say(0, connection.TuneOk(2047, 8191, 0), connection.Open("/"))

    assert [type(each) for each in replies] == expected


@by_version([], [], [connection.Close])
def test_start_ok_may_be_too_long(started: SilentClient, expected: list[type[Method]]) -> None:
    started.raw(PROTOCOL_HEADER)
    started.heard()

    replies = started.say(0, start_ok(password="x" * 5000))

    assert [type(each) for each in replies] == expected


@by_version(PROTOCOL_HEADER, HEADER_1_0, HEADER_1_0)
def test_an_unknown_protocol_is_answered_with_that_of_the_version(
    started: SilentClient, expected: bytes
) -> None:
    started.raw(b"GET / HT")

    assert started.session.take_output() == expected
    assert started.session.ending is not None


def test_amqp_1_0_is_refused_by_name() -> None:
    """It is offered by RabbitMQ 4.0, and not supported here."""
    client = SilentClient(Node(profile=find_profile("4.0")))

    client.raw(HEADER_1_0)

    assert client.session.take_output().startswith(HEADER_1_0 + b"\0\0\0\x34\x02\x01\0\0")
    assert client.node.refused == ["AMQP 1.0"]


# ----------------------------------------------------------------------------- declaring


@by_version(503, 406, 406)
def test_an_unknown_type_of_exchanges_is_refused(client: SilentClient, expected: int) -> None:
    assert codes(client.say(1, exchange.Declare("x", "no-type"))) == [expected]


@by_version([503, 503], [0, 406], [0, 0])
def test_newer_versions_have_more_types_of_exchanges(
    started: SilentClient, expected: list[int]
) -> None:
    found: list[int] = []
    for number, kind in enumerate(("x-local-random", "x-modulus-hash")):
        client = started.another(1) if number else started.open(1)
        found += codes(client.say(1, exchange.Declare("x" + kind, kind))) or [0]

    assert found == expected


@by_version(None, None, "Topic binding key '#.a.#.#' uses 3 '#' wildcards, at most 2 are allowed")
def test_a_topic_binding_has_at_most_two_hashes(client: SilentClient, expected: str | None) -> None:
    declare(client, "q")
    assert client.say(1, queue.Bind("q", "amq.topic", "#.a.#")) == [queue.BindOk()]

    replies = client.say(1, queue.Bind("q", "amq.topic", "#.a.#.#"))

    if expected is None:
        assert replies == [queue.BindOk()]
    else:
        assert replies == channel_close(406, f"PRECONDITION_FAILED - {expected}", queue.Bind)


@by_version(
    "received none but current is the value 'quorum' of type 'longstr'",
    "received 'classic' but current is 'quorum'",
    "received 'classic' but current is 'quorum'",
)
def test_another_type_of_queue_is_refused(client: SilentClient, expected: str) -> None:
    declare(client, "q", queue_type="quorum")

    assert declare(client, "q") == channel_close(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': {expected}",
        queue.Declare,
    )


@by_version(
    "received '2h' but current is '1h'",
    "received '2h' but current is '1h'",
    "received '7200000' but current is '3600000'",
)
def test_another_age_of_a_stream_is_refused(client: SilentClient, expected: str) -> None:
    declare(client, "q", queue_type="stream", max_age="1h")

    assert declare(client, "q", queue_type="stream", max_age="2h") == channel_close(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-max-age' for queue 'q' in vhost '/': {expected}",
        queue.Declare,
    )


@pytest.mark.parametrize(
    ("arguments", "codes_by_version"),
    [
        ({"queue_version": Int64(1)}, (0, 0, 406)),
        ({"queue_mode": "nonsense"}, (406, 406, 0)),
        ({"queue_type": ""}, (406, 406, 0)),
        ({"queue_type": "nonsense"}, (406, 406, 406)),
        ({"queue_leader_locator": "client-local"}, (406, 0, 0)),
        ({"queue_master_locator": "nonsense"}, (541, 0, 541)),
        ({"consumer_timeout": Int64(1000)}, (0, 0, 406)),
    ],
    ids=str,
)
def test_a_classic_queue_has_the_arguments_of_the_version(
    arguments: dict[str, Any], codes_by_version: tuple[int, int, int]
) -> None:
    found = []
    for version in VERSIONS:
        client = SilentClient(Node(profile=find_profile(version))).open(1)
        found += codes(declare(client, "q", **arguments)) or [0]

    assert tuple(found) == codes_by_version


# ----------------------------------------------------------------------------- permissions


@pytest.fixture
def restricted(started: SilentClient) -> SilentClient:
    """A client that may do nothing but read from ``mine``."""
    user = User("guest", "guest", permissions={"/": Permissions("^$", "^$", "^mine$")})
    started.node.users["guest"] = user
    started.node.vhosts["/"].declare_queue("mine", None, durable=True)
    started.node.vhosts["/"].declare_queue("other", None, durable=True)
    return started.open(1)


@pytest.mark.parametrize("version", ["4.0", "4.3"])
def test_a_virtual_host_may_have_a_default_queue_type(client: SilentClient) -> None:
    """RabbitMQ 4.3.6: for durable queues that are neither exclusive nor auto-delete."""
    client.vhost.default_queue_type = "quorum"
    declare(client, "q")
    client.say(1, queue.Declare("exclusive", durable=True, exclusive=True))
    client.say(1, queue.Declare("temporary", durable=True, auto_delete=True))
    declare(client, "classic", queue_type="classic")

    types = {name: each.TYPE for name, each in client.vhost.queues.items()}
    assert types == {
        "q": "quorum",
        "exclusive": "classic",
        "temporary": "classic",
        "classic": "classic",
    }
    declare(client, "q", queue_type="quorum")
    for name, arguments, wrong in (
        ("classic", {}, "received 'quorum' but current is 'classic'"),
        ("q", {"queue_type": "classic"}, "received 'classic' but current is 'quorum'"),
    ):
        text = f"inequivalent arg 'x-queue-type' for queue '{name}' in vhost '/': {wrong}"
        assert declare(client.another(1), name, **arguments) == channel_close(
            406, f"PRECONDITION_FAILED - {text}", queue.Declare
        )
    text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
    assert declare(client, "") == channel_close(406, text, queue.Declare)


@by_version("access", "configure access", "configure access")
def test_the_permission_that_is_missing_may_be_named(
    restricted: SilentClient, expected: str
) -> None:
    text = f"ACCESS_REFUSED - {expected} to queue 'q' in vhost '/' refused for user 'guest'"

    assert declare(restricted, "q") == channel_close(403, text, queue.Declare)


@by_version(("guest", "(1)"), (NODE_NAME, "(1)"), ("guest", "1"))
def test_the_text_for_too_many_channels_names_the_limit(
    client: SilentClient, expected: tuple[str, str]
) -> None:
    """RabbitMQ: 4.0 names the node in place of the user."""
    client.node.users["guest"].max_channels = 1
    name, limit = expected
    text = (
        f"NOT_ALLOWED - number of channels opened for user '{name}' has reached the maximum allowed"
        f" user limit of {limit}"
    )

    assert client.say(2, channel.Open()) == [connection.Close(530, text, 0, 0)]


@by_version([], [], [403])
def test_a_passive_declaration_may_need_a_permission(
    restricted: SilentClient, expected: list[int]
) -> None:
    assert codes(restricted.say(1, queue.Declare("mine", passive=True))) == []
    assert codes(restricted.say(1, queue.Declare("other", passive=True))) == expected


# ----------------------------------------------------------------------------- publishing


@by_version(["z", "a"], ["a", "z"], ["a", "z"])
def test_headers_may_be_sorted(client: SilentClient, expected: list[str]) -> None:
    declare(client, "q")
    client.publish("q", b"m", headers={"z": 1, "a": 2})

    (got,) = contents(client, basic.Get("q", no_ack=True))

    assert got.properties is not None
    assert list(got.properties.headers or {}) == expected


@by_version([406], [], [])
def test_any_delivery_mode_may_be_allowed(client: SilentClient, expected: list[int]) -> None:
    declare(client, "q")

    assert codes(client.publish("q", b"m", delivery_mode=9)) == expected


@by_version(
    "user_id property set to 'me' but authenticated user was 'guest'",
    "invalid expiration 'x': no_integer",
    "invalid expiration 'x': no_integer",
)
def test_the_expiration_may_be_checked_first(client: SilentClient, expected: str) -> None:
    replies = client.publish("q", b"m", expiration="x", user_id="me")

    assert replies == channel_close(406, f"PRECONDITION_FAILED - {expected}", basic.Publish)


@by_version('"é"', '"Ã©"', '"Ã©"')
def test_the_text_for_an_expiration_may_show_bytes(client: SilentClient, expected: str) -> None:
    text = f"PRECONDITION_FAILED - invalid expiration '1é': {{leftover_string,{expected}}}"

    assert client.publish("q", b"m", expiration="1é") == channel_close(406, text, basic.Publish)


@by_version(1, 0, 0)
def test_queues_may_be_found_when_a_message_is_published_and_not_at_the_commit(
    client: SilentClient, expected: int
) -> None:
    client.say(1, tx.Select())
    client.publish("q", b"m")
    declare(client.another(1), "q")
    client.say(1, tx.Commit())

    assert client.vhost.queues["q"].message_count == expected


@by_version(406, 406, 406)
def test_the_size_is_checked_before_the_exchange(client: SilentClient, expected: int) -> None:
    client.node.max_message_size = 10

    assert codes(client.publish("q", b"x" * 11, exchange="missing")) == [expected]


@by_version(134_217_728, 16_777_216, 16_777_216)
def test_the_largest_message_is_that_of_the_version(client: SilentClient, expected: int) -> None:
    assert client.node.max_message_size == expected


@by_version(None, None, "FRAME_ERROR - content body frame exceeds remaining content size")
def test_a_body_may_be_too_long(client: SilentClient, expected: str | None) -> None:
    client.method(1, basic.Publish.INDEX, b"\0\0\0\x01q\0")
    client.frame(2, 1, struct.pack(">HHQH", 60, 0, 2, 0))
    client.frame(3, 1, b"four")

    assert client.heard() == (
        [] if expected is None else connection_close(501, expected, basic.Publish)
    )


@by_version(1, 0, 0)
def test_an_integer_may_be_equal_to_a_float(client: SilentClient, expected: int) -> None:
    declare(client, "q")
    client.say(1, queue.Bind("q", "amq.headers", "", arguments={"a": Int64(1)}))

    client.publish("", b"m", exchange="amq.headers", headers={"a": 1.0})

    assert client.vhost.queues["q"].message_count == expected
    headers = {"a": 1.0}
    route = client.vhost.explain(Message("amq.headers", "", Properties(headers=headers), b""))
    assert ("the header 'a' is 1.0, not Int64(1)" in str(route)) == (not expected)


# ----------------------------------------------------------------------------- streams, replies


@by_version([540], [], [])
def test_a_stream_may_accept_basic_nack(client: SilentClient, expected: list[int]) -> None:
    declare(client, "q", queue_type="stream")
    client.publish("q", b"m")
    offset = {"x-stream-offset": "first"}
    client.say(1, basic.Qos(0, 1), basic.Consume("q", "c", arguments=offset))

    assert codes(client.say(1, basic.Nack(1))) == expected


@by_version([b"a", b"b", b"none"], [b"a", b"none"], [b"a", b"none"])
def test_a_stream_may_filter(client: SilentClient, expected: list[bytes]) -> None:
    declare(client, "q", queue_type="stream")
    for value in ("a", "b", None):
        headers = {} if value is None else {"x-stream-filter-value": value}
        client.publish("q", (value or "none").encode(), headers=headers)
    arguments: FieldTable = {
        "x-stream-offset": "first",
        "x-stream-filter": "a",
        "x-stream-match-unfiltered": True,
    }

    consume = basic.Consume("q", "c", arguments=arguments)
    found = contents(client, basic.Qos(0, 10), consume)

    assert [each.body for each in found] == expected


@by_version(0, 1, 1)
def test_a_stream_may_accept_dead_letters(client: SilentClient, expected: int) -> None:
    declare(client, "s", queue_type="stream")
    declare(client, "q", dead_letter_exchange="", dead_letter_routing_key="s")
    client.publish("q", b"m")

    client.say(1, basic.Get("q"), basic.Reject(1, requeue=False))

    assert client.vhost.queues["s"].message_count == expected


@by_version([1, 1], [1, 1], [1, 2])
def test_direct_replies_may_use_up_delivery_tags(client: SilentClient, expected: list[int]) -> None:
    client.say(1, basic.Consume("amq.rabbitmq.reply-to", "r", no_ack=True))
    declare(client, "q")
    client.publish("q", b"ask", reply_to="amq.rabbitmq.reply-to")
    (asked,) = contents(client, basic.Get("q", no_ack=True))
    assert asked.properties is not None
    address = asked.properties.reply_to
    assert address is not None
    other = client.another(1)

    returned = other.publish(address, b"1", mandatory=True)
    other.publish(address, b"2")

    deliveries = [each for each in client.heard() if isinstance(each, basic.Deliver)]
    assert [each.delivery_tag - 1 for each in deliveries] == expected
    assert [type(each) for each in returned] == ([basic.Return] if expected == [1, 1] else [])


def test_a_queue_of_direct_replies_is_a_queue() -> None:
    """RabbitMQ 4.3.6: it has no bindings, and another channel can only publish to it."""
    client = SilentClient(Node(profile=find_profile("4.3"))).open(1)
    client.say(1, basic.Consume("amq.rabbitmq.reply-to", "r", no_ack=True))
    declare(client, "q")
    client.publish("q", b"ask", reply_to="amq.rabbitmq.reply-to")
    (asked,) = contents(client, basic.Get("q", no_ack=True))
    assert asked.properties is not None
    address = asked.properties.reply_to or ""
    bound = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue"
    for method in (queue.Bind(address, "amq.fanout"), queue.Unbind(address, "amq.fanout")):
        assert client.another(1).say(1, method) == channel_close(403, bound, type(method))

    assert client.another(1).say(1, queue.Purge(address)) == [queue.PurgeOk(0)]
    assert client.another(1).say(1, queue.Delete(address)) == [queue.DeleteOk(0)]
    text = f"only creator channel may consume from queue '{address}' in vhost '/'"
    assert client.another(1).say(1, basic.Consume(address, no_ack=True)) == channel_close(
        406, f"PRECONDITION_FAILED - {text}", basic.Consume
    )
    text = f"basic.get not supported by volatile queue '{address}' in vhost '/'"
    assert client.another(1).say(1, basic.Get(address)) == connection_close(
        540, f"NOT_IMPLEMENTED - {text}", basic.Get
    )


@by_version([541], [541], [])
def test_a_malformed_address_may_be_no_error(client: SilentClient, expected: list[int]) -> None:
    client.say(1, confirm.Select())

    replies = client.publish("amq.rabbitmq.reply-to.abc.def", b"m", mandatory=True)

    assert codes(replies) == expected


@by_version(True, False, False)
def test_basic_credit_may_exist(client: SilentClient, expected: bool) -> None:
    client.method(1, 60 << 16 | 200, b"\x01c\0\0\0\x01\0")

    assert codes(client.heard()) == ([406] if expected else [503])


@by_version(False, False, True)
def test_a_message_that_was_rejected_may_stay_redelivered(
    client: SilentClient, expected: bool
) -> None:
    declare(client, "dead")
    declare(client, "q", dead_letter_exchange="", dead_letter_routing_key="dead")
    client.publish("q", b"m", b"m")

    client.say(1, basic.Get("q"), basic.Reject(1, requeue=False))
    client.say(1, basic.Get("q"), basic.Nack(2, requeue=True))
    client.say(1, basic.Get("q"), basic.Nack(3, requeue=False))

    found = [each.method for each in contents(client, basic.Get("dead"), basic.Get("dead"))]
    flags = [each.redelivered for each in found if isinstance(each, basic.GetOk)]
    assert flags == [expected, False]


@by_version(False, True, True)
def test_a_dead_letter_may_keep_cc(client: SilentClient, expected: bool) -> None:
    declare(client, "dead")
    declare(client, "q", dead_letter_exchange="", dead_letter_routing_key="dead")
    client.publish("q", b"m", headers={"CC": ["copy"]})

    client.say(1, basic.Get("q"), basic.Reject(1, requeue=False))

    (got,) = contents(client, basic.Get("dead"))
    assert got.properties is not None
    assert ("CC" in (got.properties.headers or {})) == expected


@pytest.mark.parametrize("version", ["4.0", "4.3"])
def test_a_consumer_may_have_the_tag_of_an_earlier_one(client: SilentClient) -> None:
    """RabbitMQ 3.10 crashes over it."""
    declare(client, "q", queue_type="quorum")
    client.publish("q", b"1", b"2")
    client.say(1, basic.Qos(0, 1), basic.Consume("q", "c"))
    client.say(1, basic.Cancel("c"))

    found = contents(client, basic.Qos(0, 2), basic.Consume("q", "c"))

    assert [each.body for each in found] == [b"2"]


def test_deaths_of_a_publisher_are_replaced() -> None:
    """A damaged x-death header of a publisher loses the message before 4.0."""
    client = SilentClient(Node(profile=find_profile("4.3"))).open(1)
    declare(client, "dead")
    declare(client, "q", dead_letter_exchange="", dead_letter_routing_key="dead")
    client.publish("q", b"m", headers={"x-death": ["damaged"]})

    client.say(1, basic.Get("q"), basic.Reject(1, requeue=False))

    (message,) = client.vhost.queues["dead"].messages
    assert len(message.deaths) == 1
    assert message.properties == Properties(headers=message.properties.headers)


@by_version([b"1", b"0"], [b"1", b"0"], [b"0", b"1"])
def test_what_a_quorum_queue_drops_at_once_may_be_in_order(
    client: SilentClient, expected: list[bytes]
) -> None:
    declare(client, "dead")
    declare(
        client, "q", queue_type="quorum", dead_letter_exchange="", dead_letter_routing_key="dead"
    )
    client.publish("q", b"0", b"1", b"2")

    client.vhost.policies.set(Policy("short", "^q$", {"max-length": 1}))
    client.vhost.apply_policies()

    assert [each.body for each in client.vhost.queues["dead"].messages] == expected


@by_version(False, False, True)
def test_transient_exchanges_may_survive_a_restart(client: SilentClient, expected: bool) -> None:
    client.say(1, exchange.Declare("x", "direct"))

    client.node.restart()

    assert ("x" in client.vhost.exchanges) == expected
