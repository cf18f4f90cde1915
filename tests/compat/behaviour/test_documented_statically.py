"""Section 3 of the contract with aioamqp 0.15: what needs no connection to be seen."""

import inspect
from importlib.metadata import metadata
from pathlib import Path

import aioamqp
from tests.compat.behaviour.rpcs import RPCS

ROOT = Path(__file__).parents[3]
DOCUMENTS = (*ROOT.glob("*.md"), *ROOT.glob("packages/*/*.md"), *ROOT.glob("docs/**/*.md"))
EXAMPLES = tuple(ROOT.glob("examples/**/*.py"))

UNANSWERED = {
    "publish",  # in confirm mode it is, but not as a call
    "basic_publish",
    "basic_client_ack",
    "basic_client_nack",
    "basic_ack",
    "basic_nack",
    "basic_reject",
    "basic_recover_async",
}
"""The calls of a channel that have no timeout, since they do not wait for the server."""


def test_no_document_or_example_awaits_publish_twice() -> None:
    """M5."""
    assert EXAMPLES
    assert [path for path in (*DOCUMENTS, *EXAMPLES) if "await await" in path.read_text()] == []


def test_all_calls_but_those_that_are_not_answered_take_a_timeout() -> None:
    """M7. And the list of them that other tests go through is complete."""
    calls = dict(inspect.getmembers(aioamqp.Channel, inspect.iscoroutinefunction))
    public = {name for name in calls if not name.startswith("_")}
    with_timeout = {
        name for name in public if "timeout" in inspect.signature(calls[name]).parameters
    }

    assert public - with_timeout == UNANSWERED
    assert with_timeout == {rpc.name for rpc in RPCS} | {"open", "close"}


def test_the_oldest_python_that_works_is_stated() -> None:
    """M21."""
    assert metadata("aioamqp")["Requires-Python"] == ">=3.11"
    assert "Python 3.11 or later" in (ROOT / "packages/aioamqp/README.md").read_text()


def test_examples_use_asyncio_run_and_no_loop_of_their_own() -> None:
    """M28."""
    sources = {path: path.read_text() for path in (*DOCUMENTS, *EXAMPLES)}
    programs = {path: source for path, source in sources.items() if "__name__ == " in source}

    assert programs
    for path, source in programs.items():
        # What the programs share is asyncio.run with an end to Ctrl-C.
        is_shared = "from _cli import" in source and "\n    run(main(" in source
        assert is_shared or "asyncio.run(" in source, path
    assert "asyncio.run(main)" in sources[ROOT / "examples/_cli.py"]
    for path, source in sources.items():
        assert "get_event_loop" not in source, path
        assert "run_until_complete" not in source, path
