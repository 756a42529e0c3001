"""All container entries of one pod together: init entries in the order of the spec, app entries by name."""

from __future__ import annotations

from collections.abc import Sequence

from vk_provider.model.instance import ContainerReport, Instance, InstanceStatus, Owner
from vk_provider.model.pod import Json, containers_of, init_containers_of, is_marked_sidecar, is_sidecar, restart_policy
from vk_provider.model.vocabulary import Vocabulary
from vk_provider.translate import conditions, container_report, container_status, resize
from vk_provider.translate.container_status import StatusContext, by_name, has_started


def mirrored(pod: Json, instance: Instance, scene: StatusContext) -> tuple[list[Json], list[Json]]:
    """What the cloud reports of each container, or what is known of it already.

    A sidecar of the pod is one more container to the cloud, so it is looked for by name in either of its lists.
    """
    status = pod.get("status") or {}
    seen: dict[str, ContainerReport] = {each.name: each for each in (*instance.init_containers, *instance.containers)}

    def entries(specs: Sequence[Json], field: str) -> list[Json]:
        known = by_name(status.get(field))
        return [
            resize.given(
                spec, container_report.from_report(spec, seen.get(spec["name"]), known.get(spec["name"]), scene)
            )
            for spec in specs
        ]

    return lawful(
        pod,
        entries(init_containers_of(pod), "initContainerStatuses"),
        entries(containers_of(pod), "containerStatuses"),
    )


def waiting(pod: Json, inits: Sequence[Json], apps: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """These entries while there is no instance; but what has begun once is not made undone by a wait for one (P22)."""
    status = pod.get("status") or {}

    def begun_or(entries: Sequence[Json], field: str) -> list[Json]:
        known = {name: entry for name, entry in by_name(status.get(field)).items() if has_started(entry)}
        return [known.get(entry["name"], entry) for entry in entries]

    return lawful(pod, begun_or(inits, "initContainerStatuses"), begun_or(apps, "containerStatuses"))


def lawful(pod: Json, inits: Sequence[Json], apps: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """The entries as the API server will take them over those it has, in their order (P14, P9)."""
    policy = restart_policy(pod)
    status = pod.get("status") or {}

    def each_lawful(entries: Sequence[Json], specs: Sequence[Json], field: str, *, is_init: bool) -> list[Json]:
        known, by_spec = by_name(status.get(field)), by_name(specs)
        return [
            container_status.valid_transition(
                entry, known.get(entry["name"]), container=by_spec[entry["name"]], policy=policy, is_init=is_init
            )
            for entry in entries
        ]

    return (
        each_lawful(inits, init_containers_of(pod), "initContainerStatuses", is_init=True),
        sorted(
            each_lawful(apps, containers_of(pod), "containerStatuses", is_init=False),
            key=lambda entry: str(entry["name"]),
        ),
    )


def as_known(pod: Json) -> tuple[list[Json], list[Json]]:
    """The entries the API server has, the ordinary wait where it has none."""
    nothing = Instance(id="", owner=Owner(), status=InstanceStatus.UNKNOWN)
    return mirrored(pod, nothing, StatusContext(pod=pod, instance_id="", status=nothing.status, now=""))


def unlocated(
    pod: Json, inits: Sequence[Json], apps: Sequence[Json], *, ended_well: bool = False, stopped: bool = False
) -> tuple[list[Json], list[Json]]:
    """The entries when nothing runs and whoever is not known to have ended never will be (P15).

    As in a kubelet, containers whose turn had not come keep waiting: app containers before init was through, and init
    containers behind the last that started, but never the first. ended_well: the cloud vouches for exit code 0.
    stopped: the pod was told to end, so that an init container which then ends well leads to nothing: who waits for it
    keeps waiting.
    """

    def end(entry: Json) -> Json:
        if not ended_well:
            return container_status.with_unknown_termination(container_status.as_final(entry))
        return container_status.with_unknown_termination(
            entry, exit_code=0, reason="Completed", message="the cloud reported the whole instance as Succeeded"
        )

    specs = init_containers_of(pod)
    known = by_name(inits)
    begun = [index for index, entry in enumerate(inits) if has_started(entry)]
    through = all(
        spec["name"] in known
        and (has_started(known[spec["name"]]) if is_sidecar(spec) else conditions.is_done(spec, known[spec["name"]]))
        for spec in specs
    )
    past_init = any(has_started(entry) for entry in apps) or (through and not (stopped and _wait_for_init(apps)))
    reached = len(inits) if past_init else (begun[-1] + 1 if begun else min(1, len(inits)))
    ended_inits = [end(entry) if index < reached else entry for index, entry in enumerate(inits)]
    return ended_inits, [end(entry) for entry in apps] if past_init else list(apps)


def _wait_for_init(apps: Sequence[Json]) -> bool:
    reasons = [(entry.get("state") or {}).get("waiting", {}).get("reason") for entry in apps]
    return bool(reasons) and set(reasons) == {container_status.POD_INITIALIZING}


def without_sidecars(pod: Json, inits: Sequence[Json]) -> list[Json]:
    """The entries with every sidecar as if it had done its part, for a phase in which they do not count."""
    sidecars = {spec["name"] for spec in init_containers_of(pod) if is_sidecar(spec)}
    done = {"state": {"terminated": {"exitCode": 0}}, "started": True}
    return [{**entry, **done} if entry["name"] in sidecars else entry for entry in inits]


def counted(pod: Json, apps: Sequence[Json], words: Vocabulary) -> list[Json]:
    """The app entries by which the pod succeeds or fails: a container marked as sidecar has no say beside others."""
    marked = {spec["name"] for spec in containers_of(pod) if is_marked_sidecar(spec, words)}
    return [entry for entry in apps if entry["name"] not in marked] or list(apps)
