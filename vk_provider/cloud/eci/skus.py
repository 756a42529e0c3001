"""What is billed, in one word: `2.0-4.0Gi`, `ecs.c6.large`, `2.0-4.0Gi+20Gi/spot`; and its list price.

Pure. The word is made of what is asked for at creation, and again of what a listing shows, so it must hold only what
both know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vk_provider.cloud.base import Price
from vk_provider.cloud.eci import sizes
from vk_provider.cloud.eci.sizes import Size

NO_SPOT = "NoSpot"
_SKU = re.compile(r"(?:([\d.]+)-([\d.]+)Gi|(ecs\.[^+/]+))(?:\+(\d+)Gi)?(/spot)?")
_GIB_PER_VCPU = {"c": 2, "g": 4, "r": 8}
_GENERAL_TYPE = re.compile(r"ecs\.([cgr])\d[a-z0-9]*\.(?:(\d*)xlarge|(large))")


@dataclass(frozen=True, slots=True)
class Sku:
    """size: None for ECS types. storage_gib: bought beside what is free."""

    size: Size | None
    type: str = ""
    storage_gib: int = 0
    is_spot: bool = False


def text(spec: str, *, spot: str, storage_gib: int) -> str:
    """spec: as `spec_of` gives it, or an ECS type."""
    more = f"+{storage_gib}Gi" if storage_gib else ""
    return f"{spec}{more}{'/spot' if spot not in ('', NO_SPOT) else ''}"


def spec_of(size: Size) -> str:
    """As the vendor writes it on pods."""
    return f"{float(size.cpu)}-{float(size.memory_gib)}Gi"


def spec_in(sku: str) -> str:
    return sku.partition("/")[0].partition("+")[0]


def parse(sku: str) -> Sku | None:
    """None: not one of ours."""
    match = _SKU.fullmatch(sku)
    if match is None:
        return None
    size = Size(float(match[1]), float(match[2])) if match[1] else None
    return Sku(size, match[3] or "", int(match[4] or 0), bool(match[5]))


def size_of_type(name: str) -> Size | None:
    """Of the families c, g and r, whose types all have 2, 4 or 8 GiB a vCPU."""
    match = _GENERAL_TYPE.fullmatch(name)
    if match is None:
        return None
    cpu = 2 if match[3] else 4 * int(match[2] or 1)
    return Size(cpu, cpu * _GIB_PER_VCPU[match[1]])


def list_price(sku: str, region: str) -> Price | None:
    """Of pay-as-you-go by vCPU and memory: a spot instance costs less, storage beyond the free part comes on top.

    None for types of whose size nothing is known, as those with GPUs.
    """
    known = parse(sku)
    size = known and (known.size or size_of_type(known.type))
    if not size:
        return None
    listed = sizes.price(region)
    return Price(listed.per_second(size), listed.currency, is_list=True)
