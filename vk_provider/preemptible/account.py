"""What all parts know of one account's idle capacity: its nodes, its quota, who holds what, and what objects say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from vk_provider.cloud.driver import SpotTerms
from vk_provider.idle.holdings import Holding
from vk_provider.idle.market import Depth
from vk_provider.idle.offer import Evaluation
from vk_provider.idle.pool import Quota
from vk_provider.idle.reclaims import DEFAULT_GRACE_S
from vk_provider.preemptible.custom_objects import CustomObjects
from vk_provider.preemptible.idle_metrics import IdleMetrics
from vk_provider.preemptible_options import PreemptibleOptions

if TYPE_CHECKING:
    from vk_provider.preemptible.preemptible_node import PreemptibleNode


class Account:
    """quota: the newest reading. evaluation: the newest, None before the first."""

    def __init__(
        self,
        options: PreemptibleOptions,
        *,
        terms: SpotTerms,
        objects: CustomObjects,
        depth: Depth,
        metrics: IdleMetrics,
        jitter: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        self.options, self.terms, self.objects = options, terms, objects
        self.depth, self.metrics, self.jitter, self.clock = depth, metrics, jitter, clock
        self.nodes: dict[str, PreemptibleNode] = {}
        self.quota: Quota | None = None
        self.evaluation: Evaluation | None = None

    @property
    def most_grace_s(self) -> int:
        """Of an instance that is made now: no more than any action that may end it gives."""
        stated = [each.grace_s for each in self.objects.actions.values() if each.evicts and each.grace_s is not None]
        return min(stated, default=DEFAULT_GRACE_S)

    def holdings(self) -> Sequence[Holding]:
        return [holding for node in self.nodes.values() for holding in node.held.holdings()]

    def places(self, size_prefix: str) -> Sequence[tuple[str, str]]:
        """Zones and sizes of which preemptible pods have instances, in order."""
        found = {place for node in self.nodes.values() for place in node.held.places}
        return sorted(place for place in found if place[1].startswith(size_prefix))

    def holdings_at(self, zone: str, size: str) -> Sequence[Holding]:
        return [holding for node in self.nodes.values() for holding in node.held.holdings_at(zone, size)]

    @property
    def sold_cpu(self) -> float:
        """vCPU of the instances that preemptible pods have."""
        return sum(node.held.sold_cpu for node in self.nodes.values())

    def node_of(self, uid: str) -> PreemptibleNode | None:
        return next((node for node in self.nodes.values() if uid in node.held or uid in node.wiring.pods), None)

    def changed(self, uid: str) -> None:
        """One of the answers about a pod has changed."""
        if (node := self.node_of(uid)) is not None:
            node.changed(uid)

    def cpu_priority(self, uid: str) -> int:
        """A preemptible pod's effective one; 0, which yields to nobody, for any other."""
        node = self.node_of(uid)
        held = node.held.get(uid) if node is not None else None
        return self.objects.pod_rules.cpu_priority(held.facts) if held is not None else 0

    def is_allowed(self, action: str, uid: str) -> bool:
        node = self.node_of(uid)
        held = node.held.get(uid) if node is not None else None
        return held is not None and self.objects.pod_rules.is_allowed(action, held.facts)

    def now_s(self) -> float:
        """Since 1970, as forecasts and readings count."""
        return self.clock().timestamp()


def loop_s() -> float:
    return asyncio.get_running_loop().time()
