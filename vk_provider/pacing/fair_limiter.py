"""Whose turn it is to make a call that the cloud rations.

Only a part of the workers may be in such a call at once: when a thousand creates a minute are allowed and ten thousand
are wanted, the others must still be there for what has begun to run. Who waits, waits in an order: the highest priority
first, the namespaces of one priority in turns, and within a namespace first come first served.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable


class FairLimiter:
    """At most `most` keys have a turn. A key that has to wait is called when its turn has come, and then asks again.

    A key has a turn or waits or neither, never both.
    """

    def __init__(self, most: int, call: Callable[[str], object]) -> None:
        self._most = most
        self._call = call
        self._having: set[str] = set()
        self._waiting: set[str] = set()
        self._lines: dict[int, OrderedDict[str, deque[str]]] = {}  # priority → namespace → keys
        self._priorities: list[int] = []  # a heap of those that have a line, negated

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def try_acquire(self, key: str, *, namespace: str, priority: int) -> bool:
        """Whether it may go now. Who has got True must `leave`."""
        if key in self._having:
            return True
        if len(self._having) < self._most and not self._waiting:
            self._having.add(key)
            return True
        if key not in self._waiting:
            self._waiting.add(key)
            if priority not in self._lines:
                self._lines[priority] = OrderedDict()
                heapq.heappush(self._priorities, -priority)
            self._lines[priority].setdefault(namespace, deque()).append(key)
        return False

    def release(self, key: str) -> None:
        """It has had its turn, or does not want it any more; no harm where it had none."""
        if key not in self._having:
            return
        self._having.discard(key)
        while self._waiting and len(self._having) < self._most:
            chosen = self._next()
            self._waiting.discard(chosen)
            self._having.add(chosen)
            self._call(chosen)

    def _next(self) -> str:
        lines = self._lines[-self._priorities[0]]
        namespace, line = next(iter(lines.items()))
        key = line.popleft()
        if line:
            lines.move_to_end(namespace)
        else:
            del lines[namespace]
        if not lines:
            del self._lines[-heapq.heappop(self._priorities)]
        return key
