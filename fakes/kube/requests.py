"""What a URL asks for, read the way the API server reads it (`endpoints/request/requestinfo.go`). Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from fakes.kube.resources import RESOURCES, Resource

ROUTES: dict[tuple[str, str, str], Resource] = {
    (row.group, version, row.plural): row for row in RESOURCES.values() for version in (row.version, *row.older)
}
GROUPS: frozenset[str] = frozenset(row.group for row in RESOURCES.values())

_NAMESPACE_PARTS = ("status", "finalize")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request for a resource. row: None when nothing of that name is served. tail: what follows the subresource."""

    row: Resource | None
    group: str
    version: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    tail: str = ""


def is_true(query: Mapping[str, str], name: str) -> bool:
    """Booleans in a query: anything but 0 and false, even nothing, says yes."""
    return name in query and query[name].lower() not in ("0", "false")


def built_in(group: str, version: str, plural: str) -> Resource | None:
    return ROUTES.get((group, version, plural))


def parse(
    method: str,
    raw_path: str,
    query: Mapping[str, str],
    find: Callable[[str, str, str], Resource | None] = built_in,
) -> Asked | None:
    """The resource asked for, or None if the path is no resource's. find: the one of a group, version and name."""
    parts = [unquote(part) for part in raw_path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watch = rest[0] == "watch" and len(rest) > 1
    rest = rest[1:] if watch else rest
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_PARTS:
            rest = rest[2:]
    resource, name, subresource, *tail = [*rest, "", "", ""][: max(3, len(rest))]
    verb = _verb(method, query, name=name, watch=watch)
    return Asked(
        row=find(group, version, resource),
        group=group,
        version=version,
        resource=resource,
        verb=verb,
        namespace=namespace,
        name=name,
        subresource=subresource,
        tail="/".join(tail),
    )


def _verb(method: str, query: Mapping[str, str], *, name: str, watch: bool) -> str:
    verb = _VERBS.get(method, method.lower())
    if verb == "get" and (watch or (not name and is_true(query, "watch"))):
        return "watch"
    if verb == "get" and not name:
        return "list"
    return "deletecollection" if verb == "delete" and not name else verb
