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
    return _BY_RESOURCE.get(_resource(path), Lane.READS if method == "GET" else Lane.WRITES)


def _resource(path: str) -> str:
    """`pods` of /api/v1/namespaces/web/pods/events; empty for paths that name no resource."""
    segments = path.strip("/").split("/")
    rest = segments[2:] if segments[0] == "api" else segments[3:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    return rest[0] if rest else ""
