"""DescribeMultiContainerGroupMetric's answer, made into `model.usage`.

Pure, and total, as `response` is; members are read in any casing, for the two metric calls spell them differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vk_provider.cloud.eci.response import fold
from vk_provider.model.usage import ContainerUsage, CpuUsage, InstanceUsage, InterfaceUsage, MemoryUsage

Json = dict[str, Any]


def usages(answer: Any) -> Mapping[str, InstanceUsage]:
    """The newest record of each group that has one with a time in it, by group id."""
    found = {}
    for data in _maps(_map(fold(answer)).get("monitordatas")):
        records = [record for record in map(_usage, _maps(data.get("records"))) if record is not None]
        group_id = data.get("containergroupid")
        if records and isinstance(group_id, str):
            found[group_id] = max(records, key=lambda record: record.measured_at)
    return found


def _usage(record: Json) -> InstanceUsage | None:
    at = _instant(record.get("timestamp"))
    if not at:
        return None  # without its time a figure cannot be told from the one before
    containers = _maps(record.get("containers"))
    return InstanceUsage(
        measured_at=at,
        cpu=_cpu(record),
        memory=_memory(record),
        containers={
            one["name"]: ContainerUsage(_cpu(one), _memory(one))
            for one in containers
            if isinstance(one.get("name"), str)
        },
        interfaces=tuple(_interface(one) for one in _maps(_map(record.get("network")).get("interfaces"))),
    )


def _cpu(item: Json) -> CpuUsage:
    cpu = _map(item.get("cpu"))
    return CpuUsage(
        nano_cores=_count(cpu.get("usagenanocores")), core_nano_seconds=_count(cpu.get("usagecorenanoseconds"))
    )


def _memory(item: Json) -> MemoryUsage:
    memory = _map(item.get("memory"))
    return MemoryUsage(
        usage=_count(memory.get("usagebytes")),
        working_set=_count(memory.get("workingset")),
        rss=_count(memory.get("rss")),
        available=_count(memory.get("availablebytes")),
    )


def _interface(item: Json) -> InterfaceUsage:
    name = item.get("name")
    return InterfaceUsage(
        name=name if isinstance(name, str) else "",
        rx_bytes=_count(item.get("rxbytes")) or 0,
        rx_errors=_count(item.get("rxerrors")) or 0,
        tx_bytes=_count(item.get("txbytes")) or 0,
        tx_errors=_count(item.get("txerrors")) or 0,
    )


def _count(value: Any) -> int | None:
    """A whole number that is not below 0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if number >= 0 else None


def _instant(value: Any) -> str:
    """RFC 3339 UTC with milliseconds, so that texts sort as times do; empty for anything that is no time."""
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return ""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _map(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _maps(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
