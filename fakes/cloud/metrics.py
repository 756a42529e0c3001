"""Metric records as DescribeContainerGroupMetric lists them, and the reading of them from /proc.

The service's clock may be moved, but a rate is per second of it, as everything else is.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakes.cloud.group import Container, Group
from fakes.cloud.parameters import Json

GIB = 1024**3
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """One container at one time. cpu_ns: used since its start; rate_ns: used per second lately."""

    at: float
    cpu_ns: int
    rate_ns: int
    memory_bytes: int


def record(
    group: Group, at: float, parts: Sequence[tuple[Container, Sample]], traffic: Mapping[str, int] | None = None
) -> Json:
    """One record of a group. `at` is our own key, in epoch seconds; the API layer replaces it by a timestamp.

    traffic: what went through the group's network, by the names of the API; what is not in it counts as none.
    """
    memory = sum(sample.memory_bytes for _, sample in parts)
    return {
        "at": at,
        "CPU": _cpu(sum(s.rate_ns for _, s in parts), sum(s.cpu_ns for _, s in parts), group.cpu),
        "Memory": _memory(memory, group.memory_gib),
        "Network": {"Interfaces": [{"Name": "eth0", **dict.fromkeys(_NETWORK, 0), **(traffic or {})}]},
        "Disk": [{"Device": "/dev/vda", "ReadBytes": 0, "WriteBytes": 0, "ReadIO": 0, "WriteIO": 0}],
        "Filesystem": [
            {"FsName": "/dev/root", "Category": "System", "Capacity": 30 * GIB, "Available": 29 * GIB, "Usage": GIB}
        ],
        "Containers": [
            {
                "Name": container.name,
                "CPU": _cpu(sample.rate_ns, sample.cpu_ns, container.spec.get("Cpu") or group.cpu),
                "Memory": _memory(sample.memory_bytes, container.spec.get("Memory") or group.memory_gib),
            }
            for container, sample in parts
        ],
    }


_NETWORK = ("RxBytes", "RxPackets", "RxErrors", "RxDrops", "TxBytes", "TxPackets", "TxErrors", "TxDrops")


def _cpu(rate_ns: int, total_ns: int, limit: float) -> Json:
    return {"UsageNanoCores": rate_ns, "UsageCoreNanoSeconds": total_ns, "Load": 0, "Limit": int(limit * 1000)}


def _memory(used: int, limit_gib: float) -> Json:
    available = max(0, int(limit_gib * GIB) - used)
    return {"UsageBytes": used, "WorkingSet": used, "Rss": used, "Cache": 0, "AvailableBytes": available}


def children(pid: int) -> list[int]:
    """Direct children of a process, oldest first; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for child in children(pid):
        yield from tree(child)


def usage(pids: Iterable[int]) -> tuple[int, int]:
    """CPU nanoseconds, ended children counted, and resident bytes of processes; those that are gone count nothing."""
    cpu = memory = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        cpu += sum(int(field) for field in fields[11:15])
        memory += int(fields[21])
    return cpu * 1_000_000_000 // _TICKS, memory * _PAGE
