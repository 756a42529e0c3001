"""A pod's conditions: those a kubelet owns, computed; those a cloud adds, passed on; everybody else's, left alone.

`owned` says what is true now, `stamped` adds the times: `lastTransitionTime` moves only when `status` changes.
Source: kubernetes pkg/kubelet/status/generate.go (1.36).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from vk_provider import bounds
from vk_provider.model.instance import CloudCondition, Instance, InstanceStatus
from vk_provider.model.pod import Json, containers_of, init_containers_of, is_sidecar
from vk_provider.translate.container_status import by_name, ended, has_started

OWNED_TYPES = frozenset(
    {
        "PodScheduled",
        "PodReadyToStartContainers",
        "Initialized",
        "ContainersReady",
        "Ready",
        "PodResizePending",
        "PodResizeInProgress",
        "AllContainersRestarting",
    }
)
INSTANCE_CREATED = "ContainerInstanceCreated"
RESIZE_PENDING = "PodResizePending"
UP_TO_DATE = "InstanceUpToDate"  # ours; there is none but to say no
DISRUPTION_TARGET = "DisruptionTarget"
_UNDER_WAY = "Creating"  # the cloud's reason while nothing is wrong


def owned(pod: Json, *, phase: str, inits: Sequence[Json], apps: Sequence[Json], has_network: bool) -> list[Json]:
    """The conditions a kubelet writes, without times, in its order (P20)."""
    containers_ready = _containers_ready(pod, phase, inits, apps)
    return [
        _condition("PodReadyToStartContainers", has_network),
        _initialized(pod, phase, inits, apps),
        _ready(pod, containers_ready),
        containers_ready,
        _condition("PodScheduled", True),
    ]


def stamped(pod: Json, conditions: Sequence[Json], *, now: str) -> list[Json]:
    """The conditions with their times and the generation they speak of, following on from what the pod has."""
    known = of(pod)
    generation = pod["metadata"].get("generation")
    observed = {"observedGeneration": generation} if generation else {}
    found = []
    for condition in conditions:
        previous = known.get(condition["type"]) or {}
        same = previous.get("status") == condition["status"]
        time = (previous.get("lastTransitionTime") if same else None) or now
        found.append({**condition, "lastTransitionTime": time, **observed})
    return found


_TYPE = itemgetter("type")


def of(pod: Json) -> dict[str, Json]:
    """The pod's present conditions by type."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return dict(zip(map(_TYPE, conditions), conditions, strict=True))


def from_cloud(pod: Json, conditions: Sequence[CloudCondition], *, quiet: bool) -> list[Json]:
    """The cloud's own conditions, as it words them.

    quiet: nothing of the pod has started yet and nothing is wrong. Then only bad news and corrections of it are worth
    a write; the rest is told together with the start.
    """
    known = of(pod)
    return [
        _filled(each)
        for each in conditions
        if each.type not in OWNED_TYPES
        and each.type != DISRUPTION_TARGET
        and each.status in ("True", "False", "Unknown")
        and (not quiet or each.type in known or (each.status == "False" and each.reason != _UNDER_WAY))
    ]


def disruption(pod: Json, *, message: str, reason: str = "TerminationByKubelet") -> list[Json]:
    """DisruptionTarget, once: whoever set it first keeps the word."""
    if of(pod).get(DISRUPTION_TARGET, {}).get("status") == "True":
        return []
    return [_condition(DISRUPTION_TARGET, True, reason, message)]


def not_created(reason: str, message: str) -> Json:
    return _condition(INSTANCE_CREATED, False, reason, message)


def unresized(message: str) -> Json:
    return _condition(RESIZE_PENDING, True, "Infeasible", message)


def outdated(message: str) -> Json:
    return _condition(UP_TO_DATE, False, "SpecChangeNotApplied", message)


