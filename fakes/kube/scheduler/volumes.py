"""What a pod's claims mean for placing it. Pure: the claims are looked up by the caller."""

from collections.abc import Callable
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def objection(pod: Json, claim: Callable[[str], Json | None]) -> str:
    """Why no node will do because of a PersistentVolumeClaim; "" when nothing stands in the way.

    claim: the claim of that name in the pod's namespace.
    Source: kubernetes pkg/scheduler/framework/plugins/volumebinding.
    """
    unbound = False
    for volume in pod["spec"].get("volumes") or ():
        name = claim_name(pod, volume)
        if not name:
            continue
        found = claim(name)
        if found is None:
            if "ephemeral" in volume:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            return f'persistentvolumeclaim "{name}" not found'
        if found["metadata"].get("deletionTimestamp"):
            return f'persistentvolumeclaim "{name}" is being deleted'
        unbound = unbound or (found.get("status") or {}).get("phase") != "Bound"
    return "pod has unbound immediate PersistentVolumeClaims" if unbound else ""


def claim_name(pod: Json, volume: Json) -> str:
    """The claim a volume stands for, "" for any other volume."""
    if "ephemeral" in volume:
        return f"{pod['metadata']['name']}-{volume['name']}"
    return str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")
