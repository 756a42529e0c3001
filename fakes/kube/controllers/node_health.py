"""What a node's conditions mean for its taints, and its taints for its pods. Pure.

Source: kubernetes pkg/controller/nodelifecycle and tainteviction, v1.32.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from fakes.kube.clock import parse, stamp
from fakes.kube.reads import Json, condition
from fakes.kube.scheduler.filters import tolerates

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OURS = {(key, effect) for key in (NOT_READY, UNREACHABLE) for effect in ("NoSchedule", "NoExecute")} | {
    (key, "NoSchedule") for key in (UNSCHEDULABLE, *_PRESSURE.values())
}


def unknown_conditions(node: Json, now: datetime) -> list[Json] | None:
    """The node's conditions once its kubelet has fallen silent; None when they say so already."""
    present: list[Json] = (node.get("status") or {}).get("conditions") or []
    result = [item if item["type"] not in WATCHED else _unknown(item, now) for item in present]
    for kind in WATCHED:
        if condition(node, kind) is None:
            never = {"type": kind, "reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status."}
            times = {"lastHeartbeatTime": node["metadata"]["creationTimestamp"], "lastTransitionTime": stamp(now)}
            result.append({**never, "status": "Unknown", **times})
    return None if result == present else result


def _unknown(item: Json, now: datetime) -> Json:
    if item["status"] == "Unknown":
        return item
    text = "Kubelet stopped posting node status."
    changed = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": text, "lastTransitionTime": stamp(now)}
    return {**item, **changed}


def taints(node: Json, now: datetime) -> list[Json]:
    """The taints the node should have: others' as they are, ours as its conditions demand."""
    wanted = _wanted(node)
    present: list[Json] = (node.get("spec") or {}).get("taints") or []
    kept = [item for item in present if (item["key"], item.get("effect")) not in _OURS or _pair(item) in wanted]
    have = {_pair(item) for item in kept}
    missing = [pair for pair in wanted if pair not in have]
    return kept + [{"key": key, "effect": effect, "timeAdded": stamp(now)} for key, effect in missing]


def _pair(taint: Json) -> tuple[str, str]:
    return taint["key"], taint.get("effect") or ""


def _wanted(node: Json) -> list[tuple[str, str]]:
    ready = condition(node, "Ready")
    result = []
    if ready is not None and ready["status"] != "True":
        key = UNREACHABLE if ready["status"] == "Unknown" else NOT_READY
        result += [(key, "NoSchedule"), (key, "NoExecute")]
    for kind, key in _PRESSURE.items():
        found = condition(node, kind)
        if found is not None and found["status"] == "True":
            result.append((key, "NoSchedule"))
    if (node.get("spec") or {}).get("unschedulable"):
        result.append((UNSCHEDULABLE, "NoSchedule"))
    return result


def eviction_time(pod: Json, node_taints: Iterable[Json], now: datetime) -> datetime | None:
    """When the node's NoExecute taints end the pod's stay; None when it tolerates them for good.

    Each taint runs from its `timeAdded`, and a toleration's `tolerationSeconds` are a stay of that length.
    """
    tolerations = pod["spec"].get("tolerations") or []
    due: list[datetime] = []
    for taint in node_taints:
        if taint.get("effect") != "NoExecute":
            continue
        fitting = [item for item in tolerations if tolerates([item], taint)]
        if not fitting:
            return now
        stays = [item["tolerationSeconds"] for item in fitting if item.get("tolerationSeconds") is not None]
        if stays:
            since = parse(taint["timeAdded"]) if taint.get("timeAdded") else now
            due.append(since + timedelta(seconds=max(0, min(stays))))
    return min(due, default=None)
