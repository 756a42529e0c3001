"""The agent on a real control plane, beside hollow kubelets whose use follows a script.

What real pods and a real kernel make of it: `tests/e2e/real/test_qos_agent.py`, with `make e2e NODE=real`.
"""

import json
import math
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import agents
from tests.e2e.agents import CPU, LEASES, MEMORY, AgentProcess
from tests.e2e.cluster import Cluster, Space, Workers, condition, within
from tests.e2e.controlplane import ControlPlane
from tests.e2e.hollow import GIB, RUN_S, HollowKubelet

Json = dict[str, Any]
QUIET = 0.5  # cores


@pytest.fixture(scope="module")
def idle_cluster(plane: ControlPlane | None) -> Cluster:
    if plane is None:
        pytest.skip("the hollow kubelets' certificates are of the control plane that these tests start themselves")
    cluster = Cluster(plane.kubeconfig, address=plane.address)
    if not cluster.serves("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"):
        pytest.skip("deploy/qos-agent needs ValidatingAdmissionPolicy, which Kubernetes has since 1.30")
    agents.install(cluster)
    return cluster


@pytest.fixture(scope="module")
def kubelets(plane: ControlPlane, idle_cluster: Cluster) -> Iterator[dict[str, HollowKubelet]]:
    """Three nodes of 8 cores and 16 GiB, of which nearly nothing is used."""
    names = [f"hollow-{uuid.uuid4().hex[:6]}" for _ in range(3)]
    workers = Workers(idle_cluster, names, cpu="8", memory="16Gi")
    workers.start()
    certificate, key = plane._pair("hollow-kubelets", plane._authority.server(["127.0.0.1"]))
    made = {name: HollowKubelet(idle_cluster, name, certificate=certificate, key=key) for name in names}
    for kubelet in made.values():
        kubelet.cpu = lambda _: QUIET
        kubelet.start()
    yield made
    for kubelet in made.values():
        kubelet.stop()
    workers.stop()


@pytest.fixture(scope="module")
def running(
    idle_cluster: Cluster, kubelets: dict[str, HollowKubelet], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, AgentProcess]]:
    """A new agent for each. The nodes have no kernel, so nobody is made to yield."""
    folder, made = tmp_path_factory.mktemp("agents"), {}
    for node in kubelets:
        made[node] = AgentProcess(idle_cluster, folder, node, flags=["--cgroup-root="])
        made[node].start()
    yield made
    for agent in made.values():
        agent.process.stop()


@pytest.fixture(autouse=True)
def quiet(kubelets: dict[str, HollowKubelet], running: dict[str, AgentProcess]) -> None:
    """Each test begins with 3 cores published by each node: 8 x 0.9, and half is taken for used at first."""
    for kubelet in kubelets.values():
        kubelet.cpu, kubelet.memory, kubelet.is_silent = (lambda _: QUIET), (lambda _: 2.0 * GIB), False
    for agent in running.values():
        agent.start() if not agent.process.runs else None
        agent.when_published(3, within_s=240)


@pytest.fixture
def space(idle_cluster: Cluster) -> Iterator[Space]:
    space = Space(idle_cluster, f"t-{uuid.uuid4().hex[:8]}")
    space.make()
    yield space
    idle_cluster.delete(f"/api/v1/namespaces/{space.name}")
    within(240, lambda: not space.pods(), lambda: len(space.pods()))  # up to 200, by one thread of the hollow kubelet


def pod_template(cpu: int, memory: str, *, run_s: float | None, **spec: Any) -> Json:
    limits = {"limits": {CPU: str(cpu), MEMORY: memory}}
    main = {"name": "main", "image": "perl", "resources": limits}
    annotations = {} if run_s is None else {RUN_S: str(run_s)}
    return {"metadata": {"annotations": annotations}, "spec": {"containers": [main], "restartPolicy": "Never", **spec}}


