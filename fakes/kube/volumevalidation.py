"""What Kubernetes refuses of claims, persistent volumes and storage classes. Pure."""

from collections.abc import Callable
from typing import Any

from fakes.kube.errors import Fault

Json = dict[str, Any]

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_POLICIES = ("Delete", "Recycle", "Retain")
_NOT_A_SOURCE = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)


def _claim(claim: Json) -> list[Fault]:
    spec = claim["spec"]
    faults = _access_modes(spec)
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        faults.append(Fault.required("spec.resources[storage]"))
    return faults


def _volume(volume: Json) -> list[Fault]:
    spec = volume["spec"]
    faults = _access_modes(spec)
    capacity = spec.get("capacity")
    if not capacity:
        faults.append(Fault.required("spec.capacity"))
    elif tuple(capacity) != ("storage",):
        faults.append(Fault.unsupported("spec.capacity", sorted(capacity), ("storage",)))
    sources = sorted(name for name, value in spec.items() if name not in _NOT_A_SOURCE and value is not None)
    if not sources:
        faults.append(Fault.required("spec", "must specify a volume type"))
    faults += [Fault.forbidden(f"spec.{name}", "may not specify more than 1 volume type") for name in sources[1:]]
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy not in _POLICIES:
        faults.append(Fault.unsupported("spec.persistentVolumeReclaimPolicy", policy, _POLICIES))
    return faults


def _access_modes(spec: Json) -> list[Fault]:
    modes = spec.get("accessModes") or ()
    if not modes:
        return [Fault.required("spec.accessModes", "at least 1 access mode is required")]
    return [Fault.unsupported("spec.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]


def _class(item: Json) -> list[Fault]:
    faults = [] if item.get("provisioner") else [Fault.required("provisioner")]
    for field, allowed in (
        ("reclaimPolicy", ("Delete", "Retain")),
        ("volumeBindingMode", ("Immediate", "WaitForFirstConsumer")),
    ):
        if item.get(field) not in allowed:
            faults.append(Fault.unsupported(field, item.get(field), allowed))
    return faults


CREATED: dict[str, Callable[[Json], list[Fault]]] = {
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "storageclasses.storage.k8s.io": _class,
}
