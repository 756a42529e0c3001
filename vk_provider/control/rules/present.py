"""Live pods whose instance exists and was placed: mirror it, and carry out what the pod has become."""

from __future__ import annotations

from vk_provider.control import drift as drifts
from vk_provider.control import pod_annotations
from vk_provider.control.actions import (
    Action,
    Done,
    MakeWay,
    PatchStatus,
    RequeueAfter,
    Restart,
    UpdateContainers,
    UpdateFiles,
    VerifyInstance,
)
from vk_provider.control.attempts import is_to_make_way
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation, OwnState
from vk_provider.control.rules.deleting import INSTANT_S
from vk_provider.control.rules.stopping import DELETE_AGAIN_S, capped, deletable, stop_by_order
from vk_provider.files import staleness
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, InstanceStatus
from vk_provider.model.pod import Json, restart_policy
from vk_provider.translate import conditions, status

# An ended instance whose containers are still reported as running is believed after so long: a guess for good, and the
# cloud's answers may be half a minute old and more.
EXIT_CODE_WAIT_S = 60.0
START_STATUS_DEBOUNCE_S = 3.0  # how long what has not started is not written about while other creates are queued
COMING = frozenset({InstanceStatus.SCHEDULING, InstanceStatus.PENDING})


def exit_codes_missing(seen: Observation, memory: PodMemory) -> Action | None:
    """The exit codes may have come in an answer that never reached us."""
    verifying = memory.verifying
    if seen.own is None or verifying.ended_s is None or verifying.ended_confirmed:
        return None
    return VerifyInstance(seen.own.id) if seen.now.loop_s - verifying.ended_s >= EXIT_CODE_WAIT_S else None


def makes_way(seen: Observation, memory: PodMemory) -> Action | None:
    """What it was made of is not what its pod has become, and before anything of it ran that was noted. Should it run
    all the same it stays, unless it is stopping for this already. The note alone is no reason: anybody may write one.
    """
    own = seen.own
    if own is None or not (memory.drift or own.status is InstanceStatus.TERMINATING):
        return None
    if not is_to_make_way(seen.pod, own.id):
        return None
    if own.status is not InstanceStatus.TERMINATING and drifts.has_run(own):
        return None
    body = status.patch(seen.pod, status.waiting(seen.pod, now=seen.now.stamp, host_ip=seen.node.host_ip))
    if body is not None:
        return PatchStatus(body)
    return MakeWay(own) if deletable(own, memory, seen.now) else RequeueAfter(DELETE_AGAIN_S)


def status_differs(seen: Observation, memory: PodMemory) -> Action | None:
    own = seen.own
    if own is None:
        return None
    desired = status.from_instance(
        seen.pod,
        own,
        now=seen.now.stamp,
        host_ip=seen.node.host_ip,
        settled=memory.verifying.ended_confirmed,
        outdated=_outdated(seen),
    )
    notes = seen.state_annotations(own, memory)
    making_way = isinstance(seen.change, drifts.MakeWay)
    if making_way:
        notes |= pod_annotations.making_way(seen.pod, own)
    body = status.patch(seen.pod, desired, annotations=notes, along=seen.info_annotations(own))
    if body is None:
        return None
    # In a burst one that starts at once gets one status, and the others their turn the sooner.
    early_s = _defer_status_s(own, memory, seen)
    quiet = early_s > INSTANT_S and status.is_initial(seen.pod, desired)
    if quiet and not making_way:
        return RequeueAfter(early_s)
    return PatchStatus(body, then=_once_written(seen, memory, body))


def _once_written(seen: Observation, memory: PodMemory, body: Json) -> Done | RequeueAfter | None:
    """What is decided then, where that is known: of a pod whose only instance starts or runs without ado."""
    own = seen.own
    if own is None or seen.own_state is not OwnState.PRESENT or len(seen.instances) > 1:
        return None
    is_final = body.get("status", {}).get("phase") in pods.TERMINAL_PHASES
    starts_a_clock = seen.left_s is None and seen.pod["spec"].get("activeDeadlineSeconds") is not None
    changes_files = seen.files is not None and seen.files.sources.fields and body["metadata"].get("annotations")
    is_same = isinstance(seen.change, drifts.Same) and drifts.is_uneventful(seen.pod, body, own)
    if is_final or starts_a_clock or changes_files or not is_same:
        return None
    if any(rule(seen, memory) is not None for rule in (probe_failed, stop_by_order, files_outdated)):
        return None
    return at_rest(seen, memory)


def drifted(seen: Observation, memory: PodMemory) -> Action | None:
    if seen.own is None or not isinstance(seen.change, drifts.Change):
        return None
    return UpdateContainers(seen.own, seen.change) if memory.stopping.only_sidecars_since_s is None else None


def probe_failed(seen: Observation, memory: PodMemory) -> Action | None:
    """A probe of ours has failed for good: all its containers are restarted, as the cloud restarts none alone (S36)."""
    if seen.failing is None or seen.own is None or restart_policy(seen.pod) == "Never":
        return None
    wait_s = memory.restarting.not_before_s - seen.now.loop_s
    return capped(wait_s, seen) if wait_s > 0 else Restart(seen.own, seen.failing)


def exit_codes_awaited(seen: Observation, memory: PodMemory) -> Action | None:
    """It ended, but its containers' own reports are not in: they come, or we go without."""
    return RequeueAfter(EXIT_CODE_WAIT_S)


def files_outdated(seen: Observation, memory: PodMemory) -> Action | None:
    return UpdateFiles() if isinstance(_files(seen), staleness.UpdateNow) else None


def at_rest(seen: Observation, memory: PodMemory) -> Done | RequeueAfter:
    """Nothing is to be done until something changes, or until the first of these is due."""
    if seen.left_s is None and seen.files is None and not isinstance(seen.change, drifts.Later):
        return Done()
    waits = [seen.left_s] if seen.left_s is not None else []
    if isinstance(seen.change, drifts.Later):
        waits.append(seen.change.seconds)
    if isinstance(files := _files(seen), staleness.RecheckAfter):
        waits.append(files.seconds)
    left_s = min((each for each in waits if each > 0), default=None)
    return RequeueAfter(left_s) if left_s is not None else Done()


def _files(seen: Observation) -> staleness.UpdateNow | staleness.RecheckAfter | staleness.UpToDate:
    if seen.files is None or seen.own is None:
        return staleness.UpToDate()
    return staleness.decide(pods.uid_of(seen.pod), seen.own, seen.files, seen.now)


def _outdated(seen: Observation) -> str:
    """Why the instance stays as it is. What the pod says of it already stays until another try has ended."""
    match seen.change:
        case drifts.Cannot(message):
            return message
        case drifts.Later() | drifts.Change():
            return str(conditions.of(seen.pod).get(conditions.UP_TO_DATE, {}).get("message") or "")
        case _:
            return ""


def _defer_status_s(instance: Instance, memory: PodMemory, seen: Observation) -> float:
    """Seconds for which nothing need be written yet of an instance of which there is nothing to report."""
    made_s = memory.created.made_s
    if not seen.now.crowded or made_s is None or instance.status not in COMING:
        return 0.0
    return made_s + START_STATUS_DEBOUNCE_S - seen.now.loop_s
