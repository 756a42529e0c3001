"""A page server over a node with as many pods as a test wants, without a cluster."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from vk_provider.cloud.base import Price
from vk_provider.control.memory import NEW
from vk_provider.dashboard.server import DashboardServer
from vk_provider.fence import Fence
from vk_provider.health import Fault, Health
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.cost import CostMeter
from vk_provider.metrics import Registry
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.snapshot.collector import NodeFacts, SnapshotCollector
from vk_provider.snapshot.document import Idle
from vk_provider.snapshot.explanation import Explainer
from vk_provider.snapshot.pods import PodIndex
from vk_provider.snapshot.recent import RecentEvents
from vk_provider.translate.node import CloudHealth

STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Prices:
    """Of a cloud only what costs need."""

    def price(self, sku: str) -> Price | None:
        return Price(per_second=0.0001, currency="CNY")

    async def keep_prices(self) -> None:
        return


class Node:
    """collector: as the provider has it."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.index = PodIndex(self.registry)
        self.cache = InstanceCache(lambda uid: None)
        self.queue = WorkQueue()
        self.health = Health()
        self.recent = RecentEvents()
        self.pods: dict[str, dict] = {}
        self.began = datetime.now(UTC) - timedelta(minutes=20)
        costs = CostMeter(Prices(), self.cache, self.registry)
        self.collector = SnapshotCollector(
            NodeFacts(node="virtual-kubelet", cluster="c", cloud="eci", region="cn-hangzhou"),
            index=self.index,
            recent=self.recent,
            queue=self.queue,
            health=self.health,
            costs=costs,
            fence=Fence.always_open(),
            metrics=self.registry,
            budgets=lambda: {"CreateContainerGroup": (400, 1000), "DescribeContainerGroupStatus": (26, 500)},
        )
        self.collector.cloud_health = lambda: CloudHealth(ok=True)
        self.health.add("lease", lambda: None)
        self.health.add("syncloop", lambda: self.fault)
        self.fault: Fault | None = None
        self.explainer = Explainer(
            self.collector,
            pod_named=lambda namespace, name: self.pods.get(f"{namespace}/{name}"),
            instance_of=lambda uid: next(iter(self.cache.of(uid)), None),
            memory_of=lambda uid: NEW,
            queue=self.queue,
            loop_s=asyncio.get_running_loop().time,
        )

    def put(self, name: str, *, phase: str = "Running", reason: str = "", message: str = "") -> None:
        uid = f"uid-{name}"
        pod = {
            "metadata": {
                "namespace": "web",
                "name": name,
                "uid": uid,
                "creationTimestamp": self.began.strftime(STAMP),
                "ownerReferences": [{"kind": "Job", "name": "pi", "uid": "j", "controller": True}],
            },
            "spec": {"containers": [{"name": "app", "env": [{"name": "PASSWORD", "value": "hunter2"}]}]},
            "status": {"phase": phase, **({"reason": reason, "message": message} if reason else {})},
        }
        self.pods[f"web/{name}"] = pod
        instances = ()
        if phase == "Running":
            instance = Instance(
                f"eci-{name}",
                Owner("c", "virtual-kubelet", "web", name, uid),
                InstanceStatus.RUNNING,
                containers=(ContainerReport("app", ContainerState(StateKind.RUNNING), ready=True),),
                sku="2.0-4.0Gi",
                cpu=2.0,
                memory_gib=4.0,
                zone="cn-hangzhou-i",
                created_at=self.began.strftime(STAMP),
                placed_at=self.began.strftime(STAMP),
            )
            self.cache.put(instance)
            instances = (instance,)
        self.index.observe(uid, pod, instances, "Done", "the pod is as it should be")

    def drop(self, name: str) -> None:
        for instance in self.cache.of(f"uid-{name}"):
            self.cache.remove(instance.id)
        self.index.drop(f"uid-{name}")

    def fill(self, count: int) -> None:
        for number in range(count):
            if number % 50:
                self.put(f"pi-{number:05d}")
            else:
                self.put(f"pi-{number:05d}", phase="Pending", reason="NoStock", message="sold out in cn-hangzhou-i")


@asynccontextmanager
async def serving(node: Node) -> AsyncIterator[DashboardServer]:
    server = DashboardServer("127.0.0.1:0")
    await server.start()
    running = asyncio.create_task(server.show(node.collector, node.explainer))
    await asyncio.sleep(0)  # it is shown from its first step on
    try:
        yield server
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.stop()


def remember_an_hour(server: DashboardServer, node: Node) -> None:
    """As if the node had been seen for an hour, with pods that come and go and others who use the quota."""
    history = server._nodes[node.collector.node].broadcaster._history
    now, at = node.collector.snapshot(), datetime.now(UTC)
    for number in range(120):
        wave = math.sin(number / 19)
        forecast = 420 + 260 * wave
        published = max(0.0, 900 - forecast)
        running = int(3900 + 900 * math.sin(number / 31))
        costs = tuple(msgspec.structs.replace(each, per_hour=running * 0.36) for each in now.costs)
        history.add(
            msgspec.structs.replace(
                now,
                at=(at - timedelta(seconds=30 * (120 - number))).strftime(STAMP),
                pod_counts=msgspec.structs.replace(now.pod_counts, by_phase={"Running": running, "Pending": 60}),
                instances=msgspec.structs.replace(now.instances, total=running),
                costs=costs,
                idle=Idle(
                    at=now.at, quota=1000, forecast=forecast, published=published, running=published * (0.6 + wave / 4)
                ),
            )
        )
