"""The cost of the fake broker in a test suite, compared with RabbitMQ where that is possible.

Each case runs in its own processes, which alternate. Targets are for the CPU time of the process,
which includes the client, the broker and the event loop. For RabbitMQ, which runs in another
process, only the elapsed time is meaningful.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tests.rabbitmq import RabbitMQMissing, running_node

HERE = Path(__file__).resolve().parent
FAKE, RABBITMQ = "fake", "RabbitMQ"

IMPORT = """
import asyncio, json, time
cpu, wall = time.process_time(), time.perf_counter()
import aioamqp_testing
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(json.dumps({"cpu": cpu, "wall": wall}))
"""
SUITE_SIZE = 1000
SUITE = "import pytest\npytestmark = pytest.mark.asyncio\n\n"
TEST = "async def test_{number}({fixture}):\n    pass\n\n"
SUITES = {"suite, a broker each": "amqp_broker", "suite, a channel each": "amqp_channel"}


class Measure(TypedDict):
    """Seconds."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Case:
    """A case and its target.

    Attributes:
        count: the number of repetitions in one process.
        target: the CPU seconds allowed for each repetition.
        beside: whether the case also runs on RabbitMQ.
        is_rate: whether the result is printed as repetitions per second.
    """

    count: int
    target: float | None = None
    beside: bool = False
    is_rate: bool = False


CASES = {
    "broker, connection, channel": Case(1000, 0.001),
    "first connection over TCP": Case(200, 0.010, beside=True),
    "deliver, in memory": Case(20_000, 1 / 20_000, is_rate=True),
    "deliver, over TCP": Case(20_000, beside=True, is_rate=True),
    "confirm, in memory": Case(20_000, is_rate=True),
    "confirm, over TCP": Case(20_000, 1 / 10_000, beside=True, is_rate=True),
    "100,000 timers": Case(100_000, 1.0),
    "import": Case(1, 0.1),
    "suite, a broker each": Case(SUITE_SIZE, 2.0),
    "suite, a channel each": Case(SUITE_SIZE),
}


def main(arguments: list[str]) -> int:
    """Print one line for each case and broker; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="hatch run bench fake", description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="processes for each case and broker")
    parser.add_argument("--no-rabbitmq", action="store_true", help="measure only the fake broker")
    options = parser.parse_args(arguments)
    if options.no_rabbitmq:
        return report(measure_all(options.turns, ""))
    try:
        with running_node() as node:
            return report(measure_all(options.turns, node.url))
    except RabbitMQMissing as missing:
        print(f"without RabbitMQ: {missing}", file=sys.stderr)
        return report(measure_all(options.turns, ""))


def measure_all(turns: int, url: str) -> dict[tuple[str, str], list[Measure]]:
    """Measure all cases on all brokers, alternating."""
    measures: dict[tuple[str, str], list[Measure]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_suites(folder)
        for _ in range(turns):
            for case, about in CASES.items():
                if case == "import":
                    found = importing(folder)
                elif case in SUITES:
                    found = difference(suite(folder, SUITES[case]), suite(folder, "nothing"))
                else:
                    found = run(case, "", about.count)
                measures.setdefault((case, FAKE), []).append(found)
                if about.beside and url:
                    beside = run(case, url, about.count)
                    measures.setdefault((case, RABBITMQ), []).append(beside)
    return measures


def run(case: str, url: str, count: int) -> Measure:
    """Run a case in a separate process."""
    return measured(str(HERE / "fake_cases.py"), case, url, str(count))


def importing(folder: Path) -> Measure:
    """Measure the import of aioamqp_testing, with bytecode from an earlier import."""
    cached = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    cached.pop("PYTHONDONTWRITEBYTECODE", None)
    measured("-c", IMPORT, environment=cached)
    return measured("-c", IMPORT, environment=cached)


def measured(*arguments: str, environment: dict[str, str] | None = None) -> Measure:
    """Run a Python program that prints its own measurement."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    measure: Measure = json.loads(done.stdout)
    return measure


def write_suites(folder: Path) -> None:
    """Write a test suite for each fixture, and one without fixtures."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    for fixture in ("nothing", *SUITES.values()):
        argument = "" if fixture == "nothing" else fixture
        tests = "".join(TEST.format(number=n, fixture=argument) for n in range(SUITE_SIZE))
        (folder / f"test_{fixture}.py").write_text(SUITE + tests)


def suite(folder: Path, fixture: str) -> Measure:
    """Measure a run of the test suite with this fixture."""
    options = ("-q", "-p", "no:cacheprovider", "--rootdir", str(folder))
    return python("-m", "pytest", *options, str(folder / f"test_{fixture}.py"))


def python(*arguments: str) -> Measure:
    """Measure a Python program, including its start and end."""
    wall, cpu = time.perf_counter(), cpu_of_children()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return {"wall": time.perf_counter() - wall, "cpu": cpu_of_children() - cpu}


def cpu_of_children() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def difference(one: Measure, other: Measure) -> Measure:
    """Return the difference of two measurements."""
    return {"cpu": one["cpu"] - other["cpu"], "wall": one["wall"] - other["wall"]}


def report(measures: dict[tuple[str, str], list[Measure]]) -> int:
    """Print the table; return 1 if a target is missed."""
    print(f"CPython {platform.python_version()}, {platform.machine()}")
    print("medians (least to most), in milliseconds or in messages per second\n")
    print(f"{'case':28} {'broker':9} {'by CPU time':32} {'by the clock':32}")
    missed = 0
    for (case, broker), found in measures.items():
        about, cpu, verdict = CASES[case], "", ""
        if broker == FAKE:
            cpu = spread([measure["cpu"] for measure in found], about)
            if about.target is not None:
                is_met = statistics.median(measure["cpu"] for measure in found) <= about.target
                target = figure(about.target, about)
                verdict = f"target {target}: " + ("met" if is_met else "MISSED")
                missed += not is_met
        wall = spread([measure["wall"] for measure in found], about)
        print(f"{case:28} {broker:9} {cpu:32} {wall:32} {verdict}".rstrip())
    return 1 if missed else 0


def spread(seconds: list[float], about: Case) -> str:
    """Return the text for a median with its extremes."""
    values = sorted(seconds, reverse=about.is_rate)
    least, most = figure(values[0], about), figure(values[-1], about)
    unit = "/s" if about.is_rate else "ms"
    return f"{figure(statistics.median(seconds), about)} {unit} ({least} to {most})"


def figure(seconds: float, about: Case) -> str:
    """Return the text for seconds: a rate or milliseconds, as the case requires."""
    if about.is_rate:
        return f"{1 / seconds:.0f}"
    return f"{seconds * 1000:.0f}" if seconds > 0.1 else f"{seconds * 1000:.3g}"
