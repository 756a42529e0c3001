"""`placement.py` as a mutating webhook, for API servers before 1.36: its configuration, and an answer to a review.

Pure. The API server picks the pods by the selectors in the configuration, so a pod that no selector chooses costs no
request; with a selector added to the profile, a webhook is added to the configuration.

Sources: kubernetes.io, "Dynamic Admission Control"; staging/src/k8s.io/api/admission/v1/types.go.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from vk_provider.admission.placement import Selector, Target, may_be_placed, patch
from vk_provider.admission.policy import namespace_requirements, pod_requirements
from vk_provider.model.pod import Json

NAME = "virtual-node-placement.vk-provider.io"
PATH = "/place"
TIMEOUT_S = 5  # of the API server; a pod waits for it at most so long when nobody answers


class BadReview(ValueError):
    """What came is no AdmissionReview of a pod; the message says why."""


def configuration(client: Json, selectors: Sequence[Selector], *, own_namespace: str) -> Json:
    """The MutatingWebhookConfiguration. client: its clientConfig, as `service_client` or `url_client` makes it."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": f"{each.name}.{NAME}",
                "admissionReviewVersions": ["v1"],
                "clientConfig": client,
                "failurePolicy": "Ignore",  # a pod that goes elsewhere is better than none
                "matchPolicy": "Equivalent",
                "reinvocationPolicy": "IfNeeded",
                "sideEffects": "None",
                "timeoutSeconds": TIMEOUT_S,
                "rules": [{**rule, "scope": "Namespaced"}],
                "namespaceSelector": _selector(each.namespace, namespace_requirements(own_namespace)),
                "objectSelector": _selector(each.pod, pod_requirements()),
            }
            for each in selectors
        ],
    }


def service_client(namespace: str, name: str, authorities: bytes, *, path: str = PATH) -> Json:
    """Reached through a Service, at its port 443. authorities: PEM."""
    service = {"namespace": namespace, "name": name, "path": path, "port": 443}
    return {"service": service, "caBundle": base64.b64encode(authorities).decode()}


def url_client(base: str, authorities: bytes, *, path: str = PATH) -> Json:
    """Reached at `https://host:port`, for a provider that runs outside the cluster."""
    return {"url": base.rstrip("/") + path, "caBundle": base64.b64encode(authorities).decode()}


def answer(review: object, target: Target) -> Json:
    """The AdmissionReview to send back; it always allows. Raises BadReview."""
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(review, dict) or not isinstance(request, dict):
        raise BadReview("an AdmissionReview with a request is expected")
    version, uid, pod = review.get("apiVersion"), request.get("uid"), request.get("object")
    if version != "admission.k8s.io/v1" or review.get("kind") != "AdmissionReview":
        raise BadReview("only AdmissionReview of admission.k8s.io/v1 is known")
    if not isinstance(uid, str) or not uid:
        raise BadReview("request.uid is missing")
    response: Json = {"uid": uid, "allowed": True}
    if _is_pod_created(request) and isinstance(pod, dict):
        try:
            operations = patch(pod, target) if may_be_placed(pod, str(request.get("namespace") or "")) else []
        except (TypeError, KeyError, AttributeError) as error:  # no API server sends such a pod
            raise BadReview(f"request.object is no pod ({type(error).__name__})") from error
        if operations:
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def _is_pod_created(request: Json) -> bool:
    resource = request.get("resource")
    return (
        request.get("operation") == "CREATE"
        and isinstance(resource, dict)
        and (resource.get("group") or "", resource.get("resource")) == ("", "pods")
        and not request.get("subResource")
    )


def _selector(labels: object, requirements: list[Json]) -> Json:
    return {
        "matchExpressions": requirements,
        **({"matchLabels": dict(labels)} if isinstance(labels, dict) and labels else {}),
    }
