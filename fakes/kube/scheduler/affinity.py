"""Inter-pod affinity: who is near whom, by topology domain. Pure.

Computed once per scheduling attempt; costs a look at every pod only when the newcomer itself has affinity terms, else a
look at the placed pods with required anti-affinity.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from fakes.kube.reads import selects
from fakes.kube.scheduler.nodes import NodeState
from fakes.kube.scheduler.pod import PodFacts, PodTerm

Domain: TypeAlias = tuple[str, str]
"""(topology key, its value)."""
NamespaceLabels: TypeAlias = Callable[[str], Mapping[str, str]]


class PodAffinity:
    """What the placed pods mean for one newcomer."""

    def __init__(self, pod: PodFacts, nodes: Iterable[NodeState], namespace_labels: NamespaceLabels) -> None:
        self._pod = pod
        self._labels = namespace_labels
        self._near: Counter[Domain] = Counter()
        self._away: Counter[Domain] = Counter()
        self._unwelcome: Counter[Domain] = Counter()
        self._wished: Counter[Domain] = Counter()
        for node in nodes:
            self._survey(node)

    def attracted(self, node: NodeState) -> bool:
        """Does every required affinity term find its pods in the node's domain?

        The first pod of a group that wants to be together may go anywhere: nothing matches yet, but it would itself.
        """
        terms = self._pod.affinity
        if any(term.topology_key not in node.labels for term in terms):
            return False
        if all(self._near[_domain(term, node)] for term in terms):
            return True
        return not self._near and self._all_match(terms, self._pod)

    def repelled(self, node: NodeState) -> bool:
        """Is there a pod in the node's domain that the newcomer's required anti-affinity forbids?"""
        return any(
            self._away[_domain(term, node)] for term in self._pod.anti_affinity if term.topology_key in node.labels
        )

    def unwelcome(self, node: NodeState) -> bool:
        """Is there a pod in the node's domain whose required anti-affinity forbids the newcomer?"""
        return any(self._unwelcome[(key, value)] for key, value in node.labels.items()) if self._unwelcome else False

    def score(self, node: NodeState) -> int:
        """Sum of the preferred terms' weights over the pods of the node's domains."""
        return sum(self._wished[(key, value)] for key, value in node.labels.items()) if self._wished else 0

    def _survey(self, node: NodeState) -> None:
        for other in node.repelling.values():
            for term in other.anti_affinity:
                if term.topology_key in node.labels and self._matches(term, self._pod):
                    self._unwelcome[_domain(term, node)] += 1
        if not (self._pod.affinity or self._pod.anti_affinity or self._pod.preferred_pods):
            return
        for other in node.pods.values():
            self._meet(other, node)

    def _meet(self, other: PodFacts, node: NodeState) -> None:
        if self._pod.affinity and self._all_match(self._pod.affinity, other):
            for term in self._pod.affinity:
                if term.topology_key in node.labels:
                    self._near[_domain(term, node)] += 1
        for term in self._pod.anti_affinity:
            if term.topology_key in node.labels and self._matches(term, other):
                self._away[_domain(term, node)] += 1
        for term in self._pod.preferred_pods:
            if term.topology_key in node.labels and self._matches(term, other):
                self._wished[_domain(term, node)] += term.weight

    def _all_match(self, terms: Iterable[PodTerm], pod: PodFacts) -> bool:
        return all(self._matches(term, pod) for term in terms)

    def _matches(self, term: PodTerm, pod: PodFacts) -> bool:
        if pod.namespace not in term.namespaces and not (
            term.namespace_selector is not None and selects(term.namespace_selector, dict(self._labels(pod.namespace)))
        ):
            return False
        return selects(term.selector, dict(pod.labels))


def _domain(term: PodTerm, node: NodeState) -> Domain:
    return term.topology_key, node.labels[term.topology_key]
