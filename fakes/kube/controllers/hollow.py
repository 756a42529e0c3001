"""Hollow worker nodes: machines for the scheduler to count, with nothing behind them.

They keep their heartbeat, refuse to pretend that they run anything, and let go of what is deleted.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import timedelta

from fakes.kube.api import ApiError
from fakes.kube.clock import micro_stamp, parse
from fakes.kube.controllers import pods
from fakes.kube.reads import Json, Key, condition, is_deleting, key_of, labels_of, uid_of, with_condition
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer

log = logging.getLogger(__name__)

LABEL = "vk-provider.dev/hollow-node"
REASON = "HollowNode"
MESSAGE = (
    "hollow worker nodes of this stand-in cluster run nothing; let the pod go to a virtual node "
    "(a namespace labelled virtual-node-affinity-injection=enabled does that)"
)
RENEW_S = 10.0
REPORT_S = 300.0
LEASE_S = 40
_HEALTHY = {
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    "Ready": ("True", "KubeletReady", "hollow node: kept ready by the stand-in cluster"),
}


def is_hollow(node: Json) -> bool:
    return labels_of(node).get(LABEL) == "true"


class HollowHeartbeat:
    """Renews every hollow node's Lease, and its conditions where they are old or wrong.

    Extended resources that someone adds to a node's capacity become allocatable, as a kubelet has it.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nodes = cluster.informer("nodes")

    async def run(self) -> None:
        """Beat until cancelled."""
        await self._nodes.ready.wait()
        self._nodes.listen(self._on_node)
        while True:
            for node in self._nodes.all():
                if is_hollow(node):
                    self._beat(node)
            await asyncio.sleep(RENEW_S)

    def _on_node(self, old: Json | None, new: Json | None) -> None:
        if new is not None and is_hollow(new) and (old is None or _unoffered(new)):
            # Outside the informer's own call, since a write here would come back into it.
            asyncio.get_running_loop().call_soon(self._beat, new)

    def _beat(self, node: Json) -> None:
        try:
            self._renew(node)
            self._report(node)
        except ApiError as error:
            log.warning("hollow node misses a beat node=%s error=%s", node["metadata"]["name"], error.message)

    def _renew(self, node: Json) -> None:
        name = node["metadata"]["name"]
        key, now = ("kube-node-lease", name), micro_stamp(self._cluster.now())
        lease = self._cluster.fresh("leases.coordination.k8s.io", key)
        if lease is not None:
            self._cluster.merge("leases.coordination.k8s.io", lease, {"spec": {"renewTime": now}})
            return
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(node)}
        self._cluster.create(
            "leases.coordination.k8s.io",
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": key[0], "ownerReferences": [owner]},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_S, "renewTime": now},
            },
        )

    def _report(self, node: Json) -> None:
        fresh = self._cluster.fresh("nodes", key_of(node))
        if fresh is None:
            return
        if extra := _unoffered(fresh):
            fresh = self._cluster.merge("nodes", fresh, {"status": {"allocatable": extra}}, subresource="status")
        if not self._is_due(fresh):
            return
        conditions = (fresh.get("status") or {}).get("conditions") or []
        now = self._cluster.stamp()
        for kind, (status, reason, message) in _HEALTHY.items():
            new = {"type": kind, "status": status, "reason": reason, "message": message}
            conditions = with_condition(conditions, {**new, "lastHeartbeatTime": now, "lastTransitionTime": now})
        self._cluster.merge("nodes", fresh, {"status": {"conditions": conditions}}, subresource="status")

    def _is_due(self, node: Json) -> bool:
        for kind, (status, _reason, _message) in _HEALTHY.items():
            found = condition(node, kind)
            if found is None or found["status"] != status or not found.get("lastHeartbeatTime"):
                return True
            if parse(found["lastHeartbeatTime"]) + timedelta(seconds=REPORT_S) <= self._cluster.now():
                return True
        return False


def _unoffered(node: Json) -> Json:
    """The extended resources of the capacity that allocatable lacks or has otherwise."""
    status = node.get("status") or {}
    capacity, allocatable = status.get("capacity") or {}, status.get("allocatable") or {}
    return {name: size for name, size in capacity.items() if "/" in name and allocatable.get(name) != size}


class HollowPods(Controller):
    """Keys are pods bound to hollow nodes."""

    name = "hollow-kubelet"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._nodes = cluster.informer("nodes")
        self._pods = cluster.informer("pods")
        self._nodes.listen(self._on_node)
        self._pods.listen(self._on_pod)

    def needs(self) -> Iterable[Informer]:
        return self._nodes, self._pods

    def _on_node(self, old: Json | None, new: Json | None) -> None:
        if new is not None and is_hollow(new) and (old is None or not is_hollow(old)):
            for pod in self._pods.indexed("node", new["metadata"]["name"]):
                self.queue.add(key_of(pod))

    def _on_pod(self, _old: Json | None, new: Json | None) -> None:
        if new is not None and new["spec"].get("nodeName"):
            self.queue.add(key_of(new))

    def reconcile(self, key: Key) -> None:
        pod = self.cluster.fresh("pods", key)
        node = self._nodes.get(("", pod["spec"].get("nodeName") or "")) if pod is not None else None
        if pod is None or node is None or not is_hollow(node):
            return
        if is_deleting(pod):
            self._let_go(pod)
        elif not pods.is_finished(pod) and not _refused(pod):
            self._refuse(pod, node)

    def _let_go(self, pod: Json) -> None:
        # Failed first, as a kubelet does: a Job may wait for that before it counts the pod.
        if not pods.is_finished(pod):
            self.cluster.merge("pods", pod, {"status": {"phase": "Failed"}}, subresource="status")
        self.cluster.delete("pods", pod, grace_seconds=0)

    def _refuse(self, pod: Json, node: Json) -> None:
        status: Json = {"phase": "Pending", "containerStatuses": [_waiting(item) for item in pod["spec"]["containers"]]}
        if pod["spec"].get("initContainers"):
            status["initContainerStatuses"] = [_waiting(item) for item in pod["spec"]["initContainers"]]
        self.cluster.merge("pods", pod, {"status": status}, subresource="status")
        self.cluster.api.record_event(
            pod, type="Warning", reason=REASON, message=MESSAGE, component=self.name, host=node["metadata"]["name"]
        )


def _refused(pod: Json) -> bool:
    found = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(((item.get("state") or {}).get("waiting") or {}).get("reason") == REASON for item in found)


def _waiting(container: Json) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "started": False,
        "state": {"waiting": {"reason": REASON, "message": MESSAGE}},
        "lastState": {},
    }
