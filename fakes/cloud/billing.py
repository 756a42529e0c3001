"""What a group costs: whole seconds from Pending to its end, by a price table. Pure but for the ledger's memory.

Source of the prices: the vendor's published example, CNY per second; 2 vCPU with 4 GiB make 0.00012252.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from fakes.cloud.clock import iso_time
from fakes.cloud.group import Group
from fakes.cloud.parameters import Json

CURRENCY = "CNY"
PER_VCPU_SECOND = 0.000049
PER_GIB_SECOND = 0.00000613
LEDGER_LIMIT = 50_000


def price_per_second(cpu: float, memory_gib: float) -> float:
    return round(cpu * PER_VCPU_SECOND + memory_gib * PER_GIB_SECOND, 10)


def billed_seconds(group: Group, now: float) -> int:
    """Whole seconds, a begun one counted: from Pending until ended or gone. Scheduling is free."""
    if group.pending_at is None:
        return 0
    end = next((when for when in (group.ended_at, group.vanished_at) if when is not None), now)
    return math.ceil(round(max(0.0, round(end, 3) - round(group.pending_at, 3)), 3))  # of what the journal says


def _cost(group: Group, seconds: int) -> float:
    """A spot group pays the price of its purchase while it is protected, and the market's after that."""
    on_demand = price_per_second(group.cpu, group.memory_gib)
    if group.spot is None or group.pending_at is None:
        return seconds * on_demand
    end, cost = group.pending_at + seconds, 0.0
    starts = [max(when, group.pending_at) for when, _ in group.spot.shares]
    starts[0] = group.pending_at
    for (_, share), start, stop in zip(group.spot.shares, starts, [*starts[1:], end], strict=True):
        cost += max(0.0, min(stop, end) - start) * share * on_demand
    return cost


def entry(group: Group, now: float) -> Json:
    """One group as the admin API's bill and state show it."""
    seconds = billed_seconds(group, now)
    return {
        "id": group.id,
        "name": group.name,
        "tags": dict(group.tags),
        "status": group.status,
        "cpu": group.cpu,
        "memory_gib": group.memory_gib,
        "zone": group.zone,
        "spot_strategy": group.spec.get("SpotStrategy", "NoSpot"),
        "created": iso_time(group.created_at),
        "pending": iso_time(group.pending_at),
        "running": iso_time(group.running_at),
        "ended": iso_time(group.ended_at),
        "vanished": iso_time(group.vanished_at),
        "billed_seconds": seconds,
        "cost": round(_cost(group, seconds), 8),
        "cost_on_demand": round(seconds * price_per_second(group.cpu, group.memory_gib), 8),
        "billing": group.pending_at is not None and group.ended_at is None and group.vanished_at is None,
    }


class Ledger:
    """The final entries of groups that are gone, the newest 50,000."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    def close(self, group: Group, now: float) -> None:
        self._entries[group.id] = entry(group, now)
        if len(self._entries) > LEDGER_LIMIT:
            self._entries.popitem(last=False)

    def entries(self) -> list[Mapping[str, Any]]:
        return list(self._entries.values())
