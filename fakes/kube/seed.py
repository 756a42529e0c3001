"""What a new cluster already contains: namespaces, roles, priorities, its own Service, and worker nodes for show."""

from typing import Any

from fakes.kube.api import Api
from fakes.kube.clock import stamp

Json = dict[str, Any]

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
VERSION = "v1.32.0-standin"
HOLLOW = "vk-provider.dev/hollow-node"
"""Label of the nodes whose heart the hollow-node controller is."""
_RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]


def seed(api: Api, *, client_ca: str, host: str, port: int, workers: int) -> None:
    """Fill an empty server. `client_ca` is PEM; `host` and `port` are where the API itself is served."""
    for name in NAMESPACES:
        api.create("namespaces", {"metadata": {"name": name}})
    config = {"client-ca-file": client_ca, "requestheader-allowed-names": "[]"}
    api.create(
        "configmaps", {"metadata": {"name": "extension-apiserver-authentication"}, "data": config}, "kube-system"
    )
    for name, value in (("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)):
        api.create("priorityclasses.scheduling.k8s.io", {"metadata": {"name": name}, "value": value})
    for role, rules in _CLUSTER_ROLES.items():
        api.create(f"clusterroles.{_RBAC}", {"metadata": _bootstrap(role), "rules": rules})
    for name, (role, subjects) in _CLUSTER_BINDINGS.items():
        reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role}
        groups = [{"kind": "Group", "name": subject, "apiGroup": _RBAC} for subject in subjects]
        api.create(
            f"clusterrolebindings.{_RBAC}", {"metadata": _bootstrap(name), "roleRef": reference, "subjects": groups}
        )
    api.create("storageclasses.storage.k8s.io", _DISKS)
    _authentication_reader(api)
    _own_service(api, host, port)
    for index in range(workers):
        api.create("nodes", worker(f"worker-{index + 1}", index, stamp(api.clock())))


def _bootstrap(name: str) -> Json:
    return {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Json:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


_CORE = [
    "pods",
    "services",
    "endpoints",
    "configmaps",
    "persistentvolumeclaims",
    "serviceaccounts",
    "resourcequotas",
    "limitranges",
]
_SUBPARTS = ["pods/log", "pods/status", "services/status"]
_ANYTHING: list[Json] = [_rule(["*"], ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}]
_VIEW = [
    _rule([""], [*_CORE, *_SUBPARTS, "events", "namespaces"], _READ),
    _rule(["apps", "batch", "policy", "discovery.k8s.io"], ["*"], _READ),
    _rule(["metrics.k8s.io"], ["pods", "nodes"], _READ),
]
_EDIT = [
    *_VIEW,
    _rule([""], ["secrets"], _READ),
    _rule([""], [*_CORE, "secrets", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "events"], _WRITE),
    _rule([""], ["pods/eviction", "serviceaccounts/token"], ["create"]),
    _rule(["apps", "batch", "policy"], ["*"], _WRITE),
    _rule(["coordination.k8s.io"], ["leases"], [*_READ, *_WRITE]),
]
_CLUSTER_ROLES: dict[str, list[Json]] = {
    "cluster-admin": _ANYTHING,
    "admin": [*_EDIT, _rule([_RBAC], ["roles", "rolebindings"], [*_READ, *_WRITE])],
    "edit": _EDIT,
    "view": _VIEW,
    "system:discovery": [
        {
            "nonResourceURLs": [
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ],
            "verbs": ["get"],
        }
    ],
    "system:public-info-viewer": [
        {"nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"]}
    ],
    "system:basic-user": [
        _rule(["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
        _rule(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
    ],
    "system:auth-delegator": [
        _rule(["authentication.k8s.io"], ["tokenreviews"], ["create"]),
        _rule(["authorization.k8s.io"], ["subjectaccessreviews"], ["create"]),
    ],
    "system:kubelet-api-admin": [
        _rule([""], ["nodes"], _READ),
        _rule([""], ["nodes"], ["proxy"]),
        _rule([""], ["nodes/log", "nodes/metrics", "nodes/proxy", "nodes/stats"], ["*"]),
    ],
}
_CLUSTER_BINDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cluster-admin": ("cluster-admin", ("system:masters",)),
    "system:discovery": ("system:discovery", ("system:authenticated",)),
    "system:basic-user": ("system:basic-user", ("system:authenticated",)),
    "system:public-info-viewer": ("system:public-info-viewer", ("system:authenticated", "system:unauthenticated")),
}


# As a managed cluster of that cloud has it, and here what a claim gets that names no class.
_DISKS: Json = {
    "metadata": {
        "name": "alicloud-disk-essd",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "diskplugin.csi.alibabacloud.com",
    "parameters": {"type": "cloud_essd"},
    "allowVolumeExpansion": True,
}


def _authentication_reader(api: Api) -> None:
    """Lets a kubelet-like server learn which authority signs client certificates, once bound to it."""
    name = "extension-apiserver-authentication-reader"
    rule = _rule([""], ["configmaps"], _READ) | {"resourceNames": ["extension-apiserver-authentication"]}
    api.create(f"roles.{_RBAC}", {"metadata": _bootstrap(name), "rules": [rule]}, "kube-system")


def _own_service(api: Api, host: str, port: int) -> None:
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    labels = {"component": "apiserver", "provider": "kubernetes"}
    spec = {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": ports, "type": "ClusterIP"}
    api.create("services", {"metadata": {"name": "kubernetes", "labels": labels}, "spec": spec}, "default")
    subset = {"addresses": [{"ip": host}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
    api.create("endpoints", {"metadata": {"name": "kubernetes"}, "subsets": [subset]}, "default")


def worker(name: str, index: int, now: str) -> Json:
    """A worker node of 4 CPU and 8 GiB, as the founding story's cluster has two of; no kubelet stands behind it."""
    amounts = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "110"}
    good = {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
    }
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for kind, (status, reason, message) in good.items()
    ]
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        HOLLOW: "true",
    }
    info = {
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
        "kernelVersion": "0.0.0-standin",
        "osImage": "stand-in for local use",
        "containerRuntimeVersion": "none://0.0.0",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
    status = {
        "capacity": amounts,
        "allocatable": dict(amounts),
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": f"10.0.0.{index + 11}"}, {"type": "Hostname", "address": name}],
        "nodeInfo": info,
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}
