"""Names, labels and annotations: their grammar, and the words a bad one is refused with."""

import re
from typing import Any

from fakes.kube.errors import Fault
from fakes.kube.resources import Resource

Json = dict[str, Any]

_LABEL_FORM = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FORM = rf"{_LABEL_FORM}(\.{_LABEL_FORM})*"
_LABEL_1035_FORM = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_FORM = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_FORM = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"

SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_FORM}')"
)
LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL_FORM}')"
)
_LABEL_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character "
    f"(e.g. 'my-name',  or 'abc-123', regex used for validation is '{_LABEL_1035_FORM}')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED_FORM}')"
)
VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character "
    f"(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE_FORM}')"
)
_ANNOTATION_BYTES = 256 * 1024

_LABEL_NAMED = frozenset({"namespaces"})
_LABEL_1035_NAMED = frozenset({"services"})
_PATH_NAMED = frozenset(
    f"{name}.rbac.authorization.k8s.io" for name in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
)


def metadata(row: Resource, meta: Json) -> list[Fault]:
    """Everything wrong with a new object's metadata."""
    name = meta.get("name", "")
    if not name:
        return [Fault.required("metadata.name", "name or generateName is required"), *labels_and_annotations(meta)]
    return object_name(row, name) + labels_and_annotations(meta)


def object_name(row: Resource, name: str) -> list[Fault]:
    field = "metadata.name"
    if row.key in _PATH_NAMED:
        bad = name in (".", "..") or "/" in name or "%" in name
        return [Fault.invalid(field, name, "may not contain '/' or '%', nor be '.' or '..'")] if bad else []
    if row.key in _LABEL_NAMED:
        return label(field, name)
    if row.key in _LABEL_1035_NAMED:
        return _checked(field, name, _LABEL_1035_FORM, _LABEL_1035_RULE, 63)
    return subdomain(field, name)


def _checked(field: str, value: str, form: str, rule: str, longest: int) -> list[Fault]:
    faults = []
    if len(value) > longest:
        faults.append(Fault.invalid(field, value, f"must be no more than {longest} characters"))
    if not re.fullmatch(form, value):
        faults.append(Fault.invalid(field, value, rule))
    return faults


def subdomain(field: str, value: str) -> list[Fault]:
    return _checked(field, value, _SUBDOMAIN_FORM, SUBDOMAIN_RULE, 253)


def label(field: str, value: str) -> list[Fault]:
    """A DNS label: names of namespaces, containers, volumes."""
    return _checked(field, value, _LABEL_FORM, LABEL_RULE, 63)


def labels_and_annotations(meta: Json) -> list[Fault]:
    faults = labels("metadata.labels", meta.get("labels"))
    annotations = meta.get("annotations") or {}
    for key in annotations:
        faults += qualified("metadata.annotations", key.lower())
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATION_BYTES:
        faults.append(
            Fault(
                "metadata.annotations", "FieldValueTooLong", f"Too long: may not be more than {_ANNOTATION_BYTES} bytes"
            )
        )
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                faults.append(
                    Fault.invalid(
                        f"metadata.ownerReferences[{index}].{field}", owner.get(field, ""), f"{field} must not be empty"
                    )
                )
    for finalizer in meta.get("finalizers") or ():
        faults += qualified("metadata.finalizers", finalizer)
    return faults


def labels(field: str, values: Json | None) -> list[Fault]:
    faults = []
    for key, value in (values or {}).items():
        faults += qualified(field, key)
        faults += _checked(field, value, _VALUE_FORM, VALUE_RULE, 63)
    return faults


def qualified(field: str, key: str) -> list[Fault]:
    """`name` or `prefix/name`, as label keys, annotation keys and resource names are."""
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or "/" in prefix):
        return [Fault.invalid(field, key, "a qualified name " + _QUALIFIED_RULE.removeprefix("name part "))]
    faults = _checked(field, key if not slash else name, _QUALIFIED_FORM, _QUALIFIED_RULE, 63)
    if slash and not re.fullmatch(_SUBDOMAIN_FORM, prefix):
        faults.append(Fault.invalid(field, key, f"prefix part {SUBDOMAIN_RULE}"))
    return [Fault(fault.field, fault.reason, fault.body.replace(f'"{name}"', f'"{key}"', 1)) for fault in faults]
