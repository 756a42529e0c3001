"""Time, and what is due: one clock and one heap of timers for everything the fake does later.

The service's time may run faster than the machine's, or be moved by the admin API. Nothing else in the fake reads a
clock, except the signature check and the rate limits, which judge clients that live in real time.
"""

import asyncio
import heapq
import itertools
import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

_AT_ONCE = 20
_log = logging.getLogger(__name__)
TimerCallback = Callable[[float], None]


class Clock:
    """Seconds since the epoch as the service sees them; never goes back.

    source: real seconds, monotonic. start: the epoch second at which the clock begins.
    """

    def __init__(
        self, source: Callable[[], float] = time.monotonic, *, start: float | None = None, speed: float = 1.0
    ) -> None:
        if speed <= 0:
            raise ValueError("the speed of the clock must be over 0")
        self._source = source
        self._base = time.time() if start is None else start
        self._since = source()
        self.speed = speed

    def now(self) -> float:
        return self._base + (self._source() - self._since) * self.speed

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("the clock cannot go back")
        self._base += seconds

    def set_speed(self, speed: float) -> None:
        if speed <= 0:
            raise ValueError("the speed of the clock must be over 0")
        self._base, self._since, self.speed = self.now(), self._source(), speed

    def real_seconds_until(self, when: float) -> float:
        return max(0.0, (when - self.now()) / self.speed)


class Timer:
    """One thing to do at a time; `cancel` is free, the heap drops it when it comes up."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: TimerCallback) -> None:
        self.when = when
        self.callback: TimerCallback | None = callback

    def cancel(self) -> None:
        self.callback = None


class Timers:
    """A heap of timers; each runs with the time it was due, not the later time it was looked at.

    That makes a simulation exact: ten state changes inside one look at the clock bear ten different times.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, callback: TimerCallback) -> Timer:
        timer = Timer(when, callback)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        if self._heap[0][2] is timer:
            self._wake.set()
        return timer

    def wake(self) -> None:
        """Look at the clock again; to be called when it was moved."""
        self._wake.set()

    def run_due(self, *, limit: int | None = None) -> int:
        """Run what is due, oldest first, including what that makes due. Returns how many ran."""
        ran = 0
        while self._heap and (limit is None or ran < limit):
            when, _, timer = self._heap[0]
            if timer.callback is None:
                heapq.heappop(self._heap)
                continue
            if when > self.clock.now():
                break
            heapq.heappop(self._heap)
            callback, timer.callback = timer.callback, None
            try:
                callback(when)
            except Exception:
                _log.exception("a timer of %.3f failed", when)  # one group's trouble must not stop all others
            ran += 1
        return ran

    async def run(self) -> None:
        """Run timers as they fall due, for ever."""
        while True:
            self._wake.clear()  # before looking, so that no timer falls between
            if self.run_due(limit=_AT_ONCE) == _AT_ONCE:
                await asyncio.sleep(0)  # a burst must not starve the HTTP server
                continue
            delay = self.clock.real_seconds_until(self._heap[0][0]) if self._heap else None
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                pass


def iso_time(when: float | None) -> str:
    """`2024-01-02T03:04:05Z`, or an empty text for a time that has not come."""
    return "" if when is None else _iso_second(int(when))


@lru_cache(maxsize=4096)  # a page of events names the same few seconds a thousand times
def _iso_second(when: int) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def nano_time(nanoseconds: int) -> str:
    """RFC 3339 with exactly nine digits, 30 characters, so that texts sort as times do."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{rest:09d}Z"


_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")


def parse_nanoseconds(text: str) -> int | None:
    """Epoch nanoseconds of an RFC 3339 text, every digit of its fraction kept; None if it is not one."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + match[3].upper())
    except ValueError:
        return None
    return int(whole.timestamp()) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))
