"""Notices silent nodes, taints them, and evicts what does not tolerate that.

Silence is judged by when *this* process saw a heartbeat change, never by the times written in it.
"""

import asyncio
from collections.abc import Iterable

from fakes.kube.controllers import node_health as rules
from fakes.kube.controllers import pods
from fakes.kube.reads import (
    Json,
    Key,
    condition,
    condition_is,
    is_deleting,
    key_of,
    uid_of,
    with_condition,
)
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer

GRACE_S = 50.0
CHECK_S = 5.0


class NodeLifecycle(Controller):
    """Keys are Nodes; each is looked at when it changes and every `CHECK_S`."""

    name = "node-controller"

    def __init__(self, cluster: Cluster, *, grace_s: float = GRACE_S) -> None:
        super().__init__(cluster)
        self._grace_s = grace_s
        self._nodes = cluster.informer("nodes")
        self._leases = cluster.informer("leases.coordination.k8s.io")
        self._pods = cluster.informer("pods")
        self._beats: dict[str, tuple[object, float]] = {}
        self._nodes.listen(self._on_node)
        self._leases.listen(self._on_lease)

    def needs(self) -> Iterable[Informer]:
        return self._nodes, self._leases, self._pods

    def _on_node(self, old: Json | None, new: Json | None) -> None:
        node = new or old
        if node is not None:
            self.queue.add(key_of(node))

    def _on_lease(self, _old: Json | None, new: Json | None) -> None:
        if new is not None and new["metadata"].get("namespace") == "kube-node-lease":
            self.queue.add(("", new["metadata"]["name"]))

    def reconcile(self, key: Key) -> None:
        node = self.cluster.fresh("nodes", key)
        if node is None:
            self._beats.pop(key[1], None)
            return
        if key[1] not in self._beats:
            self.event(node, "RegisteredNode", f"Node {key[1]} event: Registered Node {key[1]} in Controller")
        self._listen_to(key[1], node)
        self.queue.add_after(key, CHECK_S)
        if self._silent_s(key[1]) > self._grace_s:
            node = self._mark_unknown(node)
        if condition(node, "Ready") is not None and not condition_is(node, "Ready"):
            self._mark_pods(node)
        wanted = rules.taints(node, self.cluster.now())
        if wanted != ((node.get("spec") or {}).get("taints") or []):
            spec = {**(node.get("spec") or {}), "taints": wanted}
            self.cluster.update("nodes", {**node, "spec": spec})

    def _listen_to(self, name: str, node: Json) -> None:
        lease = self._leases.get(("kube-node-lease", name))
        renewed = (lease.get("spec") or {}).get("renewTime") if lease is not None else None
        ready = condition(node, "Ready") or {}
        # A status of our own making is no sign of life.
        posted = ready.get("lastHeartbeatTime") if ready.get("status") != "Unknown" else None
        heard, _when = self._beats.get(name, (None, 0.0))
        if name not in self._beats or ((posted, renewed) != heard and self._is_life(heard, (posted, renewed))):
            self._beats[name] = ((posted, renewed), asyncio.get_running_loop().time())

    @staticmethod
    def _is_life(before: object, now: tuple[object, object]) -> bool:
        known = before if isinstance(before, tuple) else (None, None)
        return any(new is not None and new != old for old, new in zip(known, now, strict=True))

    def _silent_s(self, name: str) -> float:
        return asyncio.get_running_loop().time() - self._beats[name][1]

    def _mark_unknown(self, node: Json) -> Json:
        conditions = rules.unknown_conditions(node, self.cluster.now())
        if conditions is None:
            return node
        status = {**(node.get("status") or {}), "conditions": conditions}
        made = self.cluster.update("nodes", {**node, "status": status}, subresource="status")
        name = node["metadata"]["name"]
        self.event(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        return made

    def _mark_pods(self, node: Json) -> None:
        """Nobody can vouch for them now, so nobody should send them traffic."""
        for seen in self._pods.indexed("node", node["metadata"]["name"]):
            pod = self.cluster.fresh("pods", key_of(seen))
            ready = condition(pod, "Ready") if pod is not None else None
            if pod is None or ready is None or ready["status"] != "True":
                continue
            new = {**ready, "status": "False", "lastTransitionTime": self.cluster.stamp()}
            conditions = with_condition(pod["status"]["conditions"], new)
            self.cluster.merge("pods", pod, {"status": {"conditions": conditions}}, subresource="status")
            self.event(pod, "NodeNotReady", "Node is not ready", warning=True)


class TaintEviction(Controller):
    """Keys are pods on nodes with NoExecute taints."""

    name = "taint-eviction-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._nodes = cluster.informer("nodes")
        self._pods = cluster.informer("pods")
        self._marked: set[str] = set()
        self._nodes.listen(self._on_node)
        self._pods.listen(self._on_pod)

    def needs(self) -> Iterable[Informer]:
        return self._nodes, self._pods

    def _on_node(self, old: Json | None, new: Json | None) -> None:
        if new is None or (old is not None and _lethal(old) == _lethal(new)):
            return
        for pod in self._pods.indexed("node", new["metadata"]["name"]):
            self.queue.add(key_of(pod))

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            if old is not None:
                self._marked.discard(uid_of(old))
            return
        node = self._nodes.get(("", new["spec"].get("nodeName") or ""))
        if node is not None and _lethal(node):
            self.queue.add(key_of(new))

    def reconcile(self, key: Key) -> None:
        pod = self.cluster.fresh("pods", key)
        if pod is None or is_deleting(pod) or pods.is_finished(pod):
            return
        node = self._nodes.get(("", pod["spec"].get("nodeName") or ""))
        now = self.cluster.now()
        due = rules.eviction_time(pod, _lethal(node), now) if node is not None else None
        name = "/".join(key)
        if due is None:
            if uid_of(pod) in self._marked:
                self._marked.discard(uid_of(pod))
                self.event(pod, "TaintManagerEviction", f"Cancelling deletion of Pod {name}")
        elif due > now:
            self._marked.add(uid_of(pod))
            self.queue.add_after(key, (due - now).total_seconds())
        else:
            self._evict(pod, name)

    def _evict(self, pod: Json, name: str) -> None:
        new = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": self.cluster.stamp(),
        }
        self.event(pod, "TaintManagerEviction", f"Marking for deletion Pod {name}")
        conditions = with_condition((pod.get("status") or {}).get("conditions"), new)
        self.cluster.merge("pods", pod, {"status": {"conditions": conditions}}, subresource="status")
        self.cluster.delete("pods", pod)


def _lethal(node: Json) -> list[Json]:
    """The taints that drive pods away."""
    return [item for item in (node.get("spec") or {}).get("taints") or () if item.get("effect") == "NoExecute"]
