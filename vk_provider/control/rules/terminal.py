"""Pods that are Succeeded or Failed: terminal is terminal, and their instances are kept until the pod is deleted."""

from __future__ import annotations

from vk_provider.control.actions import Action, DeleteInstance, Done, PatchStatus, RemovePod, RequeueAfter
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation, PodState
from vk_provider.control.rules.stopping import DELETE_AGAIN_S, deletable
from vk_provider.model import pod as pods
from vk_provider.translate import status, terminal_repair

REMOVE_AGAIN_S = 15.0  # a pod whose grace is 0 and that is still there so long after its deletion is removed once more


def overwritten(seen: Observation, memory: PodMemory) -> Action | None:
    """What others wrote over a final status (P30). A pod that is being deleted is not held up for it."""
    own = seen.own
    if own is not None and not status.all_stopped(own):
        return None
    # By its own instance: one too many may have ended otherwise, and may show only now.
    noted = pods.instance_id_of(seen.pod)
    last = seen.last if seen.last is not None and seen.last.id == noted else None
    is_own = own is not None and noted in ("", own.id)
    body = terminal_repair.reasserted(seen.pod, own if is_own else last, now=seen.now.stamp)
    return PatchStatus(body) if body is not None else None


def has_ended(seen: Observation, memory: PodMemory) -> Action | None:
    return Done()


def no_longer_wanted(seen: Observation, memory: PodMemory) -> Action | None:
    own = seen.own
    if own is None:
        return None
    if deletable(own, memory, seen.now):
        return DeleteInstance(own, "the pod has ended", killing=not own.status.is_ended)
    deletes = memory.stopping.deletes
    if seen.state is PodState.LEAVING and all(
        each.id in deletes and status.all_stopped(each) for each in seen.instances
    ):
        return None  # asked to go, and nothing runs any more: how long the cloud takes to clear up is the poller's
    return RequeueAfter(DELETE_AGAIN_S)


def removal(seen: Observation, memory: PodMemory) -> Action | None:
    meta = seen.pod["metadata"]
    if meta.get("deletionGracePeriodSeconds") != 0:
        return RemovePod()
    if meta.get("finalizers") or memory.stopping.deleting_since_s is None:
        return Done()  # finalizers of others may hold the object: theirs to remove
    # The removal is on its way, unless the API server died between the two writes that it is made of.
    wait_s = memory.stopping.deleting_since_s + REMOVE_AGAIN_S - seen.now.loop_s
    return RequeueAfter(wait_s) if wait_s > 0 else RemovePod()
