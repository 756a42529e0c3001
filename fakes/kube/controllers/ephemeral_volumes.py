"""Makes the claims that pods describe themselves: one for each generic ephemeral volume, owned by the pod.

Source: kubernetes pkg/controller/volume/ephemeral, v1.32.
"""

import copy
from collections.abc import Iterable

from fakes.kube.api import ApiError
from fakes.kube.controllers.pod_control import is_namespace_ending
from fakes.kube.controllers.pods import is_finished
from fakes.kube.reads import Json, Key, claim_name, is_deleting, key_of, owner_reference
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer

CLAIMS = "persistentvolumeclaims"


class EphemeralVolumes(Controller):
    """Keys are pods. A claim of that name that is not the pod's is left alone; the scheduler says so."""

    name = "ephemeral_volume"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._pods = cluster.informer("pods")
        self._claims = cluster.informer(CLAIMS)
        self._pods.listen(self._on_pod)
        self._claims.listen(self._on_claim)

    def needs(self) -> Iterable[Informer]:
        return self._pods, self._claims

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if old is None and new is not None and any(_wanted(new)):
            self.queue.add(key_of(new))

    def _on_claim(self, old: Json | None, new: Json | None) -> None:
        if new is None and old is not None:
            for pod in self._pods.indexed("claim", "/".join(key_of(old))):
                self.queue.add(key_of(pod))

    def reconcile(self, key: Key) -> None:
        pod = self.cluster.fresh("pods", key)
        if pod is None or is_deleting(pod) or is_finished(pod):
            return
        for volume in _wanted(pod):
            name = claim_name(pod, volume)
            if self.cluster.fresh(CLAIMS, (key[0], name)) is None:
                self._create(_claim(pod, name, volume["ephemeral"].get("volumeClaimTemplate") or {}))

    def _create(self, claim: Json) -> None:
        try:
            self.cluster.create(CLAIMS, claim)
        except ApiError as error:
            if not is_namespace_ending(error):
                raise


def _wanted(pod: Json) -> Iterable[Json]:
    return (volume for volume in pod["spec"].get("volumes") or () if volume.get("ephemeral") is not None)


def _claim(pod: Json, name: str, template: Json) -> Json:
    told = template.get("metadata") or {}
    meta = {
        "name": name,
        "namespace": pod["metadata"]["namespace"],
        **{field: dict(told[field]) for field in ("labels", "annotations") if told.get(field)},
        "ownerReferences": [owner_reference(pod)],
    }
    spec = copy.deepcopy(template.get("spec") or {})
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}
