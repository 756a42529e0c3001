"""What must hold whatever went wrong: read from the pods' histories, the API server and the cloud's own books. Pure.

Each complaint is a line that names what it is about. No line: all is as it should be.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
TERMINAL = ("Succeeded", "Failed")
ENDED = ("ScheduleFailed", "Succeeded", "Failed", "Expired", "Gone")
RANK = {"": 0, "Pending": 1, "Running": 2, "Succeeded": 3, "Failed": 3}
STARTED = "Started"
MIRRORED = "vk-provider.io/mirrored-by"


@dataclass(frozen=True)
class Evidence:
    """All there is to read.

    statuses: by pod uid, oldest first. names: by uid. pods, jobs, deployments: as they stand.
    groups, journal: the cloud's.
    disruptions: how often an instance was taken away on purpose. exit_codes: by the first letters of a pod's name.
    extra: instances that others made, by the uid on them.
    """

    statuses: Mapping[str, Sequence[Json]]
    names: Mapping[str, str]
    pods: Sequence[Json]
    jobs: Sequence[Json]
    deployments: Sequence[Json]
    events: Sequence[Json]
    live_groups: Sequence[Json]
    groups_ever: Sequence[Json]
    journal: Sequence[Json]
    exit_codes: Mapping[str, int]
    disruptions: int = 0
    provider_log: str = ""
    secrets: Sequence[str] = field(default=())
    extra: Mapping[str, int] = field(default_factory=dict)


def complaints(evidence: Evidence) -> list[str]:
    """Every rule that does not hold, a line each."""
    return [line for rule in RULES for line in rule(evidence)]


def one_instance_per_pod(evidence: Evidence) -> Iterator[str]:
    """A second one may only follow a first that never ran: what was never placed costs nothing. Where others made one,
    it is deleted."""
    placed = Counter(uid_of(each) for each in evidence.groups_ever if each["pending"])
    for uid, count in placed.items():
        if count > 1 + evidence.extra.get(uid, 0):
            yield f"pod {evidence.names.get(uid, uid)} ({uid}) had {count} instances"
    live = Counter(uid_of(each) for each in evidence.live_groups)
    for uid, count in live.items():
        if count > 1:
            yield f"pod {evidence.names.get(uid, uid)} ({uid}) still has {count} instances"


def no_instance_without_pod(evidence: Evidence) -> Iterator[str]:
    known = {each["metadata"]["uid"] for each in evidence.pods}
    for group in evidence.live_groups:
        if uid_of(group) not in known:
            yield f"instance {group['id']} ({group['name']}) has no pod and is still there"


def nothing_is_billed_for_ended_pods(evidence: Evidence) -> Iterator[str]:
    ended = {each["metadata"]["uid"]: each for each in evidence.pods if phase(each["status"]) in TERMINAL}
    for group in evidence.live_groups:
        if group["billing"] and uid_of(group) in ended:
            yield f"instance {group['id']} is billed though its pod {group['name']} has ended"


def jobs_end_as_their_exit_codes_say(evidence: Evidence) -> Iterator[str]:
    for job in evidence.jobs:
        name = job["metadata"]["name"]
        kinds = [each["type"] for each in job.get("status", {}).get("conditions", ()) if each["status"] == "True"]
        wanted = "Complete" if evidence.exit_codes[kind_of(name)] == 0 else "Failed"
        if wanted not in kinds:
            yield f"job {name} should be {wanted}, its conditions are {kinds}"


def exit_codes_are_true(evidence: Evidence) -> Iterator[str]:
    """A pod ends by its program's own code, or by a disruption or a deletion, and says so."""
    disrupted = 0
    for uid, history in evidence.statuses.items():
        name, last = evidence.names[uid], history[-1]
        if phase(last) not in TERMINAL or kind_of(name) not in evidence.exit_codes:
            continue
        wanted = evidence.exit_codes[kind_of(name)]
        codes = [each["state"].get("terminated", {}).get("exitCode") for each in last.get("containerStatuses", ())]
        if codes == [wanted] and phase(last) == ("Failed" if wanted else "Succeeded"):
            continue
        if last.get("reason") or any(each["type"] == "DisruptionTarget" for each in last.get("conditions", ())):
            disrupted += 1
        elif 137 not in codes and 143 not in codes:
            yield f"pod {name} ended {phase(last)} with {codes}, its program with {wanted}"
    if disrupted > evidence.disruptions:
        yield f"{disrupted} pods say that they were disrupted, {evidence.disruptions} were"


