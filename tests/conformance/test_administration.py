"""Administration: users, permissions, limits, policies, and closing of connections."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from amqp_codec import basic, channel, connection, exchange, queue
from tests.conformance.administration import Administer
from tests.conformance.client import LogIn, MethodOrCommand, OpenClient, ScriptedClient, publish
from tests.conformance.scenario import (
    ByVersion,
    Connect,
    NewName,
    count,
    dead_lettering_queue,
    inbox_of,
    scenario,
)

pytestmark = pytest.mark.slow


class Tenant:
    """The names of a virtual host and a user that no other test uses."""

    def __init__(self, name: str) -> None:
        self.vhost = f"{name}-vhost"
        self.user = f"{name}-user"
        self.password = "secret"


@pytest_asyncio.fixture
async def tenant(administer: Administer, new_name: NewName) -> AsyncIterator[Tenant]:
    """Names of a virtual host and a user, which are deleted when the test ends."""
    tenant = Tenant(new_name())
    yield tenant
    async with administer() as broker:
        broker.delete_user(tenant.user)
        broker.delete_vhost(tenant.vhost)


async def log_in_as(log_in: LogIn, tenant: Tenant, *channels: int) -> ScriptedClient:
    """Log in as the user of the test, to its virtual host."""
    client = await log_in(*channels, user=tenant.user, password=tenant.password, vhost=tenant.vhost)
    assert isinstance(client, ScriptedClient), client
    return client


def not_allowed(text: str) -> connection.Close:
    return connection.Close(530, f"NOT_ALLOWED - {text}", 10, 40)


@scenario
async def test_a_connection_is_refused_without_permission_or_above_a_limit(
    administer: Administer, tenant: Tenant, log_in: LogIn, by_version: ByVersion
) -> None:
    """Rows 17-20 and 30."""
    async with administer() as broker:
        broker.add_vhost(tenant.vhost)
        broker.add_user(tenant.user, tenant.password)
    credentials = {"user": tenant.user, "password": tenant.password}
    refused = f"access to vhost '{{}}' refused for user '{tenant.user}'"

    assert await log_in(vhost=f"{tenant.vhost}x") == not_allowed(f"vhost {tenant.vhost}x not found")
    assert await log_in(vhost=tenant.vhost, **credentials) == not_allowed(
        refused.format(tenant.vhost)
    )

    async with administer() as broker:
        broker.set_permissions(tenant.user, tenant.vhost)
        broker.set_user_limits(tenant.user, max_connections=1, max_channels=2)
        broker.set_vhost_limits(tenant.vhost, max_connections=2)
    client = await log_in_as(log_in, tenant, 1, 2)
    assert await log_in(vhost=tenant.vhost, **credentials) == not_allowed(
        f"connection refused for user '{tenant.user}': user connection limit (1) is reached"
    )
    assert isinstance(await log_in(vhost=tenant.vhost), ScriptedClient)
    assert await log_in(vhost=tenant.vhost, **credentials) == not_allowed(
        f"{refused.format(tenant.vhost)}: connection limit (2) is reached"
    )
    client.send(channel.Open(), channel=3)
    closed = await client.next_command()
    assert isinstance(closed, connection.Close)
    assert (closed.reply_code, closed.class_id, closed.method_id) == (530, 0, 0)
    # RabbitMQ: 4.0 names the node in place of the user.
    user = by_version({"3.10": tenant.user, "4.0": "aioamqp-test", "4.3": tenant.user})
    limit = by_version({"3.10": "(2)", "4.3": "2"})
    assert closed.reply_text.startswith(f"NOT_ALLOWED - number of channels opened for user '{user}")
    assert closed.reply_text.endswith(f"' has reached the maximum allowed user limit of {limit}")


@scenario
async def test_permissions_are_checked_by_resource_name(
    administer: Administer, tenant: Tenant, log_in: LogIn, by_version: ByVersion
) -> None:
    """Rows 78-81."""
    async with administer() as broker:
        broker.add_vhost(tenant.vhost)
        broker.add_user(tenant.user, tenant.password)
        broker.set_permissions(
            tenant.user, tenant.vhost, configure="^c", write="^(cw|amq.topic|cr$)", read="^(cr|amq)"
        )
        broker.set_topic_permissions(
            tenant.user, "amq.topic", tenant.vhost, write="^w[.]{username}$", read="^r[.]"
        )
    client, other = await log_in_as(log_in, tenant), await log_in(vhost=tenant.vhost)
    assert isinstance(other, ScriptedClient)
    await other.call(exchange.Declare("x", "fanout"), queue.Declare("q", durable=True))
    await client.call(
        queue.Declare("cw", durable=True),
        queue.Declare("cr", durable=True),
        exchange.Declare("cx", "fanout"),
    )

    def refusal(verb: str, what: str) -> tuple[int, str]:
        # RabbitMQ: 4.0 names the permission.
        verb = by_version({"3.10": "", "4.0": f"{verb} "})
        text = f"{verb}access to {what} in vhost '{tenant.vhost}' refused for user '{tenant.user}'"
        return 403, f"ACCESS_REFUSED - {text}"

    forbidden: list[tuple[MethodOrCommand, str, str]] = [
        # Row 78: configure, write, read; both ends of a binding, the destination first
        (queue.Declare("q", durable=True), "configure", "queue 'q'"),
        (queue.Delete("q"), "configure", "queue 'q'"),
        (exchange.Declare("x", "fanout"), "configure", "exchange 'x'"),
        (exchange.Delete("x"), "configure", "exchange 'x'"),
        (publish("k", "x"), "write", "exchange 'x'"),
        (publish("k", "missing"), "write", "exchange 'missing'"),
        (basic.Consume("q"), "read", "queue 'q'"),
        (basic.Get("q"), "read", "queue 'q'"),
        (basic.Get("missing"), "read", "queue 'missing'"),
        (queue.Purge("q"), "read", "queue 'q'"),
        (queue.Bind("q", "x"), "write", "queue 'q'"),
        (queue.Bind("cw", "x"), "read", "exchange 'x'"),
        (queue.Unbind("q", "x"), "write", "queue 'q'"),
        (queue.Unbind("cw", "x"), "read", "exchange 'x'"),
        (exchange.Bind("cx", "x"), "write", "exchange 'cx'"),
        (exchange.Unbind("cx", "x"), "write", "exchange 'cx'"),
        # Row 79: topic exchanges also check topic permissions
        (publish("w.guest", "amq.topic"), "write", "topic 'w.guest' in exchange 'amq.topic'"),
        (queue.Bind("cw", "amq.topic", "w"), "read", "topic 'w' in exchange 'amq.topic'"),
        (queue.Unbind("cw", "amq.topic", "w"), "read", "topic 'w' in exchange 'amq.topic'"),
        # Row 80
        (publish("cr"), "write", "exchange 'amq.default'"),
        # Row 81
        (
            queue.Declare("cn", durable=True, arguments={"x-dead-letter-exchange": "cr"}),
            "read",
            "queue 'cn'",
        ),
        (
            queue.Declare("cr1", durable=True, arguments={"x-dead-letter-exchange": "x"}),
            "write",
            "exchange 'x'",
        ),
        (
            exchange.Declare("cn", "topic", arguments={"alternate-exchange": "cr"}),
            "read",
            "exchange 'cn'",
        ),
        (
            exchange.Declare("cr1", "topic", arguments={"alternate-exchange": "x"}),
            "write",
            "exchange 'x'",
        ),
    ]
    for what, verb, named in forbidden:
        assert await client.refusal(what) == refusal(verb, named), what
    passive: list[MethodOrCommand] = [
        queue.Declare("q", passive=True),
        exchange.Declare("x", passive=True),
    ]
    # RabbitMQ: 4.3 requires some permission for a passive declare.
    if by_version({"3.10": True, "4.3": False}):
        declared = await client.call(*passive)
        assert declared == [queue.DeclareOk("q", 0, 0), exchange.DeclareOk()]
    else:
        refused = [await client.refusal(each) for each in passive]
        assert refused == [refusal("configure", "queue 'q'"), refusal("configure", "exchange 'x'")]
    assert await client.call(
        queue.Bind("cw", "amq.topic", "r.1"),
        publish(f"w.{tenant.user}", "amq.topic"),
        exchange.Declare("cr1", "topic", arguments={"alternate-exchange": "cw"}),
    ) == [queue.BindOk(), exchange.DeclareOk()]


@scenario
async def test_a_virtual_host_may_limit_its_queues(
    administer: Administer, tenant: Tenant, log_in: LogIn
) -> None:
    """Row 118. Existing queues may be declared again."""
    async with administer() as broker:
        broker.add_vhost(tenant.vhost)
        broker.add_user(tenant.user, tenant.password)
        broker.set_vhost_limits(tenant.vhost, max_queues=1)
    client = await log_in(vhost=tenant.vhost)
    assert isinstance(client, ScriptedClient)

    assert await client.call(
        queue.Declare("q", durable=True), queue.Declare("q", durable=True)
    ) == [
        queue.DeclareOk("q", 0, 0),
        queue.DeclareOk("q", 0, 0),
    ]
    assert await client.refusal(queue.Declare("r", durable=True)) == (
        406,
        f"PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost '{tenant.vhost}'"
        " (1) is reached",
    )


@scenario
async def test_an_impersonator_may_set_any_user_id(
    administer: Administer, tenant: Tenant, log_in: LogIn
) -> None:
    """Row 143."""
    async with administer() as broker:
        broker.add_vhost(tenant.vhost)
        broker.add_user(tenant.user, tenant.password, ["impersonator"])
        broker.set_permissions(tenant.user, tenant.vhost)
    client = await log_in_as(log_in, tenant)
    await client.call(queue.Declare("q", durable=True))

    assert await client.call(publish("q", user_id="bob")) == []

    message = await client.get("q")
    assert message is not None
    assert message.properties is not None
    assert message.properties.user_id == "bob"


@scenario
async def test_messages_expire_when_a_policy_drops_the_message_before_them(
    administer: Administer, connect: Connect, new_name: NewName
) -> None:
    """Row F2."""
    client = await (await connect()).channel()
    name, dead_letter_queue = await dead_lettering_queue(client, new_name)
    dead_letters = await inbox_of(client, dead_letter_queue)
    await client.confirm_select()
    await client.publish(b"head", "", name)
    await client.publish(b"behind", "", name, {"expiration": "0"})
    assert await count(client, name) == 2

    async with administer() as broker:
        broker.set_policy("length", f"^{name}$", {"max-length": 1})

    assert await dead_letters.bodies(2) == [b"head", b"behind"]
    async with administer() as broker:
        broker.clear_policy("length")


@scenario
async def test_a_policy_applies_at_once_to_existing_queues_and_exchanges(
    administer: Administer, tenant: Tenant, log_in: LogIn
) -> None:
    """Row 121. The lower of argument and policy applies; redeclaring compares only arguments."""
    async with administer() as broker:
        broker.add_vhost(tenant.vhost)
        broker.add_user(tenant.user, tenant.password)
        broker.set_policy("low", ".", {"max-length": 1}, priority=-1, vhost=tenant.vhost)
    client = await log_in(vhost=tenant.vhost)
    assert isinstance(client, ScriptedClient)
    five = queue.Declare("q5", durable=True, arguments={"x-max-length": 5})
    two = queue.Declare("q2", durable=True, arguments={"x-max-length": 2})
    await client.call(
        five, two, exchange.Declare("x", "fanout"), queue.Declare("lost", durable=True)
    )
    numbers = [b"%d" % number for number in range(6)]

    async with administer() as broker:
        broker.set_policy("length", "^q", {"max-length": 3}, apply_to="queues", vhost=tenant.vhost)
        definition = {"alternate-exchange": "amq.fanout"}
        broker.set_policy("x", "^x$", definition, apply_to="exchanges", vhost=tenant.vhost)
    await client.call(queue.Bind("lost", "amq.fanout"), publish("k", "x"))
    for name in ("q5", "q2"):
        await client.call(*(publish(name, body=number) for number in numbers))
    assert await client.bodies("lost") == [b"m"]
    assert await client.bodies("q5") == numbers[3:]
    assert await client.bodies("q2") == numbers[4:]
    assert await client.call(five) == [queue.DeclareOk("q5", 0, 0)]

    await client.call(*(publish("q5", body=number) for number in numbers))
    async with administer() as broker:
        broker.set_policy("length", "^q5$", {"max-length": 2}, vhost=tenant.vhost)
    assert await client.bodies("q5") == numbers[4:]


@scenario
async def test_an_operator_policy_applies_together_with_a_policy(
    administer: Administer, tenant: Tenant, log_in: LogIn
) -> None:
    """The lowest of argument, policy and operator policy applies."""
    async with administer() as broker:
        broker.add_vhost(tenant.vhost)
        broker.add_user(tenant.user, tenant.password)
        broker.set_policy("all", ".", {"max-length": 3, "max-length-bytes": 1}, vhost=tenant.vhost)
        broker.set_operator_policy("two", "^two", {"max-length": 2}, vhost=tenant.vhost)
        broker.set_operator_policy("five", "^five", {"max-length": 5}, vhost=tenant.vhost)
        broker.set_policy("low", "^two|^five", {"max-length": 3}, priority=1, vhost=tenant.vhost)
    client = await log_in(vhost=tenant.vhost)
    assert isinstance(client, ScriptedClient)
    one = queue.Declare("two-one", durable=True, arguments={"x-max-length": 1})
    names = ("two", "five", "other")
    await client.call(one, *(queue.Declare(name, durable=True) for name in names))
    numbers = [b"%d" % number for number in range(6)]

    for name in ("two-one", *names):
        await client.call(*(publish(name, body=number) for number in numbers))

    assert await client.bodies("two-one") == numbers[5:]
    assert await client.bodies("two") == numbers[4:]
    assert await client.bodies("five") == numbers[3:]
    assert await client.bodies("other") == numbers[5:]

    await client.call(*(publish("two", body=number) for number in numbers))
    async with administer() as broker:
        broker.set_operator_policy("two", "^two", {"max-length": 1}, vhost=tenant.vhost)
    assert await client.bodies("two") == numbers[5:]
    async with administer() as broker:
        broker.clear_operator_policy("two", vhost=tenant.vhost)
    await client.call(*(publish("two", body=number) for number in numbers))
    assert await client.bodies("two") == numbers[3:]


@scenario
async def test_an_administrator_can_close_connections(
    administer: Administer, tenant: Tenant, log_in: LogIn
) -> None:
    """Rows 56 and 57."""
    async with administer() as broker:
        broker.add_vhost(tenant.vhost)
        broker.add_user(tenant.user, tenant.password)
        broker.set_permissions(tenant.user, tenant.vhost)
    client = await log_in_as(log_in, tenant)

    async with administer() as broker:
        broker.close_all_connections("for a reason", vhost=tenant.vhost)
    assert await client.next_command() == forced("for a reason")
    client.send(connection.CloseOk(), channel=0)
    await client.closed.wait()

    client = await log_in_as(log_in, tenant)
    async with administer() as broker:
        broker.delete_user(tenant.user)
        broker.add_user(tenant.user, tenant.password)
    assert await client.next_command() == forced(f"user '{tenant.user}' is deleted")


@scenario
async def test_a_virtual_host_that_is_down_refuses_connections(
    administer: Administer, tenant: Tenant, log_in: LogIn
) -> None:
    """Row 21."""
    async with administer() as broker:
        broker.add_vhost(tenant.vhost)
        broker.add_user(tenant.user, tenant.password)
        broker.crash_vhost(tenant.vhost)

    assert await log_in(vhost=tenant.vhost) == connection.Close(
        541,
        f"INTERNAL_ERROR - access to vhost '{tenant.vhost}' refused for user 'guest':"
        f" vhost '{tenant.vhost}' is down",
        10,
        40,
    )


@scenario
async def test_a_message_above_the_maximum_size_is_refused(
    administer: Administer, open_client: OpenClient, name: str, by_version: ByVersion
) -> None:
    """Row 146. The size is checked before the exchange."""
    async with administer() as broker:
        broker.set_max_message_size(100)
    try:
        client = await open_client()
        await client.call(queue.Declare(name, exclusive=True), publish(name, body=bytes(100)))

        assert await client.bodies(name) == [bytes(100)]
        assert await client.refusal(publish(name, f"{name}-missing", bytes(101))) == (
            406,
            "PRECONDITION_FAILED - message size 101 is larger than configured max size 100",
        )
    finally:
        async with administer() as broker:
            broker.set_max_message_size(by_version({"3.10": 128 << 20, "4.0": 16 << 20}))


@scenario
async def test_a_broker_may_limit_what_all_virtual_hosts_have(
    administer: Administer, log_in: LogIn, name: str, by_version: ByVersion
) -> None:
    if by_version({"3.10": True, "4.0": False}):
        pytest.skip("RabbitMQ 3.10 has no such limits")
    limits_exchanges = by_version({"3.10": False, "4.3": True})
    client = await log_in()
    assert isinstance(client, ScriptedClient)
    try:
        async with administer() as broker:
            broker.set_cluster_limits(
                max_connections=1,
                max_channels=3,
                max_queues=0,
                max_exchanges=0 if limits_exchanges else None,
            )
        text = f"PRECONDITION_FAILED - cannot declare queue '{name}': queue limit in cluster (0) is reached"
        assert await client.refusal(queue.Declare(name, exclusive=True)) == (406, text)
        text = f"PRECONDITION_FAILED - cannot declare exchange '{name}' in vhost '/': exchange limit of 0 is reached"
        if limits_exchanges:
            assert await client.refusal(exchange.Declare(name, "fanout")) == (406, text)
        assert await client.call(exchange.Declare("amq.fanout", "fanout", durable=True)) == [
            exchange.DeclareOk()
        ]
        assert await log_in() == not_allowed(
            "connection refused: node connection limit (1) is reached"
        )
        # RabbitMQ counts channels a moment after it has opened or closed them.
        closed: object = None
        for number in range(2, 100):
            client.send(channel.Open(), channel=number)
            closed = await client.next_command()
            if closed != channel.OpenOk():
                break
        assert isinstance(closed, connection.Close)
        assert closed.reply_code == 530
        assert closed.reply_text.startswith(
            "NOT_ALLOWED - number of channels opened on node 'aioamqp-test"
        )
        limit = by_version({"4.0": "(3)", "4.3": "3"})
        assert closed.reply_text.endswith(f"' has reached the maximum allowed limit of {limit}")
    finally:
        async with administer() as broker:
            broker.set_cluster_limits()


def forced(text: str) -> connection.Close:
    return connection.Close(320, f"CONNECTION_FORCED - {text}", 0, 0)
