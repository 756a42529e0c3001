"""How much idle capacity is offered, and how it is shared among virtual nodes.

What is offered shrinks at once and grows slowly. Whoever computes it may die at any time: all it remembers is how long
a larger pool has been wanted, and the rest is read from the nodes and the cloud again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vk_provider.idle.resources import NOTHING, Amount
from vk_provider.model.quantity import GIB

STALE_S = 180.0  # of a reading of the quota; a kubelet's are taken for 20 s
GROWTH_BAND = 0.1  # growth by less is not worth a change of the node
AGREEING = 3  # evaluations in a row that want growth
MIB = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One reading of the account's quota in this region; for a worker node of its allocatable and its use, and in bytes
    where it is of memory. regular_cpu: what of `used_cpu` is not our preemptible pods'.

    To say what is ours of `used_cpu` the instances must have been there before it was read, and still be after it: one
    more makes the regular load look less than it is.
    """

    at_s: float
    most_cpu: float
    used_cpu: float
    preemptible_cpu: float

    @property
    def regular_cpu(self) -> float:
        return max(0.0, self.used_cpu - self.preemptible_cpu)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What preemptible pods hold of the quota, as sizes that the cloud sells.

    held_cpu: of every pod that is bound and not ended, with or without an instance, and of every instance that is being
    released. uncreated_cpu: of those of them that have no instance yet.
    """

    held_cpu: float = 0.0
    uncreated_cpu: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """reserve, most_share: shares of the quota (0-1); the second caps regular and preemptible pods together. part: of
    what is idle that is ours to offer; whoever has the rest counts as regular load, which errs on the safe side.

    suspended: a rule forbids to offer anything more. stale_s: how old the newest reading may be.
    """

    reserve: float = 0.1
    most_share: float = 1.0
    part: float = 1.0
    suspended: bool = False
    stale_s: float = STALE_S


class PoolSize:
    """The vCPU that preemptible pods may hold together, those that they hold already included.

    It may be less than they hold, when the regular load has risen: then nothing is offered until they are fewer.
    """

    def __init__(self, cpu: float = 0.0) -> None:
        """cpu: what the nodes offer now, so that a restart takes nothing away that is still right."""
        self._cpu = cpu
        self._begun = False
        self._wanted: list[float] = []  # larger sizes, one an evaluation, in a row

    @property
    def cpu(self) -> float:
        return self._cpu

    def evaluate(
        self,
        now_s: float,
        *,
        quota: Quota | None,
        predicted_cpu: float | None,
        depth_cpu: float,
        claims: Claims,
        terms: Terms,
    ) -> float:
        """The size from now on. predicted_cpu: the peak of the regular load, None = not known. depth_cpu: what the
        market may still sell. Called every 10 s."""
        if not self._begun:  # growth begins at what is held, whatever a node that was made anew says
            self._cpu, self._begun = max(self._cpu, claims.held_cpu), True
        target = claims.held_cpu + depth_cpu - claims.uncreated_cpu
        is_known = quota is not None and 0 <= now_s - quota.at_s < terms.stale_s and predicted_cpu is not None
        if not is_known or terms.suspended:
            target = min(target, claims.held_cpu, self._cpu)
        if is_known and quota is not None and predicted_cpu is not None:
            usable = quota.most_cpu * min(1 - terms.reserve, terms.most_share)
            target = min(target, (usable - max(quota.regular_cpu, predicted_cpu)) * terms.part)
        self._cpu = self._settled(max(0.0, target))
        return self._cpu

    def _settled(self, target: float) -> float:
        if target <= self._cpu * (1 + GROWTH_BAND):
            self._wanted.clear()
            return min(target, self._cpu)
        self._wanted.append(target)
        if len(self._wanted) < AGREEING:
            return self._cpu
        grown = min(self._wanted)
        self._wanted.clear()
        return grown


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One virtual node that shares the pool.

    requested: of the preemptible pods bound to it. published: what its Node object says now. memory_left: bytes of its
    memory budget that neither regular pods, now or predicted, nor preemptible ones hold; None = no budget.
    """

    name: str
    requested: Amount = NOTHING
    published: Amount = NOTHING
    weight: float = 1.0
    memory_left: int | None = None


def share(cpu: float, claims: Claims, nodes: Sequence[Node], *, gib_per_cpu: float = 4.0) -> Mapping[str, Amount]:
    """What each node is to publish, by name; never more than the pool together.

    cpu: the size of the pool. What is free is divided by weight, and what is missing where the pods are. A node's share
    grows only into what the others, by their own Node objects, no longer publish: no moment has more than the pool.
    """
    requested = sum(node.requested.cpu for node in nodes)
    free = math.floor(cpu - claims.held_cpu + 1e-9)
    wanted = _divided(free, [node.weight if free >= 0 else float(node.requested.cpu) for node in nodes])
    targets = [max(0, node.requested.cpu + part) for node, part in zip(nodes, wanted, strict=True)]
    room = max(0, requested + free) - sum(node.published.cpu for node in nodes)
    shares = dict[str, Amount]()
    for node, target in zip(nodes, targets, strict=True):
        growth = max(0, target - node.published.cpu)
        granted = min(growth, max(0, room))
        room -= granted
        own = min(target, node.published.cpu) + granted
        shares[node.name] = Amount(own, _memory(node, own, gib_per_cpu))
    return shares


def _memory(node: Node, cpu: int, gib_per_cpu: float) -> int:
    free = int(max(0, cpu - node.requested.cpu) * gib_per_cpu * GIB)
    if node.memory_left is not None:
        free = min(free, max(0, node.memory_left))
    return node.requested.memory + free // MIB * MIB


def _divided(amount: int, weights: Sequence[float]) -> list[int]:
    """A whole amount by weight in whole parts, the largest remainders first; the parts sum up to it exactly."""
    whole = sum(weights)
    if whole <= 0:
        return [0] * len(weights)
    exact = [amount * weight / whole for weight in weights]
    parts = [math.floor(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in by_remainder[: amount - sum(parts)]:
        parts[place] += 1
    return parts
