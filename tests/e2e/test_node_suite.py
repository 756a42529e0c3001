"""What the Go library for virtual nodes asks of a node in its end-to-end suite: nine cases, asked in our own words.

All of it by way of the API server's node proxy, at port 10250 of the node's address. The reasons of events are those of
a real kubelet, not that library's.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, condition, within
from tests.e2e.conftest import make_space
from tests.e2e.manifests import FOR_EVER, Json, pod
from tests.e2e.provider import Provider
from tests.kubelet import metricsserver

PORT = 10250
SETTLES_S = 1.0  # how long after a deletion the node may still show the pod
DEAF = "trap '' TERM; " + FOR_EVER


class Node:
    """A virtual node as that suite reaches it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def page(self, path: str) -> Any:
        answer = self.cluster.client.get(f"/api/v1/nodes/https:{self.name}:{PORT}/proxy{path}")
        assert answer.status == 200, answer.body
        return answer.body

    def uids(self, path: str) -> set[str]:
        return {each["metadata"]["uid"] for each in self.page(path)["items"]}

    def runs(self, pod: Json) -> bool:
        return pod["metadata"]["uid"] in self.uids("/runningpods/")


@pytest.fixture(scope="module")
def node(cluster: Cluster, cloud: Cloud, directory: Path) -> Iterator[Node]:
    provider = Provider(cluster, directory, endpoint=cloud.endpoint, node="vk-at-its-port", port=PORT)
    try:
        provider.start()
        yield Node(cluster, provider.node)
        assert provider.complaints() == []
    finally:
        provider.remove()


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[Space]:
    with make_space(cluster) as space:
        yield space


def ready(space: Space, manifest: Json) -> Json:
    space.create(manifest)
    return space.when_ready(manifest["metadata"]["name"])


def three(name: str, node: Node) -> Json:
    manifest = pod(name, FOR_EVER, node=node.name)
    (first,) = manifest["spec"]["containers"]
    manifest["spec"]["containers"] += [first | {"name": "second"}, first | {"name": "third"}]
    return manifest


def wanting(name: str, node: Node, source: str, *, optional: bool) -> Json:
    """A pod with a variable out of an object that is not there. source: secretKeyRef or configMapKeyRef."""
    key = {"name": "nowhere", "key": "key", "optional": optional}
    return pod(name, FOR_EVER, node=node.name, container={"env": [{"name": "VALUE", "valueFrom": {source: key}}]})


def test_pods_are_those_of_the_node(space: Space, node: Node) -> None:
    ours = ready(space, pod("listed", FOR_EVER, node=node.name))
    listed = node.page("/pods")["items"]
    assert {each["spec"]["nodeName"] for each in listed} == {node.name}
    assert ours["metadata"]["uid"] in {each["metadata"]["uid"] for each in listed}


def test_the_summary_has_every_container(space: Space, node: Node) -> None:
    ours = ready(space, three("summed", node))
    summary = node.page("/stats/summary")
    assert summary["node"]["nodeName"] == node.name
    names = {key: ours["metadata"][key] for key in ("namespace", "name", "uid")}
    (told,) = (each for each in summary["pods"] if each["podRef"] == names)
    assert len(told["containers"]) == 3


def test_samples_name_their_pod_by_the_second_label(space: Space, node: Node) -> None:
    ready(space, three("measured", node))
    samples = list(metricsserver.samples(node.page("/metrics/resource")))

    def of_the_pod(name: str) -> int:
        second = [list(each.labels.values())[1] for each in samples if each.name == name]
        return second.count("measured")

    assert of_the_pod("pod_cpu_usage_seconds_total") == 1
    assert of_the_pod("container_cpu_usage_seconds_total") == 3


@pytest.mark.parametrize("script", [FOR_EVER, DEAF], ids=["heeds", "does not heed"])
def test_what_is_deleted_gracefully_runs_no_more(space: Space, node: Node, script: str) -> None:
    """However long its last words take."""
    name = "graceful" if script == FOR_EVER else "deaf"
    ours = ready(space, pod(name, script, node=node.name))
    assert node.runs(ours)
    space.cluster.delete(space.path("Pod", name))
    left = space.cluster.get(space.path("Pod", name))
    assert left is None or left["metadata"]["deletionGracePeriodSeconds"] > 0
    within(SETTLES_S, lambda: not node.runs(ours))
    space.when_gone("Pod", name)


def test_what_is_deleted_by_force_runs_no_more(space: Space, node: Node) -> None:
    ours = ready(space, pod("forced", DEAF, node=node.name))
    assert node.runs(ours)
    space.delete("Pod", "forced", gracePeriodSeconds=0, propagationPolicy="Background")
    space.when_gone("Pod", "forced", within_s=SETTLES_S)
    within(SETTLES_S, lambda: not node.runs(ours))


@pytest.mark.parametrize("source", ["secretKeyRef", "configMapKeyRef"])
def test_what_may_be_missing_is_not_missed(space: Space, node: Node, source: str) -> None:
    """A real kubelet says nothing of it: the pod starts as any does."""
    name = f"may-{source.lower()}"
    ours = ready(space, wanting(name, node, source, optional=True))
    assert node.runs(ours)
    space.when_event(name, "Started")
    assert {event["type"] for event in space.events(name)} == {"Normal"}


@pytest.mark.parametrize(("source", "kind"), [("secretKeyRef", "secret"), ("configMapKeyRef", "configmap")])
def test_what_must_be_there_is_waited_for(space: Space, node: Node, source: str, kind: str) -> None:
    name = f"must-{source.lower()}"
    space.create(wanting(name, node, source, optional=False))
    said = space.when_event(name, "Failed")
    assert said["type"] == "Warning"
    assert said["message"] == f'Error: {kind} "nowhere" not found'

    def reasons(found: Json) -> Sequence[str]:
        return [each["state"]["waiting"]["reason"] for each in found["status"].get("containerStatuses", ())]

    found = space.when("Pod", name, lambda found: reasons(found) == ["CreateContainerConfigError"])
    assert found["status"]["phase"] == "Pending"
    assert condition(found, "Ready") == "False"
    assert not node.runs(found)
