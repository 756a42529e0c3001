"""How many more vCPU the spot market is likely to sell, by what the cloud says: stock as a word, prices, and refusals.

No cloud says how deep its market is. So little is assumed at first, more after every minute in which creates succeeded,
half after a refusal for want of stock, and nothing while the stock is out or the price too high.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

START_CPU = 16.0
STEP_CPU = 8.0
STEP_S = 60.0
STALE_S = 180.0  # three polls missed
MOST_CPU = 10_000.0


class Stock(StrEnum):
    """ECI's words (eci.md 2.13). Closed means that no new customers are served, and so nobody for sure."""

    WITH = "WithStock"
    CLOSED_WITH = "ClosedWithStock"
    WITHOUT = "WithoutStock"
    CLOSED_WITHOUT = "ClosedWithoutStock"


@dataclass(frozen=True, slots=True)
class SpotPrice:
    """Per hour, of one size in one zone."""

    spot: float
    on_demand: float

    @property
    def ratio(self) -> float:
        return self.spot / self.on_demand if self.on_demand > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Poll:
    """What the cloud said at once. stock: by zone, prices: by zone; a zone that is missing sells nothing.

    prices None: the operator set no limit, or the cloud has none.
    """

    at_s: float
    stock: Mapping[str, Stock]
    prices: Mapping[str, SpotPrice] | None = None


class Depth:
    """The estimate for all zones together. most_ratio: the spot price may be so many times that on demand."""

    def __init__(self, *, most_ratio: float | None = 1.0, start_cpu: float = START_CPU) -> None:
        self._most_ratio = most_ratio
        self._start_cpu = self._cpu = start_cpu
        self._polled: Poll | None = None
        self._succeeded = False  # since the estimate last grew
        self._grown_s: float | None = None

    def poll(self, polled: Poll) -> None:
        self._polled = polled

    def created(self, at_s: float, cpu: float) -> None:
        """A spot instance of so many vCPU was started: so many fewer are left, and more may be than was thought."""
        self._cpu = max(0.0, self._cpu - cpu)
        self._succeeded = True
        if self._grown_s is None:
            self._grown_s = at_s

    def released(self, cpu: float) -> None:
        """One of ours is gone: the market has that much again."""
        self._cpu = min(MOST_CPU, self._cpu + cpu)

    def refused(self, at_s: float) -> None:
        """A create failed for want of stock."""
        self._cpu /= 2
        self._succeeded = False
        self._grown_s = at_s

    def cpu(self, now_s: float) -> float:
        """vCPU that may still be had; 0 when the stock is out, the price too high, or neither was told lately."""
        if self.why_closed(now_s):
            self._grown_s = now_s
            return 0.0
        since_s = now_s if self._grown_s is None else self._grown_s
        steps = int((now_s - since_s) // STEP_S)
        self._grown_s = since_s + steps * STEP_S  # which a clock that was moved back takes with it
        if steps > 0 and self._succeeded:
            self._cpu = min(MOST_CPU, self._cpu + STEP_CPU * steps)
            self._succeeded = False
        elif steps > 0 and self._cpu < self._start_cpu:  # so that after refusals one is tried again
            self._cpu = min(self._start_cpu, self._cpu + STEP_CPU * steps)
        return self._cpu

    def why_closed(self, now_s: float) -> str:
        """Why nothing can be had, for people; empty when something can."""
        polled = self._polled
        if polled is None or not 0 <= now_s - polled.at_s <= STALE_S:
            return "the cloud has not said lately what it has in stock"
        open_zones = [zone for zone, stock in polled.stock.items() if stock is Stock.WITH]
        if not open_zones:
            return "no zone has spot instances in stock"
        if self._most_ratio is None:
            return ""
        ratios = [polled.prices[zone].ratio for zone in open_zones if polled.prices and zone in polled.prices]
        if not ratios:
            return "the spot price is not known"
        if min(ratios) > self._most_ratio:
            return f"spot costs {min(ratios):.2f} times the price on demand; the limit is {self._most_ratio:g}"
        return ""
