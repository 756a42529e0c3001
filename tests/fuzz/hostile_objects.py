"""An API server that sends, among honest objects, others of which anything may be anything, to a whole provider core.

Reflector, controller, live files, recorder, node and lease run on virtual time. However the objects are: no loop
ends, no instance of an honest pod is deleted, and honest pods bound before and after are carried.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.control.memory_kube import MemoryKube
from tests.control.pure_time import play
from tests.control.world import World
from vk_provider.errors import NotFound
from vk_provider.node.node_controller import NodeController
from vk_provider.node.node_lease import NodeLease
from vk_provider.translate.node import NodeSpec

Json = dict[str, Any]
NODE, LEASE = "/api/v1/nodes/vk", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/vk"
CONFIG = "/api/v1/namespaces/web/configmaps/settings"
SPEC = NodeSpec(
    name="vk",
    identity="c/vk",
    addresses=["10.0.0.1"],
    kubelet_port=10250,
    server_version="v1.29.3",
    capacity={"cpu": "100", "memory": "200Gi", "pods": "50"},
)


def _pod(name: str, **spec: Any) -> Json:
    meta = {
        "name": name,
        "namespace": "web",
        "uid": f"hostile-{name}",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-02T03:00:00Z",
        "labels": {"app": name},
        "annotations": {"virtual-kubelet.io/instance-id": "eci-none"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "r", "uid": "r-1", "controller": True}],
        "finalizers": ["example.com/keep"],
    }
    containers = [
        {
            "name": "main",
            "image": "busybox",
            "env": [{"name": "A", "value": "$(B)"}],
            "ports": [{"name": "web", "containerPort": 80}],
            "startupProbe": {"grpc": {"port": 80}},
            "volumeMounts": [{"name": "files", "mountPath": "/etc/files"}],
        }
    ]
    volumes = [{"name": "files", "configMap": {"name": "settings"}}]
    status = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{"name": "main", "state": {"running": {"startedAt": "2026-01-02T03:00:00Z"}}}],
    }
    return {
        "kind": "Pod",
        "metadata": meta,
        "spec": {"nodeName": "vk", "restartPolicy": "Always", "containers": containers, "volumes": volumes, **spec},
        "status": status,
    }


def _scene(*lines: Json, **answers: Json) -> Json:
    """answers: by name, what is answered the first times instead of the truth."""
    return {"lines": list(lines), "answers": answers}


SCENES: tuple[Json, ...] = (
    _scene(
        list={"kind": "PodList", "metadata": {"resourceVersion": "1", "continue": ""}, "items": [_pod("a"), _pod("b")]}
    ),
    _scene(
        {"type": "ADDED", "object": _pod("a")},
        {"type": "MODIFIED", "object": _pod("a", initContainers=[{"name": "i", "image": "busybox"}])},
        {"type": "DELETED", "object": _pod("a")},
        {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "1"}}},
    ),
    _scene(
        {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "details": {"causes": []}}}
    ),
    _scene(
        config={
            "metadata": {"name": "settings", "namespace": "web", "uid": "c", "resourceVersion": "1"},
            "data": {"a": "b"},
        },
        pod=_pod("honest-1"),
    ),
    _scene(
        node={
            "metadata": {"name": "vk", "uid": "n", "annotations": {}, "labels": {}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "capacity": {"cpu": "1"},
                "nodeInfo": {},
                "addresses": [],
            },
        },
        lease={"metadata": {"name": "vk", "resourceVersion": "1"}, "spec": {"holderIdentity": "vk"}},
        events={
            "metadata": {"continue": ""},
            "items": [{"metadata": {"name": "e", "namespace": "web"}, "source": {"host": "eci"}, "count": 3}],
        },
    ),
)
_PATHS = {NODE: "node", LEASE: "lease", "/api/v1/events": "events", CONFIG: "config", "/api/v1/pods": "list"}
SILENT_S = 100.0
LIES = 2  # how often an answer is another than the truth


class HostileKube(MemoryKube):
    """told: a scene, harmed."""

    def __init__(self, told: Any, **more: Any) -> None:
        super().__init__(**more)
        told = told if isinstance(told, dict) else {}
        lines, answers = told.get("lines"), told.get("answers")
        self._told_lines: list[Any] = lines if isinstance(lines, list) else []
        self._answers: Mapping[str, Any] = answers if isinstance(answers, dict) else {}
        self._lies: dict[str, int] = {}

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> Json:
        name = _PATHS.get(path) or ("pod" if "/pods/" in path else "")
        answer = self._answers.get(name)
        if isinstance(answer, dict) and self._lies.get(path, 0) < LIES:  # the client lets nothing but objects through
            self._lies[path] = self._lies.get(path, 0) + 1
            return copy.deepcopy(answer)
        return await super().get(path, params=params, timeout_s=timeout_s)

    async def put(
        self, path: str, body: Json, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> Json:
        if path not in self.objects:
            raise NotFound(f"{path} not found", status=404)
        self.edit(path, lambda item: item.update(copy.deepcopy(body)))
        return copy.deepcopy(self.objects[path])

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float
    ) -> AsyncIterator[AsyncIterator[Json]]:
        async with super().stream(path, params=params, timeout_s=timeout_s) as lines:
            yield self._with_lies(lines, (params or {}).get("allowWatchBookmarks") == "true")

    async def _with_lies(self, lines: AsyncIterator[Json], ends_if_silent: bool) -> AsyncIterator[Json]:
        told, self._told_lines = self._told_lines, []
        for line in told:
            if isinstance(line, dict):
                yield copy.deepcopy(line)
        try:
            while True:
                async with asyncio.timeout(SILENT_S if ends_if_silent else None):  # as the client does
                    line = await anext(lines)
                yield line
        except (TimeoutError, StopAsyncIteration):
            return


class _World(World):
    def __init__(self, told: Any) -> None:
        super().__init__()
        self.kube = HostileKube(told, clock=self.now)


async def _story(told: Any) -> None:
    world = _World(told)
    mounted = {"volumes": [{"name": "files", "configMap": {"name": "settings"}}]}
    mounts = [{"name": "main", "image": "perl", "volumeMounts": [{"name": "files", "mountPath": "/etc/files"}]}]
    world.kube.add(CONFIG, {"metadata": {"name": "settings", "namespace": "web"}, "data": {"a": "b"}})
    first = world.kube.add_pod("honest-1", policy="Always", spec={**mounted, "containers": mounts})
    process = world.start(workers=2)
    node = NodeController(
        client=world.kube, spec=SPEC, recorder=process.recorder, adopt=True, jitter=lambda: 0.0, clock=world.now
    )
    lease = NodeLease(world.kube, "vk", owner_uid=lambda: node.uid, clock=world.now, jitter=lambda: 0.0)
    tasks = [asyncio.create_task(node.run()), asyncio.create_task(lease.run())]
    try:
        await asyncio.sleep(5)
        second = world.kube.add_pod("honest-2")
        for _ in range(300):
            await asyncio.sleep(2)
            ended = [task for task in (process.task, *tasks) if task.done()]
            assert not ended, ended
            if {first, second} <= set(world.cloud.starts) and lease.renewed_at is not None:
                break
        assert {first, second} <= set(world.cloud.starts), "honest pods are carried"
        assert lease.renewed_at is not None, "the node is registered and its lease renewed"
        await asyncio.sleep(150)  # orphans are looked for meanwhile
        assert not [task for task in (process.task, *tasks) if task.done()]
        owners = {each.owner.uid for each in world.cloud.instances.values()}
        assert first in owners, "no instance of an honest pod is deleted"
        assert max(world.cloud.starts[first], world.cloud.starts[second]) == 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await process.end()


def feed(told: Any) -> None:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        play(_story(told))
    finally:
        logging.disable(before)
