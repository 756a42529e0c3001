"""What Kubernetes refuses to store (`pkg/apis/*/validation`). Pure; each function gives the faults it finds."""

from typing import Any

from fakes.kube import definitions, names, podvalidation, structural, volumevalidation, workloadvalidation
from fakes.kube.errors import Fault
from fakes.kube.resources import Resource

Json = dict[str, Any]


def created(row: Resource, obj: Json) -> list[Fault]:
    """Everything wrong with a new object, already defaulted."""
    faults = names.metadata(row, obj["metadata"])
    if row.custom is not None:
        return faults + structural.validate(row.custom.schema, obj)
    if check := _CREATED.get(row.key):
        faults += check(obj)
    return faults


def updated(row: Resource, new: Json, old: Json, subresource: str) -> list[Fault]:
    """Everything wrong with a change of an object."""
    faults = names.labels_and_annotations(new["metadata"])
    if row.custom is not None:
        return faults + structural.validate(row.custom.schema, new)
    if subresource == "":
        if row.key == "pods":
            return faults + podvalidation.updated(new, old)
        if check := _CREATED.get(row.key):
            faults += check(new)
        faults += workloadvalidation.immutable(row.key, new, old)
        if row.key == definitions.KEY:
            faults += definitions.fixed(new, old)
    if subresource == "resize" and row.key == "pods":
        faults += podvalidation.resized(new, old)
    if subresource == "status" and row.key == "pods":
        faults += podvalidation.status_updated(new, old)
    return faults


_CREATED = {
    "pods": podvalidation.created,
    **volumevalidation.CREATED,
    **workloadvalidation.CREATED,
    definitions.KEY: definitions.validate,
}
