"""The scheduler at work: follows pods and nodes, decides one pod at a time, binds or says why not.

What is placed where is kept in memory from the watches, and a pod counts on its node from the moment it is bound here.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from fakes.kube.api import ApiError
from fakes.kube.reads import (
    SELECTED_NODE,
    Json,
    Key,
    annotations_of,
    class_of,
    condition,
    labels_of,
    selects,
    with_condition,
)
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.scheduler import message, volumes
from fakes.kube.scheduler.decide import Outcome, Preemption, Round, preempt
from fakes.kube.scheduler.nodes import Nodes
from fakes.kube.scheduler.pod import PodFacts, facts
from fakes.kube.scheduler.queue import SchedulingQueue, Waiting

log = logging.getLogger(__name__)

NAME = "default-scheduler"

# Which change may cure which filter's objection.
FREED = frozenset({"NodeResourcesFit", "NodePorts", "InterPodAffinity", "PodTopologySpread"})
ARRIVED = frozenset({"InterPodAffinity", "PodTopologySpread"})
CLAIMS = frozenset({"VolumeBinding"})


class Scheduler:
    """Places every pod that names it and has no node."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.informer("pods")
        self._nodes_seen = cluster.informer("nodes")
        self._namespaces = cluster.informer("namespaces")
        self._claims = cluster.informer("persistentvolumeclaims")
        self._classes = cluster.informer("storageclasses.storage.k8s.io")
        self._budgets = cluster.informer("poddisruptionbudgets.policy")
        self._nodes = Nodes()
        self._queue = SchedulingQueue()
        self._keys: dict[str, Key] = {}
        self._nominated: dict[str, dict[str, PodFacts]] = {}

    async def run(self) -> None:
        """Schedule until cancelled."""
        self._nodes_seen.listen(self._on_node)
        self._pods.listen(self._on_pod)
        self._claims.listen(lambda _old, _new: self._stir(CLAIMS))
        seen = (self._nodes_seen, self._pods, self._namespaces, self._claims, self._classes, self._budgets)
        for informer in seen:
            await informer.ready.wait()
        try:
            while True:
                waiting = await self._queue.get()
                self._attempt(waiting)
                await asyncio.sleep(0)
        finally:
            self._queue.close()

    # following the cluster

    def _on_node(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            if old is not None:
                self._nodes.forget(old["metadata"]["name"])
            return
        self._nodes.put(new)
        if old is None or _offer(old) != _offer(new):
            self._queue.stir(lambda _waiting: True)

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if old is not None and (new is None or old["metadata"]["uid"] != new["metadata"]["uid"]):
            self._leave(old["metadata"]["uid"])
        if new is None:
            return
        uid = new["metadata"]["uid"]
        if _is_over(new):
            self._leave(uid)
        elif new["spec"].get("nodeName"):
            self._arrive(new, old)
        elif _is_ours(new):
            self._keys[uid] = (new["metadata"].get("namespace", ""), new["metadata"]["name"])
            self._queue.add(uid, new["spec"].get("priority") or 0)
        else:
            self._queue.remove(uid)
            self._drop_nomination(uid)

    def _arrive(self, pod: Json, old: Json | None) -> None:
        uid = pod["metadata"]["uid"]
        self._queue.remove(uid)
        self._keys.pop(uid, None)
        self._drop_nomination(uid)
        self._nodes.place(facts(pod), pod["spec"]["nodeName"])
        if old is None or not old["spec"].get("nodeName") or labels_of(old) != labels_of(pod):
            self._stir(ARRIVED)

    def _leave(self, uid: str) -> None:
        self._queue.remove(uid)
        self._keys.pop(uid, None)
        freed = self._drop_nomination(uid)
        if self._nodes.displace(uid) or freed:
            self._stir(FREED)

    def _stir(self, plugins: frozenset[str]) -> None:
        self._queue.stir(lambda waiting: bool(plugins & waiting.plugins))

    def _drop_nomination(self, uid: str) -> bool:
        for node, pods in list(self._nominated.items()):
            if pods.pop(uid, None) is not None:
                if not pods:
                    del self._nominated[node]
                return True
        return False

    # one attempt

    def _attempt(self, waiting: Waiting) -> None:
        key = self._keys.get(waiting.uid)
        pod = self._pods.get(key) if key is not None else None
        if pod is None or pod["metadata"]["uid"] != waiting.uid or not _is_ours(pod):
            self._queue.remove(waiting.uid)
            return
        try:
            self._schedule(waiting, pod)
        except ApiError as error:
            log.info("scheduling retries pod=%s/%s error=%s", *(key or ("", "")), error.message)
            self._queue.back_off(waiting)
        except Exception:
            log.exception("scheduling fails pod=%s/%s", *(key or ("", "")))
            self._queue.back_off(waiting)

    def _schedule(self, waiting: Waiting, pod: Json) -> None:
        nodes = self._nodes.all()
        if not nodes:
            self._fail(waiting, pod, message.NO_NODES, frozenset())
            return
        problem = volumes.objection(pod, self._claim_of(pod), self._is_late)
        if problem:
            refused = f"preemption: {message.fit_error(len(nodes), [message.NOT_HELPFUL] * len(nodes))}"
            self._fail(waiting, pod, message.blocked(len(nodes), problem, preemption=refused), CLAIMS)
            return
        known = facts(pod)
        nominations = {name: list(pods.values()) for name, pods in self._nominated.items()}
        attempt = Round(known, nodes, nominations, self._namespace_labels)
        outcome = attempt.outcome()
        if outcome.node and (late := volumes.late(pod, self._claim_of(pod))):
            self._await_volumes(waiting, late, outcome.node)
        elif outcome.node:
            self._bind(pod, known, outcome.node)
        else:
            self._reject(waiting, pod, attempt, outcome)

    def _claim_of(self, pod: Json) -> Callable[[str], Json | None]:
        return lambda name: self._claims.get((pod["metadata"]["namespace"], name))

    def _is_late(self, claim: Json) -> bool:
        storage_class = self._classes.get(("", class_of(claim))) or {}
        return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    def _await_volumes(self, waiting: Waiting, claims: list[Json], node: str) -> None:
        """Name the node to those who make the volumes. The pod is placed anew when it has them."""
        self._queue.shelve(waiting, CLAIMS)
        for claim in claims:
            if SELECTED_NODE not in annotations_of(claim):
                body = {"metadata": {"annotations": {SELECTED_NODE: node}}}
                self._cluster.merge("persistentvolumeclaims", claim, body)

    def _bind(self, pod: Json, known: PodFacts, node: str) -> None:
        self._cluster.api.bind(known.namespace, known.name, node)
        bound = self._cluster.fresh("pods", (known.namespace, known.name))
        if bound is not None:
            self._pods.apply(bound)
        text = f"Successfully assigned {known.namespace}/{known.name} to {node}"
        self._event(pod, "Scheduled", text)
        log.info("bound pod=%s/%s node=%s", known.namespace, known.name, node)

    def _reject(self, waiting: Waiting, pod: Json, attempt: Round, outcome: Outcome) -> None:
        found = self._preempt(pod, attempt, outcome)
        text = message.fit_error(len(attempt.nodes), outcome.reasons(), preemption=found.text)
        if found.node:
            self._nominate(pod, attempt.pod, found)
        elif pod.get("status", {}).get("nominatedNodeName") and found.text.startswith("preemption: 0/"):
            self._drop_nomination(waiting.uid)
            self._write_status(pod, {"nominatedNodeName": None})
        self._fail(waiting, pod, text, outcome.plugins())

    def _fail(self, waiting: Waiting, pod: Json, text: str, plugins: frozenset[str]) -> None:
        # On the shelf before anything is written: our own writes come back as changes of this very pod.
        self._queue.shelve(waiting, plugins)
        now = condition(pod, "PodScheduled") or {}
        self._event(pod, "FailedScheduling", text, warning=True)
        if (now.get("status"), now.get("reason"), now.get("message")) != ("False", "Unschedulable", text):
            self._write_condition(pod, "PodScheduled", "False", "Unschedulable", text)

    # preemption

    def _preempt(self, pod: Json, attempt: Round, outcome: Outcome) -> Preemption:
        if pod["spec"].get("preemptionPolicy") == "Never":
            return Preemption(text="preemption: not eligible due to preemptionPolicy=Never.")
        nominated = self._nodes.get((pod.get("status") or {}).get("nominatedNodeName") or "")
        if nominated is not None and any(
            other.deleting and other.priority < attempt.pod.priority for other in nominated.pods.values()
        ):
            return Preemption(text="preemption: not eligible due to a terminating pod on the nominated node.")
        return preempt(attempt, outcome, self._is_protected)

    def _nominate(self, pod: Json, known: PodFacts, found: Preemption) -> None:
        for victim in found.victims:
            self._evict(victim, known, found.node)
        self._drop_nomination(known.uid)
        self._nominated.setdefault(found.node, {})[known.uid] = known
        self._write_status(pod, {"nominatedNodeName": found.node})

    def _evict(self, victim: PodFacts, winner: PodFacts, node: str) -> None:
        pod = self._cluster.fresh("pods", (victim.namespace, victim.name))
        if pod is None or pod["metadata"]["uid"] != victim.uid or pod["metadata"].get("deletionTimestamp"):
            return
        text = f"{NAME}: preempting to accommodate a higher priority pod"
        self._write_condition(pod, "DisruptionTarget", "True", "PreemptionByScheduler", text)
        self._cluster.delete("pods", pod)
        self._event(pod, "Preempted", f"Preempted by pod {winner.uid} on node {node}")

    def _is_protected(self, pod: PodFacts) -> bool:
        return any(
            selects(budget["spec"].get("selector"), dict(pod.labels))
            and (budget.get("status") or {}).get("disruptionsAllowed", 0) <= 0
            for budget in self._budgets.indexed("namespace", pod.namespace)
        )

    # writing

    def _namespace_labels(self, namespace: str) -> Mapping[str, str]:
        found = self._namespaces.get(("", namespace))
        return labels_of(found) if found is not None else {}

    def _write_condition(self, pod: Json, kind: str, status: str, reason: str, text: str) -> None:
        fresh = self._cluster.fresh("pods", (pod["metadata"]["namespace"], pod["metadata"]["name"]))
        if fresh is None or fresh["metadata"]["uid"] != pod["metadata"]["uid"]:
            return
        new = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": text,
            "lastProbeTime": None,
            "lastTransitionTime": self._cluster.stamp(),
        }
        self._write_status(fresh, {"conditions": with_condition(fresh.get("status", {}).get("conditions"), new)})

    def _write_status(self, pod: Json, status: Json) -> None:
        self._cluster.merge("pods", pod, {"status": status}, subresource="status")

    def _event(self, pod: Json, reason: str, text: str, *, warning: bool = False) -> None:
        kind = "Warning" if warning else "Normal"
        self._cluster.api.record_event(pod, type=kind, reason=reason, message=text, component=NAME)


def _is_ours(pod: Json) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and (spec.get("schedulerName") or NAME) == NAME
        and not spec.get("schedulingGates")
        and not pod["metadata"].get("deletionTimestamp")
    )


def _is_over(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _offer(node: Json) -> tuple[object, ...]:
    """What of a node can change a verdict; heartbeats cannot."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return labels_of(node), spec.get("taints"), spec.get("unschedulable"), status.get("allocatable")
