"""Paths of the Kubernetes API. A segment is quoted, and an empty one refused: a DELETE must never hit a collection."""

from __future__ import annotations

from urllib.parse import quote

VERSION = "/version"


def core(resource: str, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """A path of the core group: `core("pods", namespace="web", name="api-0", subresource="status")`.

    Without a name it is the collection; say so by leaving `name` out, the one-object functions below never do.
    """
    return _join("/api/v1", resource, namespace=namespace, name=name, subresource=subresource)


def group(group_version: str, resource: str, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """A path of a named group: `group("coordination.k8s.io/v1", "leases", namespace="kube-node-lease")`."""
    return _join(f"/apis/{group_version}", resource, namespace=namespace, name=name, subresource=subresource)


def pods(namespace: str = "") -> str:
    return core("pods", namespace=namespace)


def pod(namespace: str, name: str) -> str:
    return core("pods", namespace=_given(namespace), name=_given(name))


def pod_status(namespace: str, name: str) -> str:
    return core("pods", namespace=_given(namespace), name=_given(name), subresource="status")


def nodes() -> str:
    return core("nodes")


def node(name: str) -> str:
    return core("nodes", name=_given(name))


def node_status(name: str) -> str:
    return core("nodes", name=_given(name), subresource="status")


def namespace(name: str) -> str:
    return core("namespaces", name=_given(name))


def services() -> str:
    return core("services")


def config_map(namespace: str, name: str) -> str:
    return core("configmaps", namespace=_given(namespace), name=_given(name))


def secret(namespace: str, name: str) -> str:
    return core("secrets", namespace=_given(namespace), name=_given(name))


def claim(namespace: str, name: str) -> str:
    return core("persistentvolumeclaims", namespace=_given(namespace), name=_given(name))


def persistent_volume(name: str) -> str:
    return core("persistentvolumes", name=_given(name))


def service_account_token(namespace: str, name: str) -> str:
    return core("serviceaccounts", namespace=_given(namespace), name=_given(name), subresource="token")


def events(namespace: str = "") -> str:
    return core("events", namespace=namespace)


def event(namespace: str, name: str) -> str:
    return core("events", namespace=_given(namespace), name=_given(name))


def leases(namespace: str) -> str:
    return group("coordination.k8s.io/v1", "leases", namespace=_given(namespace))


def lease(namespace: str, name: str) -> str:
    return group("coordination.k8s.io/v1", "leases", namespace=_given(namespace), name=_given(name))


def token_reviews() -> str:
    return group("authentication.k8s.io/v1", "tokenreviews")


def subject_access_reviews() -> str:
    return group("authorization.k8s.io/v1", "subjectaccessreviews")


def certificate_signing_requests() -> str:
    return group("certificates.k8s.io/v1", "certificatesigningrequests")


def certificate_signing_request(name: str) -> str:
    return group("certificates.k8s.io/v1", "certificatesigningrequests", name=_given(name))


def certificate_signing_request_approval(name: str) -> str:
    return group("certificates.k8s.io/v1", "certificatesigningrequests", name=_given(name), subresource="approval")


def mutating_webhook_configurations() -> str:
    return group("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations")


def mutating_webhook_configuration(name: str) -> str:
    return group("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", name=_given(name))


def mutating_admission_policy_bindings() -> str:
    return group("admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings")


def mutating_admission_policy_binding(name: str) -> str:
    return group("admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings", name=_given(name))


def _join(root: str, resource: str, *, namespace: str, name: str, subresource: str) -> str:
    segments = ["namespaces", namespace, resource] if namespace else [resource]
    if name:
        segments.append(name)
    if subresource:
        segments += [_given(name) and subresource]
    return "/".join((root, *map(_quoted, segments)))


def _quoted(segment: str) -> str:
    if segment in (".", ".."):
        raise ValueError(f"{segment!r} cannot stand in a path")
    return quote(segment, safe="")


def _given(segment: str) -> str:
    if not segment:
        raise ValueError("a name or namespace is empty; the path would mean a whole collection")
    return segment
