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
STOPPED = frozenset({137, 143})
MOST_LATE_S = 240.0
"""How long an instance may run on without trouble: what an earlier trouble leaves is a look that is tried again after
90 s at the most, and a new process lets 60 s of its orphan's age pass; two counts that must miss something, 60 s; an
accepted deletion, 15 s."""
MIRRORED = "vk-provider.io/mirrored-by"


@dataclass(frozen=True)
class Evidence:
    """All there is to read.

    statuses: by pod uid, oldest first. names: by uid. pods, jobs, deployments: as they stand.
    groups, journal: the cloud's.
    disruptions: how often an instance was taken away on purpose. exit_codes: by the first letters of a pod's name, as
    init_exit_codes, of pods whose init container ends so, and crash_codes, of runs before the last.

    What only a stage knows that sees everything; None, or nothing, where it does not. disrupted, deleted: uids.
    extra, starts: instances that others made, and all that were to run, by the uid on them. owed: uid and event of the
    cloud's that could be read for long enough. unheard: uids whose instance went in the midst of trouble, and its
    events with it. ended: uid → when the pod had ended or was gone, by the journal's clock, as are troubled, from when
    to when something was broken, and until, when all this was read. hostile: uids of pods that are made
    to hurt others: how they fare is their own matter. rivals: how many further providers ever ran on our node's name.
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
    init_exit_codes: Mapping[str, int] = field(default_factory=dict)
    crash_codes: Mapping[str, int] = field(default_factory=dict)
    disrupted: frozenset[str] | None = None
    deleted: frozenset[str] | None = None
    extra: Mapping[str, int] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)
    owed: Sequence[tuple[str, Json]] = ()
    unheard: frozenset[str] = frozenset()
    ended: Mapping[str, float] = field(default_factory=dict)
    troubled: Sequence[tuple[float, float]] = ()
    until: float = math.inf
    hostile: frozenset[str] = frozenset()
    rivals: int = 0


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
    for uid, count in evidence.starts.items():
        if count > max(1 + evidence.extra.get(uid, 0), placed[uid]):
            yield f"for pod {evidence.names.get(uid, uid)} ({uid}) {count} instances were asked for"
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
        wanted, codes = _ends(evidence, name, last)
        if uid in evidence.hostile or phase(last) not in TERMINAL or (wanted is None and evidence.deleted is None):
            continue
        if wanted is not None and codes == [wanted] and phase(last) == ("Failed" if wanted else "Succeeded"):
            continue
        if last.get("reason") or any(each["type"] == "DisruptionTarget" for each in last.get("conditions", ())):
            disrupted += 1
            if evidence.disrupted is not None and uid not in evidence.disrupted:
                yield f"pod {name} ({uid}) says that it was disrupted, and was not: {last.get('reason')}"
        elif evidence.deleted is not None and uid not in evidence.deleted:
            yield f"pod {name} ended {phase(last)} with {codes}, its program with {wanted}, and nobody deleted it"
        elif evidence.deleted is not None and not {*codes} <= {
            wanted,
            *STOPPED,
            None,
            evidence.crash_codes.get(kind_of(name)),
        }:
            yield f"pod {name} ended {phase(last)} with {codes}, its program with {wanted}, or by being stopped"
        elif evidence.deleted is None and not STOPPED & {*codes}:
            yield f"pod {name} ended {phase(last)} with {codes}, its program with {wanted}"
    if disrupted > evidence.disruptions:
        yield f"{disrupted} pods say that they were disrupted, {evidence.disruptions} were"


def _ends(evidence: Evidence, name: str, status: Json) -> tuple[int | None, list[int | None]]:
    """The exit code that the pod's program has, None = it has none, and those that its containers show."""
    kind = kind_of(name)
    of_init = kind in evidence.init_exit_codes
    entries = status.get("initContainerStatuses" if of_init else "containerStatuses", ())
    codes = [each["state"].get("terminated", {}).get("exitCode") for each in entries]
    return evidence.init_exit_codes[kind] if of_init else evidence.exit_codes.get(kind), codes


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
            if evidence.rivals:  # each writes what it has seen, and of two writes at once the server orders none
                continue
            restarts = {each["name"]: each["restartCount"] for each in before.get("containerStatuses", ())}
            for each in after.get("containerStatuses", ()):
                if each["restartCount"] < restarts.get(each["name"], 0):
                    yield f"{name}: container {each['name']} counts fewer restarts than before"
                elif each["restartCount"] == restarts.get(each["name"]) and _is_raised(each, before):
                    yield f"{name}: container {each['name']} had ended, and runs again without a restart"


def _is_raised(entry: Json, before: Json) -> bool:
    known = next(each for each in before["containerStatuses"] if each["name"] == entry["name"])
    return "terminated" in known["state"] and "running" in entry["state"]


