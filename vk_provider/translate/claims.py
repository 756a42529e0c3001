"""What a pod's claim stands for: the claim, the volume it is bound to, and who may use it (contract S27, S28).

A claim that is not bound, not there or not ours keeps the pod waiting, as on any node; only its volume's kind can be
refused, by the cloud (`ReadsStorage`).
"""

from __future__ import annotations

from collections.abc import Iterator

from vk_provider.errors import PodNotReady
from vk_provider.model import pod as pods
from vk_provider.model.pod import Json
from vk_provider.model.workload import Flex, Nfs
from vk_provider.translate import storage
from vk_provider.translate.capabilities import ReadsStorage
from vk_provider.translate.objects import ObjectKey, Objects


def claim_of(volume: Json, pod_name: str, namespace: str) -> ObjectKey | None:
    """The claim that the volume is, None if it is none. A generic ephemeral volume has one of its own, made for it."""
    if volume.get("persistentVolumeClaim") is not None:
        return namespace, str(volume["persistentVolumeClaim"]["claimName"])
    if volume.get("ephemeral") is not None:
        return namespace, f"{pod_name}-{volume['name']}"
    return None


def volume_name(claim: Json | None) -> str:
    """The persistent volume behind a claim, empty while there is none."""
    if claim is None or not is_bound(claim):
        return ""
    return str(claim["spec"].get("volumeName") or "")


def is_bound(claim: Json) -> bool:
    return (claim.get("status") or {}).get("phase") == "Bound"


def secret_keys(objects: Objects) -> Iterator[ObjectKey]:
    """The Secrets that the persistent volumes among the objects name."""
    for found in objects.persistent_volumes.values():
        key = storage.secret_of_volume(found) if found is not None else None
        if key is not None:
            yield key


def resolve(
    volume: Json, pod: Json, key: ObjectKey, objects: Objects, field: str, *, reader: ReadsStorage, role: str
) -> Nfs | Flex:
    """What to mount for a volume whose claim is `key`. field: the volume's path in the pod. role: as in `NodeContext`.

    Raises PodNotReady while the claim leads nowhere, UnsupportedPod when it leads to what cannot be mounted.
    """
    claim = objects.claims.get(key)
    fault = _claim_fault(volume, pod, key, claim)
    if fault or claim is None:
        raise _not_ready(volume, key, fault)
    name = volume_name(claim)
    found = objects.persistent_volumes.get(name)
    if found is None:
        raise _not_ready(volume, key, f'failed to fetch PV: persistentvolumes "{name}" not found')
    if (found["spec"].get("claimRef") or {}).get("uid") != claim["metadata"].get("uid"):
        raise _not_ready(volume, key, f"PV {name} is bound to another claim")
    source = "persistentVolumeClaim" if volume.get("persistentVolumeClaim") is not None else "ephemeral"
    read_only = bool((volume[source] or {}).get("readOnly"))
    return reader.persistent(volume, found, pod, objects, f"{field}.{source}", role=role, read_only=read_only)


def _claim_fault(volume: Json, pod: Json, key: ObjectKey, claim: Json | None) -> str:
    if claim is None:
        return f'persistentvolumeclaim "{key[1]}" not found'
    owners = claim["metadata"].get("ownerReferences") or ()
    is_owned = any(owner.get("controller") and owner.get("uid") == pod["metadata"].get("uid") for owner in owners)
    if volume.get("ephemeral") is not None and not is_owned:  # of the right name, with somebody else's data
        names = f"{key[0]}/{key[1]} was not created for pod {key[0]}/{pod['metadata']['name']}"
        return f"PVC {names} (pod is not owner)"
    if claim["metadata"].get("deletionTimestamp") and not pods.instance_id_of(pod):
        # A claim that is being deleted stays as long as the pod that has it already.
        return "PVC is being deleted"
    if not is_bound(claim):
        return "PVC is not bound"
    return "" if volume_name(claim) else "PVC has empty pvc.Spec.VolumeName"


def _not_ready(volume: Json, key: ObjectKey, fault: str) -> PodNotReady:
    text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : error processing PVC {key[0]}/{key[1]}: {fault}'
    return PodNotReady(text, event_reason="FailedMount", waiting_reason="ContainerCreating")
