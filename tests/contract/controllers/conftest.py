"""Where the controllers' contract is tested: the stand-in, or a real control plane started with `--controllers`.

No kubelet is there: the tests play it, over HTTP.
"""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.contract.kube.client import Client, eventually
from tests.contract.kube.conftest import client, core, space, stand_in

__all__ = ["client", "core", "space"]


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    if real := os.environ.get("VK_E2E_KUBECONFIG"):
        if not os.environ.get("VK_E2E_CONTROLLERS"):
            pytest.skip("this control plane runs no workload controllers")
        yield Path(real)
        return
    with stand_in("--nodes", "0") as config:
        yield config


class Kubelet:
    """The hands of a node's kubelet, for the pods of one namespace."""

    def __init__(self, client: Client, core: str) -> None:
        self._client = client
        self._core = core

    def pods(self) -> dict[str, Any]:
        """By name, those that are there."""
        return {item["metadata"]["name"]: item for item in self._client.get(f"{self._core}/pods").body["items"]}

    def live(self) -> list[str]:
        """The names of those not being deleted."""
        return sorted(name for name, pod in self.pods().items() if "deletionTimestamp" not in pod["metadata"])

    def status(self, name: str, phase: str, **more: Any) -> None:
        answer = self._client.patch(f"{self._core}/pods/{name}/status", {"status": {"phase": phase, **more}})
        assert answer.status == 200, answer.body

    def run(self, name: str) -> None:
        """Report the pod as running and ready, once it is placed."""
        eventually(lambda: self.pods().get(name, {}).get("spec", {}).get("nodeName"))
        self.status(name, "Running", conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": now()}])

    def finish(self, name: str, *, code: int = 137) -> None:
        """What becomes of a pod being deleted: its containers end, and it is gone."""
        eventually(lambda: "deletionTimestamp" in self.pods()[name]["metadata"])
        ended = {"name": "c", "ready": False, "restartCount": 0, "image": "x", "imageID": "", "state": {}}
        ended["state"] = {"terminated": {"exitCode": code, "startedAt": now(), "finishedAt": now()}}
        self.status(name, "Failed" if code else "Succeeded", containerStatuses=[ended])
        self._client.delete(f"{self._core}/pods/{name}", gracePeriodSeconds=0)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def kubelet(client: Client, core: str) -> Iterator[Kubelet]:
    made = Kubelet(client, core)
    yield made
    for name in made.pods():
        client.delete(f"{core}/pods/{name}", gracePeriodSeconds=0)


@pytest.fixture
def make_node(client: Client) -> Iterator[Any]:
    names: list[str] = []

    def make(**spec: Any) -> str:
        """A node that is ready now, and stays so for longer than any test here takes."""
        name = f"n-{uuid.uuid4().hex[:8]}"
        amounts = {"cpu": "8", "memory": "16Gi", "pods": "50", **spec.pop("amounts", {})}
        beat = {"lastHeartbeatTime": now(), "lastTransitionTime": now()}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", **beat}
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}
        labels = spec.pop("labels", {})
        made = client.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}, "spec": spec})
        assert made.status == 201, made.body
        names.append(name)
        assert client.patch(f"/api/v1/nodes/{name}/status", {"status": status}).status == 200
        eventually(lambda: not _not_ready(client.get(f"/api/v1/nodes/{name}").body))
        return name

    yield make
    for name in names:
        client.delete(f"/api/v1/nodes/{name}")


def _not_ready(node: Any) -> bool:
    return any(taint["key"] == "node.kubernetes.io/not-ready" for taint in node["spec"].get("taints") or ())


@pytest.fixture
def node(make_node: Any) -> str:
    return str(make_node())


def events(client: Client, core: str, reason: str) -> list[str]:
    """The messages of the namespace's events of this reason."""
    return [item["message"] for item in client.get(f"{core}/events").body["items"] if item["reason"] == reason]
