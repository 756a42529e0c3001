"""Does a figure of a process that works evenly stay where it is? Pure.

The first quarter is not judged: pools and caches fill, and the allocator finds its size. The rest is cut into twelve
stretches of equal time, each worth its median, which takes the churn out. Theil-Sen's line through the twelve (the
median of the slopes of all pairs) is not moved by a few wild ones. A figure **grows** when

- the line climbs by more than the stretches scatter about it, and by more than the figure's `least` on top: noise
  does that twice in a thousand runs were `least` nothing, and a saw-tooth never, once three of its teeth fit in; and
- the last half still climbs, at a quarter of the whole's pace at least and by more than `an_hour`: what has stopped
  was a pool or a cache that has found its size, not a leak.

So a leak that is slower than `(scatter + least) / time` goes unseen. That pace is told beside each verdict, for a run
can only say as much as it lasted; at twice that pace a leak is as good as always found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

STRETCHES = 12
WARM_UP = 0.25
STILL_CLIMBS = 0.25
WIDER = 1.75  # what the outermost two of twelve, which may be wild, add to the width of the others
FEWEST = 4 * STRETCHES  # samples; fewer have no medians to speak of
HOUR_S = 3600.0

Points = Sequence[tuple[float, float]]  # seconds, value; in order of time


@dataclass(frozen=True, slots=True)
class Figure:
    """least: growth over the whole run that means nothing. an_hour: growth that may go on for ever."""

    name: str
    unit: str = ""
    least: float = 0.0
    an_hour: float = 0.0
    is_judged: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """marks: at the start, 25, 50, 75 % and the end. an_hour: the pace of the judged time. seen_from: the slowest
    steady leak, an hour, that would have been found."""

    figure: Figure
    marks: tuple[float, ...]
    an_hour: float
    last_half_an_hour: float
    scatter: float
    seen_from: float
    is_flat: bool


def judge(figure: Figure, points: Points) -> Verdict:
    """Raises ValueError when there are too few samples to say anything."""
    began, ended = points[0][0], points[-1][0]
    judged = [each for each in points if each[0] >= began + WARM_UP * (ended - began)]
    if len(judged) < FEWEST:
        raise ValueError(f"{len(judged)} samples after the warm-up, {FEWEST} are needed")
    steps = stretches(judged)
    pace = slope(steps)
    rests = sorted(value - pace * at for at, value in steps)
    scatter, lasts_s = WIDER * (rests[-2] - rests[1]), steps[-1][0] - steps[0][0]
    late = slope(steps[len(steps) // 2 :])
    climbs = pace * lasts_s > scatter + figure.least
    goes_on = late > max(STILL_CLIMBS * pace, figure.an_hour / HOUR_S)
    return Verdict(
        figure=figure,
        marks=tuple(_around(points, began + share * (ended - began)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)),
        an_hour=pace * HOUR_S,
        last_half_an_hour=late * HOUR_S,
        scatter=scatter,
        seen_from=max(figure.an_hour, (scatter + figure.least) / lasts_s * HOUR_S),
        is_flat=not (figure.is_judged and climbs and goes_on),
    )


def stretches(points: Points, count: int = STRETCHES) -> list[tuple[float, float]]:
    """The middle and the median of each; one without a sample is left out."""
    began, ended = points[0][0], points[-1][0]
    width = (ended - began) / count
    cut: list[list[float]] = [[] for _ in range(count)]
    for at, value in points:
        cut[min(count - 1, int((at - began) / width))].append(value)
    return [(began + (number + 0.5) * width, median(values)) for number, values in enumerate(cut) if values]


def slope(points: Points) -> float:
    """Theil and Sen's, a second."""
    return median((value - before) / (at - then) for (then, before), (at, value) in combinations(points, 2))


def _around(points: Points, at: float) -> float:
    """The median of the five samples nearest to that moment."""
    return median(value for _, value in sorted(points, key=lambda each: abs(each[0] - at))[:5])
