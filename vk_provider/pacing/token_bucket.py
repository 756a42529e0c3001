"""A token bucket. Pure: whoever asks brings the time."""

from __future__ import annotations


class TokenBucket:
    """Holds at most `burst` tokens and gains `per_s`; full at first. Time is any clock that only grows, in seconds."""

    __slots__ = ("_at", "_burst", "_per_s", "_tokens")

    def __init__(self, *, burst: int, per_s: float, now: float) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._tokens = float(burst)
        self._at = now

    def try_acquire(self, now: float) -> bool:
        """Take a token if there is one."""
        self._fill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def reserve(self, now: float, tokens: float = 1.0) -> float:
        """Take tokens even if they are yet to come; returns the seconds to wait for them."""
        self._fill(now)
        self._tokens -= tokens
        return max(0.0, -self._tokens / self._per_s)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._per_s)
        self._at = now
