"""What a pod's claims mean for placing it. Pure: claims and their classes are looked up by the caller."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from fakes.kube.reads import claim_name, is_owned

Json: TypeAlias = dict[str, Any]


def objection(pod: Json, claim: Callable[[str], Json | None], is_late: Callable[[Json], bool]) -> str:
    """Why no node will do because of a PersistentVolumeClaim; "" when nothing stands in the way.

    claim: the claim of that name in the pod's namespace. is_late: whether an unbound claim waits for its pod's node.
    Source: kubernetes pkg/scheduler/framework/plugins/volumebinding.
    """
    unbound = False
    for volume, name in _named(pod):
        found = claim(name)
        if found is None:
            if "ephemeral" in volume:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            return f'persistentvolumeclaim "{name}" not found'
        if "ephemeral" in volume and not is_owned(found, pod):
            space = pod["metadata"]["namespace"]
            place = f"{space}/{pod['metadata']['name']}"
            return f"PVC {space}/{name} was not created for pod {place} (pod is not owner)"
        if _phase(found) == "Lost":
            gone = found["spec"].get("volumeName")
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{gone}"'
        if found["metadata"].get("deletionTimestamp"):
            return f'persistentvolumeclaim "{name}" is being deleted'
        unbound = unbound or not (_phase(found) == "Bound" or is_late(found))
    return "pod has unbound immediate PersistentVolumeClaims" if unbound else ""


def late(pod: Json, claim: Callable[[str], Json | None]) -> list[Json]:
    """The pod's claims that still have no volume, once there is no `objection`."""
    found = (claim(name) for _volume, name in _named(pod))
    return [each for each in found if each is not None and _phase(each) != "Bound"]


def _named(pod: Json) -> Iterator[tuple[Json, str]]:
    for volume in pod["spec"].get("volumes") or ():
        if name := claim_name(pod, volume):
            yield volume, name


def _phase(claim: Json) -> str:
    return str((claim.get("status") or {}).get("phase") or "")
