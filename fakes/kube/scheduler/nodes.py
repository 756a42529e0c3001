"""Every node with what is placed on it, kept up to date change by change. Pure state, no I/O.

Always true: a pod counts on at most one node, and a node's `used` is the sum of its pods' requests.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fakes.kube.scheduler.pod import PodFacts, Port
from fakes.kube.scheduler.quantity import units

Json: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class NodeState:
    """One node: what it offers and what is on it. `known` is false while only its pods have been seen."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Json, ...] = ()
    unschedulable: bool = False
    allocatable: Mapping[str, int] = field(default_factory=dict)
    known: bool = False
    pods: dict[str, PodFacts] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    scored: tuple[int, int] = (0, 0)
    repelling: dict[str, PodFacts] = field(default_factory=dict)
    """The pods here that have required anti-affinity: the only ones a newcomer must be checked against."""

    def describe(self, node: Json) -> None:
        """Take over labels, taints and size from the node object."""
        spec = node.get("spec") or {}
        status = node.get("status") or {}
        self.labels = node["metadata"].get("labels") or {}
        self.taints = tuple(spec.get("taints") or ())
        self.unschedulable = bool(spec.get("unschedulable"))
        sizes = status.get("allocatable") or status.get("capacity") or {}
        self.allocatable = {name: units(name, value) for name, value in sizes.items()}
        self.known = True

    def add(self, pod: PodFacts) -> None:
        self.remove(pod.uid)
        self.pods[pod.uid] = pod
        self._count(pod, sign=1)
        if pod.anti_affinity:
            self.repelling[pod.uid] = pod

    def remove(self, uid: str) -> PodFacts | None:
        """Take a pod off; None when it was not here."""
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._count(pod, sign=-1)
            self.repelling.pop(uid, None)
        return pod

    def ports(self) -> Iterator[Port]:
        """Host ports taken. Read only for pods that want one."""
        for pod in self.pods.values():
            yield from pod.ports

    def copy(self) -> "NodeState":
        """A copy to try things on."""
        return NodeState(
            self.name, self.labels, self.taints, self.unschedulable, self.allocatable, self.known,
            dict(self.pods), dict(self.used), self.scored, dict(self.repelling),
        )  # fmt: skip

    def _count(self, pod: PodFacts, *, sign: int) -> None:
        for name, value in pod.requests.items():
            self.used[name] = self.used.get(name, 0) + sign * value
        self.scored = (self.scored[0] + sign * pod.scored[0], self.scored[1] + sign * pod.scored[1])


class Nodes:
    """All nodes by name, and where each pod counts."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeState] = {}
        self._place: dict[str, str] = {}

    def __len__(self) -> int:
        return sum(1 for node in self._nodes.values() if node.known)

    def all(self) -> list[NodeState]:
        """The nodes that exist, in order of first sight."""
        return [node for node in self._nodes.values() if node.known]

    def get(self, name: str) -> NodeState | None:
        node = self._nodes.get(name)
        return node if node is not None and node.known else None

    def put(self, node: Json) -> None:
        """A node appeared or changed."""
        self._at(node["metadata"]["name"]).describe(node)

    def forget(self, name: str) -> None:
        """A node is gone; its pods are remembered, should it come back."""
        node = self._nodes.get(name)
        if node is not None:
            node.known = False
            self._tidy(node)

    def place(self, pod: PodFacts, node: str) -> None:
        """Count `pod` on `node`, and nowhere else."""
        if self._place.get(pod.uid) not in (None, node):
            self.displace(pod.uid)
        self._place[pod.uid] = node
        self._at(node).add(pod)

    def displace(self, uid: str) -> bool:
        """Count the pod nowhere. Returns whether it was counted."""
        name = self._place.pop(uid, None)
        if name is None:
            return False
        node = self._nodes[name]
        node.remove(uid)
        self._tidy(node)
        return True

    def _at(self, name: str) -> NodeState:
        return self._nodes.setdefault(name, NodeState(name))

    def _tidy(self, node: NodeState) -> None:
        if not node.known and not node.pods:
            self._nodes.pop(node.name, None)
