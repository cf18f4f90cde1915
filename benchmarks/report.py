"""Tables of the client's benchmark."""

import statistics
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from .environments import LIBRARIES, OURS
from .result import KIB, Entry, Figure, Results

TITLES = {"cpu": "CPU", "wall": "wall", "p50": "p50", "p99": "p99", "memory": "memory"}

TIME_UNITS = (("ms", 1e-3), ("us", 1e-6))
MEMORY_UNITS = (("MB", 1e6), ("KiB", KIB))


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
        "CPU and wall are those of the client's process, for each message: median (least..most)",
        "ratio: to ours, pure, in the same turn: median (least..most); above 1, ours is cheaper",
    ]


def table_of_cases(results: Results, notes: list[str]) -> Table:
    """Return the table of all cases; reasons why something was not measured go to ``notes``."""
    table = Table("case")
    for title in ("CPU or memory", "ratio", "wall", "ratio"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for case, entries in results.cases.items():
        table.add_section()
        table.add_row(case, style="bold")
        for library in LIBRARIES:
            entry = entries.get(library)
            if entry is None:
                continue
            if entry.reason and entry.reason not in notes:
                notes.append(entry.reason)
            if entry.reason:
                row = ["-", "", "-", "", f"{notes.index(entry.reason) + 1})"]
            else:
                row = cells(results, case, library, entry)
            table.add_row(f"  {library}", *row)
    return table


def cells(results: Results, case: str, library: str, entry: Entry) -> list[str]:
    """Return the cells of one row behind the names."""
    main = "memory" if "memory" in entry.values else "cpu"
    ratio, wall = (
        ratio_text(results.ratios(case, library, main)),
        results.ratio(case, library, "wall"),
    )
    if library == OURS:
        ratio = "1"
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
    wall_ratio = "" if wall is None else "1" if library == OURS else digits(wall)
    return [spread(entry, main), ratio, spread(entry, "wall"), wall_ratio, "; ".join(remarks)]


def amount(value: float | None, metric: str) -> str:
    """Return the text for bytes or seconds."""
    if value is None:
        return ""
    unit, factor = unit_of(value, metric)
    return f"{digits(value / factor)} {unit}"


def unit_of(value: float, metric: str) -> tuple[str, float]:
    """Return the unit in which a value is shown, and its size."""
    units = MEMORY_UNITS if metric == "memory" else TIME_UNITS
    return next((each for each in units if value >= each[1]), units[-1])


def digits(value: float) -> str:
    """Return the text for a number with about three digits."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def spread(entry: Entry, metric: str) -> str:
    """Return the text for a median with the extremes."""
    middle = entry.median(metric)
    if middle is None:
        return ""
    unit, factor = unit_of(middle, metric)
    values = entry.values[metric]
    if len(values) == 1:
        return f"{digits(middle / factor)} {unit}"
    low, high = digits(min(values) / factor), digits(max(values) / factor)
    return f"{digits(middle / factor)} {unit} ({low}..{high})"


def ratio_text(ratios: list[float]) -> str:
    """Return the text for sorted ratios."""
    if not ratios:
        return ""
    middle = digits(statistics.median(ratios))
    return middle if len(ratios) == 1 else f"{middle} ({digits(ratios[0])}..{digits(ratios[-1])})"


def ahead(results: Results) -> list[str]:
    """Return a line for every case in which other libraries are better than ours."""
    lines: list[str] = []
    for case, entries in results.cases.items():
        for library, entry in entries.items():
            better = [
                f"{TITLES[metric]} {results.ratio(case, library, metric):.2f}"
                for metric in entry.values
                if results.is_ahead(case, library, metric)
            ]
            if better:
                lines.append(f"  {case}: {library}, {', '.join(better)}")
    if not lines:
        return ["No other library is ahead of ours in any case that was measured."]
    return ["Ahead of ours, pure, as multiples of it:", *lines]


def table_of_targets(figures: Iterable[Figure]) -> Table:
    """Return the table of the numbers that have a target."""
    table = Table("figure")
    table.add_column("value", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    table.add_column("medians")
    for figure in figures:
        bound = "under" if figure.exclusive else "at most"
        table.add_row(
            figure.name,
            f"{figure.value:.2f} {figure.unit}".rstrip(),
            f"{bound} {figure.target:g} {figure.unit}".rstrip(),
            "met" if figure.is_met else "MISSED",
            figure.detail,
        )
    return table
