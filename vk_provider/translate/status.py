"""A pod and what the cloud says of it → the pod's status.

Every function but `patch` returns the whole set of fields that we own in `pod.status`, worked out from the pod as the
API server has it now: what is sticky there (start time, transition times, ended containers, restart counts) stays.
`patch` then says what of it is news. No function here claims a terminal phase while a container may still run.

`now` is RFC 3339 UTC with seconds; `host_ip` the node's address, or empty. Rule numbers are the kubelet contract's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from functools import lru_cache

from vk_provider import bounds
from vk_provider.model.instance import CloudCondition, Instance, InstanceStatus, StateKind
from vk_provider.model.pod import (
    Json,
    containers_of,
    init_containers_of,
    is_deleting,
    is_marked_sidecar,
    is_sidecar,
    phase_of,
)
from vk_provider.model.vocabulary import NEUTRAL, Vocabulary
from vk_provider.translate import conditions, container_lists, container_status, digest, resize
from vk_provider.translate.container_status import StatusContext, has_started, is_running
from vk_provider.translate.phase import FAILED, PENDING, RUNNING, SUCCEEDED, all_succeeded, phase
from vk_provider.translate.status_patch import patch

__all__ = [
    "all_stopped",
    "deadline_exceeded",
    "from_instance",
    "had_run",
    "is_initial",
    "is_stopping",
    "only_sidecars_left",
    "patch",
    "refused",
    "stopped",
    "stopped_by_order",
    "vanished",
    "waiting",
]

DEADLINE_EXCEEDED = "DeadlineExceeded"
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"
SCHEDULE_FAILED = "ContainerInstanceScheduleFailed"
PROVIDER_FAILED = "ProviderFailed"
BID_FAILED = "BidFailed"
# Why the cloud gives no instance for now.
WAITS_FOR_CLOUD = frozenset(
    {
        "NoStock",
        "QuotaExceeded",
        "NoAddress",
        "OutOfCapacity",
        "Throttling",
        "CloudAPIDenied",
        "CloudAPIUnavailable",
    }
)
# Pod-level reasons of ours that a live pod may get rid of again; any other stays as long as the phase does (P18).
_PASSING_REASONS = frozenset({SCHEDULE_FAILED, PROVIDER_FAILED, *WAITS_FOR_CLOUD})


class _Reading(Enum):
    """How far an instance's status is to be believed against its containers' states."""

    CONTAINERS = auto()  # their states decide
    STOPPING = auto()  # their states decide, and nothing starts again
    ENDED = auto()  # nothing runs; once their states say so too, those decide
    RECLAIMED = auto()  # nothing runs and the cloud took it: Failed
    UNPLACED = auto()  # nothing ever ran
    UNKNOWN = auto()  # the phase stays as it was


_READINGS: Mapping[InstanceStatus, _Reading] = {
    InstanceStatus.SCHEDULING: _Reading.CONTAINERS,
    InstanceStatus.SCHEDULE_FAILED: _Reading.UNPLACED,
    InstanceStatus.PENDING: _Reading.CONTAINERS,
    InstanceStatus.RUNNING: _Reading.CONTAINERS,
    InstanceStatus.RESTARTING: _Reading.CONTAINERS,
    InstanceStatus.UPDATING: _Reading.CONTAINERS,
    InstanceStatus.TERMINATING: _Reading.STOPPING,
    InstanceStatus.SUCCEEDED: _Reading.ENDED,
    InstanceStatus.FAILED: _Reading.ENDED,
    InstanceStatus.EXPIRED: _Reading.RECLAIMED,
}  # absent: UNKNOWN


# --- what a plan asks -----------------------------------------------------------------------------------------------


def is_stopping(pod: Json, instance: Instance | None) -> bool:
    """It is being stopped, by whomever. Unless its pod is deleted, it is not Ready from here on."""
    return is_deleting(pod) or (instance is not None and instance.status is InstanceStatus.TERMINATING)


def all_stopped(instance: Instance) -> bool:
    """No container of it runs or will run again: a terminal phase may be claimed."""
    if instance.status.is_ended:
        return True
    reports = [*instance.init_containers, *instance.containers]
    if instance.status is not InstanceStatus.TERMINATING or not reports:
        return False
    return all(report.state.kind is not StateKind.RUNNING for report in reports)


def had_run(pod: Json) -> bool:
    """The pod's status shows a container, init or app, that started once."""
    status = pod.get("status") or {}
    entries = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return any(has_started(entry) or entry.get("containerID") for entry in entries)


