"""The code blocks of the documents: those of a page run in their order, on a fake broker.

| block | what is done with it |
| --- | --- |
| python | it runs; ``await`` is allowed outside functions |
| python, with tests in it | pytest runs it as a file |
| output | it must equal what the block before it has printed |
| toml, yaml | it is parsed |
| pycon, xml | another test runs it |

All blocks of a page share a namespace, so a page can build a program step by step. They can use
what an invisible block in an HTML comment has defined. Pages without one run on RabbitMQ, too, and
print the same there.
"""

import ast
import asyncio
import inspect
import logging
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]
from sybil import Example, Sybil
from sybil.evaluators.python import pad
from sybil.parsers.markdown import CodeBlockParser

import aioamqp
from aioamqp_testing import fake_broker
from tests.source_tree import ROOT, shown

RABBITMQ: Final = "4.3"
PATTERNS: Final = ("README.md", "packages/*/README.md", "packages/*/UPGRADING.md", "docs/**/*.md")
LANGUAGES: Final = {
    "", "console", "output", "pycon", "python", "sh", "text", "toml", "xml", "yaml",
}  # fmt: skip

INVISIBLE: Final = "invisible-code-block"
FAKE: Final = "FakeBroker()"
FENCE: Final = re.compile(r"^ *```(\w*)$\n.*?^ *```$", re.MULTILINE | re.DOTALL)
CONSOLE: Final = re.compile(r"^ *```console$\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PROMPT: Final = re.compile(r" *\$ ")
TEST: Final = re.compile(r"^ *(?:async )?def test_", re.MULTILINE)
PASSED: Final = re.compile(r"^(\d+) passed in ", re.MULTILINE)


def languages(page: Path) -> list[str]:
    """List the languages of the blocks of a page."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


PAGES: Final = sorted(
    page for pattern in PATTERNS for page in ROOT.glob(pattern) if languages(page)
)
PORTABLE: Final = [
    page
    for page in PAGES
    if "aioamqp" in (text := page.read_text()) and INVISIBLE not in text and FAKE not in text
]
"""Pages whose programs do not need the fake broker."""

Made = TypeVar("Made", bound=asyncio.BaseProtocol)


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Restore the level of the log, which a page may set."""
    logger = logging.getLogger("aioamqp")
    level = logger.level
    yield
    logger.setLevel(level)


def run_page(page: Path, folder: Path) -> None:
    """Run all blocks of a page."""
    run_programs(page, folder)
    if any(folder.iterdir()):
        run_tests(folder)


def run_programs(page: Path, folder: Path) -> list[str]:
    """Run the blocks of a page on a fake broker; list the queues and exchanges that they leave."""
    with fake_broker(rabbitmq=RABBITMQ) as broker:
        run_blocks(page, folder, broker=broker)
        left = [*broker.vhost.queues, *broker.vhost.exchanges]
    return [name for name in left if name and not name.startswith("amq.")]


def run_blocks(page: Path, folder: Path, **names: Any) -> None:
    """Run the blocks of a page; those with tests become files in ``folder``."""
    document = CODE_BLOCKS.parse(page)
    with asyncio.Runner() as runner:
        document.namespace.update(names, _runner=runner, _folder=folder)
        for example in document.examples():
            example.evaluate()


def run_python(example: Example) -> None:
    """Run a block, and keep what it prints; leave one with tests to pytest."""
    source = pad(example.parsed, example.line + example.parsed.line_offset)
    if TEST.search(source):
        (example.namespace["_folder"] / f"test_line_{example.line}.py").write_text(source)
        return
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, example.path, "exec", flags, dont_inherit=True)
    with redirect_stdout(StringIO()) as printed:
        result = eval(code, example.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            example.namespace["_runner"].run(result)
    example.namespace["_printed"] = printed.getvalue()


def run_tests(folder: Path) -> None:
    """Run pytest in a folder; every test there must pass."""
    loop_scope = "asyncio_default_fixture_loop_scope=function"
    options = ("-q", "-W", "error", "-p", "no:cacheprovider", "-o", loop_scope)
    command = [sys.executable, "-m", "pytest", *options, f"--amqp-rabbitmq={RABBITMQ}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    passed = PASSED.search(done.stdout)
    assert passed is not None, done.stdout + done.stderr
    written = sum(len(TEST.findall(path.read_text())) for path in folder.glob("test_*.py"))
    assert int(passed[1]) == written, done.stdout


def compare_output(example: Example) -> None:
    """Compare what the block before this one has printed."""
    assert example.namespace.pop("_printed") == example.parsed


def parse_with(parse: Callable[[str], Any]) -> Callable[[Example], None]:
    """Return an evaluator that parses a block."""

    def evaluate(example: Example) -> None:
        assert parse(str(example.parsed))

    return evaluate


CODE_BLOCKS: Final = Sybil(
    [
        CodeBlockParser("python", run_python),
        CodeBlockParser("output", compare_output),
        CodeBlockParser("toml", parse_with(tomllib.loads)),
        CodeBlockParser("yaml", parse_with(yaml.safe_load)),
    ]
)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_the_code_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", PORTABLE, ids=shown)
def test_the_programs_of_a_page_do_the_same_on_rabbitmq(
    page: Path, tmp_path: Path, rabbitmq_url: str
) -> None:
    names = run_programs(page, tmp_path)

    asyncio.run(delete(rabbitmq_url, names))  # of another page
    with aioamqp.dialing(dialer_to(rabbitmq_url), everywhere=True):
        run_blocks(page, tmp_path)
    asyncio.run(delete(rabbitmq_url, names))


async def delete(url: str, names: list[str]) -> None:
    """Delete queues and exchanges; RabbitMQ permits it if there are none."""
    async with aioamqp.from_url(url) as protocol, protocol.channel() as channel:
        for name in names:
            await channel.queue_delete(name)
            await channel.exchange_delete(name)


def dialer_to(url: str) -> aioamqp.Dialer:
    """Return a dialer that connects to the server of a URL, whatever host a program names."""
    own_port = urlsplit(url).port or 5672

    async def dial(
        protocol_factory: Callable[[], Made],
        host: str,
        port: int | str,
        *,
        ssl: SSLContext | bool | None,
    ) -> tuple[asyncio.Transport, Made]:
        loop = asyncio.get_running_loop()
        return await loop.create_connection(protocol_factory, "127.0.0.1", own_port)

    return dial


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_block_has_a_language_that_is_known(page: Path) -> None:
    assert set(languages(page)) <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_commands_without_output_have_no_prompt_that_would_be_copied(page: Path) -> None:
    blocks = CONSOLE.findall(page.read_text(encoding="utf-8"))

    assert [each for each in blocks if all(PROMPT.match(line) for line in each.splitlines())] == []


def test_every_distribution_and_most_pages_have_code() -> None:
    pages = set(map(shown, filter(lambda page: "python" in languages(page), PAGES)))

    assert {f"packages/{path.name}/README.md" for path in ROOT.glob("packages/*")} <= pages
    assert len(pages) > 20


FAILING: Final = {
    "an error": "```python\n1 / 0\n```\n",
    "an awaited error": "```python\nimport asyncio\nawait asyncio.sleep(0)\n1 / 0\n```\n",
    "another output": "```python\nprint(1)\n```\n\n```output\n2\n```\n",
    "a block without the one before": "```python\nprint(a)\n```\n",
    "a test that fails": "```python\ndef test_it():\n    assert False\n```\n",
    "a test that is skipped": "```python\nimport pytest\ndef test_it():\n    pytest.skip()\n```\n",
    "no toml": "```toml\na = \n```\n",
}


@pytest.mark.parametrize("text", FAILING.values(), ids=FAILING)
def test_a_block_that_does_not_do_what_it_shows_is_found(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    folder = tmp_path / "tests"
    folder.mkdir()

    with pytest.raises((AssertionError, ArithmeticError, NameError, ValueError)):
        run_page(page, folder)
