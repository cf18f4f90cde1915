"""The pytest plugin with RabbitMQ instead of the fake broker."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import run as run_process

import pytest

from aioamqp_testing.plugin.rabbitmq import Management, NoVirtualHosts, Rabbitmqctl
from amqp_codec import PROTOCOL_HEADER, Decoder, connection
from tests.rabbitmq import RabbitMQNode

INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"

TESTS = """
import aioamqp
import pytest
from aioamqp_testing import FakeBroker


@pytest.mark.parametrize("_", [1, 2])
async def test_each_test_finds_nothing(_, amqp_broker, amqp_url, amqp_channel):
    async with aioamqp.from_url(amqp_url) as protocol:
        channel = await protocol.channel()
        declared = await channel.queue_declare("orders", durable=True)
        await channel.basic_publish("one", "", "orders", properties={"delivery_mode": 2})
    assert declared["message_count"] == 0

    assert (await amqp_channel.basic_get("orders"))["message"] == b"one"
    _, other = await amqp_broker.connect()
    assert other.server_properties["product"] == "RabbitMQ"
    assert other.server_properties["platform"] != "Python"
    await other.close()


async def test_what_only_the_fake_broker_has(amqp_broker, amqp_channel):
    await amqp_channel.queue_declare("orders", exclusive=True)
    assert amqp_broker.vhost.queues["orders"].message_count == 0


@pytest.mark.amqp(clock="manual")
async def test_time(amqp_broker):
    amqp_broker.clock.advance(1)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(INI)
    pytester.makepyfile(test_it=TESTS)
    return pytester


