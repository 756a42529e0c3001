"""Which of several instances of one pod is the pod's own, and which is one too many. Pure.

Several come to be by a create whose answer was lost, by the replacement of one that found no room, and by lists that
lag. What is known may be old. Certain are only: that an instance was placed, that it never was, and that another was
made before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vk_provider.control.memory import NOT_CREATED, CreatedMemory
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, InstanceStatus, StateKind
from vk_provider.model.pod import Json

NEVER_PLACED = InstanceStatus.SCHEDULE_FAILED
UNPLACED = frozenset({InstanceStatus.SCHEDULING, NEVER_PLACED, InstanceStatus.UNKNOWN})
MAX_EARLIER_IDS = 5  # of those that found no room and are gone, how many of the last are remembered


@dataclass(frozen=True, slots=True)
class Ownership:
    """own: the pod's instance. spare: the next in line, if there is another. instances: all of the pod's uid."""

    own: Instance | None
    spare: Instance | None
    instances: Sequence[Instance]


def own_and_spare(
    pod: Json, instances: Sequence[Instance], created: CreatedMemory = NOT_CREATED
) -> tuple[Instance | None, Instance | None]:
    """The instance that is this pod's, and another one."""
    if len(instances) < 2:
        return (instances[0], None) if instances else (None, None)
    noted = pods.instance_id_of(pod)
    given_up = next((each for each in instances if each.id == noted and each.status is NEVER_PLACED), None)

    def is_former(each: Instance) -> bool:
        """Whether another was tried after it: lists that lag show it as it was then."""
        return (
            given_up is not None
            and not _was_placed(each)
            and creation_order(each, created) < creation_order(given_up, created)
        )

    # What the cloud has not shown to be this pod's comes after what it has, whatever anybody wrote on the pod.
    placed = [each for each in instances if each.status is not NEVER_PLACED and not is_former(each)]
    dead = [each for each in instances if each.status is NEVER_PLACED]
    ordered = sorted(placed, key=lambda each: (not each.proven, each.id != noted, each.created_at, each.id))
    # Of unplaced ones the newest: older ones were replaced already, and repeating that create gives no third instance.
    ordered += sorted(dead, key=lambda each: creation_order(each, created), reverse=True)
    ordered += [each for each in instances if each.status is not NEVER_PLACED and is_former(each)]
    return ordered[0] if ordered else None, ordered[1] if len(ordered) > 1 else None


def is_surplus(pod: Json, spare: Instance, kept: Instance | None, created: CreatedMemory) -> bool:
    """Whether a live pod can do without the spare one for certain.

    Of two that were not placed, times do not show which came in the other's place: the cloud's clock may have been set,
    and the second one may have been made by somebody else who noted nothing. Asking for one in the place of the noted
    one shows it: the answer is the one that was made in its place, if there is any.
    """
    noted = pods.instance_id_of(pod)
    if kept is None or spare.id == noted:
        return False  # until the pod notes the one in its place, only the noted one shows that it was never placed
    if not kept.proven:
        return False  # it may turn out to be another pod's, and the spare to be what the create really made
    if kept.id != noted or _was_placed(kept):
        return True
    is_newest = kept.id == created.last_id or kept.id not in created.earlier_ids
    known_before = spare.id in created.earlier_ids and is_newest
    return (known_before or _was_placed(spare)) and creation_order(spare, created) < creation_order(kept, created)


def _was_placed(instance: Instance) -> bool:
    if instance.status is InstanceStatus.TERMINATING:
        reports = (*instance.init_containers, *instance.containers)
        return any(each.state.kind is not StateKind.WAITING or each.last_state is not None for each in reports)
    return instance.status not in UNPLACED


def creation_order(instance: Instance, created: CreatedMemory) -> tuple[int, str, str]:
    """A key that sorts by creation. The times of those that we made are by our own clock and not comparable with the
    cloud's; but whatever existed when we asked for another came before that one."""
    earlier = created.earlier_ids
    if instance.id == created.last_id:
        return 2 * len(earlier) + 1, "", ""
    if instance.id in earlier:
        return 2 * [*earlier].index(instance.id) + 1, "", ""
    times = enumerate(earlier.values())
    later = next((number for number, time in times if time > instance.created_at), len(earlier))
    return 2 * later, instance.created_at, instance.id


def predecessors(instances: Sequence[Instance], created: CreatedMemory) -> Mapping[str, str]:
    """What `CreatedMemory.earlier_ids` becomes when another is created. Lists that lag may show some that are gone."""
    there = {
        each.id: "" if each.id == created.last_id or created.earlier_ids.get(each.id) == "" else each.created_at
        for each in sorted(instances, key=lambda each: creation_order(each, created))
    }
    gone = [(id_, time) for id_, time in created.earlier_ids.items() if id_ not in there]
    return {**dict(gone[-MAX_EARLIER_IDS:]), **there} or created.earlier_ids
