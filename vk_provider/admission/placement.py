"""What is added to a pod at its creation, so that the scheduler puts it on the virtual node. Pure.

Two things: the node's label as a required node affinity, and a toleration of the node's taint. Both are merged with
what the pod has, and nothing is added twice. Who is sent there is said by selectors of labels, of the pod and of its
namespace; `policy.py` and `webhook.py` hand these to the API server, which asks only about pods that they choose.

Sources: Kubernetes, pkg/apis/core/v1/helper (ToleratesTaint), component-helpers/scheduling/corev1/nodeaffinity (the
terms of a selector are ORed, an empty term matches no node); eci.md 7.2 for the labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vk_provider.model import pod as pods
from vk_provider.model.pod import Json

OPT_OUT = ("alibabacloud.com/eci", "eci")  # as a label of a pod with the value "false"
SYSTEM_NAMESPACE = "kube-system"

PREFERENCE = 100
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Target:
    """The virtual nodes: the label that they all bear, and their taint. taint_key: empty = they have none."""

    label_key: str = "type"
    label_value: str = "virtual-kubelet"
    taint_key: str = "virtual-kubelet.io/provider"
    taint_value: str = "alibabacloud"
    taint_effect: str = "NoSchedule"

    @property
    def requirement(self) -> Json:
        """Of a node selector term (core/v1 NodeSelectorRequirement)."""
        return {"key": self.label_key, "operator": "In", "values": [self.label_value]}

    @property
    def toleration(self) -> Json:
        """core/v1 Toleration, of every value and effect: which cloud the taint names is no business of the pod's."""
        return {"key": self.taint_key, "operator": "Exists"}


@dataclass(frozen=True, slots=True)
class Selector:
    """Pods that go to the virtual node. namespace, pod: labels that must be there, empty = any.

    name: a DNS label, unique among the selectors.
    """

    name: str
    namespace: Mapping[str, str] = field(default_factory=dict)
    pod: Mapping[str, str] = field(default_factory=dict)

    def matches(self, namespace_labels: Mapping[str, str], pod_labels: Mapping[str, str]) -> bool:
        return _has(namespace_labels, self.namespace) and _has(pod_labels, self.pod)


_PREFIX = r"(?=.{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/"
_LABEL_KEY = re.compile(rf"({_PREFIX})?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def are_labels(labels: Mapping[str, str]) -> bool:
    """Whether an API server takes them as `matchLabels` (apimachinery pkg/util/validation)."""
    return all(_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value) for key, value in labels.items())


DEFAULT_SELECTORS: Sequence[Selector] = (
    Selector("namespace-injection", namespace={"virtual-node-affinity-injection": "enabled"}),
    Selector("namespace-label", namespace={"alibabacloud.com/eci": "true"}),
    Selector("namespace-short-label", namespace={"eci": "true"}),
    Selector("pod-label", pod={"alibabacloud.com/eci": "true"}),
    Selector("pod-short-label", pod={"eci": "true"}),
)


def is_placed(
    pod: Json, namespace: str, namespace_labels: Mapping[str, str], selectors: Sequence[Selector] = DEFAULT_SELECTORS
) -> bool:
    """Whether a pod that is being created goes to the virtual node."""
    labels = _object(_object(pod.get("metadata")).get("labels"))
    return may_be_placed(pod, namespace) and any(one.matches(namespace_labels, labels) for one in selectors)


def may_be_placed(pod: Json, namespace: str) -> bool:
    """Whether a pod can be sent to the virtual node at all, whatever the selectors say.

    Not those of DaemonSets, each of which has a node of its own; not those that name a node; none of kube-system; none
    that says no by a label.
    """
    labels = _object(_object(pod.get("metadata")).get("labels"))
    return (
        namespace != SYSTEM_NAMESPACE
        and not _object(pod.get("spec")).get("nodeName")
        and not any(labels.get(key) == "false" for key in OPT_OUT)
        and not pods.is_daemon(pod)
    )


