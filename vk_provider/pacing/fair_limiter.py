"""Whose turn it is to make a call that the cloud rations.

Only a part of the workers may be in such a call at once: when a thousand creates a minute are allowed and ten thousand
are wanted, the others must still be there for what has begun to run. Who waits, waits in an order: the highest priority
first, of one priority the namespace that has had least of late, and within a namespace first come first served. No
namespace has all turns: who comes later would wait until one of them ends, which may be in a minute.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable

from vk_provider.pacing.recent_use import RecentUse

_KEPT_FOR_OTHERS = 4  # one turn in so many is never had by the namespace that has most of them


class FairLimiter:
    """At most `most` keys have a turn. A key that has to wait is called when its turn has come, and then asks again.

    A key has a turn or waits or neither, never both.
    """

    def __init__(self, most: int, call: Callable[[str], object]) -> None:
        self._most = most
        self._most_of_one = most - most // _KEPT_FOR_OTHERS
        self._call = call
        self._having: dict[str, str] = {}  # key → namespace
        self._held: Counter[str] = Counter()  # turns by namespace
        self._waiting: set[str] = set()
        self._lines: dict[int, _Line] = {}  # by priority
        self._use = RecentUse(2 * most)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def try_acquire(self, key: str, *, namespace: str, priority: int) -> bool:
        """Whether it may go now. Who has got True must `leave`."""
        if key in self._having:
            return True
        if key not in self._waiting and self._is_next(namespace):
            self._give(key, namespace)
            self._use.note(namespace)
            return True
        if key not in self._waiting:
            self._waiting.add(key)
            if priority not in self._lines:
                self._lines[priority] = _Line(self._use)
            self._lines[priority].add(namespace, key)
        return False

    def release(self, key: str) -> None:
        """It has had its turn, or does not want it any more; no harm where it had none."""
        if key not in self._having:
            return
        namespace = self._having.pop(key)
        self._held[namespace] -= 1
        if not self._held[namespace]:
            del self._held[namespace]
        while self._waiting and len(self._having) < self._most and (chosen := self._next()):
            self._waiting.discard(chosen[1])
            self._give(chosen[1], chosen[0])
            self._call(chosen[1])

    def _give(self, key: str, namespace: str) -> None:
        self._having[key] = namespace
        self._held[namespace] += 1

    def _is_next(self, namespace: str) -> bool:
        """Whether it may have a turn at once. While there is one, nobody waits who might have it."""
        return len(self._having) < self._most and not self._is_full(namespace)

    def _is_full(self, namespace: str) -> bool:
        return self._held[namespace] >= self._most_of_one if namespace in self._held else False

    def _next(self) -> tuple[str, str] | None:
        """Namespace and key; None where all who wait have as many turns as one may have."""
        for priority in sorted(self._lines, reverse=True):
            line = self._lines[priority]
            chosen = line.pop(self._is_full)
            if chosen is not None:
                if not line:
                    del self._lines[priority]
                return chosen
        return None


class _Line:
    """Keys of one priority, by namespace. Which namespace is next costs the logarithm of how many wait."""

    def __init__(self, use: RecentUse) -> None:
        self._use = use
        self._keys: dict[str, deque[str]] = {}
        self._order: list[tuple[float, int, str]] = []  # a heap: rank when it was put here, number, namespace
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, namespace: str, key: str) -> None:
        if namespace not in self._keys:
            self._keys[namespace] = deque()
            self._push(namespace)
        self._keys[namespace].append(key)

    def pop(self, is_full: Callable[[str], bool]) -> tuple[str, str] | None:
        """Namespace and key of the next; None when all are full, which few can be at once."""
        full = []
        namespace = ""
        while self._order and not namespace:
            rank, number, first = heapq.heappop(self._order)
            now = self._use.rank(first)
            if is_full(first):
                full.append((now, number, first))
            elif now > rank:  # by another priority's line, or at once, it has had more since
                heapq.heappush(self._order, (now, number, first))
            else:
                namespace = first
        for each in full:
            heapq.heappush(self._order, each)
        if not namespace:
            return None
        keys = self._keys[namespace]
        key = keys.popleft()
        self._use.note(namespace)
        if keys:
            self._push(namespace)
        else:
            del self._keys[namespace]
        return namespace, key

    def _push(self, namespace: str) -> None:
        heapq.heappush(self._order, (self._use.rank(namespace), next(self._numbers), namespace))
