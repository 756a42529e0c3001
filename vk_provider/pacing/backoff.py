"""Growing delays. Pure: the caller brings the randomness and the clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays `first_s`, doubling up to `most_s`.

    delay(0) is the wait after the first failure. `jitter` in [0, 1) stretches a delay by up to `spread` of itself,
    so that a thousand things that failed together do not come back together.
    """

    first_s: float
    most_s: float
    spread: float = 1.0

    def delay(self, failures: int, *, jitter: float = 0.0) -> float:
        base = min(self.most_s, self.first_s * 2.0 ** min(failures, 60))
        return base * (1.0 + self.spread * jitter)
