"""Live pods that are to get an instance, the first one or another in the place of one that was never placed."""

from __future__ import annotations

from vk_provider.control import attempts, pod_annotations
from vk_provider.control.actions import Action, Create, Done, FetchIntent, PatchStatus, RequeueAfter
from vk_provider.control.attempts import Previous
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation
from vk_provider.control.ownership import NEVER_PLACED
from vk_provider.control.rules.stopping import DELETE_AGAIN_S
from vk_provider.control.rules.waiting import report
from vk_provider.model.workload import Intent
from vk_provider.translate import status


def intent_unknown(seen: Observation, memory: PodMemory) -> Action | None:
    if seen.intent is not None:
        return None
    wait_s = memory.creating.not_before_s - seen.now.loop_s
    if wait_s <= 0:
        return FetchIntent()
    return (report(seen, memory.creating.problem) if seen.own is None else None) or RequeueAfter(wait_s)


def unplaced_unreported(seen: Observation, memory: PodMemory) -> Action | None:
    """Its user sees why it found no room before another is tried."""
    own, intent = seen.own, seen.intent
    if own is None or intent is None:
        return None
    body = status.patch(
        seen.pod,
        status.from_instance(
            seen.pod,
            own,
            now=seen.now.stamp,
            host_ip=seen.node.host_ip,
            give_up=attempts.fails(intent, own),
        ),
        annotations=seen.state_annotations(own, memory),
        along=seen.info_annotations(own),
    )
    return PatchStatus(body) if body is not None else None


def gave_up(seen: Observation, memory: PodMemory) -> Action | None:
    if not attempts.gave_up(seen.pod, memory.creating, seen.own, seen.intent):
        return None
    if seen.own is not None:
        return Done()
    return report(seen, memory.creating.problem, reason=status.SCHEDULE_FAILED) or Done()


def not_yet(seen: Observation, memory: PodMemory) -> Action | None:
    """It waits for the next try; and which candidate that is has to be on the pod before anything is sent."""
    wait_s = memory.creating.not_before_s - seen.now.loop_s
    if seen.own is not None:
        return RequeueAfter(wait_s) if wait_s > 0 else None
    note = pod_annotations.attempt_annotation(seen.pod, memory.creating.next_candidate, _replaces(seen))
    if wait_s <= 0 and not note:
        return None
    return report(seen, memory.creating.problem, note=note) or RequeueAfter(max(0.0, wait_s))


def another_exists(seen: Observation, memory: PodMemory) -> Action | None:
    """One too many, which goes first; or one that may be in the place of the noted one."""
    if all(each.status is NEVER_PLACED for each in seen.instances):
        return None
    return RequeueAfter(DELETE_AGAIN_S)


def create(seen: Observation, memory: PodMemory) -> Action | None:
    if seen.intent is None:
        return None
    if seen.own is not None:
        dead = attempts.gone_successor(seen.own, seen.last, memory.created) or seen.own
        replaces, first = dead.id, attempts.next_candidate(seen.intent, dead)
    else:
        replaces, first = _replaces(seen), _first(seen.previous, seen.intent)
    return Create(replaces, pod_annotations.attempt_of(seen.pod, replaces, first=first))


def _replaces(seen: Observation) -> str:
    """The id of the instance that is gone and in whose place one is created; empty = none."""
    return seen.previous.id if seen.previous is not None else ""


def _first(before: Previous | None, intent: Intent) -> int:
    """The candidate to begin with, where none is noted on the pod."""
    if before is None or before.last is None:
        return 0
    return attempts.next_candidate(intent, before.last) if not before.made_way else before.last.attempt
