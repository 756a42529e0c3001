"""The scale subresource: a workload's replicas as an autoscaling/v1 Scale. Pure."""

from typing import Any

from fakes.kube import errors, patch
from fakes.kube.errors import Fault
from fakes.kube.resources import Resource
from fakes.kube.versions import Scale

Json = dict[str, Any]

_BUILT_IN = Scale(".spec.replicas", ".status.replicas")


def paths_of(row: Resource) -> Scale:
    """Where objects of this resource keep their replicas."""
    return row.custom.scale if row.custom is not None and row.custom.scale is not None else _BUILT_IN


def of(workload: Json, paths: Scale) -> Json:
    """The Scale of a Deployment, ReplicaSet, StatefulSet or custom resource."""
    meta = workload["metadata"]
    kept = {
        key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in meta
    }
    status = {"replicas": _at(workload, paths.status) or 0} | _selector(workload, paths)
    spec = {"replicas": _at(workload, paths.spec) or 0}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


def _selector(workload: Json, paths: Scale) -> Json:
    if paths is not _BUILT_IN:
        found = _at(workload, paths.selector) if paths.selector else ""
        return {"selector": found} if found else {}
    labels = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    return {"selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items()))}


def _at(obj: Any, path: str) -> Any:
    for step in path.split(".")[1:]:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def patched(workload: Json, paths: Scale, body: Any) -> Json:
    """The Scale after a patch of any kind; a Scale has no lists, so strategic and plain merge are the same."""
    scale = of(workload, paths)
    made = patch.json_patch(scale, body) if isinstance(body, list) else patch.merge(scale, body)
    if not isinstance(made, dict):
        raise errors.bad_request("the patched scale is no object")
    return made


def applied(workload: Json, paths: Scale, scale: Json) -> Json:
    """The workload with the replicas a Scale wants. Raises ApiError 422."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        fault = Fault.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid("Scale", "autoscaling", workload["metadata"]["name"], [fault])
    stated = (scale.get("metadata") or {}).get("resourceVersion") or workload["metadata"]["resourceVersion"]
    meta = {**workload["metadata"], "resourceVersion": stated}
    return _with({**workload, "metadata": meta}, paths.spec.split(".")[1:], replicas)


def _with(obj: Json, steps: list[str], value: Any) -> Json:
    """A copy with the value at the end of these steps."""
    first, *rest = steps
    return {**obj, first: _with(obj.get(first) or {}, rest, value) if rest else value}
