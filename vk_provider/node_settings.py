"""What the settings say of a node, in the words of those who work for it. Pure."""

from __future__ import annotations

from typing import Any

from vk_provider.cloud.driver import Driver, Place
from vk_provider.config import Config
from vk_provider.translate.capabilities import Capabilities
from vk_provider.translate.node import NodeSpec, Taint
from vk_provider.translate.node_context import NodeContext


def node_context(
    config: Config, cluster: str, address: str, capabilities: Capabilities, *, role: str = ""
) -> NodeContext:
    """cluster: its uid. role: as in `NodeContext`."""
    return NodeContext(
        cluster=cluster,
        node_name=config.node_name,
        node_ip=address,
        cluster_dns=config.cluster_dns,
        cluster_domain=config.cluster_domain,
        service_host=config.kubernetes_service_host,
        service_port=str(config.kubernetes_service_port or ""),
        allocatable=capacity(config),
        role=role,
        expands_pod_ip=config.cloud_expands_pod_ip,
        allowed_unsafe_sysctls=config.allowed_unsafe_sysctls,
        capabilities=capabilities,
    )


def capacity(config: Config) -> dict[str, str]:
    """What the node offers: quotas, for there is no machine."""
    return {
        "cpu": config.quota_cpu,
        "memory": config.quota_memory,
        "pods": str(config.quota_pods),
        **({"nvidia.com/gpu": str(config.quota_gpus)} if config.quota_gpus else {}),
        "ephemeral-storage": f"{config.quota_pods * 30}Gi",  # each instance brings 30 GiB of its own
    }


def node_spec(
    config: Config,
    cluster: str,
    address: str,
    driver: Driver[Any, Any, Any, Any],
    place: Place,
    *,
    port: int = 0,
    server_version: str = "",
) -> NodeSpec:
    """cluster: its uid. port: of the kubelet API, as the Node announces it."""
    return NodeSpec(
        name=config.node_name,
        identity=f"{cluster}/{config.node_name}",
        addresses=[address],
        kubelet_port=port,
        server_version=server_version,
        capacity=capacity(config),
        labels=config.node_labels,
        taints=[Taint(**taint) for taint in config.taints],
        region=place.region,
        zone=place.zone,
        arch=place.architecture,
        provider=driver.capabilities.cloud,
        runtime=driver.capabilities.runtime,
    )
