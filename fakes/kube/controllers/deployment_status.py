"""A Deployment's status from its ReplicaSets. Pure.

Source: kubernetes pkg/controller/deployment/progress.go and sync.go, v1.32.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from fakes.kube.clock import parse, stamp
from fakes.kube.controllers import rollout
from fakes.kube.reads import Json, condition

NO_DEADLINE = 2**31 - 1


def status_of(
    deployment: Json, sets: Sequence[Json], new: Json | None, now: datetime, *, created: bool = False
) -> Json:
    """The whole status to write.

    new: the set of the present template, one of `sets`, or None before it exists; created: it was made just now.
    """
    status = counters(deployment, sets, new)
    conditions = [_available(deployment, status, now)]
    if created and new is not None and _has_deadline(deployment):
        text = f'Created new replica set "{new["metadata"]["name"]}"'
        progressing: Json | None = _condition("Progressing", "True", "NewReplicaSetCreated", text, now)
    else:
        progressing = _progressing(deployment, status, new, now)
    if progressing is not None:
        conditions.append(progressing)
    failure = next((found for one in sets if (found := condition(one, "ReplicaFailure")) is not None), None)
    if failure is not None:
        conditions.append({**failure, "lastUpdateTime": stamp(now)})
    status["conditions"] = _merged(deployment, conditions)
    return status


def counters(deployment: Json, sets: Sequence[Json], new: Json | None) -> Json:
    """The numbers; zeroes are left out, as on the wire."""
    available = rollout.status_total(sets, "availableReplicas")
    numbers = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": rollout.status_total(sets, "replicas"),
        "updatedReplicas": rollout.status_total([new] if new else [], "replicas"),
        "readyReplicas": rollout.status_total(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, rollout.total(sets) - available),
        "collisionCount": (deployment.get("status") or {}).get("collisionCount") or 0,
    }
    return {name: value for name, value in numbers.items() if value}


def deadline_left_s(deployment: Json, status: Json, now: datetime) -> float | None:
    """Seconds until the rollout counts as stuck; None when it is complete, has no deadline or is stuck already."""
    limit = deployment["spec"].get("progressDeadlineSeconds", NO_DEADLINE)
    progressing = condition({"status": status}, "Progressing")
    if limit == NO_DEADLINE or progressing is None or progressing["status"] != "True":
        return None
    if progressing["reason"] == "NewReplicaSetAvailable" or rollout.is_complete(deployment, status):
        return None
    return (parse(progressing["lastUpdateTime"]) + timedelta(seconds=limit) - now).total_seconds()


def _available(deployment: Json, status: Json, now: datetime) -> Json:
    enough = status.get("availableReplicas", 0) >= rollout.replicas_of(deployment) - rollout.max_unavailable(deployment)
    if enough:
        return _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    text = "Deployment does not have minimum availability."
    return _condition("Available", "False", "MinimumReplicasUnavailable", text, now)


def _progressing(deployment: Json, status: Json, new: Json | None, now: datetime) -> Json | None:
    if not _has_deadline(deployment):
        return None
    before = condition(deployment, "Progressing")
    name = f'ReplicaSet "{new["metadata"]["name"]}"' if new is not None else "Deployment"
    if deployment["spec"].get("paused"):
        return _on_pause(before, now)
    if before is not None and before["reason"] == "DeploymentPaused":
        return _condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    done = before is not None and before["reason"] == "NewReplicaSetAvailable"
    if done and status.get("replicas", 0) == status.get("updatedReplicas", 0):
        return before
    if rollout.is_complete(deployment, status):
        return _condition("Progressing", "True", "NewReplicaSetAvailable", f"{name} has successfully progressed.", now)
    if before is None or rollout.has_progressed(deployment.get("status") or {}, status):
        return _condition("Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.", now)
    if _timed_out(deployment, before, now):
        return _condition("Progressing", "False", "ProgressDeadlineExceeded", f"{name} has timed out progressing.", now)
    return before


def _has_deadline(deployment: Json) -> bool:
    return bool(deployment["spec"].get("progressDeadlineSeconds", NO_DEADLINE) != NO_DEADLINE)


def _on_pause(before: Json | None, now: datetime) -> Json:
    # A stuck rollout stays known as stuck: pausing it is no way to forget that.
    if before is not None and before["reason"] in ("DeploymentPaused", "ProgressDeadlineExceeded"):
        return before
    return _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now)


def _timed_out(deployment: Json, before: Json, now: datetime) -> bool:
    if before["reason"] == "NewReplicaSetAvailable":
        return False
    if before["reason"] == "ProgressDeadlineExceeded":
        return True
    limit = timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])
    return parse(before["lastUpdateTime"]) + limit <= now


def _condition(kind: str, status: str, reason: str, message: str, now: datetime) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": stamp(now),
        "lastTransitionTime": stamp(now),
    }


def _merged(deployment: Json, conditions: list[Json]) -> list[Json]:
    """Each condition as it was when it says the same, else new, with the transition kept while its status is."""
    result = []
    for new in conditions:
        old = condition(deployment, new["type"])
        if old is not None and old["status"] == new["status"]:
            # A rollout that moves renews lastUpdateTime, from which its deadline runs.
            moved = new["reason"] == "ReplicaSetUpdated" and new["lastUpdateTime"] != old["lastUpdateTime"]
            same = old["reason"] == new["reason"] and not moved
            result.append(old if same else {**new, "lastTransitionTime": old["lastTransitionTime"]})
        else:
            result.append(new)
    return result
