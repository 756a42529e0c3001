"""How much processor preemptible pods may have at most: what AvoidanceActions throttle, and the cap of NodeQOS.

A pod is throttled in steps while a rule holds, and gets back in steps what was taken; a new process begins with nothing
taken. Source: gocrane's AvoidanceAction (`throttle.cpuThrottle`), NodeQOS (`elasticCpuLimit.elasticNodeCpuLimit`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vk_provider.idle.fields import Fields, Notes
from vk_provider.idle.qos import AvoidanceAction, NodeQos
from vk_provider.idle.rules import RuleBook
from vk_provider.model.pod import Json
from vk_provider.qos_agent.cgroup_layout import quota_us
from vk_provider.qos_agent.pod_roles import NodePod

_ALL_BACK = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuThrottle:
    """least, step: shares (0-1), of a pod's gocrane.io/cpu and of what it has now."""

    action: str
    least: float = 0.0
    step: float = 0.1


def cpu_throttle(document: Json) -> CpuThrottle | None:
    """Of an AvoidanceAction; None where it does not throttle the processor."""
    whole = Fields(document, "", Notes())
    name, throttle = whole.fields("metadata").text("name"), whole.fields("spec").fields("throttle")
    if not name or "cpuThrottle" not in throttle:
        return None
    cpu = throttle.fields("cpuThrottle")
    least = cpu.whole("minCPURatio", 0, least=0, most=100) / 100
    step = cpu.whole("stepCPURatio", 10, least=0, most=100) / 100
    return CpuThrottle(action=name, least=least, step=step)


class Throttling:
    """What is left of each throttled pod, as a share of its gocrane.io/cpu. Bounded by the pods there are."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}
        self._rules = RuleBook()

    def evaluate(
        self,
        now_s: float,
        *,
        objects: Sequence[NodeQos],
        throttles: Mapping[str, CpuThrottle],
        metrics: Mapping[str, float],
        pods: Iterable[NodePod],
        is_allowed: Callable[[str, NodePod], bool],
    ) -> Mapping[str, float]:
        """uid → share of its gocrane.io/cpu that a pod may use. Called once in ten seconds, as rules are.

        is_allowed: (action, pod) → whether some PodQOS of the pod lists it.
        """
        actions = {name: AvoidanceAction(name=name, evicts=True) for name in throttles}
        holding = {action.name for _, action in self._rules.evaluate(now_s, objects, actions, metrics).reclaiming}
        left = dict[str, float]()
        for pod in pods:
            allowed = [each for each in throttles.values() if is_allowed(each.action, pod)]
            if allowed and pod.is_preemptible:
                acting = [each for each in allowed if each.action in holding]
                left[pod.uid] = _next(self._left.get(pod.uid, 1.0), acting, allowed)
        self._left = {uid: share for uid, share in left.items() if share < 1.0}
        return dict(self._left)


def _next(share: float, acting: Sequence[CpuThrottle], allowed: Sequence[CpuThrottle]) -> float:
    if acting:
        return min(max(min(share, 1.0) * (1 - each.step), min(each.least, share)) for each in acting)
    grown = share * (1 + max(min(each.step for each in allowed), 0.01))
    return 1.0 if grown >= _ALL_BACK else max(grown, 0.01)


def quotas(
    pods: Iterable[NodePod], shares: Mapping[str, float], *, all_cpu: float, most_share: float
) -> Mapping[str, int]:
    """uid → microseconds per period, of those pods that are limited.

    most_share: of the node's processors that all preemptible pods may use together, divided by what they request.
    """
    yielding = [pod for pod in pods if pod.is_preemptible]
    requested = sum(max(1, pod.amount.cpu) for pod in yielding)
    found = dict[str, int]()
    for pod in yielding:
        limits = [shares[pod.uid] * max(1, pod.amount.cpu)] if pod.uid in shares else []
        if most_share < 1:
            limits.append(all_cpu * most_share * max(1, pod.amount.cpu) / requested)
        if limits:
            found[pod.uid] = quota_us(min(limits))
    return found
