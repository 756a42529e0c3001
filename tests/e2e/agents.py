"""The agent as deploy/qos-agent runs it: its ServiceAccount, its rights, its flags; as a process."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster, within
from tests.e2e.processes import Process
from tests.e2e.provider import REFUSED, free_port
from vk_provider.idle.history import History

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
NAMESPACE, ACCOUNT = "kube-system", "qos-agent"
CPU, MEMORY = "gocrane.io/cpu", "gocrane.io/memory"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


def install(cluster: Cluster) -> None:
    """Everything of deploy/qos-agent, in one go; but no pod of the DaemonSet, whose image nobody built here."""
    rendered = cluster.kubectl("kustomize", str(ROOT / "deploy" / "qos-agent"))
    cluster.kubectl("apply", "-f", "-", stdin=rendered)
    nowhere = {"spec": {"template": {"spec": {"nodeSelector": {"no-such-node": "true"}}}}}
    cluster.kubectl("-n", NAMESPACE, "patch", "daemonset", "qos-agent", "--type=merge", "-p", json.dumps(nowhere))


def quiet_week(*, cpu: float, memory: float) -> str:
    """What an agent has in its file that has seen so much regular use for a week, cores and bytes."""
    histories, now = {}, int(time.time())
    for resource, value in (("cpu", cpu), ("memory", memory)):
        history = History()
        for when_s in range(now - 7 * 86_400, now - 60, 60):
            history.record(when_s, value)
        histories[resource] = history.encode()
    return json.dumps(histories)


class AgentProcess:
    """One process for one node. flags: what a test needs beside those of deploy/."""

    def __init__(self, cluster: Cluster, directory: Path, node: str, *, flags: Sequence[str] = ()) -> None:
        self.node, self._cluster = node, cluster
        self.folder = directory / f"agent-{node}"
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.state.mkdir()
        config = self.folder / "kubeconfig"
        config.write_text(cluster.kubeconfig_of(cluster.token_of(ACCOUNT, namespace=NAMESPACE)))
        self.port = free_port("127.0.0.1")
        command = [
            *(sys.executable, "-m", "vk_provider", "qos-agent"),
            f"--node-name={node}",
            f"--kubeconfig={config}",
            f"--state-directory={self.state}",
            f"--listen-address=127.0.0.1:{self.port}",
            *flags,
        ]
        self.process = Process(f"agent-{node}", command, directory=self.folder)

    def has_seen(self, *, cpu: float, memory: float) -> None:
        """A history of so much regular use."""
        (self.state / "history.json").write_text(quiet_week(cpu=cpu, memory=memory))

    def start(self) -> None:
        self.process.start()

    def published(self) -> tuple[int, str]:
        """Of the Node's allocatable: cores, and the quantity of memory; (-1, "") while it says nothing."""
        node = self._cluster.get(f"/api/v1/nodes/{self.node}")
        stated = (node or {})["status"].get("allocatable", {})
        return int(stated.get(CPU, -1)), str(stated.get(MEMORY, ""))

    def when_published(self, cpu: int, *, within_s: float = 90) -> None:
        def look() -> bool:
            assert self.process.runs, self.process.tail()
            return self.published()[0] == cpu

        within(within_s, look, lambda: (self.published(), self.process.tail()))

    def complaints(self) -> list[str]:
        """What no good day has: tracebacks, and rights that it lacks."""
        lines = self.process.log.read_text(errors="replace").splitlines()
        return [line for line in lines if "Traceback" in line or " ERROR " in line or REFUSED.search(line)]
