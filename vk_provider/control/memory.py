"""What this process remembers of one pod between two reconciles. Losing all of it is safe: it only saves repeating.

Truth is the pod in the API server and the instances in the cloud; this is the state of our own attempts. Every record
is frozen and replaced as a whole. Most pods are at rest, so the records of what is not under way are shared defaults
and cost a pod nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vk_provider.control.drift import SpecDrift
from vk_provider.model.instance import CloudCondition, CloudEvent, MadeOf

NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return NOTHING


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pod has no instance yet, as a user should see it. container: whom it concerns, empty = all."""

    reason: str
    message: str
    container: str = ""
    condition: CloudCondition | None = None


@dataclass(frozen=True, slots=True)
class CreateMemory:
    """Of the attempts to get an instance, until one has been placed.

    failures: creates in a row that failed. unplaced: instances in a row that were replaced without ever being placed.
    not_before_s: loop time before which no create is tried. awaits_change: a change elsewhere (of an object that the
    pod names, of a policy, of what a policy knows of capacity) ends that wait. problem: what the pod shows meanwhile.
    refusal: it is never created; the pod is failed for that at refuse_at_s (loop time) and only says so before.
    next_candidate: the id of the instance that is replaced, and which candidate comes next. gave_up: out of capacity,
    and the pod wants no further try. in_doubt: a create was sent whose outcome is unknown, so that an instance may
    exist that no list shows.
    """

    failures: int = 0
    unplaced: int = 0
    not_before_s: float = 0.0
    awaits_change: bool = False
    problem: Problem | None = None
    refusal: Problem | None = None
    refuse_at_s: float = 0.0
    next_candidate: tuple[str, int] | None = None
    gave_up: bool = False
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class CreatedMemory:
    """Of the instances that we created. made_s: loop time of the last create; None = this process made none.

    last_id: of the one made last; empty while another is being created, which may exist already. earlier_ids: those
    that came before the one created last, the oldest first → the cloud's creation time, empty if unknown.
    """

    made_s: float | None = None
    last_id: str = ""
    earlier_ids: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class StopMemory:
    """Of what is to stop. Times are loop times at which that was first seen.

    deletes: instance id → loop time at which its deletion was accepted. forced_id: of the instance that was deleted
    without grace.
    """

    deletes: Mapping[str, float] = field(default_factory=_nothing)
    forced_id: str = ""
    deleting_since_s: float | None = None  # the pod
    orphaned_since_s: float | None = None  # its instances, without a pod
    only_sidecars_since_s: float | None = None  # all other containers have ended


@dataclass(frozen=True, slots=True)
class VerifyMemory:
    """Of what the cloud said when it was asked about the pod's instance by name.

    verified_s: loop time of the last time. missing_id: the noted instance, which it does not have. absent: there is no
    instance at all. ended_s: loop time at which the instance was first seen ended; ended_confirmed: asked a while later
    the cloud showed it ended still, or no longer.
    """

    verified_s: float = -60.0
    missing_id: str = ""
    absent: bool = False
    ended_s: float | None = None
    ended_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class RestartMemory:
    """Of restarts for failed probes: how many in a row, when the last, before when no further one (loop times)."""

    count: int = 0
    last_s: float = 0.0
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class UpdateMemory:
    """Of updates of the instance to what its pod has become. refused: what the cloud would not make of it, and why."""

    not_before_s: float = 0.0  # loop time
    failures: int = 0  # in a row
    refused: tuple[MadeOf, str] | None = None


@dataclass(frozen=True, slots=True)
class WriteMemory:
    """Of status patches: how many in a row without rest, the loop time before which no further one is sent.

    in_doubt: one was sent whose outcome is unknown, so the pod is read again before the next one is worked out.
    """

    in_row: int = 0
    not_before_s: float = 0.0
    in_doubt: bool = False


NO_CREATE = CreateMemory()
NOT_CREATED = CreatedMemory()
NO_STOP = StopMemory()
NOT_VERIFIED = VerifyMemory()
NO_RESTART = RestartMemory()
NO_UPDATE = UpdateMemory()
NO_WRITE = WriteMemory()


@dataclass(frozen=True, slots=True)
class PodMemory:
    """All of it for one pod.

    seen: the pod was in our store once, so its absence is a deletion and no gap in what we know. started: the startTime
    that we gave or saw, which stays even if an answer is lost or a list goes back. failures: reconciles in a row that
    failed. reason: of the last decision, shared with all pods of which it was decided likewise. drift: from what its
    instance was made of; None = unknown. mirrored: the instance's events that are on the pod already, each with its
    count. messages: container → its newest failed run and the end of its log.
    """

    seen: bool = False
    started: str = ""
    failures: int = 0
    reason: str = ""
    drift: SpecDrift | None = None
    mirrored: Sequence[CloudEvent] = ()
    messages: Mapping[str, tuple[str, str]] = field(default_factory=_nothing)
    creating: CreateMemory = NO_CREATE
    created: CreatedMemory = NOT_CREATED
    stopping: StopMemory = NO_STOP
    verifying: VerifyMemory = NOT_VERIFIED
    restarting: RestartMemory = NO_RESTART
    updating: UpdateMemory = NO_UPDATE
    writing: WriteMemory = NO_WRITE


NEW = PodMemory()
