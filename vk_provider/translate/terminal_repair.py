"""What of a final status is put right after others wrote over it (P30), and what is left as it is.

Terminal is terminal (P18): phase, reason, message and every end that stands there are never written again. Whether an
end is the one first written or somebody else's, the pod alone does not tell, and the instance may say more by now than
it did then. So only two things come back, for each can be worked out again without a doubt:

- our conditions, which follow from the phase and the container entries;
- the end of a container that the pod shows as running, as waiting or not at all, if the instance still reports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vk_provider.model.instance import ContainerReport, Instance, StateKind
from vk_provider.model.pod import Json, containers_of, init_containers_of, phase_of
from vk_provider.translate import conditions, container_report, resize
from vk_provider.translate.container_status import StatusContext, by_name, ended
from vk_provider.translate.status_patch import changed_conditions


def reasserted(pod: Json, instance: Instance | None, *, now: str) -> Json | None:
    """The body for `PATCH …/pods/<name>/status`, or None when there is nothing to put right.

    pod: one that has ended. instance: its own, of which nothing runs any more; None where nobody knows of it.
    """
    status = pod.get("status") or {}
    if not status.get("startTime"):
        return None  # ended before it was ours: there is no word of ours on it
    inits, apps = status.get("initContainerStatuses") or [], status.get("containerStatuses") or []
    changes: Json = {}
    if instance is not None:
        ends = _Ends(pod, instance, now)
        if (found := ends.over(init_containers_of(pod), inits)) is not None:
            changes["initContainerStatuses"] = inits = found
        if (found := ends.over(containers_of(pod), apps)) is not None:
            changes["containerStatuses"] = apps = sorted(found, key=lambda each: str(each["name"]))
    owned = conditions.owned(pod, phase=phase_of(pod), inits=inits, apps=apps, has_network=False)
    changed = changed_conditions(pod, {"conditions": conditions.stamped(pod, owned, now=now)}, with_generation=False)
    if changed:
        changes["conditions"] = changed
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": changes} if changes else None


class _Ends:
    """The ends that an instance reports."""

    def __init__(self, pod: Json, instance: Instance, now: str) -> None:
        reports = (*instance.init_containers, *instance.containers)
        self._reports: Mapping[str, ContainerReport] = {
            each.name: each for each in reports if each.state.kind is StateKind.TERMINATED
        }
        self._scene = StatusContext(
            pod=pod,
            instance_id=instance.id,
            status=instance.status,
            now=now,
            final=True,
            stopping=True,
            ended_at=instance.ended_at,
            id_scheme=instance.words.id_scheme,
            probes=instance.words.probes,
        )

    def over(self, specs: Sequence[Json], entries: Sequence[Json]) -> list[Json] | None:
        """The whole list, with the ends that it lacks; None when it lacks none."""
        known = by_name(entries)
        lacking = {
            spec["name"]: spec
            for spec in specs
            if spec["name"] in self._reports and not ended(known.get(spec["name"], {}))
        }
        if not lacking:
            return None
        for name, spec in lacking.items():
            reported = container_report.from_report(spec, self._reports[name], known.get(name), self._scene)
            known[name] = resize.given(spec, reported)
        return [known[spec["name"]] for spec in specs if spec["name"] in known]
