"""All that is known of one pod, for whoever asks why it is as it is. Nothing here awaits or asks anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from vk_provider import bounds
from vk_provider.control.memory import PodMemory
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.snapshot.collector import SnapshotCollector
from vk_provider.snapshot.document import CloudEvent, Condition, Explanation
from vk_provider.snapshot.pods import summarized

_MOST_EVENTS = 20
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Explainer:
    """memory_of: what the reconciler remembers of a pod, by uid. loop_s: the loop's time now."""

    def __init__(
        self,
        collector: SnapshotCollector,
        *,
        pod_named: Callable[[str, str], Json | None],
        instance_of: Callable[[str], Instance | None],
        memory_of: Callable[[str], PodMemory],
        queue: WorkQueue,
        loop_s: Callable[[], float],
    ) -> None:
        self._collector = collector
        self._pod_named = pod_named
        self._instance_of = instance_of
        self._memory_of = memory_of
        self._queue = queue
        self._loop_s = loop_s

    def explain(self, namespace: str, name: str) -> Explanation | None:
        """None: no such pod is on this node."""
        pod = self._pod_named(namespace, name)
        if pod is None:
            return None
        uid = pods.uid_of(pod)
        memory, instance, creating = self._memory_of(uid), self._instance_of(uid), self._memory_of(uid).creating
        known = self._collector.index.get(uid)
        action = known.action if known is not None else ""
        summary = summarized(pod, instance, action, memory.reason)
        if summary is None:
            return None
        problem = creating.refusal or creating.problem
        next_create_s = creating.not_before_s - self._loop_s() if creating.not_before_s and not instance else None
        next_try_s = self._queue.due_in_s(uid)
        return Explanation(
            at=datetime.now(UTC).strftime(_STAMP),
            node=self._collector.node,
            pod=self._collector.priced(summary),
            action=action,
            decision=memory.reason,
            problem=bounds.shortened(problem.message, bounds.MOST_MESSAGE) if problem is not None else "",
            problem_reason=problem.reason if problem is not None else "",
            is_refused=creating.refusal is not None,
            waits_for_change=creating.awaits_change,
            failures=memory.failures,
            create_failures=creating.failures + creating.unplaced,
            next_create_s=round(max(0.0, next_create_s), 1) if next_create_s is not None else None,
            next_try_s=round(next_try_s, 1) if next_try_s is not None else None,
            is_in_queue=next_try_s == 0.0,
            conditions=_conditions((pod.get("status") or {}).get("conditions") or ()),
            cloud_conditions=tuple(
                Condition(type=each.type, status=each.status, reason=each.reason, message=each.message)
                for each in (instance.conditions if instance is not None else ())
            ),
            cloud_events=tuple(
                CloudEvent(
                    at=each.last_at or each.first_at,
                    type=each.type,
                    reason=each.reason,
                    message=bounds.shortened(each.message, bounds.MOST_REASON),
                    count=each.count,
                )
                for each in (instance.events if instance is not None else ())[-_MOST_EVENTS:]
            ),
        )


def _conditions(found: Iterable[Any]) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            type=str(each.get("type") or ""),
            status=str(each.get("status") or ""),
            reason=str(each.get("reason") or ""),
            message=bounds.shortened(str(each.get("message") or ""), bounds.MOST_REASON),
        )
        for each in found
        if isinstance(each, dict)
    )
