"""How long a preemptible pod waits for spot stock: tried again ever more seldom, and given up after ten minutes.

Given up means Failed with DisruptionTarget, so that its Job makes another later without eating its backoffLimit.
"""

from __future__ import annotations

from collections.abc import Collection

from vk_provider.pacing.backoff import Backoff

BACKOFF = Backoff(first_s=5.0, most_s=300.0)
PATIENCE_S = 600.0
REASON = "NoStock"


class StockWaits:
    """Bounded by the pods there are: see `keep`."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[float, int, float]] = {}  # uid → since when, refusals, next try

    def refused(self, now_s: float, uid: str, *, jitter: float = 0.0) -> float:
        """Seconds until the next try, no later than when it is given up. jitter: in [0, 1)."""
        since_s, refusals, _ = self._waits.get(uid, (now_s, 0, 0.0))
        wait_s = min(BACKOFF.delay(refusals, jitter=jitter), max(0.0, since_s + PATIENCE_S - now_s))
        self._waits[uid] = (since_s, refusals + 1, now_s + wait_s)
        return wait_s

    def remaining_s(self, now_s: float, uid: str) -> float:
        """Until it may be tried: 0 when it may be now."""
        wait = self._waits.get(uid)
        return 0.0 if wait is None else max(0.0, wait[2] - now_s)

    def is_given_up(self, now_s: float, uid: str) -> bool:
        wait = self._waits.get(uid)
        return wait is not None and now_s - wait[0] >= PATIENCE_S

    def keep(self, uids: Collection[str]) -> None:
        """Forget all others."""
        self._waits = {uid: wait for uid, wait in self._waits.items() if uid in uids}

    def forget(self, uid: str) -> None:
        self._waits.pop(uid, None)