def of_instance(pod: Json, instance: Instance, *, quiet: bool) -> list[Json]:
    """The cloud's own, and one that takes back a ContainerInstanceCreated=False of earlier."""
    found = from_cloud(pod, instance.conditions, quiet=quiet)
    said = any(each.type == INSTANCE_CREATED for each in instance.conditions)
    if said or instance.status is InstanceStatus.SCHEDULING:
        return found
    was = of(pod).get(INSTANCE_CREATED, {}).get("status")
    return [*found, _condition(INSTANCE_CREATED, True)] if was == "False" else found


def _filled(condition: CloudCondition) -> Json:
    return _condition(condition.type, condition.status, condition.reason, condition.message)


def _condition(type_: str, status: bool | str, reason: str = "", message: str = "") -> Json:
    """status: as a bool, or as the API spells it."""
    condition: Json = {"type": type_, "status": status if isinstance(status, str) else "True" if status else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = bounds.shortened(message, bounds.MOST_MESSAGE)
    return condition


def _initialized(pod: Json, phase: str, inits: Sequence[Json], apps: Sequence[Json]) -> Json:
    specs = init_containers_of(pod)
    if any(map(has_started, apps)):
        return _condition("Initialized", True, "PodCompleted" if phase == "Succeeded" else "")
    statuses = by_name(inits)
    if specs and not statuses:
        return _condition("Initialized", False, "UnknownContainerStatuses")
    unknown = [spec["name"] for spec in specs if spec["name"] not in statuses]
    incomplete = [
        spec["name"] for spec in specs if spec["name"] in statuses and not is_done(spec, statuses[spec["name"]])
    ]
    if not (unknown or incomplete):
        return _condition("Initialized", True, "PodCompleted" if phase == "Succeeded" else "")
    return _condition("Initialized", False, "ContainersNotInitialized", _lists(unknown, "incomplete", incomplete))


def is_done(container: Json, status: Json) -> bool:
    """Of an init container: the next one may start. A sidecar has to be up, any other to have ended well."""
    if is_sidecar(container):
        return bool(status.get("started"))
    end = ended(status)
    return end is not None and end.get("exitCode") == 0


def _containers_ready(pod: Json, phase: str, inits: Sequence[Json], apps: Sequence[Json]) -> Json:
    if phase == "Failed":
        return _condition("ContainersReady", False, "PodFailed")
    if phase == "Succeeded":
        return _condition("ContainersReady", False, "PodCompleted")
    statuses: Mapping[str, Json] = by_name([*inits, *apps])
    if not apps:
        return _condition("ContainersReady", False, "UnknownContainerStatuses")
    unknown, unready = [], []
    for spec in (*filter(is_sidecar, init_containers_of(pod)), *containers_of(pod)):
        known = statuses.get(spec["name"])
        if known is None:
            unknown.append(spec["name"])
        elif not known.get("ready"):
            unready.append(spec["name"])
    if not (unknown or unready):
        return _condition("ContainersReady", True)
    return _condition("ContainersReady", False, "ContainersNotReady", _lists(unknown, "unready", unready))


def _ready(pod: Json, containers_ready: Json) -> Json:
    if containers_ready["status"] == "False":
        return {**containers_ready, "type": "Ready"}
    known = of(pod)
    faults = []
    for gate in pod["spec"].get("readinessGates") or ():
        type_ = gate["conditionType"]
        status = known[type_]["status"] if type_ in known else None
        if status is None:
            faults.append(f'corresponding condition of pod readiness gate "{type_}" does not exist.')
        elif status != "True":
            faults.append(f'the status of pod readiness gate "{type_}" is not "True", but {status}')
    return _condition("Ready", not faults, "ReadinessGatesNotReady" if faults else "", ", ".join(faults))


def _lists(unknown: Sequence[str], word: str, names: Sequence[str]) -> str:
    parts = [f"containers with {word} status: [{' '.join(names)}]"] if names else []
    if unknown:
        parts.insert(0, f"containers with unknown status: [{' '.join(unknown)}]")
    return ", ".join(parts)
