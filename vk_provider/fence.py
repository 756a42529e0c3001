"""Until when this process may write: what keeps a leader that lost its lease from changing anything.

Whoever sends a write to the API server or the cloud asks for its permit right before, after all waiting for its turn;
`kube.api.FencedApi` and its like of each cloud see to it. The fence is opened for as long as the lease is surely ours,
counted from the moment *before* its renewal was sent, on a clock that goes on while the process or the machine sleeps.
Shut once, it stays shut: a new term has a new fence.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vk_provider.errors import LeadershipLost


def clock() -> float:
    """Seconds, also those in which the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Fence:
    """Shut at first, and for good once its time has run out."""

    def __init__(self, clock: Callable[[], float] = clock) -> None:
        self._clock = clock
        self._until_s = float("-inf")
        self._was_open = False
        self._is_shut = False

    @classmethod
    def always_open(cls) -> Fence:
        """For a process that shares its node with nobody."""
        fence = cls()
        fence.open_until(float("inf"))
        return fence

    def open_until(self, until_s: float) -> None:
        """On the fence's clock. Without effect once it is shut."""
        self._shut_if_over()
        self._until_s = until_s
        self._was_open = True

    def shut(self) -> None:
        self._is_shut = True

    @property
    def is_open(self) -> bool:
        self._shut_if_over()
        return self._was_open and not self._is_shut

    def remaining_s(self) -> float:
        """For how long writes may still be sent; 0 = none may."""
        return max(0.0, self._until_s - self._clock()) if self.is_open else 0.0

    def permit(self) -> float | None:
        """For how many seconds a write that is sent now may be under way; None = as long as it takes.

        Raises LeadershipLost where nothing may be written.
        """
        if not self.is_open:
            raise LeadershipLost("another process may have taken over the node, so nothing more is written")
        return None if self._until_s == float("inf") else self._until_s - self._clock()

    def _shut_if_over(self) -> None:
        if self._was_open and self._clock() >= self._until_s:
            self._is_shut = True
