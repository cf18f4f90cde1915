"""The pytest plugin, in a project that has installed aioamqp-testing."""

import os

import pytest

from aioamqp.dial import current_dialer, dial_tcp
from aioamqp_testing.model.profile import DEFAULT_VERSION, VERSIONS

STRICT = "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
AUTO = STRICT.replace("strict", "auto")

PROGRAM = '''
import aioamqp


async def send(text, where="amqp://guest:guest@rabbitmq.example/"):
    """Code under test, which connects by itself."""
    async with aioamqp.from_url(where) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("orders", durable=True)
        await channel.basic_publish(text.encode(), "", "orders")
        await channel.queue_declare("orders", passive=True)  # the broker has it
'''

TESTS = """
import pytest
from program import send


{mark}
async def test_the_program_reaches_the_broker(amqp_broker):
    await send("one")

    (message,) = amqp_broker.vhost.queues["orders"].messages
    assert message.body == b"one"


{mark}
async def test_each_test_has_a_broker_of_its_own(amqp_broker, amqp_channel):
    assert not amqp_broker.vhost.queues
    await amqp_channel.queue_declare("orders", durable=True)
    assert list(amqp_broker.vhost.queues) == ["orders"]


{mark}
async def test_the_channel_sees_what_the_program_does(amqp_url, amqp_channel):
    await send("two", amqp_url)

    assert (await amqp_channel.basic_get("orders"))["message"] == b"two"


@{fixture}
async def service(amqp_url):
    import aioamqp
    _, protocol = await aioamqp.from_url(amqp_url)
    yield await protocol.channel()
    await protocol.close()


{mark}
async def test_the_connection_is_in_the_loop_of_the_test_and_of_its_fixtures(
    service, amqp_connection, amqp_channel
):
    declared = await service.queue_declare("mine", durable=True)
    assert (await amqp_channel.queue_declare("mine", passive=True))["queue"] == "mine"
    assert amqp_connection.state == 1
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(program=PROGRAM)
    pytester.makeini(STRICT)
    pytester.syspathinsert()
    return pytester


def written(project: pytest.Pytester, tests: str, mark: str = "@pytest.mark.asyncio") -> None:
    fixture = "pytest_asyncio.fixture" if "asyncio" in mark else "pytest.fixture"
    text = tests.replace("{mark}", mark).replace("{fixture}", fixture)
    project.makepyfile(test_it=("import pytest_asyncio\n" if "asyncio" in fixture else "") + text)


@pytest.mark.parametrize("backend", ["fake", "tcp"])
def test_the_fixtures_work_in_the_strict_mode_of_pytest_asyncio(
    project: pytest.Pytester, backend: str
) -> None:
    written(project, TESTS)

    project.runpytest(f"--amqp-backend={backend}").assert_outcomes(passed=4)


def test_the_fixtures_work_in_its_auto_mode(project: pytest.Pytester) -> None:
    written(project, TESTS, mark="")
    project.makeini(AUTO)

    project.runpytest().assert_outcomes(passed=4)


ANYIO_BACKEND = """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.mark.parametrize("backend", ["fake", "tcp"])
@pytest.mark.parametrize("options", [(), ("-p", "no:asyncio")])
def test_the_fixtures_work_with_the_plugin_of_anyio(
    project: pytest.Pytester, backend: str, options: tuple[str, ...]
) -> None:
    written(project, TESTS + ANYIO_BACKEND, mark="@pytest.mark.anyio")
    if options:
        project.makeini("[pytest]\nfilterwarnings = error\n")

    project.runpytest(f"--amqp-backend={backend}", *options).assert_outcomes(passed=4)


def test_a_test_on_trio_is_skipped_with_a_reason(project: pytest.Pytester) -> None:
    written(
        project,
        TESTS + ANYIO_BACKEND.replace('"asyncio"', '"trio"'),
        mark="@pytest.mark.anyio",
    )

    run = project.runpytest("-rs", "-k", "channel_sees")

    run.assert_outcomes(skipped=1)
    run.stdout.fnmatch_lines(["*aioamqp requires asyncio, but this test runs on trio*"])


def test_the_fixtures_follow_a_test_into_a_loop_that_several_share(
    project: pytest.Pytester,
) -> None:
    written(
        project,
        TESTS.replace("{fixture}", "pytest_asyncio.fixture(loop_scope='module')"),
        '@pytest.mark.asyncio(loop_scope="module")',
    )

    project.runpytest().assert_outcomes(passed=4)


