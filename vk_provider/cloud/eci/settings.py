"""What the ECI driver has to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vk_provider.cloud.driver import Whose
from vk_provider.cloud.eci.options import EciOptions
from vk_provider.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EciSettings:
    """Where instances run and whose they are. Raises ConfigError, which lists every fault at once."""

    # Region id as `cn-hangzhou`; it decides the address and the sizes on sale.
    region: str
    # The cluster's uid, in the tags of every instance: two clusters in one account never touch each other's instances.
    cluster: str
    # The Kubernetes node's name, also in the tags: two nodes of one cluster divide its instances by it.
    node: str
    # What people call the cluster; a tag shows it, and nothing else depends on it. Empty = no such tag.
    cluster_name: str = ""
    # http:// or https:// URL; empty = the region's public address. In a VPC: https://eci-vpc.<region>.aliyuncs.com
    endpoint: str = ""
    # At most 10; several spread instances over zones, in this order. Empty = the region's default vSwitch.
    vswitch_ids: Sequence[str] = ()
    # One id, or several separated by commas (at most 5). Empty = the region's default group.
    security_group_id: str = ""
    zone_id: str = ""
    resource_group_id: str = ""
    # Calls per minute by API name, where a ticket has raised what is published.
    per_minute: Mapping[str, int] = field(default_factory=dict)
    # What a pod may say by annotation, for those that do not.
    ram_role_name: str = ""
    spot_strategy: str = ""
    # ECS types for pods that ask for GPUs and name no type, in order of preference.
    gpu_instance_types: Sequence[str] = ()
    # `amd64` or `arm64`; empty = the cloud's own default.
    cpu_architecture: str = ""

    # A call that never acted costs a connect; one that acted is told apart only by its answer, hence the longer read.
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    # From an answer's first byte to its last, however it trickles.
    answer_timeout_s: float = 30.0
    # All tries of one call together, waiting for our own rate limit included.
    call_deadline_s: float = 120.0
    max_attempts: int = 5
    max_connections: int = 96

    def __post_init__(self) -> None:
        faults = [f"{name} is missing: {why}" for name, why in _REQUIRED if not getattr(self, name)]
        if self.endpoint and not _is_http_url(self.endpoint):
            faults.append(f"ECI endpoint {self.endpoint!r} is no URL: write it as https://eci.cn-hangzhou.aliyuncs.com")
        if len(self.vswitch_ids) > MAX_VSWITCHES:
            faults.append(f"{len(self.vswitch_ids)} vSwitches are given, ECI takes at most {MAX_VSWITCHES}")
        faults.extend(
            f"{name} holds a URL, which ECI does not allow in a tag: choose a plain name"
            for name in ("cluster", "cluster_name", "node")
            if "://" in getattr(self, name)
        )
        if faults:
            raise ConfigError(faults)

    @property
    def base_url(self) -> str:
        return (self.endpoint or f"https://eci.{self.region}.aliyuncs.com").rstrip("/")


MAX_VSWITCHES = 10
_REQUIRED = (
    ("region", f"set {EciOptions.named('region')}, for example cn-hangzhou"),
    ("cluster", "the uid of the namespace kube-system, by which the cluster's instances are known"),
    ("node", "set --node-name / VK_NODE_NAME"),
)


def _is_http_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def eci_settings(options: EciOptions, whose: Whose) -> EciSettings:
    """Raises ConfigError."""
    return EciSettings(
        region=options.region,
        endpoint=options.endpoint,
        cluster=whose.cluster,
        cluster_name=whose.cluster_name,
        node=whose.node,
        vswitch_ids=options.vswitch,
        security_group_id=options.security_group,
        zone_id=options.zone,
        resource_group_id=options.resource_group,
        ram_role_name=options.ram_role,
        spot_strategy=options.spot_strategy,
        gpu_instance_types=options.gpu_instance_type,
        cpu_architecture=options.cpu_architecture,
        per_minute=options.calls_per_minute,
    )
