"""Keeping within what a cloud allows: calls per minute, and a bound on how much of the traffic may be retries.

All times are the event loop's clock. Nothing here knows a particular cloud.
"""

from __future__ import annotations

import asyncio
from collections import deque

WINDOW_S = 60.0
# A call is counted by us when it leaves and by the cloud when it arrives: two that leave a minute apart may arrive
# closer together.
SKEW_S = 1.0

_SLOWEST = 0.05
_RECOVERY_S = 60.0  # from the slowest back to full speed, if nothing is throttled meanwhile
_SAME_EPISODE_S = 1.0  # calls that were under way together are throttled together: that counts once


class TokenBucket:
    """Hands out `per_minute` tokens in any minute, first come first served.

    A burst may take a whole minute's worth at once; then each token comes back a minute after it was taken, so that
    no sliding minute ever holds more than the limit. After `slow_down` tokens are fewer and spaced evenly; the pace
    then grows back by itself.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._taken: deque[float] = deque()  # loop times of the tokens of the last minute, oldest first
        self._line = asyncio.Lock()  # asyncio's lock is fair; its holder is the head of the line
        self._pace_then = 1.0
        self._pace_since = 0.0

    async def acquire(self) -> None:
        """Wait for a token. Cancelled while waiting, it takes none and the next in line moves up."""
        async with self._line:
            while (wait_s := self._wait_s()) > 0:  # noqa: ASYNC110 - time itself is what is waited for
                await asyncio.sleep(wait_s)
            self._taken.append(_now())

    def slow_down(self) -> None:
        """The cloud throttled: halve the pace."""
        now = _now()
        if now - self._pace_since >= _SAME_EPISODE_S or self._pace_then == 1.0:
            self._pace_then, self._pace_since = max(_SLOWEST, self.pace / 2), now

    @property
    def pace(self) -> float:
        """The share of the limit that is used just now, 0.05 to 1."""
        if self._pace_then == 1.0:
            return 1.0
        pace = self._pace_then + (_now() - self._pace_since) / _RECOVERY_S
        if pace >= 1.0:
            self._pace_then = 1.0
        return min(1.0, pace)

    def _wait_s(self) -> float:
        now = _now()
        while self._taken and now - self._taken[0] >= WINDOW_S + SKEW_S:
            self._taken.popleft()
        pace = self.pace
        allowed = max(1, int(self._per_minute * pace))
        wait_s = 0.0
        if len(self._taken) >= allowed:
            wait_s = self._taken[len(self._taken) - allowed] + WINDOW_S + SKEW_S - now
        if pace < 1.0 and self._taken:
            wait_s = max(wait_s, self._taken[-1] + WINDOW_S / allowed - now)
        return _bounded(wait_s, pace)


def _bounded(wait_s: float, pace: float) -> float:
    """While slowed down look again often, because the pace grows back during the wait."""
    return min(wait_s, 1.0) if pace < 1.0 else wait_s


class Limits:
    """A bucket per call name. per_minute: published limits; default: for calls of which none is published."""

    def __init__(self, per_minute: dict[str, int], *, default: int) -> None:
        self._per_minute = per_minute
        self._default = default
        self._buckets: dict[str, TokenBucket] = {}

    def bucket(self, action: str) -> TokenBucket:
        """Always the same bucket for the same name."""
        if action not in self._buckets:
            self._buckets[action] = TokenBucket(self._per_minute.get(action, self._default))
        return self._buckets[action]


class RetryBudget:
    """Bounds retries to a share of the calls that succeed, so that an outage is not met with a storm.

    Holds `size` retries at first; each retry takes one, each success gives `refund` back up to `size`.
    """

    def __init__(self, *, size: float = 100.0, refund: float = 0.2) -> None:
        self._size = size
        self._left = size
        self._refund = refund

    def take(self) -> bool:
        """Whether one more retry may be made; it is counted."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def succeeded(self) -> None:
        self._left = min(self._size, self._left + self._refund)


def _now() -> float:
    return asyncio.get_running_loop().time()
