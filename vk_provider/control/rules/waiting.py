"""How a pod without a running instance shows why it waits, or why it never will have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vk_provider.control.actions import Action, Done, PatchStatus
from vk_provider.control.memory import Problem
from vk_provider.control.observation import Observation
from vk_provider.translate import status


def report(
    seen: Observation, problem: Problem | None, *, note: Mapping[str, str] | None = None, reason: str = ""
) -> PatchStatus | None:
    """Show on the pod why it waits; None when it is shown already. reason: of the pod as a whole."""
    if problem is None:
        return None
    desired = status.waiting(
        seen.pod,
        now=seen.now.stamp,
        host_ip=seen.node.host_ip,
        reason=problem.reason,
        message=problem.message,
        container=problem.container,
        condition=problem.condition,
    )
    if reason:
        desired |= {"reason": reason, "message": problem.message}
    body = status.patch(seen.pod, desired, annotations=note)
    return PatchStatus(body) if body is not None else None


def announce(seen: Observation, problem: Problem) -> PatchStatus | None:
    """Shown on the pod, and by an event; None when that is done."""
    patch = report(seen, problem)
    return replace(patch, problem=problem) if patch is not None else None


def refuse(seen: Observation, problem: Problem) -> Action:
    """Failed, for good."""
    now, host_ip = seen.now.stamp, seen.node.host_ip
    desired = status.refused(seen.pod, reason=problem.reason, message=problem.message, now=now, host_ip=host_ip)
    body = status.patch(seen.pod, desired)
    return PatchStatus(body, problem) if body is not None else Done()