def is_initial(pod: Json, desired: Json) -> bool:
    """Of a status that `mirrored` made: nothing has started and nothing is wrong, so what it says, the start says too.

    Only before the pod's first status: what has been said once is kept up to date.
    """
    if (pod.get("status") or {}).get("startTime") or desired["phase"] != PENDING or desired.get("reason"):
        return False
    reported = {condition["type"] for condition in desired["conditions"]}
    usual = conditions.OWNED_TYPES - {conditions.RESIZE_PENDING}
    return (
        reported <= usual
        and not desired["ephemeralContainerStatuses"]
        and _is_quiet(pod, desired["initContainerStatuses"], desired["containerStatuses"])
    )


def only_sidecars_left(pod: Json, instance: Instance) -> bool:
    """All app containers are done for good while a sidecar runs: the instance has to be stopped (P45)."""
    if instance.status is not InstanceStatus.RUNNING or not has_sidecar(pod, instance.words):
        return False
    inits, apps = container_lists.mirrored(pod, instance, _scene(pod, instance, now=""))
    main = container_lists.counted(pod, apps, instance.words)
    if any(is_running(entry) for entry in main) or not any(is_running(entry) for entry in [*inits, *apps]):
        return False
    others = container_lists.without_sidecars(pod, inits)
    return phase(pod, others, main, final=False, words=instance.words) in (SUCCEEDED, FAILED)


def has_sidecar(pod: Json, words: Vocabulary) -> bool:
    is_marked = any(is_marked_sidecar(each, words) for each in containers_of(pod))
    return is_marked or any(map(is_sidecar, init_containers_of(pod)))


# --- whole statuses -------------------------------------------------------------------------------------------------


def waiting(
    pod: Json,
    *,
    now: str,
    host_ip: str,
    reason: str = container_status.CONTAINER_CREATING,
    message: str = "",
    container: str = "",
    condition: CloudCondition | None = None,
) -> Json:
    """Bound here, and there is no instance yet.

    reason, message: why, on the container of that name, or on all when `container` is empty.
    """
    usual = container_status.default_wait(pod)
    reason = usual if reason in container_status.ON_THE_WAY else reason

    share = container_status.share(message, pod)

    def entry(spec: Json) -> Json:
        if container in ("", spec["name"]):
            return container_status.waiting(spec, reason=reason, message=share)
        return container_status.waiting(spec, reason=usual)

    inits: list[Json] = []
    apps: list[Json] = []
    if not _has_too_many(pod):
        inits, apps = container_lists.waiting(
            pod, [entry(c) for c in init_containers_of(pod)], [entry(c) for c in containers_of(pod)]
        )
    shown = condition is not None and condition.reason in WAITS_FOR_CLOUD
    return _status(
        pod,
        phase=_live_phase(pod),
        inits=inits,
        apps=apps,
        reason=condition.reason if condition and shown else "",
        message=message if shown else "",
        extra=conditions.from_cloud(pod, [condition], quiet=False) if condition else [],
        now=now,
        host_ip=host_ip,
    )


def from_instance(
    pod: Json,
    instance: Instance,
    *,
    now: str,
    host_ip: str,
    give_up: bool = False,
    settled: bool = False,
    outdated: str = "",
    disruption: str = "",
) -> Json:
    """What the cloud reports, in the pod's words.

    give_up: an instance that could not be placed makes the pod Failed; otherwise it waits for another attempt.
    outdated: why the instance does not follow what its pod has become. disruption: why it is about to be stopped.
    settled: the caller has looked again. Without it an ended instance whose containers are still reported as running
    keeps the pod's phase, since a pod's end cannot be taken back; by no clock, for the cloud's and ours may differ.
    """
    reading = _READINGS.get(instance.status, _Reading.UNKNOWN)
    if reading is _Reading.UNPLACED:
        return _unplaced(pod, instance, now=now, host_ip=host_ip, give_up=give_up)
    inits, apps, derived, reason, message = _read(pod, instance, reading, now=now, settled=settled)
    extra = conditions.disruption(pod, message=message) if reading is _Reading.RECLAIMED else []
    quiet = _is_quiet(pod, inits, apps)
    ip = "" if quiet else instance.ip
    extra += conditions.of_instance(pod, instance, quiet=quiet)
    extra += [conditions.outdated(outdated)] if outdated and derived in (PENDING, RUNNING) else []
    extra += conditions.disruption(pod, message=disruption) if disruption else []
    return _status(
        pod,
        phase=derived,
        inits=inits,
        apps=apps,
        reason=reason,
        message=message,
        extra=extra,
        ip=ip,
        now=now,
        host_ip=host_ip,
    )


