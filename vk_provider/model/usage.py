"""What instances use, as a cloud measures it. Absent figures are None, never 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """nano_cores: the rate, 10⁹ = one core busy. core_nano_seconds: cumulative, where the cloud counts it."""

    nano_cores: int | None = None
    core_nano_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """All in bytes."""

    usage: int | None = None
    working_set: int | None = None
    rss: int | None = None
    available: int | None = None


@dataclass(frozen=True, slots=True)
class InterfaceUsage:
    """Cumulative bytes and errors of one network interface."""

    name: str
    rx_bytes: int = 0
    rx_errors: int = 0
    tx_bytes: int = 0
    tx_errors: int = 0


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    cpu: CpuUsage = field(default_factory=CpuUsage)
    memory: MemoryUsage = field(default_factory=MemoryUsage)


@dataclass(frozen=True, slots=True)
class InstanceUsage:
    """measured_at: when the cloud measured it, RFC 3339 UTC with milliseconds. containers: by name."""

    measured_at: str
    cpu: CpuUsage = field(default_factory=CpuUsage)
    memory: MemoryUsage = field(default_factory=MemoryUsage)
    containers: Mapping[str, ContainerUsage] = field(default_factory=dict)
    interfaces: Sequence[InterfaceUsage] = ()
