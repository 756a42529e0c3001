"""deploy/qos-agent on a real worker node as it is shipped: its image, its pod, its token and its rights."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e import agents, images
from tests.e2e.agents import CPU, NAMESPACE, quiet_week
from tests.e2e.cluster import Cluster, Space, within
from tests.e2e.real.test_qos_agent import BUSY, CGROUP, NODE, group, idle, job, pod, running

Json = dict[str, Any]
STATE = Path("/var/lib/qos-agent")  # of the node, in whose namespaces we are


def test_the_daemon_set_offers_and_has_pods_yield(cluster: Cluster, space: Space) -> None:
    archive = images.archives()["vk-provider"]
    subprocess.run(["ctr", "--namespace=k8s.io", "images", "import", str(archive)], check=True, timeout=300)
    # What another agent has left would be cooled down from first.
    calm = {"status": {"conditions": [{"type": "interference-identified", "status": "False"}]}}
    cluster.kubectl("patch", "node", NODE, "--subresource=status", "-p", json.dumps(calm))
    STATE.mkdir(exist_ok=True)
    (STATE / "history.json").write_text(quiet_week(cpu=0.2, memory=2e9))
    cluster.kubectl("apply", "-k", str(agents.ROOT / "deploy" / "qos-agent"))
    everywhere = {"spec": {"template": {"spec": {"nodeSelector": None}}}}  # other tests keep it off
    cluster.kubectl("-n", NAMESPACE, "patch", "daemonset", "qos-agent", "--type=merge", "-p", json.dumps(everywhere))
    try:
        cluster.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/qos-agent", "--timeout=240s", within_s=300)

        def said() -> str:
            return cluster.kubectl("-n", NAMESPACE, "logs", "daemonset/qos-agent", "--tail=20")

        def published() -> int:
            return int(cluster.get(f"/api/v1/nodes/{NODE}")["status"]["allocatable"].get(CPU, 0))

        within(180, lambda: published() == 1, said)
        space.create(job("busy", BUSY, idle()), pod("regular", "sleep 3600", nodeName=NODE))
        preemptible = group(running(space, "busy"))
        found = space.when("Pod", "regular", lambda each: each["status"].get("phase") == "Running", within_s=90)
        files = (f"{group(found)}/cpu.shares", f"{preemptible}/cpu.idle")

        def weights() -> list[str]:
            return [(CGROUP / "cpu" / each).read_text().strip() for each in files]

        within(30, lambda: weights() == ["1024", "1"], lambda: (weights(), said()))
        assert "Traceback" not in said()
    finally:
        cluster.kubectl("-n", NAMESPACE, "delete", "daemonset", "qos-agent", "--cascade=foreground", within_s=120)
    within(60, lambda: weights() == ["2", "0"], weights)  # ended in order, it leaves all as the kubelet made it
    assert published() == 0
