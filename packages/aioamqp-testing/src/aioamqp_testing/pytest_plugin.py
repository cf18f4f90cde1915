"""The pytest plugin: `amqp_broker` and its kin, for any way of running tests in an event loop.

A fixture that needs the loop of the test has to be run by whatever plugin runs the test, and each
of them takes only those that were made for it. So there is one of each kind, made from the same
function, and a plain fixture that picks the one for the test that asks:

    amqp_broker ──▶ _amqp_broker_ + asyncio_function | … | asyncio_session | anyio | alone

That connections of the program under test reach the broker does not depend on contexts, which these
plugins and threads treat in different ways: see ``aioamqp.dialing(…, everywhere=True)``.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

import pytest

from .broker import FakeBroker
from .control.report import describe
from .fake_broker import check
from .plugin.loop_thread import entered

if TYPE_CHECKING:
    from aioamqp import AmqpProtocol, Channel

    from .plugin.rabbitmq import RealBroker, VirtualHosts

FAKE: Final = "fake"
TCP: Final = "tcp"
ANYIO: Final = "anyio"
ALONE: Final = "alone"

IN_MEMORY: Final = "amqp://guest:guest@fake-broker.invalid/"
"""Where the broker in memory is: aioamqp does not look there, and others find nothing."""


@dataclass
class Served:
    """A broker that serves a test.

    Attributes:
        broker: what the test sees of it.
        url: for clients.
        names: made up for the test.
    """

    broker: "FakeBroker | RealBroker"
    url: str
    names: list[str] = field(default_factory=list)


_SERVED: Final = pytest.StashKey[Served]()
_HAS_FAILED: Final = pytest.StashKey[bool]()
_VIRTUAL_HOSTS: "Final[pytest.StashKey[tuple[VirtualHosts | None, str]]]" = pytest.StashKey()


# --------------------------------------------------------------------------------- the options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ours."""
    group = parser.getgroup("aioamqp-testing")
    group.addoption(
        "--amqp-backend",
        default=FAKE,
        metavar="fake|tcp|amqp://...",
        help="the broker of the amqp_* fixtures: fake (in memory, the default), tcp (the same, over"
        " TCP), or the URL of a real one, whose user should be an administrator",
    )
    group.addoption(
        "--amqp-management",
        metavar="http://...",
        help="the management API of a real broker, if it is not port 15672 of the same host",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and look for a way to make virtual hosts on a real broker."""
    config.addinivalue_line(
        "markers", "amqp(**options): give amqp_broker these options, such as clock='manual'"
    )
    backend = config.getoption("amqp_backend")
    if backend in (FAKE, TCP):
        return
    from aioamqp.uri import parse_url

    from .plugin.rabbitmq import find_virtual_hosts

    try:
        parse_url(backend)
    except ValueError as error:
        raise pytest.UsageError(
            f"--amqp-backend is fake, tcp or an amqp:// URL, not {backend!r}: {error}"
        ) from None
    config.stash[_VIRTUAL_HOSTS] = find_virtual_hosts(backend, config.getoption("amqp_management"))


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the broker, unless it is the one that is always there."""
    backend = config.getoption("amqp_backend")
    if backend == FAKE:
        return None
    if backend == TCP:
        return "amqp: the fake broker, over TCP"
    from aioamqp.uri import parse_url

    return f"amqp: {parse_url(backend)}, {config.stash[_VIRTUAL_HOSTS][1]}"


# --------------------------------------------------------------------------------- serving a test


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("amqp")
    if marker is not None and marker.args:
        pytest.fail("pytest.mark.amqp takes keyword arguments only, those of FakeBroker", False)
    return {} if marker is None else dict(marker.kwargs)


@asynccontextmanager
async def _serve(request: pytest.FixtureRequest) -> AsyncGenerator[Served]:
    """Have a broker, with all of aioamqp's connections led to it, while a test runs."""
    import aioamqp

    from .plugin.rabbitmq import RealBroker, borrowed, dialer_to

    backend = request.config.getoption("amqp_backend")
    options = _options(request)
    if backend in (FAKE, TCP):
        broker = FakeBroker(**options)
        broker.open()
        try:
            url = IN_MEMORY if backend == FAKE else await broker.listen()
            dialer = broker.dial if backend == FAKE else dialer_to(url)
            with aioamqp.dialing(dialer, everywhere=True):
                yield Served(broker, url)
        finally:
            await broker.close()
        return
    if options:
        pytest.skip(f"only the fake broker has options, and this is a real one: {options}")
    names: list[str] = []
    virtual_hosts, _ = request.config.stash[_VIRTUAL_HOSTS]
    with aioamqp.dialing(dialer_to(backend), everywhere=True):
        async with borrowed(backend, virtual_hosts, names) as url:
            yield Served(RealBroker(url, pytest.skip), url, names)


@contextmanager
def _serve_without_a_loop(request: pytest.FixtureRequest) -> Generator[Served]:
    """Do the same for a test that is no coroutine; what it starts has loops of its own."""
    import aioamqp

    if request.config.getoption("amqp_backend") != FAKE:
        with entered(_serve(request)) as served:
            yield served
        return
    broker = FakeBroker(**_options(request))
    broker.open()
    with aioamqp.dialing(broker.dial, everywhere=True):
        yield Served(broker, IN_MEMORY)
    broker.abandon()


def _conclude(request: pytest.FixtureRequest, served: Served) -> None:
    """Fail a test for what the broker could not do, or for a fault that never happened.

    A test that has failed anyway is left alone: that may well be why.
    """
    if isinstance(served.broker, FakeBroker) and not request.node.stash.get(_HAS_FAILED, False):
        try:
            check(served.broker)
        except AssertionError as error:
            pytest.fail(str(error), pytrace=False)


# --------------------------------------------------------------------------------- the fixtures


def _make_fixtures(kind: str, fixture: Callable[..., Any]) -> dict[str, Any]:
    """Make the fixtures that need a loop, for the tests that run in one of a kind.

    Args:
        kind: of loop.
        fixture: the decorator by which those who run such a loop know their fixtures.

    Returns:
        the fixtures by name, for pytest to find in this module.
    """

    async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
        async with _serve(request) as served:
            yield served
        _conclude(request, served)

    async def connection(amqp_url: str) -> "AsyncIterator[AmqpProtocol]":
        import aioamqp

        async with aioamqp.from_url(amqp_url) as protocol:
            yield protocol

    async def channel(amqp_connection: "AmqpProtocol") -> "Channel":
        return await amqp_connection.channel()

    made: dict[str, Any] = {}
    for function in (broker, connection, channel):
        name = f"_amqp_{function.__name__}_{kind}"
        made[name] = fixture(name=name)(function)
    return made


globals().update(_make_fixtures(ANYIO, pytest.fixture))
if find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    with suppress(TypeError):  # before 0.24 there is no loop_scope
        for _scope in ("function", "class", "module", "package", "session"):
            _fixture = partial(pytest_asyncio.fixture, loop_scope=_scope)
            globals().update(_make_fixtures(f"asyncio_{_scope}", _fixture))


@pytest.fixture
def _amqp_broker_alone(request: pytest.FixtureRequest) -> Iterator[Served]:
    with _serve_without_a_loop(request) as served:
        yield served
    _conclude(request, served)


def _kind_of_loop(request: pytest.FixtureRequest) -> str:
    """Tell who runs the test."""
    if "anyio_backend" in request.fixturenames:
        if request.getfixturevalue("anyio_backend_name") != "asyncio":
            pytest.skip("aioamqp is for asyncio, and this test runs on trio")
        return ANYIO
    marker = request.node.get_closest_marker("asyncio")
    if marker is not None and request.config.pluginmanager.has_plugin("asyncio"):
        if "_amqp_broker_asyncio_function" not in globals():
            pytest.fail("the amqp fixtures need pytest-asyncio 0.24 or later", pytrace=False)
        scope = "function"
        with suppress(ValueError):  # before 0.26 it cannot be configured
            scope = request.config.getini("asyncio_default_test_loop_scope")
        return f"asyncio_{marker.kwargs.get('loop_scope') or scope}"
    return ALONE


def _in_the_loop(request: pytest.FixtureRequest, what: str) -> Any:
    """Return the fixture for the loop of this test."""
    kind = _kind_of_loop(request)
    if kind == ALONE:
        pytest.fail(
            f"amqp_{what} is for tests that are run in an event loop, by pytest-asyncio or anyio's"
            " plugin: this one is no coroutine, or lacks their mark. Without a loop there are"
            " amqp_broker and amqp_url",
            pytrace=False,
        )
    return request.getfixturevalue(f"_amqp_{what}_{kind}")


@pytest.fixture(name="_amqp_served")
def _served(request: pytest.FixtureRequest) -> Served:
    served: Served = request.getfixturevalue(f"_amqp_broker_{_kind_of_loop(request)}")
    request.node.stash[_SERVED] = served
    return served


@pytest.fixture
def amqp_broker(_amqp_served: Served) -> "FakeBroker | RealBroker":
    """A broker for this test alone, which all of aioamqp's connections reach meanwhile."""
    return _amqp_served.broker


@pytest.fixture
def amqp_url(_amqp_served: Served) -> str:
    """The URL of that broker."""
    return _amqp_served.url


@pytest.fixture
def amqp_connection(request: pytest.FixtureRequest) -> "AmqpProtocol":
    """An open connection to that broker: an ``aioamqp.AmqpProtocol``."""
    protocol: AmqpProtocol = _in_the_loop(request, "connection")
    return protocol


@pytest.fixture
def amqp_channel(request: pytest.FixtureRequest) -> "Channel":
    """An open channel of that connection: an ``aioamqp.Channel``."""
    channel: Channel = _in_the_loop(request, "channel")
    return channel


@pytest.fixture
def amqp_name(_amqp_served: Served) -> Callable[[str], str]:
    """A function that makes names for queues and exchanges which no other test has.

    On a real broker without a virtual host for the test, they are deleted afterwards.
    """

    def name(base: str = "test") -> str:
        made = f"{base}-{token_hex(6)}"
        _amqp_served.names.append(made)
        return made

    return name


# --------------------------------------------------------------------------------- the report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of the broker to the report about a failed test."""
    report = yield
    served = item.stash.get(_SERVED, None)
    if report.failed and served is not None and isinstance(served.broker, FakeBroker):
        if not item.stash.get(_HAS_FAILED, False):
            report.sections.append(("AMQP broker", describe(served.broker)))
        item.stash[_HAS_FAILED] = True
    return report