def _read(
    pod: Json, instance: Instance, reading: _Reading, *, now: str, settled: bool
) -> tuple[list[Json], list[Json], str, str, str]:
    """Entries of init and app containers, phase, reason and message."""
    inits, apps = container_lists.mirrored(pod, instance, _scene(pod, instance, now=now))
    match reading:
        case _Reading.ENDED:
            return _ended(pod, instance, inits, apps, settled=settled)
        case _Reading.RECLAIMED:
            inits, apps = container_lists.unlocated(pod, inits, apps)
            at = f" at {instance.ended_at}" if instance.ended_at else ""
            message = f"The cloud released the spot instance{at}: the market price or the stock no longer allowed it"
            return inits, apps, FAILED, BID_FAILED, message
        case _Reading.CONTAINERS:
            derived = phase(pod, inits, apps, final=False, words=instance.words)
            derived = (
                _live_phase(pod) if derived == PENDING else derived
            )  # the report may be older than the pod's status
        case _Reading.STOPPING:
            derived = phase(pod, inits, apps, final=all_stopped(instance), words=instance.words)
        case _:
            derived = _live_phase(pod)
    return inits, apps, derived, "", ""


def refused(pod: Json, *, reason: str, message: str, now: str, host_ip: str) -> Json:
    """It can never run here: Failed (P6). Without container entries, so that kubectl shows the reason."""
    rejected = message if message.startswith("Pod was rejected: ") else f"Pod was rejected: {message}"
    extra = [conditions.not_created(reason, message)]
    inits, apps = container_lists.as_known(pod) if had_run(pod) else ([], [])
    inits, apps = container_lists.unlocated(pod, inits, apps)
    return _status(
        pod,
        phase=FAILED,
        inits=inits,
        apps=apps,
        reason=reason,
        message=rejected,
        extra=extra,
        now=now,
        host_ip=host_ip,
    )


def vanished(
    pod: Json,
    last: Instance | None = None,
    *,
    reason: str,
    message: str,
    now: str,
    host_ip: str,
    disruption: bool = False,
    words: Vocabulary = NEUTRAL,
) -> Json:
    """Its instance is gone for good, and nobody here stopped it (P15, P19).

    last: as it was seen last; None when this process never saw it, and the pod says what is known. words: the cloud's.
    disruption: the pod did nothing wrong, and a Job's failure policy may know. What was seen to end well has ended
    well: a pod whose containers all did is Succeeded even so.
    """
    known_inits, known_apps = _last_known(pod, last, now)
    inits, apps = container_lists.unlocated(pod, known_inits, known_apps)
    others = container_lists.without_sidecars(pod, inits)
    if phase(pod, others, known_apps, final=False, words=words if last is None else last.words) == SUCCEEDED:
        return _status(pod, phase=SUCCEEDED, inits=inits, apps=apps, now=now, host_ip=host_ip)
    extra = conditions.disruption(pod, message=message) if disruption else []
    return _status(
        pod, phase=FAILED, inits=inits, apps=apps, reason=reason, message=message, extra=extra, now=now, host_ip=host_ip
    )


def deadline_exceeded(pod: Json, instance: Instance | None, *, now: str, host_ip: str) -> Json:
    """Past activeDeadlineSeconds: Failed, once its containers have stopped; until then what the cloud reports (P41).

    instance: as last seen; None when there is none (any more).
    """
    if instance is not None and not all_stopped(instance):
        return from_instance(pod, instance, now=now, host_ip=host_ip)
    return stopped_by_order(
        pod, instance, phase=FAILED, reason=DEADLINE_EXCEEDED, message=DEADLINE_MESSAGE, now=now, host_ip=host_ip
    )


