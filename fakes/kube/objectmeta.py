"""The metadata every object has: who may set which field, and when."""

import secrets
import uuid
from typing import Any

from fakes.kube import errors
from fakes.kube.resources import Resource

Json = dict[str, Any]

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_STRICT = frozenset(
    {
        "leases.coordination.k8s.io",
        "poddisruptionbudgets.policy",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
    }
)
"""Resources that may not be replaced without naming the version replaced."""


def copy_json(value: Any) -> Any:
    """A deep copy of JSON data, without map entries that are null: to Kubernetes those are unset."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def check_shape(row: Resource, obj: Json) -> None:
    """Settle kind and version, and make sure there is metadata. Raises ApiError 400."""
    if not isinstance(obj, dict):
        raise errors.bad_request("the object is no JSON object")
    if row.custom is not None and not (obj.get("kind") and obj.get("apiVersion")):
        raise errors.bad_request("the object provided is unrecognized: Object 'Kind' or 'apiVersion' is missing")
    kind, version = obj.get("kind", row.kind), obj.get("apiVersion", row.api_version)
    accepted = {row.api_version, *(f"{row.group}/{older}" for older in row.older)}
    if kind != row.kind or version not in accepted:
        raise errors.bad_request(
            f"{kind} in version {version.rpartition('/')[2]!r} cannot be handled as a {row.kind}: "
            f"no kind {kind!r} is registered for version {row.api_version!r}".replace("'", '"')
        )
    obj["kind"], obj["apiVersion"] = row.kind, row.api_version
    meta = obj.setdefault("metadata", {})
    if not isinstance(meta, dict):
        raise errors.bad_request(f"{row.kind} in version {row.version!r}: metadata is no object")
    for field in ("labels", "annotations"):
        check_strings(row, meta.get(field), f"metadata.{field}")


def check_strings(row: Resource, values: Any, where: str) -> None:
    """Maps of strings hold strings only; YAML's unquoted numbers and booleans are the usual mistake."""
    if values is None:
        return
    if not isinstance(values, dict):
        raise _undecodable(
            row, f"json: cannot unmarshal {_kind_of(values)} into Go struct field {where} of type map[string]string"
        )
    for value in values.values():
        if value is not None and not isinstance(value, str):
            raise _undecodable(
                row, f"json: cannot unmarshal {_kind_of(value)} into Go struct field ObjectMeta.{where} of type string"
            )


def _undecodable(row: Resource, why: str) -> errors.ApiError:
    return errors.bad_request(f'{row.kind} in version "{row.version}" cannot be handled as a {row.kind}: {why}')


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def settle_namespace(row: Resource, meta: Json, namespace: str | None) -> None:
    if not row.namespaced:
        meta.pop("namespace", None)
        return
    stated = meta.get("namespace")
    if stated and namespace and stated != namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    meta["namespace"] = stated or namespace or ""
    if not meta["namespace"]:
        raise errors.bad_request("an empty namespace may not be set during creation")


def generate_name(base: str) -> str:
    """`base` and five random letters, cut to the 63 characters a label may have."""
    return base[:58] + suffix()


def suffix() -> str:
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))


def stamp_new(meta: Json, now: str) -> None:
    """What the server alone decides about a new object."""
    for field in (
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
        "generation",
    ):
        meta.pop(field, None)
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = now


def check_unmoved(row: Resource, old: Json, new: Json) -> None:
    """A patch may not rename. Raises ApiError 400."""
    before, after = old["metadata"], new["metadata"]
    if before["name"] != after.get("name"):
        raise errors.bad_request(
            f"the name of the object ({after.get('name')}) does not match the name on the URL ({before['name']})"
        )
    if row.namespaced and before["namespace"] != after.get("namespace"):
        raise errors.bad_request("the namespace of the object does not match the namespace on the URL")


def check_preconditions(row: Resource, old: Json, new: Json) -> None:
    """A stated uid or resourceVersion must be the current one. Raises ApiError 409 or 422."""
    meta, current = new["metadata"], old["metadata"]
    uid, version = meta.get("uid"), meta.get("resourceVersion")
    if uid and uid != current["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {current['uid']}"
        raise errors.conflict(row.plural, row.group, current["name"], why)
    if version and version != current["resourceVersion"]:
        raise errors.modified(row.plural, row.group, current["name"])
    if not version and row.key in _STRICT:
        fault = errors.Fault(
            "metadata.resourceVersion", "FieldValueInvalid", "Invalid value: 0x0: must be specified for an update"
        )
        raise errors.invalid(row.kind, row.group, current["name"], [fault])


_KEPT = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
    "resourceVersion",
)


def carry(new: Json, old: Json) -> None:
    """Take over what a client cannot change."""
    meta, before = new["metadata"], old["metadata"]
    for field in _KEPT:
        if field in before:
            meta[field] = before[field]
        else:
            meta.pop(field, None)
    meta.pop("selfLink", None)


def late_finalizers(new: Json, old: Json) -> list[errors.Fault]:
    """Finalizers may only go, once an object is being deleted."""
    if not old["metadata"].get("deletionTimestamp"):
        return []
    before = old["metadata"].get("finalizers") or []
    added = sorted(name for name in new["metadata"].get("finalizers") or [] if name not in before)
    if not added:
        return []
    shown = ", ".join(f'"{name}"' for name in added)
    detail = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
    return [errors.Fault.forbidden("metadata.finalizers", detail)]


def same(new: Json, old: Json) -> bool:
    """Whether a write would change nothing a reader can see."""
    return {**new, "metadata": {**new["metadata"], "resourceVersion": ""}} == {
        **old,
        "metadata": {**old["metadata"], "resourceVersion": ""},
    }


def may_vanish(obj: Json) -> bool:
    """Whether an object being deleted has nothing left that holds it."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if obj["kind"] == "Namespace" and obj["apiVersion"] == "v1" and (obj.get("spec") or {}).get("finalizers"):
        return False
    return not meta.get("deletionGracePeriodSeconds")
