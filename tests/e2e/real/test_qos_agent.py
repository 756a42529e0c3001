"""Preemptible Jobs on a real worker node, as the article has them: real pods, a real kubelet, this machine's kernel.

Shares are measured between two pods that are bound to one processor, whatever else the machine does: of what the two of
them get, how much is the regular one's.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import agents
from tests.e2e.agents import CPU, MEMORY, AgentProcess
from tests.e2e.cluster import Cluster, Space, within

Json = dict[str, Any]
NODE = "real"
CGROUP = Path("/sys/fs/cgroup")
IMAGE = "local.test/busybox:1"
BUSY = "while :; do :; done"
ONE_CPU = f"exec taskset 2 sh -c '{BUSY}'"  # the second processor
MEASURE_S = 3.0


@pytest.fixture(scope="module", autouse=True)
def installed(cluster: Cluster) -> None:
    agents.install(cluster)


@pytest.fixture(scope="module")
def make_agent(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], AgentProcess]]:
    """Further lives of one agent: the same folder, whose history says that nearly nothing is used."""
    agent = AgentProcess(cluster, tmp_path_factory.mktemp("agent"), NODE, flags=["--reserve-cpu-percent=0"])
    agent.has_seen(cpu=0.2, memory=2e9)

    def start() -> AgentProcess:
        if not agent.process.runs:
            agent.start()
        return agent

    yield start
    agent.process.stop()


def container(script: str, **fields: Any) -> Json:
    return {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        **fields,
    }


def idle(cpu: object = 1, memory: str = "256Mi") -> Json:
    return {"limits": {CPU: str(cpu), MEMORY: memory}}


def template(script: str, resources: Json, **spec: Any) -> Json:
    main = container(script, resources=resources, **spec.pop("container", {}))
    return {"spec": {"containers": [main], "restartPolicy": "Never", "terminationGracePeriodSeconds": 2, **spec}}


def job(name: str, script: str, resources: Json, **spec: Any) -> Json:
    ignore = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    body = {"backoffLimit": 0, "podFailurePolicy": ignore, "template": template(script, resources, **spec)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": body}


def pod(name: str, script: str, resources: Json | None = None, **spec: Any) -> Json:
    made = template(script, resources or {}, **spec)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **made}


def pods_of(space: Space, name: str) -> list[Json]:
    return space.pods(f"job-name%3D{name}")


def running(space: Space, name: str) -> Json:
    """A Job's pod, once it runs."""
    return within(
        90,
        lambda: next((each for each in pods_of(space, name) if each["status"].get("phase") == "Running"), None),
        lambda: [(each["status"], space.events(each["metadata"]["name"])) for each in pods_of(space, name)],
    )


def node_requests(cluster: Cluster) -> list[str]:
    """The lines of `kubectl describe node` that say what of cpu and memory is requested."""
    lines = cluster.kubectl("describe", "node", NODE).splitlines()
    begin = lines.index("Allocated resources:")
    return [line.split()[:2][1] for line in lines[begin:] if line.split()[:1] in (["cpu"], ["memory"])]


# --- the article's steps ----------------------------------------------------------------------------------------------


def test_from_apply_to_insufficient_memory(
    cluster: Cluster, space: Space, make_agent: Callable[[], AgentProcess]
) -> None:
    allocatable = cluster.get(f"/api/v1/nodes/{NODE}")["status"]["allocatable"]
    agent = make_agent()
    agent.when_published(1, within_s=120)
    made = "/apis/ensurance.crane.io/v1alpha1/podqoss/all-be-pods"
    within(60, lambda: cluster.get(made), agent.process.tail)
    after = cluster.get(f"/api/v1/nodes/{NODE}")["status"]["allocatable"]
    assert {name: after[name] for name in allocatable} == allocatable
    before = node_requests(cluster)
    space.create(job("pi", "echo 3.14; sleep 5", idle()))
    running(space, "pi")
    assert node_requests(cluster) == before
    space.when("Job", "pi", lambda each: each["status"].get("succeeded") == 1, within_s=60)

    for name, resources, word in (("memory", idle(1, "500Gi"), MEMORY), ("cpu", idle(60), CPU)):
        space.create(job(name, "true", resources))
        condition = within(60, lambda name=name: _unscheduled(space, name), lambda name=name: pods_of(space, name))
        assert f"1 Insufficient {word}" in condition["message"]
        assert condition["message"].count("Insufficient") == 1
        space.delete("Job", name)

    half = cluster.run_kubectl(
        "-n", space.name, "create", "-f", "-", stdin=json.dumps(job("half", "true", idle("0.5")))
    )
    assert half.returncode != 0
    assert "integer" in half.stderr or "whole" in half.stderr
    labels = {"app": "web"}
    body = {**template("sleep 1", idle(), restartPolicy="Always"), "metadata": {"labels": labels}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": labels}, "template": body},
    }
    refused = within(
        30,  # the policy may be younger than the API server's knowledge of it
        lambda: (said := cluster.run_kubectl("-n", space.name, "create", "--dry-run=server", "-f", "-",
                                             stdin=json.dumps(deployment))).returncode and said,
    )  # fmt: skip
    assert "only CronJobs and Jobs may" in refused.stderr
    assert agent.complaints() == []


