"""The Deployment controller: moves pods from old ReplicaSets to the one of the present template.

Source: kubernetes pkg/controller/deployment, v1.32.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fakes.kube.api import ApiError
from fakes.kube.controllers import pod_control, pods, rollout
from fakes.kube.controllers.deployment_status import deadline_left_s, status_of
from fakes.kube.reads import (
    Json,
    Key,
    annotations_of,
    condition,
    controller_of,
    draft,
    is_deleting,
    key_of,
    labels_of,
    owner_reference,
    uid_of,
)
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Again, Controller
from fakes.kube.reconcile.informer import Informer

# Annotations of the Deployment that its ReplicaSets do not copy.
_OWN_ANNOTATIONS = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        rollout.REVISION,
        rollout.REVISION_HISTORY,
        rollout.DESIRED,
        rollout.MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)


@dataclass(slots=True)
class Rollout:
    """One pass: the Deployment, its old ReplicaSets, and the new one (None until it is made)."""

    deployment: Json
    old: list[Json]
    new: Json | None
    created: bool = False

    def sets(self) -> list[Json]:
        return [*self.old, *([self.new] if self.new is not None else [])]

    def active_old(self) -> list[Json]:
        return [one for one in self.old if rollout.replicas_of(one) > 0]


class DeploymentController(Controller):
    """Keys are Deployments."""

    name = "deployment-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._deployments = cluster.informer("deployments.apps")
        self._sets = cluster.informer("replicasets.apps")
        self._pods = cluster.informer("pods")
        self._deployments.listen(self._on_deployment)
        self._sets.listen(self._on_set)
        self._pods.listen(self._on_pod)

    def needs(self) -> Iterable[Informer]:
        return self._deployments, self._sets, self._pods

    def _on_deployment(self, _old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.queue.add(key_of(new))

    def _on_set(self, old: Json | None, new: Json | None) -> None:
        for one in (old, new):
            owner = controller_of(one) if one is not None else None
            if one is not None and owner is not None and owner["kind"] == "Deployment":
                self.queue.add((one["metadata"]["namespace"], owner["name"]))
        if new is not None and controller_of(new) is None and (old is None or labels_of(old) != labels_of(new)):
            near = self._deployments.indexed("namespace", new["metadata"]["namespace"])
            for owner in pod_control.possible_owners(new, near):
                self.queue.add(key_of(owner))

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        """A pod that is gone may let a Recreate go on."""
        if old is None or (new is not None and not pods.is_finished(new)):
            return
        parent = controller_of(old)
        owner = self._sets.get((old["metadata"]["namespace"], parent["name"])) if parent is not None else None
        deployment = controller_of(owner) if owner is not None else None
        if deployment is not None:
            self.queue.add((old["metadata"]["namespace"], deployment["name"]))

    def reconcile(self, key: Key) -> None:
        deployment = self.cluster.fresh("deployments.apps", key)
        if deployment is None:
            return
        sets = pod_control.claim(self.cluster, "replicasets.apps", deployment)
        work = self._sort(deployment, sets)
        if not is_deleting(deployment):
            self._act(work)
        self._report(work)

    def _sort(self, deployment: Json, sets: list[Json]) -> Rollout:
        """Which set is the new one: of those with the present template, the oldest."""
        sets = sorted(sets, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))
        template = rollout.bare_template(deployment["spec"]["template"])
        same = [one for one in sets if rollout.bare_template(one["spec"]["template"]) == template]
        new = same[0] if same else None
        return Rollout(deployment, [one for one in sets if one is not new], new)

    def _act(self, work: Rollout) -> None:
        if work.deployment["spec"].get("paused") or self._was_scaled(work):
            self._mark(work)
            self._scale_all(work)
        elif rollout.is_rolling(work.deployment):
            self._roll(work)
        else:
            self._recreate(work)
        if work.new is not None and rollout.is_complete(work.deployment, status_of_now(self, work)):
            self._forget_history(work)

    def _was_scaled(self, work: Rollout) -> bool:
        wanted = str(rollout.replicas_of(work.deployment))
        return any(
            annotations_of(one).get(rollout.DESIRED, wanted) != wanted
            for one in work.sets()
            if rollout.replicas_of(one) > 0
        )

    # strategies

    def _roll(self, work: Rollout) -> None:
        self._ensure_new(work)
        if work.new is None:
            return
        size = rollout.replicas_of(work.new)
        wanted = rollout.replicas_of(work.deployment)
        if size > wanted:
            self._scale(work, work.new, wanted)
            return
        grown = rollout.new_set_replicas(work.deployment, work.sets(), size)
        if grown != size:
            self._scale(work, work.new, grown)
            return
        self._shrink_old(work)

    def _shrink_old(self, work: Rollout) -> None:
        if work.new is None or not work.active_old():
            return
        spare = rollout.cleanup_count(work.deployment, work.active_old(), work.new)
        if spare <= 0:
            return
        self._drop_unhealthy(work, spare)
        minimum = rollout.replicas_of(work.deployment) - rollout.max_unavailable(work.deployment)
        left = rollout.status_total(work.sets(), "availableReplicas") - minimum
        for one in work.active_old():
            if left <= 0:
                return
            cut = min(rollout.replicas_of(one), left)
            self._scale(work, one, rollout.replicas_of(one) - cut)
            left -= cut

    def _drop_unhealthy(self, work: Rollout, spare: int) -> None:
        """Old pods that are not available go first: they only take up room."""
        for one in work.active_old():
            size = rollout.replicas_of(one)
            cut = min(spare, size - rollout.status_total([one], "availableReplicas"))
            if cut > 0:
                self._scale(work, one, size - cut)
                spare -= cut

    def _recreate(self, work: Rollout) -> None:
        if work.active_old():
            for one in work.active_old():
                self._scale(work, one, 0)
            return
        left = [pod for one in work.old for pod in self._pods.indexed("owner", uid_of(one))]
        if not all(map(pods.is_finished, left)):
            return  # the last old pod must be gone before the first new one comes
        self._ensure_new(work)
        if work.new is not None and rollout.replicas_of(work.new) != rollout.replicas_of(work.deployment):
            self._scale(work, work.new, rollout.replicas_of(work.deployment))

    def _scale_all(self, work: Rollout) -> None:
        """Carry a change of spec.replicas through, without moving pods between sets."""
        active = [one for one in work.sets() if rollout.replicas_of(one) > 0]
        wanted = rollout.replicas_of(work.deployment)
        latest = work.new or (work.old[-1] if work.old else None)
        if len(active) <= 1 and latest is not None:
            self._scale(work, active[0] if active else latest, wanted)
        elif work.new is not None and _is_saturated(work.new, wanted):
            for one in work.active_old():
                self._scale(work, one, 0)
        elif rollout.is_rolling(work.deployment):
            sizes = rollout.proportions(work.deployment, active)
            for one in active:
                self._scale(work, one, sizes[one["metadata"]["name"]])

    # ReplicaSets

    def _ensure_new(self, work: Rollout) -> None:
        if work.new is None:
            work.new = self._create(work)
            work.created = True
        self._mark(work)

    def _mark(self, work: Rollout) -> None:
        """Give the new set the next revision number, and let the Deployment show it."""
        if work.new is None:
            return
        revision = max(map(rollout.revision_of, work.old), default=0) + 1
        known = rollout.revision_of(work.new)
        notes = {**annotations_of(work.new), **_copied(work.deployment)}
        if known < revision:
            notes[rollout.REVISION] = str(revision)
            if known:
                past = annotations_of(work.new).get(rollout.REVISION_HISTORY)
                notes[rollout.REVISION_HISTORY] = f"{past},{known}" if past else str(known)
        waits = work.deployment["spec"].get("minReadySeconds") or 0
        if notes != annotations_of(work.new) or (work.new["spec"].get("minReadySeconds") or 0) != waits:
            changed = draft(work.new)
            changed["metadata"]["annotations"] = notes
            changed["spec"]["minReadySeconds"] = waits
            self._replace(work, work.new, self.cluster.update("replicasets.apps", changed))
        shown = notes[rollout.REVISION]
        if annotations_of(work.deployment).get(rollout.REVISION) != shown:
            body = {"metadata": {"annotations": {rollout.REVISION: shown}}}
            work.deployment = self.cluster.merge("deployments.apps", work.deployment, body)

    def _create(self, work: Rollout) -> Json | None:
        deployment = work.deployment
        collisions = (deployment.get("status") or {}).get("collisionCount") or 0
        size = rollout.new_set_replicas(deployment, work.old, 0)
        made = new_set(deployment, collisions=collisions, replicas=size)
        try:
            made = self.cluster.create("replicasets.apps", made)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                self._collide(deployment, collisions)
                raise Again from error
            if not pod_control.is_namespace_ending(error):
                text = f'Failed to create new replica set "{made["metadata"]["name"]}": {error.message}'
                self.event(deployment, "ReplicaSetCreateError", text, warning=True)
            raise
        if size > 0:
            text = f"Scaled up replica set {made['metadata']['name']} from 0 to {size}"
            self.event(deployment, "ScalingReplicaSet", text)
        return made

    def _collide(self, deployment: Json, collisions: int) -> None:
        """Another set, with another template, has the name: the next attempt takes another one."""
        status = {**(deployment.get("status") or {}), "collisionCount": collisions + 1}
        self.cluster.update("deployments.apps", {**deployment, "status": status}, subresource="status")

    def _scale(self, work: Rollout, one: Json, size: int) -> None:
        """Set a set's size and the notes that tell a later scaling from a rollout."""
        deployment = work.deployment
        before = rollout.replicas_of(one)
        notes = {
            **annotations_of(one),
            rollout.DESIRED: str(rollout.replicas_of(deployment)),
            rollout.MAXIMUM: str(rollout.max_replicas(deployment)),
        }
        if before == size and notes == annotations_of(one):
            return
        changed = draft(one)
        changed["spec"]["replicas"] = size
        changed["metadata"]["annotations"] = notes
        self._replace(work, one, self.cluster.update("replicasets.apps", changed))
        if before != size:
            way = "up" if size > before else "down"
            text = f"Scaled {way} replica set {one['metadata']['name']} from {before} to {size}"
            self.event(deployment, "ScalingReplicaSet", text)

    def _replace(self, work: Rollout, before: Json, after: Json) -> None:
        if work.new is before:
            work.new = after
        else:
            work.old = [after if one is before else one for one in work.old]

    def _forget_history(self, work: Rollout) -> None:
        limit = work.deployment["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        idle = [
            one
            for one in work.old
            if rollout.replicas_of(one) == 0
            and rollout.status_total([one], "replicas") == 0
            and not is_deleting(one)
            and (one.get("status") or {}).get("observedGeneration", 0) >= one["metadata"].get("generation", 0)
        ]
        idle.sort(key=rollout.revision_of)
        for one in idle[: max(0, len(idle) - limit)]:
            self.cluster.delete("replicasets.apps", one, propagation="Background")
            work.old.remove(one)

    # status

    def _report(self, work: Rollout) -> None:
        status = status_of_now(self, work)
        left = deadline_left_s(work.deployment, status, self.cluster.now())
        if left is not None:
            self.queue.add_after(key_of(work.deployment), max(left, 0) + 1)
        if status == (work.deployment.get("status") or {}):
            return
        self.cluster.update("deployments.apps", {**work.deployment, "status": status}, subresource="status")
        if condition({"status": status}, "Progressing") != condition(work.deployment, "Progressing"):
            self.queue.add(key_of(work.deployment))


