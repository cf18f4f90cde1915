"""The fake's frames beside those that were recorded from RabbitMQ, where a runner for that is given.

AMQP_CONFORM names a program that compares a broker with recorded transcripts. It takes `--port`,
`--only` with names of scenarios, and `--json` with a file for its results. The project does not
need it: the other files here compare with RabbitMQ itself.
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
"""The scenarios in which the fake claims to send what RabbitMQ sent."""

TIME_LIMIT = 55.0
"""Seconds for all scenarios together; below pytest's, so that the runner is stopped."""


def test_no_scenario_is_claimed_twice() -> None:
    assert sorted(set(IDENTICAL)) == IDENTICAL


@pytest.mark.slow
@pytest.mark.skipif(not RUNNER, reason="AMQP_CONFORM does not name a program that compares")
@pytest.mark.asyncio
async def test_the_fake_sends_what_rabbitmq_sent(tmp_path: Path) -> None:
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
    # The runner takes a name for all scenarios that contain it, so it may have run more.
    assert {name: differences.get(name, ["not run"]) for name in IDENTICAL} == {
        name: [] for name in IDENTICAL
    }
