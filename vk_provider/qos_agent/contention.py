"""Which preemptible pods end because a rule of NodeQOS holds: in the order of `idle.victims`, and for no more than the
gap. A pod that is ending counts until its working set is gone, so that nobody ends twice for one gap.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vk_provider import bounds
from vk_provider.idle.qos import (
    CPU_USAGE,
    CPU_UTILIZATION,
    DISTRIBUTE,
    MEMORY_DISTRIBUTE,
    AvoidanceAction,
    Rule,
)
from vk_provider.idle.resources import Amount, bytes_quantity
from vk_provider.idle.rules import Load, gap_cpu
from vk_provider.idle.victims import Candidate, for_rule
from vk_provider.model.pod import Json
from vk_provider.model.quantity import GIB
from vk_provider.qos_agent.pod_roles import NodePod
from vk_provider.qos_agent.publication import NodeFacts
from vk_provider.qos_agent.usage import PodUsage, Usage
from vk_provider.qos_agent.weights import Role

EXCESS = 1.1  # of a gap in what is used, so that it does not open again at once
VICTIM_EVENT = "PreemptibleReclaim"
_CPU_USE = frozenset({CPU_USAGE, CPU_UTILIZATION})
_OVER_ALLOCATION = frozenset({DISTRIBUTE, MEMORY_DISTRIBUTE})


@dataclass(frozen=True, slots=True)
class Victim:
    """grace_s: None = the pod's own."""

    pod: NodePod
    message: str
    grace_s: int | None


def load(usage: Usage | None, node: NodeFacts, requested: Amount, room: Amount) -> Load:
    """What rules measure on a worker node: all that is used of it, by whomever. usage None: not known. room: see
    `publication.Evaluation`."""
    return Load(
        cpu=None if usage is None else usage.cpu,
        all_cpu=node.all_cpu,
        memory=None if usage is None else usage.memory,
        all_memory=node.all_memory,
        requested_cpu=float(requested.cpu),
        published_cpu=float(room.cpu),
        requested_memory=float(requested.memory),
        published_memory=float(room.memory),
    )


def victims(
    holding: Iterable[tuple[Rule, AvoidanceAction]],
    measured: Load,
    usage: Usage,
    pods: Sequence[NodePod],
    *,
    is_allowed: Callable[[str, NodePod], bool],
    ending: Collection[str] = (),
    spared: Collection[str] = (),
) -> list[Victim]:
    """holding: rules that hold and whose action ends pods. ending: uids of pods told to end that the API may not show
    as such yet. spared: uids of pods that cannot be ended just now, as a disruption budget forbids it."""
    chosen = dict[str, Victim]()
    for rule, action in holding:
        amounts = _amounts(rule.metric, usage, pods)
        going = sum(amounts[pod.uid] for pod in pods if pod.is_deleting or pod.uid in ending or pod.uid in chosen)
        open_ones = {
            pod.uid: pod
            for pod in pods
            if pod.role is Role.YIELDS
            and not pod.is_deleting
            and pod.uid not in {*ending, *spared, *chosen}
            and is_allowed(action.name, pod)
        }
        reclaim = for_rule(
            _gap(rule, measured),
            [_candidate(pod, amounts[uid]) for uid, pod in open_ones.items() if amounts[uid] > 0],
            releasing_cpu=going,
        )
        for each in reclaim.victims:
            why = _message(rule, measured, each.cpu, action.grace_s)
            chosen[each.uid] = Victim(open_ones[each.uid], why, action.grace_s)
    return list(chosen.values())


def eviction(pod: NodePod, grace_s: int | None) -> Json:
    """The body for `pods/eviction`: policy/v1, so that a Job's podFailurePolicy sees a DisruptionTarget."""
    options: Json = {"preconditions": {"uid": pod.uid}}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    metadata = {"namespace": pod.name[0], "name": pod.name[1]}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}


def _amounts(metric: str, usage: Usage, pods: Iterable[NodePod]) -> Mapping[str, float]:
    """uid → what ending the pod would free, in the unit of the gap: cores or bytes."""
    if metric == DISTRIBUTE:
        return {pod.uid: float(pod.amount.cpu) for pod in pods}
    if metric == MEMORY_DISTRIBUTE:
        return {pod.uid: float(pod.amount.memory) for pod in pods}
    used = {pod.uid: usage.pods.get(pod.name, PodUsage()) for pod in pods}
    is_cpu = metric in _CPU_USE
    return {uid: each.cpu if is_cpu else each.memory for uid, each in used.items()}


def _gap(rule: Rule, measured: Load) -> float:
    """In cores or bytes."""
    if rule.metric in _OVER_ALLOCATION or rule.metric in _CPU_USE:
        excess = 1.0 if rule.metric in _OVER_ALLOCATION else EXCESS
        return gap_cpu(rule, measured) * excess
    return gap_cpu(rule, measured, gib_per_cpu=1.0) * GIB * EXCESS


def _candidate(pod: NodePod, amount: float) -> Candidate:
    return Candidate(
        uid=pod.uid, cpu=amount, priority=pod.facts.priority, is_running=pod.is_running, bound_s=pod.bound_s
    )


def _message(rule: Rule, measured: Load, amount: float, grace_s: int | None) -> str:
    now = measured.metrics().get(rule.metric, 0.0)
    is_cpu = rule.metric in _CPU_USE or rule.metric == DISTRIBUTE
    freed = f"{amount:.2g} cores" if is_cpu else bytes_quantity(int(amount) // 1024**2 * 1024**2)
    within = "" if grace_s is None else f"; it has {grace_s} s to end"
    why = f"{rule.metric} is {now:.4g}, over {rule.value:g}, and this pod holds {freed}"
    return bounds.shortened(f"This pod runs on idle capacity of the node, which is taken back: {why}{within}", 1_000)