def status_of_now(controller: DeploymentController, work: Rollout) -> Json:
    """The status as of this instant."""
    return status_of(work.deployment, work.sets(), work.new, controller.cluster.now(), created=work.created)


def new_set(deployment: Json, *, collisions: int, replicas: int) -> Json:
    """The ReplicaSet of the present template."""
    template = draft(deployment["spec"]["template"])
    name = rollout.template_hash(deployment["spec"]["template"], collisions)
    meta = template.setdefault("metadata", {})
    meta["labels"] = {**(meta.get("labels") or {}), rollout.HASH_LABEL: name}
    selector = draft(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), rollout.HASH_LABEL: name}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment['metadata']['name']}-{name}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": meta["labels"],
            "annotations": {
                **_copied(deployment),
                rollout.DESIRED: str(rollout.replicas_of(deployment)),
                rollout.MAXIMUM: str(rollout.max_replicas(deployment)),
            },
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": deployment["spec"].get("minReadySeconds") or 0,
            "selector": selector,
            "template": template,
        },
    }


def _is_saturated(one: Json, wanted: int) -> bool:
    """Has the set all the pods it should have, and all available?"""
    return rollout.replicas_of(one) == wanted == rollout.status_total([one], "availableReplicas")


def _copied(deployment: Json) -> dict[str, str]:
    return {name: value for name, value in annotations_of(deployment).items() if name not in _OWN_ANNOTATIONS}
