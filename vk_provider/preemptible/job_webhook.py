"""The rules for preemptible Jobs as a webhook: what a Job gets added, and what is refused, in words for people. Pure.

Jobs are changed and never Pods: the plug-in that resolves a PriorityClass runs before webhooks, and would refuse a Pod
whose class came later. Explicit zeros keep a namespace's defaults for cpu and memory away, whether it has any or not:
to know that would take the right to read every LimitRange.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection

from vk_provider import bounds
from vk_provider.admission.placement import Target
from vk_provider.admission.webhook import TIMEOUT_S, BadReview
from vk_provider.idle.admission import check, job_patch
from vk_provider.model.pod import Json

NAME = "preemptible.virtual-node-placement.vk-provider.io"
PATH = "/preemptible"


def configured(client: Json, own_namespace: str) -> Json:
    """One of a MutatingWebhookConfiguration's webhooks."""
    return {
        "name": NAME,
        "admissionReviewVersions": ["v1"],
        "clientConfig": client,
        "failurePolicy": "Ignore",  # what it lets through is refused once more when a pod is bound
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_S,
        "rules": [
            {
                "apiGroups": ["batch"],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["jobs", "cronjobs"],
                "scope": "Namespaced",
            },
            {
                "apiGroups": ["apps"],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["deployments", "statefulsets", "daemonsets", "replicasets"],
                "scope": "Namespaced",
            },
        ],
        "namespaceSelector": {
            "matchExpressions": [
                {
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": ["kube-system", own_namespace],
                }
            ]
        },
        "objectSelector": {},
    }


def answer(review: object, target: Target, owner_kinds: Collection[str]) -> Json:
    """The AdmissionReview to send back. Raises BadReview."""
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise BadReview("an AdmissionReview with a request is expected")
    found = request.get("object")
    if not isinstance(found, dict):
        raise BadReview("request.object is missing")
    try:
        verdict = check(found, owner_kinds=owner_kinds)
        operations = [] if verdict.refusals else job_patch(found, target, zero_ordinary=True)
    except (TypeError, KeyError, AttributeError, ValueError) as error:  # no API server sends such an object
        raise BadReview(f"request.object is none ({type(error).__name__})") from error
    response: Json = {"uid": request["uid"], "allowed": not verdict.refusals}
    if verdict.warnings:
        response["warnings"] = [bounds.shortened(each, 250) for each in verdict.warnings]
    if verdict.refusals:
        text = "; ".join(f"{each.field}: {each.reason}" for each in verdict.refusals)
        response["status"] = {
            "code": 403,
            "reason": "Forbidden",
            "message": bounds.shortened(text, bounds.MOST_MESSAGE),
        }
    elif operations and request.get("operation") == "CREATE":
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
