"""A small cluster on virtual time: the real Api, all controllers, and hands to play the kubelet with."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.kube.api import Api, ApiError
from fakes.kube.controllers import run_controllers

Json = dict[str, Any]
START = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)


class World:
    """`seconds` is the virtual clock of the tests' fixture; object time runs with it from START."""

    def __init__(self, seconds, *, keep: int = 10_000) -> None:
        self.seconds = seconds
        self.api = Api(clock=lambda: START + timedelta(seconds=seconds()), keep=keep)
        for name in ("default", "kube-system", "kube-node-lease"):
            self.namespace(name)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(run_controllers(self.api))

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        assert self._task.cancelled(), self._task.exception()

    def now(self) -> str:
        return self.api.clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    async def until(self, what, *, within_s: float = 600.0) -> float:
        """Wait in virtual time until `what()` holds; the second at which it did."""
        end = self.seconds() + within_s
        while not what():
            assert self.seconds() < end, f"not within {within_s} s"
            assert self._task is None or not self._task.done(), "the controllers ended"
            await asyncio.sleep(0.05)
        return round(self.seconds(), 3)  # object time has microseconds only, so less would be noise

    async def settle(self, for_s: float = 0.5) -> None:
        """Let everything that follows at once happen."""
        await asyncio.sleep(for_s)

    # objects

    def namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        """A namespace with the ServiceAccount that pods need; making that is another controller's task."""
        self.make("namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        self.make("serviceaccounts", {"metadata": {"name": "default"}}, name)

    def make(self, resource: str, obj: Json, namespace: str | None = None) -> Json:
        return self.api.create(resource, obj, namespace)

    def get(self, resource: str, name: str, namespace: str | None = "default") -> Json:
        return self.api.get(resource, name, namespace)

    def exists(self, resource: str, name: str, namespace: str | None = "default") -> bool:
        try:
            self.api.get(resource, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True

    def pods(self, namespace: str = "default", selector: str = "") -> list[Json]:
        return self.api.list("pods", namespace, label_selector=selector)[0]

    def live(self, namespace: str = "default") -> list[Json]:
        return [
            pod
            for pod in self.pods(namespace)
            if not pod["metadata"].get("deletionTimestamp") and pod["status"]["phase"] not in ("Succeeded", "Failed")
        ]

    def events(self, reason: str, namespace: str = "default") -> list[Json]:
        return [item for item in self.api.list("events", namespace)[0] if item["reason"] == reason]

    def messages(self, reason: str, namespace: str = "default") -> list[str]:
        return [item["message"] for item in self.events(reason, namespace)]

    def condition(self, obj: Json, kind: str) -> Json | None:
        found = [item for item in obj["status"].get("conditions", []) if item["type"] == kind]
        return found[0] if found else None

    # playing the kubelet

    def node(self, name: str, *, cpu="4", memory="8Gi", labels=None, taints=None, ready=True, **extra) -> Json:
        amounts = {"cpu": cpu, "memory": memory, "ephemeral-storage": "100Gi", "pods": "110", **extra}
        status = {"capacity": amounts, "allocatable": amounts, "conditions": []}
        if ready:
            beat = {"lastHeartbeatTime": self.now(), "lastTransitionTime": self.now()}
            status["conditions"] = [
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", **beat}
            ]
        meta = {"name": name, "labels": labels or {}}
        return self.make("nodes", {"metadata": meta, "spec": {"taints": taints or []}, "status": status})

    def hollow(self, name: str, **more) -> Json:
        return self.node(name, labels={"vk-provider.dev/hollow-node": "true"}, **more)

    def virtual_node(self) -> Json:
        taint = {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"}
        labels = {"type": "virtual-kubelet"}
        return self.node("virtual-kubelet", cpu="1000", memory="4000Gi", labels=labels, taints=[taint])

    def beat(self, name: str) -> None:
        body = {"spec": {"renewTime": self.api.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
        try:
            self.api.patch("leases.coordination.k8s.io", name, "kube-node-lease", body, kind="merge")
        except ApiError:
            body = {"metadata": {"name": name}, "spec": {"holderIdentity": name, **body["spec"]}}
            self.make("leases.coordination.k8s.io", body, "kube-node-lease")

    def status(self, pod: Json, body: Json) -> Json:
        meta = pod["metadata"]
        return self.api.patch(
            "pods", meta["name"], meta["namespace"], {"status": body}, kind="merge", subresource="status"
        )

    def run_pod(self, pod: Json, *, ip: str = "10.1.0.1") -> Json:
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": self.now()}
        return self.status(pod, {"phase": "Running", "podIP": ip, "startTime": self.now(), "conditions": [ready]})

    def end_pod(self, pod: Json, *, code: int = 0) -> Json:
        ended = {
            "exitCode": code,
            "finishedAt": self.now(),
            "startedAt": self.now(),
            "reason": "Completed" if code == 0 else "Error",
        }
        name = pod["spec"]["containers"][0]["name"]
        statuses = [
            {
                "name": name,
                "ready": False,
                "restartCount": 0,
                "image": "x",
                "imageID": "",
                "state": {"terminated": ended},
            }
        ]
        return self.status(pod, {"phase": "Failed" if code else "Succeeded", "containerStatuses": statuses})

    def remove_pod(self, pod: Json) -> None:
        self.api.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"], grace_seconds=0)


def container(**resources) -> Json:
    body: Json = {"name": "main", "image": "busybox"}
    if resources:
        body["resources"] = {"requests": resources}
    return body


def pod(name: str, *, labels=None, **spec) -> Json:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"containers": [container()], **spec}}


def template(labels: dict[str, str] | None = None, **spec) -> Json:
    return {"metadata": {"labels": labels or {}}, "spec": {"containers": [container()], **spec}}


def job(name: str = "pi", *, pod_spec: Json | None = None, **spec) -> Json:
    return {
        "metadata": {"name": name},
        "spec": {"template": template(**{"restartPolicy": "Never", **(pod_spec or {})}), **spec},
    }