def nothing_is_stuck(evidence: Evidence) -> Iterator[str]:
    for pod in evidence.pods:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp"):
            yield f"pod {name} is still being deleted"
        elif pod["metadata"]["uid"] in evidence.hostile:
            continue
        elif phase(pod["status"]) not in ("Running", *TERMINAL):
            yield f"pod {name} is still {phase(pod['status']) or 'without a phase'}"
        elif phase(pod["status"]) == "Running" and kind_of(name) in {*evidence.exit_codes, *evidence.init_exit_codes}:
            yield f"pod {name} is still Running, and its program ends by itself"
    for each in evidence.deployments:
        wanted, ready = each["spec"]["replicas"], each.get("status", {}).get("readyReplicas", 0)
        if wanted != ready:
            yield f"deployment {each['metadata']['name']} has {ready} ready of {wanted}"


def who_runs_has_an_instance(evidence: Evidence) -> Iterator[str]:
    billed = {uid_of(each) for each in evidence.live_groups if each["billing"]}
    for pod in evidence.pods:
        if phase(pod["status"]) == "Running" and pod["metadata"]["uid"] not in billed:
            yield f"pod {pod['metadata']['name']} is said to run, and has no instance that does"


def events_are_told_once(evidence: Evidence) -> Iterator[str]:
    """Of the cloud's events none twice, and a stop once whoever tells of it; and who ran was told to have started."""
    mirrored = [each for each in evidence.events if MIRRORED in each["metadata"].get("annotations", {})]
    told = Counter(
        (each["involvedObject"]["uid"], each["reason"], each["message"], each["firstTimestamp"]) for each in mirrored
    )
    for (uid, reason, message, _), count in told.items():
        if count > 1:
            yield f"pod {evidence.names.get(uid, uid)} was told {count} times: {reason} {message}"
    stops = Counter((each["involvedObject"]["uid"], each["message"]) for each in evidence.events if _is_stop(each))
    for (uid, message), count in stops.items():
        if count > 1:
            yield f"pod {evidence.names.get(uid, uid)} was told {count} times: {message}"
    started = {each["involvedObject"]["uid"] for each in mirrored if each["reason"] == STARTED}
    for pod in evidence.pods:
        codes = [each["state"].get("terminated", {}) for each in pod["status"].get("containerStatuses", ())]
        ran = any(each.get("startedAt") and each.get("reason") in ("Completed", "Error") for each in codes)
        uid = pod["metadata"]["uid"]
        if ran and uid not in started and uid not in evidence.unheard and not pod["status"].get("reason"):
            yield f"pod {pod['metadata']['name']} ran, and no event says that it started"


def _is_stop(event: Json) -> bool:
    return event["reason"] == "Killing" and event["message"].startswith("Stopping container")


def no_event_is_lost(evidence: Evidence) -> Iterator[str]:
    """What the cloud told for long enough stands on the pod, as often as it happened."""
    told = {
        (each["involvedObject"]["uid"], each["reason"], each["message"], each["firstTimestamp"]): each.get("count", 1)
        for each in evidence.events
        if MIRRORED in each["metadata"].get("annotations", {})
    }
    stops = {(each["involvedObject"]["uid"], each["message"]) for each in evidence.events if _is_stop(each)}
    for uid, event in evidence.owed:
        if _is_stop(event):
            if (uid, event["message"]) not in stops:
                yield f"pod {evidence.names.get(uid, uid)} was never told: {event['message']}"
            continue
        count = told.get((uid, event["reason"], event["message"], event["at"]))
        if count is None:
            yield f"pod {evidence.names.get(uid, uid)} was never told: {event['reason']} {event['message']}"
        elif count != event["count"]:
            yield (
                f"pod {evidence.names.get(uid, uid)} was told that it happened {count} times,"
                f" and it did {event['count']}: {event['message']}"
            )


def nothing_runs_on(evidence: Evidence) -> Iterator[str]:
    """Whose pod has ended or is gone is billed no longer than MOST_LATE_S, times of trouble left out."""
    began, ended = _lives(evidence)
    for group in evidence.groups_ever:
        over = evidence.ended.get(uid_of(group))
        if over is None or group["id"] not in began:
            continue
        late = _calm_s(evidence, max(over, began[group["id"]]), ended.get(group["id"], evidence.until))
        if late > MOST_LATE_S:
            yield f"instance {group['id']} ({group['name']}) ran on for {late:.0f} s after the end of its pod"


def _lives(evidence: Evidence) -> tuple[dict[str, float], dict[str, float]]:
    """When each instance began to be billed, and when it ended, by the journal."""
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    for entry in evidence.journal:
        if entry["kind"] == "state" and entry["new"] == "Pending":
            began.setdefault(entry["id"], entry["when"])
        elif entry["kind"] == "state" and entry["new"] in ENDED:
            ended.setdefault(entry["id"], entry["when"])
    return began, ended


def _calm_s(evidence: Evidence, start: float, end: float) -> float:
    """Seconds from start to end in which nothing was broken."""
    calm, at = 0.0, start
    for began, over in sorted(evidence.troubled):
        calm += max(0.0, min(began, end) - at)
        at = max(at, over)
    return calm + max(0.0, end - at)


def bills_are_explained(evidence: Evidence) -> Iterator[str]:
    """To the second: what a group is billed are the begun seconds from its first pending to its end, by the journal."""
    began, ended = _lives(evidence)
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
    who_runs_has_an_instance,
    events_are_told_once,
    no_event_is_lost,
    nothing_runs_on,
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