def _unscheduled(space: Space, name: str) -> Json | None:
    for each in pods_of(space, name):
        for condition in each["status"].get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False" and condition.get("message"):
                return condition
    return None


# --- the processor ----------------------------------------------------------------------------------------------------


def group(found: Json) -> str:
    qos = found["status"]["qosClass"].lower()
    return f"kubepods/{qos}/pod{found['metadata']['uid']}"


def used_ns(path: str) -> int:
    return int((CGROUP / "cpuacct" / path / "cpuacct.usage").read_text())


def has_begun(path: str) -> bool:
    """Whether the group's busy loop runs, beside what holds the pod's namespaces."""
    for procs in (CGROUP / "cpu" / path).glob("*/cgroup.procs"):
        with suppress(OSError):
            for pid in procs.read_text().split():
                if Path(f"/proc/{pid}/comm").read_text().strip() == "sh":
                    return True
    return False


def share_from_the_start(space: Space, name: str, resources: Json, preemptible: Json) -> float:
    """Of what the two use of one processor, a regular pod's share, from 50 ms after its container has begun."""
    space.create(pod(name, ONE_CPU, resources, nodeName=NODE))
    regular = within(30, lambda: (found := space.get("Pod", name))["status"].get("qosClass") and found)
    path, other, deadline = group(regular), group(preemptible), time.monotonic() + 90
    while not has_begun(path):
        assert time.monotonic() < deadline, space.get("Pod", name)["status"]
        time.sleep(0.005)
    time.sleep(0.05)
    before = used_ns(path), used_ns(other)
    time.sleep(MEASURE_S)
    mine, its = used_ns(path) - before[0], used_ns(other) - before[1]
    return mine / (mine + its)


@pytest.mark.parametrize(
    ("kind", "resources"), [("besteffort", {}), ("burstable", {"requests": {"cpu": "100m", "memory": "8Mi"}})]
)
def test_a_regular_pod_has_the_processor_from_its_start(
    space: Space,
    make_agent: Callable[[], AgentProcess],
    capsys: pytest.CaptureFixture[str],
    kind: str,
    resources: Json,
) -> None:
    make_agent().when_published(1)
    space.create(job("busy", ONE_CPU, idle()))
    preemptible = running(space, "busy")
    with_agent = share_from_the_start(space, f"{kind}-with", resources, preemptible)
    space.delete("Pod", f"{kind}-with")
    make_agent().process.stop()  # in order: everything is as the kubelet made it
    assert (CGROUP / "cpu" / group(preemptible) / "cpu.idle").read_text().strip() == "0"
    assert (CGROUP / "cpu" / group(preemptible) / "cpu.shares").read_text().strip() == "2"
    without = share_from_the_start(space, f"{kind}-without", resources, preemptible)
    with capsys.disabled():
        sys.stdout.write(f"\n{kind}: {with_agent:.1%} with the agent, {without:.1%} without\n")
    assert with_agent >= 0.97
    if kind == "besteffort":
        assert without < 0.7


