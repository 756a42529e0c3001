"""What has to be settled before anything else is concluded from what is known."""

from __future__ import annotations

from vk_provider.control.actions import (
    Action,
    DeleteInstance,
    Done,
    ReadPod,
    ReadTerminationMessages,
    VerifyInstance,
)
from vk_provider.control.attempts import noted_id
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation, PodState
from vk_provider.control.ownership import is_surplus
from vk_provider.control.rules.stopping import deletable


def patch_unanswered(seen: Observation, memory: PodMemory) -> Action | None:
    """Our last write may have landed without an answer: the next one is worked out from what it left."""
    return ReadPod() if memory.writing.in_doubt else None


def not_ours(seen: Observation, memory: PodMemory) -> Action | None:
    return Done()


def noted_but_unlisted(seen: Observation, memory: PodMemory) -> Action | None:
    """Lists lack the instance that is noted on the pod, and it was not confirmed to be gone: they may be older than the
    note."""
    own = seen.own
    if own is None or (had := noted_id(seen.pod)) in ("", own.id):
        return None
    gone = (memory.verifying.missing_id, seen.last.id if seen.last is not None else "")
    if had in gone or any(each.id == had for each in seen.instances):
        return None
    return VerifyInstance(had)


def surplus(seen: Observation, memory: PodMemory) -> Action | None:
    spare = seen.spare
    if spare is None or not spare.proven or not deletable(spare, memory, seen.now):
        return None
    if seen.state is PodState.LIVE and not is_surplus(seen.pod, spare, seen.own, memory.created):
        return None
    return DeleteInstance(spare, "a second instance of one pod")


def message_unread(seen: Observation, memory: PodMemory) -> Action | None:
    if not seen.unread or seen.own is None:
        return None
    return ReadTerminationMessages(seen.own.id, seen.unread)
