"""`python -m tests.e2e.prepared COMMAND …`: runs it with a real cluster as its own, as the demo's story expects one.

Two worker nodes of 4 CPU and 8 Gi on which nothing runs, and deploy/'s policy that sends labelled namespaces to the
virtual node (Kubernetes 1.36 or newer). The command is given --kubeconfig and --node-ip, as `python -m fakes demo` and
`python -m fakes up` take them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.e2e import build, network
from tests.e2e.cluster import Cluster, Workers, within
from tests.e2e.controlplane import ControlPlane

POLICY = Path(__file__).parents[2] / "deploy" / "placement" / "policy" / "policy.yaml"
INJECTED = {"metadata": {"name": "prepared", "labels": {"virtual-node-affinity-injection": "enabled"}}}
POD = {"metadata": {"name": "tried"}, "spec": {"containers": [{"name": "main", "image": "busybox"}]}}


def main(command: Sequence[str]) -> int:
    programs = build.programs()
    address = network.enter()
    with tempfile.TemporaryDirectory(prefix="vk-e2e-") as folder:
        plane = ControlPlane(programs, Path(folder), address=address)
        try:
            plane.start()
            cluster = Cluster(plane.kubeconfig, address=address)
            workers = Workers(cluster, ["worker-1", "worker-2"], cpu="4", memory="8Gi")
            workers.start()
            cluster.kubectl("apply", "-f", str(POLICY))
            _wait_until_it_acts(cluster)
            return subprocess.run([*command, f"--kubeconfig={plane.kubeconfig}", f"--node-ip={address}"]).returncode
        finally:
            plane.stop()


def _wait_until_it_acts(cluster: Cluster) -> None:
    """An API server takes a policy up some time after it was made: until then a pod goes anywhere."""
    cluster.create("/api/v1/namespaces", INJECTED)
    pods = "/api/v1/namespaces/prepared/pods"
    within(30, lambda: cluster.get("/api/v1/namespaces/prepared/serviceaccounts/default"))
    within(60, lambda: cluster.create(f"{pods}?dryRun=All", POD)["spec"].get("affinity"))
    cluster.delete("/api/v1/namespaces/prepared")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
