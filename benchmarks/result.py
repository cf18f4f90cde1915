"""Results of the client's benchmark: what was measured, its statistics, and the JSON file."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from .environments import LIBRARIES, OURS

SCHEMA: Final = 1
"""The version of the JSON file."""


@dataclass
class Entry:
    """What was measured of one library in one case.

    Attributes:
        values: one for each turn, by metric: "cpu" and "wall" are seconds per message, "p50" and
            "p99" seconds of a round trip, "memory" bytes.
        reason: why there are none; else empty.
    """

    values: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    reason: str = ""

    def add(self, result: Mapping[str, float | str]) -> None:
        """Add the result of a turn, or the reason why there is none."""
        for metric, value in result.items():
            if isinstance(value, str):
                self.values, self.reason = {}, value
            elif not self.reason:
                self.values.setdefault(metric, []).append(value)

    def median(self, metric: str) -> float | None:
        """Return the median of the turns; None without any."""
        values = self.values.get(metric)
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Figure:
    """A number with a target, which must not be exceeded.

    Attributes:
        name: what it is.
        value: in ``unit``.
        target: the largest value that meets it; the smallest that does not, if it is ``exclusive``.
        unit: empty for a ratio.
        detail: what it was computed from.
    """

    name: str
    value: float
    target: float
    unit: str = ""
    exclusive: bool = False
    detail: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the value meets the target."""
        return self.value < self.target if self.exclusive else self.value <= self.target


@dataclass
class Results:
    """All results of a run.

    Attributes:
        about: machine, versions, command, date and commit.
        cases: the entries by case and library.
        figures: numbers of ours alone.
    """

    about: dict[str, Any]
    cases: dict[str, dict[str, Entry]] = field(default_factory=dict[str, dict[str, Entry]])
    figures: list[Figure] = field(default_factory=list[Figure])

    def entry(self, case: str, library: str) -> Entry:
        """Return an entry, which is empty if there is none."""
        return self.cases.get(case, {}).get(library, Entry())

    def add(self, case: str, library: str, result: Mapping[str, float | str]) -> None:
        """Add the result of a turn."""
        self.cases.setdefault(case, {}).setdefault(library, Entry()).add(result)

    def ratios(self, case: str, library: str, metric: str, to: str = OURS) -> list[float]:
        """Return the ratio of a library's value to that of another in each turn, sorted."""
        found = self.entry(case, library).values.get(metric, [])
        others = self.entry(case, to).values.get(metric, [])
        return sorted(a / b for a, b in zip(found, others, strict=False) if b)

    def ratio(self, case: str, library: str, metric: str, to: str = OURS) -> float | None:
        """Return the median of these ratios; None without any."""
        ratios = self.ratios(case, library, metric, to)
        return statistics.median(ratios) if ratios else None

    def is_ahead(self, case: str, library: str, metric: str) -> bool:
        """Whether another library is better than ours."""
        ratio = self.ratio(case, library, metric)
        return LIBRARIES[library].is_peer and ratio is not None and ratio < 1

    def targets(self) -> list[Figure]:
        """Return all numbers that have a target."""
        return [*ratio_figures(self), *memory_figures(self), *self.figures]

    def to_json(self) -> dict[str, Any]:
        """Return what the file has."""
        return {
            "schema": SCHEMA,
            "about": self.about,
            "cases": {
                case: {library: asdict(entry) for library, entry in entries.items()}
                for case, entries in self.cases.items()
            },
            "figures": [asdict(figure) for figure in self.figures],
        }

    def save(self, path: Path) -> None:
        """Write the JSON file."""
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n")


def load(path: Path) -> Results:
    """Read a JSON file.

    Raises:
        ValueError: it is not one of this version.
    """
    data: dict[str, Any] = json.loads(path.read_text())
    if "schema" not in data or data["schema"] != SCHEMA:
        raise ValueError(f"{path} is no result of `hatch run bench --json`, schema {SCHEMA}")
    cases: dict[str, dict[str, Any]] = data["cases"]
    figures: list[dict[str, Any]] = data["figures"]
    return Results(
        data["about"],
        {
            case: {library: Entry(**entry) for library, entry in entries.items()}
            for case, entries in cases.items()
        },
        [Figure(**figure) for figure in figures],
    )


RATIOS: Final[Sequence[tuple[str, str, str, str, float]]] = (
    ("publish 100 B", "ours, compiled", "publish 100 B", "one write a message", 3.0),
    ("prepared publish 100 B", "ours, compiled", "publish 100 B", "one write a message", 1.5),
    ("publish 1 MB", OURS, "publish 1 MB", "frame by frame", 1.3),
    ("publish 1 MB", OURS, "publish 1 MB", "py-amqp", 0.6),
    ("publish 16 MB", OURS, "publish 16 MB", "frame by frame", 1.3),
    ("publish 16 MB", OURS, "publish 16 MB", "py-amqp", 0.6),
    ("callback 100 B", "ours, compiled", "callback 100 B", "one copy", 3.0),
    ("callback 1 MB", OURS, "callback 1 MB", "one copy", 1.5),
)
"""Targets for ours as a multiple of another library: case, ours, the other's case, the other."""


def ratio_figures(results: Results) -> list[Figure]:
    """Return ours as a multiple of floors and peers."""
    figures: list[Figure] = []
    for case, ours, other_case, other, target in RATIOS:
        found = results.entry(case, ours).values.get("cpu", [])
        others = results.entry(other_case, other).values.get("cpu", [])
        ratios = [a / b for a, b in zip(found, others, strict=False) if b]
        if ratios:
            name = f"{case}, {ours.removeprefix('ours, ')}: CPU against {other}"
            figures.append(Figure(name, statistics.median(ratios), target))
    return figures


KIB, MIB = 1024, 1024 * 1024
BODY = 64_000_000

MEMORY: Final[Sequence[tuple[str, float, float, str]]] = (
    ("memory of a channel", KIB, 4, "KiB"),
    ("memory of an idle connection", KIB, 64, "KiB"),
    ("memory of 100,000 unconfirmed", 1_000_000, 40, "MB"),
    ("memory to publish 64 MB", BODY, 1.2, "bodies"),
    ("memory to consume 64 MB", BODY, 1.2, "bodies"),
)
"""Targets for the memory of ours: case, bytes of the unit, target, unit."""


def memory_figures(results: Results) -> list[Figure]:
    """Return the memory of ours."""
    figures: list[Figure] = []
    for case, unit, target, name in MEMORY:
        found = results.entry(case, OURS).median("memory")
        if found is not None:
            figures.append(Figure(case, found / unit, target, name, exclusive=name != "bodies"))
    return figures
