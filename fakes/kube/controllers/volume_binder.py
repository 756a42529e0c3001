"""Brings claims and volumes together, has volumes made for claims of the cloud's classes, and takes them back.

Two keys: (namespace, name) is a claim, ("", name) a volume. The provisioners are played in the same pass.
Source: kubernetes pkg/controller/volume/persistentvolume, v1.32; kubernetes-csi external-provisioner.
"""

from collections.abc import Iterable

from fakes.kube.api import ApiError
from fakes.kube.controllers import provisioners, volume_rules
from fakes.kube.controllers.volume_rules import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PROVISIONED_BY,
    PROVISIONERS,
    phase_of,
)
from fakes.kube.reads import (
    SELECTED_NODE,
    Json,
    Key,
    annotations_of,
    class_of,
    draft,
    is_deleting,
    key_of,
    uid_of,
)
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
RETRY_S = 15.0  # how often a claim that cannot be served says so again


class VolumeBinder(Controller):
    name = "persistentvolume-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._claims = cluster.informer(CLAIMS)
        self._volumes = cluster.informer(VOLUMES)
        self._classes = cluster.informer(CLASSES)
        self._open: set[Key] = set()  # claims without a volume
        self._free: set[Key] = set()  # volumes that are nobody's, or promised by name only
        self._claims.listen(self._on_claim)
        self._volumes.listen(self._on_volume)
        self._classes.listen(lambda _old, _new: self._look_at_open())

    def needs(self) -> Iterable[Informer]:
        return self._claims, self._volumes, self._classes

    def _on_claim(self, old: Json | None, new: Json | None) -> None:
        claim = new or old
        if claim is None:
            return
        key = key_of(claim)
        if new is None or BIND_COMPLETED in annotations_of(new):
            self._open.discard(key)
        else:
            self._open.add(key)
        if new is not None:
            self.queue.add(key)
        if claim["spec"].get("volumeName"):
            self.queue.add(("", claim["spec"]["volumeName"]))

    def _on_volume(self, old: Json | None, new: Json | None) -> None:
        volume = new or old
        if volume is None:
            return
        key, reference = key_of(volume), volume["spec"].get("claimRef") or {}
        self._free.discard(key)
        if new is not None:
            self.queue.add(key)
            if not reference.get("uid"):
                self._free.add(key)
        if reference:
            self.queue.add((reference["namespace"], reference["name"]))
        elif new is not None:
            self._look_at_open()

    def _look_at_open(self) -> None:
        for key in self._open:
            self.queue.add(key)

    def reconcile(self, key: Key) -> None:
        if not key[0]:
            volume = self.cluster.fresh(VOLUMES, key)
            if volume is not None:
                self._volume(volume)
            return
        claim = self.cluster.fresh(CLAIMS, key)
        if claim is None:
            return
        if BIND_COMPLETED in annotations_of(claim):
            self._bound(claim)
        elif not is_deleting(claim):
            self._unbound(claim)

    # claims

    def _bound(self, claim: Json) -> None:
        name = claim["spec"].get("volumeName") or ""
        volume = self.cluster.fresh(VOLUMES, ("", name)) if name else None
        if volume is None:
            self._lose(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
        elif not volume["spec"].get("claimRef") or volume_rules.is_promised(volume, claim):
            self._bind(claim, volume)
        else:
            text = "Two claims are bound to the same volume, this one is bound incorrectly"
            self._lose(claim, "ClaimMisbound", text)

    def _lose(self, claim: Json, reason: str, text: str) -> None:
        if phase_of(claim) != "Lost":
            self.cluster.merge(CLAIMS, claim, {"status": {"phase": "Lost"}}, subresource="status")
            self.event(claim, reason, text, warning=True)

    def _unbound(self, claim: Json) -> None:
        name = claim["spec"].get("volumeName")
        if name:
            self._ask_for(claim, name)
            return
        free = [volume for key in self._free if (volume := self.cluster.fresh(VOLUMES, key)) is not None]
        volume = volume_rules.best_match(claim, free)
        if volume is not None and (volume_rules.is_promised(volume, claim) or not self._waits(claim)):
            self._bind(claim, volume)
        elif not class_of(claim):
            text = "no persistent volumes available for this claim and no storage class is set"
            self._tell_again(claim, "FailedBinding", text)
        else:
            self._provision(claim)

    def _ask_for(self, claim: Json, name: str) -> None:
        """The claim names its volume."""
        volume = self.cluster.fresh(VOLUMES, ("", name))
        if volume is None:
            return
        if volume["spec"].get("claimRef"):
            if volume_rules.is_promised(volume, claim):
                self._bind(claim, volume)
            return
        fault = volume_rules.objection(volume, claim)
        if fault:
            text = f'Cannot bind to requested volume "{name}": {fault}'
            self._tell_again(claim, "VolumeMismatch", text, warning=True)
        else:
            self._bind(claim, volume)

    def _bind(self, claim: Json, volume: Json) -> None:
        """Both sides, each first in its spec and then in its status; whatever is so already is left."""
        volume = self._claimed(volume, claim)
        self._set_phase(volume, "Bound")
        changed = draft(claim)
        annotations = changed["metadata"].setdefault("annotations", {})
        if not changed["spec"].get("volumeName"):
            changed["spec"]["volumeName"] = volume["metadata"]["name"]
            annotations[BOUND_BY_CONTROLLER] = "yes"
        annotations[BIND_COMPLETED] = "yes"
        claim = self.cluster.update(CLAIMS, changed)
        spec = volume["spec"]
        status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": spec["capacity"]}
        self.cluster.merge(CLAIMS, claim, {"status": status}, subresource="status")

    def _claimed(self, volume: Json, claim: Json) -> Json:
        present = volume["spec"].get("claimRef") or {}
        if present.get("uid") == uid_of(claim):
            return volume
        changed = draft(volume)
        changed["spec"]["claimRef"] = provisioners.reference(claim)
        if not present:
            changed["metadata"].setdefault("annotations", {})[BOUND_BY_CONTROLLER] = "yes"
        return self.cluster.update(VOLUMES, changed)

    # volumes made for claims

    def _provision(self, claim: Json) -> None:
        storage_class = self._classes.get(("", class_of(claim)))
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
            self._tell_again(claim, "ProvisioningFailed", text, warning=True)
            return
        if self._waits(claim):
            text = "waiting for first consumer to be created before binding"
            self._tell_again(claim, "WaitForFirstConsumer", text)
            return
        driver = storage_class["provisioner"]
        if driver == "kubernetes.io/no-provisioner":
            return
        claim = self.cluster.merge(CLAIMS, claim, {"metadata": {"annotations": dict.fromkeys(PROVISIONERS, driver)}})
        if driver not in provisioners.DRIVERS:
            text = (
                f"Waiting for a volume to be created either by the external provisioner '{driver}' or manually by the "
                "system administrator. If volume creation is delayed, please verify that the provisioner is running "
                "and correctly registered."
            )
            self._tell_again(claim, "ExternalProvisioning", text)
            return
        self._make(claim, storage_class)

    def _make(self, claim: Json, storage_class: Json) -> None:
        place, driver = "/".join(key_of(claim)), storage_class["provisioner"]
        self._event_of(
            driver, claim, "Provisioning", f'External provisioner is provisioning volume for claim "{place}"'
        )
        try:
            volume = provisioners.provision(claim, storage_class, self.cluster.now())
        except provisioners.CannotProvision as fault:
            name = storage_class["metadata"]["name"]
            text = f'failed to provision volume with StorageClass "{name}": rpc error: code = InvalidArgument desc = '
            self._event_of(driver, claim, "ProvisioningFailed", f"{text}{fault}", warning=True)
            self.queue.add_after(key_of(claim), RETRY_S)
            return
        name = volume["metadata"]["name"]
        try:
            volume = self.cluster.create(VOLUMES, volume)
        except ApiError as error:
            if error.code != 409:
                raise
            volume = self.cluster.api.get(VOLUMES, name)  # made in an earlier pass that went no further
        self._event_of(driver, claim, "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        self._bind(claim, volume)

    def _waits(self, claim: Json) -> bool:
        """Whether the claim's class wants its pod to be placed first, and none is yet."""
        storage_class = self._classes.get(("", class_of(claim))) or {}
        late = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
        return late and SELECTED_NODE not in annotations_of(claim)

    # volumes

    def _volume(self, volume: Json) -> None:
        reference = volume["spec"].get("claimRef") or {}
        if not reference.get("uid"):
            self._set_phase(volume, "Available")
            return
        claim = self.cluster.fresh(CLAIMS, (reference["namespace"], reference["name"]))
        if claim is not None and uid_of(claim) == reference["uid"]:
            if claim["spec"].get("volumeName") == volume["metadata"]["name"]:
                self._set_phase(volume, "Bound")
                return
            if not claim["spec"].get("volumeName"):
                return  # half bound: the claim's own turn ends it
        volume = self._set_phase(volume, "Released")
        policy = volume["spec"].get("persistentVolumeReclaimPolicy")
        # As the drivers do: what they have not made, they do not remove.
        if policy == "Delete" and annotations_of(volume).get(PROVISIONED_BY) in provisioners.DRIVERS:
            self.cluster.delete(VOLUMES, volume)

    def _set_phase(self, volume: Json, phase: str) -> Json:
        if phase_of(volume) == phase:
            return volume
        status = {"phase": phase, "lastPhaseTransitionTime": self.cluster.stamp()}
        return self.cluster.merge(VOLUMES, volume, {"status": status}, subresource="status")

    # telling

    def _tell_again(self, claim: Json, reason: str, text: str, *, warning: bool = False) -> None:
        """Now, and every `RETRY_S` as long as it is so."""
        self.event(claim, reason, text, warning=warning)
        self.queue.add_after(key_of(claim), RETRY_S)

    def _event_of(self, driver: str, claim: Json, reason: str, text: str, *, warning: bool = False) -> None:
        kind = "Warning" if warning else "Normal"
        self.cluster.api.record_event(claim, type=kind, reason=reason, message=text, component=driver)
