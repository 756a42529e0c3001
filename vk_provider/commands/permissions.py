"""Every right that the provider needs at the API server, as the manifest in deploy/base grants them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Right(NamedTuple):
    """One verb on one resource. why: what does not work without it."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    why: str = ""

    def __str__(self) -> str:
        sub = f"/{self.subresource}" if self.subresource else ""
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{sub}{where}"

    def attributes(self) -> dict[str, str]:
        """`resourceAttributes` of a SelfSubjectAccessReview."""
        given = {
            "verb": self.verb,
            "group": self.group,
            "resource": self.resource,
            "subresource": self.subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        return {key: value for key, value in given.items() if value}


_TABLE = (
    ("", "nodes", "", "", "create get patch", "the node cannot be registered"),
    ("", "nodes", "status", "", "patch", "the node's conditions stay old"),
    ("coordination.k8s.io", "leases", "", "kube-node-lease", "create get update", "the node turns NotReady"),
    ("", "pods", "", "", "get list watch delete", "pods are not seen, or never go"),
    ("", "pods", "status", "", "patch", "pods stay Pending"),
    ("", "events", "", "", "create list patch", "nobody is told why"),
    ("", "configmaps", "", "", "get watch", "pods that use ConfigMaps wait"),
    ("", "secrets", "", "", "get watch", "pods that use Secrets wait"),
    ("", "namespaces", "", "", "get", "the cluster cannot be identified"),
    ("", "persistentvolumeclaims", "", "", "get watch", "pods with claims wait"),
    ("", "persistentvolumes", "", "", "get", "pods with claims wait"),
    ("", "services", "", "", "list", "pods lack the variables of Services"),
    ("", "serviceaccounts", "token", "", "create", "pods get no ServiceAccount token"),
    ("authentication.k8s.io", "tokenreviews", "", "", "create", "logs and metrics by token are refused"),
    ("authorization.k8s.io", "subjectaccessreviews", "", "", "create", "logs and exec are refused"),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        "",
        "",
        "create get delete",
        "no serving certificate is signed",
    ),
)


def needed(leader_lease: str = "") -> Iterator[Right]:
    """leader_lease: namespace/name of the Lease of the election; empty = there is none."""
    for group, resource, subresource, namespace, verbs, why in _TABLE:
        for verb in verbs.split():
            yield Right(verb, group, resource, subresource, namespace, why=why)
    namespace, _, name = leader_lease.partition("/")
    if name:
        for verb in ("create", "get", "update"):
            yield Right(verb, "coordination.k8s.io", "leases", namespace=namespace, why="no replica can lead")
