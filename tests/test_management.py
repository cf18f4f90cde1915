"""The management API of the fake broker answers as RabbitMQ's, as far as it goes."""

import asyncio
import base64
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

import aioamqp
from aioamqp_testing import FakeBroker
from aioamqp_testing.plugin.rabbitmq import Management
from tests.conformance.scenario import selection
from tests.rabbitmq import PLUGINS, RabbitMQNode

pytestmark = pytest.mark.asyncio

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


class Answer(NamedTuple):
    status: int
    body: Any
    location: str | None
    authenticate: str | None
    allow: str | None


def request_blocking(
    url: str, method: str, path: str, body: object, user: str | None, reason: str | None
) -> Answer:
    headers = {"Content-Type": "application/json"}
    if user is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    if reason is not None:
        headers["X-Reason"] = reason
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/api/{path}", data, headers, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        text = response.read()
        found = response.headers
        return Answer(
            response.status,
            json.loads(text) if text else None,
            found["Location"],
            found["WWW-Authenticate"],
            found["Allow"],
        )


async def send(
    url: str,
    method: str,
    path: str,
    body: object = None,
    *,
    user: str | None = "guest:guest",
    reason: str | None = None,
) -> Answer:
    return await asyncio.to_thread(request_blocking, url, method, path, body, user, reason)


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker(plugins=PLUGINS) as broker:
        yield broker


@pytest_asyncio.fixture
async def url(broker: FakeBroker) -> str:
    return await broker.listen_management()


# --------------------------------------------------------------------------------- as RabbitMQ