def job(name: str, cpu: int, memory: str, *, run_s: float | None = 1.0, pods: int = 1, **spec: Any) -> Json:
    ignore = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    body = {
        "backoffLimit": 0,
        "parallelism": pods,
        "completions": pods,
        "podFailurePolicy": ignore,
        "template": pod_template(cpu, memory, run_s=run_s, **spec),
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": body}


def test_what_was_installed_has_the_articles_names(idle_cluster: Cluster, running: dict[str, AgentProcess]) -> None:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = (
        "avoidanceactions.ensurance",
        "nodeqoss.ensurance",
        "podqoss.ensurance",
        "timeseriespredictions.prediction",
    )
    for name in names:
        assert idle_cluster.get(f"{crds}/{name}.crane.io") is not None
    rbac, of_system = "/apis/rbac.authorization.k8s.io/v1", "namespaces/kube-system"
    for path in (
        f"{rbac}/clusterroles/qos-agent",
        f"{rbac}/clusterrolebindings/qos-agent",
        f"/api/v1/{of_system}/serviceaccounts/qos-agent",
        f"/apis/apps/v1/{of_system}/daemonsets/qos-agent",
        f"/api/v1/{of_system}/services/crane-agent",
    ):
        assert idle_cluster.get(path) is not None, path
    made = "/apis/ensurance.crane.io/v1alpha1/podqoss/all-be-pods"
    within(90, lambda: idle_cluster.get(made))  # by the elected agent
    assert idle_cluster.get(f"/api/v1/{of_system}/services/crane-agent")["spec"]["ports"][0]["port"] == 8081


def test_the_figure_follows_the_use(
    idle_cluster: Cluster, kubelets: dict[str, HollowKubelet], running: dict[str, AgentProcess]
) -> None:
    """A day in two minutes: it is never more than what is left, but for the two readings that it takes to see it."""
    node = next(iter(kubelets))
    kubelet, agent = kubelets[node], running[node]
    before = idle_cluster.get(f"/api/v1/nodes/{node}")["status"]["allocatable"]
    began = time.time()
    kubelet.cpu = lambda now: 3.0 - 2.5 * math.cos(2 * math.pi * (now - began) / 120)
    lowest = 8
    while (passed := time.time() - began) < 120:
        published, used = agent.published()[0], max(kubelet.cpu(began + passed - back) for back in (0, 6, 12))
        least = min(kubelet.cpu(began + passed - back) for back in range(0, 19, 3)) if passed > 18 else 0.0
        assert published <= 7.2 - least + 0.01, (passed, published, used)
        lowest = min(lowest, published)
        time.sleep(1)
    assert lowest == 1  # 7.2 - 5.5
    kubelet.cpu = lambda _: QUIET
    agent.when_published(3, within_s=240)
    after = idle_cluster.get(f"/api/v1/nodes/{node}")["status"]["allocatable"]
    assert {name: after[name] for name in ("cpu", "memory", "pods")} == {
        name: before[name] for name in ("cpu", "memory", "pods")
    }
    assert all(kind == "Bearer" for _, kind in kubelet.requests)


def test_a_job_and_a_cron_job_run_and_request_nothing_of_the_ordinary_kind(
    idle_cluster: Cluster, space: Space, kubelets: dict[str, HollowKubelet]
) -> None:
    space.create(job("pi", 2, "2Gi", pods=4))
    space.when("Job", "pi", lambda each: each["status"].get("succeeded") == 4, within_s=90)
    nodes = {pod["spec"].get("nodeName") for pod in space.pods()}
    assert nodes <= kubelets.keys()
    template = {"spec": job("x", 2, "2Gi")["spec"]}
    body = {"metadata": {"name": "tick"}, "spec": {"schedule": "* * * * *", "jobTemplate": template}}
    idle_cluster.create(f"/apis/batch/v1/namespaces/{space.name}/cronjobs", body)
    path = f"/apis/batch/v1/namespaces/{space.name}/jobs"

    def ticked() -> bool:
        return any(
            each["metadata"]["name"].startswith("tick-") and each["status"].get("succeeded")
            for each in idle_cluster.items(path)
        )

    within(120, ticked)
    described = idle_cluster.kubectl("describe", "node", next(iter(kubelets)))
    requests = [line.split()[:2] for line in described.splitlines() if line.split()[:1] in (["cpu"], ["memory"])]
    assert ["cpu", "0"] in requests
    assert ["memory", "0"] in requests


@pytest.mark.parametrize(("cpu", "memory", "word"), [(4, "1Gi", CPU), (1, "15Gi", MEMORY)])
def test_more_than_there_is_waits_and_says_what_is_missing(
    idle_cluster: Cluster, space: Space, cpu: int, memory: str, word: str
) -> None:
    space.create(job("big", cpu, memory))

    def told() -> str:
        for pod in space.pods():
            for each in pod["status"].get("conditions") or ():
                if each["type"] == "PodScheduled" and each["status"] == "False":
                    return str(each.get("message", ""))
        return ""

    message = within(40, told)
    assert f"3 Insufficient {word}" in message
    assert (MEMORY if word == CPU else CPU) not in message


def test_contention_ends_the_youngest_and_its_job_makes_another(
    idle_cluster: Cluster, space: Space, kubelets: dict[str, HollowKubelet], running: dict[str, AgentProcess]
) -> None:
    node = next(iter(kubelets))
    placed = {"nodeSelector": {"kubernetes.io/hostname": node}}
    idle_cluster.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"kubernetes.io/hostname": node}}})
    rule = {
        "name": "over",
        "metricRule": {"name": "ext_cpu_total_distribute", "value": "110"},
        "avoidanceThreshold": 2,
        "actionName": "reclaim-preemptible",
    }
    qos = {"apiVersion": "ensurance.crane.io/v1alpha1", "kind": "NodeQOS", "metadata": {"name": "over-allocated"}}
    idle_cluster.kubectl("apply", "-f", "-", stdin=json.dumps({**qos, "spec": {"rules": [rule]}}))
    uids = {}
    try:
        for name in ("old", "young"):
            time.sleep(2)  # times of start are in whole seconds
            space.create(job(name, 1, "1Gi", run_s=None, **placed))
            pod = within(40, lambda name=name: next(
                (each for each in space.pods(f"job-name%3D{name}") if each["status"].get("phase") == "Running"), None
            ))  # fmt: skip
            uids[name] = pod["metadata"]["uid"]
        kubelets[node].cpu = lambda _: 6.0  # of 7.2: 1 is left, and 2 are held

        def successor() -> Json | None:
            found = space.pods("job-name%3Dyoung")
            return next((each for each in found if each["metadata"]["uid"] != uids["young"]), None)

        within(90, successor, lambda: (running[node].process.tail(), space.pods()))
        assert [each["metadata"]["uid"] for each in space.pods("job-name%3Dold")] == [uids["old"]]
        assert space.get("Job", "young")["status"].get("failed", 0) == 0
        found = idle_cluster.get(f"/api/v1/nodes/{node}")
        assert condition(found, "interference-identified") == "True"
    finally:
        idle_cluster.kubectl("delete", "nodeqos", "over-allocated")


