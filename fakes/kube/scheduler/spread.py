"""Topology spread constraints with `DoNotSchedule`. Pure; computed once per scheduling attempt."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

from fakes.kube.reads import selects
from fakes.kube.scheduler.nodes import NodeState
from fakes.kube.scheduler.pod import PodFacts

Json: TypeAlias = dict[str, Any]
Verdict: TypeAlias = Literal["fine", "missing", "skewed"]


class Spread:
    """How many pods like the newcomer each domain holds, per hard constraint.

    `counts_node(pod, node)`: may the pod's own selector and affinity use the node at all; others form no domain
    (`nodeAffinityPolicy: Honor`, the default).
    """

    def __init__(
        self, pod: PodFacts, nodes: Iterable[NodeState], counts_node: Callable[[PodFacts, NodeState], bool]
    ) -> None:
        self._pod = pod
        self._hard = [item for item in pod.spread if item.get("whenUnsatisfiable") == "DoNotSchedule"]
        self._counts: list[Counter[str]] = [Counter() for _ in self._hard]
        if self._hard:
            for node in nodes:
                if counts_node(pod, node) and all(item["topologyKey"] in node.labels for item in self._hard):
                    self._count(node)

    def verdict(self, node: NodeState) -> Verdict:
        """Would the pod on this node keep every hard constraint?"""
        for item, counts in zip(self._hard, self._counts, strict=True):
            domain = node.labels.get(item["topologyKey"])
            if domain is None:
                return "missing"
            least = min(counts.values(), default=0) if len(counts) >= (item.get("minDomains") or 1) else 0
            itself = int(selects(item.get("labelSelector"), dict(self._pod.labels)))
            if counts[domain] + itself - least > item["maxSkew"]:
                return "skewed"
        return "fine"

    def _count(self, node: NodeState) -> None:
        for item, counts in zip(self._hard, self._counts, strict=True):
            counts[node.labels[item["topologyKey"]]] += sum(
                1
                for pod in node.pods.values()
                if pod.namespace == self._pod.namespace
                and not pod.deleting
                and selects(item.get("labelSelector"), dict(pod.labels))
            )
