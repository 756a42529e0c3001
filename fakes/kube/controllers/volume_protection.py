"""Lets deleted claims go when no pod has them any more, and deleted volumes when no claim has.

Source: kubernetes pkg/controller/volume/{pvcprotection,pvprotection}, v1.32.
"""

from collections.abc import Iterable

from fakes.kube.controllers.volume_rules import phase_of
from fakes.kube.reads import Json, Key, claim_name, draft, is_deleting, key_of
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
FINALIZERS = {CLAIMS: "kubernetes.io/pvc-protection", VOLUMES: "kubernetes.io/pv-protection"}


class VolumeProtection(Controller):
    """Two keys: (namespace, name) is a claim, ("", name) a volume."""

    name = "volume-protection-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._pods = cluster.informer("pods")
        self._claims = cluster.informer(CLAIMS)
        self._volumes = cluster.informer(VOLUMES)
        self._pods.listen(self._on_pod)
        for informer in (self._claims, self._volumes):
            informer.listen(self._on_storage)

    def needs(self) -> Iterable[Informer]:
        return self._pods, self._claims, self._volumes

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if old is None or not (new is None or is_deleting(new)):
            return
        for claim in self._claims_of(old):
            self.queue.add(key_of(claim))

    def _claims_of(self, pod: Json) -> Iterable[Json]:
        namespace = pod["metadata"]["namespace"]
        names = (claim_name(pod, volume) for volume in pod["spec"].get("volumes") or ())
        found = (self._claims.get((namespace, name)) for name in names if name)
        return [claim for claim in found if claim is not None and is_deleting(claim)]

    def _on_storage(self, _old: Json | None, new: Json | None) -> None:
        if new is not None and is_deleting(new):
            self.queue.add(key_of(new))

    def reconcile(self, key: Key) -> None:
        resource = CLAIMS if key[0] else VOLUMES
        obj = self.cluster.fresh(resource, key)
        if obj is None or not is_deleting(obj) or FINALIZERS[resource] not in (obj["metadata"].get("finalizers") or ()):
            return
        if self._is_used(obj) if key[0] else phase_of(obj) == "Bound":
            return
        changed = draft(obj)
        changed["metadata"]["finalizers"].remove(FINALIZERS[resource])
        self.cluster.update(resource, changed)

    def _is_used(self, claim: Json) -> bool:
        """By a pod that has a node. One that only its dependents hold back has let go of everything."""
        pods = self._pods.indexed("claim", "/".join(key_of(claim)))
        return any(pod["spec"].get("nodeName") and not _is_shut_down(pod) for pod in pods)


def _is_shut_down(pod: Json) -> bool:
    return is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0
