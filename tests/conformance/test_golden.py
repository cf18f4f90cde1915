"""Comparison of the fake broker with transcripts recorded from RabbitMQ, by an external program.

The environment variable AMQP_CONFORM names the program that compares a broker with the transcripts. It
takes `--port`, `--only` with names of scenarios, `--json` with a file for its results, and `--scenarios`
and `--golden` with a file of scenarios and a folder of transcripts; both are beside it. Without the
variable these tests are skipped; the other files here compare with RabbitMQ itself.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aioamqp_testing import DeprecatedFeatureWarning, FakeBroker

RUNNER = os.environ.get("AMQP_CONFORM", "")
IDENTICAL = Path(__file__).with_name("identical.txt").read_text().split()
"""The scenarios in which the fake broker sends the same frames as RabbitMQ of every version."""

NOT_IN = {"4.3.6": {"pub_multi_frame"}}
"""Scenarios that end at once in a version: this one asks for a frame_max that 4.3 refuses."""

OF_VERSIONS = Path(__file__).with_name("identical_versions.txt").read_text().split()
"""The same for the scenarios that tell the versions apart."""

TIME_LIMIT = 55.0
"""Seconds for all scenarios; less than pytest's timeout, so that the test can stop the program."""

VERSIONS = {"3.10.8": "golden", "4.0.5": "golden-4.0.5", "4.3.6": "golden-4.3.6"}

compares = pytest.mark.skipif(
    not RUNNER, reason="AMQP_CONFORM does not name a program that compares"
)


@pytest.mark.parametrize("names", [IDENTICAL, OF_VERSIONS])
def test_the_lists_of_identical_scenarios_have_no_duplicates(names: list[str]) -> None:
    assert sorted(set(names)) == names


@pytest.mark.slow
@compares
@pytest.mark.filterwarnings(
    f"ignore::{DeprecatedFeatureWarning.__module__}.DeprecatedFeatureWarning"
)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.asyncio
async def test_the_fake_sends_the_frames_recorded_from_rabbitmq(
    tmp_path: Path, version: str
) -> None:
    names = [name for name in IDENTICAL if name not in NOT_IN.get(version, ())]

    found = await differences(tmp_path, version, names, "scenarios.py", VERSIONS[version])

    assert found == {name: [] for name in names}


@pytest.mark.slow
@compares
@pytest.mark.filterwarnings(
    f"ignore::{DeprecatedFeatureWarning.__module__}.DeprecatedFeatureWarning"
)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.asyncio
async def test_the_fake_differs_from_version_to_version_as_rabbitmq_does(
    tmp_path: Path, version: str
) -> None:
    golden = f"golden-versions/{version}"

    found = await differences(tmp_path, version, OF_VERSIONS, "scenarios_versions.py", golden)

    assert found == {name: [] for name in OF_VERSIONS}


async def differences(
    tmp_path: Path, version: str, names: list[str], scenarios: str, golden: str
) -> dict[str, list[str]]:
    """Run the program; return what differs, by scenario."""
    results = tmp_path / "results.json"
    beside = Path(RUNNER).parent
    async with FakeBroker(rabbitmq=version) as broker:
        port = urlsplit(await broker.listen()).port
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            RUNNER,
            *("--port", str(port)),
            *("--scenarios", str(beside / scenarios)),
            *("--golden", str(beside / golden)),
            *("--only", ",".join(names)),
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
    found = {row["scenario"]: row["differences"] for row in json.loads(results.read_text())}
    # The program runs all scenarios whose names contain a given name, so there may be more results.
    return {name: found.get(name, ["not run"]) for name in names}
