"""Puts the snapshot together from what the parts of this process know of themselves. Nothing here awaits."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from vk_provider import __version__
from vk_provider.fence import Fence
from vk_provider.health import Health
from vk_provider.instances.cost import CostMeter
from vk_provider.metrics import Registry
from vk_provider.model.instance import InstanceStatus
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.snapshot.document import (
    Build,
    CallBudget,
    Check,
    CloudState,
    Cost,
    Idle,
    Instances,
    Leadership,
    PodCounts,
    PodSummary,
    Queue,
    Snapshot,
    WaitingGroup,
)
from vk_provider.snapshot.pods import PodIndex
from vk_provider.snapshot.recent import RecentEvents
from vk_provider.translate.node import CloudHealth

MOST_SHOWN = 200  # orphans, groups of waiting pods
SUM_S = 30.0
_EXAMPLES = 5
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_AT_REST = frozenset({"Running", "Succeeded", "Orphan"})

Budgets = Callable[[], Mapping[str, tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What stays the same for the life of one node's service. cluster: its uid. lease: empty = there is no election."""

    node: str
    cluster: str
    cloud: str
    region: str
    lease: str = ""
    identity: str = ""


class SnapshotCollector:
    """cloud_health, failing and certificate_ends are set once their parts exist."""

    def __init__(
        self,
        facts: NodeFacts,
        *,
        index: PodIndex,
        recent: RecentEvents,
        queue: WorkQueue,
        health: Health,
        costs: CostMeter,
        fence: Fence,
        metrics: Registry,
        budgets: Budgets | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.cloud_health: Callable[[], CloudHealth] = lambda: CloudHealth(ok=None)
        self.failing: Callable[[], int] = lambda: 0
        self.certificate_ends: Callable[[], datetime | None] = lambda: None
        self.is_self_signed: Callable[[], bool] = lambda: False
        self.idle: Callable[[], Idle | None] = lambda: None
        self.index = index
        self._facts = facts
        self._recent = recent
        self._queue = queue
        self._health = health
        self._costs = costs
        self._fence = fence
        self._budgets = budgets or dict[str, tuple[int, int]]
        self._clock = clock
        self._started = clock()
        self._counts: tuple[tuple[int, int], PodCounts, Instances] | None = None
        self._sums: tuple[int, float, dict[str, tuple[float, float]]] | None = None
        self._add_metrics(metrics)

    @property
    def node(self) -> str:
        return self._facts.node

    def snapshot(self, *, with_pods: bool = False) -> Snapshot:
        counts, instances = self._counted()
        faults = self._health.faults()
        checks = tuple(
            Check(name=name, is_healthy=True)
            if fault is None
            else Check(name=name, is_healthy=False, reason=fault.reason, message=fault.message, age_s=fault.age_s)
            for name, fault in faults.items()
        )
        cloud, ends = self.cloud_health(), self.certificate_ends()
        return Snapshot(
            at=self._now(),
            node=self._facts.node,
            cluster=self._facts.cluster,
            build=Build(
                version=__version__, python=platform.python_version(), started_at=self._started.strftime(_STAMP)
            ),
            is_ready=not any(faults.values()),
            leadership=self._leadership(),
            checks=checks,
            cloud=CloudState(
                name=self._facts.cloud,
                region=self._facts.region,
                is_healthy=cloud.ok,
                reason=cloud.reason,
                message=cloud.message,
            ),
            queue=Queue(
                depth=len(self._queue),
                oldest_s=round(self._queue.oldest_s(), 3),
                delayed=self._queue.delayed,
                failing=self.failing(),
            ),
            pod_counts=counts,
            instances=instances,
            costs=self._costs_now(),
            budgets=tuple(
                CallBudget(action=action, used=used, allowed=allowed)
                for action, (used, allowed) in sorted(self._budgets().items())
            ),
            events=self._recent.newest_first(),
            certificate_expires_at=ends.strftime(_STAMP) if ends is not None else "",
            is_certificate_self_signed=self.is_self_signed(),
            idle=self.idle(),
            pods=tuple(map(self.priced, self.index)) if with_pods else (),
        )

    def priced(self, summary: PodSummary) -> PodSummary:
        """With its price an hour, where that is known and something is billed."""
        if not summary.instance or not summary.placed_at or summary.ended_at:
            return summary
        if InstanceStatus(summary.instance_status).is_ended:
            return summary  # the time of its end comes with a later answer
        per_hour, currency = self._costs.per_hour(summary.sku)
        return msgspec.structs.replace(summary, per_hour=per_hour, currency=currency) if currency else summary

    def _counted(self) -> tuple[PodCounts, Instances]:
        """Counted anew only after a change: whoever looks every second costs nothing while nothing happens."""
        key = (self.index.version, self.index.orphans_deleted)
        if self._counts is None or self._counts[0] != key:
            found = list(self.index)
            self._counts = (key, pod_counts(found), self._instances(found))
        return self._counts[1], self._counts[2]

    def _costs_now(self) -> tuple[Cost, ...]:
        """Summed up anew after a change and every SUM_S; between, each hour's cost goes on."""
        now_s = self._clock().timestamp()
        if self._sums is None or self._sums[0] != self.index.version or now_s - self._sums[1] > SUM_S:
            self._sums = (self.index.version, now_s, dict(self._costs.totals()))
        _, at_s, sums = self._sums
        return tuple(
            Cost(
                currency=currency,
                per_hour=round(per_hour, 6),
                since_start=round(total + per_hour * (now_s - at_s) / 3600, 6),
            )
            for currency, (per_hour, total) in sorted(sums.items())
        )

    def _now(self) -> str:
        return self._clock().strftime(_STAMP)

    def _leadership(self) -> Leadership:
        remaining_s = self._fence.remaining_s()
        return Leadership(
            is_leader=self._fence.is_open,
            lease=self._facts.lease,
            identity=self._facts.identity,
            remaining_s=round(remaining_s, 3) if remaining_s != float("inf") else None,
        )

    def _instances(self, found: Iterable[PodSummary]) -> Instances:
        with_instance = [each for each in found if each.instance]
        orphans = [each for each in with_instance if each.is_orphan]
        return Instances(
            total=len(with_instance),
            by_status=dict(Counter(each.instance_status for each in with_instance).most_common()),
            orphans=tuple(map(self.priced, orphans[:MOST_SHOWN])),
            orphans_total=len(orphans),
            orphans_deleted=self.index.orphans_deleted,
        )

    def _add_metrics(self, metrics: Registry) -> None:
        build = metrics.gauge("vk_build_info", "Which version this is; always 1.", ("version", "python", "cloud"))
        build.set(1, version=__version__, python=platform.python_version(), cloud=self._facts.cloud)
        leader = metrics.gauge("vk_leader", "1 while this process may write for its node, else 0.")
        share = metrics.gauge(
            "vk_cloud_limit_used_ratio", "Calls of the last minute as a share of what the cloud allows.", ("action",)
        )
        ends = metrics.gauge(
            "vk_certificate_expiration_timestamp_seconds",
            "When the serving certificate ends, in seconds since the epoch; 0 = there is none.",
        )
        age = metrics.gauge("vk_certificate_expires_in_seconds", "For how long the serving certificate is good still.")

        def collect() -> None:
            leader.set(int(self._fence.is_open))
            share.replace({(action,): used / allowed for action, (used, allowed) in self._budgets().items()})
            until = self.certificate_ends()
            ends.set(until.timestamp() if until is not None else 0)
            age.set((until - self._clock()).total_seconds() if until is not None else 0)

        metrics.before_scrape(collect)


def pod_counts(found: Iterable[PodSummary]) -> PodCounts:
    phases: Counter[str] = Counter()
    groups: dict[str, list[PodSummary]] = defaultdict(list)
    for each in found:
        if each.is_orphan:
            continue
        phases[each.phase] += 1
        if each.reason or each.phase not in _AT_REST:
            groups[each.reason or each.phase].append(each)
    largest = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return PodCounts(
        total=sum(phases.values()),
        by_phase=dict(phases.most_common()),
        waiting=tuple(
            WaitingGroup(
                reason=reason,
                count=len(members),
                message=next((each.message or each.decision for each in members if each.message or each.decision), ""),
                examples=tuple(f"{each.namespace}/{each.name}" for each in members[:_EXAMPLES]),
            )
            for reason, members in largest[:MOST_SHOWN]
        ),
    )
