"""Whether a pod that is bound to our node may be there by its own rules: what a kubelet asks anew of each.

Whoever binds a pod by hand, or takes a label off the node, leaves the scheduler no say. Preferences do not count, nor
do taints, which are the scheduler's.
Source: kubernetes pkg/kubelet/lifecycle/predicate.go, component-helpers/scheduling/corev1/nodeaffinity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vk_provider.errors import Refusal
from vk_provider.model.pod import Json, containers_of, init_containers_of, is_sidecar
from vk_provider.model.quantity import parse

REASON = "NodeAffinity"
_MESSAGE = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"


def suits(pod: Json, labels: Mapping[str, str], name: str) -> bool:
    """Whether its selector and its required affinity are for a node of this name with these labels."""
    return _mismatch(pod, labels, name) == ""


def refusals(pod: Json, node: Json | None) -> Sequence[Refusal]:
    """node: ours, as the API server has it now; None = it was not asked for, or is not there, and nothing is said."""
    if node is None:
        return ()
    field = _mismatch(pod, node["metadata"].get("labels") or {}, node["metadata"]["name"])
    return (Refusal(field, _MESSAGE, kubelets=REASON),) if field else ()


def oversized(pod: Json, allocatable: Mapping[str, str]) -> Sequence[Refusal]:
    """For each resource of which the pod alone asks for more than the node has, as a kubelet would refuse it."""
    found = []
    for resource, kubelets in (("cpu", "OutOfcpu"), ("memory", "OutOfmemory")):
        requested, offered = _requested(pod, resource), allocatable.get(resource)
        if offered and requested > parse(offered):
            reason = f"the pod asks for {requested:g} of {resource}, more than the node has ({offered})"
            found.append(Refusal("spec.containers[*].resources.requests", reason, kubelets=kubelets))
    return found


def _requested(pod: Json, resource: str) -> float:
    def of(container: Json) -> float:
        text = ((container.get("resources") or {}).get("requests") or {}).get(resource)
        return float(parse(text)) if text else 0.0

    inits = init_containers_of(pod)
    lasting = sum(map(of, [*containers_of(pod), *filter(is_sidecar, inits)]))
    return max([lasting, *map(of, inits)])


def _mismatch(pod: Json, labels: Mapping[str, str], name: str) -> str:
    """The field that is against the node, or empty."""
    spec = pod["spec"]
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return "spec.nodeSelector"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None and not any(_fits(term, labels, name) for term in required.get("nodeSelectorTerms") or ()):
        return "spec.affinity.nodeAffinity"
    return ""


def _fits(term: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """A term without any requirement fits no node."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_holds(each, labels) for each in expressions) and all(
        _holds(each, {"metadata.name": name}) for each in fields
    )


def _holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values") or ()
    match requirement.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compares(operator, value, values)
        case _:
            return False


def _compares(operator: str, value: str | None, values: Sequence[str]) -> bool:
    try:
        number, bound = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return number > bound if operator == "Gt" else number < bound