def patch(pod: Json, target: Target) -> list[Json]:
    """JSON patch operations (RFC 6902) that send the pod to the target; none where it goes there already."""
    spec = _object(pod.get("spec"))
    return [*_affinity(spec, target.requirement), *_tolerations(spec, target)]


def preference(pod: Json, target: Target, *, weight: int = PREFERENCE) -> list[Json]:
    """JSON patch operations by which the pod may go to the target, and goes elsewhere first; none where it does so.

    A pod that has to go to the target, or must not, by its own words is left as it is. weight: 1-100, among the
    preferences that it has already.
    """
    spec = _object(pod.get("spec"))
    node = _object(_object(spec.get("affinity")).get("nodeAffinity"))
    if any(_names(each, target) for each in _expressions(_object(node.get(_REQUIRED)).get("nodeSelectorTerms"))):
        return []
    if target.label_key in _object(spec.get("nodeSelector")):
        return []
    return [*_preferred(spec, node, target, weight), *_tolerations(spec, target)]


def _preferred(spec: Json, node: Json, target: Target, weight: int) -> list[Json]:
    elsewhere = {"key": target.label_key, "operator": "NotIn", "values": [target.label_value]}
    term = {"weight": weight, "preference": {"matchExpressions": [elsewhere]}}
    present = _list(node.get(_PREFERRED))
    if any(_names(each, target) for each in _expressions([_object(one).get("preference") for one in present])):
        return []  # it has a preference of its own
    if present:
        return [_add(f"/spec/affinity/nodeAffinity/{_PREFERRED}/-", term)]
    if spec.get("affinity") is None:
        return [_add("/spec/affinity", {"nodeAffinity": {_PREFERRED: [term]}})]
    if _object(spec["affinity"]).get("nodeAffinity") is None:
        return [_add("/spec/affinity/nodeAffinity", {_PREFERRED: [term]})]
    return [_add(f"/spec/affinity/nodeAffinity/{_PREFERRED}", [term])]


def _expressions(terms: Any) -> list[Json]:
    return [_object(each) for term in _list(terms) for each in _list(_object(term).get("matchExpressions"))]


def _names(expression: Json, target: Target) -> bool:
    return expression.get("key") == target.label_key


def _affinity(spec: Json, requirement: Json) -> list[Json]:
    term = {"matchExpressions": [requirement]}
    affinity = spec.get("affinity")
    if affinity is None:
        return [_add("/spec/affinity", {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [term]}}})]
    node = _object(affinity).get("nodeAffinity")
    if node is None:
        return [_add("/spec/affinity/nodeAffinity", {_REQUIRED: {"nodeSelectorTerms": [term]}})]
    path = f"/spec/affinity/nodeAffinity/{_REQUIRED}"
    required = _object(node).get(_REQUIRED)
    if required is None:
        return [_add(path, {"nodeSelectorTerms": [term]})]
    operations = []
    for place, each in enumerate(_list(_object(required).get("nodeSelectorTerms"))):
        expressions = _list(_object(each).get("matchExpressions"))
        if requirement in expressions or not (expressions or _object(each).get("matchFields")):
            continue  # an empty term matches no node, and with ours it would match some
        at = f"{path}/nodeSelectorTerms/{place}/matchExpressions"
        operations.append(_add(f"{at}/-", requirement) if expressions else _add(at, [requirement]))
    return operations


def _tolerations(spec: Json, target: Target) -> list[Json]:
    present = _list(spec.get("tolerations"))
    if not target.taint_key or any(_tolerates(_object(each), target) for each in present):
        return []
    if present:
        return [_add("/spec/tolerations/-", target.toleration)]
    return [_add("/spec/tolerations", [target.toleration])]


def _tolerates(toleration: Json, target: Target) -> bool:
    """As the scheduler has it. One that ends after some seconds tolerates a NoSchedule taint all the same."""
    if toleration.get("effect") not in (None, "", target.taint_effect):
        return False
    if toleration.get("key") not in (None, "", target.taint_key):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return toleration.get("key") == target.taint_key and (toleration.get("value") or "") == target.taint_value


def _add(path: str, value: object) -> Json:
    return {"op": "add", "path": path, "value": value}


def _has(labels: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