STEPS: list[tuple[Any, ...]] = [
    ("GET", "overview", None, None),
    ("GET", "overview", None, "guest:wrong"),
    ("GET", "overview", None, "nobody:guest"),
    ("GET", "overview"),
    ("DELETE", "overview"),
    ("GET", "whoami"),
    ("GET", "cluster-name"),
    ("GET", "nodes"),
    ("GET", "health/checks/alarms"),
    ("GET", "health/checks/local-alarms"),
    ("GET", "health/checks/virtual-hosts"),
    # virtual hosts, users, permissions
    ("GET", "vhosts/no"),
    ("PUT", "vhosts/a%2Fb", {}),
    ("PUT", "vhosts/a%2Fb", {}),
    ("PUT", "vhosts/shop"),
    ("GET", "vhosts"),
    ("GET", "vhosts/a%2Fb"),
    ("GET", "vhosts/shop/permissions"),
    ("PUT", "users/ada", {"password": "pw"}),
    ("PUT", "users/ada", [1]),
    ("PUT", "users/ada", {"password": "pw", "tags": ""}),
    ("GET", "whoami", None, "ada:pw"),
    ("PUT", "users/ada", {"password": "pw", "tags": "management"}),
    ("PUT", "users/eve", {"tags": ["monitoring"]}),
    ("GET", "users"),
    ("GET", "users/ada"),
    ("GET", "users/no"),
    ("GET", "whoami", None, "ada:pw"),
    ("GET", "overview", None, "ada:pw"),
    ("GET", "users", None, "ada:pw"),
    ("GET", "nodes", None, "ada:pw"),
    ("GET", "vhosts", None, "ada:pw"),
    ("GET", "queues", None, "ada:pw"),
    ("GET", "queues/shop", None, "ada:pw"),
    ("GET", "permissions/shop/ada"),
    ("PUT", "permissions/shop/ada", EVERYTHING | {"configure": "^mine"}),
    ("PUT", "permissions/shop/ada", EVERYTHING | {"configure": "^mine"}),
    ("PUT", "permissions/shop/ada", {"configure": ".*"}),
    ("PUT", "permissions/no/ada", EVERYTHING),
    ("PUT", "permissions/shop/no", EVERYTHING),
    ("GET", "permissions/shop/ada"),
    ("GET", "users/ada/permissions"),
    ("GET", "vhosts", None, "ada:pw"),
    # queues
    ("PUT", "queues/shop/q", {"durable": True, "arguments": {"x-max-length": 5, "x-mode": [1.5]}}),
    ("PUT", "queues/shop/q", {"durable": True, "arguments": {"x-max-length": 5, "x-mode": [1.5]}}),
    ("PUT", "queues/shop/q", {"durable": True}),
    ("PUT", "queues/shop/q2"),
    ("PUT", "queues/shop/amq.q", {}),
    ("PUT", "queues/no/q", {}),
    ("PUT", "queues/shop/q3", {"arguments": {"x-max-length": "a"}}),
    ("PUT", "queues/shop/other", {}, "ada:pw"),
    ("PUT", "queues/shop/mine%2F1", {}, "ada:pw"),
    ("GET", "queues"),
    ("GET", "queues/shop"),
    ("GET", "queues/shop/q"),
    ("GET", "queues/shop/no"),
    ("GET", "queues/no"),
    # exchanges
    ("PUT", "exchanges/shop/e", {"type": "topic"}),
    ("PUT", "exchanges/shop/e", {"type": "topic"}),
    ("PUT", "exchanges/shop/e", {"type": "direct"}),
    ("PUT", "exchanges/shop/e2"),
    ("PUT", "exchanges/shop/e3", {"type": "magic"}),
    ("PUT", "exchanges/shop/amq.e", {"type": "topic"}),
    ("GET", "exchanges/shop"),
    ("GET", "exchanges/shop/e"),
    ("GET", "exchanges/shop/amq.default"),
    ("GET", "exchanges/shop/no"),
    # bindings
    ("POST", "bindings/shop/e/e/q/q", {"routing_key": "a.b c"}),
    ("POST", "bindings/shop/e/e/q/q", {}),
    ("POST", "bindings/shop/e/e/q/no", {}),
    ("POST", "bindings/shop/e/no/q/q", {}),
    ("POST", "bindings/shop/e/e/e/amq.topic", {"routing_key": "k/l"}),
    ("GET", "bindings/shop"),
    ("GET", "bindings/shop/e/e/q/q"),
    ("GET", "bindings/shop/e/e/q/q/a.b%20c"),
    ("GET", "bindings/shop/e/e/q/q/~"),
    ("GET", "bindings/shop/e/e/q/q/no"),
    ("GET", "queues/shop/q/bindings"),
    ("GET", "exchanges/shop/no/bindings/source"),
    ("GET", "exchanges/shop/e/bindings/source"),
    ("GET", "exchanges/shop/amq.topic/bindings/destination"),
    ("DELETE", "bindings/shop/e/e/q/q/~"),
    ("DELETE", "bindings/shop/e/e/q/q/~"),
    ("GET", "bindings/shop/e/e/q/q"),
    # the end of everything
    ("DELETE", "queues/shop/q/contents"),
    ("DELETE", "queues/shop/no/contents"),
    ("DELETE", "queues/shop/q", None, "ada:pw"),
    ("DELETE", "queues/shop/q"),
    ("DELETE", "queues/shop/q"),
    ("DELETE", "exchanges/shop/amq.topic"),
    ("DELETE", "exchanges/shop/e"),
    ("DELETE", "exchanges/shop/no"),
    ("DELETE", "permissions/shop/ada"),
    ("DELETE", "permissions/shop/ada"),
    ("DELETE", "users/ada"),
    ("DELETE", "users/eve"),
    ("DELETE", "users/no"),
    ("DELETE", "vhosts/shop"),
    ("DELETE", "vhosts/a%2Fb"),
    ("DELETE", "vhosts/no"),
    ("GET", "vhosts"),
    ("GET", "connections/no"),
    ("DELETE", "connections/no"),
    ("GET", "aliveness-test/%2F"),
]

OWN = {"node", "cluster_name", "cluster_state", "listeners"}
"""What names the node, and so differs."""

LATE = {"messages", "messages_ready", "messages_unacknowledged", "consumers", "state"}
LATE |= {"queue_totals", "object_totals", "effective_policy_definition", "limits"}
"""What RabbitMQ shows some seconds later, or for some objects only."""