ALONE = """
import asyncio
import threading
import pytest
from program import send


def test_a_test_without_a_loop_has_a_broker_too(amqp_broker, amqp_url):
    asyncio.run(send("one"))
    asyncio.run(send("two", amqp_url))

    assert [message.body for message in amqp_broker.vhost.queues["orders"].messages] == [b"one", b"two"]


def test_a_thread_reaches_it_too(amqp_broker):
    thread = threading.Thread(target=asyncio.run, args=[send("three")])
    thread.start()
    thread.join()

    assert amqp_broker.vhost.queues["orders"].message_count == 1
"""


@pytest.mark.parametrize("backend", ["fake", "tcp"])
def test_a_test_without_a_loop_has_a_broker_too(project: pytest.Pytester, backend: str) -> None:
    written(project, ALONE)

    project.runpytest(f"--amqp-backend={backend}").assert_outcomes(passed=2)


@pytest.mark.parametrize("name", ["channel", "connection"])
def test_a_fixture_that_needs_a_loop_fails_a_test_without_one(
    project: pytest.Pytester, name: str
) -> None:
    project.makepyfile(f"def test_it(amqp_{name}): pass")

    run = project.runpytest()

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(
        [
            f"*amqp_{name} requires a test that pytest-asyncio or the plugin of anyio runs in an event loop*"
        ]
    )


BLOCKING = """
import socket
import threading
from urllib.parse import urlsplit


def test_a_blocking_client(amqp_url):
    parts = urlsplit(amqp_url)
    with socket.create_connection((parts.hostname, parts.port)) as link:
        link.sendall(b"AMQP\\0\\0\\x09\\1")
        assert link.recv(3) == b"\\1\\0\\0"
    assert "aioamqp-testing" in [thread.name for thread in threading.enumerate()]
"""


def test_a_blocking_client_is_answered_over_tcp_while_its_test_waits(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(BLOCKING)

    project.runpytest("--amqp-backend=tcp").assert_outcomes(passed=1)


def test_other_processes_of_xdist_have_other_brokers(project: pytest.Pytester) -> None:
    written(project, TESTS + ALONE)

    run = project.runpytest_subprocess("-n2", "--amqp-backend=tcp")

    run.assert_outcomes(passed=6)


OPTIONS = """
import pytest


@pytest.mark.amqp(clock="manual")
@pytest.mark.asyncio
async def test_time(amqp_broker, amqp_channel):
    amqp_broker.clock.advance(1)
"""


def test_a_mark_gives_the_broker_options(project: pytest.Pytester) -> None:
    project.makepyfile(OPTIONS)

    project.runpytest("--strict-markers").assert_outcomes(passed=1)


VERSION = """
import pytest


{mark}def test_version(amqp_broker):
    assert amqp_broker.node.profile.version == "{version}"
"""


@pytest.mark.parametrize(
    ("option", "mark", "version"),
    [
        ((), "", VERSIONS[DEFAULT_VERSION].version),
        (("--amqp-rabbitmq=4.3",), "", "4.3.6"),
        ((), "@pytest.mark.amqp(rabbitmq='4.0')\n", "4.0.5"),
        (("--amqp-rabbitmq=4.3",), "@pytest.mark.amqp(rabbitmq='4.0')\n", "4.0.5"),
    ],
)
def test_an_option_and_a_mark_choose_the_version(
    project: pytest.Pytester, option: tuple[str, ...], mark: str, version: str
) -> None:
    project.makepyfile(VERSION.format(mark=mark, version=version))

    run = project.runpytest(*option)

    run.assert_outcomes(passed=1)
    header = "amqp: the fake broker as RabbitMQ 4.3"
    assert (header in run.outlines) == bool(option)


def test_an_unknown_version_is_refused_with_those_there_are(project: pytest.Pytester) -> None:
    run = project.runpytest("--amqp-rabbitmq=4.9")

    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(
        ["*--amqp-rabbitmq: there is no profile of RabbitMQ '4.9'; choose one*"]
    )


def test_pytest_shows_the_use_of_a_deprecated_feature(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING.replace("assert not", "assert").replace(", durable=True", ""))

    run = project.runpytest("--amqp-rabbitmq=4.3", "-W", "default")

    run.assert_outcomes(passed=1, warnings=1)
    run.stdout.fnmatch_lines(["*DeprecatedFeatureWarning: declaring queue 'orders' in vhost '/'*"])


def test_an_option_that_the_broker_does_not_have_is_an_error(project: pytest.Pytester) -> None:
    project.makepyfile(OPTIONS.replace("clock=", "clocks="))

    run = project.runpytest()

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*unexpected keyword argument 'clocks'*"])


FAILING = """
import pytest

pytestmark = pytest.mark.asyncio


async def test_it(amqp_broker, amqp_channel):
    await amqp_channel.queue_declare("orders", durable=True)
    await amqp_channel.exchange_declare("shop", "direct")
    await amqp_channel.queue_bind("orders", "shop", "new")
    for text in "one", "two", "three":
        await amqp_channel.basic_publish(text, "shop", "new")
    await amqp_channel.basic_get("orders")

    async def callback(channel, body, envelope, properties):
        pass

    await amqp_channel.basic_qos(prefetch_count=1)
    await amqp_channel.basic_consume(callback, "orders", consumer_tag="worker")
    await amqp_channel.queue_declare("orders", passive=True)
    assert not "what it does"
"""


def test_the_report_on_a_failure_shows_the_broker(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING)

    run = project.runpytest()

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        [
            "*- AMQP broker -*",
            "virtual host /",
            "  queue 'orders', durable: 1 ready, 2 unacked, 1 consumer",
            "    bound to exchange 'shop' with key 'new'",
            "    consumer 'worker' on 127.0.0.1:*, channel 1: manual ack, prefetch allows 0 more",
            "    ready: b'three', published to 'shop' with key 'new'",
            "  exchange 'shop', direct",
            "connections",
            "  127.0.0.1:*: open, user guest, 1 channel",
            "answers as",
            f"  RabbitMQ {VERSIONS[DEFAULT_VERSION].version}",
            "last commands (-> from the client, <- from the broker)",
            "    -> 1 *Publish(*'shop'*three*",
            "    <- 1 *Deliver(*worker*two*",
        ],
        consecutive=False,
    )


