"""What the sight of a pod and its instances settles in its memory: since when things are so, and what is over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vk_provider.control.memory import (
    NO_CREATE,
    NO_STOP,
    NOT_VERIFIED,
    CreateMemory,
    PodMemory,
    StopMemory,
    VerifyMemory,
)
from vk_provider.control.observation import PodState
from vk_provider.control.ownership import UNPLACED
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.pacing.clock import Now
from vk_provider.translate import status


def noticed(
    memory: PodMemory, pod: Json | None, state: PodState, own: Instance | None, instances: Sequence[Instance], now: Now
) -> PodMemory:
    """The memory after this sight; the same object where it brought nothing new, as mostly."""
    started = memory.started or (pod is not None and (pod.get("status") or {}).get("startTime")) or ""
    stopping = _stops(memory.stopping, pod, state, own, instances, now)
    placed = ended = False
    for each in instances:
        if each.status not in UNPLACED:
            placed, ended = True, ended or each.status.is_ended
    creating, verifying = memory.creating, memory.verifying
    if instances and creating is not NO_CREATE:
        creating = _created(creating, placed=placed)
    if ended or verifying is not NOT_VERIFIED:
        verifying = _verified(verifying, exists=bool(instances), ended=ended, now=now)
    before = (memory.seen, memory.started, memory.stopping, memory.creating, memory.verifying)
    after = (memory.seen or pod is not None, started, stopping, creating, verifying)
    if after == before:
        return memory
    return replace(memory, seen=after[0], started=started, stopping=stopping, creating=creating, verifying=verifying)


def _created(known: CreateMemory, *, placed: bool) -> CreateMemory:
    return replace(known, in_doubt=False, unplaced=0 if placed else known.unplaced)


def _verified(known: VerifyMemory, *, exists: bool, ended: bool, now: Now) -> VerifyMemory:
    ended_s = now.loop_s if known.ended_s is None else known.ended_s
    return replace(
        known,
        absent=known.absent and not exists,
        ended_s=ended_s if ended else None,
        ended_confirmed=known.ended_confirmed and ended,
    )


def _stops(
    known: StopMemory, pod: Json | None, state: PodState, own: Instance | None, instances: Sequence[Instance], now: Now
) -> StopMemory:
    only_sidecars = own is not None and pod is not None and status.only_sidecars_left(pod, own)
    deleting = state in (PodState.DELETING, PodState.LEAVING)
    if known is NO_STOP and not only_sidecars and not deleting and pod is not None:
        return known
    deletes = known.deletes
    if deletes:
        deletes = {each.id: deletes[each.id] for each in instances if each.id in deletes}
    return replace(
        known,
        deletes=deletes,
        only_sidecars_since_s=_since(known.only_sidecars_since_s, only_sidecars, now),
        orphaned_since_s=_since(known.orphaned_since_s, pod is None, now),
        deleting_since_s=now.loop_s if known.deleting_since_s is None and deleting else known.deleting_since_s,
    )


def _since(since_s: float | None, holds: bool, now: Now) -> float | None:
    if not holds:
        return None
    return now.loop_s if since_s is None else since_s
