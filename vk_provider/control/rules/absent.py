"""Live pods without an instance: refused ones, and those that had one before."""

from __future__ import annotations

from dataclasses import replace

from vk_provider.control.actions import Action, Done, PatchStatus, Refuse, RequeueAfter, VerifyInstance
from vk_provider.control.attempts import Previous, gave_up, gone_successor
from vk_provider.control.memory import PodMemory, Problem
from vk_provider.control.observation import Observation
from vk_provider.control.ownership import NEVER_PLACED
from vk_provider.control.pod_event import PodEvent
from vk_provider.control.policy import Hold, Reject
from vk_provider.control.rules.waiting import announce, refuse, report
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, StateKind
from vk_provider.translate import status

DAEMON_REFUSAL = Problem(
    "DaemonSetNotSupported",
    "a virtual node has no machine for a DaemonSet pod to serve; keep the DaemonSet away from it with a required node"
    " affinity on type NotIn [virtual-kubelet]",
)


def daemon(seen: Observation, memory: PodMemory) -> Action | None:
    """a.5: failing it would make its controller try again and again, so by default it stays Pending, with a reason."""
    if not pods.is_daemon(seen.pod):
        return None
    if seen.node.fail_daemon_pods:
        return refuse(seen, DAEMON_REFUSAL)
    return announce(seen, DAEMON_REFUSAL) or Done()


def refused(seen: Observation, memory: PodMemory) -> Action | None:
    refusal = memory.creating.refusal
    if refusal is None:
        return None
    wait_s = memory.creating.refuse_at_s - seen.now.loop_s
    if wait_s > 0:
        return announce(seen, refusal) or RequeueAfter(wait_s)
    return refuse(seen, refusal)


def ended_unseen(seen: Observation, memory: PodMemory) -> Action | None:
    """It ended by itself, and the cloud cleared up before that could be written: the end counts, not the clearing."""
    last = before.last if (before := _before(seen, memory)) is not None else None
    if last is None or not last.status.is_ended or (before is not None and before.unplaced):
        return None
    # Unless the end of each of its containers is known, something would have to be guessed.
    if not memory.verifying.absent and {each.state.kind for each in last.containers} != {StateKind.TERMINATED}:
        return None
    body = status.patch(
        seen.pod,
        status.from_instance(seen.pod, last, now=seen.now.stamp, host_ip=seen.node.host_ip, settled=True),
        annotations=seen.state_annotations(last, memory),
        along=seen.info_annotations(last),
    )
    return PatchStatus(body) if body is not None else Done()


def unlisted(seen: Observation, memory: PodMemory) -> Action | None:
    before = _before(seen, memory)
    return VerifyInstance(before.id) if before is not None and not memory.verifying.absent else None


def vanished(seen: Observation, memory: PodMemory) -> Action | None:
    """P19: Failed, and a disruption, so that a Job's failure policy may ignore it."""
    before = _before(seen, memory)
    if before is None or before.made_way or before.unplaced:
        return None
    return fail_as_vanished(seen, before.id, before.last)


def successor_gone(seen: Observation, memory: PodMemory) -> Action | None:
    """What was made in the place of an unplaced one was placed, and went before the pod noted it."""
    gone = gone_successor(seen.own, seen.last, memory.created) if seen.own is not None else None
    if gone is None or gone.status is NEVER_PLACED:
        return None
    if memory.verifying.missing_id != gone.id:
        return VerifyInstance(gone.id)
    return fail_as_vanished(seen, gone.id, gone)


def fail_as_vanished(seen: Observation, instance_id: str, last: Instance | None) -> Action:
    """last: as it was seen last."""
    message = f"the cloud no longer has instance {instance_id or 'of this pod'}: it was removed there, not by this node"
    desired = status.vanished(
        seen.pod,
        last,
        reason="NotFound",
        message=message,
        now=seen.now.stamp,
        host_ip=seen.node.host_ip,
        disruption=True,
        words=seen.node.words,
    )
    body = status.patch(seen.pod, desired)
    return PatchStatus(body, Problem("NotFound", message)) if body is not None else Done()


def not_admitted(seen: Observation, memory: PodMemory) -> Action | None:
    match seen.not_admitted:
        case None:
            return None
        case Reject(reason, message):
            return Refuse(Problem(reason, message))
        case Hold() as hold:
            shown = report(seen, hold.problem) if seen.own is None else None
            if shown is None:
                return RequeueAfter(hold.retry_after_s)
            return replace(shown, event=PodEvent("Warning", hold.reason, hold.message))


def _before(seen: Observation, memory: PodMemory) -> Previous | None:
    """What it had before, unless the pod has given up."""
    if seen.previous is None or gave_up(seen.pod, memory.creating, None, seen.intent) is not False:
        return None
    return seen.previous
