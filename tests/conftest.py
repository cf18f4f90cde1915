"""Fixtures of the tests that use several packages."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeAlias

import pytest

from tests.certificates import Authority, OpenSSLMissing
from tests.rabbitmq import (
    NODES,
    RabbitMQMissing,
    RabbitMQNode,
    await_startup,
    is_required,
    running_node,
)

SKIPPED = "no RabbitMQ: "
OWN_NODES = ("cluster", "managed_node", "restarting_node")
"""Fixtures of nodes that few tests use, which may run beside the tests of the shared node."""

SharedNode: TypeAlias = Callable[[str], RabbitMQNode]
"""Returns the node with this name, which is started for the first test that needs it."""


@pytest.fixture(scope="session")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedNode]:
    """A function that returns the private node of a version, shared by all tests of this test run.

    Each test uses its own names for queues and exchanges. Virtual hosts per test would need
    `rabbitmqctl`, which takes a second or more each time.
    """
    nodes: dict[str, RabbitMQNode] = {}
    with contextlib.ExitStack() as stack:

        def start_once(name: str) -> RabbitMQNode:
            if name not in nodes:
                try:
                    authority = Authority(tmp_path_factory.mktemp("authority"))
                except OpenSSLMissing:
                    authority = None
                node = stack.enter_context(node_or_skip(name, authority))
                await_startup(node)
                nodes[name] = node
            return nodes[name]

        yield start_once


@pytest.fixture
def rabbitmq_node(request: pytest.FixtureRequest, shared_node: SharedNode) -> RabbitMQNode:
    """The private RabbitMQ node of the version that the test runs on."""
    name = name_of_node(request.node)
    assert name is not None, "a parameter of the test must be one of tests.rabbitmq.NODES"
    return shared_node(name)


@pytest.fixture(scope="session", params=NODES)
def managed_node(request: pytest.FixtureRequest) -> Iterator[RabbitMQNode]:
    """Another private RabbitMQ node, which has the management API and starts slowly for it."""
    with node_or_skip(request.param, has_management=True) as node:
        yield node


@contextlib.contextmanager
def node_or_skip(
    name: str,
    authority: Authority | None = None,
    *,
    has_management: bool = False,
    restarts: bool = False,
) -> Iterator[RabbitMQNode]:
    """Run a private RabbitMQ node; without RabbitMQ, skip the test, or fail it if required."""
    try:
        with running_node(
            name, authority, has_management=has_management, restarts=restarts
        ) as node:
            yield node
    except RabbitMQMissing as missing:
        skip_or_fail(missing)


def skip_or_fail(missing: RabbitMQMissing | OpenSSLMissing) -> NoReturn:
    """Skip a test without RabbitMQ, or fail it if that is required; the same for OpenSSL."""
    if is_required():
        pytest.fail(f"AMQP_REQUIRE_RABBITMQ is set, but {missing}", pytrace=False)
    pytest.skip(f"{SKIPPED}{missing}")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that issues the certificates of servers."""
    try:
        return Authority(tmp_path_factory.mktemp("authority"))
    except OpenSSLMissing as missing:
        skip_or_fail(missing)


@pytest.fixture
def rabbitmq_url(rabbitmq_node: RabbitMQNode) -> str:
    """The URL of the private RabbitMQ node: `amqp://guest:guest@127.0.0.1:PORT/`."""
    return rabbitmq_node.url


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rabbitmq: needs a RabbitMQ node; set by tests/conftest.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that request the shared node once on each version."""
    if "rabbitmq_node" in metafunc.fixturenames:
        metafunc.parametrize("rabbitmq_node", NODES, indirect=True)


@pytest.hookimpl(tryfirst=True)  # before `-m rabbitmq` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that share a node of RabbitMQ in one worker of pytest-xdist."""
    for item in items:
        if (name := name_of_node(item)) is not None:
            fixtures = getattr(item, "fixturenames", ())
            own = (f"{each}-{name}" for each in OWN_NODES if each in fixtures)
            item.add_marker(pytest.mark.rabbitmq)
            item.add_marker(pytest.mark.xdist_group(next(own, name)))


def name_of_node(item: pytest.Item) -> str | None:
    """Return the name of the node that a test runs on, which is one of its parameters, or None."""
    callspec = getattr(item, "callspec", None)
    parameters = () if callspec is None else callspec.params.values()
    return next((each for each in parameters if each in NODES), None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report how many tests were skipped because RabbitMQ is not installed."""
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if SKIPPED in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.section("RabbitMQ")
        terminalreporter.line(
            f"{len(skipped)} tests were skipped because RabbitMQ, or openssl for its TLS, is not installed; "
            "with AMQP_REQUIRE_RABBITMQ=1 that is a failure."
        )