def test_the_preemptible_pod_has_everything_again_and_a_killed_agent_leaves_it_right(
    space: Space, make_agent: Callable[[], AgentProcess]
) -> None:
    agent = make_agent()
    agent.when_published(1)
    space.create(job("busy", ONE_CPU, idle()), pod("regular", "sleep 3600", nodeName=NODE))
    preemptible = group(running(space, "busy"))
    regular = group(space.when("Pod", "regular", lambda each: each["status"].get("phase") == "Running", within_s=60))

    def weights() -> tuple[str, str, str]:
        files = (f"{regular}/cpu.shares", f"{preemptible}/cpu.idle", f"{regular}/cpu.idle")
        return tuple((CGROUP / "cpu" / each).read_text().strip() for each in files)

    within(20, lambda: weights() == ("1024", "1", "0"), weights)
    before, began = used_ns(preemptible), time.monotonic()
    time.sleep(1)
    assert used_ns(preemptible) - before > 0.1e9 * (time.monotonic() - began)  # the machine has other work, too

    agent.process.kill()
    assert weights() == ("1024", "1", "0")  # what is there needs no agent
    make_agent()
    time.sleep(2)
    assert weights() == ("1024", "1", "0")
    agent.process.kill()
    space.delete("Job", "busy", propagationPolicy="Background")
    within(60, lambda: not (CGROUP / "cpu" / preemptible).exists())
    make_agent()
    shares = CGROUP / "cpu" / regular / "cpu.shares"
    within(60, lambda: shares.read_text().strip() == "2", shares.read_text)
    assert space.get("Pod", "regular")["status"]["phase"] == "Running"
    assert agent.complaints() == []


# --- memory -----------------------------------------------------------------------------------------------------------

IN_MEMORY = {"volumes": [{"name": "held", "emptyDir": {"medium": "Memory"}}]}
MOUNT = {"volumeMounts": [{"name": "held", "mountPath": "/held"}]}


def hold(mib: int) -> str:
    return f"dd if=/dev/zero of=/held/x bs=1M count={mib} 2>/dev/null; sleep 3600"


def test_memory_contention_ends_the_youngest_and_its_job_makes_another(
    cluster: Cluster, space: Space, make_agent: Callable[[], AgentProcess]
) -> None:
    make_agent().process.stop()
    room = {"capacity": {CPU: "4", MEMORY: "4Gi"}, "allocatable": {CPU: "4", MEMORY: "4Gi"}}
    cluster.kubectl("patch", "node", NODE, "--subresource=status", "-p", json.dumps({"status": room}))
    uids = {}
    for name in ("old", "young"):
        time.sleep(2)  # times of start are in whole seconds
        space.create(job(name, hold(200), idle(1, "512Mi"), container=MOUNT, **IN_MEMORY))
        uids[name] = running(space, name)["metadata"]["uid"]
    agent = make_agent()
    agent.when_published(1, within_s=120)  # less than the two hold, which ends nobody
    used = within(60, lambda: _node_memory(cluster))
    rule = {
        "name": "memory",
        "metricRule": {"name": "memory_total_usage", "value": str(used + 150 * 2**20)},
        "avoidanceThreshold": 2,
        "actionName": "reclaim-preemptible",
    }
    qos = {"apiVersion": "ensurance.crane.io/v1alpha1", "kind": "NodeQOS", "metadata": {"name": "memory"}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({**qos, "spec": {"rules": [rule]}}))
    try:
        space.create(pod("regular", hold(300), nodeName=NODE, container=MOUNT, **IN_MEMORY))

        def successor() -> Json | None:
            return next((each for each in pods_of(space, "young") if each["metadata"]["uid"] != uids["young"]), None)

        made = within(180, successor, lambda: (agent.process.tail(), pods_of(space, "young")))
        assert made["status"]["phase"] == "Pending"  # for nothing more is offered
        assert [each["metadata"]["uid"] for each in pods_of(space, "old")] == [uids["old"]]
        status = space.get("Job", "young")["status"]
        assert (status.get("failed", 0), status.get("active")) == (0, 1)
        assert space.get("Pod", "regular")["status"]["phase"] == "Running"
        reasons = {event["reason"] for event in cluster.items("/api/v1/namespaces/default/events")}
        assert {"UpdateNode", "AvoidanceTriggered"} <= reasons
        told = [event for event in cluster.items(space.path("Event")) if event["reason"] == "PreemptibleReclaim"]
        assert told[0]["involvedObject"]["uid"] == uids["young"]
        assert agent.complaints() == []
    finally:
        cluster.kubectl("delete", "nodeqos", "memory", "--ignore-not-found")


def _node_memory(cluster: Cluster) -> int:
    page = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/metrics/resource")
    found = [line.split()[1] for line in page.splitlines() if line.startswith("node_memory_working_set_bytes ")]
    return int(float(found[0])) if found else 0
