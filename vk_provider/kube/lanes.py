"""Lanes of requests: each kind of traffic has its own bound, so that a flood in one never delays another.

Only how many run at once is bounded, not how many a second: the API server's own priority and fairness does that,
and says so with 429.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Lane(Enum):
    NODE = "node"  # the node object and leases: the heart
    WRITES = "writes"  # pod status, final deletes, patches
    READS = "reads"  # lists and single objects
    REVIEWS = "reviews"  # who may read logs; people wait for these
    EVENTS = "events"


AT_ONCE: Mapping[Lane, int] = {
    Lane.NODE: 4,
    Lane.WRITES: 32,
    Lane.READS: 16,
    Lane.REVIEWS: 16,
    Lane.EVENTS: 4,
}

_BY_RESOURCE = {
    "nodes": Lane.NODE,
    "leases": Lane.NODE,
    "events": Lane.EVENTS,
    "tokenreviews": Lane.REVIEWS,
    "subjectaccessreviews": Lane.REVIEWS,
}


def lane_of(method: str, path: str) -> Lane:
    return _BY_RESOURCE.get(_parts(path)[0], Lane.READS if method == "GET" else Lane.WRITES)


def kind_of(method: str, path: str, params: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Verb and resource of a request in the API's own words, as ("patch", "pods/status"); for counting."""
    kind, name, sub = _parts(path)
    verb = {"POST": "create", "PUT": "update"}.get(method, method.lower())
    if method == "GET" and kind and not name:
        verb = "watch" if (params or {}).get("watch") == "true" else "list"
    return verb, f"{kind}/{sub}" if sub else kind or path


def is_listing(method: str, path: str) -> bool:
    """Whether many objects answer it."""
    kind, name, _ = _parts(path)
    return method == "GET" and bool(kind) and not name


def _parts(path: str) -> tuple[str, str, str]:
    """`pods`, name and subresource of /api/v1/namespaces/web/pods/events/log; empty for what is not named."""
    segments = path.strip("/").split("/")
    rest = segments[2:] if segments[0] == "api" else segments[3:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    kind, name, sub = (*rest, "", "", "")[:3]
    return kind, name, sub
