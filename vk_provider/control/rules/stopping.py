"""Stopping an instance: when asking (again) makes sense, and the stop orders of live pods."""

from __future__ import annotations

from vk_provider.control.actions import Action, DeleteInstance, Done, PatchStatus, RequeueAfter
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation
from vk_provider.control.stop_order import StopOrder
from vk_provider.model.instance import Instance, InstanceStatus
from vk_provider.pacing.clock import Now
from vk_provider.translate import conditions, status

DELETE_AGAIN_S = 60.0  # a delete that was accepted and shows no effect for so long is asked for again
GRACE_SLACK_S = 5.0  # the cloud ends a container at its grace by itself; we only step in when it does not


def deletable(instance: Instance, memory: PodMemory, now: Now) -> bool:
    """Whether asking for its deletion (again) makes sense now."""
    asked_s = memory.stopping.deletes.get(instance.id)
    if asked_s is not None and now.loop_s - asked_s < DELETE_AGAIN_S - 0.5:  # a timer may ring early by a hair
        return False
    return asked_s is None or instance.status is not InstanceStatus.TERMINATING


def capped(seconds: float, seen: Observation) -> RequeueAfter:
    """No wait lasts longer than the pod's deadline is away."""
    return RequeueAfter(seconds if seen.left_s is None else min(seconds, seen.left_s))


def stop_as_failed(seen: Observation, memory: PodMemory) -> Action | None:
    """An order that says what the pod becomes: stopped first; the phase is written once nothing runs any more."""
    order, own = seen.stop, seen.own
    if order is None or not order.phase:
        return None
    if own is None or status.all_stopped(own):
        last = own if own is not None else seen.last
        body = status.patch(
            seen.pod,
            status.stopped_by_order(
                seen.pod,
                last,
                phase=order.phase,
                reason=order.reason,
                message=order.message,
                disruption=order.disruption,
                now=seen.now.stamp,
                host_ip=seen.node.host_ip,
            ),
        )
        return PatchStatus(body) if body is not None else Done()
    if order.disruption and conditions.of(seen.pod).get(conditions.DISRUPTION_TARGET, {}).get("status") != "True":
        desired = status.from_instance(
            seen.pod, own, now=seen.now.stamp, host_ip=seen.node.host_ip, disruption=order.message
        )
        if (body := status.patch(seen.pod, desired)) is not None:
            return PatchStatus(body, event=order.event)
    return _stop(seen, own, order, memory)


def stop_by_order(seen: Observation, memory: PodMemory) -> Action | None:
    """An order after which the pod becomes what its containers' ends make of it; its status has been written."""
    order, own = seen.stop, seen.own
    if order is None or own is None:
        return None
    if (left_s := order.due_s - seen.now.loop_s) > 0:
        return capped(left_s, seen)
    action = _stop(seen, own, order, memory)
    return capped(action.seconds, seen) if isinstance(action, RequeueAfter) else action


def _stop(seen: Observation, own: Instance, order: StopOrder, memory: PodMemory) -> DeleteInstance | RequeueAfter:
    if deletable(own, memory, seen.now):
        return DeleteInstance(own, order.reason, killing=True, order=order)
    asked_s = memory.stopping.deletes.get(own.id)
    if order.grace_s is None or asked_s is None or memory.stopping.forced_id == own.id:
        return RequeueAfter(DELETE_AGAIN_S)
    left_s = asked_s + order.grace_s + GRACE_SLACK_S - seen.now.loop_s
    return RequeueAfter(left_s) if left_s > 0 else DeleteInstance(own, "its grace is over", force=True)
