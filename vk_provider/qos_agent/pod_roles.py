"""What a pod is to the agent: who yields, who shares, who is regular, and which control group is the pod's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vk_provider.idle.qos import PodRules
from vk_provider.idle.resources import NOTHING, Amount, is_preemptible, requested
from vk_provider.idle.selectors import PodFacts
from vk_provider.idle.victims import LOWEST
from vk_provider.model.pod import (
    MIRROR_ANNOTATION,
    Json,
    containers_of,
    init_containers_of,
    is_deleting,
    is_sidecar,
    is_terminal,
    uid_of,
)
from vk_provider.model.quantity import parse
from vk_provider.qos_agent.cgroup_layout import BEST_EFFORT, BURSTABLE, GUARANTEED, Layout
from vk_provider.qos_agent.readings import Name
from vk_provider.qos_agent.weights import PodGroup, Role

_CLASSES = frozenset({BEST_EFFORT, BURSTABLE, GUARANTEED})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePod:
    """One pod of the node that has not ended. group_uid: by which its control group is named. amount: what it requests
    of idle capacity. bound_s: when it was started, epoch seconds. cpu_millis: that it requests of the ordinary kind."""

    uid: str
    group_uid: str
    name: Name
    facts: PodFacts
    role: Role
    is_preemptible: bool
    is_deleting: bool
    is_running: bool
    amount: Amount = NOTHING
    bound_s: float = 0.0
    cpu_millis: int = 0


def read(pods: Iterable[Json], rules: PodRules, *, started_s: Mapping[str, float]) -> list[NodePod]:
    """started_s: uid → when the pod came to this node, for those that say it."""
    return [_read(pod, rules, started_s) for pod in pods if not is_terminal(pod)]


def _read(pod: Json, rules: PodRules, started_s: Mapping[str, float]) -> NodePod:
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    facts = PodFacts(
        namespace=metadata["namespace"],
        labels=metadata.get("labels") or {},
        qos_class=status["qosClass"] if status.get("qosClass") in _CLASSES else BEST_EFFORT,
        priority=int(spec.get("priority") or 0),
    )
    preemptible = is_preemptible(pod)
    yields = preemptible and rules.cpu_priority(facts) >= LOWEST
    return NodePod(
        uid=uid_of(pod),
        group_uid=group_uid(pod),
        name=(metadata["namespace"], metadata["name"]),
        facts=facts,
        role=Role.YIELDS if yields else Role.SHARES if preemptible else Role.REGULAR,
        is_preemptible=preemptible,
        is_deleting=is_deleting(pod),
        is_running=status.get("phase") == "Running",
        amount=_amount(pod) if preemptible else NOTHING,
        bound_s=started_s.get(uid_of(pod), 0.0),
        cpu_millis=_cpu_millis(pod),
    )


def group_uid(pod: Mapping[str, Any]) -> str:
    """A static pod's group has the uid that its kubelet gave it, not that of its mirror in the API."""
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get(MIRROR_ANNOTATION) or pod["metadata"]["uid"])


def groups(layout: Layout, pods: Iterable[NodePod], quotas: Mapping[str, int]) -> list[PodGroup]:
    """quotas: by uid, microseconds per period."""
    return [
        PodGroup(
            uid=pod.group_uid,
            qos_class=pod.facts.qos_class,
            role=pod.role,
            kubelet_weight=layout.kubelet_weight(pod.cpu_millis),
            shares_weight=layout.kubelet_weight(pod.amount.cpu * 1000),
            is_preemptible=pod.is_preemptible,
            quota_us=quotas.get(pod.uid),
        )
        for pod in pods
    ]


def preemptible(pods: Iterable[NodePod]) -> list[NodePod]:
    return [pod for pod in pods if pod.is_preemptible]


def total_requested(pods: Iterable[NodePod]) -> Amount:
    """Of idle capacity, as the scheduler counts it."""
    return sum((pod.amount for pod in pods), NOTHING)


def _amount(pod: Json) -> Amount:
    try:
        return requested(pod)
    except ValueError:
        return NOTHING


def _cpu_millis(pod: Mapping[str, Any]) -> int:
    """What the kubelet weighs the pod's group by: all containers together, or the init container that needs more."""
    stated = _request((pod["spec"].get("resources") or {}).get("requests"))
    if stated:
        return stated
    beside, most = 0, 0
    for container in init_containers_of(pod):
        own = _request((container.get("resources") or {}).get("requests"))
        if is_sidecar(container):
            beside += own
        else:
            most = max(most, beside + own)
    running = sum(_request((each.get("resources") or {}).get("requests")) for each in containers_of(pod))
    return max(most, beside + running) + _request(pod["spec"].get("overhead"))


def _request(requests: object) -> int:
    value = requests.get("cpu") if isinstance(requests, Mapping) else None
    try:
        return 0 if value is None else max(0, int(parse(str(value)) * 1000))
    except ValueError:
        return 0