def stopped_by_order(
    pod: Json,
    instance: Instance | None,
    *,
    phase: str,
    reason: str,
    message: str,
    now: str,
    host_ip: str,
    disruption: bool = False,
) -> Json:
    """The last status of a pod that we stopped although it was not deleted, once nothing of it runs.

    instance: as last seen; None when there is none (any more). disruption: as in `vanished`.
    """
    inits, apps = _last_seen(pod, instance, now)
    if not had_run(pod) and not any(has_started(entry) for entry in [*inits, *apps]):
        inits, apps = [], []
    inits, apps = container_lists.unlocated(pod, inits, apps, stopped=True)
    return _status(
        pod,
        phase=phase,
        inits=inits,
        apps=apps,
        reason=reason,
        message=message,
        extra=conditions.disruption(pod, message=message) if disruption else [],
        now=now,
        host_ip=host_ip,
    )


def stopped(pod: Json, instance: Instance | None, *, now: str, host_ip: str, words: Vocabulary = NEUTRAL) -> Json:
    """The last status of a pod that is being deleted and of which nothing runs any more (P32, P43).

    instance: as last seen, None when this process never saw one. Exit codes are the real ones where they were seen.
    A pod of which no container ran yet is not Ready for the reason it had before, as a kubelet leaves it. words: the
    cloud's.
    """
    inits, apps = _last_seen(pod, instance, now)
    well = instance is not None and instance.status is InstanceStatus.SUCCEEDED
    waited = apps if not well and apps and not any(map(has_started, apps)) else None
    inits, apps = container_lists.unlocated(pod, inits, apps, ended_well=well, stopped=True)
    words = words if instance is None else instance.words
    done = phase(pod, inits, apps, final=True, words=words) == SUCCEEDED
    return _status(
        pod, phase=SUCCEEDED if done else FAILED, inits=inits, apps=apps, waited=waited, now=now, host_ip=host_ip
    )


# --- containers -----------------------------------------------------------------------------------------------------


def _scene(pod: Json, instance: Instance, *, now: str) -> StatusContext:
    return StatusContext(
        pod=pod,
        instance_id=instance.id,
        status=instance.status,
        now=now,
        final=all_stopped(instance),
        stopping=is_stopping(pod, instance),
        ended_at=instance.ended_at,
        events=instance.events,
        outdated=digest.other_images(pod, instance.made_of),
        id_scheme=instance.words.id_scheme,
        probes=instance.words.probes,
    )


def _last_known(pod: Json, instance: Instance | None, now: str) -> tuple[list[Json], list[Json]]:
    if instance is None:
        return container_lists.as_known(pod)
    return container_lists.mirrored(pod, instance, _scene(pod, instance, now=now))


def _last_seen(pod: Json, instance: Instance | None, now: str) -> tuple[list[Json], list[Json]]:
    inits, apps = _last_known(pod, instance, now)
    return [container_status.as_final(each) for each in inits], [container_status.as_final(each) for each in apps]


# --- phases ---------------------------------------------------------------------------------------------------------


def _has_too_many(pod: Json) -> bool:
    """Of more containers than are ever carried: it is refused, and a status as long as the pod helps nobody."""
    return any(
        len(pod["spec"].get(field) or ()) > bounds.MOST_OF_LIST[field] for field in ("containers", "initContainers")
    )


def _live_phase(pod: Json) -> str:
    """The phase the pod has, as far as it is one that a live pod can have."""
    return RUNNING if phase_of(pod) == RUNNING else PENDING


def _ended(
    pod: Json, instance: Instance, inits: list[Json], apps: list[Json], *, settled: bool
) -> tuple[list[Json], list[Json], str, str, str]:
    """Entries, phase, reason and message once the cloud says that the whole has ended."""
    derived = phase(pod, inits, apps, final=True, words=instance.words)
    if derived in (SUCCEEDED, FAILED):
        return inits, apps, derived, "", ""
    if not settled:
        return inits, apps, _live_phase(pod) if derived == PENDING else derived, "", ""
    well = instance.status is InstanceStatus.SUCCEEDED
    inits, apps = container_lists.unlocated(pod, inits, apps, ended_well=well)
    if well and all_succeeded(container_lists.counted(pod, apps, instance.words)):
        return inits, apps, SUCCEEDED, "", ""
    return inits, apps, FAILED, PROVIDER_FAILED, _why(instance, f"the cloud reports the instance as {instance.status}")


