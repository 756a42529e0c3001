"""Pods as the workload controllers read, rank and make them. Pure."""

from datetime import datetime, timedelta

from fakes.kube.clock import parse
from fakes.kube.reads import (
    Json,
    annotations_of,
    condition,
    condition_is,
    draft,
    is_deleting,
    owner_reference,
)

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_finished(pod: Json) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Json) -> bool:
    """Neither finished nor being deleted."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Json) -> bool:
    return condition_is(pod, "Ready")


def is_available(pod: Json, min_ready_s: int, now: datetime) -> bool:
    """Ready for at least `min_ready_s`."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return False
    if min_ready_s == 0:
        return True
    since = ready.get("lastTransitionTime") or ""
    return bool(since) and parse(since) + timedelta(seconds=min_ready_s) <= now


def restarts(pod: Json) -> int:
    """The most restarts of any of its containers."""
    return max((item.get("restartCount") or 0 for item in _statuses(pod)), default=0)


def all_restarts(pod: Json) -> int:
    """Restarts of all its containers and init containers together."""
    return sum(item.get("restartCount") or 0 for item in _statuses(pod))


def finished_at(pod: Json) -> datetime:
    """When the pod came to its end, from the best witness there is.

    Its containers' last finish, else the moment it stopped being ready, else when its deletion was asked for,
    else its birth. Source: kubernetes pkg/controller/job/backoff_utils.go, getFinishedTime.
    """
    ends = [((item.get("state") or {}).get("terminated") or {}).get("finishedAt") or "" for item in _app_statuses(pod)]
    if ends and all(ends):
        return max(parse(end) for end in ends)
    ready = condition(pod, "Ready")
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse(ready["lastTransitionTime"])
    meta = pod["metadata"]
    if is_deleting(pod):
        return parse(meta["deletionTimestamp"]) - timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0)
    return parse(meta["creationTimestamp"])


def removal_order(pod: Json, *, crowd: int = 0) -> tuple[object, ...]:
    """Sort key: which pod to give up first when there are too many.

    crowd: how many related pods share its node.
    Source: kubernetes pkg/controller/controller_utils.go, ActivePodsWithRanks.
    """
    ready = condition(pod, "Ready")
    ready_since = (ready or {}).get("lastTransitionTime") or ""
    return (
        bool(pod["spec"].get("nodeName")),
        _PHASE_RANK.get(phase(pod), 2),
        is_ready(pod),
        deletion_cost(pod),
        -crowd,
        # Young things go first: ready for a shorter time, then restarted more, then born later.
        _descending(ready_since if is_ready(pod) else ""),
        -restarts(pod),
        _descending(pod["metadata"].get("creationTimestamp") or ""),
    )


def deletion_cost(pod: Json) -> int:
    """What its annotation says it is worth; 0 when absent or no number."""
    try:
        return int(annotations_of(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def from_template(template: Json, owner: Json) -> Json:
    """A pod of `owner` (which carries its apiVersion and kind) with a generated name."""
    made = draft(template)
    meta = made.get("metadata") or {}
    kept = {name: meta[name] for name in ("labels", "annotations", "finalizers") if meta.get(name)}
    name: str = owner["metadata"]["name"]
    made["metadata"] = {
        **kept,
        "namespace": owner["metadata"]["namespace"],
        "generateName": f"{name}-",
        "ownerReferences": [owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", **made}


def _statuses(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _app_statuses(pod: Json) -> list[Json]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _descending(stamp: str) -> tuple[int, ...]:
    return tuple(-ord(char) for char in stamp)