def differences(ours: object, theirs: object, where: str = "") -> list[str]:
    """List where a value of the fake broker is not that of RabbitMQ, which may show more."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = []
        for name, value in ours.items():
            if name not in OWN | LATE:
                found += differences(value, theirs.get(name, "missing"), f"{where}.{name}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = zip(in_order(ours), in_order(theirs), strict=True)
        return [each for pair in pairs for each in differences(*pair, f"{where}[]")]
    return [] if ours == theirs else [f"{where}: {ours!r}, and RabbitMQ {theirs!r}"]


def in_order(values: list[Any]) -> list[Any]:
    names = ("vhost", "source", "destination", "name", "user", "routing_key")

    def key(value: Any) -> list[str]:
        return [str(value.get(name)) for name in names] if isinstance(value, dict) else []

    return sorted(values, key=key)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_every_route_answers_as_rabbitmq(url: str, managed_node: RabbitMQNode) -> None:
    """Row U49."""
    if selection(managed_node.version)({"3.10": False, "4.0": True}):
        pytest.skip("the management API of the fake broker is that of RabbitMQ 3.10")
    theirs_at = f"http://127.0.0.1:{managed_node.management_port}"
    found = []
    for step in STEPS:
        method, path, body, user = step + (None, "guest:guest")[len(step) - 2 :]
        ours = await send(url, method, path, body, user=user)
        theirs = await send(theirs_at, method, path, body, user=user)
        if path in ("cluster-name", "nodes"):
            ours, theirs = ours._replace(body=None), theirs._replace(body=None)
        if f"{method} {path}" == "DELETE overview":
            theirs = theirs._replace(allow="GET")
        lines = differences(ours._asdict(), theirs._asdict())
        found += [f"{method} {path} {body} as {user}{line}" for line in lines]

    assert not found, "\n".join(found)


async def find_connection(url: str, name: str) -> Any:
    connections = (await send(url, "GET", "connections")).body
    return next((each for each in connections if each.get("user_provided_name") == name), None)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["fake", "real"])
async def test_a_connection_is_listed_and_closed(
    kind: str, broker: FakeBroker, url: str, managed_node: RabbitMQNode
) -> None:
    """Row U49."""
    amqp_url = await broker.listen()
    if kind == "real":
        url, amqp_url = f"http://127.0.0.1:{managed_node.management_port}", managed_node.url
    properties = {"connection_name": "orders"}
    _, protocol = await aioamqp.from_url(amqp_url, client_properties=properties)

    # RabbitMQ's API learns of a connection by an event
    while not (shown := await find_connection(url, "orders")):
        pass
    name = urllib.parse.quote(shown["name"], safe="")
    expected = {
        "protocol": "AMQP 0-9-1",
        "state": "running",
        "type": "network",
        "user": "guest",
        "user_provided_name": "orders",
        "user_who_performed_action": "guest",
        "vhost": "/",
        "channels": 0,
        "peer_host": "127.0.0.1",
    }
    assert {each: shown.get(each) for each in expected} == expected
    assert shown["client_properties"]["product"] == "aioamqp"
    assert (await send(url, "GET", f"connections/{name}")).status == 200

    assert (await send(url, "DELETE", f"connections/{name}", reason="enough")).status == 204
    await protocol.wait_closed()
    with pytest.raises(aioamqp.AmqpClosedConnection, match="CONNECTION_FORCED - enough"):
        await protocol.channel()


# --------------------------------------------------------------------------------- the fake alone


async def test_what_clients_do_is_shown_at_once(broker: FakeBroker, url: str) -> None:
    """Row U49."""
    _, protocol = await broker.connect()
    channel = await protocol.channel()
    await channel.queue_declare("q", arguments={"x-message-ttl": 60_000})
    broker.set_policy("short", "^q", {"max-length": 10})

    async def callback(*_: object) -> None: ...

    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(callback, "q", consumer_tag="c")
    for _ in range(3):
        await channel.basic_publish(b"m", "", "q")

    shown = (await send(url, "GET", "queues/%2F/q")).body
    (consumer,) = shown.pop("consumer_details")
    assert shown == {
        "name": "q",
        "vhost": "/",
        "node": "aioamqp-testing@localhost",
        "type": "classic",
        "state": "running",
        "durable": False,
        "auto_delete": False,
        "exclusive": False,
        "arguments": {"x-message-ttl": 60_000},
        "effective_policy_definition": {"max-length": 10},
        "consumers": 1,
        "messages": 3,
        "messages_ready": 2,
        "messages_unacknowledged": 1,
    }
    assert consumer["consumer_tag"] == "c"
    assert consumer["ack_required"]
    assert consumer["channel_details"]["number"] == 1
    totals = (await send(url, "GET", "overview")).body["object_totals"]
    assert totals == {"channels": 1, "connections": 1, "consumers": 1, "exchanges": 7, "queues": 1}
    await protocol.close()


async def test_what_the_api_changes_reaches_clients(broker: FakeBroker, url: str) -> None:
    """Row U49."""
    _, protocol = await broker.connect()
    channel = await protocol.channel()
    cancelled: list[str] = []
    channel.add_cancellation_callback(lambda _, tag: cancelled.append(tag))
    await channel.queue_declare("q")

    async def callback(*_: object) -> None: ...

    await channel.basic_consume(callback, "q", consumer_tag="c")
    assert (await send(url, "DELETE", "queues/%2F/q")).status == 204
    await broker.wait_for(lambda: cancelled)

    assert cancelled == ["c"]
    await protocol.close()


async def test_users_without_the_tag_see_only_their_connections(
    broker: FakeBroker, url: str
) -> None:
    """Row U49."""
    broker.add_user("ada", "pw", ["management"])
    broker.set_permissions("ada")
    _, hers = await broker.connect(login="ada", password="pw")
    _, another = await broker.connect()

    shown = (await send(url, "GET", "connections", user="ada:pw")).body
    assert [each["user"] for each in shown] == ["ada"]
    name = urllib.parse.quote(broker.sessions[1].name, safe="")
    assert (await send(url, "DELETE", f"connections/{name}", user="ada:pw")).status == 401
    await hers.close()
    await another.close()


async def test_alarms_and_crashes_fail_the_health_checks(broker: FakeBroker, url: str) -> None:
    """Row U49."""
    broker.block("low on disk")
    broker.crash_vhost()

    for path, where in (("alarms", "in the cluster"), ("local-alarms", "on the node")):
        answer = await send(url, "GET", f"health/checks/{path}")
        assert answer.status == 503
        assert answer.body == {
            "status": "failed",
            "reason": f"There are alarms in effect {where}",
            "alarms": [{"node": "aioamqp-testing@localhost", "resource": "disk"}],
        }
    assert (await send(url, "GET", "health/checks/virtual-hosts")).status == 503
    assert (await send(url, "GET", "aliveness-test/%2F")).status == 503
    (node,) = (await send(url, "GET", "nodes")).body
    assert node["disk_free_alarm"]
    assert not node["mem_alarm"]


async def test_a_route_that_is_not_supported_is_noted(broker: FakeBroker, url: str) -> None:
    """Row U49."""
    answer = await send(url, "GET", "definitions")

    assert answer.status == 404
    assert answer.body["reason"] == (
        "aioamqp-testing cannot do this yet: GET /api/definitions of the management API"
    )
    assert broker.refused == ["GET /api/definitions of the management API"]


async def test_the_api_stops_and_starts_with_the_broker(broker: FakeBroker, url: str) -> None:
    """Row U49."""
    await broker.stop()
    with pytest.raises(urllib.error.URLError, match="refused"):
        await send(url, "GET", "overview")

    await broker.start()
    overview = (await send(url, "GET", "overview")).body
    assert [f"{each['protocol']}://127.0.0.1:{each['port']}" for each in overview["listeners"]] == [
        url
    ]


async def test_arguments_keep_their_types(broker: FakeBroker, url: str) -> None:
    """Row U49."""
    arguments = {"n": 1, "f": 1.5, "s": "é", "b": True, "t": {"a": [None, 2]}}
    path = "bindings/%2F/e/amq.headers/q/q"
    await send(url, "PUT", "queues/%2F/q", {})
    created = await send(url, "POST", path, {"arguments": arguments})

    (shown,) = (await send(url, "GET", path)).body
    assert shown["arguments"] == arguments
    assert created.location == f"q/{shown['properties_key']}"
    assert (await send(url, "DELETE", f"{path}/{shown['properties_key']}")).status == 204
    assert (await send(url, "GET", path)).body == []
    too_large = {"arguments": {"n": 1 << 63}}
    assert (await send(url, "POST", path, too_large)).status == 400


async def test_the_command_serves_the_api() -> None:
    """Row U49: and the pytest plugin creates its virtual hosts with it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "aioamqp_testing", "serve", "--quiet"),
        *("--port=0", "--management-port=0"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        amqp_url = (await process.stdout.readline()).decode().strip()
        url = (await process.stdout.readline()).decode().strip()

        assert url.startswith("http://localhost:")
        management = await asyncio.to_thread(Management, amqp_url, url)
        await asyncio.to_thread(management.add, "a/b")
        async with aioamqp.from_url(f"{amqp_url}/a%2Fb") as protocol:
            assert protocol.is_open
        await asyncio.to_thread(management.remove, "a/b")
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def test_without_aiohttp_the_error_says_what_to_install() -> None:
    """Row U49."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c"),
        "import sys; sys.modules['aiohttp'] = None; from aioamqp_testing.__main__ import main;"
        " sys.exit(main(['serve', '--port=0', '--management-port=0']))",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()

    assert process.returncode == 1
    assert output == b""
    assert (
        errors.decode()
        .rstrip()
        .endswith("the management API needs aiohttp: pip install 'aioamqp-testing[management]'")
    )
