"""What this process remembers of one pod between two looks. Losing all of it is safe: it only saves asking again.

Truth is the pod in the API server and the instances in the cloud; this is the state of our own attempts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vk_provider.control.drift import SpecDrift
from vk_provider.files.staleness import FileState
from vk_provider.model.instance import CloudCondition, CloudEvent, Instance, MadeOf
from vk_provider.model.probe import Failure

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _NOTHING


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pod has no instance yet, as a user should see it. container: whom it concerns, empty = all."""

    reason: str
    message: str
    container: str = ""
    condition: CloudCondition | None = None


@dataclass(slots=True)
class PodMemory:
    """Bounded: a handful of fields, and of events and deletions only those of instances that are still there."""

    seen: bool = False  # the pod was in our store once: its absence is then a deletion, not a gap in what we know
    orphaned_since_s: float | None = None  # loop time at which its instance was first seen without a pod
    failures: int = 0  # looks in a row that failed
    attempts: int = 0  # creates in a row that failed
    replaced: int = 0  # instances in a row that were never placed, and in whose place another came
    retry_at_s: float = 0.0  # loop time before which no create is tried
    patches: int = 0  # status patches in a row, without rest in between
    patch_at_s: float = 0.0  # loop time before which no further one is sent
    status_write_in_doubt: bool = (
        False  # a status was sent whose answer we do not know: what is written next is worked out from it
    )
    started: str = ""  # the startTime that we gave or saw, which stays even if an answer is lost or a list goes back
    made_s: float | None = None  # loop time at which we made its instance
    awaits: bool = False  # something that it names is not as it needs it; a change of that ends the wait
    problem: Problem | None = None
    refusal: Problem | None = None  # never to be created
    refuse_at_s: float = 0.0  # loop time from which on it is failed for that; until then it only says so
    next_attempt: tuple[str, int] | None = None  # the instance to be replaced, and which way to carry the pod is next
    gave_up: bool = False  # no capacity, and the pod wants no further try
    price: str = ""  # of its instance, for its owner
    create_in_doubt: bool = (
        False  # a create was sent whose outcome we do not know: an instance may exist that no list shows
    )
    last_created_id: str = (
        ""  # id of the instance that we made last; empty while another is asked for, which may be there already
    )
    looked_s: float = -60.0  # loop time at which the cloud was last asked about the pod by names
    confirmed_missing_id: str = ""  # id of the noted instance, which the cloud said by name that it does not have
    confirmed_absent: bool = False  # the cloud said, asked by name, that there is no instance
    last: Instance | None = None  # as last seen before it went, for the exit codes
    ended_s: float | None = None  # loop time at which its instance was first seen ended
    ended_again: bool = False  # asked about it by id a while later, the cloud showed it ended still, or denied it
    failing: Failure | None = None  # a container that a probe of ours has condemned
    restarts: int = 0  # of the instance, in a row, for such containers
    restarted_s: float = 0.0  # loop time of the last of them
    restart_at_s: float = 0.0  # loop time before which there is no further one
    only_sidecars_since_s: float | None = None  # loop time at which only sidecars were first seen to run
    deleting_since_s: float | None = None  # loop time at which the pod was first seen to be deleted
    force_deleted_id: str = ""  # id of the instance that was deleted without grace
    files: FileState | None = None  # of its files; None: nothing of them can change
    drift: SpecDrift | None = None  # from what its instance was made of; None: that is not known
    update_at_s: float = 0.0  # loop time before which its instance is not updated for that
    updates_failed: int = 0  # in a row
    not_taken: tuple[MadeOf, str] | None = None  # of what the cloud refused to make of the instance, and why
    # Few pods ever have something in these, so all share an empty one: they are replaced, never written to.
    # Ids of the instances that came before the one we asked for last, the oldest first → the cloud's time, if known.
    earlier_ids: Mapping[str, str] = field(default_factory=_nothing)
    # Container → its newest run and what it said; instance id → loop time at which a delete was accepted.
    last_words: Mapping[str, tuple[str, str]] = field(default_factory=_nothing)
    deletes: Mapping[str, float] = field(default_factory=_nothing)
    mirrored: Sequence[CloudEvent] = ()  # those already mirrored, each with its count
