"""Series of events that wait to be sent: bounded, and what is worth least goes first when it is full."""

from __future__ import annotations

from collections import deque

from vk_provider.kube.event_correlator import Series


class EventQueue:
    """Series waiting to be sent, those worth most first, each at most once, at most `most` in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ranks: tuple[deque[Series], ...] = (deque(), deque(), deque())

    def __len__(self) -> int:
        return sum(map(len, self._ranks))

    def add(self, series: Series) -> Series | None:
        """Put in line; returns what had to go for it, which may be this very series."""
        rank = _worth(series)
        victim = None
        if len(self) >= self._most:
            lowest = next(index for index, line in enumerate(self._ranks) if line)
            if lowest >= rank:
                return series
            victim = self._ranks[lowest].pop()
            victim.queued = False
        series.queued = True
        self._ranks[rank].append(series)
        return victim

    def pop(self) -> Series | None:
        for line in reversed(self._ranks):
            if line:
                series = line.popleft()
                series.queued = False
                return series
        return None


def _worth(series: Series) -> int:
    """A higher count of what is already told, then what is normal, then what somebody must see."""
    if series.on_server:
        return 0
    return 2 if series.is_warning else 1
