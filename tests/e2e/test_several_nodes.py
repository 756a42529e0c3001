"""Several virtual nodes of one Deployment: its replicas share them, and what one led others lead when it goes.

By itself this plays a small fleet. The figures of a large one, on the simulated cloud:

    VK_E2E_NODES=10 VK_E2E_REPLICAS=3 VK_E2E_PODS=1000 python -m pytest -s tests/e2e/test_several_nodes.py -k figures
"""

import json
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, condition, within
from tests.e2e.manifests import FOR_EVER, pod
from tests.e2e.provider import LEASES as NODE_LEASES
from tests.e2e.provider import NAMESPACE, Provider, stamp

NODES = int(os.environ.get("VK_E2E_NODES", "4"))
REPLICAS = int(os.environ.get("VK_E2E_REPLICAS", "2"))
PODS = int(os.environ.get("VK_E2E_PODS", "25"))
MOST_S, HANDOVER_S, PATIENT_S = 15.0, 2.0, 120.0
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


class Fleet:
    """Processes that may serve the same nodes."""

    def __init__(self, cluster: Cluster, directory: Path, cloud: Cloud, nodes: int, replicas: int) -> None:
        self.group = f"fleet-{uuid.uuid4().hex[:6]}"
        self.nodes = [f"{self.group}-{number}" for number in range(nodes)]
        self._cluster = cluster
        zones = ("cn-hangzhou-h", "cn-hangzhou-i")
        sections = {
            name: {"node_labels": f"test/zone={zones[place % 2]}", "node_taints": ["test/shared=yes:PreferNoSchedule"]}
            for place, name in enumerate(self.nodes)
        }
        self.replicas = [
            Provider(
                cluster, directory, endpoint=cloud.endpoint, node=self.group, replica=f"-r{number}", nodes=sections
            )
            for number in range(replicas)
        ]

    def led(self) -> dict[str, str]:
        """Node → the replica that leads it."""
        found = {node: self._cluster.get(f"{LEASES}/{self.group}-{node}") for node in self.nodes}
        return {node: str(lease["spec"].get("holderIdentity") or "") for node, lease in found.items() if lease}

    def shares(self) -> list[int]:
        return sorted(Counter(holder for holder in self.led().values() if holder).values())

    def leader(self, node: str) -> Provider:
        return next(each for each in self.replicas if each.identity == self.led()[node])

    def served_since(self, moment: float, nodes: list[str]) -> bool:
        """Whether each node's heart has beaten since, which its leader alone makes it do."""
        leases = (self._cluster.get(f"{NODE_LEASES}/{node}") for node in nodes)
        return all(lease is not None and stamp(lease["spec"]["renewTime"]) > moment for lease in leases)

    def are_ready(self) -> bool:
        """Fails once a replica has ended."""
        for each in self.replicas:
            assert each.process.runs, each.process.tail()
        found = {node: self._cluster.get(f"/api/v1/nodes/{node}") for node in self.nodes}
        return all(each is not None and condition(each, "Ready") == "True" for each in found.values())

    def even(self) -> list[int]:
        living = sum(each.process.runs for each in self.replicas)
        return sorted(NODES // living + (place < NODES % living) for place in range(living))

    def tails(self) -> dict[str, str]:
        return {each.identity: each.process.tail(8) for each in self.replicas} | {"led": json.dumps(self.led())}

    def remove(self) -> None:
        for each in self.replicas:
            each.stop()
        for node in self.nodes:
            self._cluster.delete(f"/api/v1/nodes/{node}")


@pytest.fixture
def fleet(cluster: Cluster, cloud: Cloud, directory: Path) -> Iterator[Fleet]:
    made = Fleet(cluster, directory, cloud, NODES, REPLICAS)
    for each in made.replicas:
        each.process.start()
    try:
        within(90, lambda: made.are_ready() and made.shares() == made.even(), made.tails)
        yield made
    finally:
        made.remove()


def names(pods: list[dict[str, Any]]) -> set[str]:
    return {str(each["metadata"]["name"]) for each in pods}


def _when_ready(space: Space, name: str, fleet: Fleet) -> None:
    within(PATIENT_S, lambda: condition(space.get("Pod", name), "Ready") == "True", fleet.tails)


def test_each_node_is_what_its_section_says_and_its_kubelet_knows_its_own_pods_only(
    cluster: Cluster, space: Space, fleet: Fleet
) -> None:
    for node in fleet.nodes:
        space.create(pod(f"on-{node}", f"echo here is {node}; {FOR_EVER}", node=node))
    for place, node in enumerate(fleet.nodes):
        _when_ready(space, f"on-{node}", fleet)
        found = cluster.get(f"/api/v1/nodes/{node}")
        assert found is not None
        assert found["metadata"]["labels"]["test/zone"] == ("cn-hangzhou-h", "cn-hangzhou-i")[place % 2]
        keys = {each["key"] for each in found["spec"]["taints"]}
        assert {"virtual-kubelet.io/provider", "test/shared"} <= keys
        assert found["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == fleet.leader(node).ports[node]
        assert f"here is {node}" in space.kubectl("logs", f"on-{node}")
        assert space.kubectl("exec", f"on-{node}", "--", "echo", "hello").strip() == "hello"
        listed = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/pods"))
        assert names(listed["items"]) == {f"on-{node}"}
        summary = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
        assert summary["node"]["nodeName"] == node


def test_a_replica_that_is_killed_is_followed_and_takes_its_share_when_it_comes_again(
    space: Space, cloud: Cloud, fleet: Fleet
) -> None:
    for node in fleet.nodes:
        space.create(pod(f"on-{node}", FOR_EVER, node=node))
    for node in fleet.nodes:
        _when_ready(space, f"on-{node}", fleet)
    before = {each["metadata"]["name"]: each for each in space.pods()}
    victim = fleet.leader(fleet.nodes[0])
    lost = [node for node, holder in fleet.led().items() if holder == victim.identity]
    victim.process.kill()
    died = time.time()
    within(PATIENT_S, lambda: fleet.served_since(died, lost), fleet.tails)
    assert time.time() - died < MOST_S
    for node in lost:
        assert f"on-{node}" in space.kubectl("get", "pods", "-o", "name").replace("pod/", "")
        space.kubectl("exec", f"on-{node}", "--", "true")
    victim.process.start()
    within(PATIENT_S, lambda: fleet.shares() == fleet.even(), fleet.tails)
    for each in space.pods():
        assert each == before[each["metadata"]["name"]]
        cloud.of_pod(each)


def test_a_roll_out_hands_the_nodes_over_within_two_seconds(fleet: Fleet) -> None:
    victim = fleet.leader(fleet.nodes[0])
    lost = [node for node, holder in fleet.led().items() if holder == victim.identity]
    victim.process.stop()
    ended = time.time()
    within(PATIENT_S, lambda: all(each not in ("", victim.identity) for each in fleet.led().values()), fleet.tails)
    assert time.time() - ended < HANDOVER_S, "from the end of the process, which gave its leases back before"
    within(PATIENT_S, lambda: fleet.served_since(ended - 1, lost), fleet.tails)


def test_figures_of_a_large_fleet(
    cluster: Cluster, space: Space, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = directory / "fleet"
    folder.mkdir()
    cloud = Cloud(folder, runtime="simulated")
    cloud.start()
    fleet = Fleet(cluster, folder, cloud, NODES, REPLICAS)
    say = _said(capsys)
    try:
        for each in fleet.replicas:
            each.process.start()
        within(120, lambda: fleet.are_ready() and fleet.shares() == fleet.even(), fleet.tails)
        _play(space, fleet, cloud, say)
    finally:
        fleet.remove()
        cloud.stop()


def _play(space: Space, fleet: Fleet, cloud: Cloud, say: Callable[[str], None]) -> None:
    count, began = NODES * PODS, time.time()
    for number in range(PODS):
        for place, node in enumerate(fleet.nodes):
            one = pod(f"p{place}-{number}", FOR_EVER, node=node, nodeName=node, restartPolicy="Always")
            space.create(one)
    say(f"{count} pods on {NODES} nodes created in {time.time() - began:.0f} s, shares {fleet.shares()}")
    within(120 + count / 5, lambda: _running(space) == count, lambda: (_running(space), fleet.tails()))
    say(f"all Running after {time.time() - began:.0f} s")
    for each in fleet.replicas:
        cpu_s, rss = _cost(each.process.pid)
        held = sum(holder == each.identity for holder in fleet.led().values())
        say(f"{each.identity}: {held} nodes, {cpu_s:.1f} s of processor, {rss / 2**20:.0f} MiB")
    victim = fleet.leader(fleet.nodes[0])
    lost = [node for node, holder in fleet.led().items() if holder == victim.identity]
    before = {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in space.pods()}
    victim.process.kill()
    died = time.time()
    within(PATIENT_S, lambda: fleet.served_since(died, lost), fleet.tails)
    took = time.time() - died
    say(f"{victim.identity} killed: its {len(lost)} nodes are served again after {took:.1f} s")
    for place, node in enumerate(fleet.nodes):
        space.create(pod(f"later-{place}", FOR_EVER, node=node, nodeName=node, restartPolicy="Always"))
    within(2 * PATIENT_S, lambda: _running(space) == count + NODES, fleet.tails)
    say(f"a new pod runs on each node {time.time() - died:.1f} s after the kill")
    after = {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in space.pods()}
    assert {uid: after[uid] for uid in before} == before, "nothing changed of those that ran"
    owned = Counter(each["tags"]["vk-pod-uid"] for each in cloud.ever())
    assert set(owned) == set(after)
    assert max(owned.values()) == 1, "one instance per pod"
    assert took < MOST_S


def _running(space: Space) -> int:
    """Asked for in few bytes, and not often: there are thousands."""
    time.sleep(1)
    brief = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    answer = space.cluster.client.send("GET", f"{space.path('Pod')}?fieldSelector=status.phase%3DRunning", Accept=brief)
    return len(answer.body["items"])


def _cost(pid: int) -> tuple[float, int]:
    """Seconds of processor and resident bytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return (int(fields[11]) + int(fields[12])) / ticks, resident


def _said(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def say(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}")

    return say
