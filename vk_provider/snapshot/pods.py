"""One summary a pod, renewed whenever it is reconciled; and what is counted of all of them.

A summary is made while the whole pod is at hand anyhow: later it is packed, and to unpack thousands of pods for a page
or a scrape costs more than all else that is done for them at rest. What a pod's owner writes is shortened here.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vk_provider import bounds
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, StateKind
from vk_provider.model.pod import Json
from vk_provider.snapshot.document import PodSummary

MOST_NAME = 253
_RUNNING = frozenset({"Running", "Succeeded", "Failed"})
_STATES = {StateKind.WAITING: "created", StateKind.RUNNING: "running", StateKind.TERMINATED: "exited"}
_START_BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class PodIndex:
    """Summaries by pod uid; of an instance without a pod too, which is then an orphan."""

    def __init__(self, metrics: Registry, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._summaries: dict[str, PodSummary] = {}
        self._states: dict[str, tuple[int, int, int]] = {}  # uid → containers created, running, exited
        self.version = 0  # grows with each change
        self._changes: dict[int, set[str]] = {}  # who follows → uids that changed since they were taken
        self._without: set[str] = set()  # uids of pods that were seen here without an instance, and have none yet
        self._starts = metrics.histogram(
            "vk_pod_start_seconds",
            "From the binding of a pod to its instance's creation, and to its first container's run.",
            ("stage",),
            buckets=_START_BUCKETS,
        )
        self._orphans_deleted = metrics.counter("vk_orphans_deleted_total", "Instances deleted as their pod was gone.")
        pods_gauge = metrics.gauge("vk_pods", "Pods by phase and by what holds them.", ("phase", "reason"))
        instances = metrics.gauge("vk_instances", "Instances that pods have, by status.", ("status",))
        orphans = metrics.gauge("vk_orphans", "Instances whose pod no longer exists.")

        def collect() -> None:
            found = [each for each in self._summaries.values() if not each.is_orphan]
            pods_gauge.replace(Counter((each.phase, each.reason) for each in found))
            instances.replace(Counter((each.instance_status,) for each in found if each.instance))
            orphans.set(len(self._summaries) - len(found))

        metrics.before_scrape(collect)

    def __len__(self) -> int:
        return len(self._summaries)

    def __iter__(self) -> Iterator[PodSummary]:
        return iter(self._summaries.values())

    @property
    def orphans_deleted(self) -> int:
        """By this process."""
        return int(self._orphans_deleted.value())

    def orphan_deleted(self) -> None:
        self._orphans_deleted.add()

    def get(self, uid: str) -> PodSummary | None:
        return self._summaries.get(uid)

    def follow(self) -> set[str]:
        """A set that from now on collects the uids of what changes, until `unfollow`; whoever reads it empties it."""
        changes: set[str] = set()
        self._changes[id(changes)] = changes
        return changes

    def unfollow(self, changes: set[str]) -> None:
        self._changes.pop(id(changes), None)

    def _note(self, uid: str) -> None:
        self.version += 1
        for changes in self._changes.values():
            changes.add(uid)

    def container_states(self) -> tuple[int, Mapping[str, int]]:
        """How many pods have something that runs, and containers by a kubelet's words for their state."""
        running, totals = 0, [0, 0, 0]
        for states in self._states.values():
            running += states[1] > 0
            for place, count in enumerate(states):
                totals[place] += count
        return running, dict(zip(_STATES.values(), totals, strict=True))

    def observe(self, uid: str, pod: Json | None, instances: Sequence[Instance], action: str, decision: str) -> None:
        """A decision was made about this pod, from these."""
        instance = _shown(instances)
        self._measure_creation(uid, pod, bool(instances))
        before = self._summaries.get(uid)
        summary = summarized(pod, instance, action, decision)
        if summary is None:
            self.drop(uid)
            return
        if summary == before:
            return
        self._summaries[uid] = summary
        self._note(uid)
        if instance is None:
            self._states.pop(uid, None)
        else:
            kinds = [each.state.kind for each in (*instance.init_containers, *instance.containers)]
            counted = tuple(kinds.count(kind) for kind in _STATES)
            self._states[uid] = (counted[0], counted[1], counted[2])
        if before is not None and not summary.is_orphan:
            self._measure(before, summary)

    def drop(self, uid: str) -> None:
        """Neither pod nor instance exists."""
        if self._summaries.pop(uid, None) is not None:
            self._note(uid)
        self._states.pop(uid, None)
        self._without.discard(uid)

    def _measure_creation(self, uid: str, pod: Json | None, is_there: bool) -> None:
        if pod is None or not is_there:
            if pod is not None and not pods.is_terminal(pod):
                self._without.add(uid)
            return
        if uid in self._without:
            self._without.discard(uid)
            began = instant(bound_at(pod) or str(pod["metadata"].get("creationTimestamp") or ""))
            if began is not None:
                self._starts.observe(max(0.0, (self._clock() - began).total_seconds()), stage="created")

    def _measure(self, before: PodSummary, now: PodSummary) -> None:
        """What another life of this process has seen begin is not measured: nobody knows when."""
        bound = instant(now.bound_at or now.created_at)
        if bound is None:
            return
        took_s = max(0.0, (self._clock() - bound).total_seconds())
        if before.phase not in _RUNNING and now.phase in _RUNNING and now.instance:
            self._starts.observe(took_s, stage="running")


