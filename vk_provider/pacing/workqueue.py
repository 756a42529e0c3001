"""A queue of keys that want to be looked at.

A key is in line at most once and never in two workers' hands; a key added while it is being worked on goes back in
line when that work is done. Nothing but the key is kept: what happened is re-read from the stores.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque

_FEW = 64


class WorkQueue:
    """First come, first served, with delays: of two times for one key the earlier wins."""

    def __init__(self) -> None:
        self._line: deque[str] = deque()
        self._called: deque[str] = deque()  # before the line, out of which they were taken
        self._dirty: set[str] = set()  # in line, or to go back in line
        self._processing: set[str] = set()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0  # uvloop's handle of what is due already cannot tell
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._line) + len(self._called)

    def add(self, key: str) -> None:
        """Look at this key soon."""
        self._due.pop(key, None)  # its heap entry is skipped when it comes up
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_front(self, key: str) -> None:
        """Look at this key before those in line: something stands idle until it does what it waited for."""
        self._due.pop(key, None)
        if key in self._dirty:
            if key not in self._line:
                return
            self._line.remove(key)  # seldom: who waits for a turn is not in line as a rule
        self._dirty.add(key)
        if key not in self._processing:
            self._called.append(key)
            self._wake()

    def add_after(self, key: str, delay_s: float) -> None:
        """Look at this key in `delay_s` seconds at the latest."""
        if delay_s <= 0:
            self.add(key)
            return
        due = asyncio.get_running_loop().time() + delay_s
        if key in self._dirty or self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        if len(self._heap) > 2 * len(self._due) + _FEW:  # mostly entries that `add` overtook
            self._heap = [(at, each) for each, at in self._due.items()]
            heapq.heapify(self._heap)
        self._arm()

    async def get(self) -> str:
        """The next key; the caller must say done(key) afterwards."""
        while not len(self):
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()  # the wake-up was for somebody who left: pass it on
                raise
        key = (self._called or self._line).popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._enqueue(key)

    def _enqueue(self, key: str) -> None:
        self._line.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        if self._timer is not None:
            if self._rings_at <= self._heap[0][0]:
                return
            self._timer.cancel()
        self._rings_at = self._heap[0][0]
        self._timer = asyncio.get_running_loop().call_at(self._rings_at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        if self._heap:
            self._arm()
        else:
            self._due = {}  # its table, as large as the largest burst has made it, is given back
