"""What containers were given when their instance was made, and that it stays so: resizes are answered, not done (P47).

An entry keeps the resources it got first, so that a later change of the spec can be seen beside them. Servers before
1.27 drop these fields; they know no resize either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vk_provider.model.pod import Json, containers_of, init_containers_of
from vk_provider.translate.container_status import by_name

FIELDS = ("resources", "allocatedResources")


def given(container: Json, entry: Json) -> Json:
    """The entry with what the container has, if it does not say so yet and there is something to say."""
    stated = container.get("resources") or {}
    resources = {name: stated[name] for name in ("limits", "requests") if stated.get(name)}
    if not resources or any(name in entry for name in FIELDS):
        return entry
    requests = resources.get("requests")
    return {**entry, "resources": resources, **({"allocatedResources": requests} if requests else {})}


def pending(pod: Json, entries: Sequence[Json]) -> str:
    """Why the pod is not resized as its spec asks; empty if it asks for nothing new."""
    known = by_name(entries)
    changes = [
        change
        for container in (*init_containers_of(pod), *containers_of(pod))
        for change in _changes(container, known.get(container["name"], {}).get("resources"))
    ]
    if not changes:
        return ""
    return f"a running instance cannot change its size ({'; '.join(changes)}); make the pod anew"


def _changes(container: Json, had: Mapping[str, Any] | None) -> list[str]:
    if had is None:
        return []
    wants = container.get("resources") or {}
    return [
        f"{container['name']}: {group}.{resource} {before or 'none'} to {after or 'none'}"
        for group in ("requests", "limits")
        for resource in ("cpu", "memory")
        if (before := (had.get(group) or {}).get(resource)) != (after := (wants.get(group) or {}).get(resource))
    ]
