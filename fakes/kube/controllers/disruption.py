"""The disruption controller: how many pods of each PodDisruptionBudget may be evicted now.

Source: kubernetes pkg/controller/disruption/disruption.go, v1.32.
"""

from collections.abc import Iterable
from datetime import timedelta

from fakes.kube.clock import parse
from fakes.kube.controllers import pods
from fakes.kube.controllers.rollout import scaled
from fakes.kube.reads import (
    Json,
    Key,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    selects,
    with_condition,
)
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer
from fakes.kube.resources import by_kind

BATCH_S = 0.05
FORGET_S = 120.0
"""How long an evicted pod counts as gone while its deletion has not been seen."""
_SCALED = ("deployments.apps", "replicasets.apps", "statefulsets.apps")
_BUDGETS = "poddisruptionbudgets.policy"


class _NoScale(Exception):
    """How many pods there should be cannot be told; the message says why."""


class DisruptionController(Controller):
    """Keys are PodDisruptionBudgets."""

    name = "controllermanager"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._budgets = cluster.informer(_BUDGETS)
        self._pods = cluster.informer("pods")
        self._owners = {resource: cluster.informer(resource) for resource in _SCALED}
        self._budgets.listen(self._on_budget)
        self._pods.listen(self._on_change)
        for informer in self._owners.values():
            informer.listen(self._on_change)

    def needs(self) -> Iterable[Informer]:
        return self._budgets, self._pods, *self._owners.values()

    def _on_budget(self, _old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.queue.add(key_of(new))

    def _on_change(self, old: Json | None, new: Json | None) -> None:
        """Budgets are few: all of the namespace are looked at again, once for much news."""
        changed = new or old
        if changed is not None:
            for budget in self._budgets.indexed("namespace", changed["metadata"]["namespace"]):
                self.queue.add_after(key_of(budget), BATCH_S)

    def reconcile(self, key: Key) -> None:
        budget = self.cluster.fresh(_BUDGETS, key)
        if budget is None:
            return
        selector = budget["spec"].get("selector")
        covered = [pod for pod in self._pods.indexed("namespace", key[0]) if selects(selector, labels_of(pod))]
        if not covered and not (budget.get("status") or {}).get("conditions"):
            self.event(budget, "NoPods", "No matching pods found")
        try:
            expected, desired = self._expected(budget, covered)
        except _NoScale as why:
            text = f"Failed to calculate the number of expected pods: {why}"
            self.event(budget, "CalculateExpectedPodCountFailed", text, warning=True)
            self._write(budget, {"disruptionsAllowed": 0}, "SyncFailed", str(why))
            return
        disrupted = self._disrupted(budget, covered)
        healthy = sum(
            1
            for pod in covered
            if not is_deleting(pod) and pod["metadata"]["name"] not in disrupted and pods.is_ready(pod)
        )
        counts: Json = {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": max(0, healthy - desired) if expected > 0 else 0,
            "disruptedPods": disrupted,
        }
        self._write(budget, counts, "SufficientPods" if counts["disruptionsAllowed"] else "InsufficientPods", "")

    def _expected(self, budget: Json, covered: list[Json]) -> tuple[int, int]:
        """How many pods there should be, and how many of them must stay healthy. Raises _NoScale."""
        spec = budget["spec"]
        most = spec.get("maxUnavailable")
        if most is not None:
            expected = self._scale(covered)
            return expected, max(0, expected - scaled(most, expected, up=True))
        least = spec.get("minAvailable", 1)
        if isinstance(least, int):
            return len(covered), least
        expected = self._scale(covered)
        return expected, scaled(least, expected, up=True)

    def _scale(self, covered: list[Json]) -> int:
        """The replicas that the pods' controllers want together. Pods without one count for nothing."""
        wanted: dict[str, int] = {}
        for pod in covered:
            owner = controller_of(pod)
            if owner is not None:
                uid, replicas = self._replicas(pod["metadata"]["namespace"], owner)
                wanted[uid] = replicas
        return sum(wanted.values())

    def _replicas(self, namespace: str, reference: Json) -> tuple[str, int]:
        """(uid, replicas) of the workload on top: a ReplicaSet's Deployment, where it has one."""
        row = by_kind(reference["apiVersion"], reference["kind"])
        key = row.key if row is not None else ""
        if key not in self._owners:
            kind = key or f"{reference['kind'].lower()}s.{reference['apiVersion'].rpartition('/')[0]}"
            raise _NoScale(f"{kind} does not implement the scale subresource")
        found = self._owners[key].get((namespace, reference["name"]))
        if found is None or found["metadata"]["uid"] != reference["uid"]:
            return reference["uid"], 0  # it is going, and its pods with it
        above = controller_of(found)
        if above is not None and above["kind"] == "Deployment":
            return self._replicas(namespace, above)
        return reference["uid"], found["spec"].get("replicas", 1)

    def _disrupted(self, budget: Json, covered: list[Json]) -> Json:
        """The evicted pods whose deletion is still to be seen, with when they were evicted."""
        known: Json = (budget.get("status") or {}).get("disruptedPods") or {}
        alive = {pod["metadata"]["name"] for pod in covered if not is_deleting(pod)}
        kept = {}
        for name, since in known.items():
            left = (parse(since) + timedelta(seconds=FORGET_S) - self.cluster.now()).total_seconds()
            if name in alive and left > 0:
                kept[name] = since
                self.queue.add_after(key_of(budget), left)
        return kept

    def _write(self, budget: Json, counts: Json, reason: str, message: str) -> None:
        old = budget.get("status") or {}
        allowed = counts["disruptionsAllowed"] > 0
        generation = budget["metadata"].get("generation", 0)
        new = {
            "type": "DisruptionAllowed",
            "status": "True" if allowed else "False",
            "reason": reason,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": self.cluster.stamp(),
        }
        conditions = with_condition(old.get("conditions"), new)
        status = {**old, **counts, "conditions": conditions, "observedGeneration": generation}
        if not status.get("disruptedPods"):
            status.pop("disruptedPods", None)
        if status != old:
            self.cluster.update(_BUDGETS, {**budget, "status": status}, subresource="status")
