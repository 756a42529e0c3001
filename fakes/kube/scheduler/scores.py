"""Which of the nodes that will do is best. Pure; weights are the default profile's."""

from collections.abc import Sequence

from fakes.kube.scheduler.affinity import PodAffinity
from fakes.kube.scheduler.filters import node_term_matches, tolerates
from fakes.kube.scheduler.nodes import NodeState
from fakes.kube.scheduler.pod import PodFacts

TAINT_WEIGHT, NODE_AFFINITY_WEIGHT, POD_AFFINITY_WEIGHT, LEAST_ALLOCATED_WEIGHT = 3, 2, 2, 1
TOP = 100


def best(pod: PodFacts, nodes: Sequence[NodeState], affinity: PodAffinity) -> NodeState:
    """The node with the highest total; of equals, the first by name. `nodes` must not be empty."""
    if len(nodes) == 1:
        return nodes[0]
    taints = _scaled([float(_soft_taints(pod, node)) for node in nodes])
    wished = _scaled([float(_preferred(pod, node)) for node in nodes])
    company = _spanned([float(affinity.score(node)) for node in nodes])
    totals = [
        TAINT_WEIGHT * (TOP - taints[place])
        + NODE_AFFINITY_WEIGHT * wished[place]
        + POD_AFFINITY_WEIGHT * company[place]
        + LEAST_ALLOCATED_WEIGHT * _least_allocated(pod, node)
        for place, node in enumerate(nodes)
    ]
    return min(zip(totals, nodes, strict=True), key=lambda pair: (-pair[0], pair[1].name))[1]


def _soft_taints(pod: PodFacts, node: NodeState) -> int:
    return sum(
        1
        for taint in node.taints
        if taint.get("effect") == "PreferNoSchedule" and not tolerates(pod.tolerations, taint)
    )


def _preferred(pod: PodFacts, node: NodeState) -> int:
    return sum(item["weight"] for item in pod.preferred_nodes if node_term_matches(item["preference"], node))


def _least_allocated(pod: PodFacts, node: NodeState) -> float:
    """Mean free share of cpu and memory once the pod is there, 0 to 100."""
    shares = []
    for name, used, asked in zip(("cpu", "memory"), node.scored, pod.scored, strict=True):
        size = node.allocatable.get(name, 0)
        shares.append(max(0.0, (size - used - asked) / size) if size else 0.0)
    return TOP * sum(shares) / len(shares)


def _scaled(values: list[float]) -> list[float]:
    top = max(values)
    return [TOP * value / top if top else 0.0 for value in values]


def _spanned(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [TOP * (value - low) / (high - low) if high > low else 0.0 for value in values]
