"""The StatefulSet controller: pods with names of their own, made and removed in order, each with its claims.

Source: kubernetes pkg/controller/statefulset/stateful_set_control.go, v1.32.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fakes.kube.api import ApiError
from fakes.kube.controllers import pod_control, pods, revisions
from fakes.kube.controllers import statefulset_pods as rules
from fakes.kube.reads import Json, Key, controller_of, is_deleting, key_of, labels_of, uid_of
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Again, Controller
from fakes.kube.reconcile.informer import Informer

SETS, CLAIMS = "statefulsets.apps", "persistentvolumeclaims"


@dataclass
class Pass:
    """One look at one set. current: the revision that pods have which the update has not reached."""

    owner: Json
    known: revisions.History
    current: str
    owned: dict[int, Json]

    @property
    def update(self) -> str:
        return self.known.latest

    @property
    def in_order(self) -> bool:
        return bool(self.owner["spec"].get("podManagementPolicy") != "Parallel")


class StatefulSetController(Controller):
    """Keys are StatefulSets."""

    name = "statefulset-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._sets = cluster.informer(SETS)
        self._pods = cluster.informer("pods")
        self._revisions = cluster.informer(revisions.REVISIONS)
        self._sets.listen(self._on_set)
        self._pods.listen(self._on_pod)

    def needs(self) -> Iterable[Informer]:
        return self._sets, self._pods, self._revisions

    def _on_set(self, _old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.queue.add(key_of(new))

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            owner = controller_of(pod) if pod is not None else None
            if pod is not None and owner is not None and owner["kind"] == "StatefulSet":
                self.queue.add((pod["metadata"]["namespace"], owner["name"]))
        if new is not None and controller_of(new) is None and (old is None or labels_of(old) != labels_of(new)):
            near = self._sets.indexed("namespace", new["metadata"]["namespace"])
            for owner in pod_control.possible_owners(new, near):
                self.queue.add(key_of(owner))

    def reconcile(self, key: Key) -> None:
        owner = self.cluster.fresh(SETS, key)
        if owner is None:
            return
        known = revisions.history(self.cluster, owner)
        current = (owner.get("status") or {}).get("currentRevision") or known.latest
        work = Pass(owner, known, current, {})
        self._look(work)
        try:
            if not is_deleting(owner):
                self._act(work)
        finally:
            self._report(work)
        revisions.prune(self.cluster, owner, known, {current, *(rules.revision_of(one) for one in work.owned.values())})

    def _look(self, work: Pass) -> None:
        owned = pod_control.claim(self.cluster, "pods", work.owner)
        numbered = ((rules.ordinal_of(pod, work.owner), pod) for pod in owned)
        work.owned = {number: pod for number, pod in numbered if number is not None}

    # one step, or with podManagementPolicy Parallel all that can be done at once

    def _act(self, work: Pass) -> None:
        wanted = rules.ordinals(work.owner)
        for number in wanted:
            if not self._keep(work, number) and work.in_order:
                return
        condemned = sorted((number for number in work.owned if number not in wanted), reverse=True)
        for number in condemned:
            self._dismiss(work, number, condemned)
            if work.in_order:
                return
        if not condemned or not work.in_order:
            self._update(work)

    def _keep(self, work: Pass, number: int) -> bool:
        """See that the pod with this number runs; whether the next one's turn has come."""
        pod = work.owned.get(number)
        if pod is None:
            self._create(work, number)
            return False
        self._settle_claims(work, pod, condemned=False)
        if pods.is_finished(pod):
            if not is_deleting(pod):
                text = f"StatefulSet {'/'.join(key_of(work.owner))} is recreating terminated Pod {key_of(pod)[1]}"
                self.event(work.owner, "RecreatingTerminatedPod", text)
                self.cluster.delete("pods", pod)
                self.queue.add(key_of(work.owner))
            return False
        return self._is_healthy(work.owner, pod)

    def _is_healthy(self, owner: Json, pod: Json) -> bool:
        """Running, ready for long enough, and not being deleted."""
        wait_s = owner["spec"].get("minReadySeconds") or 0
        if is_deleting(pod) or pods.phase(pod) != "Running" or not pods.is_ready(pod):
            return False
        if pods.is_available(pod, wait_s, self.cluster.now()):
            return True
        self.queue.add_after(key_of(owner), wait_s)
        return False

    def _create(self, work: Pass, number: int) -> None:
        revision = self._revision_for(work, number)
        template = work.known.template(revision) or work.owner["spec"]["template"]
        pod = rules.new_pod(work.owner, template, revision, number)
        name, owner = pod["metadata"]["name"], work.owner["metadata"]["name"]
        try:
            self._create_claims(work.owner, name)
            work.owned[number] = self.cluster.create("pods", pod)
        except ApiError as error:
            if pod_control.is_namespace_ending(error):
                return
            text = f"create Pod {name} in StatefulSet {owner} failed error: {error.message}"
            self.event(work.owner, "FailedCreate", text, warning=True)
            raise Again from error
        self.event(work.owner, "SuccessfulCreate", f"create Pod {name} in StatefulSet {owner} successful")
        self._settle_claims(work, work.owned[number], condemned=False)

    def _revision_for(self, work: Pass, number: int) -> str:
        """Pods below the partition of a rolling update come back as they were."""
        strategy = work.owner["spec"].get("updateStrategy") or {}
        if strategy.get("type") != "RollingUpdate":
            return work.update
        partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
        return work.current if number < rules.ordinals(work.owner).start + partition else work.update

    def _create_claims(self, owner: Json, pod_name: str) -> None:
        for claim in rules.new_claims(owner, pod_name):
            name = claim["metadata"]["name"]
            if self.cluster.fresh(CLAIMS, key_of(claim)) is None:
                self.cluster.create(CLAIMS, claim)
                text = f"create Claim {name} Pod {pod_name} in StatefulSet {owner['metadata']['name']} success"
                self.event(owner, "SuccessfulCreate", text)

    def _settle_claims(self, work: Pass, pod: Json, *, condemned: bool) -> None:
        """Have the pod's claims go, or stay, with the set and the pod as the retention policy says."""
        for claim in rules.new_claims(work.owner, pod["metadata"]["name"]):
            found = self.cluster.fresh(CLAIMS, key_of(claim))
            if found is None:
                continue
            owners = rules.claim_owners(work.owner, pod, found, condemned=condemned)
            if owners != (found["metadata"].get("ownerReferences") or []):
                self.cluster.merge(CLAIMS, found, {"metadata": {"ownerReferences": owners}})

    def _dismiss(self, work: Pass, number: int, condemned: list[int]) -> None:
        """Remove a pod that is one too many; of those that are ill the lowest first."""
        pod = work.owned[number]
        if is_deleting(pod):
            return
        ill = [one for one in sorted(condemned) if not self._is_healthy(work.owner, work.owned[one])]
        if work.in_order and number in ill[1:]:
            return
        self._settle_claims(work, pod, condemned=True)
        self._delete(work, pod)

    def _delete(self, work: Pass, pod: Json) -> None:
        if self.cluster.delete("pods", pod):
            text = f"delete Pod {pod['metadata']['name']} in StatefulSet {work.owner['metadata']['name']} successful"
            self.event(work.owner, "SuccessfulDelete", text)

    def _update(self, work: Pass) -> None:
        """Replace the highest pod that is not of the update revision, once those above it are well."""
        strategy = work.owner["spec"].get("updateStrategy") or {}
        if strategy.get("type") != "RollingUpdate":
            return
        wanted = rules.ordinals(work.owner)
        lowest = wanted.start + ((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        for number in reversed(wanted):
            pod = work.owned.get(number)
            if number < lowest or pod is None:
                return
            if rules.revision_of(pod) != work.update and not is_deleting(pod):
                self._delete(work, pod)
                return
            if not self._is_healthy(work.owner, pod):
                return

    # status

    def _report(self, work: Pass) -> None:
        self._look(work)
        owner, now = work.owner, self.cluster.now()
        present = [pod for pod in work.owned.values() if pod["metadata"]["name"]]
        ready = [pod for pod in present if pods.phase(pod) == "Running" and pods.is_ready(pod)]
        wait_s = owner["spec"].get("minReadySeconds") or 0
        live = [pod for pod in present if not is_deleting(pod)]
        updated = sum(1 for pod in live if rules.revision_of(pod) == work.update)
        current = sum(1 for pod in live if rules.revision_of(pod) == work.current)
        done = updated == len(present) == len(ready)
        if done and (owner["spec"].get("updateStrategy") or {}).get("type") == "RollingUpdate":
            work.current, current = work.update, updated
        status: Json = {
            "replicas": len(present),
            "readyReplicas": len(ready),
            "availableReplicas": sum(1 for pod in ready if pods.is_available(pod, wait_s, now)),
            "currentReplicas": current,
            "updatedReplicas": updated,
            "currentRevision": work.current,
            "updateRevision": work.update,
            "observedGeneration": owner["metadata"].get("generation", 0),
            "collisionCount": 0,
        }
        always = ("replicas", "availableReplicas", "collisionCount")
        shown = {name: value for name, value in status.items() if value or name in always}
        if shown != (owner.get("status") or {}) and self._is_there(owner):
            self.cluster.update(SETS, {**owner, "status": shown}, subresource="status")

    def _is_there(self, owner: Json) -> bool:
        found = self.cluster.fresh(SETS, key_of(owner))
        return found is not None and uid_of(found) == uid_of(owner)
