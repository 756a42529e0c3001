"""How much of the node is used, by whom: from one reading of the kubelet to the next.

What is not known errs toward use: a preemptible pod whose use is unknown counts as regular load, and a node whose
counters began anew has no use at all to go by until the next reading. Pods' samples are some seconds older or newer
than the node's, so that one reading may count a part of a pod's use as regular when it begins or ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from vk_provider.idle.pool import Quota
from vk_provider.qos_agent.readings import Name, Reading, Sample

STALE_S = 20.0
_LONGEST_S = 300.0  # between two samples: the mean over more says nothing of now


@dataclass(frozen=True, slots=True)
class PodUsage:
    cpu: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu in cores, memory as working set in bytes; at_s: of the older of the node's two samples."""

    at_s: float
    cpu: float
    memory: float
    pods: Mapping[Name, PodUsage] = field(default_factory=dict)

    def is_fresh(self, now_s: float) -> bool:
        """A time ahead of ours is no sign of freshness either: some clock is wrong."""
        return -STALE_S < now_s - self.at_s < STALE_S

    def of(self, names: Collection[Name]) -> PodUsage:
        """Of these pods together."""
        found = [self.pods[name] for name in names if name in self.pods]
        return PodUsage(sum(each.cpu for each in found), sum(each.memory for each in found))

    def cpu_quota(self, most: float, preemptible: Collection[Name]) -> Quota:
        """most: allocatable cores."""
        mine = min(self.cpu, self.of(preemptible).cpu)
        return Quota(at_s=self.at_s, most_cpu=most, used_cpu=self.cpu, preemptible_cpu=mine)

    def memory_quota(self, most: float, preemptible: Collection[Name]) -> Quota:
        """most: allocatable bytes."""
        mine = min(self.memory, self.of(preemptible).memory)
        return Quota(at_s=self.at_s, most_cpu=most, used_cpu=self.memory, preemptible_cpu=mine)


class Meter:
    """Remembers the samples before, and what they came to while a kubelet repeats itself."""

    def __init__(self) -> None:
        self._node: Sample | None = None
        self._pods: dict[Name, Sample] = {}
        self._cpu: float | None = None
        self._pod_cpu: dict[Name, float] = {}

    def measure(self, reading: Reading) -> Usage | None:
        """None: not known, as after the first reading and after the node's counters began anew."""
        before, self._node = self._node, reading.cpu
        self._cpu = _rate(before, reading.cpu, self._cpu)
        samples = {name: pod.cpu for name, pod in reading.pods.items() if pod.cpu is not None}
        if before is not None and self._cpu is not None and reading.cpu.at_s > before.at_s:
            rates = {name: self._pod_rate(name, new, before.at_s) for name, new in samples.items()}
            self._pod_cpu = {name: rate for name, rate in rates.items() if rate is not None}
        self._pods = samples
        if self._cpu is None:
            return None
        pods = {
            name: PodUsage(self._pod_cpu.get(name, 0.0), 0.0 if pod.memory is None else pod.memory.value)
            for name, pod in reading.pods.items()
        }
        return Usage(min(reading.cpu.at_s, reading.memory.at_s), self._cpu, reading.memory.value, pods)

    def _pod_rate(self, name: Name, after: Sample, since_s: float) -> float | None:
        """Of a pod that began after the node's sample before, all that it has used, unless that is more than is used:
        then the kubelet has only left it out for a while. None = not known."""
        before = self._pods.get(name)
        rate = _rate(before, after, self._pod_cpu.get(name))
        if rate is not None or self._cpu is None or after.at_s <= since_s:
            return rate
        if before is not None and after.value >= before.value:
            return None
        began = after.value / (after.at_s - since_s)
        return began if began <= self._cpu else None


def _rate(before: Sample | None, after: Sample, known: float | None) -> float | None:
    """known: the rate until now, which stays as long as the sample is the same one."""
    if before is None:
        return None
    passed_s = after.at_s - before.at_s
    if passed_s == 0 and after.value == before.value:
        return known
    if not 0 < passed_s <= _LONGEST_S or after.value < before.value:
        return None
    return (after.value - before.value) / passed_s
