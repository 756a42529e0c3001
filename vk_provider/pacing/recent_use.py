"""How much each namespace has used lately of what is rationed, so that who has used least is served first.

A rotation is fair from the moment on at which all wait. It forgets what was handed out before: a namespace that has
just used up a whole minute's calls would get every second one of the next minute too, beside one that came too late
for the first.
"""

from __future__ import annotations

import asyncio
import math

HALF_LIFE_S = 3600.0  # after so long a use counts half
_FORGOTTEN = 1 / 16  # of a use
_FEW = 64


class RecentUse:
    """Uses by namespace, each weighing less the longer ago it was. Times are the event loop's.

    most: uses of one namespace that count. So many at the most a newcomer has before it is served as one of many: who
    has used his share day by day does not wait for longer than that because of one who has just come.

    Kept as logarithms of weights that grow with the time of use instead of shrinking with its age, so that their order
    stays as it is while time passes.
    """

    def __init__(self, most: int, *, half_life_s: float = HALF_LIFE_S) -> None:
        self._most = math.log2(max(1, most))
        self._half_life_s = half_life_s
        self._weights: dict[str, float] = {}
        self._tidy_at = _FEW

    def __len__(self) -> int:
        return len(self._weights)

    def note(self, namespace: str) -> None:
        now = self._now()
        before = self._weights.get(namespace, -math.inf)
        larger = max(before, now)
        with_this = larger + math.log2(1.0 + 2.0 ** (min(before, now) - larger))
        self._weights[namespace] = min(with_this, now + self._most)
        if len(self._weights) > self._tidy_at:
            self._tidy(now)

    def rank(self, namespace: str) -> float:
        """The lower, the less it has used; to be compared with those of others at any time."""
        return self._weights.get(namespace, -math.inf)

    def count(self, namespace: str) -> float:
        """Uses, as they weigh now."""
        return float(2.0 ** min(64.0, self.rank(namespace) - self._now()))

    def _now(self) -> float:
        """In half-lives. Without a running loop no time passes."""
        try:
            return asyncio.get_running_loop().time() / self._half_life_s
        except RuntimeError:
            return 0.0

    def _tidy(self, now: float) -> None:
        least = now + math.log2(_FORGOTTEN)
        self._weights = {namespace: weight for namespace, weight in self._weights.items() if weight >= least}
        self._tidy_at = max(_FEW, 2 * len(self._weights))
