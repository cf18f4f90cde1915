"""The client compared with other AMQP clients, and with floors, on one RabbitMQ node.

    hatch run bench                              everything, in many minutes
    hatch run bench --quick                      fewer messages and turns: under two minutes
    hatch run bench --case publish --peer pika   some cases and libraries, by part of their name

Every library runs in its own environment and process; libraries and cases are interleaved. A result
counts only if the broker has counted all messages.
"""

import argparse
import datetime
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.rabbitmq import RabbitMQMissing, RabbitMQNotStarted, running_node

from .broker import BrokerConnection
from .cases import CASES, Case
from .chart import chart
from .environments import LIBRARIES, OURS, ROOT, Environment, Library, NotInstalled, environment
from .figures import FIGURES, measure_figure
from .report import report
from .result import Results, load
from .turns import Bench

TURNS, QUICK_TURNS = 5, 2
WIDTH = 140
"""Columns of the table, where the output is no terminal."""

NODE_SETTINGS = "max_message_size = 134217728\n"
"""RabbitMQ 4: the limit is 16 MiB unless it is set, and a case needs 64 MB."""


def positive(text: str) -> int:
    """Return the number of an option; fail unless it is 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options; ``cases``, ``figures`` and ``libraries`` are those that were selected."""
    parser = argparse.ArgumentParser(
        prog="hatch run bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer messages and turns")
    parser.add_argument("--turns", type=positive, help=f"default: {TURNS}; quick: {QUICK_TURNS}")
    parser.add_argument("--messages", type=positive, metavar="N", help="at most, in a measurement")
    parser.add_argument(
        "--case", nargs="+", metavar="NAME", help="cases with this in their name; - for none"
    )
    parser.add_argument(
        "--figure", nargs="+", metavar="NAME", help="figures with this in their name; - for none"
    )
    parser.add_argument(
        "--peer", nargs="+", metavar="NAME", help="libraries with this in their name, beside ours"
    )
    parser.add_argument("--url", help="of a RabbitMQ; the default is a node of this program")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the chart")
    parser.add_argument(
        "--from", type=Path, dest="saved", metavar="FILE", help="of --json, instead of measuring"
    )
    options = parser.parse_args(arguments)
    options.cases = selected(parser, "--case", options.case, CASES)
    options.figures = selected(parser, "--figure", options.figure, FIGURES)
    if options.case and not options.figure:
        options.figures = []
    if options.figure and not options.case:
        options.cases = []
    names = selected(parser, "--peer", options.peer, LIBRARIES)
    options.libraries = [OURS, *(name for name in names if name != OURS)]
    if options.turns is None:
        options.turns = QUICK_TURNS if options.quick else TURNS
    return options


def selected(
    parser: argparse.ArgumentParser,
    option: str,
    parts: list[str] | None,
    names: Sequence[str] | Any,
) -> list[str]:
    """Return the names that are, or have, one of these parts; all without any, and none for "-".

    Exits the program if there is no such name.
    """
    if parts is None:
        return list(names)
    found: set[str] = set()
    for part in parts:
        matching = [part] if part in names else [name for name in names if part in name]
        if not matching and part != "-":
            parser.error(f"{option} {part}: there is none; there are {', '.join(names)}")
        found.update(matching if part != "-" else ())
    return [name for name in names if name in found]


def main(arguments: list[str], environment: Callable[[Library], Environment] = environment) -> int:
    """Measure and print the tables, or print those of a file.

    Args:
        arguments: of the command line.
        environment: returns where a library is installed.
    """
    options = parse(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    try:
        if options.saved is not None:
            results = load(options.saved)
        else:
            results = measure(options, arguments, environment)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except (RabbitMQMissing, RabbitMQNotStarted) as error:
        print(f"{error}\nGive the address of a running RabbitMQ with --url.", file=sys.stderr)
        return 2
    report(results, console)
    if options.json is not None:
        results.save(options.json)
    if options.svg is not None:
        options.svg.write_text(chart(results))
    return 0


@contextmanager
def broker(url: str | None) -> Generator[str]:
    """Yield the URL of the broker, which is started if none is given."""
    if url is not None:
        yield url
        return
    with running_node(settings=NODE_SETTINGS) as node:
        yield node.url


def measure(
    options: argparse.Namespace,
    arguments: list[str],
    environment: Callable[[Library], Environment],
) -> Results:
    """Measure what was selected; see ``main`` for the arguments."""
    libraries = [LIBRARIES[name] for name in options.libraries]
    cases = [CASES[name] for name in options.cases]
    counts = {case.name: count(case, options) for case in cases}
    columns = (TextColumn("{task.description:45}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        steps = progress.add_task("environments", total=len(libraries))
        environments: dict[Library, Environment] = {}
        for library in libraries:
            progress.update(steps, description=f"environment: {library.name}")
            try:
                environments[library] = environment(library)
            except NotInstalled as error:
                progress.console.print(f"Left out: {error}", markup=False)
            progress.advance(steps)
        progress.update(steps, description="RabbitMQ", total=None)
        with broker(options.url) as url:
            with BrokerConnection(url) as connection:
                results = Results(about(options, arguments, connection.version))
            progress.reset(steps, total=number_of_steps(cases, libraries, options))

            def step(description: str) -> None:
                progress.update(steps, description=description, advance=1)

            bench = Bench(url, environments, results, step)
            for turn in range(options.turns):
                bench.turn(turn, cases, counts)
            for name in options.figures:
                step(name)
                try:
                    results.figures += measure_figure(name, url, quick=options.quick)
                except subprocess.CalledProcessError:  # which has said why
                    progress.console.print(f"Left out: {name}", markup=False)
    return results


def count(case: Case, options: argparse.Namespace) -> int:
    """Return the messages of one measurement."""
    number = case.quick if options.quick else case.count
    if options.messages is not None:
        number = min(number, int(options.messages))
    return number


def number_of_steps(
    cases: list[Case], libraries: list[Library], options: argparse.Namespace
) -> int:
    """Return how many measurements there are."""
    once = sum(case.is_memory for case in cases)
    often = (len(cases) - once) * int(options.turns)
    return (once + often) * len(libraries) + len(options.figures)


def about(options: argparse.Namespace, arguments: list[str], rabbitmq: str) -> dict[str, Any]:
    """Return the machine, the versions and the command."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "rabbitmq": rabbitmq,
        "libraries": {name: list(LIBRARIES[name].requirements) for name in options.libraries},
        "command": shlex.join(["hatch", "run", "bench", *without_files(arguments)]),
        "turns": options.turns,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit(),
    }


def without_files(arguments: list[str]) -> list[str]:
    """Return the arguments that matter to what is measured."""
    kept = list(arguments)
    for option in ("--json", "--svg", "--url"):
        if option in kept:
            place = kept.index(option)
            del kept[place : place + 2]
    return kept


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """Return the commit of the work tree, with a plus if there are changes."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
