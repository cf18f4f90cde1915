"""Section 3 of the contract with aioamqp 0.15: rows that are tested without a connection."""

import inspect
from importlib.metadata import metadata
from pathlib import Path

import aioamqp
from tests.compat.behaviour.rpcs import RPCS

ROOT = Path(__file__).parents[3]
DOCUMENTS = (*ROOT.glob("*.md"), *ROOT.glob("packages/*/*.md"), *ROOT.glob("docs/**/*.md"))
EXAMPLES = tuple(ROOT.glob("examples/**/*.py"))

WITHOUT_REPLY = {
    "publish",  # in confirm mode it waits for a confirm, which is not a reply
    "basic_publish",
    "basic_client_ack",
    "basic_client_nack",
    "basic_ack",
    "basic_nack",
    "basic_reject",
}
"""The methods of a channel that have a timeout because they wait to be sent."""

NEVER_WAIT = {"basic_recover_async"}


def test_no_document_or_example_awaits_publish_twice() -> None:
    """M5."""
    assert EXAMPLES
    assert [path for path in (*DOCUMENTS, *EXAMPLES) if "await await" in path.read_text()] == []


def test_every_call_of_a_channel_that_can_wait_takes_a_timeout() -> None:
    """M7. Row U2. This also checks that the list RPCS is complete."""
    calls = dict(inspect.getmembers(aioamqp.Channel, inspect.iscoroutinefunction))
    public = {name for name in calls if not name.startswith("_")}
    with_timeout = {
        name for name in public if "timeout" in inspect.signature(calls[name]).parameters
    }

    assert public - with_timeout == NEVER_WAIT
    assert (
        with_timeout
        == {rpc.name for rpc in RPCS} | {"open", "close", "wait_closed"} | WITHOUT_REPLY
    )


def test_every_other_call_that_can_wait_takes_a_timeout() -> None:
    """Row U2. ``ensure_open`` waits only for the end of a connection, which takes 5 seconds."""
    never_wait = {"send_heartbeat", "heartbeat", "ensure_open", "start_connection"}
    without = {
        name
        for cls in (aioamqp.AmqpProtocol, aioamqp.Message, type(aioamqp.AmqpProtocol().blocked))
        for name, call in inspect.getmembers(cls, inspect.iscoroutinefunction)
        if not name.startswith("_") and "timeout" not in inspect.signature(call).parameters
    }

    assert without == never_wait


def test_the_oldest_supported_python_is_documented() -> None:
    """M21."""
    assert metadata("aioamqp")["Requires-Python"] == ">=3.11"
    assert "Python 3.11 or later" in (ROOT / "packages/aioamqp/README.md").read_text()


def test_examples_use_asyncio_run_and_create_no_event_loop() -> None:
    """M28."""
    sources = {path: path.read_text() for path in (*DOCUMENTS, *EXAMPLES)}
    programs = {path: source for path, source in sources.items() if "__name__ == " in source}

    assert programs
    for path, source in programs.items():
        # The examples share a module that calls asyncio.run and handles Ctrl-C.
        is_shared = "from _cli import" in source and "\n    run(main(" in source
        # uvicorn runs the event loop of a web service.
        assert is_shared or "asyncio.run(" in source or "uvicorn.run(" in source, path
    assert "asyncio.run(main)" in sources[ROOT / "examples/_cli.py"]
    for path, source in sources.items():
        assert "get_event_loop" not in source, path
        assert "run_until_complete" not in source, path
