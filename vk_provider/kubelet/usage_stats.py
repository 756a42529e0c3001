"""What pods and the node use, as last measured: the book from which every scrape reads, and no scrape asks a cloud.

CPU is told as a counter, for that is what its readers take differences of: it never goes back within one run of a
container, and moves only when a newer measure moves it (kubelet.md M1, M2, M4). Figures that have not been
renewed for long are no longer told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vk_provider.model.instance import ContainerReport, Instance, StateKind
from vk_provider.model.usage import CpuUsage, InstanceUsage, InterfaceUsage, MemoryUsage

STALE_S = 120.0
# A counter has to begin somewhere. From a rate alone, as if it had run at that rate since its start, though for not
# longer than this: readers rate a young container from its start, and take a smaller number than before for a reset.
MOST_BASE_S = 60.0
# Readers take 0 for "no figure" and drop the pod, or the node, over it (M3): a measured 0 is told as next to nothing.
LEAST_CPU_NS = 1000
LEAST_MEMORY = 4096
# The virtual node itself, so that an idle one is not taken for one without figures (M5).
FLOOR_NANO_CORES = 1_000_000
FLOOR_MEMORY = 1 << 20


@dataclass(frozen=True, slots=True)
class Cpu:
    """total_ns: the counter. nano_cores: the present rate, None until it can be told."""

    total_ns: int
    nano_cores: int | None


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """One run of a container. restart_count tells which. None: not known."""

    restart_count: int
    cpu: Cpu | None
    memory: MemoryUsage

    @property
    def are_complete(self) -> bool:
        return self.cpu is not None and self.memory.working_set is not None


@dataclass(frozen=True, slots=True)
class PodStats:
    """at_ms: when the cloud measured them, in milliseconds since the epoch."""

    at_ms: int
    cpu: Cpu | None
    memory: MemoryUsage
    interfaces: Sequence[InterfaceUsage]
    containers: Mapping[str, ContainerStats]


@dataclass(frozen=True, slots=True)
class NodeStats:
    """at_ms: when the newest measure of any pod was taken in."""

    at_ms: int
    cpu: Cpu
    working_set: int


@dataclass(slots=True)
class CpuCounter:
    """One counter, fed with whatever a cloud gives: totals, rates, or both."""

    at_ms: int
    total_ns: int
    nano_cores: int | None
    cloud_total: int | None

    @classmethod
    def begin(cls, at_ms: int, usage: CpuUsage, *, age_s: float) -> CpuCounter | None:
        """age_s: of what is counted, at that time. None when there is nothing to count."""
        total = usage.core_nano_seconds
        if total is None:
            if usage.nano_cores is None:
                return None
            total = int(usage.nano_cores * min(max(age_s, 0.0), MOST_BASE_S))
        return cls(at_ms, max(total, LEAST_CPU_NS), usage.nano_cores, usage.core_nano_seconds)

    def advance(self, at_ms: int, usage: CpuUsage) -> None:
        """Take in a newer measure."""
        seconds = (at_ms - self.at_ms) / 1000
        growth = self._growth(usage, seconds)
        self.at_ms, self.cloud_total = at_ms, usage.core_nano_seconds
        self.nano_cores = usage.nano_cores
        if growth is not None:
            self.total_ns += growth
            if self.nano_cores is None:
                self.nano_cores = int(growth / seconds)

    def _growth(self, usage: CpuUsage, seconds: float) -> int | None:
        total, before = usage.core_nano_seconds, self.cloud_total
        if total is not None and before is not None:
            return total - before if total >= before else total  # the cloud began to count anew
        return None if usage.nano_cores is None else int(usage.nano_cores * seconds)

    @property
    def cpu(self) -> Cpu:
        return Cpu(self.total_ns, self.nano_cores)


@dataclass(slots=True)
class _Known:
    """One instance. arrived: our clock when its newest measure came."""

    arrived: float
    figures: PodStats
    cpu: CpuCounter | None
    containers: dict[tuple[str, int], CpuCounter] = field(default_factory=dict)


class UsageStats:
    """Figures by instance id. clock: steady seconds, by which figures age; wall: seconds since the epoch."""

    def __init__(
        self, *, clock: Callable[[], float], wall: Callable[[], float], stale_after_s: float = STALE_S
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._stale_after_s = stale_after_s
        self._known: dict[str, _Known] = {}
        self._node: NodeStats | None = None
        self._polled: float | None = None  # our clock at the last poll that succeeded

    # --- what is told ---

    @property
    def is_current(self) -> bool:
        """Whether a poll of the cloud's usage has succeeded lately."""
        return self._polled is not None and self._clock() - self._polled <= self._stale_after_s

    def of(self, instance_id: str) -> PodStats | None:
        known = self._known.get(instance_id)
        if known is None or self._clock() - known.arrived > self._stale_after_s:
            return None
        return known.figures

    @property
    def node(self) -> NodeStats | None:
        return self._node if self.is_current else None

    # --- what comes in ---

    def ingest(self, measures: Iterable[tuple[Instance, InstanceUsage]]) -> None:
        """What one poll of the cloud gave; an empty answer counts, too, when there is nothing to measure."""
        now = self._clock()
        for instance, usage in measures:
            self._take(instance, usage, now)
        self._count_node(now)
        self._polled = now

    def retain(self, instance_ids: Iterable[str]) -> None:
        self._known = {id_: self._known[id_] for id_ in instance_ids if id_ in self._known}

    def _take(self, instance: Instance, usage: InstanceUsage, now: float) -> None:
        at_ms = epoch_ms(usage.measured_at)
        known = self._known.get(instance.id)
        if at_ms is None or (known is not None and at_ms <= known.figures.at_ms):
            return
        counters: dict[tuple[str, int], CpuCounter] = {}
        containers: dict[str, ContainerStats] = {}
        for report in running(instance):
            measured = usage.containers.get(report.name)
            started_ms = epoch_ms(report.state.started_at)
            if measured is None or (started_ms is not None and at_ms < started_ms):
                continue  # not measured, or only in its last run
            run = report.name, report.restart_count
            age_s = MOST_BASE_S if started_ms is None else (at_ms - started_ms) / 1000
            counter = _moved(known.containers.get(run) if known else None, at_ms, measured.cpu, age_s)
            if counter is not None:
                counters[run] = counter
            cpu = counter.cpu if counter is not None else None
            containers[report.name] = ContainerStats(report.restart_count, cpu, _with_working_set(measured.memory))
        whole_cpu, memory = _whole(usage, containers)
        created_ms = epoch_ms(instance.created_at)
        age_s = MOST_BASE_S if created_ms is None else (at_ms - created_ms) / 1000
        cpu_counter = _moved(known.cpu if known else None, at_ms, whole_cpu, age_s)
        figures = PodStats(
            at_ms=at_ms,
            cpu=cpu_counter.cpu if cpu_counter is not None else None,
            memory=memory,
            interfaces=usage.interfaces,
            containers=containers,
        )
        self._known[instance.id] = _Known(now, figures, cpu_counter, counters)

    def _count_node(self, now: float) -> None:
        """Its counter is the sum of the rates over time: a sum of the pods' counters would go back when a pod ends."""
        fresh = [known.figures for known in self._known.values() if now - known.arrived <= self._stale_after_s]
        rate = FLOOR_NANO_CORES + sum(each.cpu.nano_cores or 0 for each in fresh if each.cpu is not None)
        memory = FLOOR_MEMORY + sum(each.memory.working_set or 0 for each in fresh)
        at_ms, before = int(self._wall() * 1000), self._node
        if before is None or self._polled is None:
            self._node = NodeStats(at_ms, Cpu(rate, rate), memory)
            return
        growth = int(rate * min(now - self._polled, self._stale_after_s))
        total = before.cpu.total_ns + max(growth, 1)
        self._node = NodeStats(max(at_ms, before.at_ms + 1), Cpu(total, rate), memory)


