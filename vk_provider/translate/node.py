"""What is said of our node → the Node object. `node_patch` keeps it so.

Source: kubernetes pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus/setters.go, kubelet.md a.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vk_provider.model.pod import Json
from vk_provider.translate.capabilities import PLAIN

IDENTITY_ANNOTATION = "vk-provider.io/identity"
RESOURCES_ANNOTATION = "vk-provider.io/resources"  # which capacities we wrote, so that one of ours can be taken back
CLOUD_CONDITION = "CloudAPIAvailable"
OWN_CONDITION = "ProviderHealthy"
EXCLUDE_FROM_BALANCERS = "node.kubernetes.io/exclude-from-external-load-balancers"
INSTANCE_TYPE = "virtual-kubelet"
OLDEST_VERSION = "v1.20.0"  # the oldest API server we speak to, where one gives no version that can be read

_SEMVER = re.compile(r"^v?(\d+\.\d+\.\d+)")
_HEALTHY = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)
# From 1.36 on an API server hands WebSockets on to a node that declares this, instead of translating them to SPDY; what
# is refused before the upgrade then reaches kubectl as it was said.
FEATURES = ("ExtendWebSocketsToKubelet",)

_HEARTBEAT = "lastHeartbeatTime"


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str = ""
    effect: str = "NoSchedule"

    def as_json(self) -> Json:
        return {"key": self.key, **({"value": self.value} if self.value else {}), "effect": self.effect}


@dataclass(frozen=True, slots=True)
class CloudHealth:
    """Whether the cloud's API can be used; reason and message say why not. ok None: not tried yet."""

    ok: bool | None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class OwnHealth:
    """Whether the provider itself does its work; reason and message say what it does not."""

    ok: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """Our node as configured.

    identity: whose node this is, stable over restarts: cluster and installation; marks the Node as ours (N10).
    addresses: InternalIPs that the API server can dial, the primary first.
    hostname: published as Hostname address; empty where the name does not resolve from the control plane (N15).
    capacity: resource → quantity. allocatable: where it is less; absent = the capacity.
    server_version: `gitVersion` of the API server. labels, annotations, taints: set at creation only (N2).
    """

    name: str
    identity: str
    addresses: Sequence[str]
    kubelet_port: int
    server_version: str
    capacity: Mapping[str, str]
    allocatable: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Taint] = ()
    os: str = "linux"
    arch: str = "amd64"
    region: str = ""
    zone: str = ""
    provider: str = PLAIN.cloud  # as people call the cloud
    runtime: str = PLAIN.runtime


# --- the whole object -----------------------------------------------------------------------------------------------