def use_rabbitmqctl_of(node: RabbitMQNode, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "PATH", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS", "RABBITMQ_NODENAME"):
        monkeypatch.setenv(name, node.environment[name])


def virtual_hosts(node: RabbitMQNode) -> set[str]:
    command = ["rabbitmqctl", "--quiet", "list_vhosts", "--no-table-headers"]
    done = run_process(command, env=node.environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.timeout(300)  # many calls of rabbitmqctl, each of which starts an Erlang VM
def test_each_test_gets_its_own_virtual_host(
    project: pytest.Pytester, rabbitmq_node: RabbitMQNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_rabbitmqctl_of(rabbitmq_node, monkeypatch)
    before = virtual_hosts(rabbitmq_node)

    run = project.runpytest(f"--amqp-backend={rabbitmq_node.url}", "-rs")

    run.assert_outcomes(passed=2, skipped=2)
    run.stdout.fnmatch_lines(
        [
            "amqp: AmqpUrl(*guest:[*]*127.0.0.1*a virtual host for each test (rabbitmqctl)",
            "*amqp_broker.vhost exists only on the fake broker, and --amqp-backend is a real one*",
            "*the options {'clock': 'manual'} are for the fake broker, and --amqp-backend is a real one*",
        ]
    )
    assert virtual_hosts(rabbitmq_node) == before


NAMES = """
import pytest
import aioamqp

names = []


@pytest.mark.parametrize("_", [1, 2])
async def test_names(_, amqp_name, amqp_channel):
    for name in names:
        with pytest.raises(aioamqp.ChannelClosed, match="no queue"):
            await amqp_channel.queue_declare(name, passive=True)
        break
    else:
        names.append(amqp_name("orders"))
        await amqp_channel.queue_declare(names[-1], durable=True)
        await amqp_channel.exchange_declare(names[-1], "direct", durable=True)


async def test_exchange_too(amqp_channel):
    with pytest.raises(aioamqp.ChannelClosed, match="no exchange"):
        await amqp_channel.exchange_declare(names[0], "direct", passive=True)


def test_a_test_without_a_loop(amqp_url, amqp_broker):
    assert amqp_broker.url == amqp_url


@pytest.mark.amqp(clock="manual")
def test_that_wants_more(amqp_broker):
    pass
"""


def test_names_are_deleted_if_virtual_hosts_cannot_be_created(
    project: pytest.Pytester, rabbitmq_url: str
) -> None:
    # rabbitmqctl cannot reach this node, because the environment does not name it
    project.makepyfile(test_it=NAMES)

    run = project.runpytest(f"--amqp-backend={rabbitmq_url}")

    run.assert_outcomes(passed=4, skipped=1)
    run.stdout.fnmatch_lines(["amqp: *one virtual host for all tests, where only names from *"])


OTHER_HOST = """
import aioamqp


async def test_it(amqp_broker):
    async with aioamqp.connect("nowhere.invalid") as protocol:
        assert protocol.server_properties["platform"] != "Python"
"""


def test_connections_to_any_host_reach_the_real_broker(
    project: pytest.Pytester, rabbitmq_url: str
) -> None:
    project.makepyfile(test_it=OTHER_HOST)

    project.runpytest(f"--amqp-backend={rabbitmq_url}").assert_outcomes(passed=1)


def test_rabbitmqctl_is_not_used_for_a_node_on_another_port(
    rabbitmq_node: RabbitMQNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_rabbitmqctl_of(rabbitmq_node, monkeypatch)

    with pytest.raises(NoVirtualHosts, match=r"does not listen on port 1$"):
        Rabbitmqctl("amqp://guest:guest@127.0.0.1:1/")


class Api(BaseHTTPRequestHandler):
    """The part of the management API that the plugin uses; it keeps the requests."""

    requests: list[tuple[str, str, object]]
    tags: list[str]
    overview: dict[str, object]

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        self.requests.append((self.command, self.path, body))
        if self.headers["Authorization"] != "Basic Z3Vlc3Q6Z3Vlc3Q=":
            self.send_response(401)
            self.end_headers()
        elif self.command == "GET":
            answers = {"/api/whoami": {"tags": self.tags}, "/api/overview": self.overview}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answers[self.path]).encode())
        else:
            self.send_response(204)
            self.end_headers()

    do_GET = do_PUT = do_DELETE = _answer  # noqa: N815 (http.server looks for these names)

    def log_message(self, *_: object) -> None:
        """Disable logging to standard error."""


@pytest.fixture
def api(rabbitmq_node: RabbitMQNode) -> Iterator[str]:
    """The URL of a management API of the private node."""
    Api.requests = []
    Api.tags = ["administrator"]
    with socket.create_connection(("127.0.0.1", rabbitmq_node.port)) as link:
        link.sendall(PROTOCOL_HEADER)
        decoder = Decoder()
        while not (commands := decoder.feed(link.recv(65536))):
            pass
    start = commands[0].method
    assert isinstance(start, connection.Start)
    Api.overview = {
        "cluster_name": start.server_properties["cluster_name"],
        "listeners": [
            {"protocol": "amqp", "port": rabbitmq_node.port},
            {"protocol": "amqp/ssl", "port": 5671},
            {"protocol": "http", "port": 15672},
        ],
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_management_api_creates_a_virtual_host_with_permissions(
    api: str, rabbitmq_url: str
) -> None:
    management = Management(rabbitmq_url, api)
    management.add("a/b")
    management.remove("a/b")

    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    assert Api.requests == [
        ("GET", "/api/whoami", None),
        ("GET", "/api/overview", None),
        ("PUT", "/api/vhosts/a%2Fb", {}),
        ("PUT", "/api/permissions/a%2Fb/guest", everything),
        ("DELETE", "/api/vhosts/a%2Fb", None),
    ]


def test_a_management_api_that_refuses_the_user_is_not_used(api: str, rabbitmq_url: str) -> None:
    with pytest.raises(NoVirtualHosts, match="401"):
        Management(rabbitmq_url.replace("guest:", "somebody:"), api)


def test_a_user_who_may_not_create_virtual_hosts_does_not_try(api: str, rabbitmq_url: str) -> None:
    """Row U17."""
    Api.tags = ["monitoring"]

    with pytest.raises(NoVirtualHosts, match="the user 'guest' is not an administrator"):
        Management(rabbitmq_url, api)


def test_an_unreachable_management_api_is_not_used(rabbitmq_url: str) -> None:
    with pytest.raises(NoVirtualHosts, match="refused"):
        Management(rabbitmq_url, "http://127.0.0.1:1")


def test_no_login_in_the_url_of_a_management_api_is_shown(rabbitmq_url: str) -> None:
    """Row C8."""
    with pytest.raises(NoVirtualHosts, match=r"GET http://127\.0\.0\.1:1/api/whoami") as failed:
        Management(rabbitmq_url, "http://ada:hunter2@127.0.0.1:1")

    assert "hunter2" not in str(failed.value)


def test_a_management_api_of_another_broker_is_not_used(api: str, rabbitmq_url: str) -> None:
    """Row U17."""
    Api.overview["cluster_name"] = "other@host"

    with pytest.raises(NoVirtualHosts, match="is that of another broker, other@host with AMQP on"):
        Management(rabbitmq_url, api)
    assert {verb for verb, *_ in Api.requests} == {"GET"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_virtual_host_is_created_on_anmanaged_node(
    project: pytest.Pytester,
    rabbitmq_node: RabbitMQNode,
    managed_node: RabbitMQNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row U17."""
    monkeypatch.setattr(
        "aioamqp_testing.plugin.rabbitmq.MANAGEMENT_PORT", managed_node.management_port
    )
    project.makepyfile(test_it=NAMES)

    run = project.runpytest(f"--amqp-backend={rabbitmq_node.url}")

    run.assert_outcomes(passed=4, skipped=1)
    run.stdout.fnmatch_lines(
        [
            f"amqp: *one virtual host for all tests, *{managed_node.management_port} is that of another"
            f" broker, {managed_node.name}@* with AMQP on port {managed_node.port};*",
        ]
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_named", [True, False])
def test_virtual_hosts_are_created_through_the_management_api_of_the_node(
    project: pytest.Pytester,
    managed_node: RabbitMQNode,
    is_named: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row U17."""
    options = [f"--amqp-backend={managed_node.url}"]
    if is_named:
        options.append(f"--amqp-management=http://127.0.0.1:{managed_node.management_port}")
    else:
        monkeypatch.setattr(
            "aioamqp_testing.plugin.rabbitmq.MANAGEMENT_PORT", managed_node.management_port
        )

    run = project.runpytest(*options)

    run.assert_outcomes(passed=2, skipped=2)
    run.stdout.fnmatch_lines(["amqp: *a virtual host for each test (management API)"])