DELAYED = """
import pytest


{mark}@pytest.mark.asyncio
async def test_it(amqp_channel):
    arguments = {"x-delayed-type": "direct"}
    await amqp_channel.exchange_declare("x", "x-delayed-message", arguments=arguments)
"""


def test_the_report_says_how_a_test_asks_for_a_plugin(project: pytest.Pytester) -> None:
    """Row U20."""
    name = "rabbitmq_delayed_message_exchange"
    project.makepyfile(DELAYED.replace("{mark}", ""))

    run = project.runpytest()

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        [
            "*503*unknown exchange type 'x-delayed-message'*",
            "types of exchanges that need a plugin",
            f"  x-delayed-message: this broker has it with FakeBroker(plugins=[[]'{name}']),"
            f" pytest.mark.amqp(plugins=[[]'{name}']) or serve --plugin {name}",
        ]
    )
    project.makepyfile(DELAYED.replace("{mark}", f"@pytest.mark.amqp(plugins=['{name}'])\n"))
    project.runpytest().assert_outcomes(passed=1)


def test_a_test_that_passes_has_no_such_section(project: pytest.Pytester) -> None:
    project.makepyfile(FAILING.replace("assert not", "assert"))

    run = project.runpytest("-rA")

    run.assert_outcomes(passed=1)
    run.stdout.no_fnmatch_line("*AMQP broker*")


