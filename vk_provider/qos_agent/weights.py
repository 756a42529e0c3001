"""Which files of which pods' control groups get which values, so that preemptible pods yield the processor.

`cpu.idle` alone makes things worse among BestEffort pods: an idle group still weighs 3, a BestEffort pod 2. So the
regular pods beside an idle one, in the same folder, are raised as well; that takes nothing from other folders, since a
weight counts among siblings only. A QoS folder itself is never touched: the kubelet would lose its own setting of it.

What was there before is remembered, in `Memory`, for when no preemptible pod is left: an idle group does not say what
it weighed, and weighs 1024 once it is no longer idle. Measured in the README.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby

from vk_provider.qos_agent.cgroup_layout import BEST_EFFORT, Layout


class Role(Enum):
    YIELDS = "yields"  # preemptible, of the lowest CPU priority
    SHARES = "shares"  # preemptible, and some PodQOS gives it a higher one
    REGULAR = "regular"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroup:
    """One pod that has not ended. kubelet_weight: what the kubelet gives it, by its requests. shares_weight: of a pod
    that SHARES. quota_us: of a preemptible one, which has no limit of its own, microseconds per period; None = as much
    as nobody else wants."""

    uid: str
    qos_class: str
    role: Role
    kubelet_weight: int
    shares_weight: int = 0
    is_preemptible: bool = False
    quota_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a group's files say; None = there is no such file, as `cpu.idle` before Linux 5.15."""

    weight: int | None
    is_idle: bool | None
    quota_us: int | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """own: what the group weighed without us. ours: what it may weigh by us, what it was to become and what it was just
    before. was_idle: we made it idle, so that its weight says nothing until it is what it was to become."""

    own: int
    ours: tuple[int, ...] = ()
    was_idle: bool = False


Memory = Mapping[str, Before]
"""By uid; kept in a file over restarts, and noted there before anything that it says is done."""


@dataclass(frozen=True, slots=True)
class Write:
    """file: `idle`, `weight` or `quota`. value: as the file takes it."""

    uid: str
    file: str
    value: str


@dataclass(frozen=True, slots=True)
class Plan:
    """writes: in order. memory: to be noted before the first of them. absent: uids of pods without a group yet."""

    writes: tuple[Write, ...] = ()
    memory: Memory = field(default_factory=dict)
    absent: frozenset[str] = frozenset()


def plan(layout: Layout, pods: Iterable[PodGroup], observed: Mapping[str, Observed], memory: Memory) -> Plan:
    """From what is to what is to be; the same again once it is. observed: by uid, of the groups that exist."""
    known = {pod.uid: pod for pod in pods}
    own = {uid: _own(layout, pod, observed[uid], memory.get(uid)) for uid, pod in known.items() if uid in observed}
    wanted = {**own, **_raised(layout, known.values(), own)}
    raising, idling, waking, throttling = list[Write](), list[Write](), list[Write](), list[Write]()
    noted = dict[str, Before]()
    for uid, weight in wanted.items():
        pod, now, before = known[uid], observed[uid], memory.get(uid)
        if pod.role is Role.YIELDS and now.is_idle is not None:
            noted[uid] = Before(own[uid], was_idle=True)
            if not now.is_idle:
                idling.append(Write(uid, "idle", "1"))
        elif now.is_idle:
            noted[uid] = Before(own[uid], (weight,), was_idle=True)
            waking += [Write(uid, "idle", "0"), Write(uid, "weight", str(weight))]
        else:
            if now.weight not in (weight, None):
                raising.append(Write(uid, "weight", str(weight)))
            if now.weight not in (own[uid], None) or weight != own[uid]:
                is_unsettled = before is not None and before.was_idle and now.weight != weight
                noted[uid] = Before(own[uid], (weight, now.weight or weight), was_idle=is_unsettled)
        if pod.is_preemptible and now.quota_us != pod.quota_us:
            throttling.append(Write(uid, "quota", layout.quota_text(pod.quota_us)))
    # Those beside a pod are raised before it becomes idle: the other way round they would be worse off for a moment.
    writes = (*raising, *waking, *idling, *throttling)
    absent = frozenset(known.keys() - observed.keys())
    noted |= {uid: memory[uid] for uid in absent if uid in memory}
    return Plan(writes, noted, absent)


def restoration(layout: Layout, pods: Iterable[PodGroup], observed: Mapping[str, Observed], memory: Memory) -> Plan:
    """Everything as the kubelet made it: nobody yields any more."""
    regular = (replace(pod, role=Role.REGULAR, quota_us=None) for pod in pods)
    return plan(layout, regular, observed, memory)


def _own(layout: Layout, pod: PodGroup, now: Observed, before: Before | None) -> int:
    """What the group weighs without us: as noted, unless somebody has written it since, as a kubelet at a resize."""
    if now.is_idle or now.weight is None:
        return pod.kubelet_weight if before is None else before.own
    if before is None:
        # Nothing is noted, as after the file was lost: only a BestEffort pod's weight can be told to be ours.
        is_ours = pod.qos_class == BEST_EFFORT and now.weight == layout.regular_weight
        return pod.kubelet_weight if is_ours else now.weight
    is_foreign = not before.was_idle and now.weight not in (before.own, *before.ours)
    return now.weight if is_foreign else before.own


def _raised(layout: Layout, pods: Iterable[PodGroup], own: Mapping[str, int]) -> dict[str, int]:
    """uid → weight, of those that are to weigh anything but their own."""
    raised = dict[str, int]()
    for _, folder in groupby(sorted(pods, key=_folder), key=_folder):
        members = list(folder)
        raised |= {pod.uid: pod.shares_weight for pod in members if pod.role is Role.SHARES and pod.uid in own}
        if not any(pod.role is Role.YIELDS for pod in members):
            continue
        regular = {pod.uid: own[pod.uid] for pod in members if pod.role is Role.REGULAR and pod.uid in own}
        raised |= _in_proportion(layout, regular)
    return raised


def _folder(pod: PodGroup) -> str:
    return pod.qos_class


def _in_proportion(layout: Layout, weights: Mapping[str, int]) -> dict[str, int]:
    """All by one factor, so that regular pods share among themselves as before; the lightest at least to a floor."""
    if not weights or min(weights.values()) >= layout.regular_weight:
        return {}
    factor = -(-layout.regular_weight // max(1, min(weights.values())))
    factor = max(1, min(factor, layout.most_weight // max(weights.values())))
    return {uid: min(max(weight * factor, layout.floor_weight), layout.most_weight) for uid, weight in weights.items()}


def encode(memory: Memory) -> Mapping[str, Sequence[object]]:
    """As JSON takes it."""
    return {uid: (each.own, each.was_idle, *each.ours) for uid, each in memory.items()}


def decode(document: object) -> Memory:
    """What `encode` made; entries that are none are left out, for then the kubelet's own weight is assumed."""
    found = dict[str, Before]()
    for uid, each in document.items() if isinstance(document, Mapping) else ():
        if isinstance(each, list | tuple) and len(each) >= 2 and all(isinstance(value, int) for value in each):
            found[str(uid)] = Before(int(each[0]), tuple(map(int, each[2:])), was_idle=bool(each[1]))
    return found
