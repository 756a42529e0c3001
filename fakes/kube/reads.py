"""Named reads of any Kubernetes object: key, version, owner, conditions, label selectors. Pure."""

import copy
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str]
"""(namespace, name); namespace is "" for cluster-wide objects."""


SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""Annotation of a claim that waits for its first pod: where that is going to run."""


def key_of(obj: Json) -> Key:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def uid_of(obj: Json) -> str:
    return str(obj["metadata"].get("uid", ""))


def version_of(obj: Json) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)


def labels_of(obj: Json) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Json) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_deleting(obj: Json) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def controller_of(obj: Json) -> Json | None:
    """The owner reference marked `controller`, if any."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def owner_uid(obj: Json) -> str:
    """uid of the controlling owner, "" without one."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return ""


def owner_reference(owner: Json) -> Json:
    """A reference that makes `owner` the controller, blocking its foreground deletion."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def claim_name(pod: Json, volume: Json) -> str:
    """The claim a pod's volume stands for, "" for any other volume."""
    if "ephemeral" in volume:
        return f"{pod['metadata']['name']}-{volume['name']}"
    return str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")


def class_of(obj: Json) -> str:
    """The storage class of a claim or a volume, "" for none."""
    old = annotations_of(obj).get("volume.beta.kubernetes.io/storage-class")
    return str(old if old is not None else obj["spec"].get("storageClassName") or "")


def is_owned(obj: Json, owner: Json) -> bool:
    """Whether `owner`, that very object, controls `obj`."""
    return owner_uid(obj) == uid_of(owner)


def condition(obj: Json, kind: str) -> Json | None:
    """The status condition of that type, if present."""
    for item in (obj.get("status") or {}).get("conditions") or ():
        if item["type"] == kind:
            return dict(item)
    return None


def condition_is(obj: Json, kind: str, status: str = "True") -> bool:
    found = condition(obj, kind)
    return found is not None and found.get("status") == status


def with_condition(conditions: list[Json] | None, new: Json) -> list[Json]:
    """`conditions` with `new` in place of the one of its type, or at the end.

    `lastTransitionTime` stays the old one while the status stays the same.
    """
    result, placed = [], False
    for old in conditions or ():
        if old["type"] != new["type"]:
            result.append(old)
            continue
        placed = True
        merged = {**new}
        if old.get("status") == new["status"] and "lastTransitionTime" in old:
            merged["lastTransitionTime"] = old["lastTransitionTime"]
        result.append(merged)
    if not placed:
        result.append(new)
    return result


def draft(obj: Json) -> Json:
    """A deep copy to change and send back."""
    return copy.deepcopy(obj)


def selects(selector: Json | None, labels: dict[str, str]) -> bool:
    """Does a `LabelSelector` match? A null selector matches nothing, an empty one everything."""
    if selector is None:
        return False
    for name, value in (selector.get("matchLabels") or {}).items():
        if labels.get(name) != value:
            return False
    return all(_requirement(item, labels) for item in selector.get("matchExpressions") or ())


def _requirement(item: Json, labels: dict[str, str]) -> bool:
    name, values = item["key"], item.get("values") or ()
    match item["operator"]:
        case "In":
            return name in labels and labels[name] in values
        case "NotIn":
            return labels.get(name) not in values or name not in labels
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
        case other:
            raise ValueError(f"label selector operator {other!r} is not one of In, NotIn, Exists, DoesNotExist")