def test_a_failure_in_a_fixture_has_the_section_too(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
import asyncio
import pytest
from program import send


@pytest.fixture
def sent(amqp_broker):
    asyncio.run(send("one"))
    raise ValueError


def test_it(sent):
    pass
"""
    )

    run = project.runpytest()

    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*- AMQP broker -*", "  queue 'orders', durable: 1 ready, *"])


REFUSED = """
def test_it(amqp_broker):
    amqp_broker.refused.append("magic")  # as the broker does
"""


def test_what_the_broker_does_not_support_fails_a_test(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(REFUSED)

    run = project.runpytest()

    run.assert_outcomes(passed=1, errors=1)
    run.stdout.fnmatch_lines(
        ["a client used something that the fake broker does not support yet*", "  magic"]
    )


def test_a_test_that_has_failed_does_not_fail_again(project: pytest.Pytester) -> None:
    project.makepyfile(REFUSED + "    raise ValueError\n")

    run = project.runpytest()

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["used, but not supported", "  magic"])


def test_a_test_of_what_is_not_supported_can_clear_it(project: pytest.Pytester) -> None:
    project.makepyfile(REFUSED + "    amqp_broker.refused.clear()\n")

    project.runpytest().assert_outcomes(passed=1)


def test_tests_run_with_an_old_pytest_asyncio(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.mkdir("old")
    (folder / "pytest_asyncio.py").write_text("def fixture(function=None, *, scope=None): ...")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    project.makeini("")
    project.makepyfile("def test_it(amqp_broker): assert not amqp_broker.sessions")

    project.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=1)


LEAK = """
import aioamqp
import pytest


@pytest.mark.asyncio
async def test_it(amqp_broker):
    _, protocol = await aioamqp.connect()
    await protocol.channel()
    amqp_broker.assert_no_leaks()
"""


def test_a_failed_assertion_shows_the_line_of_the_test_and_no_other(
    project: pytest.Pytester,
) -> None:
    project.makepyfile("def test_it(amqp_broker): amqp_broker.assert_published('events', 'new')")

    result = project.runpytest()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*expected at least 1 message published to exchange 'events'*"])
    result.stdout.no_fnmatch_line("*assertions.py*")


def test_a_leak_that_a_test_looks_for_fails_it(project: pytest.Pytester) -> None:
    project.makepyfile(LEAK)

    run = project.runpytest()

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        ["*expected all connections to be closed, but found:*", "*connection 127.0.0.1:*is open*"]
    )


FAULT = """
import pytest
from aioamqp_testing import faults


@pytest.mark.asyncio
async def test_it(amqp_broker, amqp_channel):
    amqp_broker.faults.add(faults.CloseChannel(313, received="basic.get"))
"""


@pytest.mark.parametrize("backend", ["fake", "tcp"])
def test_a_fault_that_was_not_triggered_fails_its_test(
    project: pytest.Pytester, backend: str
) -> None:
    project.makepyfile(FAULT)

    run = project.runpytest(f"--amqp-backend={backend}")

    run.assert_outcomes(passed=1, errors=1)
    run.stdout.fnmatch_lines(["A fault was added but not triggered*", "*CloseChannel*"])


def test_a_test_that_fails_before_its_fault_is_triggered_fails_once(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(FAULT + "    raise ValueError\n")

    project.runpytest().assert_outcomes(failed=1)


def test_a_fault_does_not_fail_another_test(project: pytest.Pytester) -> None:
    project.makepyfile(FAULT + "\n\ndef test_next(amqp_broker):\n    pass\n")

    project.runpytest().assert_outcomes(passed=2, errors=1)


LEAVING = """
import asyncio
import pytest
import aioamqp
from aioamqp_testing import FakeBroker

pytestmark = pytest.mark.asyncio
seen = []


async def callback(channel, body, envelope, properties):
    pass


async def test_it(amqp_broker):
    transport, protocol = await aioamqp.connect()
    channel = await protocol.channel()
    await channel.queue_declare("orders", durable=True)
    await channel.basic_consume(callback, "orders")
    seen.append((amqp_broker, transport, asyncio.all_tasks()))


async def test_next():
    (broker, transport, tasks), = seen
    assert not broker.sessions
    assert transport.is_closing()
    assert all(task.done() for task in tasks)
    with pytest.raises(ConnectionRefusedError):
        await broker.connect()
"""


def test_a_connection_that_a_test_forgets_is_ended(project: pytest.Pytester) -> None:
    project.makepyfile(LEAVING)

    project.runpytest().assert_outcomes(passed=2)


def test_after_the_test_connections_go_to_where_they_say(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
import aioamqp
from aioamqp.dial import current_dialer, dial_tcp


def test_before(amqp_broker):
    assert current_dialer() == amqp_broker.dial


def test_after():
    assert current_dialer() is dial_tcp
"""
    )

    project.runpytest().assert_outcomes(passed=2)


def test_an_invalid_backend_is_refused(project: pytest.Pytester) -> None:
    run = project.runpytest("--amqp-backend=rabbit")

    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(
        ["*--amqp-backend must be fake, tcp or an amqp:// URL, not 'rabbit': *"]
    )


def test_an_invalid_url_is_refused_without_its_password(project: pytest.Pytester) -> None:
    """Row C8."""
    run = project.runpytest("--amqp-backend=amqp://ada:hunter#2@localhost/")

    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["*--amqp-backend must be fake, tcp or an amqp:// URL: *%23*"])
    run.stderr.no_fnmatch_line("*hunter*")


WAITING = """
import pytest


@pytest.mark.asyncio
async def test_it(amqp_broker):
    await amqp_broker.wait_for(lambda: amqp_broker.history("orders"), timeout=0.01)
"""


