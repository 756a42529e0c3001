"""Who holds idle capacity on this account, as the cluster and the cloud say it now; nothing is remembered.

From one list of holdings follow the claims on the pool, each node's share of it and the candidates for a reclaim, so
that these cannot contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from vk_provider.idle.pool import Claims
from vk_provider.idle.resources import NOTHING, Amount
from vk_provider.idle.victims import Candidate


class Hold(Enum):
    BOUND = "bound"  # the pod is bound, its instance not created
    LIVE = "live"  # the instance is in the cloud's quota
    RELEASING = "releasing"  # it was told to stop, or its pod has ended; it still is in the quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """cpu: of the size the cloud sells for it. requested: what the scheduler counts; nothing once the pod ended."""

    uid: str
    node: str
    hold: Hold
    cpu: float
    requested: Amount = NOTHING
    priority: int = 0
    is_running: bool = False
    bound_s: float = 0.0
    zone: str = ""
    size: str = ""


def claims(holdings: Iterable[Holding]) -> Claims:
    held = uncreated = 0.0
    for each in holdings:
        held += each.cpu
        uncreated += each.cpu if each.hold is Hold.BOUND else 0.0
    return Claims(held_cpu=held, uncreated_cpu=uncreated)


def preemptible_cpu(holdings: Iterable[Holding]) -> float:
    """What of the cloud's `used` is theirs."""
    return sum(each.cpu for each in holdings if each.hold is not Hold.BOUND)


def requested_by_node(holdings: Iterable[Holding]) -> Mapping[str, Amount]:
    requested = dict[str, Amount]()
    for each in holdings:
        requested[each.node] = requested.get(each.node, NOTHING) + each.requested
    return requested


def candidates(holdings: Iterable[Holding], cpu_priority: Callable[[str], int]) -> Sequence[Candidate]:
    """Those who could yield: live, and not ending already. cpu_priority: of a pod's uid."""
    return [
        Candidate(
            uid=each.uid,
            cpu=each.cpu,
            priority=each.priority,
            cpu_priority=cpu_priority(each.uid),
            is_running=each.is_running,
            bound_s=each.bound_s,
            zone=each.zone,
            size=each.size,
        )
        for each in holdings
        if each.hold is Hold.LIVE
    ]