def _unplaced(pod: Json, instance: Instance, *, now: str, host_ip: str, give_up: bool) -> Json:
    """The cloud found no room for it. That may pass, so by default the pod waits and says why (P6)."""
    reported = next((each for each in instance.conditions if each.type == conditions.INSTANCE_CREATED), None)
    cause = (
        reported.reason if reported is not None and reported.status == "False" and reported.reason else "ScheduleFailed"
    )
    message = _why(instance, "the cloud could not place the instance")
    extra = [conditions.not_created(cause, message)]
    if give_up:
        inits, apps = container_lists.unlocated(pod, *container_lists.as_known(pod)) if had_run(pod) else ([], [])
        phase_, reason = FAILED, SCHEDULE_FAILED
    else:
        shown = [container_status.waiting(c, reason=PROVIDER_FAILED, message=message) for c in containers_of(pod)]
        usual = container_status.default_wait(pod)
        inits, apps = container_lists.waiting(
            pod, [container_status.waiting(c, reason=usual) for c in init_containers_of(pod)], shown
        )
        phase_, reason = _live_phase(pod), SCHEDULE_FAILED
    return _status(
        pod,
        phase=phase_,
        inits=inits,
        apps=apps,
        reason=reason,
        message=message,
        extra=extra,
        now=now,
        host_ip=host_ip,
    )


def _why(instance: Instance, otherwise: str) -> str:
    """The cloud's own words for a failure: its condition, else its last warning."""
    for condition in instance.conditions:
        if condition.type == conditions.INSTANCE_CREATED and condition.status == "False" and condition.message:
            return condition.message
    warnings = [event.message for event in instance.events if event.type == "Warning" and event.message]
    return warnings[-1] if warnings else otherwise


# --- putting it together --------------------------------------------------------------------------------------------


def _is_quiet(pod: Json, inits: Sequence[Json], apps: Sequence[Json]) -> bool:
    """Nothing has started and nothing is wrong: the cloud's small steps there are not worth a write each."""
    if (pod.get("status") or {}).get("podIP"):
        return False
    usual = {"reason": container_status.default_wait(pod)}
    return all(not has_started(entry) and entry["state"].get("waiting") == usual for entry in [*inits, *apps])


def _status(
    pod: Json,
    *,
    phase: str,
    inits: Sequence[Json],
    apps: Sequence[Json],
    now: str,
    host_ip: str,
    reason: str = "",
    message: str = "",
    extra: Sequence[Json] = (),
    ip: str = "",
    waited: Sequence[Json] | None = None,
) -> Json:
    """The whole of what we own.

    extra: conditions beside the kubelet's own. ip: the instance's, empty until it is worth telling. waited: the app
    entries that conditions are worked out from, where none of them ever started.
    """
    status = pod.get("status") or {}
    pod_ip = _address(ip) or status.get("podIP") or ""
    # The node's when the pod began: another replica, at another address, is no reason to write thousands of pods anew,
    # and two providers of one node do not write over each other for ever.
    node_ip = status.get("hostIP") or _address(host_ip) or ""
    ended = phase in (SUCCEEDED, FAILED)
    own = conditions.owned(
        pod,
        phase=phase if waited is None else PENDING,
        inits=inits,
        apps=apps if waited is None else waited,
        has_network=bool(pod_ip) and not ended,
    )
    if not ended and (unmet := resize.pending(pod, [*inits, *apps])):
        own.append(conditions.unresized(unmet))
    if not reason and phase == phase_of(pod) and status.get("reason") not in _PASSING_REASONS:
        reason, message = status.get("reason") or "", status.get("message") or ""
    generation = pod["metadata"].get("generation")
    return {
        "phase": phase,
        **({"reason": reason} if reason else {}),
        **({"message": message} if message else {}),
        **({"observedGeneration": generation} if generation else {}),
        "conditions": conditions.stamped(pod, [*own, *extra], now=now),
        **({"hostIP": node_ip, "hostIPs": [{"ip": node_ip}]} if node_ip else {}),
        **({"podIP": pod_ip, "podIPs": [{"ip": pod_ip}]} if pod_ip else {}),
        "startTime": status.get("startTime") or now,
        "initContainerStatuses": list(inits),
        "containerStatuses": list(apps),
        "ephemeralContainerStatuses": _ephemeral(pod),
    }


@lru_cache(maxsize=256)  # each reconcile needs a few, the next one the same
def _address(text: str) -> str:
    """The address, or nothing where the API server would refuse it (P25)."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _ephemeral(pod: Json) -> list[Json]:
    """P46: said once, in the entry itself; it touches neither phase nor Ready."""
    specs = (pod["spec"].get("ephemeralContainers") or ())[: bounds.MOST_EPHEMERAL]
    return sorted((container_status.unsupported_ephemeral(spec) for spec in specs), key=lambda each: str(each["name"]))
