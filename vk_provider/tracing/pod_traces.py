"""One trace a pod: `pod start` from its binding until it runs, in it `create` until an instance exists and `start`
until a container runs, and in these each call to the cloud that was made for the pod.

Made of what everybody sees who is shown the decisions, and of whose call it was; so the loops know nothing of it. A pod
that already had its instance when this process saw it first is left out: nobody knows what its way was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vk_provider.control.collaborators import PodView
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.pacing.callers import caller
from vk_provider.snapshot.pods import bound_at, instant
from vk_provider.tracing.spans import Span, Tracer

MOST_OPEN = 10_000  # pods on their way; what exceeds them is not traced
OK = "OK"  # the code of a call that went well


@dataclass(slots=True)
class _Way:
    """stage: `create` or `start`."""

    node: str
    whole: Span
    stage: Span
    has_instance: bool = False


class PodTraces:
    """Of all nodes of a process."""

    def __init__(self, tracer: Tracer, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._tracer = tracer
        self._clock = clock
        self._open: dict[str, _Way] = {}

    def __len__(self) -> int:
        """How many pods are on their way."""
        return len(self._open)

    def beside(self, view: PodView, node: str) -> PodView:
        """Sees what this view of one node is shown, and shows it to it."""
        return _Beside(view, self, node)

    def called(self, action: str, code: str, took_s: float) -> None:
        """A call to the cloud has ended; for whom is known by the task that made it."""
        way = self._open.get(caller().pod)
        if way is None:
            return
        now = self._clock()
        span = way.stage.child(action, now - timedelta(seconds=took_s), {"cloud.code": code})
        span.end(now, error="" if code == OK else code)

    def observe(self, node: str, uid: str, pod: Json | None, instances: Sequence[Instance], decision: str) -> None:
        way = self._open.get(uid)
        if way is None:
            if pod is not None and not instances and _waits(pod) and len(self._open) < MOST_OPEN:
                self._open[uid] = self._begun(node, uid, pod)
            return
        if pod is None or pods.is_deleting(pod):
            self._end(uid, way, error="the pod was deleted")
            return
        if instances and not way.has_instance:
            way.has_instance = True
            now = self._clock()
            way.stage.end(now)
            way.stage = way.whole.child("start", now, {"vk.instance": instances[0].id})
        phase = pods.phase_of(pod)
        if phase == "Failed" and not way.has_instance:
            self._end(uid, way, error=decision or "the pod has failed")
        elif phase != "Pending":
            self._end(uid, way)

    def drop(self, uid: str) -> None:
        if (way := self._open.get(uid)) is not None:
            self._end(uid, way, error="the pod is gone")

    def forget(self, node: str) -> None:
        """That node is served no longer: how its pods go on is not ours to say."""
        for uid, way in list(self._open.items()):
            if way.node == node:
                self._end(uid, way, error="the node is no longer served by this process")

    def _begun(self, node: str, uid: str, pod: Json) -> _Way:
        meta = pod["metadata"]
        began = instant(bound_at(pod)) or instant(str(meta.get("creationTimestamp") or "")) or self._clock()
        names = {"k8s.namespace.name": str(meta["namespace"]), "k8s.pod.name": str(meta["name"]), "k8s.pod.uid": uid}
        whole = self._tracer.trace("pod start", began, {**names, "k8s.node.name": node})
        return _Way(node, whole, whole.child("create", began, {}))

    def _end(self, uid: str, way: _Way, *, error: str = "") -> None:
        del self._open[uid]
        now = self._clock()
        way.stage.end(now, error=error)
        way.whole.end(now, error=error)


def _waits(pod: Json) -> bool:
    return pods.phase_of(pod) == "Pending" and not pods.is_deleting(pod)


class _Beside:
    """A view of decisions that traces what it passes on."""

    def __init__(self, view: PodView, traces: PodTraces, node: str) -> None:
        self._view, self._traces, self._node = view, traces, node

    def observe(self, uid: str, pod: Json | None, instances: Sequence[Instance], action: str, decision: str) -> None:
        self._traces.observe(self._node, uid, pod, instances, decision)
        self._view.observe(uid, pod, instances, action, decision)

    def drop(self, uid: str) -> None:
        self._traces.drop(uid)
        self._view.drop(uid)

    def orphan_deleted(self) -> None:
        self._view.orphan_deleted()
