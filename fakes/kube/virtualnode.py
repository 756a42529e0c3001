"""Sending the pods of labelled namespaces to the virtual node, as Alibaba's admission webhook does.

A pod goes there when its namespace or itself asks for it; `alibabacloud.com/eci: "false"` on the pod opts out.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

TAINT_KEY = "virtual-kubelet.io/provider"
_PROVIDER = "alibabacloud"
_REQUIREMENT = {"key": "type", "operator": "In", "values": ["virtual-kubelet"]}
_NAMESPACE_LABELS = (("virtual-node-affinity-injection", "enabled"), ("alibabacloud.com/eci", "true"), ("eci", "true"))
_POD_LABELS = (("alibabacloud.com/eci", "true"), ("eci", "true"))


def inject_affinity(pod: Json, namespace_labels: Mapping[str, str]) -> None:
    """Require the virtual node and tolerate its taint, if the labels ask for it. Changes the pod; may be repeated."""
    if not _wanted(pod, namespace_labels):
        return
    spec = pod["spec"]
    _require(spec)
    tolerations = spec.setdefault("tolerations", [])
    if not any(_tolerates(item) for item in tolerations):
        tolerations.append({"key": TAINT_KEY, "operator": "Exists"})


def _wanted(pod: Json, namespace_labels: Mapping[str, str]) -> bool:
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    owners = meta.get("ownerReferences") or ()
    if meta.get("namespace") == "kube-system" or pod["spec"].get("nodeName"):
        return False
    if any(owner.get("kind") == "DaemonSet" for owner in owners) or labels.get("alibabacloud.com/eci") == "false":
        return False
    asked = any(labels.get(key) == value for key, value in _POD_LABELS)
    return asked or any(namespace_labels.get(key) == value for key, value in _NAMESPACE_LABELS)


def _require(spec: Json) -> None:
    """Terms are alternatives, so each of them gets the requirement; what else they say stays."""
    node = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = node.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.setdefault("nodeSelectorTerms", [])
    if not terms:
        terms.append({})
    for term in terms:
        expressions = term.setdefault("matchExpressions", [])
        if _REQUIREMENT not in expressions:
            expressions.append({**_REQUIREMENT, "values": list(_REQUIREMENT["values"])})


def _tolerates(toleration: Json) -> bool:
    """Whether a toleration covers the virtual node's NoSchedule taint already."""
    key, operator = toleration.get("key", ""), toleration.get("operator", "Equal")
    if toleration.get("effect", "") not in ("", "NoSchedule"):
        return False
    if operator == "Exists":
        return key in ("", TAINT_KEY)
    return key == TAINT_KEY and toleration.get("value") == _PROVIDER
