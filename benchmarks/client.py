"""The client compared with aioamqp 0.15.0 and aiormq, on a RabbitMQ node started for the benchmark.

Messages have four properties and a body of 100 bytes. Each library runs in its own environment and
processes; the libraries alternate, case by case. The result is the CPU time of the client's process
per message, and its ratio to ours in the same turn.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypedDict

from tests.rabbitmq import running_node

HERE = Path(__file__).resolve().parent
PEERS = {"aioamqp 0.15.0": "aioamqp==0.15.0", "aiormq": "aiormq==7.2.4"}
CASES = ("publish", "publish, confirmed", "consume", "consume with ack", "iterate with ack")
TARGETS = {
    ("publish", "aioamqp 0.15.0"): 5.0,
    ("publish, confirmed", "aiormq"): 6.0,
    ("consume", "aioamqp 0.15.0"): 2.0,
    ("consume with ack", "aioamqp 0.15.0"): 2.5,
}


class Measure(TypedDict):
    """Seconds per message."""

    cpu: float
    wall: float


def main(arguments: list[str]) -> int:
    """Print one line for each case and library; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="hatch run bench client", description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="processes for each case and library")
    parser.add_argument("--messages", type=int, default=10_000, help="messages in each process")
    options = parser.parse_args(arguments)
    measures: dict[tuple[str, str], list[Measure]] = {}
    with tempfile.TemporaryDirectory() as folder, running_node() as node:
        pythons = {"ours": sys.executable}
        pythons |= {name: environment(Path(folder), name) for name in PEERS}
        for _ in range(options.turns):
            for case in CASES:
                for library, python in pythons.items():
                    measure = run(python, library, case, node.port, options.messages)
                    measures.setdefault((case, library), []).append(measure)
    return report(measures, options.messages)


def environment(folder: Path, name: str) -> str:
    """Create an environment with another library; return its Python."""
    target = folder / name.replace(" ", "-")
    subprocess.run([sys.executable, "-m", "venv", str(target)], check=True)
    python = str(target / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, PEERS[name]], check=True)
    return python


def run(python: str, library: str, case: str, port: int, messages: int) -> Measure:
    """Run a case in a separate process."""
    worker = [python, str(HERE / "client_cases.py"), library, case, "127.0.0.1", str(port)]
    done = subprocess.run([*worker, str(messages)], check=True, capture_output=True, text=True)
    measure: Measure = json.loads(done.stdout)
    return measure


def report(measures: dict[tuple[str, str], list[Measure]], messages: int) -> int:
    """Print the table; return 1 if a target is missed."""
    print(f"CPython {platform.python_version()}, {platform.machine()}, {messages} messages/process")
    print("medians; ratio of the library's CPU time to ours per turn: median (least to most)\n")
    print(f"{'case':18} {'library':15} {'CPU us':>7} {'messages/s':>10}   ratio")
    missed = 0
    for (case, library), found in measures.items():
        cpu = statistics.median(measure["cpu"] for measure in found)
        rate = statistics.median(1 / measure["wall"] for measure in found)
        ours = measures[case, "ours"]
        ratios = sorted(a["cpu"] / b["cpu"] for a, b in zip(found, ours, strict=True))
        ratio = statistics.median(ratios)
        verdict = ""
        target = TARGETS.get((case, library))
        if target is not None:
            verdict = f"  target {target:g}: " + ("met" if ratio >= target else "MISSED")
            missed += ratio < target
        print(
            f"{case:18} {library:15} {cpu * 1e6:7.1f} {rate:10.0f}   "
            f"{ratio:4.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f}){verdict}"
        )
    return 1 if missed else 0
