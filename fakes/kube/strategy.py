"""What each resource does to an object on its way in: the parts a client may not set, and those only a subresource may.

The counterpart of the `strategy.go` files of Kubernetes' registry. Functions change the new object in place;
the old one is a snapshot and stays as it is.
"""

from typing import Any

from fakes.kube import defaults, definitions, errors, objectmeta, structural, validation
from fakes.kube.qos import qos_class
from fakes.kube.resources import Resource

Json = dict[str, Any]

_META = ("metadata",)


def prepare_create(row: Resource, obj: Json, *, now: str) -> None:
    if row.custom is not None:
        structural.fill_in(row.custom.schema, obj)
    if row.has_status and row.native != "Node":  # a kubelet registers with its status
        obj.pop("status", None)
    defaults.apply(row.key, obj)
    if row.generation:
        obj["metadata"]["generation"] = 1
    match row.native:
        case _ if row.custom is not None:
            return  # without its status, it is as it came
        case "CustomResourceDefinition":
            meta = obj["metadata"]
            meta["finalizers"] = [*(meta.get("finalizers") or ()), definitions.FINALIZER]
        case "Pod":
            obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        case "Namespace":
            obj.setdefault("spec", {})["finalizers"] = ["kubernetes"]
            obj["status"] = {"phase": "Active"}
        case "Job":
            _job_selector(obj)
            obj["status"] = {}
        case "ReplicaSet" | "StatefulSet":
            obj["status"] = {"replicas": 0}
        case "PersistentVolumeClaim":
            obj["status"] = {"phase": "Pending"}
        case "PersistentVolume":
            obj["status"] = {"phase": "Pending"}
        case "Service":
            obj["status"] = {"loadBalancer": {}}
        case "Event":
            obj.setdefault("metadata", {}).setdefault("creationTimestamp", now)
        case _ if row.has_status and row.native != "Node":
            obj["status"] = {}


def _job_selector(job: Json) -> None:
    """A Job finds its pods by its own uid unless the user wants to say how (manualSelector)."""
    spec, meta = job["spec"], job["metadata"]
    if not spec.get("manualSelector") and isinstance(spec.get("template"), dict) and "selector" not in spec:
        labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
        for prefix in ("batch.kubernetes.io/", ""):
            labels[f"{prefix}controller-uid"] = meta["uid"]
            labels[f"{prefix}job-name"] = meta.get("name", "")
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": meta["uid"]}}
    template = spec.get("template")
    if not meta.get("labels") and isinstance(template, dict) and (template.get("metadata") or {}).get("labels"):
        meta["labels"] = dict(template["metadata"]["labels"])


def prepare_update(row: Resource, new: Json, old: Json, subresource: str) -> None:
    """Keep of `old` what this door may not change."""
    objectmeta.carry(new, old)
    match subresource:
        case "":
            _keep(new, old, *(["status"] if row.has_status else []))
            if row.native == "Namespace":
                _keep(new, old, "spec")
            defaults.apply(row.key, new)
        case "status":
            whole = row.custom is not None  # its metadata, too, is not the status's affair
            _keep(new, old, *(field for field in {*new, *old} if field not in ("status", *(() if whole else _META))))
            _status_metadata(row, new, old)
            defaults.apply(row.key, new)
        case "finalize":
            _keep(new, old, "status")
        case "approval":
            _keep(new, old, "spec")
        case "ephemeralcontainers":
            extra = (new.get("spec") or {}).get("ephemeralContainers")
            _keep(new, old, *(field for field in {*new, *old} if field != "metadata"))
            new["spec"] = {**old["spec"], **({"ephemeralContainers": extra} if extra else {})}
            defaults.pod_spec(new["spec"])
        case "resize":
            asked = new.get("spec") or {}
            _keep(new, old, *(field for field in {*new, *old} if field != "metadata"))
            new["spec"] = _resized(old["spec"], asked)
            defaults.pod_spec(new["spec"])
        case other:
            raise errors.ApiError(405, "MethodNotAllowed", f"{row.plural}/{other} cannot be written")
    if row.custom is not None:
        structural.fill_in(row.custom.schema, new)
    if row.generation and subresource == "" and _content(row, new) != _content(row, old):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def _resized(spec: Json, asked: Json) -> Json:
    """The spec with what `asked` says of its containers' sizes, and nothing else of it."""
    made = dict(spec)
    for field in ("containers", "initContainers"):
        sizes = {
            item.get("name"): {key: item[key] for key in ("resources", "resizePolicy") if key in item}
            for item in asked.get(field) or ()
            if isinstance(item, dict)
        }
        if spec.get(field):
            made[field] = [{**item, **sizes.get(item["name"], {})} for item in spec[field]]
    return made


def _keep(new: Json, old: Json, *fields: str) -> None:
    for field in fields:
        if field in old:
            new[field] = old[field]
        else:
            new.pop(field, None)


def _status_metadata(row: Resource, new: Json, old: Json) -> None:
    meta, before = new["metadata"], old["metadata"]
    if row.native == "Pod":
        _keep(meta, before, "ownerReferences")  # old kubelets corrupted them
        if isinstance(new.get("status"), dict):
            new["status"].setdefault("qosClass", old["status"].get("qosClass", "BestEffort"))
    if row.native == "Deployment":
        _keep(meta, before, "labels")


def _content(row: Resource, obj: Json) -> Json:
    """What metadata.generation counts the changes of."""
    uncounted = ("apiVersion", "metadata", *(() if row.custom is not None and not row.has_status else ("status",)))
    return {key: value for key, value in obj.items() if key not in uncounted}


def bound(pod: Json, node: str, annotations: Json, now: str) -> Json:
    """The pod assigned to a node. Raises ApiError 409."""
    meta, name = pod["metadata"], pod["metadata"]["name"]
    if meta.get("deletionTimestamp"):
        raise errors.conflict("pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if taken := pod["spec"].get("nodeName"):
        raise errors.conflict("pods/binding", "", name, f'pod {name} is already assigned to node "{taken}"')
    status = pod.get("status") or {}
    others = [item for item in status.get("conditions") or [] if item.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    meta = {**meta, "annotations": {**meta.get("annotations", {}), **annotations}} if annotations else dict(meta)
    return {
        **pod,
        "metadata": meta,
        "spec": {**pod["spec"], "nodeName": node},
        "status": {**status, "conditions": [*others, scheduled]},
    }


def validate_create(row: Resource, obj: Json) -> None:
    """Raises ApiError 422 naming every fault."""
    if faults := validation.created(row, obj):
        meta = obj["metadata"]
        raise errors.invalid(row.kind, row.group, meta.get("name") or meta.get("generateName", ""), faults)


def validate_update(row: Resource, new: Json, old: Json, subresource: str) -> None:
    """Raises ApiError 422 naming every fault."""
    faults = objectmeta.late_finalizers(new, old) + validation.updated(row, new, old, subresource)
    if faults:
        raise errors.invalid(row.kind, row.group, old["metadata"]["name"], faults)
