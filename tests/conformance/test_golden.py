"""Comparison of the fake broker with transcripts recorded from RabbitMQ, by an external program.

The environment variable AMQP_CONFORM names the program that compares a broker with the transcripts. It
takes `--port`, `--only` with names of scenarios, and `--json` with a file for its results. Without the
variable the test is skipped; the other files here compare with RabbitMQ itself.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aioamqp_testing import FakeBroker

RUNNER = os.environ.get("AMQP_CONFORM", "")
IDENTICAL = Path(__file__).with_name("identical.txt").read_text().split()
"""The scenarios in which the fake broker sends the same frames as RabbitMQ."""

TIME_LIMIT = 55.0
"""Seconds for all scenarios; less than pytest's timeout, so that the test can stop the program."""


def test_the_list_of_identical_scenarios_has_no_duplicates() -> None:
    assert sorted(set(IDENTICAL)) == IDENTICAL


@pytest.mark.slow
@pytest.mark.skipif(not RUNNER, reason="AMQP_CONFORM does not name a program that compares")
@pytest.mark.asyncio
async def test_the_fake_sends_the_frames_recorded_from_rabbitmq(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    async with FakeBroker() as broker:
        port = urlsplit(await broker.listen()).port
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            RUNNER,
            *("--port", str(port)),
            *("--only", ",".join(IDENTICAL)),
            *("--json", str(results)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(TIME_LIMIT):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert results.exists(), output.decode(errors="replace")
    differences = {row["scenario"]: row["differences"] for row in json.loads(results.read_text())}
    # The program runs all scenarios whose names contain a given name, so there may be more results.
    assert {name: differences.get(name, ["not run"]) for name in IDENTICAL} == {
        name: [] for name in IDENTICAL
    }
