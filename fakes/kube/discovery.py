"""Which groups, versions and resources are served, in the classic form and in the aggregated one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fakes.kube.resources import Resource
from fakes.kube.seed import VERSION

Json = dict[str, Any]

_SUBRESOURCE_VERBS: dict[str, tuple[str, ...]] = {
    "attach": ("create", "get"),
    "exec": ("create", "get"),
    "portforward": ("create", "get"),
    "log": ("get",),
    "binding": ("create",),
    "eviction": ("create",),
    "token": ("create",),
    "finalize": ("update",),
    "proxy": ("create", "delete", "get", "patch", "update"),
}
_SUBRESOURCE_KINDS = {
    "attach": ("", "v1", "PodAttachOptions"),
    "exec": ("", "v1", "PodExecOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "scale": ("autoscaling", "v1", "Scale"),
}


def _part_kind(part: str, kind: str) -> tuple[str, str, str] | None:
    """Group, version and kind of a subresource that has a kind of its own."""
    return ("", "v1", f"{kind}ProxyOptions") if part == "proxy" else _SUBRESOURCE_KINDS.get(part)


def version() -> Json:
    major, minor = VERSION.removeprefix("v").split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "none",
        "platform": "stand-in/python",
    }


def groups(rows: Iterable[Resource]) -> dict[str, list[str]]:
    """Served versions by group, the preferred one first; "" is the core."""
    found: dict[str, list[str]] = {}
    for row in rows:
        versions = found.setdefault(row.group, [])
        versions += [name for name in (row.version, *row.older) if name not in versions]
    return found


def core_versions(address: str) -> Json:
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def group(rows: Iterable[Resource], name: str) -> Json | None:
    versions = groups(rows).get(name)
    if not name or versions is None:
        return None
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(rows: Sequence[Resource]) -> Json:
    listed = [made for name in groups(rows) if (made := group(rows, name))]
    bare = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in listed]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": bare}


def resource_list(rows: Sequence[Resource], group_name: str, version_name: str) -> Json | None:
    """The APIResourceList of one group and version, None if nothing is served there."""
    found = [row for row in rows if row.group == group_name and version_name in (row.version, *row.older)]
    if not found:
        return None
    name = f"{group_name}/{version_name}" if group_name else version_name
    listed = [item for row in found for item in _entries(row)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}


def _entries(row: Resource) -> Iterator[Json]:
    entry: Json = {
        "name": row.plural,
        "singularName": row.singular or row.kind.lower(),
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    yield entry
    for part in row.subresources:
        in_group, in_version, kind = _part_kind(part, row.kind) or ("", "", row.kind)
        entry = {"name": f"{row.plural}/{part}", "singularName": "", "namespaced": row.namespaced, "kind": kind}
        if in_version and (in_group or row.group):
            entry |= {"group": in_group, "version": in_version}
        yield entry | {"verbs": list(_SUBRESOURCE_VERBS.get(part, ("get", "patch", "update")))}


def aggregated(rows: Sequence[Resource], *, core: bool, api_version: str) -> Json:
    """An APIGroupDiscoveryList: everything under /api, or everything under /apis, in one document."""
    wanted = {name: versions for name, versions in groups(rows).items() if (name == "") is core}
    items = []
    for name, versions in wanted.items():
        listed = [
            {"version": item, "resources": _aggregated_resources(rows, name, item), "freshness": "Current"}
            for item in versions
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{api_version}",
        "metadata": {},
        "items": items,
    }


def _aggregated_resources(rows: Sequence[Resource], group_name: str, version_name: str) -> list[Json]:
    listed = []
    for row in rows:
        if row.group != group_name or version_name not in (row.version, *row.older):
            continue
        kind = {"group": row.group, "version": version_name, "kind": row.kind}
        entry: Json = {
            "resource": row.plural,
            "responseKind": kind,
            "scope": "Namespaced" if row.namespaced else "Cluster",
            "singularResource": row.singular or row.kind.lower(),
            "verbs": list(row.verbs),
        }
        if row.short_names:
            entry["shortNames"] = list(row.short_names)
        if row.categories:
            entry["categories"] = list(row.categories)
        if row.subresources:
            entry["subresources"] = [_aggregated_part(part, kind) for part in row.subresources]
        listed.append(entry)
    return listed


def _aggregated_part(part: str, kind: Json) -> Json:
    if own := _part_kind(part, kind["kind"]):
        in_group, in_version, name = own
        kind = {"group": in_group, "version": in_version, "kind": name}
    verbs = list(_SUBRESOURCE_VERBS.get(part, ("get", "patch", "update")))
    return {"subresource": part, "responseKind": kind, "verbs": verbs}
