"""Which attempt at an instance comes next, and what became of the ones before. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vk_provider.control import pod_annotations
from vk_provider.control.memory import CreatedMemory, CreateMemory
from vk_provider.control.ownership import NEVER_PLACED
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.model.workload import Intent, NoCapacity
from vk_provider.translate import status


@dataclass(frozen=True, slots=True)
class Previous:
    """The instance that a pod without one had before. id: empty = unknown. last: as this process saw it last.

    made_way: it was deleted for another to take its place, as the pod notes.
    """

    id: str
    last: Instance | None
    made_way: bool

    @property
    def unplaced(self) -> bool:
        return self.last is not None and self.last.status is NEVER_PLACED


def previous(pod: Json, last: Instance | None) -> Previous | None:
    """None: it has had none, as far as pod and process know."""
    id_ = noted_id(pod) or (last.id if last is not None and last.status is not NEVER_PLACED else "")
    if not id_ and not status.had_run(pod):
        return None
    known = last if last is not None and last.id == id_ else None
    return Previous(id_, known, bool(id_) and is_to_make_way(pod, id_))


def noted_id(pod: Json) -> str:
    """The instance noted on the pod. What stands there before our first status came with a copied manifest."""
    return pods.instance_id_of(pod) if (pod.get("status") or {}).get("startTime") else ""


def is_to_make_way(pod: Json, instance_id: str) -> bool:
    """Whether that is noted. A pod that has run since has another instance, or kept this one."""
    return pod_annotations.made_way(pod)[0] == instance_id == noted_id(pod) and not status.had_run(pod)


def gone_successor(dead: Instance, last: Instance | None, created: CreatedMemory) -> Instance | None:
    """The one that was made in the place of a dead one and went before the pod noted it. The cloud answers another
    create in the same place with that one again, so that nothing would ever come of it."""
    return last if last is not None and last.id == created.last_id and last.id != dead.id else None


def next_candidate(intent: Intent, unplaced: Instance) -> int:
    return (unplaced.attempt + 1) % intent.candidates


def fails(intent: Intent, unplaced: Instance) -> bool:
    """Whether the pod is to fail now that this instance found no room."""
    return intent.on_no_capacity is NoCapacity.FAIL and unplaced.attempt + 1 >= intent.candidates


def gave_up(pod: Json, creating: CreateMemory, unplaced: Instance | None, intent: Intent | None) -> bool | None:
    """Its owner wants no further try once every candidate was out of capacity. The pod itself remembers.

    None: that cannot be said without the intent.
    """
    if unplaced is None and not creating.gave_up and (pod.get("status") or {}).get("reason") != status.SCHEDULE_FAILED:
        return False
    if intent is None:
        return None
    wants_no_other = intent.on_no_capacity is NoCapacity.STAY_PENDING
    return wants_no_other and (unplaced is None or unplaced.attempt + 1 >= intent.candidates)
