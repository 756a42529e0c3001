"""A preemptible pod as it is to be created: what it requests of idle capacity is what its instance is sized by.

The pod itself is never changed; this is what the driver gets to see of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vk_provider.idle.resources import CPU, MEMORY, is_preemptible
from vk_provider.model.pod import Json

_ORDINARY = {CPU: "cpu", MEMORY: "memory"}
_DEFAULT_GRACE_S = 30  # Kubernetes' own


def instance_request(
    pod: Json, *, annotations: Mapping[str, str], most_grace_s: int | None = None, without: Sequence[str] = ()
) -> Json:
    """The pod with gocrane.io/cpu and gocrane.io/memory as its cpu and memory, requests and limits alike.

    annotations: what makes the cloud buy idle capacity, as ECI's spot strategy; those of the pod go before them.
    most_grace_s: of the action that reclaims, for a cloud whose grace cannot be shortened once the instance runs.
    without: annotations that the cloud need not see. Any other pod is returned as it is.
    """
    if not is_preemptible(pod):
        return pod
    spec = dict(pod["spec"])
    for kind in ("initContainers", "containers"):
        if kind in spec:
            spec[kind] = [_resized(container) for container in spec[kind] or ()]
    if most_grace_s is not None:
        stated = spec.get("terminationGracePeriodSeconds")
        spec["terminationGracePeriodSeconds"] = min(_DEFAULT_GRACE_S if stated is None else stated, most_grace_s)
    merged = {**annotations, **(pod["metadata"].get("annotations") or {})}
    metadata = {
        **pod["metadata"],
        "annotations": {key: value for key, value in merged.items() if key not in without},
    }
    return {**pod, "metadata": metadata, "spec": spec}


def _resized(container: Json) -> Json:
    resources = container.get("resources") or {}
    return {
        **container,
        "resources": {**resources, **{group: _renamed(resources, group) for group in _groups(resources)}},
    }


def _groups(resources: Mapping[str, Any]) -> list[str]:
    return [group for group in ("requests", "limits") if group in resources]


def _renamed(resources: Mapping[str, Any], group: str) -> dict[str, Any]:
    stated = resources[group] or {}
    ordinary = {name: value for name, value in stated.items() if name not in _ORDINARY}
    return ordinary | {_ORDINARY[name]: value for name, value in stated.items() if name in _ORDINARY}
