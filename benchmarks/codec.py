"""The codec compared with pamqp: encoding a publish and decoding a delivery.

The message has four properties and a body of 100 bytes. Each build of the codec runs in its own
processes, which alternate; within a process the codec and pamqp alternate too. The result is the
ratio of two adjacent measurements, which a slow or busy machine affects equally.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from .environments import NotInstalled, compiled_codec

HERE = Path(__file__).resolve().parent
TARGETS = {
    ("pure", "encode a publish"): 3.0,
    ("pure", "decode a delivery"): 2.5,
    ("compiled", "encode a publish"): 10.0,
    ("compiled", "decode a delivery"): 10.0,
}


def main(arguments: list[str]) -> int:
    """Print one line for each build and case; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="hatch run bench codec", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="processes for each build")
    parser.add_argument("--pure", action="store_true", help="measure only the pure build")
    options = parser.parse_args(arguments)
    builds = {"pure": ""}
    if not options.pure:
        try:
            builds["compiled"] = str(compiled_codec())
        except NotInstalled as error:
            print(f"Only the pure build is measured: {error}", file=sys.stderr)
    measured: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(options.runs):
        for build, path in builds.items():
            for case, pairs in measure(path).items():
                measured.setdefault((build, case), []).extend(pairs)
    return report(measured)


def measure(path: str) -> dict[str, list[tuple[float, float]]]:
    """Run the cases in a separate process; return pairs of seconds, ours and pamqp's."""
    environment = {**os.environ, "PYTHONPATH": path}
    worker = [sys.executable, str(HERE / "codec_cases.py")]
    done = subprocess.run(worker, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, list[tuple[float, float]]] = json.loads(done.stdout)
    return result


def report(measured: dict[tuple[str, str], list[tuple[float, float]]]) -> int:
    """Print the table; return 1 if a target is missed."""
    print(f"CPython {platform.python_version()}, {platform.machine()}, pamqp 4.0.1")
    print("microseconds: median; ratio of pamqp to ours: median (10th to 90th percentile)\n")
    print(f"{'build':9} {'case':36} {'ours':>6} {'pamqp':>7}   ratio")
    missed = 0
    for (build, case), pairs in sorted(measured.items(), key=lambda item: item[0][0] != "pure"):
        ratios = sorted(theirs / ours for ours, theirs in pairs)
        ratio = statistics.median(ratios)
        low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
        ours = statistics.median(ours for ours, _ in pairs) * 1e6
        theirs = statistics.median(theirs for _, theirs in pairs) * 1e6
        target = TARGETS.get((build, case))
        verdict = "" if target is None else f"  target {target:g}: "
        if target is not None:
            verdict += "met" if ratio >= target else "MISSED"
            missed += ratio < target
        print(
            f"{build:9} {case:36} {ours:6.2f} {theirs:7.2f}   "
            f"{ratio:4.1f} ({low:.1f} to {high:.1f}){verdict}"
        )
    return 1 if missed else 0