def test_readings_that_stop_and_a_kubelet_that_writes_its_own_status(
    kubelets: dict[str, HollowKubelet], running: dict[str, AgentProcess]
) -> None:
    node = next(iter(kubelets))
    kubelets[node].write_status()
    running[node].when_published(3, within_s=60)
    kubelets[node].is_silent = True
    running[node].when_published(0, within_s=60)
    kubelets[node].is_silent = False
    running[node].when_published(3, within_s=240)


def test_a_killed_agents_figure_is_zeroed_within_a_minute(
    idle_cluster: Cluster, kubelets: dict[str, HollowKubelet], running: dict[str, AgentProcess]
) -> None:
    """Also where it was the elected one that died."""
    holder = within(30, lambda: (idle_cluster.get(f"{LEASES}/qos-agent") or {}).get("spec", {}).get("holderIdentity"))
    elected = holder.partition("_")[0]
    for node in (elected, next(each for each in kubelets if each != elected)):
        running[node].process.kill()
        began = time.monotonic()
        within(90, lambda node=node: running[node].published() == (0, "0"), running[node].published)
        assert time.monotonic() - began < 60
        running[node].start()
        running[node].when_published(3, within_s=240)


def test_at_rest_it_writes_nothing_but_leases(
    idle_cluster: Cluster, kubelets: dict[str, HollowKubelet], running: dict[str, AgentProcess]
) -> None:
    """By the versions of what it could write: nothing is newer after half a minute."""
    nodes = {name: idle_cluster.get(f"/api/v1/nodes/{name}")["metadata"]["resourceVersion"] for name in kubelets}
    path = "/api/v1/events?fieldSelector=source%3Dcrane-agent"
    events = sorted(each["metadata"]["resourceVersion"] for each in idle_cluster.items(path))
    time.sleep(30)
    assert nodes == {
        name: idle_cluster.get(f"/api/v1/nodes/{name}")["metadata"]["resourceVersion"] for name in kubelets
    }
    assert events == sorted(each["metadata"]["resourceVersion"] for each in idle_cluster.items(path))


def test_the_cost_at_rest_beside_200_pods(
    idle_cluster: Cluster,
    space: Space,
    kubelets: dict[str, HollowKubelet],
    running: dict[str, AgentProcess],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Processor time of the process and its resident memory, whatever else the machine does."""
    node = next(iter(kubelets))
    idle_cluster.merge(
        f"/api/v1/nodes/{node}/status", {"status": {"capacity": {"pods": "300"}, "allocatable": {"pods": "300"}}}
    )
    for number in range(200):
        main = {"name": "main", "image": "perl", "resources": {"requests": {"cpu": "10m"}}}
        body = {"metadata": {"name": f"p{number}"}, "spec": {"containers": [main], "nodeName": node}}
        idle_cluster.create(f"/api/v1/namespaces/{space.name}/pods", body)
    within(240, lambda: all(each["status"].get("phase") == "Running" for each in space.pods()))
    pid = running[node].process.pid
    time.sleep(15)
    before, began = _used_s(pid), time.monotonic()
    time.sleep(60)
    share = (_used_s(pid) - before) / (time.monotonic() - began)
    resident_mib = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    with capsys.disabled():
        sys.stdout.write(f"\nat rest with 200 pods: {share:.2%} of a core, {resident_mib:.1f} MiB\n")
    assert share < 0.005
    assert resident_mib < 50


def _used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_agent_complained(running: dict[str, AgentProcess]) -> None:
    assert [line for agent in running.values() for line in agent.complaints()] == []
