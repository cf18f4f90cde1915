"""The code blocks of the documents: each runs in the order of its page, on a fake broker.

| block | what is done with it |
| --- | --- |
| python | it runs; ``await`` is allowed outside functions |
| python, with tests in it | pytest runs it as a file |
| output | it must equal what the block before it has printed |
| toml, yaml | it is parsed |

All blocks of a page share a namespace, as in one session of a reader, and so they can use what an
invisible block in an HTML comment has defined.
"""

import ast
import asyncio
import inspect
import re
import subprocess
import sys
import tempfile
import tomllib
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]
from sybil import Example, Sybil
from sybil.evaluators.python import pad
from sybil.parsers.markdown import CodeBlockParser

from aioamqp_testing import fake_broker

ROOT: Final = Path(__file__).resolve().parents[1]
PATTERNS: Final = (
    "README.md",
    "packages/*/README.md",
    "packages/*/UPGRADING.md",
    "docs/*.md",
    "docs/*/*.md",
)
RABBITMQ: Final = "4.3"

_TESTS: Final = re.compile(r"^ *(?:async )?def test_", re.MULTILINE)
_PASSED: Final = re.compile(r"^(\d+) passed in ", re.MULTILINE)


def open_page(namespace: dict[str, Any]) -> None:
    """Start a fake broker and an event loop for the blocks of a page."""
    stack = ExitStack()
    namespace["_stack"] = stack
    namespace["broker"] = stack.enter_context(fake_broker(rabbitmq=RABBITMQ))
    namespace["_runner"] = stack.enter_context(asyncio.Runner())


def close_page(namespace: dict[str, Any]) -> None:
    """Stop them; fail if the broker has refused something."""
    namespace["_stack"].close()


def run_python(example: Example) -> None:
    """Run a block, and keep what it prints."""
    source = pad(example.parsed, example.line + example.parsed.line_offset)
    if _TESTS.search(source):
        run_tests(source)
        return
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, example.path, "exec", flags, dont_inherit=True)
    with redirect_stdout(StringIO()) as printed:
        result = eval(code, example.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            example.namespace["_runner"].run(result)
    example.namespace["_printed"] = printed.getvalue()


def run_tests(source: str) -> None:
    """Run a block as a file of pytest; every test in it must pass."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "test_block.py")
        path.write_text(source)
        loop_scope = "asyncio_default_fixture_loop_scope=function"
        version = f"--amqp-rabbitmq={RABBITMQ}"
        options = ("-q", "-W", "error", "-p", "no:cacheprovider", "-o", loop_scope, version)
        command = [sys.executable, "-m", "pytest", *options, path.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    passed = _PASSED.search(done.stdout)
    assert passed is not None, done.stdout + done.stderr
    assert int(passed[1]) >= len(_TESTS.findall(source)), done.stdout


def compare_output(example: Example) -> None:
    """Compare what the block before this one has printed."""
    assert example.namespace.pop("_printed") == example.parsed


code_blocks = Sybil(
    [
        CodeBlockParser("python", run_python),
        CodeBlockParser("output", compare_output),
        CodeBlockParser("toml", lambda example: _parse(tomllib.loads, example)),
        CodeBlockParser("yaml", lambda example: _parse(yaml.safe_load, example)),
    ],
    path=str(ROOT),
    patterns=PATTERNS,
    setup=open_page,
    teardown=close_page,
)


def _parse(parse: Any, example: Example) -> None:
    assert parse(str(example.parsed))
