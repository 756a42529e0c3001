"""The DaemonSet controller: one pod on each node that will have it.

Source: kubernetes pkg/controller/daemon, v1.32.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from fakes.kube.controllers import daemonset_rules as rules
from fakes.kube.controllers import pod_control, pods, revisions
from fakes.kube.controllers.rollout import scaled
from fakes.kube.reads import Json, Key, controller_of, is_deleting, key_of, labels_of, uid_of
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Again, Controller
from fakes.kube.reconcile.informer import Informer

SETS = "daemonsets.apps"
BATCH_S = 0.05
FAILED_BACKOFF_S = 1.0
"""How long the place of a pod that failed stays empty, at first; it doubles as the queue's retries do."""


@dataclass
class Pass:
    """One look at one set. revision: the hash of its present template. should: the nodes it belongs on."""

    owner: Json
    revision: str
    owned: dict[str, list[Json]]
    should: set[str]
    may_stay: set[str]
    refused: bool = False


class DaemonSetController(Controller):
    """Keys are DaemonSets."""

    name = "daemonset-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._sets = cluster.informer(SETS)
        self._pods = cluster.informer("pods")
        self._nodes = cluster.informer("nodes")
        self._revisions = cluster.informer(revisions.REVISIONS)
        self._sets.listen(self._on_set)
        self._pods.listen(self._on_pod)
        self._nodes.listen(self._on_node)

    def needs(self) -> Iterable[Informer]:
        return self._sets, self._pods, self._nodes, self._revisions

    def _on_set(self, _old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.queue.add(key_of(new))

    def _on_node(self, old: Json | None, new: Json | None) -> None:
        """A heartbeat changes nothing; labels, taints, coming and going do."""
        if old is None or new is None or _placing(old) != _placing(new):
            for owner in self._sets.all():
                self.queue.add_after(key_of(owner), BATCH_S)

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            owner = controller_of(pod) if pod is not None else None
            if pod is not None and owner is not None and owner["kind"] == "DaemonSet":
                self.queue.add_after((pod["metadata"]["namespace"], owner["name"]), BATCH_S)
        if new is not None and controller_of(new) is None and (old is None or labels_of(old) != labels_of(new)):
            near = self._sets.indexed("namespace", new["metadata"]["namespace"])
            for owner in pod_control.possible_owners(new, near):
                self.queue.add(key_of(owner))

    def reconcile(self, key: Key) -> None:
        owner = self.cluster.fresh(SETS, key)
        if owner is None:
            return
        known = revisions.history(self.cluster, owner)
        fits = {node["metadata"]["name"]: rules.fits(owner, node) for node in self._nodes.all()}
        work = Pass(
            owner,
            known.latest.rpartition("-")[2],
            {},
            {name for name, (may_start, _) in fits.items() if may_start},
            {name for name, (_, may_stay) in fits.items() if may_stay},
        )
        self._look(work)
        if not is_deleting(owner):
            self._place(work)
            self._update(work)
        self._report(work)
        name = owner["metadata"]["name"]
        used = {f"{name}-{rules.revision_of(pod)}" for found in work.owned.values() for pod in found}
        revisions.prune(self.cluster, owner, known, used)
        if work.refused:
            raise Again

    def _look(self, work: Pass) -> None:
        by_node = defaultdict(list)
        for pod in pod_control.claim(self.cluster, "pods", work.owner):
            by_node[rules.node_of(pod)].append(pod)
        work.owned = dict(by_node)

    def _place(self, work: Pass) -> None:
        """Remove what is wrong where it is, then fill the nodes that have none."""
        for node, present in work.owned.items():
            living = [pod for pod in present if not is_deleting(pod)]
            ended = [pod for pod in living if pods.is_finished(pod)]
            for pod in ended:
                self._replace_ended(work, pod, node)
            running = rules.to_keep(pod for pod in living if pod not in ended)
            if node in work.may_stay:
                running = running[1:]
            for pod in running:
                pod_control.delete_pod(self.cluster, work.owner, pod, self.event)
        bare = sorted(node for node in work.should if not work.owned.get(node))

        def create(place: int) -> bool:
            pod = rules.new_pod(work.owner, work.owner["spec"]["template"], work.revision, bare[place])
            return pod_control.create_pod(self.cluster, work.owner, pod, self.event)

        work.refused = pod_control.create_batches(len(bare), create) < len(bare)

    def _replace_ended(self, work: Pass, pod: Json, node: str) -> None:
        """A daemon is to run for ever: one that ended makes way for another, not too often."""
        ends = (pods.finished_at(pod) - self.cluster.now()).total_seconds() + FAILED_BACKOFF_S
        if ends > 0:
            self.queue.add_after(key_of(work.owner), ends)
            return
        kind = "Failed" if pods.phase(pod) == "Failed" else "Succeeded"
        verb = "kill" if kind == "Failed" else "delete"
        text = f"Found {kind.lower()} daemon pod {'/'.join(key_of(pod))} on node {node}, will try to {verb} it"
        self.event(work.owner, f"{kind}DaemonPod", text, warning=kind == "Failed")
        self.cluster.delete("pods", pod)
        self.queue.add_after(key_of(work.owner), BATCH_S)

    def _update(self, work: Pass) -> None:
        """Remove pods of old templates, no more at once than maxUnavailable; those that do not run go anyway."""
        strategy = work.owner["spec"].get("updateStrategy") or {}
        if strategy.get("type") != "RollingUpdate":
            return
        self._look(work)
        most = scaled((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), len(work.should), up=True)
        old, down = [], 0
        for node in sorted(work.should):
            living = [pod for pod in work.owned.get(node, ()) if not is_deleting(pod)]
            available = [pod for pod in living if self._is_available(work.owner, pod)]
            down += not available
            stale = [pod for pod in living if rules.revision_of(pod) != work.revision]
            for pod in stale:
                if pod in available:
                    old.append(pod)
                else:
                    pod_control.delete_pod(self.cluster, work.owner, pod, self.event)
        for pod in old[: max(0, most - down)]:
            pod_control.delete_pod(self.cluster, work.owner, pod, self.event)

    def _is_available(self, owner: Json, pod: Json) -> bool:
        wait_s = owner["spec"].get("minReadySeconds") or 0
        if pods.is_ready(pod) and not pods.is_available(pod, wait_s, self.cluster.now()):
            self.queue.add_after(key_of(owner), wait_s)
        return pods.is_available(pod, wait_s, self.cluster.now())

    def _report(self, work: Pass) -> None:
        self._look(work)
        owner, placed = work.owner, {node: rules.to_keep(found) for node, found in work.owned.items()}
        first = {node: found[0] for node, found in placed.items()}
        here = [first[node] for node in work.should if node in first]
        available = sum(1 for pod in here if self._is_available(owner, pod))
        status: Json = {
            "desiredNumberScheduled": len(work.should),
            "currentNumberScheduled": len(here),
            "numberMisscheduled": sum(1 for node in first if node not in work.should),
            "numberReady": sum(1 for pod in here if pods.is_ready(pod)),
            "numberAvailable": available,
            "numberUnavailable": len(work.should) - available,
            "updatedNumberScheduled": sum(1 for pod in here if rules.revision_of(pod) == work.revision),
            "observedGeneration": owner["metadata"].get("generation", 0),
        }
        always = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
        shown = {name: value for name, value in status.items() if value or name in always}
        now = self.cluster.fresh(SETS, key_of(owner))
        if now is not None and uid_of(now) == uid_of(owner) and shown != (now.get("status") or {}):
            self.cluster.update(SETS, {**owner, "status": shown}, subresource="status")


def _placing(node: Json) -> object:
    """What of a node decides whether a daemon belongs there."""
    spec = node.get("spec") or {}
    return labels_of(node), spec.get("taints"), spec.get("unschedulable")
