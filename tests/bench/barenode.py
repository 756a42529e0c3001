"""`python -m tests.bench.barenode`: a node that is nothing but its writes.

For each pod bound to it the two status patches that the provider sends until the pod runs, and for each that is being
deleted the last status and the final delete; no cloud, no events, no thinking. What it reaches is what the control
plane lets any client reach.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.api import STRATEGIC, Api, Json


class BareNode:
    def __init__(self, api: Api, node: str) -> None:
        self._api = api
        self._path = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"
        self._begun: set[str] = set()
        self._ending: set[str] = set()

    async def run(self) -> None:
        version = (await self._api.get(self._path))["metadata"]["resourceVersion"]
        print("watching", flush=True)
        async with asyncio.TaskGroup() as tasks:
            while True:
                async for line in self._api.watch(self._path, version):
                    entry = json.loads(line)
                    pod = entry["object"]
                    meta = pod["metadata"]
                    version = meta["resourceVersion"]
                    if entry["type"] in ("ADDED", "MODIFIED"):
                        if meta.get("deletionTimestamp") and meta["uid"] not in self._ending:
                            self._ending.add(meta["uid"])
                            tasks.create_task(self._end(pod))
                        elif meta["uid"] not in self._begun:
                            self._begun.add(meta["uid"])
                            tasks.create_task(self._begin(pod))

    async def _begin(self, pod: Json) -> None:
        await self._status(pod, _pending(pod), annotations={"k8s.aliyun.com/eci-instance-id": "eci-0123456789abcdef"})
        await self._status(pod, _running(pod))

    async def _end(self, pod: Json) -> None:
        await self._status(pod, _ended(pod))
        meta = pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        await self._api.send("DELETE", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}", options)

    async def _status(self, pod: Json, status: Json, **more: Json) -> None:
        meta = pod["metadata"]
        body = {"metadata": {"uid": meta["uid"], **more}, "status": status}
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
        await self._api.send("PATCH", path, body, kind=STRATEGIC)


def _pending(pod: Json) -> Json:
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    conditions = _conditions(("Initialized", "True"), ("Ready", "False"), ("ContainersReady", "False"))
    return {
        "hostIP": "10.0.0.1",
        "startTime": _now(),
        "conditions": conditions,
        "containerStatuses": [_container(pod, waiting)],
    }


def _running(pod: Json) -> Json:
    return {
        "phase": "Running",
        "podIP": "10.1.2.3",
        "podIPs": [{"ip": "10.1.2.3"}],
        "conditions": _conditions(("Ready", "True"), ("ContainersReady", "True"), ("ContainerInstanceCreated", "True")),
        "containerStatuses": [_container(pod, {"running": {"startedAt": _now()}}, ready=True)],
    }


def _ended(pod: Json) -> Json:
    ended = {"exitCode": 143, "reason": "Error", "startedAt": _now(), "finishedAt": _now(), "signal": 15}
    return {
        "phase": "Failed",
        "conditions": _conditions(("Ready", "False"), ("ContainersReady", "False")),
        "containerStatuses": [_container(pod, {"terminated": ended})],
    }


def _container(pod: Json, state: Json, *, ready: bool = False) -> Json:
    spec = pod["spec"]["containers"][0]
    return {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "containerID": "containerd://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "ready": ready,
        "restartCount": 0,
        "started": ready,
        "state": state,
        "lastState": {},
    }


def _conditions(*pairs: tuple[str, str]) -> list[Json]:
    return [{"type": kind, "status": status, "lastTransitionTime": _now()} for kind, status in pairs]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _main(kubeconfig: Path, node: str) -> None:
    async with Api(kubeconfig) as api:
        await BareNode(api, node).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("node")
    args = parser.parse_args()
    asyncio.run(_main(args.kubeconfig, args.node))
