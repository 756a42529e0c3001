"""What a pod learns of the node that it is on, and of the cloud behind it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vk_provider.translate.capabilities import PLAIN, Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """What a pod learns of the node it is on.

    cluster: the uid that tags instances. cluster_dns: addresses of the cluster's resolver; none = the cloud's is used.
    service_host, service_port: what KUBERNETES_SERVICE_HOST and _PORT say instead of the Service `kubernetes`, whose
    cluster address an instance may be unable to reach; empty = no override. allocatable: the node's, as quantities.
    role: that instances have in the cloud where the pod names none. expands_pod_ip: the cloud itself replaces `$(NAME)`
    of a variable that holds the pod's address. allowed_unsafe_sysctls: names that pods may set beside those that
    Kubernetes calls safe; an asterisk at the end stands for any rest. capabilities: the cloud's.
    """

    cluster: str
    node_name: str
    node_ip: str
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    service_host: str = ""
    service_port: str = ""
    allocatable: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    expands_pod_ip: bool = False
    allowed_unsafe_sysctls: Sequence[str] = ("*",)
    capabilities: Capabilities = PLAIN
