"""The spot market: what spot instances cost and how many there are, per zone and size, over the service's time.

Prices are shares of the price on demand. Stock is counted in vCPU: so much the market sells us in all, what we hold
included, so that it may fall under that. Source: eci.md 3.6, 2.13.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from fakes.cloud import billing, series
from fakes.cloud.errors import ApiError
from fakes.cloud.group import ENDED, Group, Spot
from fakes.cloud.parameters import Json
from fakes.cloud.series import Constant, Series

NO_SPOT = "NoSpot"
NO_STOCK = "Create ECI failed because the specified instance is out of stock."
PROTECTION_S = 3600.0  # one hour unless the group says so
CHECK_EVERY_S = 300.0
NOTICE_S = 180.0
USUAL_SHARE = 0.3


def is_spot(spec: Json) -> bool:
    return bool(spec.get("SpotStrategy", NO_SPOT) != NO_SPOT)


def size_name(cpu: float, memory_gib: float) -> str:
    """As the admin API writes it: `2-4`."""
    return f"{cpu:g}-{memory_gib:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """A price or a stock for zones and sizes that match its patterns (`*` for any)."""

    zone: str
    size: str
    value: Series

    def matches(self, zone: str, size: str) -> bool:
        return fnmatchcase(zone, self.zone) and fnmatchcase(size, self.size)


@dataclass(slots=True)
class Market:
    """prices: the last row that matches counts. stocks: every row that matches bounds the sum of what matches it.

    closed: patterns of zones that are closed for new customers. notice_s: from the notice to the release. announces:
    whether a release is announced at all.
    """

    prices: list[Row] = field(default_factory=lambda: [Row("*", "*", Constant(USUAL_SHARE))])
    stocks: list[Row] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    notice_s: float = NOTICE_S
    check_every_s: float = CHECK_EVERY_S
    announces: bool = True

    def change(self, body: Json, now: float) -> None:
        """As `POST /_admin/market` has it. Raises ValueError, TypeError or KeyError; then nothing has changed."""
        known = {"zone", "size", "price", "stock", "closed", "notice_s", "check_every_s", "announces"}
        if strange := sorted(body.keys() - known):
            raise ValueError(f"the market has no {', '.join(strange)}")
        zone, size = str(body.get("zone", "*")), str(body.get("size", "*"))
        price, stock = (
            series.parse(body[name], now) if body.get(name) is not None else None for name in ("price", "stock")
        )
        times = {name: float(body[name]) for name in ("notice_s", "check_every_s") if name in body}
        if any(seconds < 0 for seconds in times.values()) or times.get("check_every_s") == 0:
            raise ValueError("seconds are over 0")
        for rows, name, value in ((self.prices, "price", price), (self.stocks, "stock", stock)):
            if name in body:
                rows[:] = [row for row in rows if (row.zone, row.size) != (zone, size)]
                rows.extend([Row(zone, size, value)] if value is not None else [])
        if "closed" in body:
            (self.closed.add if body["closed"] else self.closed.discard)(zone)
        self.notice_s = times.get("notice_s", self.notice_s)
        self.check_every_s = times.get("check_every_s", self.check_every_s)
        self.announces = bool(body.get("announces", self.announces))

    def share(self, zone: str, size: str, now: float) -> float:
        """Of the price on demand; 1 where no row matches."""
        row = next((row for row in reversed(self.prices) if row.matches(zone, size)), None)
        return 1.0 if row is None else max(0.0, row.value.at(now))

    def price_per_second(self, cpu: float, memory_gib: float, zone: str, now: float) -> float:
        return billing.price_per_second(cpu, memory_gib) * self.share(zone, size_name(cpu, memory_gib), now)

    def left(self, zone: str, size: str, groups: Iterable[Group], now: float) -> float:
        """vCPU of a size that a zone still sells; negative when it has sold more than it has now."""
        rows = [row for row in self.stocks if row.matches(zone, size)]
        held = [group for group in groups if _holds(group)] if rows else []
        return min((row.value.at(now) - _sum(row, held) for row in rows), default=float("inf"))

    def word(self, cpu: float, memory_gib: float, zone: str, groups: Iterable[Group], now: float) -> str:
        """What DescribeAvailableResource says of it."""
        has_some = self.left(zone, size_name(cpu, memory_gib), groups, now) >= cpu
        return f"{'Closed' if self._is_closed(zone) else ''}{'WithStock' if has_some else 'WithoutStock'}"

    def sells(self, cpu: float, memory_gib: float, zone: str, groups: Iterable[Group], now: float) -> bool:
        return self.word(cpu, memory_gib, zone, groups, now) == "WithStock"

    def terms(self, spec: Json, cpu: float, memory_gib: float, zone: str, now: float) -> Spot:
        """For a new group. Raises ApiError `Spot.NotMatched` when its limit is under the price."""
        on_demand = billing.price_per_second(cpu, memory_gib) * 3600
        share = self.share(zone, size_name(cpu, memory_gib), now)
        limit = float(spec.get("SpotPriceLimit", 0.0)) if spec["SpotStrategy"] == "SpotWithPriceLimit" else on_demand
        if share * on_demand > limit:
            raise ApiError("Spot.NotMatched", "The specified spot price is lower than the market price.", 403)
        hours = spec.get("SpotDuration")
        return Spot(limit / on_demand, PROTECTION_S if hours is None else hours * 3600.0, [(now, share)])

    def described(self, now: float) -> Json:
        def listed(rows: list[Row]) -> list[Json]:
            return [
                {
                    "zone": row.zone,
                    "size": row.size,
                    "now": round(row.value.at(now), 4),
                    "series": row.value.described(),
                }
                for row in rows
            ]

        return {
            "prices": listed(self.prices),
            "stocks": listed(self.stocks),
            "closed": sorted(self.closed),
            "notice_s": self.notice_s,
            "check_every_s": self.check_every_s,
            "announces": self.announces,
        }

    def reset(self) -> None:
        """No lack of stock any more, and releases are announced; prices stay."""
        self.stocks.clear()
        self.closed.clear()
        self.announces = True

    def _is_closed(self, zone: str) -> bool:
        return any(fnmatchcase(zone, pattern) for pattern in self.closed)


class SpotChecks:
    """Looks at each spot group every five minutes once its protection is over, and releases it where its bid is under
    the price or the market has less than it has sold. The youngest go first.

    groups: all there are. release: takes one back, with a notice of so many seconds.
    """

    def __init__(
        self,
        market: Market,
        *,
        at: Callable[[float, Callable[[float], None]], Any],
        groups: Callable[[], Iterable[Group]],
        release: Callable[[Group, float], None],
    ) -> None:
        self._market = market
        self._at = at
        self._groups = groups
        self._release = release

    def begin(self, group: Group, now: float) -> None:
        """At the purchase of a spot group."""
        if group.spot is not None:
            first = now + max(group.spot.protection_s, 0.0)
            self._at(first, lambda when: self._check(group, when))

    def _check(self, group: Group, now: float) -> None:
        spot = group.spot
        if spot is None or not _holds(group) or group.release_at is not None:
            return
        size = size_name(group.cpu, group.memory_gib)
        share = self._market.share(group.zone, size, now)
        if share != spot.shares[-1][1]:
            spot.shares.append((now, share))
        if share > spot.most_share or self._is_surplus(group, size, now):
            self._release(group, now)
        else:
            self._at(now + self._market.check_every_s, lambda when: self._check(group, when))

    def _is_surplus(self, group: Group, size: str, now: float) -> bool:
        staying = [each for each in self._groups() if each.release_at is None]
        missing = -self._market.left(group.zone, size, staying, now)
        younger = [
            each.cpu
            for each in staying
            if _holds(each) and each.seq > group.seq and self._is_due(each, now) and _is_alike(each, group)
        ]
        return missing > sum(younger)

    def _is_due(self, group: Group, now: float) -> bool:
        """It may be released, now or by the time the other is looked at again."""
        again = now + self._market.check_every_s
        return group.spot is not None and again >= group.created_at + group.spot.protection_s


def _holds(group: Group) -> bool:
    return group.spot is not None and group.status not in ENDED


def _sum(row: Row, groups: Iterable[Group]) -> float:
    return sum(group.cpu for group in groups if row.matches(group.zone, size_name(group.cpu, group.memory_gib)))


def _is_alike(one: Group, other: Group) -> bool:
    return (one.zone, one.cpu, one.memory_gib) == (other.zone, other.cpu, other.memory_gib)
