"""The Node as the API server has it and as it should be → the patches that make it so.

Only what is ours is ever written: taints and extra labels once, at creation; default labels at each start; our
resources, conditions, addresses and node info with every status. What controllers and people add stays.
Source: kubernetes pkg/kubelet/kubelet_node_status.go, kubelet.md a.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vk_provider.model.pod import Json
from vk_provider.model.quantity import parse
from vk_provider.translate.node import (
    IDENTITY_ANNOTATION,
    RESOURCES_ANNOTATION,
    NodeSpec,
    default_labels,
    known_conditions,
    resource_names,
    transition_time,
)
from vk_provider.translate.status_patch import canonical


def differs(node: Json, desired: Json) -> bool:
    """Whether anything but heartbeats is to be written, at once; heartbeats alone wait for their turn (N20)."""
    return bool(_changes(node, desired)) or bool(_changed_conditions(node, desired))


def status_patch(node: Json, desired: Json) -> Json | None:
    """The strategic-merge body for `PATCH /api/v1/nodes/<name>/status`, heartbeats in it; None if even they are equal.

    node: as the API server has it now, never as it was answered to an earlier write.
    """
    changes = _changes(node, desired)
    known = known_conditions(node)
    stale = [wanted for wanted in desired["conditions"] if known.get(wanted["type"], {}) != wanted]
    if not changes and not stale:
        return None
    if (node.get("status") or {}).get("declaredFeatures") != desired["declaredFeatures"]:
        changes["declaredFeatures"] = desired["declaredFeatures"]  # sent along only: a server may not keep it
    if stale:
        changes["conditions"] = [_over(known.get(wanted["type"], {}), wanted) for wanted in desired["conditions"]]
    mark = {RESOURCES_ANNOTATION: resource_names(desired["capacity"])}
    meta = _missing(node["metadata"].get("annotations") or {}, mark)
    return {**({"metadata": {"annotations": meta}} if meta else {}), "status": changes}


def announced_at(node: Json) -> str:
    """Where callers are sent who want the node's kubelet: `10.0.0.1:10250`; empty: nowhere yet."""
    status: Json = node.get("status") or {}
    hosts = [str(each.get("address")) for each in status.get("addresses") or () if isinstance(each, dict)]
    port = (_map(status.get("daemonEndpoints")).get("kubeletEndpoint") or {}).get("Port")
    return f"{','.join(sorted(hosts))}:{port}" if hosts else ""


def metadata_patch(node: Json, spec: NodeSpec, *, adopt: bool = False) -> Json | None:
    """Puts the default labels right, or None (N1). adopt: also mark a node of other origin as ours (N10)."""
    meta = node["metadata"]
    labels = _missing(meta.get("labels") or {}, default_labels(spec))
    mark = {IDENTITY_ANNOTATION: spec.identity} if adopt else {}
    annotations = _missing(meta.get("annotations") or {}, mark)
    body = {**({"labels": labels} if labels else {}), **({"annotations": annotations} if annotations else {})}
    return {"metadata": body} if body else None


def is_ours(node: Json, spec: NodeSpec) -> bool:
    """The Node carries our mark; without it a real machine may stand behind the name (N10)."""
    annotations = node["metadata"].get("annotations") or {}
    return bool(annotations.get(IDENTITY_ANNOTATION) == spec.identity)


def _missing(present: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if present.get(name) != value}


def _changes(node: Json, desired: Json) -> Json:
    status: Json = node.get("status") or {}
    changes: Json = {}
    written = ((node["metadata"].get("annotations") or {}).get(RESOURCES_ANNOTATION) or "").split(",")
    retired = {name for name in written if name} - set(desired["capacity"])  # that we wrote once and no longer have
    for name in ("capacity", "allocatable"):
        present = _map(status.get(name))
        changed: Json = {key: value for key, value in desired[name].items() if not _same(present.get(key), value)}
        changed |= {key: None for key in retired if key in present}
        if changed:
            changes[name] = changed
    for name in ("daemonEndpoints", "nodeInfo"):
        present = _map(status.get(name))
        if any(present.get(key) != value for key, value in canonical(desired[name]).items()):
            changes[name] = desired[name]
    present_addresses = status.get("addresses") or []
    if present_addresses != desired["addresses"]:
        # By type they would merge, which keeps old ones; without an old list the directive would stay in the new one.
        replace = [{"$patch": "replace"}] if present_addresses else []
        changes["addresses"] = [*desired["addresses"], *replace]
    return changes


def _same(present: Any, wanted: str) -> bool:
    try:
        return present is not None and parse(present) == parse(wanted)
    except ValueError:
        return False


def _map(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _changed_conditions(node: Json, desired: Json) -> list[Json]:
    known = known_conditions(node)
    return [
        wanted
        for wanted in desired["conditions"]
        if any(
            (known.get(wanted["type"], {}).get(name) or "") != wanted[name] for name in ("status", "reason", "message")
        )
    ]


def _over(present: Json, wanted: Json) -> Json:
    """The condition as sent, its transition time kept while the status is the one the API has."""
    since = transition_time(present, wanted["status"])
    return {**wanted, "lastTransitionTime": since} if since else wanted
