"""Removes pods that no kubelet will: those of nodes that are gone, those deleted unplaced, and old finished ones.

Source: kubernetes pkg/controller/podgc, v1.32.
"""

import asyncio
import logging

from fakes.kube.api import ApiError
from fakes.kube.controllers import pods
from fakes.kube.reads import Json, is_deleting, key_of, uid_of, with_condition
from fakes.kube.reconcile.cluster import Cluster

log = logging.getLogger(__name__)

INTERVAL_S = 20.0
# A node may be deleted and come back at once; its pods are safe that long.
QUARANTINE_S = 40.0
MAX_FINISHED = 12_500


class PodGc:
    """One look at all pods every `INTERVAL_S`."""

    def __init__(self, cluster: Cluster, *, max_finished: int = MAX_FINISHED) -> None:
        self._cluster = cluster
        self._max_finished = max_finished
        self._pods = cluster.informer("pods")
        self._nodes = cluster.informer("nodes")
        self._missing: dict[str, float] = {}

    async def run(self) -> None:
        """Collect until cancelled."""
        await self._pods.ready.wait()
        await self._nodes.ready.wait()
        while True:
            self.collect()
            await asyncio.sleep(INTERVAL_S)

    def collect(self) -> None:
        """One look."""
        everything = self._pods.all()
        gone = self._gone_nodes(everything)
        for pod in everything:
            if pod["spec"].get("nodeName", "") in gone:
                self._remove(pod, orphan=True)
            elif is_deleting(pod) and not pod["spec"].get("nodeName"):
                self._remove(pod, orphan=False)
        finished = sorted(
            (pod for pod in everything if pods.is_finished(pod) and not is_deleting(pod)),
            key=lambda pod: pod["metadata"]["creationTimestamp"],
        )
        for pod in finished[: max(0, len(finished) - self._max_finished)]:
            self._remove(pod, orphan=False)

    def _gone_nodes(self, everything: list[Json]) -> set[str]:
        """Nodes that pods name and that have been missing for the whole quarantine."""
        now = asyncio.get_running_loop().time()
        named = {pod["spec"]["nodeName"] for pod in everything if pod["spec"].get("nodeName")}
        missing = {name for name in named if self._nodes.get(("", name)) is None}
        self._missing = {name: self._missing.get(name, now) for name in missing}
        return {name for name, since in self._missing.items() if now - since >= QUARANTINE_S}

    def _remove(self, pod: Json, *, orphan: bool) -> None:
        try:
            fresh = self._cluster.fresh("pods", key_of(pod))
            if fresh is not None and uid_of(fresh) == uid_of(pod) and not pods.is_finished(fresh):
                self._fail(fresh, orphan=orphan)
            self._cluster.delete("pods", pod, grace_seconds=0)
        except ApiError as error:
            if error.code not in (404, 409):
                log.warning("pod gc skips pod=%s error=%s", pod["metadata"]["name"], error.message)

    def _fail(self, pod: Json, *, orphan: bool) -> None:
        status: Json = {"phase": "Failed"}
        if orphan:
            new = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
                "lastTransitionTime": self._cluster.stamp(),
            }
            status["conditions"] = with_condition((pod.get("status") or {}).get("conditions"), new)
        self._cluster.merge("pods", pod, {"status": status}, subresource="status")
