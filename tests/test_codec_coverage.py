"""Statement and branch coverage of the codec's hand-written files by its own tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_hand_written_codec_has_full_branch_coverage(tmp_path: Path) -> None:
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")}

    def coverage(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "coverage", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    pytest_run = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "packages/amqp-codec")
    run = coverage("run", "--branch", "--source=amqp_codec", *pytest_run)
    assert run.returncode == 0, run.stdout[-4000:]
    report = coverage("report", "--show-missing", "--fail-under=100", "--precision=2")

    assert report.returncode == 0, report.stdout
    assert "100.00%" in report.stdout
