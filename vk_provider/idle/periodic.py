"""A load that repeats each day or each week: whether it does, and what one period of it looks like.

Everything is computed on a grid of at least five minutes: a forecast of the next hours needs no finer one, and so a fit
has some 4,000 points at most. Only a day and a week count as periods, so that no spectrum has to be searched: the load
is compared with itself a day and a week ago.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import mul
from statistics import median

from vk_provider.idle.fourier import smooth
from vk_provider.idle.history import DAY_S, HOUR_S

WEEK_S = 7 * DAY_S
LEAST_GRID_S = 300
LONGEST_GAP_S = HOUR_S
LEAST_CORRELATION = 0.3
_AROUND_S = 4 * HOUR_S
_TAIL = 0.001  # of the values at each end are taken for errors of measurement
_UNUSUAL = 0.1  # of a period
_SIGMAS = 4.0  # white noise correlates with itself by one over the root of the points


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxValue:
    """The highest of the same time of all periods."""

    margin: float = 0.0

    def profile(self, periods: Sequence[Sequence[float]], step_s: float) -> list[float]:  # noqa: ARG002
        return [max(column) for column in zip(*periods, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmonics:
    """The mean period at the level of the last one, smoothed; see `fourier.smooth`. highest_hz: in Hz.

    The level is a median: one bad night must not lift the days after it.
    """

    margin: float = 0.0
    least_amplitude: float = 1.0
    highest_hz: float = 1 / 3600
    least_items: int = 3
    most_items: int | None = None

    def profile(self, periods: Sequence[Sequence[float]], step_s: float) -> list[float]:
        mean = [math.fsum(column) / len(periods) for column in zip(*periods, strict=True)]
        level = median(last - value for last, value in zip(periods[-1], mean, strict=True))
        return smooth(
            [value + level for value in mean],
            step_s=step_s,
            highest_hz=self.highest_hz,
            least_amplitude=self.least_amplitude,
            least_items=self.least_items,
            most_items=self.most_items,
        )


Estimator = MaxValue | Harmonics
_MARGINS = (0.01, 0.10, 0.15, 0.20)
DEFAULT_ESTIMATORS: tuple[Estimator, ...] = (
    *(Harmonics(margin=margin, least_amplitude=1.0, least_items=3) for margin in _MARGINS),
    *(Harmonics(margin=margin, least_amplitude=0.05, least_items=50) for margin in _MARGINS),
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What repeats. values: with the estimator's margin; the first is for a multiple of the period since the epoch."""

    period_s: int
    step_s: int
    values: tuple[float, ...]
    margin: float

    def at(self, when_s: float) -> float:
        return self.values[int(when_s % self.period_s // self.step_s)]

    def peak(self, start_s: float, end_s: float) -> float:
        """The highest value from `start_s` to `end_s`."""
        first = int(start_s // self.step_s)
        last = min(int(end_s // self.step_s), first + len(self.values) - 1)
        return max(self.at(slot * self.step_s) for slot in range(first, max(first, last) + 1))


def fit(samples: Iterable[tuple[float, float]], interval_s: int, estimators: Sequence[Estimator]) -> Pattern | None:
    """The pattern of a load, or None when there is none to be seen: too short, too flat, or not repeating.

    samples: epoch second and value, oldest first.
    """
    step_s = next((step for step in _GRIDS if step >= interval_s), _GRIDS[-1])
    first_slot, values = _on_grid(samples, step_s)
    if not estimators or len(values) * step_s < 2 * DAY_S:
        return None
    values = _without_outliers(values)
    period_s = _period(values, step_s)
    if period_s is None:
        return None
    size = period_s // step_s
    whole = len(values) // size
    periods = [values[len(values) - (whole - place) * size :][:size] for place in range(whole)]
    shapes = dict.fromkeys(replace(one, margin=0.0) for one in estimators)  # estimators differ mostly in their margin
    forecasts = {shape: shape.profile(periods[:-1], step_s) for shape in shapes}
    best = min(estimators, key=lambda one: _error(forecasts[replace(one, margin=0.0)], one.margin, periods[-1]))
    shift = (first_slot + len(values)) % size  # the slot, within its period, at which each of the periods begins
    profile = best.profile(periods, step_s)
    turned = [max(0.0, profile[(place - shift) % size]) * (1 + best.margin) for place in range(size)]
    return Pattern(period_s, step_s, tuple(turned), best.margin)


_GRIDS = tuple(step for step in range(LEAST_GRID_S, HOUR_S + 1, LEAST_GRID_S) if DAY_S % step == 0)


def _on_grid(samples: Iterable[tuple[float, float]], step_s: int) -> tuple[int, list[float]]:
    """Means on the grid, gaps of up to an hour filled with a straight line; what precedes a longer one is left out."""
    first_slot, values = 0, list[float]()
    for slot, value in _means(samples, step_s):
        gap = slot - first_slot - len(values)
        if not values or gap * step_s > LONGEST_GAP_S:
            first_slot, values = slot, [value]
            continue
        before = values[-1]
        values.extend(before + (value - before) * (place + 1) / (gap + 1) for place in range(gap + 1))
    return first_slot, values


def _means(samples: Iterable[tuple[float, float]], step_s: int) -> Iterable[tuple[int, float]]:
    current, added, count = -1, 0.0, 0
    for when_s, value in samples:
        slot = int(when_s // step_s)
        if slot != current and count:
            yield current, added / count
            added, count = 0.0, 0
        current, added, count = slot, added + value, count + 1
    if count:
        yield current, added / count


def _without_outliers(values: Sequence[float]) -> list[float]:
    """A value among the outermost thousandths becomes the one before it."""
    ordered = sorted(values)
    cut = int(len(ordered) * _TAIL)
    low, high = ordered[cut], ordered[-1 - cut]
    kept = list[float]()
    for value in values:
        kept.append(value if low <= value <= high or not kept else kept[-1])
    return kept


def _period(values: Sequence[float], step_s: int) -> int | None:
    mean = math.fsum(values) / len(values)
    centred = [value - mean for value in values]
    if math.fsum(map(mul, centred, centred)) <= 1e-12 * len(values) * max(1.0, mean * mean):
        return None  # flat
    found = {
        period_s: strength
        for period_s in (DAY_S, WEEK_S)
        if len(values) * step_s >= 2 * period_s and (strength := _strength(centred, period_s // step_s, step_s))
    }
    return max(found, key=lambda period_s: (found[period_s], -period_s), default=None)


def _strength(centred: Sequence[float], lag: int, step_s: int) -> float:
    """How far the load is like itself `lag` slots ago; 0 where that is chance, or where another time near is no worse.

    A load that only drifts is like itself a while ago, and the more the shorter ago.
    """
    around = _AROUND_S // step_s
    near = {offset: _correlation(centred, lag + offset) for offset in range(-around, around + 1)}
    strength = near[0]
    edge = max(near[-around], near[around])
    is_chance = strength < max(LEAST_CORRELATION, _SIGMAS / math.sqrt(len(centred) - lag))
    is_peak = strength >= max(near.values()) - 0.05 and strength > edge + 0.01
    return 0.0 if is_chance or not is_peak else round(strength, 2)


def _correlation(centred: Sequence[float], lag: int) -> float:
    if lag >= len(centred):
        return 0.0
    early, late = centred[:-lag], centred[lag:]
    scale = math.sqrt(math.fsum(map(mul, early, early)) * math.fsum(map(mul, late, late)))
    return math.fsum(map(mul, early, late)) / scale if scale > 0 else 0.0


def _error(forecast: Sequence[float], margin: float, period: Sequence[float]) -> float:
    """Of the last period, forecast from those before it. To forecast too little counts far more than too much.

    The worst tenth is left out: what happens once says nothing of the margin that the other days need.
    """
    scale = max(max(period), 1e-9) / 1000
    losses = list[float]()
    for value, real in zip(forecast, period, strict=True):
        missing = (real - max(0.0, value) * (1 + margin)) / max(real, scale)
        losses.append(-math.log(1 - min(missing, 0.999)) / math.log(1.25) if missing > 0 else min(-missing, 1e3))
    losses.sort()
    usual = losses[: math.ceil(len(losses) * (1 - _UNUSUAL))]
    return math.fsum(usual) / len(usual)
