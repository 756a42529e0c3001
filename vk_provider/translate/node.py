"""What the settings say of our node → the Node object, and the patches that keep it so.

Only what is ours is ever written: taints and extra labels once, at creation; default labels at each start; our
resources, conditions, addresses and node info with every status. What controllers and people add stays.
Source: kubernetes pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus/setters.go, kubelet.md a.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vk_provider.config import Config
from vk_provider.model.pod import Json
from vk_provider.model.quantity import parse
from vk_provider.translate.objects import NodeContext
from vk_provider.translate.status_patch import canonical

IDENTITY_ANNOTATION = "vk-provider.io/identity"
RESOURCES_ANNOTATION = "vk-provider.io/resources"  # which capacities we wrote, so that one of ours can be taken back
CLOUD_CONDITION = "CloudAPIAvailable"
OWN_CONDITION = "ProviderHealthy"
EXCLUDE_FROM_BALANCERS = "node.kubernetes.io/exclude-from-external-load-balancers"
INSTANCE_TYPE = "virtual-kubelet"
RUNTIME_VERSION = "eci://1.0.0"
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
    provider: str = "Alibaba Cloud ECI"


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
            "annotations": {**spec.annotations, **_marks(spec)},
        },
        "spec": {"taints": [_taint(taint) for taint in spec.taints]} if spec.taints else {},
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


def _marks(spec: NodeSpec) -> dict[str, str]:
    return {IDENTITY_ANNOTATION: spec.identity, RESOURCES_ANNOTATION: _resource_names(spec.capacity)}


def _resource_names(capacity: Mapping[str, str]) -> str:
    return ",".join(sorted(capacity))


def _taint(taint: Taint) -> Json:
    return {"key": taint.key, **({"value": taint.value} if taint.value else {}), "effect": taint.effect}


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
        "containerRuntimeVersion": RUNTIME_VERSION,
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
    known = _known_conditions(previous)
    told = _cloud_condition(cloud, known.get(CLOUD_CONDITION, {}))
    mine = [(OWN_CONDITION, str(own.ok), own.reason, own.message)] if own is not None else []
    wanted = [*((type_, "False", reason, text) for type_, reason, text in _HEALTHY), told, *mine, ready]
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            _HEARTBEAT: now,
            "lastTransitionTime": _since(known.get(type_, {}), status) or now,
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


def _since(condition: Json, status: str) -> str:
    return str(condition.get("lastTransitionTime") or "") if condition.get("status") == status else ""


def _known_conditions(node: Json | None) -> dict[str, Json]:
    status = (node or {}).get("status") or {}
    found = status.get("conditions")
    conditions = found if isinstance(found, list) else ()
    return {
        condition["type"]: condition
        for condition in conditions
        if isinstance(condition, dict) and isinstance(condition.get("type"), str)
    }


# --- patches --------------------------------------------------------------------------------------------------------


def differs(node: Json, desired: Json) -> bool:
    """Whether anything but heartbeats is to be written, at once; heartbeats alone wait for their turn (N20)."""
    return bool(_changes(node, desired)) or bool(_changed_conditions(node, desired))


def status_patch(node: Json, desired: Json) -> Json | None:
    """The strategic-merge body for `PATCH /api/v1/nodes/<name>/status`, heartbeats in it; None if even they are equal.

    node: as the API server has it now, never as it was answered to an earlier write.
    """
    changes = _changes(node, desired)
    known = _known_conditions(node)
    stale = [wanted for wanted in desired["conditions"] if known.get(wanted["type"], {}) != wanted]
    if not changes and not stale:
        return None
    if (node.get("status") or {}).get("declaredFeatures") != desired["declaredFeatures"]:
        changes["declaredFeatures"] = desired["declaredFeatures"]  # sent along only: a server may not keep it
    if stale:
        changes["conditions"] = [_over(known.get(wanted["type"], {}), wanted) for wanted in desired["conditions"]]
    meta = _resources_mark(node, desired)
    return {**({"metadata": {"annotations": meta}} if meta else {}), "status": changes}


def metadata_patch(node: Json, spec: NodeSpec, *, adopt: bool = False) -> Json | None:
    """Puts the default labels right, or None (N1). adopt: also mark a node of other origin as ours (N10)."""
    meta = node["metadata"]
    labels = _missing(meta.get("labels") or {}, default_labels(spec))
    mark = {IDENTITY_ANNOTATION: spec.identity} if adopt else {}
    annotations = _missing(meta.get("annotations") or {}, mark)
    body = {**({"labels": labels} if labels else {}), **({"annotations": annotations} if annotations else {})}
    return {"metadata": body} if body else None


def is_ours(node: Json, spec: NodeSpec) -> bool:
    """The Node carries our mark; without it a real machine may stand behind the name (N10)."""
    annotations = node["metadata"].get("annotations") or {}
    return bool(annotations.get(IDENTITY_ANNOTATION) == spec.identity)


def _missing(present: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if present.get(name) != value}


def _changes(node: Json, desired: Json) -> Json:
    status: Json = node.get("status") or {}
    changes: Json = {}
    retired = _retired(node, desired)
    for name in ("capacity", "allocatable"):
        present = _map(status.get(name))
        changed: Json = {key: value for key, value in desired[name].items() if not _same(present.get(key), value)}
        changed |= {key: None for key in retired if key in present}
        if changed:
            changes[name] = changed
    for name in ("daemonEndpoints", "nodeInfo"):
        present = _map(status.get(name))
        if any(present.get(key) != value for key, value in canonical(desired[name]).items()):
            changes[name] = desired[name]
    present_addresses = status.get("addresses") or []
    if present_addresses != desired["addresses"]:
        # By type they would merge, which keeps old ones; without an old list the directive would stay in the new one.
        replace = [{"$patch": "replace"}] if present_addresses else []
        changes["addresses"] = [*desired["addresses"], *replace]
    return changes


def _retired(node: Json, desired: Json) -> set[str]:
    """Resources that we wrote once and no longer have."""
    written = ((node["metadata"].get("annotations") or {}).get(RESOURCES_ANNOTATION) or "").split(",")
    return {name for name in written if name} - set(desired["capacity"])


def _resources_mark(node: Json, desired: Json) -> dict[str, str]:
    mark = {RESOURCES_ANNOTATION: _resource_names(desired["capacity"])}
    return _missing(node["metadata"].get("annotations") or {}, mark)


def _same(present: Any, wanted: str) -> bool:
    try:
        return present is not None and parse(present) == parse(wanted)
    except ValueError:
        return False


def _map(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _changed_conditions(node: Json, desired: Json) -> list[Json]:
    known = _known_conditions(node)
    return [
        wanted
        for wanted in desired["conditions"]
        if any(
            (known.get(wanted["type"], {}).get(name) or "") != wanted[name] for name in ("status", "reason", "message")
        )
    ]


def _over(present: Json, wanted: Json) -> Json:
    """The condition as sent, its transition time kept while the status is the one the API has."""
    since = _since(present, wanted["status"])
    return {**wanted, "lastTransitionTime": since} if since else wanted


# --- what the settings say of it ---


def node_context(config: Config, cluster: str, address: str) -> NodeContext:
    """cluster: its uid."""
    return NodeContext(
        cluster=cluster,
        node_name=config.node_name,
        node_ip=address,
        cluster_dns=config.cluster_dns,
        cluster_domain=config.cluster_domain,
        service_host=config.kubernetes_service_host,
        service_port=str(config.kubernetes_service_port or ""),
        allocatable=capacity(config),
        role=config.eci_ram_role,
        expands_pod_ip=config.cloud_expands_pod_ip,
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