def summarized(pod: Json | None, instance: Instance | None, action: str, decision: str) -> PodSummary | None:
    """None where there is neither."""
    of_instance = _of_instance(instance)
    if pod is None:
        if instance is None:
            return None
        owner = instance.owner
        return PodSummary(
            namespace=owner.namespace,
            name=owner.name,
            uid=owner.uid,
            phase="Orphan",
            action=action,
            decision=decision,
            is_orphan=True,
            created_at=instance.created_at,
            **of_instance,
        )
    meta, status = pod["metadata"], pod.get("status") or {}
    reason, message = _holding(pod, status)
    entries = [each for each in status.get("containerStatuses") or () if isinstance(each, dict)]
    controller = pods.controller_of(pod)
    return PodSummary(
        namespace=sys.intern(str(meta["namespace"])),
        name=str(meta["name"])[:MOST_NAME],
        uid=str(meta["uid"]),
        phase=sys.intern(pods.phase_of(pod)[:32]),
        reason=sys.intern(reason[: bounds.MOST_EVENT_REASON]),
        message=bounds.shortened(message, bounds.MOST_REASON),
        ready=sys.intern(f"{sum(each.get('ready') is True for each in entries)}/{len(pods.containers_of(pod))}"),
        restarts=sum(count for each in entries if isinstance(count := each.get("restartCount"), int)),
        created_at=str(meta.get("creationTimestamp") or ""),
        bound_at=_bound_at(status),
        controller=f"{controller.get('kind')}/{controller.get('name')}"[:MOST_NAME] if controller is not None else "",
        action=action,
        decision=decision,
        **of_instance,
    )


def instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def _shown(instances: Sequence[Instance]) -> Instance | None:
    """Of those that are proven the one that is alive, and of several the one made last."""
    return max(
        (each for each in instances if each.proven),
        key=lambda each: (not each.status.is_ended, each.created_at),
        default=None,
    )


def _of_instance(instance: Instance | None) -> dict[str, Any]:
    if instance is None:
        return {}
    return {
        "instance": instance.id,
        "instance_status": str(instance.status),
        "zone": sys.intern(instance.zone),
        "sku": sys.intern(instance.sku),
        "cpu": instance.cpu,
        "memory_gib": instance.memory_gib,
        "placed_at": instance.placed_at,
        "ended_at": instance.ended_at,
    }


def _holding(pod: Json, status: Mapping[str, Any]) -> tuple[str, str]:
    """The reason as kubectl prints it, and the words beside it; empty for a pod that runs as it should."""
    if pods.is_deleting(pod):
        return "Terminating", str(status.get("message") or "")
    if status.get("reason"):
        return str(status["reason"]), str(status.get("message") or "")
    for group in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(group) or ():
            state = each.get("state") if isinstance(each, dict) else None
            waiting = state.get("waiting") if isinstance(state, dict) else None
            if isinstance(waiting, dict) and waiting.get("reason"):
                return str(waiting["reason"]), str(waiting.get("message") or "")
    for each in _conditions(status):
        is_held = each.get("status") == "False" and each.get("reason") and pods.phase_of(pod) == "Pending"
        if is_held and each.get("type") not in ("Ready", "ContainersReady", "Initialized"):
            return str(each["reason"]), str(each.get("message") or "")
    return "", ""


def bound_at(pod: Json) -> str:
    """When the scheduler bound it, as RFC 3339; empty where nothing says so."""
    return _bound_at(pod.get("status") or {})


def _bound_at(status: Mapping[str, Any]) -> str:
    for each in _conditions(status):
        if each.get("type") == "PodScheduled" and each.get("status") == "True":
            return str(each.get("lastTransitionTime") or "")
    return ""


def _conditions(status: Mapping[str, Any]) -> list[Json]:
    return [each for each in status.get("conditions") or () if isinstance(each, dict)]
