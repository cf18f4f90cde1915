"""How long to wait between attempts."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from ..exceptions import InvalidArgument


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays before attempts: each may be up to twice as long as the last, at random.

    The whole delay is random ("full jitter"), so that the clients of a server that was restarted do
    not all connect at the same time.

    Attributes:
        initial: seconds that the first delay has at most.
        maximum: seconds that any delay has at most.
        attempts: after so many attempts in a row that failed, give up; None to go on for ever.
    """

    initial: float = 0.1
    maximum: float = 30.0
    attempts: int | None = None

    def __post_init__(self) -> None:
        for name in ("initial", "maximum"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                kind = type(value).__name__
                raise InvalidArgument(f"must be a number of seconds, not {kind}", (name,))
            if not 0 <= value < math.inf:
                raise InvalidArgument("must be 0 seconds or more", (name,))
        attempts = cast("object", self.attempts)
        if attempts is None:
            return
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise InvalidArgument("must be a number of attempts from 1, or None", ("attempts",))

    def limit(self, attempt: int) -> float:
        """Return the longest delay before an attempt, in seconds.

        Args:
            attempt: counted from 1.
        """
        exponent = min(attempt - 1, 1000)  # 2.0 ** 1024 is an OverflowError
        return min(self.maximum, self.initial * 2.0**exponent)

    def delay(self, attempt: int, uniform: Callable[[float, float], float] | None = None) -> float:
        """Return the delay before an attempt, in seconds.

        Args:
            attempt: counted from 1.
            uniform: returns a random number between two others; ``random.uniform`` by default.
        """
        return (uniform or random.uniform)(0.0, self.limit(attempt))

    def is_exhausted(self, failed: int) -> bool:
        """Return whether to give up after so many failed attempts in a row."""
        return self.attempts is not None and failed >= self.attempts
