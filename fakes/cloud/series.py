"""A number that changes over the service's time, as a test, a demo or a day's simulation scripts it.

As JSON: a number; `{"points": [[0, 20], [3600, 35]]}` for steps, with `"linear": true` for straight lines between them
and `"repeat_s": 86400` for every day anew; or `{"mean": 60, "amplitude": 30, "period_s": 86400, "peak_s": 50400,
"noise": 2, "seed": 1, "least": 0, "most": 200}` for a wave with noise that always returns to it. Seconds are counted
from the moment it was set. The same JSON gives the same numbers, whenever and however often they are read.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

DAY_S = 86_400.0
_NOISE_STEP_S = 300.0
_NOISE_STEPS = 24  # two hours, after which a deviation has died away
_NOISE_KEPT = 0.85  # of a deviation, one step later


class Series(Protocol):
    def at(self, now: float) -> float: ...

    def described(self) -> Any:
        """The JSON it was made of."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    value: float

    def at(self, now: float) -> float:  # noqa: ARG002 - one signature for all
        return self.value

    def described(self) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Points:
    origin: float
    points: Sequence[tuple[float, float]]
    linear: bool = False
    repeat_s: float | None = None

    def at(self, now: float) -> float:
        when = now - self.origin
        if self.repeat_s:
            when %= self.repeat_s
        place = bisect_right(self.points, when, key=lambda point: point[0])
        if place == 0:
            return self.points[0][1]
        before = self.points[place - 1]
        if not self.linear or place == len(self.points):
            return before[1]
        after = self.points[place]
        return before[1] + (after[1] - before[1]) * (when - before[0]) / (after[0] - before[0])

    def described(self) -> Any:
        return {"points": [list(point) for point in self.points], "linear": self.linear, "repeat_s": self.repeat_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A cosine with its highest point at `peak_s`, and noise: chance of the last two hours, the older the fainter."""

    origin: float
    mean: float
    amplitude: float = 0.0
    period_s: float = DAY_S
    peak_s: float = 0.0
    noise: float = 0.0
    seed: int = 0
    least: float = 0.0
    most: float = math.inf

    def at(self, now: float) -> float:
        when = now - self.origin
        value = self.mean + self.amplitude * math.cos(2 * math.pi * (when - self.peak_s) / self.period_s)
        return min(self.most, max(self.least, value + self.noise * self._deviation(when)))

    def described(self) -> Any:
        names = ("mean", "amplitude", "period_s", "peak_s", "noise", "seed", "least")
        return {name: getattr(self, name) for name in names} | ({"most": self.most} if self.most < math.inf else {})

    def _deviation(self, when: float) -> float:
        """About normal, between one step and the next on a straight line."""
        if not self.noise:
            return 0.0
        step, rest = divmod(when / _NOISE_STEP_S, 1.0)
        return _deviation(self.seed, int(step)) * (1 - rest) + _deviation(self.seed, int(step) + 1) * rest


@lru_cache(maxsize=8192)
def _chance(seed: int, step: int) -> float:
    return random.Random(f"{seed}/{step}").gauss(0, 1)


@lru_cache(maxsize=8192)
def _deviation(seed: int, step: int) -> float:
    scale = math.sqrt(1 - _NOISE_KEPT**2)
    return scale * sum(_NOISE_KEPT**back * _chance(seed, step - back) for back in range(_NOISE_STEPS))


def parse(value: Any, origin: float) -> Series:
    """Raises ValueError or TypeError with what is wrong."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Constant(_finite(value))
    if not isinstance(value, dict):
        raise TypeError("a series is a number, or an object with `points` or `mean`")
    if "points" in value:
        _check_names(value, {"points", "linear", "repeat_s"})
        points = [(_finite(when), _finite(number)) for when, number in value["points"]]
        if not points or [when for when, _ in points] != sorted({when for when, _ in points}):
            raise ValueError("points are pairs of seconds, ascending, and numbers")
        repeat_s = value.get("repeat_s")
        if repeat_s is not None and not _finite(repeat_s) > 0:
            raise ValueError("repeat_s is over 0")
        return Points(origin, points, bool(value.get("linear", False)), repeat_s)
    _check_names(value, {"mean", "amplitude", "period_s", "peak_s", "noise", "seed", "least", "most"})
    numbers = {name: _finite(number) for name, number in value.items() if name != "seed"}
    wave = Wave(origin=origin, seed=int(value.get("seed", 0)), **numbers)
    if wave.period_s <= 0:
        raise ValueError("period_s is over 0")
    return wave


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no number")
    return number


def _check_names(value: dict[str, Any], known: set[str]) -> None:
    if strange := sorted(value.keys() - known):
        raise ValueError(f"a series has no {', '.join(strange)}")
