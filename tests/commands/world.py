"""An API server and an ECI that answer by tables, in which a fault is planted by changing one entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from vk_provider.cloud.base import Finding
from vk_provider.cloud.eci import error_codes
from vk_provider.cloud.eci.credentials import Credentials
from vk_provider.cloud.eci.diagnosis import Diagnosis
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.commands import checks
from vk_provider.errors import KubeError, NotFound
from vk_provider.kube import paths
from vk_provider.snapshot.document import (
    Build,
    Check,
    CloudState,
    Cost,
    Instances,
    Leadership,
    PodCounts,
    PodSummary,
    Queue,
    Snapshot,
)

NOW = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
NODE, CLUSTER = "virtual-kubelet", "c1u5-7e12"
SNAPSHOT = f"/api/v1/nodes/{NODE}/proxy/debug/vk/snapshot"
EXPLAIN = f"/api/v1/nodes/{NODE}/proxy/debug/vk/explain"
LEASE = paths.lease("kube-node-lease", NODE)
LOG = "/api/v1/namespaces/web/pods/api-0/log"


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def a_summary(name: str = "api-0", **more: Any) -> PodSummary:
    return PodSummary(
        **{
            "namespace": "web",
            "name": name,
            "uid": f"uid-{name}",
            "phase": "Running",
            "instance": f"eci-{name}",
            "instance_status": "Running",
            "sku": "2.0-4.0Gi",
            "placed_at": stamp(NOW - timedelta(minutes=5)),
            "per_hour": 0.44,
            "currency": "CNY",
            **more,
        }
    )


def a_snapshot(**more: Any) -> Snapshot:
    return Snapshot(
        **{
            "at": stamp(NOW),
            "node": NODE,
            "cluster": CLUSTER,
            "build": Build(version="0.1.0", python="3.11.7", started_at=stamp(NOW - timedelta(hours=3))),
            "is_ready": True,
            "leadership": Leadership(is_leader=True),
            "checks": (Check(name="lease", is_healthy=True),),
            "cloud": CloudState(name="eci", region="cn-hangzhou", is_healthy=True),
            "queue": Queue(depth=0, oldest_s=0.0, delayed=3, failing=0),
            "pod_counts": PodCounts(total=1, by_phase={"Running": 1}, waiting=()),
            "instances": Instances(total=1, by_status={"Running": 1}, orphans=(), orphans_total=0, orphans_deleted=0),
            "costs": (Cost(currency="CNY", per_hour=0.44, since_start=1.2),),
            "budgets": (),
            "events": (),
            "certificate_expires_at": stamp(NOW + timedelta(days=90)),
            "pods": (a_summary(),),
            **more,
        }
    )


def a_node(*, ready: str = "True", own: str = "True", identity: str = f"{CLUSTER}/{NODE}") -> dict:
    return {
        "metadata": {
            "name": NODE,
            "labels": {"type": "virtual-kubelet"},
            "annotations": {"vk-provider.io/identity": identity} if identity else {},
        },
        "spec": {},
        "status": {
            "conditions": [
                {"type": "Ready", "status": ready, "reason": "KubeletNotReady", "message": "the watch fails"},
                {"type": "ProviderHealthy", "status": own, "message": "the lease has not been renewed"},
            ]
        },
    }


def a_pod(name: str = "api-0", phase: str = "Running") -> dict:
    return {
        "metadata": {"namespace": "web", "name": name, "uid": f"uid-{name}"},
        "spec": {"nodeName": NODE, "containers": [{"name": "app"}]},
        "status": {"phase": phase},
    }


def plain(value: Any) -> Any:
    """As it comes over the wire."""
    return msgspec.json.decode(msgspec.json.encode(value))


@dataclass
class Api:
    """answers: path → what is answered, or the error that is raised. denied: rights, as `patch pods/status`."""

    answers: dict[str, Any] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    time: datetime | None = NOW
    server: str = "https://10.0.0.1:6443"
    asked: list[str] = field(default_factory=list)

    @classmethod
    def healthy(cls) -> Api:
        return cls(
            {
                paths.VERSION: {"gitVersion": "v1.37.2"},
                paths.nodes(): {"items": [a_node()]},
                paths.node(NODE): a_node(),
                LEASE: {"spec": {"renewTime": stamp(NOW - timedelta(seconds=5))}},
                SNAPSHOT: plain(a_snapshot()),
                paths.pods(): {"items": [a_pod()]},
                paths.pod("web", "api-0"): a_pod(),
                paths.events("web"): {"metadata": {}, "items": []},
                LOG: "hello\n",
                paths.mutating_webhook_configuration("vk-provider"): NotFound("no such", status=404),
                checks.POLICY_PATH: {},
                checks.BINDING_PATH: {},
            }
        )

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> Any:
        self.asked.append(path)
        found = self.answers.get(path, NotFound(f"GET {path}: not found", status=404))
        if isinstance(found, Exception):
            raise found
        return found

    read_text = get

    async def server_time(self, *, timeout_s: float = 10.0) -> datetime | None:
        return self.time

    async def post(
        self, path: str, body: dict, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> Any:
        asked = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        return {"status": {"allowed": f"{asked['verb']} {resource}" not in self.denied}}


def refused(status: int, message: str) -> KubeError:
    return KubeError(message, status=status)


@dataclass
class Eci:
    """A cloud's answers by action: a mapping, or the code that it refuses with."""

    answers: dict[str, Any] = field(default_factory=dict)
    settings: EciSettings = field(
        default_factory=lambda: EciSettings(
            region="cn-hangzhou", cluster=CLUSTER, node=NODE, vswitch_ids=["vsw-a"], security_group_id="sg-a"
        )
    )
    calls: list[EciRequest] = field(default_factory=list)

    @classmethod
    def healthy(cls) -> Eci:
        stock = [{"Value": "ecs.c6.large", "StatusCategory": "WithStock"}]
        zone = {
            "ZoneId": "cn-hangzhou-i",
            "AvailableResources": {"AvailableResource": [{"SupportedResources": {"SupportedResource": stock}}]},
        }
        return cls(
            {
                "DescribeContainerGroups": {"ContainerGroups": []},
                "CreateContainerGroup": {"Code": "DryRunOperation"},
                "ListUsage": {"Attributes": {"UsedCpu": 12.0, "MaxCpu": 1000.0}},
                "DescribeAvailableResource": {"AvailableZones": {"AvailableZone": [zone]}},
            }
        )

    async def call(self, request: EciRequest) -> Any:
        self.calls.append(request)
        found = self.answers[request.action]
        if callable(found):
            found = found(request)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, tuple):
            code, status = found
            raise error_codes.error_class(request.action, code, status)(f"{request.action}: {code}", code=code)
        return found

    async def who(self) -> Credentials:
        return Credentials("LTAI5tABCDEFGHIJKLMN", "s3cr3t-of-the-key")

    async def diagnose(self) -> list[Finding]:
        return list(await Diagnosis(self.settings, self.call, self.who).run())
