"""What the scheduler needs to know of a pod, read once from its object. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fakes.kube.scheduler.quantity import units

Json: TypeAlias = dict[str, Any]
Port: TypeAlias = tuple[str, str, int]
"""(host address, protocol, port)."""

# What a container without a request weighs when nodes are scored (never when they are filtered): the real defaults.
SCORED_CPU_MILLIS = 100
SCORED_MEMORY_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PodTerm:
    """One inter-pod (anti-)affinity term; `namespaces` None means the namespaces `namespace_selector` picks."""

    topology_key: str
    selector: Json | None
    namespaces: frozenset[str]
    namespace_selector: Json | None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod as the scheduler sees it; `requests` in the units of `quantity.units`."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    priority: int
    start: str
    requests: Mapping[str, int]
    scored: tuple[int, int]
    ports: tuple[Port, ...]
    tolerations: tuple[Json, ...]
    node_name: str
    node_selector: Mapping[str, str]
    required_nodes: tuple[Json, ...] | None
    preferred_nodes: tuple[Json, ...]
    affinity: tuple[PodTerm, ...] = ()
    anti_affinity: tuple[PodTerm, ...] = ()
    preferred_pods: tuple[PodTerm, ...] = field(default=())
    spread: tuple[Json, ...] = ()
    deleting: bool = False


def facts(pod: Json) -> PodFacts:
    """Read a pod object. Raises ValueError when a quantity in it is none."""
    meta, spec = pod["metadata"], pod["spec"]
    namespace = meta.get("namespace", "")
    affinity = spec.get("affinity") or {}
    nodes = affinity.get("nodeAffinity") or {}
    required = nodes.get("requiredDuringSchedulingIgnoredDuringExecution")
    return PodFacts(
        uid=meta.get("uid", ""),
        namespace=namespace,
        name=meta["name"],
        labels=meta.get("labels") or {},
        priority=spec.get("priority") or 0,
        start=(pod.get("status") or {}).get("startTime") or meta.get("creationTimestamp") or "",
        requests=requests(spec),
        scored=scored_request(spec),
        ports=host_ports(spec),
        tolerations=tuple(spec.get("tolerations") or ()),
        node_name=spec.get("nodeName") or "",
        node_selector=spec.get("nodeSelector") or {},
        required_nodes=None if required is None else tuple(required.get("nodeSelectorTerms") or ()),
        preferred_nodes=tuple(nodes.get("preferredDuringSchedulingIgnoredDuringExecution") or ()),
        affinity=_terms(affinity.get("podAffinity"), namespace),
        anti_affinity=_terms(affinity.get("podAntiAffinity"), namespace),
        preferred_pods=(
            *_preferred(affinity.get("podAffinity"), namespace, sign=1),
            *_preferred(affinity.get("podAntiAffinity"), namespace, sign=-1),
        ),
        spread=tuple(spec.get("topologySpreadConstraints") or ()),
        deleting=bool(meta.get("deletionTimestamp")),
    )


def requests(spec: Json) -> dict[str, int]:
    """What the pod asks of a node: its containers and side-cars together, or more if an init container needs it.

    Source: kubernetes component-helpers/resource, PodRequests.
    """
    total = _sum(_request(container) for container in spec.get("containers") or ())
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        own = _request(container)
        if container.get("restartPolicy") == "Always":
            total, sidecars = _sum((total, own)), _sum((sidecars, own))
            own = sidecars
        else:
            own = _sum((own, sidecars))
        peak = _peak(peak, own)
    overhead = {name: units(name, value) for name, value in (spec.get("overhead") or {}).items()}
    return _sum((_peak(total, peak), overhead))


def scored_request(spec: Json) -> tuple[int, int]:
    """(cpu millis, memory bytes) with a nominal weight for each container that asks for nothing."""
    cpu = memory = 0
    for container in spec.get("containers") or ():
        own = _request(container)
        cpu += own.get("cpu", SCORED_CPU_MILLIS)
        memory += own.get("memory", SCORED_MEMORY_BYTES)
    total = requests(spec)
    return max(cpu, total.get("cpu", 0)), max(memory, total.get("memory", 0))


def host_ports(spec: Json) -> tuple[Port, ...]:
    """The ports of the node itself that the pod takes."""
    return tuple(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        for port in container.get("ports") or ()
        if port.get("hostPort")
        and (container in (spec.get("containers") or ()) or container.get("restartPolicy") == "Always")
    )


def _request(container: Json) -> dict[str, int]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: units(name, value) for name, value in asked.items()}


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    return total


def _peak(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


def _terms(affinity: Json | None, namespace: str) -> tuple[PodTerm, ...]:
    items = (affinity or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(_term(item, namespace) for item in items)


def _preferred(affinity: Json | None, namespace: str, *, sign: int) -> tuple[PodTerm, ...]:
    items = (affinity or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(_term(item["podAffinityTerm"], namespace, weight=sign * item["weight"]) for item in items)


def _term(item: Json, namespace: str, *, weight: int = 1) -> PodTerm:
    names = item.get("namespaces") or ()
    chosen = item.get("namespaceSelector")
    return PodTerm(
        topology_key=item["topologyKey"],
        selector=item.get("labelSelector"),
        namespaces=frozenset(names if names or chosen is not None else (namespace,)),
        namespace_selector=chosen,
        weight=weight,
    )
