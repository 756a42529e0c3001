"""A weighted histogram whose weights halve with age, and its percentiles.

A sample's weight is its value, so that a percentile is one of the load and not of time, and halves every `half_life_s`.
Instead of shrinking what is there, newer samples weigh more; the result is the same and costs one bucket a sample.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from vk_provider.bounds import MOST_BUCKETS

_MOST_HALVINGS = 500.0  # 2**500 squared still is a float


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """Where buckets end. growth 1: all of them `first` wide; else each so many times as wide as the one before.

    Raises ValueError when they are no buckets, or more than MOST_BUCKETS.
    """

    most: float = 100.0
    first: float = 0.1
    growth: float = 1.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.most, self.first, self.growth))) or self.first <= 0 or self.growth < 1:
            raise ValueError(
                "a histogram needs a finite maxValue, a bucket size over 0 and a growth ratio of 1 or more"
            )
        if self.most < self.first:
            raise ValueError(f"maxValue {self.most:g} is under the size of the first bucket, {self.first:g}")
        if self._count() > MOST_BUCKETS:
            raise ValueError(f"a histogram of {self._count():,} buckets; at most {MOST_BUCKETS:,} are kept")

    def _count(self) -> int:
        if self.growth == 1:
            return math.ceil(min(self.most / self.first, 1e12) - 1e-9)
        return math.ceil(math.log1p(self.most / self.first * (self.growth - 1)) / math.log(self.growth) - 1e-9)

    def edges(self) -> list[float]:
        """Upper edges, ascending; the last is `most` or a little over."""
        if self.growth == 1:
            return [round((place + 1) * self.first, 10) for place in range(self._count())]
        scale = self.first / (self.growth - 1)
        return [scale * (self.growth ** (place + 1) - 1) for place in range(self._count())]


class Histogram:
    """half_life_s: None = weights stay. What is over the last bucket is counted above it, never in it."""

    def __init__(self, buckets: Buckets, *, half_life_s: float | None, least_weight: float = 1e-5) -> None:
        if half_life_s is not None and not half_life_s > 0:
            raise ValueError("a half-life is over 0 seconds")
        self._edges: Sequence[float] = buckets.edges()
        self._weights = [0.0] * (len(self._edges) + 1)
        self._half_life_s = half_life_s
        self._least_weight = least_weight
        self._origin_s: float | None = None  # at this time a sample's weight is its value
        self._highest = 0.0  # of those over the last bucket

    def add(self, at_s: float, value: float) -> None:
        place = bisect_right(self._edges, value)
        if place == len(self._edges):
            self._highest = max(self._highest, value)
        weight = max(self._least_weight, value) * self._growth(at_s)  # before the weights are read: it may rescale them
        self._weights[place] += weight

    def percentile(self, share: float) -> float | None:
        """The upper edge of the bucket under which `share` (0-1) of the weight lies; None while nothing weighs."""
        reached = list(accumulate(self._weights))  # not `sum`, which rounds in another way since Python 3.12
        wanted = reached[-1] * share
        if wanted <= 0:
            return None
        place = bisect_left(reached, wanted)
        return self._edges[place] if place < len(self._edges) else self._highest

    def _growth(self, at_s: float) -> float:
        if self._half_life_s is None:
            return 1.0
        if self._origin_s is None:
            self._origin_s = at_s
        halvings = (at_s - self._origin_s) / self._half_life_s
        if halvings > _MOST_HALVINGS:
            factor = 2.0**-halvings if halvings < 2 * _MOST_HALVINGS else 0.0
            self._weights = [weight * factor for weight in self._weights]
            self._origin_s, halvings = at_s, 0.0
        return float(2.0 ** max(halvings, -_MOST_HALVINGS))
