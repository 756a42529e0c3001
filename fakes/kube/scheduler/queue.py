"""Pods that wait for a node: ready to try, backing off, or shelved until something changes that may help.

Always true: a pod is in exactly one of the three. Back-off doubles from 1 s to 10 s with each failed attempt; a pod
shelved for five minutes is tried again anyway. Source: kubernetes pkg/scheduler/backend/queue.
"""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

BACKOFF_BASE_S = 1.0
BACKOFF_MAX_S = 10.0
SHELF_MAX_S = 300.0


@dataclass(slots=True)
class Waiting:
    """One pod's place. `plugins`: the filters that rejected it last time."""

    uid: str
    priority: int
    since: float
    attempts: int = 0
    failed_at: float = 0.0
    plugins: frozenset[str] = field(default=frozenset())

    def backoff_s(self) -> float:
        return min(BACKOFF_BASE_S * 2.0 ** min(self.attempts - 1, 10), BACKOFF_MAX_S)


class SchedulingQueue:
    """Pods by uid; higher priority first, then longest in line."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._heap: list[tuple[int, float, int, str]] = []
        self._active: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._sequence = 0
        self._filled = asyncio.Event()

    def __contains__(self, uid: str) -> bool:
        return uid in self._waiting

    def add(self, uid: str, priority: int) -> None:
        """A new pod: try it as soon as its turn comes."""
        if uid not in self._waiting:
            self._waiting[uid] = Waiting(uid, priority, asyncio.get_running_loop().time())
            self._activate(uid)

    def remove(self, uid: str) -> None:
        """The pod needs no node any more."""
        self._waiting.pop(uid, None)
        self._active.discard(uid)
        self._stop(uid)

    async def get(self) -> Waiting:
        """The next pod to try; it stays ours to give back with `shelve`, or to `remove`."""
        while True:
            while self._heap:
                uid = heapq.heappop(self._heap)[3]
                if uid in self._active:
                    self._active.discard(uid)
                    waiting = self._waiting[uid]
                    waiting.attempts += 1
                    return waiting
            self._filled.clear()
            await self._filled.wait()

    def shelve(self, waiting: Waiting, plugins: frozenset[str]) -> None:
        """It did not fit: keep it until `stir` finds a reason to try again."""
        now = asyncio.get_running_loop().time()
        waiting.failed_at, waiting.plugins = now, plugins
        self._schedule(waiting.uid, now + SHELF_MAX_S)

    def back_off(self, waiting: Waiting) -> None:
        """The attempt itself failed: try again as soon as its back-off is over."""
        waiting.failed_at = asyncio.get_running_loop().time()
        self._schedule(waiting.uid, waiting.failed_at + waiting.backoff_s())

    def stir(self, helps: Callable[[Waiting], bool]) -> None:
        """Something changed: try each shelved pod it may help, once its back-off is over."""
        now = asyncio.get_running_loop().time()
        for uid, waiting in self._waiting.items():
            if uid in self._active or uid not in self._timers or not helps(waiting):
                continue
            due = waiting.failed_at + waiting.backoff_s()
            if due <= now:
                self._stop(uid)
                self._activate(uid)
            elif due < self._timers[uid].when():
                self._schedule(uid, due)

    def close(self) -> None:
        """Cancel every timer."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _schedule(self, uid: str, due: float) -> None:
        self._stop(uid)
        self._timers[uid] = asyncio.get_running_loop().call_at(due, self._ring, uid)

    def _ring(self, uid: str) -> None:
        del self._timers[uid]
        self._activate(uid)

    def _activate(self, uid: str) -> None:
        waiting = self._waiting[uid]
        self._active.add(uid)
        self._sequence += 1
        heapq.heappush(self._heap, (-waiting.priority, waiting.since, self._sequence, uid))
        self._filled.set()

    def _stop(self, uid: str) -> None:
        timer = self._timers.pop(uid, None)
        if timer is not None:
            timer.cancel()
