"""The keyed work queue of every controller.

A key is in line at most once and never handed out twice at the same time: a key marked while it is being worked on
goes back in line when it is done. A delayed key keeps its earliest due time.
"""

import asyncio
from collections import deque
from typing import Generic, TypeVar

K = TypeVar("K")

RETRY_BASE_S = 0.005
RETRY_MAX_S = 60.0


class KeyedQueue(Generic[K]):
    """Keys waiting for one worker. Everything runs on the event loop, so nothing here locks."""

    def __init__(self) -> None:
        self._line: deque[K] = deque()
        self._dirty: set[K] = set()
        self._working: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._line)

    def add(self, key: K) -> None:
        """Put `key` in line, unless it already is."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._line.append(key)
            self._filled.set()

    def add_after(self, key: K, delay_s: float) -> None:
        """Put `key` in line in `delay_s` seconds; an earlier due time already set wins."""
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._ring, key)

    def retry(self, key: K) -> None:
        """Put `key` in line after a delay that doubles with each retry until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(RETRY_BASE_S * 2 ** min(failures, 30), RETRY_MAX_S))

    def forget(self, key: K) -> None:
        """`key` went well: its next retry starts from the shortest delay."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; the caller must call `done` with it."""
        while not self._line:
            self._filled.clear()
            await self._filled.wait()
        key = self._line.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker is through with `key`; it goes back in line if it was marked meanwhile."""
        self._working.discard(key)
        if key in self._dirty:
            self._line.append(key)
            self._filled.set()

    def close(self) -> None:
        """Cancel every timer, so that a stopped loop holds no handle of ours."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _ring(self, key: K) -> None:
        del self._timers[key]
        self.add(key)
