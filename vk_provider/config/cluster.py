"""Settings of the cluster that the nodes belong to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vk_provider.settings import addresses, flag, integer, listing, setting, tag, text_value


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """How the API server is reached, and what pods are told of the cluster."""

    kubeconfig: str = setting(
        "",
        text_value,
        "kubeconfig file; empty inside a cluster, where the ServiceAccount serves",
        env=("KUBECONFIG",),
        section="The cluster",
        metavar="FILE",
    )
    kube_context: str = setting("", text_value, "context in the kubeconfig; empty = its current one", metavar="NAME")
    cluster_name: str = setting(
        "default",
        tag,
        "what people call the cluster: shown as a tag of its instances, which are known by the cluster's own uid",
        short="what people call the cluster; a tag of its instances",
        env=("ECI_CLUSTER_NAME", "ALIYUN_CLUSTERID"),
        metavar="NAME",
        advice="a name that is unique among the clusters of your account",
    )
    cluster_dns: tuple[str, ...] = setting(
        (), addresses, "addresses of the cluster's DNS, written into instances; empty = the cloud's own resolver"
    )
    cluster_domain: str = setting("cluster.local", text_value, "DNS domain of the cluster")
    kubernetes_service_host: str = setting(
        "",
        text_value,
        "what pods get as KUBERNETES_SERVICE_HOST, where the Service address cannot be reached from instances",
        metavar="HOST",
    )
    kubernetes_service_port: int = setting(
        0,
        integer(0, 65535),
        "likewise the port; 0 = the Service's own",
        short="what pods get as KUBERNETES_SERVICE_PORT",
    )
    cloud_expands_pod_ip: bool = setting(
        False,
        flag,
        "leave $(POD_IP) to the cloud, in commands, arguments and other variables: it has to replace such a name of a "
        "variable with the pod's address, as Kubernetes does. Nothing says that ECI does; off = such pods are refused",
    )
    allowed_unsafe_sysctls: tuple[str, ...] = setting(
        ("*",),
        listing,
        "sysctls that pods may set beside those that Kubernetes calls safe: names, or beginnings of them with * at the "
        "end, as a kubelet takes. * = all that the cloud can set, as an instance has its own kernel; empty = none",
        short="sysctls that pods may set beside the safe ones",
    )
