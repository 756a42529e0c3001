"""The scale subresource: a workload's replicas as an autoscaling/v1 Scale. Pure."""

from typing import Any

from fakes.kube import errors, patch
from fakes.kube.errors import Fault

Json = dict[str, Any]


def of(workload: Json) -> Json:
    """The Scale of a Deployment, ReplicaSet or StatefulSet."""
    meta = workload["metadata"]
    kept = {
        key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in meta
    }
    labels = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    status = {"replicas": (workload.get("status") or {}).get("replicas", 0), "selector": selector}
    spec = {"replicas": workload["spec"].get("replicas", 0)}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


def patched(workload: Json, body: Any) -> Json:
    """The Scale after a patch of any kind; a Scale has no lists, so strategic and plain merge are the same."""
    scale = of(workload)
    made = patch.json_patch(scale, body) if isinstance(body, list) else patch.merge(scale, body)
    if not isinstance(made, dict):
        raise errors.bad_request("the patched scale is no object")
    return made


def applied(workload: Json, scale: Json) -> Json:
    """The workload with the replicas a Scale wants. Raises ApiError 422."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        fault = Fault.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid("Scale", "autoscaling", workload["metadata"]["name"], [fault])
    stated = (scale.get("metadata") or {}).get("resourceVersion") or workload["metadata"]["resourceVersion"]
    meta = {**workload["metadata"], "resourceVersion": stated}
    return {**workload, "metadata": meta, "spec": {**workload["spec"], "replicas": replicas}}
