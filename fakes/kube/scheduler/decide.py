"""One scheduling decision: a pod and all nodes in, a node or the reasons out. Pure.

Nominated pods (those that wait on a node for their victims to go) count as placed for pods of no higher priority.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fakes.kube.scheduler import message
from fakes.kube.scheduler.affinity import NamespaceLabels, PodAffinity
from fakes.kube.scheduler.filters import Rejection, check, required_nodes_match
from fakes.kube.scheduler.nodes import NodeState
from fakes.kube.scheduler.pod import PodFacts
from fakes.kube.scheduler.scores import best
from fakes.kube.scheduler.spread import Spread

Nominations = Mapping[str, Iterable[PodFacts]]
"""node name → pods nominated to it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the pod goes, or why nowhere: `rejections` by node name, `outside` the nodes its matchFields rule out."""

    node: str = ""
    rejections: Mapping[str, Rejection] | None = None
    outside: int = 0

    def reasons(self) -> list[str]:
        """One entry per node and reason."""
        found = [reason for rejection in (self.rejections or {}).values() for reason in rejection.reasons]
        return found + ["node(s) didn't satisfy plugin(s) [NodeAffinity]"] * self.outside

    def plugins(self) -> frozenset[str]:
        """The filters that rejected any node."""
        names = {rejection.plugin for rejection in (self.rejections or {}).values()}
        return frozenset(names | {"NodeAffinity"} if self.outside else names)


class Round:
    """One attempt for one pod over the nodes as they are now."""

    def __init__(
        self, pod: PodFacts, nodes: list[NodeState], nominations: Nominations, namespace_labels: NamespaceLabels
    ) -> None:
        self.pod = pod
        self.nodes = nodes
        self._labels = namespace_labels
        self._nominations = nominations
        self._affinity = PodAffinity(pod, nodes, namespace_labels)
        self._spread = Spread(pod, nodes, required_nodes_match)

    def outcome(self) -> Outcome:
        """The best node, or every node's objection."""
        named = named_nodes(self.pod)
        eligible = [node for node in self.nodes if named is None or node.name in named]
        rejections: dict[str, Rejection] = {}
        fitting = []
        for node in eligible:
            rejection = self._check(node)
            if rejection is None:
                fitting.append(node)
            else:
                rejections[node.name] = rejection
        if fitting:
            return Outcome(node=best(self.pod, fitting, self._affinity).name)
        return Outcome(rejections=rejections, outside=len(self.nodes) - len(eligible))

    def fits_without(self, node: NodeState) -> Rejection | None:
        """Would the pod go on `node`, a changed copy of one of the nodes? Affinity is counted anew if it matters."""
        changed = [node if other.name == node.name else other for other in self.nodes]
        return Round(self.pod, changed, self._nominations, self._labels)._check(node)

    def _check(self, node: NodeState) -> Rejection | None:
        rivals = [
            pod
            for pod in self._nominations.get(node.name, ())
            if pod.uid != self.pod.uid and pod.priority >= self.pod.priority and pod.uid not in node.pods
        ]
        if rivals:
            crowded = node.copy()
            for pod in rivals:
                crowded.add(pod)
            rejection = check(self.pod, crowded, self._affinity, self._spread)
            if rejection is not None:
                return rejection
        return check(self.pod, node, self._affinity, self._spread)


def named_nodes(pod: PodFacts) -> frozenset[str] | None:
    """The node names the pod's required affinity pins it to by `metadata.name`; None when any term leaves them open."""
    if not pod.required_nodes:
        return None
    names: set[str] = set()
    for term in pod.required_nodes:
        pinned = [
            set(item.get("values") or ())
            for item in term.get("matchFields") or ()
            if item["key"] == "metadata.name" and item["operator"] == "In"
        ]
        if not pinned:
            return None
        names |= set.intersection(*pinned)
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class Preemption:
    """Which pods to evict from which node; without a node, `text` says why it would not help."""

    node: str = ""
    victims: tuple[PodFacts, ...] = ()
    text: str = ""


def preempt(attempt: Round, outcome: Outcome, protected: Callable[[PodFacts], bool]) -> Preemption:
    """Find the node where evicting the least important pods of lower priority makes room.

    protected: pods to spare while others will do (those a PodDisruptionBudget covers).
    Source: kubernetes pkg/scheduler/framework/preemption and plugins/defaultpreemption.
    """
    candidates: list[Preemption] = []
    broken: dict[str, int] = {}
    reasons = [message.NOT_HELPFUL] * outcome.outside
    for node in attempt.nodes:
        rejection = (outcome.rejections or {}).get(node.name)
        if rejection is None:
            continue
        if not rejection.curable:
            reasons.append(message.NOT_HELPFUL)
            continue
        found = _victims(attempt, node, protected)
        if isinstance(found, Rejection):
            reasons.extend(found.reasons)
        else:
            candidates.append(Preemption(node.name, found))
            broken[node.name] = sum(1 for victim in found if protected(victim))
    if candidates:
        return min(candidates, key=lambda one: _cost(one, broken[one.node]))
    return Preemption(text=f"preemption: {message.fit_error(len(attempt.nodes), reasons)}")


def _victims(
    attempt: Round, node: NodeState, protected: Callable[[PodFacts], bool]
) -> tuple[PodFacts, ...] | Rejection:
    """The pods to evict from `node`, most important first: all lower ones off, then as many back as still fit."""
    lower = [pod for pod in node.pods.values() if pod.priority < attempt.pod.priority]
    if not lower:
        return Rejection("DefaultPreemption", (message.NO_VICTIMS,))
    trial = node.copy()
    for pod in lower:
        trial.remove(pod.uid)
    rejection = attempt.fits_without(trial)
    if rejection is not None:
        return rejection
    victims = []
    for pod in sorted(lower, key=lambda one: (not protected(one), -one.priority, one.start, one.name)):
        trial.add(pod)
        if attempt.fits_without(trial) is not None:
            trial.remove(pod.uid)
            victims.append(pod)
    return tuple(sorted(victims, key=lambda one: (-one.priority, one.start)))


def _cost(candidate: Preemption, broken: int) -> tuple[int, int, int, int, tuple[int, ...], str]:
    """Fewest broken budgets, lowest top priority, lowest sum, fewest victims, youngest, first by name."""
    if not candidate.victims:
        return broken, 0, 0, 0, (), candidate.node
    priorities = [victim.priority for victim in candidate.victims]
    top = max(priorities)
    earliest = min(victim.start for victim in candidate.victims if victim.priority == top)
    return broken, top, sum(priorities), len(priorities), tuple(-ord(char) for char in earliest), candidate.node
