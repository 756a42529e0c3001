"""The ReplicaSet controller: as many active pods as asked for, no more.

A pod that failed is replaced at once, without back-off: that is what the real one does.
Source: kubernetes pkg/controller/replicaset, v1.32.
"""

from collections import Counter
from collections.abc import Iterable

from fakes.kube.controllers import pod_control, pods
from fakes.kube.reads import (
    Json,
    Key,
    condition,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    owner_uid,
    uid_of,
    with_condition,
)
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Again, Controller
from fakes.kube.reconcile.informer import Informer

MAX_CHANGES_PER_SYNC = 500
# A pass costs a look at each of the set's pods, so the news of many pods is worth collecting.
BATCH_S = 0.05


class ReplicaSetController(Controller):
    """Keys are ReplicaSets."""

    name = "replicaset-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._sets = cluster.informer("replicasets.apps")
        self._pods = cluster.informer("pods")
        self._sets.listen(self._on_set)
        self._pods.listen(self._on_pod)

    def needs(self) -> Iterable[Informer]:
        return self._sets, self._pods

    def _on_set(self, _old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.queue.add(key_of(new))

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            owner = controller_of(pod) if pod is not None else None
            if pod is not None and owner is not None and owner["kind"] == "ReplicaSet":
                self.queue.add_after((pod["metadata"]["namespace"], owner["name"]), BATCH_S)
        if new is not None and controller_of(new) is None and (old is None or labels_of(old) != labels_of(new)):
            near = self._sets.indexed("namespace", new["metadata"]["namespace"])
            for owner in pod_control.possible_owners(new, near):
                self.queue.add(key_of(owner))

    def reconcile(self, key: Key) -> None:
        owner = self.cluster.fresh("replicasets.apps", key)
        if owner is None:
            return
        owned = pod_control.claim(self.cluster, "pods", owner)
        refusal = "" if is_deleting(owner) else self._manage(owner, [pod for pod in owned if pods.is_active(pod)])
        self._report(owner, refusal)
        if refusal:
            raise Again

    def _manage(self, owner: Json, active: list[Json]) -> str:
        """Make or remove pods. Returns why not all could be made."""
        missing = _wanted(owner) - len(active)
        if missing < 0:
            self._remove(owner, active, min(-missing, MAX_CHANGES_PER_SYNC))
            return ""
        count = min(missing, MAX_CHANGES_PER_SYNC)

        def create(_place: int) -> bool:
            pod = pods.from_template(owner["spec"]["template"], owner)
            return pod_control.create_pod(self.cluster, owner, pod, self.event)

        made = pod_control.create_batches(count, create)
        if count == MAX_CHANGES_PER_SYNC < missing:
            self.queue.add(key_of(owner))
        return "" if made == count else f"{count - made} of {count} pods could not be created; see the events"

    def _remove(self, owner: Json, active: list[Json], count: int) -> None:
        crowds = self._crowds(owner)
        ranked = sorted(
            active, key=lambda pod: pods.removal_order(pod, crowd=crowds[pod["spec"].get("nodeName") or ""])
        )
        for pod in ranked[:count]:
            pod_control.delete_pod(self.cluster, owner, pod, self.event)

    def _crowds(self, owner: Json) -> Counter[str]:
        """Active pods per node, of this set and its siblings, so that a rollout thins crowded nodes."""
        parent = owner_uid(owner)
        related = self._sets.indexed("owner", parent) if parent else [owner]
        return Counter(
            pod["spec"].get("nodeName") or ""
            for one in related
            for pod in self._pods.indexed("owner", uid_of(one))
            if pods.is_active(pod)
        )

    def _report(self, owner: Json, refusal: str) -> None:
        active = [pod for pod in self._pods.indexed("owner", uid_of(owner)) if pods.is_active(pod)]
        now = self.cluster.now()
        wait_s = owner["spec"].get("minReadySeconds") or 0
        template_labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
        ready = [pod for pod in active if pods.is_ready(pod)]
        available = [pod for pod in ready if pods.is_available(pod, wait_s, now)]
        if len(available) < len(ready):
            self.queue.add_after(key_of(owner), wait_s)
        status: Json = {
            "replicas": len(active),
            "fullyLabeledReplicas": sum(1 for pod in active if template_labels.items() <= labels_of(pod).items()),
            "readyReplicas": len(ready),
            "availableReplicas": len(available),
            "observedGeneration": owner["metadata"].get("generation", 0),
            "conditions": self._conditions(owner, refusal),
        }
        shown = {name: value for name, value in status.items() if value or name == "replicas"}
        if shown != (owner.get("status") or {}):
            self.cluster.update("replicasets.apps", {**owner, "status": shown}, subresource="status")

    def _conditions(self, owner: Json, refusal: str) -> list[Json]:
        present: list[Json] = (owner.get("status") or {}).get("conditions") or []
        if not refusal:
            return [item for item in present if item["type"] != "ReplicaFailure"]
        if condition(owner, "ReplicaFailure") is not None:
            return present
        new = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": refusal,
            "lastTransitionTime": self.cluster.stamp(),
        }
        return with_condition(present, new)


def _wanted(owner: Json) -> int:
    value = owner["spec"].get("replicas")
    return 1 if value is None else int(value)
