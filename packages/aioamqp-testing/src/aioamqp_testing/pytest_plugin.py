"""The pytest plugin: the fixture `amqp_broker` and others, for every way of running async tests.

A fixture that needs the event loop of the test must be run by the plugin that runs the test, and
each of these plugins only accepts fixtures that were made for it. So each fixture is made once for
each plugin from the same function, and a plain fixture selects the one that the test needs:

    amqp_broker ──▶ _amqp_broker_ + asyncio_function | … | asyncio_session | anyio | no_loop

The connections of the program under test reach the broker independently of contextvars, which these
plugins and threads treat differently: see ``aioamqp.dialing(…, everywhere=True)``.

Every run of pytest imports this module, so it imports brokers and clients only when a test asks for
them.
"""

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from .plugin.backend import FAKE, TCP, Backend

if TYPE_CHECKING:
    from aioamqp import AmqpProtocol, Channel

    from .broker import FakeBroker
    from .plugin.guard import Guard
    from .plugin.rabbitmq import RealBroker
    from .plugin.serving import Served

ANYIO: Final = "anyio"
NO_LOOP: Final = "no_loop"

_PYTEST_ASYNCIO: Final = "aioamqp-testing for pytest-asyncio"
"""The name of the plugin with the fixtures that pytest-asyncio runs."""

_BACKEND: Final = pytest.StashKey[Backend]()
_GUARD: "pytest.StashKey[Guard]" = pytest.StashKey()
_SERVED: "pytest.StashKey[Served]" = pytest.StashKey()
_HAS_FAILED: Final = pytest.StashKey[bool]()


