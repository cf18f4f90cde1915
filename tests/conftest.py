"""Fixtures of the tests that use several packages."""

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.certificates import Authority, OpenSSLMissing
from tests.rabbitmq import RabbitMQMissing, RabbitMQNode, is_required, running_node

SKIPPED = "no RabbitMQ: "
OWN_NODES = ("cluster", "managed_node", "restarting_node")
"""Fixtures of nodes that few tests use, which may run beside the tests of the shared node."""

NODES = frozenset({"rabbitmq_node", *OWN_NODES})


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """A private RabbitMQ node, shared by all tests of this test run.

    Each test uses its own names for queues and exchanges. Virtual hosts per test would need
    `rabbitmqctl`, which takes a second or more each time.
    """
    try:
        authority = Authority(tmp_path_factory.mktemp("authority"))
    except OpenSSLMissing:
        authority = None
    with node_or_skip(authority) as node:
        yield node


@pytest.fixture(scope="session")
def managed_node() -> Iterator[RabbitMQNode]:
    """Another private RabbitMQ node, which has the management API and starts slowly for it."""
    with node_or_skip(has_management=True) as node:
        yield node


@contextlib.contextmanager
def node_or_skip(
    authority: Authority | None = None, *, has_management: bool = False, restarts: bool = False
) -> Iterator[RabbitMQNode]:
    """Run a private RabbitMQ node; without RabbitMQ, skip the test, or fail it if required."""
    try:
        with running_node(authority, has_management=has_management, restarts=restarts) as node:
            yield node
    except RabbitMQMissing as missing:
        skip_or_fail(missing)


def skip_or_fail(missing: RabbitMQMissing) -> NoReturn:
    """Skip a test without RabbitMQ, or fail it if that is required."""
    if is_required():
        pytest.fail(f"AMQP_REQUIRE_RABBITMQ is set, but {missing}", pytrace=False)
    pytest.skip(f"{SKIPPED}{missing}")


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq_node: RabbitMQNode) -> str:
    """The URL of the private RabbitMQ node: `amqp://guest:guest@127.0.0.1:PORT/`."""
    return rabbitmq_node.url


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rabbitmq: needs a RabbitMQ node; set by tests/conftest.py")


@pytest.hookimpl(tryfirst=True)  # before `-m rabbitmq` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that share a node of RabbitMQ in one worker of pytest-xdist."""
    for item in items:
        if uses_rabbitmq(item):
            fixtures = getattr(item, "fixturenames", ())
            node = next((each for each in OWN_NODES if each in fixtures), "rabbitmq")
            item.add_marker(pytest.mark.rabbitmq)
            item.add_marker(pytest.mark.xdist_group(node))


def uses_rabbitmq(item: pytest.Item) -> bool:
    """Return whether a test needs RabbitMQ, by its fixtures or by the broker it runs on."""
    callspec = getattr(item, "callspec", None)
    return not NODES.isdisjoint(getattr(item, "fixturenames", ())) or (
        callspec is not None and "rabbitmq" in callspec.params.values()
    )


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
