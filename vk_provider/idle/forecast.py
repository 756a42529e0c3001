"""How high the load will go in the next while, by what it did: from its period, else from its percentile.

The forecast errs upwards: with little history it is at least half of all there is, and a load of which nothing was seen
lately has no forecast at all, which callers take for "nothing is idle", never for "no load".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vk_provider.idle import periodic
from vk_provider.idle.histogram import Buckets, Histogram
from vk_provider.idle.history import DAY_S, HOUR_S, MINUTE_S, History
from vk_provider.idle.periodic import DEFAULT_ESTIMATORS, Estimator, Pattern

LEAST_SAMPLES = 60
ASSUMED_SHARE = 0.5  # of all there is, as long as there are fewer samples
STALE_S = 10 * MINUTE_S
REFIT_S = 12 * HOUR_S
RETRY_FIT_S = HOUR_S  # while no period has been found
REBUILD_S = HOUR_S  # so that what has become too old leaves the histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """share: 0-1. buckets: None = 2,000 up to twice of all there is. half_life_s: None = weights stay."""

    share: float = 0.99
    margin: float = 0.0
    target_utilization: float = 1.0
    history_s: int = 7 * DAY_S
    least_weight: float = 1e-5
    half_life_s: float | None = float(DAY_S)
    buckets: Buckets | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsp:
    """fallback: for a load that does not repeat."""

    history_s: int = 15 * DAY_S
    interval_s: int = MINUTE_S
    estimators: tuple[Estimator, ...] = DEFAULT_ESTIMATORS
    fallback: Percentile = Percentile()


Algorithm = Percentile | Dsp


@dataclass(frozen=True, slots=True)
class Prediction:
    """peak: the highest load to expect within the window. method: `assumed`, `percentile` or `dsp`."""

    peak: float
    method: str


@dataclass(frozen=True, slots=True)
class Fit:
    """A search for a period, to be computed wherever there is time for it: up to 0.3 s, and in any thread."""

    samples: tuple[tuple[float, float], ...]
    algorithm: Dsp

    def compute(self) -> Pattern | None:
        return periodic.fit(self.samples, self.algorithm.interval_s, self.algorithm.estimators)


class Forecaster:
    """Forecasts one load, in the unit of its history. all_there_is: the quota, or the node's allocatable.

    fits_itself: `predict` searches for a period when one is due. An event loop cannot wait for that: its owner takes
    `due_fit`, computes it in a thread and hands the result to `adopt`; until then the pattern before it serves.
    """

    def __init__(
        self, history: History, algorithm: Algorithm, *, all_there_is: float, fits_itself: bool = True
    ) -> None:
        self.history = history
        self._fits_itself = fits_itself
        self._algorithm = algorithm
        self._all_there_is = all_there_is
        self._pattern: Pattern | None = None
        self._fit_due_s = -1.0
        self._histogram: Histogram | None = None
        self._rebuild_due_s = -1.0
        self._counted_until_s = 0.0  # slots that began before this are in the histogram

    @property
    def algorithm(self) -> Algorithm:
        return self._algorithm

    def reconfigure(self, algorithm: Algorithm, *, all_there_is: float) -> None:
        """What changed is computed anew at the next forecast; the history stays."""
        if algorithm != self._algorithm:
            self._fit_due_s = self._rebuild_due_s = -1.0
            self._pattern = None
        if all_there_is != self._all_there_is:
            self._rebuild_due_s = -1.0
        self._algorithm, self._all_there_is = algorithm, all_there_is

    def predict(self, now_s: float, window_s: float) -> Prediction | None:
        """None when the newest sample is older than STALE_S: what is not known is not forecast."""
        if now_s - self.history.newest_s > STALE_S + self.history.step_s:
            return None
        if len(self.history) < LEAST_SAMPLES:
            return Prediction(max(self.history.highest(), ASSUMED_SHARE * self._all_there_is), "assumed")
        if isinstance(self._algorithm, Dsp):
            pattern = self._current_pattern(now_s)
            if pattern is not None:
                return Prediction(pattern.peak(now_s, now_s + window_s), "dsp")
            return self._percentile(self._algorithm.fallback, now_s)
        return self._percentile(self._algorithm, now_s)

    def samples(self, now_s: float, window_s: float, step_s: int) -> list[tuple[int, float]]:
        """The forecast as a series, for a TimeSeriesPrediction's status; empty when there is none."""
        prediction = self.predict(now_s, window_s)
        if prediction is None or window_s / step_s > 10_000:
            return []
        times = range(int(now_s), int(now_s + window_s), step_s)
        if prediction.method == "dsp" and self._pattern is not None:
            return [(when_s, self._pattern.at(when_s)) for when_s in times]
        return [(when_s, prediction.peak) for when_s in times]

    def due_fit(self, now_s: float) -> Fit | None:
        """What is to be computed now; None when nothing is due."""
        is_due = now_s >= self._fit_due_s or now_s < self._fit_due_s - REFIT_S
        if not isinstance(self._algorithm, Dsp) or not is_due:
            return None
        return Fit(tuple(self.history.since(now_s - self._algorithm.history_s)), self._algorithm)

    def adopt(self, now_s: float, fit: Fit, pattern: Pattern | None) -> None:
        """The result of a fit; one for an algorithm that is no longer wanted is left out."""
        if fit.algorithm == self._algorithm:
            self._pattern = pattern
            self._fit_due_s = now_s + (REFIT_S if pattern else RETRY_FIT_S)

    def _current_pattern(self, now_s: float) -> Pattern | None:
        if self._fits_itself and (fit := self.due_fit(now_s)) is not None:
            self.adopt(now_s, fit, fit.compute())
        return self._pattern

    def _percentile(self, algorithm: Percentile, now_s: float) -> Prediction:
        if self._histogram is None or now_s >= self._rebuild_due_s or now_s < self._rebuild_due_s - REBUILD_S:
            buckets = algorithm.buckets or buckets_for(self._all_there_is)
            self._histogram = Histogram(buckets, half_life_s=algorithm.half_life_s, least_weight=algorithm.least_weight)
            self._rebuild_due_s = now_s + REBUILD_S
            self._counted_until_s = now_s - algorithm.history_s
        newest_s = self.history.newest_s  # its slot may still rise
        for when_s, value in self.history.since(self._counted_until_s):
            if when_s < newest_s:
                self._histogram.add(when_s, value)
                self._counted_until_s = when_s + self.history.step_s
        found = self._histogram.percentile(algorithm.share)
        peak = self.history.highest() if found is None else found
        return Prediction(peak * (1 + algorithm.margin) / algorithm.target_utilization, "percentile")


def buckets_for(all_there_is: float) -> Buckets:
    """Fine enough to tell a two-thousandth apart, and never saturated by a load within twice of all there is."""
    most = max(2 * all_there_is, 1.0)
    return Buckets(most=most, first=max(0.1, most / 2000))


def with_margin(algorithm: Algorithm, margin: float) -> Algorithm:
    """The same with another margin on every estimate."""
    if isinstance(algorithm, Percentile):
        return replace(algorithm, margin=margin)
    estimators = tuple(replace(one, margin=margin) for one in algorithm.estimators)
    return replace(algorithm, estimators=estimators, fallback=replace(algorithm.fallback, margin=margin))
