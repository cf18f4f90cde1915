"""The Python examples of the README files and of the guides, each run as a program or as a pytest file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BROKER = re.compile(r"amqp://guest:guest@localhost(:5672)?/")
EXAMPLES = {
    f"{path.relative_to(ROOT)}, example {number}": example
    for path in sorted(
        [ROOT / "README.md", *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/*.md")]
    )
    for number, example in enumerate(
        re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
    )
}
FOR_PYTEST = {name: text for name, text in EXAMPLES.items() if "import pytest" in text}
WITHOUT_A_BROKER = {
    name: text
    for name, text in EXAMPLES.items()
    if name not in FOR_PYTEST and not BROKER.search(text)
}
WITH_A_BROKER = {name: text for name, text in EXAMPLES.items() if BROKER.search(text)}


def run(program: str, folder: Path) -> str:
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or is_report_of_unittest(done.stderr)
    return done.stdout


def is_report_of_unittest(text: str) -> bool:
    return re.search(r"\nRan [1-9]\d* tests? in .*\n\nOK\n$", text) is not None


def test_every_distribution_has_an_example() -> None:
    files = {name.partition(",")[0] for name in EXAMPLES}

    assert files >= {
        "README.md",
        "docs/observability.md",
        *(f"packages/{path.name}/README.md" for path in ROOT.glob("packages/*")),
    }
    assert len(WITH_A_BROKER) >= 2


@pytest.mark.parametrize("name", WITHOUT_A_BROKER)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    run(WITHOUT_A_BROKER[name], tmp_path)


@pytest.mark.parametrize("name", FOR_PYTEST)
def test_an_example_for_pytest_passes(name: str, pytester: pytest.Pytester) -> None:
    example = FOR_PYTEST[name]
    pytester.makepyfile(example)
    option = "asyncio_default_fixture_loop_scope=function"

    run = pytester.runpytest_subprocess("-W", "error", "-o", option)

    run.assert_outcomes(passed=len(re.findall("def test_", example)))


@pytest.mark.parametrize("name", WITH_A_BROKER)
def test_an_example_runs_on_rabbitmq(name: str, tmp_path: Path, rabbitmq_url: str) -> None:
    output = run(BROKER.sub(rabbitmq_url, WITH_A_BROKER[name]), tmp_path)

    assert "hello" in output.lower()
