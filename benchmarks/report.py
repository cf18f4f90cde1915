"""Tables of the client's benchmark."""

import statistics
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from .environments import LIBRARIES, OURS
from .results import KIB, Entry, Figure, Results

TITLES = {"cpu": "CPU", "wall": "wall", "p50": "p50", "p99": "p99", "memory": "memory"}


def report(results: Results, console: Console) -> None:
    """Print everything: the cases, who is ahead of ours, and the targets."""
    for line in described(results):
        console.print(line, markup=False, highlight=False)
    if results.cases:
        notes: list[str] = []
        console.print(table_of_cases(results, notes))
        for number, note in enumerate(notes, 1):
            console.print(f"{number}) {note}", markup=False, highlight=False)
        console.print()
        for line in ahead(results):
            console.print(line, markup=False, highlight=False)
    if targets := results.targets():
        console.print(table_of_targets(targets))


def described(results: Results) -> list[str]:
    """Return lines on the machine, the versions and the command."""
    about = results.about
    return [
        f"{about['processor']}, {about['cores']} cores, load {about['load']}; {about['system']}",
        f"CPython {about['python']}, RabbitMQ {about['rabbitmq']}, commit {about['commit']},"
        f" {about['date']}",
        f"{about['command']}: {about['turns']} turns, libraries and cases interleaved",
        "CPU and wall are those of the client's process, for each message: median (least to most)",
        "ratio: to ours, pure, in the same turn: median (least to most); above 1, ours is cheaper",
    ]


def table_of_cases(results: Results, notes: list[str]) -> Table:
    """Return the table of all cases; reasons why something was not measured are added to ``notes``."""
    table = Table("case", "library")
    for title in ("CPU or memory", "wall", "ratio CPU", "ratio wall"):
        table.add_column(title, justify="right")
    table.add_column("")
    for case, entries in results.cases.items():
        table.add_section()
        first = case
        for library in LIBRARIES:
            if library not in entries:
                continue
            entry = entries[library]
            if entry.reason:
                note = f"{library}: {entry.reason}"
                if note not in notes:
                    notes.append(note)
                table.add_row(first, library, "-", "-", "-", "-", f"{notes.index(note) + 1})")
            else:
                table.add_row(first, library, *cells(results, case, library, entry))
            first = ""
    return table


def cells(results: Results, case: str, library: str, entry: Entry) -> list[str]:
    """Return the cells of one row behind the names."""
    main = "memory" if "memory" in entry.values else "cpu"
    ratios = [ratio_text(results.ratios(case, library, metric)) for metric in (main, "wall")]
    if library == OURS:
        ratios = ["1", "1" if "wall" in entry.values else ""]
    remarks = [
        f"{metric} {amount(entry.median(metric), metric)}"
        for metric in ("p50", "p99")
        if metric in entry.values
    ]
    better = [TITLES[metric] for metric in entry.values if results.is_ahead(case, library, metric)]
    if better:
        remarks.append(f"ahead of ours: {', '.join(better)}")
    if LIBRARIES[library].is_floor:
        remarks.append("floor")
    return [spread(entry, main), spread(entry, "wall"), *ratios, "; ".join(remarks)]


def amount(value: float | None, metric: str) -> str:
    """Return the text for bytes or seconds."""
    if value is None:
        return ""
    if metric == "memory":
        return f"{value / KIB:,.1f} KiB" if value < 1e6 else f"{value / 1e6:,.1f} MB"
    microseconds = value * 1e6
    return f"{microseconds:,.{0 if microseconds >= 100 else 1}f} us"


def spread(entry: Entry, metric: str) -> str:
    """Return the text for a median with the extremes."""
    values = entry.values.get(metric)
    if not values:
        return ""
    middle = amount(statistics.median(values), metric)
    if len(values) == 1:
        return middle
    low, high = (amount(value, metric).rpartition(" ")[0] for value in (min(values), max(values)))
    return f"{middle} ({low} to {high})"


def ratio_text(ratios: list[float]) -> str:
    """Return the text for sorted ratios."""
    if not ratios:
        return ""
    middle = f"{statistics.median(ratios):.2f}"
    return middle if len(ratios) == 1 else f"{middle} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def ahead(results: Results) -> list[str]:
    """Return a line for every case in which another library is better than ours."""
    lines: list[str] = []
    for case, entries in results.cases.items():
        for library, entry in entries.items():
            for metric in entry.values:
                if not results.is_ahead(case, library, metric):
                    continue
                line = f"{library} is ahead of ours in {case}: {TITLES[metric]}"
                line += f" {results.ratio(case, library, metric):.2f} of ours, pure"
                compiled = results.ratio(case, library, metric, "ours, compiled")
                if compiled is not None:
                    line += f", and {compiled:.2f} of ours, compiled"
                lines.append(line)
    return lines or ["No other library is ahead of ours in any case that was measured."]


def table_of_targets(figures: Iterable[Figure]) -> Table:
    """Return the table of the numbers that have a target."""
    table = Table("figure")
    table.add_column("value", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    for figure in figures:
        bound = "under" if figure.exclusive else "at most"
        table.add_row(
            figure.name,
            f"{figure.value:.2f} {figure.unit}".rstrip(),
            f"{bound} {figure.target:g} {figure.unit}".rstrip(),
            "met" if figure.is_met else "MISSED",
        )
    return table
