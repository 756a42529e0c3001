"""A queue of keys that want to be looked at.

A key is in line at most once and never in two workers' hands; a key added while it is being worked on goes back in
line when that work is done. Nothing but the key is kept: what happened is re-read from the stores.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_FEW = 64


@dataclass(slots=True)
class OwnWrite:
    """was_seen: something has changed of the key meanwhile. is_settled: its worker has seen that it was the write
    itself, and that nothing follows from it."""

    was_seen: bool = False
    is_settled: bool = False


class WorkQueue:
    """First come, first served, with delays: of two times for one key the earlier wins."""

    def __init__(self) -> None:
        self._line: deque[str] = deque()
        self._called: deque[str] = deque()  # before the line, out of which they were taken
        self._dirty: set[str] = set()  # in line, or to go back in line
        self._processing: set[str] = set()
        self._due: dict[str, float] = {}
        self._since: dict[str, float] = {}  # loop times since when those in line are there
        self._heap: list[tuple[float, str]] = []
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0  # uvloop's handle of what is due already cannot tell
        self._getters: deque[asyncio.Future[None]] = deque()
        self._ignored = ""
        self._writing: dict[str, OwnWrite] = {}

    def __len__(self) -> int:
        return len(self._line) + len(self._called)

    @property
    def delayed(self) -> int:
        """Keys that are due later."""
        return len(self._due)

    def oldest_s(self) -> float:
        """For how long the key that is next has been in line; 0 when none is."""
        heads = [self._since[line[0]] for line in (self._called, self._line) if line]
        return max(0.0, asyncio.get_running_loop().time() - min(heads)) if heads else 0.0

    def due_in_s(self, key: str) -> float | None:
        """Seconds until it comes into line by itself: 0 where it is in line or in hand, None where only a change will
        bring it."""
        if key in self._dirty or key in self._processing:
            return 0.0
        due = self._due.get(key)
        return None if due is None else max(0.0, due - asyncio.get_running_loop().time())

    @contextmanager
    def ignoring(self, key: str) -> Iterator[None]:
        """To add this key has no effect within: for a change of our own that is known to ask for nothing. Nothing may
        be awaited within, so that nobody else's change is missed."""
        self._ignored = key
        try:
            yield
        finally:
            self._ignored = ""

    @contextmanager
    def writing(self, key: str) -> Iterator[OwnWrite]:
        """While the key, which is in hand, is written by its worker: what `add_unless_written` says of it is kept until
        the write is over, and forgotten where it turns out to be that write alone."""
        write = self._writing[key] = OwnWrite()
        try:
            yield write
        finally:
            del self._writing[key]
            if write.was_seen and not write.is_settled:
                self.add(key)

    def add_unless_written(self, key: str) -> None:
        """Look at this key soon; but who writes it at this moment knows better whether there is anything to look at."""
        if (write := self._writing.get(key)) is not None:
            write.was_seen = True
        else:
            self.add(key)

    def add(self, key: str) -> None:
        """Have this key reconciled soon."""
        if key == self._ignored:
            return
        self._due.pop(key, None)  # its heap entry is skipped when it comes up
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_front(self, key: str) -> None:
        """Have this key reconciled before those in the queue: something is idle until then."""
        self._due.pop(key, None)
        if key in self._dirty:
            if key not in self._line:
                return
            self._line.remove(key)  # seldom: who waits for a turn is not in line as a rule
        self._dirty.add(key)
        if key not in self._processing:
            self._called.append(key)
            self._since.setdefault(key, asyncio.get_running_loop().time())
            self._wake()

    def add_after(self, key: str, delay_s: float) -> None:
        """Have this key reconciled in `delay_s` seconds at the latest."""
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
        self._since.pop(key, None)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._enqueue(key)

    def _enqueue(self, key: str) -> None:
        self._line.append(key)
        self._since.setdefault(key, asyncio.get_running_loop().time())
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
