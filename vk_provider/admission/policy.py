"""`placement.py` as a MutatingAdmissionPolicy, which the API server carries out by itself: Kubernetes 1.36 or newer.

Pure. One policy says what is done to a pod, one binding for each selector says to which. A table of pods is put to both
forms on a real API server (tests/contract/kube/placement), so that they cannot differ.

Source: kubernetes.io, "Mutating Admission Policy"; staging/src/k8s.io/apiserver/pkg/cel/environment for what CEL has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from vk_provider.admission.placement import DEFAULT_SELECTORS, OPT_OUT, SYSTEM_NAMESPACE, Selector, Target
from vk_provider.model.pod import Json

NAME = "virtual-node-placement.vk-provider.io"
API_VERSION = "admissionregistration.k8s.io/v1"

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PATH = f"/spec/affinity/nodeAffinity/{_REQUIRED}"


def manifests(
    target: Target, selectors: Sequence[Selector] = DEFAULT_SELECTORS, *, own_namespace: str = "vk-provider"
) -> list[Json]:
    """The policy and its bindings. own_namespace: the provider's, whose pods cannot run on a node that they make."""
    return [_policy(target, own_namespace), *map(binding, selectors)]


def namespace_requirements(own_namespace: str) -> list[Json]:
    """Of a label selector of namespaces: none of those that the cluster's own life hangs on.

    Kubernetes puts this label on every namespace since 1.21; one without it matches, and is left to `may_be_placed`.
    """
    key = "kubernetes.io/metadata.name"
    return [{"key": key, "operator": "NotIn", "values": [SYSTEM_NAMESPACE, own_namespace]}]


def pod_requirements() -> list[Json]:
    """Of a label selector of pods: none that says no. A pod without such a label matches."""
    return [{"key": key, "operator": "NotIn", "values": ["false"]} for key in OPT_OUT]


def _policy(target: Target, own_namespace: str) -> Json:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    mutations = [_affinity_patches(target)]
    if target.taint_key:
        mutations.append(_toleration_patches(target))
    return {
        "apiVersion": API_VERSION,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Ignore",  # a pod that goes elsewhere is better than none
            "reinvocationPolicy": "IfNeeded",
            "matchConstraints": {
                "resourceRules": [rule],
                "namespaceSelector": {"matchExpressions": namespace_requirements(own_namespace)},
                "objectSelector": {"matchExpressions": pod_requirements()},
            },
            "matchConditions": [
                {"name": "names-no-node", "expression": "!has(object.spec.nodeName) || object.spec.nodeName == ''"},
                {
                    "name": "of-no-daemon-set",
                    "expression": "!has(object.metadata.ownerReferences) || !object.metadata.ownerReferences.exists("
                    "o, has(o.controller) && o.controller && o.kind == 'DaemonSet')",
                },
            ],
            "variables": _variables(),
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": each}} for each in mutations],
        },
    }


def binding(selector: Selector) -> Json:
    """Says that the policy is carried out on the pods that a selector chooses."""
    resources = {
        name: {"matchLabels": dict(labels)}
        for name, labels in (("namespaceSelector", selector.namespace), ("objectSelector", selector.pod))
        if labels
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": f"{selector.name}.{NAME}"},
        "spec": {"policyName": NAME, **({"matchResources": resources} if resources else {})},
    }


def _variables() -> list[Json]:
    terms = f"object.spec.affinity.nodeAffinity.{_REQUIRED}"
    return [
        {"name": "hasAffinity", "expression": "has(object.spec.affinity)"},
        {
            "name": "hasNodeAffinity",
            "expression": "variables.hasAffinity && has(object.spec.affinity.nodeAffinity)",
        },
        {"name": "hasTerms", "expression": f"variables.hasNodeAffinity && has({terms})"},
        {"name": "terms", "expression": f"variables.hasTerms ? {terms}.nodeSelectorTerms : []"},
        {"name": "hasTolerations", "expression": "has(object.spec.tolerations) && size(object.spec.tolerations) > 0"},
    ]


def _affinity_patches(target: Target) -> str:
    requirement = _cel(target.requirement)
    terms = {"nodeSelectorTerms": [{"matchExpressions": [target.requirement]}]}
    required = {_REQUIRED: terms}
    has_ours = (
        f"t.matchExpressions.exists(e, e.key == {_cel(target.label_key)} && e.operator == 'In' && has(e.values)"
        f" && e.values == [{_cel(target.label_value)}])"
    )
    has_any = "has(t.matchExpressions) && size(t.matchExpressions) > 0"
    is_empty = f"!({has_any}) && !(has(t.matchFields) && size(t.matchFields) > 0)"
    at = f"'{_PATH}/nodeSelectorTerms/' + string(i) + '/matchExpressions'"
    return f"""\
!variables.hasAffinity
  ? [JSONPatch{{op: 'add', path: '/spec/affinity', value: {_cel({"nodeAffinity": required})}}}]
: !variables.hasNodeAffinity
  ? [JSONPatch{{op: 'add', path: '/spec/affinity/nodeAffinity', value: {_cel(required)}}}]
: !variables.hasTerms
  ? [JSONPatch{{op: 'add', path: '{_PATH}', value: {_cel(terms)}}}]
: variables.terms.transformList(i, t, !({is_empty}) && !({has_any} && {has_ours}),
    {has_any}
      ? JSONPatch{{op: 'add', path: {at} + '/-', value: {requirement}}}
      : JSONPatch{{op: 'add', path: {at}, value: [{requirement}]}})
"""


def _toleration_patches(target: Target) -> str:
    key, value, effect = (_cel(each) for each in (target.taint_key, target.taint_value, target.taint_effect))
    toleration = _cel(target.toleration)
    return f"""\
variables.hasTolerations && object.spec.tolerations.exists(t,
    (!has(t.effect) || t.effect in ['', {effect}])
    && (!has(t.key) || t.key in ['', {key}])
    && (has(t.operator) && t.operator == 'Exists'
        || has(t.key) && t.key == {key} && (has(t.value) ? t.value : '') == {value}))
  ? []
: variables.hasTolerations
  ? [JSONPatch{{op: 'add', path: '/spec/tolerations/-', value: {toleration}}}]
  : [JSONPatch{{op: 'add', path: '/spec/tolerations', value: [{toleration}]}}]
"""


def _cel(value: object) -> str:
    """A CEL literal. Values of a map are made `dyn`, for CEL's literals hold values of one type only."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: dyn({_cel(each)})" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_cel, value)) + "]"
    return json.dumps(value)
