"""The pytest plugin, as a project sees it that has installed aioamqp-testing."""

import pytest

STRICT = "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
AUTO = STRICT.replace("strict", "auto")

PROGRAM = '''
import aioamqp


async def send(text, where="amqp://guest:guest@rabbitmq.example/"):
    """Code under test, which connects by itself and knows nothing of the test."""
    async with aioamqp.from_url(where) as protocol:
        channel = await protocol.channel()
        await channel.queue_declare("orders")
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
    await amqp_channel.queue_declare("orders")
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
    declared = await service.queue_declare("mine", exclusive=False)
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
    run.stdout.fnmatch_lines(["*aioamqp is for asyncio, and this test runs on trio*"])


def test_the_fixtures_follow_a_test_into_a_loop_that_several_share(
    project: pytest.Pytester,
) -> None:
    written(project, TESTS.replace("{fixture}", "pytest_asyncio.fixture(loop_scope='module')"), '@pytest.mark.asyncio(loop_scope="module")')

    project.runpytest().assert_outcomes(passed=4)
