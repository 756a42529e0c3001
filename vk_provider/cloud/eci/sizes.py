"""The sizes in which ECI sells instances, and which of them a need is rounded up to.

Pure. Source: eci.md 5.1 (pairs), 5.2 (rounding), 3.5 (prices).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from vk_provider.errors import Refusal, UnsupportedPod


@dataclass(frozen=True, slots=True)
class Size:
    """cpu in vCPU, memory_gib in GiB."""

    cpu: float
    memory_gib: float

    def __str__(self) -> str:
        return f"{self.cpu:g} vCPU and {self.memory_gib:g} GiB"


DEFAULT = Size(2, 4)  # what ECI takes when a group asks for nothing

Rows = Mapping[float, Sequence[float]]

EVERYWHERE: Rows = {
    0.25: (0.5, 1),
    0.5: (1, 2),
    1: (2, 4, 8),
    2: (1, 2, 4, 8, 16),
    4: (2, 4, 8, 16, 32),
    8: (4, 8, 16, 32, 64),
    12: (12, 24, 48, 96),
    16: (16, 32, 64, 128),
    24: (24, 48, 96, 192),
    32: (32, 64, 128, 256),
    52: (96, 192, 384),
    64: (128, 256, 512),
}
LARGER_REGIONS_ALSO: Rows = {
    2: (6, 10, 12, 14),
    4: (6, 10, 12, 14, *range(18, 31, 2)),
    6: tuple(range(6, 49, 2)),
    8: (10, 12, 14, *range(18, 63, 2)),
}
LARGER_REGIONS = frozenset(
    {
        "cn-hangzhou",
        "cn-shanghai",
        "cn-qingdao",
        "cn-beijing",
        "cn-zhangjiakou",
        "cn-huhehaote",
        "cn-wulanchabu",
        "cn-shenzhen",
        "cn-heyuan",
        "cn-guangzhou",
        "cn-chengdu",
        "ap-southeast-1",
    }
)


def _joined(*tables: Rows) -> Rows:
    cpus = sorted({cpu for table in tables for cpu in table})
    return {cpu: tuple(sorted({gib for table in tables for gib in table.get(cpu, ())})) for cpu in cpus}


_STANDARD = _joined(EVERYWHERE)
_LARGER = _joined(EVERYWHERE, LARGER_REGIONS_ALSO)


def rows(region: str, *, standard_only: bool = False) -> Rows:
    """vCPU → memories in GiB, both ascending. standard_only: without the pairs that spot instances may not have."""
    return _LARGER if region in LARGER_REGIONS and not standard_only else _STANDARD


def largest(region: str) -> Size:
    table = rows(region)
    cpu = max(table)
    return Size(cpu, table[cpu][-1])


@lru_cache(maxsize=1024)  # a burst's pods need the same few sizes
def fit(cpu: float | None, memory_gib: float | None, region: str, *, standard_only: bool = False) -> Size:
    """The cheapest size that holds a need; of equally cheap ones that with the fewest vCPU.

    None = the pod does not say. When it says neither, the size is DEFAULT; when it says one, that one decides alone.
    Where a container says nothing, whoever calls gives at least the DEFAULT's figure (`choices`).
    Raises UnsupportedPod when no size holds the need.
    """
    if cpu is None and memory_gib is None:
        return DEFAULT
    needed_cpu, needed_gib = cpu or 0.0, memory_gib or 0.0
    holding = [
        Size(row_cpu, gib)
        for row_cpu, memories in rows(region, standard_only=standard_only).items()
        if row_cpu >= needed_cpu
        for gib in memories
        if gib >= needed_gib
    ]
    if holding:
        return min(holding, key=lambda size: (price(region).per_second(size), size.cpu))
    raise UnsupportedPod([_too_large(Size(needed_cpu, needed_gib), largest(region))])


def _too_large(needed: Size, most: Size) -> Refusal:
    over = [
        name
        for name, need, limit in (("cpu", needed.cpu, most.cpu), ("memory", needed.memory_gib, most.memory_gib))
        if need > limit
    ]
    return Refusal(
        "spec.containers[*].resources",
        f"the pod needs {needed} ({' and '.join(over)} over the limit); the largest instance has {most}: "
        "ask for less, or split the pod",
        kubelets=f"OutOf{over[0]}",
    )


@dataclass(frozen=True, slots=True)
class Price:
    """List price of pay-as-you-go, per second."""

    per_cpu: float
    per_gib: float
    currency: str

    def per_second(self, size: Size) -> float:
        return round(size.cpu * self.per_cpu + size.memory_gib * self.per_gib, 10)


_LIST_PRICE = Price(0.000049, 0.00000613, "CNY")
# Regions whose list price differs get a row here; the published figures name one price only.
PRICES: Mapping[str, Price] = {}


def price(region: str) -> Price:
    return PRICES.get(region, _LIST_PRICE)