def _moved(counter: CpuCounter | None, at_ms: int, usage: CpuUsage, age_s: float) -> CpuCounter | None:
    if counter is None:
        return CpuCounter.begin(at_ms, usage, age_s=age_s)
    counter.advance(at_ms, usage)
    return counter


def _with_working_set(memory: MemoryUsage) -> MemoryUsage:
    """With a working set that no reader takes for a missing one; where the cloud does not give it, the use is the
    nearest figure above it."""
    working_set = memory.usage if memory.working_set is None else memory.working_set
    return MemoryUsage(
        usage=memory.usage,
        working_set=None if working_set is None else max(working_set, LEAST_MEMORY),
        rss=memory.rss,
        available=memory.available,
    )


def _whole(usage: InstanceUsage, containers: Mapping[str, ContainerStats]) -> tuple[CpuUsage, MemoryUsage]:
    """The instance's own figures; what it does not give, added up from its containers."""
    cpu, memory = usage.cpu, _with_working_set(usage.memory)
    if cpu == CpuUsage():
        rates = [usage.containers[name].cpu.nano_cores for name in containers]
        cpu = CpuUsage(nano_cores=_sum(rates))
    if memory.working_set is None:
        memory = MemoryUsage(working_set=_sum([each.memory.working_set for each in containers.values()]))
    return cpu, memory


def _sum(numbers: Sequence[int | None]) -> int | None:
    """None if there are none, or one is missing."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known and len(known) == len(numbers) else None


def running(instance: Instance) -> Sequence[ContainerReport]:
    reports = (*instance.init_containers, *instance.containers)
    return [report for report in reports if report.state.kind is StateKind.RUNNING]


def epoch_ms(time: str) -> int | None:
    """Milliseconds since the epoch of an RFC 3339 time; None for anything else."""
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
