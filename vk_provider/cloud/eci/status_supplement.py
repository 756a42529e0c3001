"""What only the status call tells: conditions, image digests and container ids (eci.md 2.4, 2.5).

Pure state, no calls. Without it an instance would look different each time the other call is used, and every such
difference would be written to the pod.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from vk_provider.model.instance import CloudCondition, ContainerReport, Instance, InstanceReport


@dataclass(frozen=True, slots=True)
class _Known:
    conditions: Sequence[CloudCondition] | None
    containers: Sequence[ContainerReport]


_NOTHING = _Known(None, ())


class StatusSupplement:
    """The last words of the status call about each instance; `counted` keeps it from growing.

    What is told again stays the object that it was, which the instance itself mostly holds too.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._uncounted: set[str] = set()

    def note(self, report: InstanceReport) -> None:
        """report: from the status call."""
        known = self._known.get(report.id, _NOTHING)
        reported = {one.name: one for one in known.containers}
        reported |= {one.name: one for one in (*(report.containers or ()), *(report.init_containers or ()))}
        conditions = known.conditions if report.conditions is None else report.conditions
        news = _Known(conditions, tuple(reported.values()))
        if news != known:
            self._known[report.id] = news

    def added_to(self, instance: Instance) -> Instance:
        """instance: from the describing call."""
        known = self._known.get(instance.id)
        if known is None:
            return instance
        return replace(
            instance,
            conditions=instance.conditions or known.conditions or (),
            containers=_completed(instance.containers, known),
            init_containers=_completed(instance.init_containers, known),
        )

    def counted(self, instance_ids: Collection[str]) -> None:
        """All that there are, by a complete count. One that a single count lacks may have been made meanwhile."""
        uncounted = self._known.keys() - instance_ids
        for instance_id in uncounted & self._uncounted:
            del self._known[instance_id]
        self._uncounted = uncounted - self._uncounted


def _completed(containers: Sequence[ContainerReport], known: _Known) -> Sequence[ContainerReport]:
    reported = {one.name: one for one in known.containers}
    return tuple(_complete(one, reported[one.name]) if one.name in reported else one for one in containers)


def _complete(container: ContainerReport, known: ContainerReport) -> ContainerReport:
    """A container id belongs to one run, an image digest to all of them."""
    is_same_run = container.restart_count == known.restart_count and container.state.kind is known.state.kind
    return replace(
        container,
        image_id=container.image_id or known.image_id,
        container_id=container.container_id or (known.container_id if is_same_run else ""),
    )
