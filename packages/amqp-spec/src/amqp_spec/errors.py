"""The error that this package raises, and source positions."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """A position in a file; prints as ``path:line``.

    Args:
        path: the XML file.
        line: counted from 1.
    """

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class SpecError(Exception):
    """A specification is invalid; the message is ``path:line: sentence``."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @classmethod
    def at(cls, source: Source, sentence: str) -> "SpecError":
        """Create the error for a position."""
        return cls(f"{source}: {sentence}")