# --------------------------------------------------------------------------------- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of this plugin."""
    group = parser.getgroup("aioamqp-testing")
    group.addoption(
        "--amqp-backend",
        default=FAKE,
        metavar="fake|tcp|amqp://...",
        help="the broker of the amqp_* fixtures: fake (in memory, the default), tcp (the same, but"
        " over TCP), or the URL of a real broker, with a user who is an administrator",
    )
    group.addoption(
        "--amqp-rabbitmq",
        metavar="VERSION",
        help="the version of RabbitMQ that the fake broker answers as, in tests that do not choose"
        " one with pytest.mark.amqp(rabbitmq=...): 4.3, which is the default, 4.0 or 3.10",
    )
    group.addoption(
        "--amqp-management",
        metavar="http://...",
        help="the URL of the management API of a real broker (default: port 15672 of its host)",
    )
    group.addoption(
        "--amqp-forbid-real",
        action="store_true",
        help="fail a test that opens a connection of aioamqp to anything but a fake broker, or the"
        " broker of --amqp-backend",
    )
    parser.addini("amqp_forbid_real", "the same as --amqp-forbid-real", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options, and find a way to make virtual hosts on a real broker."""
    if config.pluginmanager.has_plugin("asyncio"):
        _register_fixtures_for_pytest_asyncio(config)
    if config.getoption("amqp_forbid_real") or config.getini("amqp_forbid_real"):
        _forbid_real_connections(config)
    config.addinivalue_line(
        "markers",
        "amqp(**options): options of FakeBroker for amqp_broker, such as clock='manual'",
    )
    kind = config.getoption("amqp_backend")
    config.stash[_BACKEND] = Backend(kind)
    _check_version(config)
    if config.stash[_BACKEND].is_fake:
        return
    from aioamqp.uri import parse_url

    from .plugin.rabbitmq import find_virtual_hosts

    try:
        parse_url(kind)
    except ValueError as error:
        given = "" if "@" in kind else f", not {kind!r}"  # it may contain a password
        raise pytest.UsageError(
            f"--amqp-backend must be fake, tcp or an amqp:// URL{given}: {error}"
        ) from None
    found = find_virtual_hosts(kind, config.getoption("amqp_management"))
    config.stash[_BACKEND] = Backend(kind, *found)


def _check_version(config: pytest.Config) -> None:
    version = config.getoption("amqp_rabbitmq")
    if version is None:
        return
    from .model.profile import find_profile

    try:
        find_profile(version)
    except ValueError as error:
        raise pytest.UsageError(f"--amqp-rabbitmq: {error}") from None


def _forbid_real_connections(config: pytest.Config) -> None:
    from .plugin import guard

    config.stash[_GUARD] = guard.Guard()
    stack = ExitStack()
    stack.enter_context(config.stash[_GUARD].active())
    config.add_cleanup(stack.close)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that was refused a connection, even if its program has caught the error."""
    guard = item.config.stash.get(_GUARD, None)
    if guard is None:
        return (yield)
    guard.refused.clear()
    result = yield
    if guard.refused:
        pytest.fail(str(guard.refused[0]), pytrace=False)
    return result


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the broker, unless it is the default one."""
    backend = config.stash[_BACKEND]
    version = config.getoption("amqp_rabbitmq")
    fake = "the fake broker" if version is None else f"the fake broker as RabbitMQ {version}"
    if backend.kind == FAKE:
        return None if version is None else f"amqp: {fake}"
    if backend.kind == TCP:
        return f"amqp: {fake} over TCP"
    from aioamqp.uri import parse_url

    return f"amqp: {parse_url(backend.kind)}, {backend.description}"


# --------------------------------------------------------------------------------- one test


def _arguments(
    request: pytest.FixtureRequest,
) -> tuple[Backend, dict[str, Any], Callable[[str], NoReturn]]:
    """Return the arguments of ``serve`` for a test."""
    marker = request.node.get_closest_marker("amqp")
    if marker is not None and marker.args:
        pytest.fail("pytest.mark.amqp takes keyword arguments only, those of FakeBroker", False)
    options = {} if marker is None else dict(marker.kwargs)
    version = request.config.getoption("amqp_rabbitmq")
    if version is not None and request.config.stash[_BACKEND].is_fake:
        options.setdefault("rabbitmq", version)
    return request.config.stash[_BACKEND], options, pytest.skip


def _check(request: pytest.FixtureRequest, served: "Served") -> None:
    """Fail a test that used what the broker does not support, or did not trigger a fault.

    A test that has failed already does not fail again: its failure may be the reason.
    """
    from .broker import FakeBroker
    from .redirecting import check

    if isinstance(served.broker, FakeBroker) and not request.node.stash.get(_HAS_FAILED, False):
        try:
            check(served.broker)
        except AssertionError as error:
            pytest.fail(str(error), pytrace=False)


# --------------------------------------------------------------------------------- fixtures


def _make_fixtures(kind: str, fixture: Callable[..., Any]) -> dict[str, Any]:
    """Make the fixtures that need an event loop, for one kind of loop.

    Args:
        kind: see ``_loop_kind``.
        fixture: the decorator for fixtures that run in such a loop.

    Returns:
        the fixtures by name, for the namespace of a plugin.
    """

    async def broker(request: pytest.FixtureRequest) -> "AsyncIterator[Served]":
        from .plugin.serving import serve

        async with serve(*_arguments(request)) as served:
            yield served
        _check(request, served)

    async def connection(_amqp_served: "Served") -> "AsyncIterator[AmqpProtocol]":
        import aioamqp

        async with aioamqp.from_url(_amqp_served.url) as protocol:
            yield protocol

    async def channel(amqp_connection: "AmqpProtocol") -> "Channel":
        return await amqp_connection.channel()

    made: dict[str, Any] = {}
    for function in (broker, connection, channel):
        name = f"_amqp_{function.__name__}_{kind}"
        made[name] = fixture(name=name)(function)
    return made


globals().update(_make_fixtures(ANYIO, pytest.fixture))


def _register_fixtures_for_pytest_asyncio(config: pytest.Config) -> None:
    import pytest_asyncio

    fixtures = ModuleType(_PYTEST_ASYNCIO)
    with suppress(TypeError):  # before 0.24 there is no loop_scope
        for scope in ("function", "class", "module", "package", "session"):
            fixture = partial(pytest_asyncio.fixture, loop_scope=scope)
            vars(fixtures).update(_make_fixtures(f"asyncio_{scope}", fixture))
        config.pluginmanager.register(fixtures, _PYTEST_ASYNCIO)


@pytest.fixture
def _amqp_broker_no_loop(request: pytest.FixtureRequest) -> "Iterator[Served]":
    from .plugin.serving import serve_without_loop

    with serve_without_loop(*_arguments(request)) as served:
        yield served
    _check(request, served)


def _loop_kind(request: pytest.FixtureRequest) -> str:
    """Return which plugin runs the test, and for pytest-asyncio the scope of its loop."""
    if "anyio_backend" in request.fixturenames:
        if request.getfixturevalue("anyio_backend_name") != "asyncio":
            pytest.skip("aioamqp requires asyncio, but this test runs on trio")
        return ANYIO
    marker = request.node.get_closest_marker("asyncio")
    if marker is not None and request.config.pluginmanager.has_plugin("asyncio"):
        if not request.config.pluginmanager.has_plugin(_PYTEST_ASYNCIO):
            pytest.fail("the amqp_* fixtures require pytest-asyncio 0.24 or later", pytrace=False)
        scope = "function"
        with suppress(ValueError):  # before 0.26 it cannot be configured
            scope = request.config.getini("asyncio_default_test_loop_scope")
        return f"asyncio_{marker.kwargs.get('loop_scope') or scope}"
    return NO_LOOP


def _fixture_in_loop(request: pytest.FixtureRequest, name: str) -> Any:
    """Return the value of a fixture that runs in the event loop of this test."""
    kind = _loop_kind(request)
    if kind == NO_LOOP:
        pytest.fail(
            f"amqp_{name} requires a test that pytest-asyncio or the plugin of anyio runs in an"
            " event loop, but this test is not a coroutine or has no mark for them. Add the mark,"
            " or use amqp_broker or amqp_url, which work without an event loop",
            pytrace=False,
        )
    return request.getfixturevalue(f"_amqp_{name}_{kind}")


@pytest.fixture(name="_amqp_served")
def _served(request: pytest.FixtureRequest) -> "Served":
    served: Served = request.getfixturevalue(f"_amqp_broker_{_loop_kind(request)}")
    request.node.stash[_SERVED] = served
    return served


@pytest.fixture
def amqp_broker(_amqp_served: "Served") -> "FakeBroker | RealBroker":
    """A broker for this test only. All connections of aioamqp reach it during the test."""
    return _amqp_served.broker


@pytest.fixture
def amqp_url(_amqp_served: "Served") -> str:
    """The URL of that broker, for any client: a fake broker listens over TCP when it is requested.

    Connections of aioamqp still reach a fake broker in memory.
    """
    return _amqp_served.listen()


@pytest.fixture
def amqp_connection(request: pytest.FixtureRequest) -> "AmqpProtocol":
    """An open connection to that broker: an ``aioamqp.AmqpProtocol``."""
    protocol: AmqpProtocol = _fixture_in_loop(request, "connection")
    return protocol


@pytest.fixture
def amqp_channel(request: pytest.FixtureRequest) -> "Channel":
    """An open channel on that connection: an ``aioamqp.Channel``."""
    channel: Channel = _fixture_in_loop(request, "channel")
    return channel


@pytest.fixture
def amqp_name(_amqp_served: "Served") -> Callable[[str], str]:
    """A function that makes unique names for queues and exchanges.

    On a real broker without a virtual host for the test, they are deleted afterwards.
    """
    from secrets import token_hex

    def name(base: str = "test") -> str:
        unique = f"{base}-{token_hex(6)}"
        _amqp_served.names.append(unique)
        return unique

    return name


# --------------------------------------------------------------------------------- report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of the broker to the report of a failed test."""
    report = yield
    served = item.stash.get(_SERVED, None)
    if not report.failed or served is None:
        return report
    from .broker import FakeBroker
    from .control.inspection import describe

    if isinstance(served.broker, FakeBroker):
        if not item.stash.get(_HAS_FAILED, False):
            report.sections.append(("AMQP broker", describe(served.broker)))
        item.stash[_HAS_FAILED] = True
    return report
