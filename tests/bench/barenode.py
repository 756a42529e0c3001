"""`python -m tests.bench.barenode`: a node that is nothing but its writes.

For each pod bound to it the two status patches that the provider sends until the pod runs (or the one that it sends
where a pod starts at once in a burst), field by field; for each that is being deleted the last status and the final
delete. No cloud, no events, no thinking. What it reaches is what the control plane lets any client reach.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.api import STRATEGIC, Api, Json


class BareNode:
    """statuses: patches a pod until it runs, 1 or 2."""

    def __init__(self, api: Api, node: str, *, statuses: int = 2) -> None:
        self._api = api
        self._statuses = statuses
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
        if self._statuses == 1:
            await self._status(pod, {**pending(pod), **running(pod)}, annotations=NOTES)
            return
        await self._status(pod, pending(pod), annotations=NOTES)
        await self._status(pod, running(pod))

    async def _end(self, pod: Json) -> None:
        await self._status(pod, ended(pod))
        meta = pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        await self._api.send("DELETE", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}", options)

    async def _status(self, pod: Json, status: Json, **more: Json) -> None:
        meta = pod["metadata"]
        body = {"metadata": {"uid": meta["uid"], **more}, "status": status}
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
        await self._api.send("PATCH", path, body, kind=STRATEGIC)


NOTES = {
    "virtual-kubelet.io/instance-id": "eci-0123456789abcdef",
    "k8s.aliyun.com/eci-instance-id": "eci-0123456789abcdef",
    "k8s.aliyun.com/eci-request-id": "01234567-89AB-CDEF-0123-456789ABCDEF",
    "k8s.aliyun.com/eci-instance-spec": "0.25-0.5Gi",
}


def pending(pod: Json) -> Json:
    unready = {"reason": "ContainersNotReady", "message": "containers with unready status: [main]"}
    conditions = _conditions(
        ("PodReadyToStartContainers", "False", {}),
        ("Initialized", "True", {}),
        ("Ready", "False", unready),
        ("ContainersReady", "False", unready),
        ("PodScheduled", "True", {}),
    )
    return {
        "hostIP": "10.0.0.1",
        "hostIPs": [{"ip": "10.0.0.1"}],
        "startTime": _now(),
        "conditions": conditions,
        "containerStatuses": [{**_container(pod, {"waiting": {"reason": "ContainerCreating"}}), "imageID": ""}],
    }


def running(pod: Json) -> Json:
    ready = {"reason": None, "message": None}
    conditions = _conditions(
        ("PodReadyToStartContainers", "True", {}),
        ("Ready", "True", ready),
        ("ContainersReady", "True", ready),
        ("ContainerInstanceCreated", "True", {"reason": "Created", "message": "the instance was created"}),
    )
    container = {**_container(pod, {"running": {"startedAt": _now()}}, ready=True), "containerID": CONTAINER_ID}
    return {
        "phase": "Running",
        "podIP": "10.1.2.3",
        "podIPs": [{"ip": "10.1.2.3"}],
        "conditions": conditions,
        "containerStatuses": [container],
    }


def ended(pod: Json) -> Json:
    failed = {"reason": "PodFailed"}
    end = {"exitCode": 143, "reason": "Error", "startedAt": _now(), "finishedAt": _now(), "signal": 15}
    container = {**_container(pod, {"terminated": {**end, "containerID": CONTAINER_ID}}), "containerID": CONTAINER_ID}
    conditions = _conditions(
        ("PodReadyToStartContainers", "False", {}), ("Ready", "False", failed), ("ContainersReady", "False", failed)
    )
    return {"phase": "Failed", "conditions": conditions, "containerStatuses": [container]}


CONTAINER_ID = "containerd://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"


def _container(pod: Json, state: Json, *, ready: bool = False) -> Json:
    spec = pod["spec"]["containers"][0]
    return {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "ready": ready,
        "restartCount": 0,
        "started": ready,
        "state": state,
        "lastState": {},
        "resources": {"requests": spec["resources"]["requests"]},
        "allocatedResources": spec["resources"]["requests"],
    }


def _conditions(*conditions: tuple[str, str, Json]) -> list[Json]:
    return [{"type": kind, "status": status, "lastTransitionTime": _now(), **more} for kind, status, more in conditions]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _main(kubeconfig: Path, node: str, statuses: int) -> None:
    async with Api(kubeconfig) as api:
        await BareNode(api, node, statuses=statuses).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("node")
    parser.add_argument("--statuses", type=int, choices=(1, 2), default=2)
    args = parser.parse_args()
    asyncio.run(_main(args.kubeconfig, args.node, args.statuses))
