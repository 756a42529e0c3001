"""Pods that are being deleted: stop the instance, write the last states, and only then let the object go (P33)."""

from __future__ import annotations

from vk_provider.control.actions import Action, DeleteInstance, Done, PatchStatus, RequeueAfter, VerifyInstance
from vk_provider.control.attempts import noted_id
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation
from vk_provider.control.rules.stopping import DELETE_AGAIN_S, GRACE_SLACK_S, deletable
from vk_provider.model.instance import InstanceStatus
from vk_provider.translate import probes, status

DELETE_STATUS_DEBOUNCE_S = 4.0  # how long what stops is not written about, unless it has stopped
INSTANT_S = 1e-3  # a wait for less may end before the moment it was for, by rounding alone, and be asked for again


def create_unanswered(seen: Observation, memory: PodMemory) -> Action | None:
    if memory.creating.in_doubt and seen.last is None and not memory.verifying.absent:
        return VerifyInstance(noted_id(seen.pod))
    return None


def last_states(seen: Observation, memory: PodMemory) -> Action | None:
    """A terminal phase with the last states that were seen."""
    if seen.own is not None and not status.all_stopped(seen.own):
        return None
    last = seen.own if seen.own is not None else seen.last
    node = seen.node
    desired = status.stopped(seen.pod, last, now=seen.now.stamp, host_ip=node.host_ip, words=node.words)
    body = status.patch(seen.pod, desired)
    return PatchStatus(body) if body is not None else Done()


def pre_stop_sleep(seen: Observation, memory: PodMemory) -> Action | None:
    """The cloud knows no preStop sleep, so we wait that long before we ask for the stop; never beyond the grace."""
    own, since_s = seen.own, memory.stopping.deleting_since_s
    if own is None or since_s is None or own.id in memory.stopping.deletes or own.status is not InstanceStatus.RUNNING:
        return None
    sleep_s = since_s + min(probes.stop_delay_s(seen.pod), _grace_s(seen)) - seen.now.loop_s
    if sleep_s <= 0:
        return None
    body = status.patch(seen.pod, _mirrored(seen))
    return PatchStatus(body) if body is not None else RequeueAfter(sleep_s)


def stop_deleted(seen: Observation, memory: PodMemory) -> Action | None:
    if seen.own is None or not deletable(seen.own, memory, seen.now):
        return None
    return DeleteInstance(seen.own, "the pod is being deleted", killing=True)


def grace_over(seen: Observation, memory: PodMemory) -> Action | None:
    own = seen.own
    if own is None or memory.stopping.forced_id == own.id or _grace_left_s(seen, memory) > 0:
        return None
    return DeleteInstance(own, "its grace is over", force=True)


def is_stopping(seen: Observation, memory: PodMemory) -> Action | None:
    """Its deletion says to everybody that it is no longer Ready; of one that stops at once only the end is written."""
    own = seen.own
    if own is None:
        return None
    left_s = DELETE_AGAIN_S if memory.stopping.forced_id == own.id else _grace_left_s(seen, memory)
    body = status.patch(seen.pod, _mirrored(seen))
    if body is None:
        return RequeueAfter(min(left_s, DELETE_AGAIN_S))
    asked_s = memory.stopping.deletes.get(own.id)
    early_s = DELETE_STATUS_DEBOUNCE_S - (seen.now.loop_s - asked_s) if asked_s is not None else 0.0
    return RequeueAfter(min(left_s, early_s)) if early_s > INSTANT_S else PatchStatus(body)


def _mirrored(seen: Observation) -> dict[str, object]:
    if seen.own is None:
        return {}
    return status.from_instance(seen.pod, seen.own, now=seen.now.stamp, host_ip=seen.node.host_ip)


def _grace_s(seen: Observation) -> float:
    return float(seen.pod["metadata"].get("deletionGracePeriodSeconds") or 0)


def _grace_left_s(seen: Observation, memory: PodMemory) -> float:
    """Seconds until an instance that was asked to go has had the grace of the pod's deletion, which may be shorter than
    the one it was made with, and may be shortened on the way. By our own clock, so that no skew takes any of it."""
    asked_s = memory.stopping.deletes.get(seen.own.id if seen.own is not None else "", seen.now.loop_s)
    return asked_s + _grace_s(seen) + GRACE_SLACK_S - seen.now.loop_s
