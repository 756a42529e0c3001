"""Which preemptible pods end so that regular ones can run: in a stated order, and not one more than it takes.

Only a pod whose effective CPU priority is LOWEST yields at all, and only to regular pods. Nothing here orders anything:
the caller does, and counts what it has ordered until the cloud has confirmed that it is gone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

LOWEST = 7  # cpuPriority that yields absolutely; 0-6 merely share by request
STOCK_RECLAIM_EVERY_S = 300.0
NOBODY_FOUND_S = 10.0
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A preemptible pod that holds capacity and has not been told to stop.

    cpu: what the cloud counts for it, in vCPU. priority: of its PriorityClass. bound_s: when it came to this node; the
    youngest has lost the least. zone, size: of its instance, empty without one.
    """

    uid: str
    cpu: float
    priority: int = 0
    cpu_priority: int = LOWEST
    is_running: bool = True
    bound_s: float = 0.0
    zone: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A pod whose instance was refused for want of quota. is_preemptible: then nobody yields to it."""

    uid: str
    cpu: float
    priority: int = 0
    since_s: float = 0.0
    is_preemptible: bool = False


@dataclass(frozen=True, slots=True)
class Reclaim:
    """victims: in order. gap_cpu: what had to be covered, and missing_cpu what stays uncovered by anybody.

    served, unserved: uids of waiting pods that will have room, and of regular ones that will not even so.
    """

    victims: tuple[Candidate, ...] = ()
    gap_cpu: float = 0.0
    missing_cpu: float = 0.0
    served: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()


def for_quota(
    waiting: Iterable[Waiting], candidates: Collection[Candidate], *, free_cpu: float, releasing_cpu: float
) -> Reclaim:
    """Who ends for the regular pods that the quota has no room for.

    free_cpu: of the quota, by its newest reading. releasing_cpu: of instances that were told to stop and that
    reading still counts, whoever stopped them. Pods are served by priority, then by age; one that cannot be served
    even if everybody yields ends nobody, and does not stop a smaller one behind it.
    """
    yielding = [each for each in candidates if each.cpu_priority >= LOWEST]
    can_have = free_cpu + releasing_cpu + sum(each.cpu for each in yielding)
    need, served, unserved, missing = 0.0, list[str](), list[str](), 0.0
    for pod in sorted(waiting, key=lambda pod: (-pod.priority, pod.since_s, pod.uid)):
        if pod.is_preemptible:
            continue
        if need + pod.cpu <= can_have + _EPSILON:
            need += pod.cpu
            served.append(pod.uid)
        else:
            missing = missing or need + pod.cpu - can_have
            unserved.append(pod.uid)
    gap = max(0.0, need - free_cpu - releasing_cpu)
    return Reclaim(_cover(yielding, gap), gap, missing, tuple(served), tuple(unserved))


def for_rule(gap_cpu: float, candidates: Collection[Candidate], *, releasing_cpu: float) -> Reclaim:
    """Who ends because a NodeQOS rule holds. Part of the gap is better than nothing, unlike for one pod that waits."""
    yielding = [each for each in candidates if each.cpu_priority >= LOWEST]
    gap = max(0.0, gap_cpu - releasing_cpu)
    can_have = sum(each.cpu for each in yielding)
    return Reclaim(_cover(yielding, min(gap, can_have)), gap, max(0.0, gap - can_have))


def for_stock(
    waiting: Waiting, candidates: Collection[Candidate], *, zone: str, size: str, releasing_cpu: float
) -> Reclaim:
    """Who ends because a zone has no instance of a size left: only those of that very size and zone can help.

    Without certainty: what is released may be sold to somebody else. See `StockReclaims` for how often.
    """
    alike = [each for each in candidates if each.cpu_priority >= LOWEST and (each.zone, each.size) == (zone, size)]
    gap = 0.0 if waiting.is_preemptible else max(0.0, waiting.cpu - releasing_cpu)
    can_have = sum(each.cpu for each in alike)
    if can_have + _EPSILON < gap:
        return Reclaim((), gap, gap - can_have, (), (waiting.uid,))
    return Reclaim(_cover(alike, gap), gap, 0.0, (waiting.uid,))


class StockReclaims:
    """Remembers for how long a size of a zone is left alone; forgets those that may be reclaimed again."""

    def __init__(self) -> None:
        self._rests: dict[tuple[str, str], tuple[float, float]] = {}  # since when, and for how long

    def may(self, now_s: float, zone: str, size: str) -> bool:
        since_s, rest_s = self._rests.get((zone, size), (0.0, 0.0))
        return not 0 <= now_s - since_s < rest_s

    def note(self, now_s: float, zone: str, size: str, *, found: bool) -> None:
        """found: somebody ends. Where nobody could, the next pod that is refused need not go through all of them."""
        self._rests = {key: rest for key, rest in self._rests.items() if 0 <= now_s - rest[0] < rest[1]}
        self._rests[zone, size] = (now_s, STOCK_RECLAIM_EVERY_S if found else NOBODY_FOUND_S)


def _cover(yielding: Sequence[Candidate], gap: float) -> tuple[Candidate, ...]:
    """The first in order that together have the gap, without those that turn out not to be needed for it."""
    chosen, left = list[Candidate](), gap
    for _, group in groupby(sorted(yielding, key=_rank), key=_rank):
        alike = sorted(group, key=lambda each: (each.cpu, each.uid))
        while left > _EPSILON and alike:
            place = bisect_left(alike, left - _EPSILON, key=lambda each: each.cpu)
            chosen.append(alike.pop(min(place, len(alike) - 1)))  # the smallest that closes it, else the largest
            left -= chosen[-1].cpu
    return _needed(chosen, gap)


def _rank(candidate: Candidate) -> tuple[int, bool, int]:
    # Pods of one Job come in the same second: among them the size decides.
    return candidate.priority, candidate.is_running, -int(candidate.bound_s)


def _needed(chosen: Sequence[Candidate], gap: float) -> tuple[Candidate, ...]:
    surplus = sum(each.cpu for each in chosen) - gap
    kept = list[Candidate]()
    for each in reversed(chosen):  # the last in order have the most to lose
        if each.cpu <= surplus + _EPSILON:
            surplus -= each.cpu
        else:
            kept.append(each)
    return tuple(reversed(kept))


def order(candidates: Iterable[Candidate]) -> Mapping[str, int]:
    """uid → place in the order of reclaim, for people who want to know; protected ones have none."""
    ranked = sorted(
        (each for each in candidates if each.cpu_priority >= LOWEST), key=lambda each: (*_rank(each), each.uid)
    )
    return {each.uid: place for place, each in enumerate(ranked)}