def terminal_is_terminal(evidence: Evidence) -> Iterator[str]:
    for uid, history in evidence.statuses.items():
        ended: Json | None = None
        for status in history:
            if ended is None:
                ended = status if phase(status) in TERMINAL else None
                continue
            for key in ("phase", "containerStatuses", "reason", "message"):
                if status.get(key) != ended.get(key):
                    yield f"pod {evidence.names[uid]} ({uid}): {key} changed after it had ended"


def no_status_goes_back(evidence: Evidence) -> Iterator[str]:
    for uid, history in evidence.statuses.items():
        name = f"pod {evidence.names[uid]} ({uid})"
        for before, after in itertools.pairwise(history):
            if RANK[phase(after)] < RANK[phase(before)]:
                yield f"{name} went from {phase(before)} to {phase(after)}"
            if before.get("startTime") and after.get("startTime") != before["startTime"]:
                yield f"{name}: startTime changed from {before['startTime']} to {after.get('startTime')}"
            restarts = {each["name"]: each["restartCount"] for each in before.get("containerStatuses", ())}
            for each in after.get("containerStatuses", ()):
                if each["restartCount"] < restarts.get(each["name"], 0):
                    yield f"{name}: container {each['name']} counts fewer restarts than before"


def nothing_is_stuck(evidence: Evidence) -> Iterator[str]:
    for pod in evidence.pods:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp"):
            yield f"pod {name} is still being deleted"
        elif phase(pod["status"]) not in ("Running", *TERMINAL):
            yield f"pod {name} is still {phase(pod['status']) or 'without a phase'}"
    for each in evidence.deployments:
        wanted, ready = each["spec"]["replicas"], each.get("status", {}).get("readyReplicas", 0)
        if wanted != ready:
            yield f"deployment {each['metadata']['name']} has {ready} ready of {wanted}"


def events_are_told_once(evidence: Evidence) -> Iterator[str]:
    """Of the cloud's events none twice; and who ran was told to have started."""
    mirrored = [each for each in evidence.events if MIRRORED in each["metadata"].get("annotations", {})]
    told = Counter(
        (each["involvedObject"]["uid"], each["reason"], each["message"], each["firstTimestamp"]) for each in mirrored
    )
    for (uid, reason, message, _), count in told.items():
        if count > 1:
            yield f"pod {evidence.names.get(uid, uid)} was told {count} times: {reason} {message}"
    started = {each["involvedObject"]["uid"] for each in mirrored if each["reason"] == STARTED}
    for pod in evidence.pods:
        codes = [each["state"].get("terminated", {}) for each in pod["status"].get("containerStatuses", ())]
        ran = any(each.get("startedAt") and each.get("reason") in ("Completed", "Error") for each in codes)
        if ran and pod["metadata"]["uid"] not in started and not pod["status"].get("reason"):
            yield f"pod {pod['metadata']['name']} ran, and no event says that it started"


def bills_are_explained(evidence: Evidence) -> Iterator[str]:
    """To the second: what a group is billed are the begun seconds from its first pending to its end, by the journal."""
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for entry in evidence.journal:
        if entry["kind"] == "state" and entry["new"] == "Pending":
            began.setdefault(entry["id"], entry["when"])
        elif entry["kind"] == "state" and entry["new"] in ENDED:
            ended.setdefault(entry["id"], entry["when"])
    for group in evidence.groups_ever:
        if group["billing"]:
            continue
        if group["id"] not in began:
            lasted = 0.0
        elif group["id"] in ended:
            lasted = max(0.0, ended[group["id"]] - began[group["id"]])
        else:
            yield f"instance {group['id']} is billed no more, and the journal knows no end of it"
            continue
        if group["billed_seconds"] != math.ceil(round(lasted, 3)):
            yield f"instance {group['id']} is billed {group['billed_seconds']} s and lasted {lasted:.3f} s"


def nothing_secret_is_said(evidence: Evidence) -> Iterator[str]:
    for secret in evidence.secrets:
        if secret in evidence.provider_log:
            yield "a secret stands in the provider's log"


RULES = (
    one_instance_per_pod,
    no_instance_without_pod,
    nothing_is_billed_for_ended_pods,
    jobs_end_as_their_exit_codes_say,
    exit_codes_are_true,
    terminal_is_terminal,
    no_status_goes_back,
    nothing_is_stuck,
    events_are_told_once,
    bills_are_explained,
    nothing_secret_is_said,
)


def phase(status: Mapping[str, Any]) -> str:
    return str(status.get("phase") or "")


def kind_of(name: str) -> str:
    """`good` of `good7` and of its pod `good7-x2k4p`."""
    return (
        name.rstrip("0123456789")
        if name[-1].isdigit() and "-" not in name
        else name.partition("-")[0].rstrip("0123456789")
    )


def uid_of(group: Mapping[str, Any]) -> str:
    return next((value for key, value in group["tags"].items() if key.endswith("pod-uid")), "")