def node_object(
    spec: NodeSpec,
    *,
    now: str,
    cloud: CloudHealth | None = None,
    faults: Sequence[str] = (),
    own: OwnHealth | None = None,
) -> Json:
    """The body of the POST that registers the node (N1)."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": {**spec.labels, "kubernetes.io/role": "agent", **default_labels(spec)},
            "annotations": {
                **spec.annotations,
                IDENTITY_ANNOTATION: spec.identity,
                RESOURCES_ANNOTATION: resource_names(spec.capacity),
            },
        },
        "spec": {"taints": [taint.as_json() for taint in spec.taints]} if spec.taints else {},
        "status": node_status(spec, previous=None, now=now, cloud=cloud or CloudHealth(None), faults=faults, own=own),
    }


def default_labels(spec: NodeSpec) -> dict[str, str]:
    """The labels that are put right at every start (N1, N3, N5)."""
    labels = {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": spec.os,
        "kubernetes.io/arch": spec.arch,
        "type": "virtual-kubelet",
        "node.kubernetes.io/instance-type": INSTANCE_TYPE,
        EXCLUDE_FROM_BALANCERS: "true",
        "topology.kubernetes.io/region": spec.region,
        "topology.kubernetes.io/zone": spec.zone,
    }
    return {name: value for name, value in labels.items() if value}


def node_status(
    spec: NodeSpec,
    *,
    previous: Json | None,
    now: str,
    cloud: CloudHealth,
    faults: Sequence[str] = (),
    own: OwnHealth | None = None,
) -> Json:
    """All that we write of `node.status`.

    previous: the Node as the API server has it now, whose transition times go on; None before it exists.
    faults: why the process cannot do its job at all; anything here makes the node NotReady, and its pods are evicted
    after minutes, so an unreachable cloud is not one (N24), nor is what `own` tells, which may be mended meanwhile.
    own: None leaves the condition ProviderHealthy out.
    """
    return {
        "capacity": dict(spec.capacity),
        "allocatable": {**spec.capacity, **spec.allocatable},
        "conditions": _conditions(previous, now, cloud, faults, own),
        "addresses": _addresses(spec),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": spec.kubelet_port}},
        "nodeInfo": _node_info(spec),
        "declaredFeatures": list(FEATURES),
    }


def kubelet_version(server_version: str) -> str:
    """`v1.29.3-eks-1` → `v1.29.3-vk-provider`: as new as the server and, being a pre-release, never newer (N17)."""
    match = _SEMVER.match(server_version)
    core = f"v{match.group(1)}" if match is not None else OLDEST_VERSION
    return f"{core}-vk-provider"


def resource_names(capacity: Mapping[str, str]) -> str:
    return ",".join(sorted(capacity))


def _addresses(spec: NodeSpec) -> list[Json]:
    internal = [{"type": "InternalIP", "address": address} for address in spec.addresses]
    hostname = spec.hostname or (spec.addresses[0] if spec.addresses else "")
    return [*internal, {"type": "Hostname", "address": hostname}] if hostname else internal


def _node_info(spec: NodeSpec) -> Json:
    def stable(what: str) -> str:
        return hashlib.sha256("\0".join((what, spec.identity, spec.name)).encode()).hexdigest()[:32]

    return {
        "machineID": stable("machine"),
        "systemUUID": stable("system"),
        "bootID": stable("boot"),  # never changes: a new one reads as a reboot
        "kernelVersion": "virtual",
        "osImage": spec.provider,
        "containerRuntimeVersion": spec.runtime,
        "kubeletVersion": kubelet_version(spec.server_version),
        "kubeProxyVersion": "",
        "operatingSystem": spec.os,
        "architecture": spec.arch,
    }


# --- conditions -----------------------------------------------------------------------------------------------------


def _conditions(
    previous: Json | None, now: str, cloud: CloudHealth, faults: Sequence[str], own: OwnHealth | None
) -> list[Json]:
    ready = (
        ("Ready", "False", "KubeletNotReady", "; ".join(faults))
        if faults
        else ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    )
    known = known_conditions(previous)
    reported = _cloud_condition(cloud, known.get(CLOUD_CONDITION, {}))
    mine = [(OWN_CONDITION, str(own.ok), own.reason, own.message)] if own is not None else []
    wanted = [*((type_, "False", reason, text) for type_, reason, text in _HEALTHY), reported, *mine, ready]
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            _HEARTBEAT: now,
            "lastTransitionTime": transition_time(known.get(type_, {}), status) or now,
        }
        for type_, status, reason, message in wanted
    ]


def _cloud_condition(cloud: CloudHealth, known: Json) -> tuple[str, str, str, str]:
    """Until we have tried, what our predecessor found still stands: a restart is no news of the cloud (N27)."""
    if cloud.ok is None:
        if known.get("status"):
            return CLOUD_CONDITION, known["status"], str(known.get("reason") or ""), str(known.get("message") or "")
        return CLOUD_CONDITION, "Unknown", cloud.reason or "CloudAPINotTried", cloud.message
    if cloud.ok:
        return CLOUD_CONDITION, "True", cloud.reason or "CloudAPIAnswers", cloud.message
    return CLOUD_CONDITION, "False", cloud.reason or "CloudAPIUnavailable", cloud.message


def transition_time(condition: Json, status: str) -> str:
    return str(condition.get("lastTransitionTime") or "") if condition.get("status") == status else ""


def known_conditions(node: Json | None) -> dict[str, Json]:
    status = (node or {}).get("status") or {}
    found = status.get("conditions")
    conditions = found if isinstance(found, list) else ()
    return {
        condition["type"]: condition
        for condition in conditions
        if isinstance(condition, dict) and isinstance(condition.get("type"), str)
    }