def test_a_failed_wait_shows_the_predicate_and_no_line_of_the_library(
    project: pytest.Pytester,
) -> None:
    """Row U21."""
    project.makepyfile(WAITING)

    result = project.runpytest("--showlocals")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *did not become true within 0.01 s.",
            'E *lambda: amqp_broker.history("orders"), timeout=*',
        ]
    )
    for file in ("waiting.py", "inspection.py", "threads.py", "timeouts.py"):
        result.stdout.no_fnmatch_line(f"*{file}*")


MODULES = """
import sys


def pytest_unconfigure():
    ours = ("aioamqp", "aioamqp_testing", "amqp_codec", "asyncio", "socket", "ssl", "threading")
    print("modules:", *(name for name in sys.modules if name.partition(".")[0] in ours))
"""


def modules_of_a_run(project: pytest.Pytester, *options: str) -> set[str]:
    project.makeini("")
    project.makeconftest(MODULES)
    plugins = (
        "asyncio",
        "anyio",
        "cov",
        "hypothesispytest",
        "timeout",
        "xdist",
        "xdist.looponfail",
    )
    without = [option for name in plugins for option in ("-p", f"no:{name}")]
    result = project.runpytest_subprocess(*without, *options)
    assert result.ret == 0
    (line,) = [line for line in result.outlines if line.startswith("modules:")]
    return set(line.split()[1:])


def test_a_run_without_a_broker_imports_next_to_nothing(project: pytest.Pytester) -> None:
    """Row U22. Every run of pytest pays for what the plugin imports."""
    project.makepyfile("def test_it(): pass")

    added = modules_of_a_run(project) - modules_of_a_run(project, "-p", "no:aioamqp-testing")

    assert added == {
        "aioamqp_testing",
        "aioamqp_testing.plugin",
        "aioamqp_testing.plugin.backend",
        "aioamqp_testing.pytest_plugin",
        "aioamqp_testing.version",
    }


def test_a_test_with_a_broker_imports_it(project: pytest.Pytester) -> None:
    """Row U22."""
    project.makepyfile("def test_it(amqp_broker): pass")

    assert {"aioamqp", "aioamqp_testing.broker"} <= modules_of_a_run(project)


GUARDED = """
import aioamqp
import pytest
from aioamqp_testing import FakeBroker, fake_broker

pytestmark = pytest.mark.asyncio


async def test_without_a_broker():
    await aioamqp.connect("rabbitmq.example", 5671)


async def test_whose_program_hides_the_error():
    try:
        await aioamqp.connect("localhost")
    except Exception:
        pass


async def test_with_the_fixture(amqp_broker):
    _, protocol = await aioamqp.connect("rabbitmq.example")
    await protocol.close()


async def test_with_a_broker_of_its_own():
    async with fake_broker(), aioamqp.connect("rabbitmq.example"):
        pass
    async with FakeBroker() as broker:
        _, protocol = await broker.connect()
        await protocol.close()
        async with aioamqp.from_url(await broker.listen()):
            pass


async def test_with_a_broker_that_no_longer_listens():
    async with FakeBroker() as broker:
        url = await broker.listen()
    await aioamqp.from_url(url)
"""


@pytest.mark.parametrize("backend", ["fake", "tcp"])
@pytest.mark.parametrize("where", ["ini", "command line"])
def test_connections_to_real_brokers_can_be_forbidden(
    project: pytest.Pytester, where: str, backend: str
) -> None:
    """Row U23."""
    project.makepyfile(GUARDED)
    project.makeini(STRICT + ("amqp_forbid_real = true\n" if where == "ini" else ""))
    options = [] if where == "ini" else ["--amqp-forbid-real"]

    result = project.runpytest(f"--amqp-backend={backend}", *options)

    result.assert_outcomes(passed=2, failed=3)
    text = "*the test has opened a connection to {}, and amqp_forbid_real forbids*amqp_broker*"
    result.stdout.fnmatch_lines(
        [text.format("rabbitmq.example:5671"), text.format("localhost:5672")]
    )
    result.stdout.fnmatch_lines([text.format("127.0.0.1:*")])


def test_the_guard_ends_with_its_run(project: pytest.Pytester) -> None:
    """Row U23."""
    project.makepyfile("def test_it(): pass")

    project.runpytest("--amqp-forbid-real").assert_outcomes(passed=1)

    assert current_dialer() is dial_tcp
