"""Who manages which fields of an object, as `metadata.managedFields` says it, and server-side apply over it. Pure.

An object is tracked from the first write on that names its field manager; what it had by then belongs to
"before-first-apply", as on a server whose objects are older than the tracking. So writers that name no manager, the
provider among them, cost nothing. Source: apimachinery util/managedfields and structured-merge-diff merge/update.go.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fakes.kube import fieldsets
from fakes.kube.errors import ApiError
from fakes.kube.fieldsets import Fields, Path, Unkeyed
from fakes.kube.resources import Resource

Json = dict[str, Any]

_BEFORE = "before-first-apply"
_UNMANAGED = (
    "apiVersion",
    "kind",
    *(
        f"metadata.{field}"
        for field in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
    ),
)


@dataclass(frozen=True)
class Writer:
    """Who writes. name: the field manager; stated: whether the request named it itself."""

    name: str = "kube-controller-manager"
    stated: bool = False
    api_version: str = ""


@dataclass(frozen=True, order=True)
class _Owner:
    operation: str
    manager: str
    api_version: str
    subresource: str


_Owners = dict[_Owner, tuple[Fields, str]]
"""What each manages, and since when."""


def applied(row: Resource, live: Json, config: Json, writer: Writer, subresource: str, *, force: bool) -> Json:
    """The live object with what `config` states and without what it no longer does; `managedFields` included.

    Raises ApiError 409 when others manage fields it would change, unless they are to be overruled.
    """
    node = fieldsets.root(row)
    owners = _owners(row, live)
    me = _Owner("Apply", writer.name, writer.api_version or row.api_version, subresource)
    stated = _managed(row, fieldsets.of(node, _checked(node, config, row)), subresource)
    last = owners.pop(me, (frozenset(), ""))
    merged = fieldsets.merge(node, live, config)
    merged = _pruned(node, merged, last[0], [stated, *(fields for fields, _ in owners.values())])
    written, gone = fieldsets.changes(node, live, merged)
    conflicts = [(owner, path) for owner, (fields, _) in owners.items() for path in sorted(fields & written, key=repr)]
    if conflicts and writer.name == "kubectl":
        allowed = _left_from_client_side(node, live)
        conflicts = [(owner, path) for owner, path in conflicts if path not in allowed]
    if conflicts and not force:
        raise _conflict(conflicts)
    owners = {owner: (fields - written - gone, since) for owner, (fields, since) in owners.items()}
    owners[me] = (stated, last[1] if last[0] == stated else "")
    merged["metadata"] = {**merged["metadata"], "managedFields": _encoded(owners)}
    return dict(merged)


def _checked(node: fieldsets.Node, config: Json, row: Resource) -> Json:
    meta = config["metadata"]
    try:
        fieldsets.check_keys(node, config)
    except Unkeyed as fault:
        where = f"{meta.get('namespace', '')}/{meta['name']}; {config['apiVersion']}, Kind={row.kind}"
        raise ApiError(500, "", f"failed to create typed patch object ({where}): {fault}") from fault
    return config


def _pruned(node: fieldsets.Node, merged: Json, last: Fields, claimed: Iterable[Fields]) -> Json:
    """The object without what its manager stated last time and nobody states or manages now."""
    kept = fieldsets.closed(path for fields in claimed for path in fields)
    lost = fieldsets.closed(last) - kept - {(("f", "metadata"),)}
    left: Json = fieldsets.without(node, merged, lost) if lost else merged
    return left


def _left_from_client_side(node: fieldsets.Node, live: Json) -> Fields:
    """The fields that are as `kubectl apply` last left them: its server-side sister may take them over."""
    text = (live["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/last-applied-configuration", "")
    try:
        last = json.loads(text)
        written, gone = fieldsets.changes(node, last, live)
        return fieldsets.of(node, last) - written - gone
    except (ValueError, TypeError, Unkeyed):  # a user's text: no last configuration, then
        return frozenset()


def _conflict(conflicts: list[tuple[_Owner, Path]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_shown(owner)}",
            "field": fieldsets.shown(path),
        }
        for owner, path in conflicts
    ]
    if len(conflicts) == 1:
        [cause] = causes
        text = f"Apply failed with 1 conflict: {cause['message']}: {cause['field']}"
    else:
        lines = []
        for name in sorted({_shown(owner) for owner, _ in conflicts}):
            lines.append(f"conflicts with {name}:")
            lines += [f"- {fieldsets.shown(path)}" for owner, path in conflicts if _shown(owner) == name]
        text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", text, {"causes": causes})


def _shown(owner: _Owner) -> str:
    name = f'"{owner.manager}"'
    if owner.subresource:
        name += f' with subresource "{owner.subresource}"'
    return f"{name} using {owner.api_version}" if owner.operation == "Update" else name


def track(row: Resource, new: Json, old: Json | None, writer: Writer, subresource: str, now: str) -> None:
    """Bring `managedFields` of an object about to be stored up to date, after a write that was no apply.

    What `new` says of them already is taken over (a client may edit them); `old` is None for a new object.
    """
    given = new["metadata"].pop("managedFields", None)
    before = (old or {"metadata": {}})["metadata"].get("managedFields")
    if not writer.stated and not given and not before:
        return
    if given == [{}]:  # how a client has them forgotten
        return
    node = fieldsets.root(row)
    try:
        owners = _decoded(given or before or [])
    except (ValueError, TypeError, KeyError, AttributeError):  # a client's nonsense changes nothing
        owners = _decoded(before or [])
    if not owners and old is not None:
        owners = _owners(row, old)
    written, gone = fieldsets.changes(node, old or {}, new)
    written, gone = _managed(row, written, subresource), _managed(row, gone, subresource)
    if written or gone:
        me = _Owner("Update", writer.name, writer.api_version or row.api_version, subresource)
        mine, _ = owners.pop(me, (frozenset(), ""))
        owners = {owner: (fields - written - gone, since) for owner, (fields, since) in owners.items()}
        owners[me] = ((mine | written) - gone, "")
    if encoded := _encoded(owners, now):
        new["metadata"]["managedFields"] = encoded


def stamped(obj: Json, now: str) -> None:
    """Date what an apply has changed."""
    for entry in obj["metadata"].get("managedFields") or ():
        entry.setdefault("time", now)


def first(row: Resource, config: Json, writer: Writer, subresource: str) -> list[Json]:
    """The `managedFields` of an object that an apply creates. Raises ApiError for lists without keys."""
    node = fieldsets.root(row)
    stated = _managed(row, fieldsets.of(node, _checked(node, config, row)), subresource)
    return _encoded({_Owner("Apply", writer.name, writer.api_version or row.api_version, subresource): (stated, "")})


def _owners(row: Resource, live: Json) -> _Owners:
    """Of an object that is not tracked yet, everything is of one manager, who never applied it."""
    if entries := live["metadata"].get("managedFields"):
        return _decoded(entries)
    fields = _managed(row, fieldsets.of(fieldsets.root(row), live), "")
    since = live["metadata"].get("creationTimestamp", "")
    return {_Owner("Update", _BEFORE, row.api_version, ""): (fields, since)}


def _managed(row: Resource, fields: Fields, subresource: str) -> Fields:
    """The fields that a write through this door keeps: no identity, and the status only through its own."""
    status = ("f", "status")
    dotted = {path: ".".join(str(value) for _, value in path[:2]) for path in fields}
    kept = (path for path in fields if path and dotted[path] not in _UNMANAGED and path != (("f", "metadata"),))
    if subresource == "status":
        return frozenset(path for path in kept if path[0] in (status, ("f", "metadata")))
    return frozenset(path for path in kept if not row.has_status or path[0] != status)


def _decoded(entries: list[Json]) -> _Owners:
    """Raises ValueError, TypeError, KeyError or AttributeError for what is no managedFields."""
    owners: _Owners = {}
    for entry in entries:
        owner = _Owner(entry["operation"], entry.get("manager", ""), entry["apiVersion"], entry.get("subresource", ""))
        if not all(isinstance(part, str) for part in (*vars(owner).values(), entry.get("time", ""))):
            raise TypeError(f"not an entry of managedFields: {entry}")
        fields, _ = owners.get(owner, (frozenset(), ""))
        owners[owner] = (fields | fieldsets.decode(entry.get("fieldsV1") or {}), entry.get("time", ""))
    return owners


def _encoded(owners: _Owners, now: str = "") -> list[Json]:
    entries = []
    for owner, (fields, since) in owners.items():
        if not fields:
            continue
        entry = {"manager": owner.manager, "operation": owner.operation, "apiVersion": owner.api_version}
        time = {"time": since or now} if since or now else {}
        part = {"subresource": owner.subresource} if owner.subresource else {}
        entries.append(entry | time | {"fieldsType": "FieldsV1", "fieldsV1": fieldsets.encode(fields)} | part)
    return sorted(entries, key=lambda one: (one["operation"], one.get("time", "~"), one["manager"]))
