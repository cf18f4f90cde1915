"""The example of the README prints what the README shows."""

import re
import runpy
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_example_prints_what_the_readme_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _install, (language, code), (_, output), *_ = BLOCK.findall(README.read_text(encoding="utf-8"))
    assert language == "python"
    example = tmp_path / "example.py"
    example.write_text(code, encoding="utf-8")

    runpy.run_path(str(example))

    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed == output.splitlines()
