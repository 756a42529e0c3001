"""What was sold out a moment ago, so that a burst of pods does not check for it a thousand times.

Losing it is safe: it only saves asking again. Bounded: the places that were sold out most recently.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from vk_provider.errors import OutOfCapacity
from vk_provider.pacing.backoff import Backoff

COOL_DOWN = Backoff(first_s=10.0, most_s=120.0)
PROBE_S = 5.0  # how long the answer to the one who asks again is waited for
MOST_PLACES = 256

Place = tuple[str, ...]  # what was asked for, and where


@dataclass(slots=True)
class _SoldOut:
    error: OutOfCapacity
    due_s: float  # from when on asking again makes sense
    until_s: float  # that, or later while somebody asks
    times: int = 1


class SoldOutCache:
    """clock: seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._places: OrderedDict[Place, _SoldOut] = OrderedDict()

    def wait_s(self, place: Place) -> float:
        """Seconds until asking makes sense again; 0 = now."""
        known = self._places.get(place)
        return 0.0 if known is None else max(0.0, known.until_s - self._clock())

    def last_error(self, place: Place) -> OutOfCapacity | None:
        known = self._places.get(place)
        return known.error if known else None

    def check(self, place: Place) -> float:
        """Somebody asks now: the others wait for the answer, if it was sold out before. Returns when that is."""
        known = self._places.get(place)
        if known is not None:
            known.until_s = max(known.until_s, self._clock() + PROBE_S)
        return self._clock()

    def sold_out(self, place: Place, error: OutOfCapacity, *, asked_s: float) -> None:
        """The wait grows with each who asked when it made sense: not with a burst's other answers, which come together,
        nor with one who had to check because an earlier request may have been carried out."""
        known = self._places.pop(place, None)
        times = 0 if known is None else known.times
        if known is not None and asked_s < known.due_s:
            due_s = known.due_s
        else:
            due_s, times = self._clock() + COOL_DOWN.delay(times), times + 1
        self._places[place] = _SoldOut(error, due_s, due_s, times)
        while len(self._places) > MOST_PLACES:
            self._places.popitem(last=False)

    def sold(self, place: Place) -> None:
        self._places.pop(place, None)
