"""May this pod go on that node? The default scheduler's filters, in its order and in its words. Pure.

A node is rejected by the first filter that objects; a filter may give several reasons. Source: kubernetes
pkg/scheduler/framework/plugins, v1.32.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fakes.kube.scheduler.affinity import PodAffinity
from fakes.kube.scheduler.nodes import NodeState
from fakes.kube.scheduler.pod import PodFacts, Port
from fakes.kube.scheduler.spread import Spread

Json: TypeAlias = dict[str, Any]

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
HARD_EFFECTS = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node will not do. `curable`: fewer pods on the node might change that, so preemption is worth a look."""

    plugin: str
    reasons: tuple[str, ...]
    curable: bool = False


def check(pod: PodFacts, node: NodeState, affinity: PodAffinity, spread: Spread) -> Rejection | None:
    """None when the pod may go there. `affinity` and `spread` were computed for this pod over all nodes."""
    return (
        _unschedulable(pod, node)
        or _node_name(pod, node)
        or _taints(pod, node)
        or _node_affinity(pod, node)
        or _ports(pod, node)
        or _fit(pod, node)
        or _spread(spread, node)
        or _pod_affinity(affinity, node)
    )


def _unschedulable(pod: PodFacts, node: NodeState) -> Rejection | None:
    if not node.unschedulable or tolerates(pod.tolerations, UNSCHEDULABLE_TAINT):
        return None
    return Rejection("NodeUnschedulable", ("node(s) were unschedulable",))


def _node_name(pod: PodFacts, node: NodeState) -> Rejection | None:
    if not pod.node_name or pod.node_name == node.name:
        return None
    return Rejection("NodeName", ("node(s) didn't match the requested node name",))


def _taints(pod: PodFacts, node: NodeState) -> Rejection | None:
    for taint in node.taints:
        if taint.get("effect") in HARD_EFFECTS and not tolerates(pod.tolerations, taint):
            text = f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
            return Rejection("TaintToleration", (text,))
    return None


def tolerates(tolerations: Iterable[Json], taint: Mapping[str, Any]) -> bool:
    """Does any toleration cover the taint? `tolerationSeconds` plays no part."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Json, taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    # An empty key goes with Exists alone; the API refuses it with Equal.
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _node_affinity(pod: PodFacts, node: NodeState) -> Rejection | None:
    if required_nodes_match(pod, node):
        return None
    return Rejection("NodeAffinity", ("node(s) didn't match Pod's node affinity/selector",))


def required_nodes_match(pod: PodFacts, node: NodeState) -> bool:
    """nodeSelector and the required node affinity together."""
    if any(node.labels.get(name) != value for name, value in pod.node_selector.items()):
        return False
    return pod.required_nodes is None or any(node_term_matches(term, node) for term in pod.required_nodes)


def node_term_matches(term: Json, node: NodeState) -> bool:
    """One `nodeSelectorTerm`; an empty one matches nothing."""
    labels, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not labels and not fields:
        return False
    return all(_expression(item, node.labels) for item in labels) and all(
        _expression(item, {"metadata.name": node.name}) for item in fields
    )


def _expression(item: Json, values: Mapping[str, str]) -> bool:
    key, wanted = item["key"], item.get("values") or ()
    match item["operator"]:
        case "In":
            return key in values and values[key] in wanted
        case "NotIn":
            return key not in values or values[key] not in wanted
        case "Exists":
            return key in values
        case "DoesNotExist":
            return key not in values
        case "Gt":
            return _compares(values.get(key), wanted, greater=True)
        case "Lt":
            return _compares(values.get(key), wanted, greater=False)
        case _:
            return False


def _compares(value: str | None, wanted: Iterable[str], *, greater: bool) -> bool:
    try:
        have, limit = int(value or ""), int(next(iter(wanted), ""))
    except ValueError:
        return False
    return have > limit if greater else have < limit


def _ports(pod: PodFacts, node: NodeState) -> Rejection | None:
    if not pod.ports:
        return None
    taken = list(node.ports())
    if not any(_clash(wanted, held) for wanted in pod.ports for held in taken):
        return None
    return Rejection("NodePorts", ("node(s) didn't have free ports for the requested pod ports",), curable=True)


def _clash(one: Port, other: Port) -> bool:
    same_address = one[0] == other[0] or "0.0.0.0" in (one[0], other[0])
    return same_address and one[1:] == other[1:]


_BUILT_IN = ("cpu", "memory", "ephemeral-storage")


def _fit(pod: PodFacts, node: NodeState) -> Rejection | None:
    reasons, curable = [], True
    if len(node.pods) + 1 > node.allocatable.get("pods", 0):
        reasons.append("Too many pods")
    for name in (*_BUILT_IN, *sorted(pod.requests.keys() - {*_BUILT_IN, "pods"})):
        wanted, size = pod.requests.get(name, 0), node.allocatable.get(name, 0)
        if wanted > 0 and wanted > size - node.used.get(name, 0):
            reasons.append(f"Insufficient {name}")
            # Larger than the whole node: no victim could ever make room.
            curable = curable and wanted <= size
    return Rejection("NodeResourcesFit", tuple(reasons), curable=curable) if reasons else None


def _spread(spread: Spread, node: NodeState) -> Rejection | None:
    match spread.verdict(node):
        case "missing":
            text = "node(s) didn't match pod topology spread constraints (missing required label)"
            return Rejection("PodTopologySpread", (text,))
        case "skewed":
            text = "node(s) didn't match pod topology spread constraints"
            return Rejection("PodTopologySpread", (text,), curable=True)
        case _:
            return None


def _pod_affinity(affinity: PodAffinity, node: NodeState) -> Rejection | None:
    if not affinity.attracted(node):
        return Rejection("InterPodAffinity", ("node(s) didn't match pod affinity rules",))
    if affinity.repelled(node):
        return Rejection("InterPodAffinity", ("node(s) didn't match pod anti-affinity rules",), curable=True)
    if affinity.unwelcome(node):
        text = "node(s) didn't satisfy existing pods anti-affinity rules"
        return Rejection("InterPodAffinity", (text,), curable=True)
    return None
