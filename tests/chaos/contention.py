"""What a run waited for a processor: the seconds in which the machine worked for others.

Who measures how late something is beside a burst of its own need not know what else a machine is busy with: the kernel
counts for each thread how long it was ready and had no processor (`/proc/PID/schedstat`). What one of our own processes
uses up is no such time, for who runs does not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

EVERY_S = 0.1


class Contention:
    """lost: from when to when, as `time.monotonic` has it, one of these processes waited at a time for a processor.

    pids: of those, asked anew each time.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self.lost: list[tuple[float, float]] = []

    async def run(self) -> None:
        before_s, before = time.monotonic(), dict(self._waited())
        while True:
            await asyncio.sleep(EVERY_S)
            now_s, now = time.monotonic(), dict(self._waited())
            self._note(before_s, now_s, [seconds - before.get(thread, seconds) for thread, seconds in now.items()])
            before_s, before = now_s, now

    def _note(self, began_s: float, over_s: float, waited: Iterable[float]) -> None:
        """One after the other they make a pod run: at each moment it is late by the one who waits, not by all."""
        worst_s = min(over_s - began_s, max(waited, default=0.0))
        if worst_s > 0.0:
            self.lost.append((over_s - worst_s, over_s))

    def _waited(self) -> Iterator[tuple[str, float]]:
        """Seconds since its start, by thread."""
        for pid in self._pids():
            for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with suppress(OSError):
                    yield str(thread), int(thread.read_text().split()[1]) / 1e9
