"""The one error of this package, and the places it points at."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """Where something is written; prints as ``path:line``.

    Args:
        path: the XML file.
        line: counted from 1.
    """

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class SpecError(Exception):
    """Report what is wrong with a specification, as ``path:line: sentence``."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @classmethod
    def at(cls, source: Source, sentence: str) -> "SpecError":
        """Build the error for a place."""
        return cls(f"{source}: {sentence}")
