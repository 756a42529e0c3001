"""What pods use, as a real cluster's tools come to read it: by the API server, and by themselves with a token."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, Space, within
from tests.e2e.conftest import make_space
from tests.e2e.manifests import pod
from tests.kubelet import metricsserver


@pytest.fixture(scope="module")
def space(cluster: Cluster, node: str) -> Iterator[Space]:
    """A namespace with one pod, new and ready, of three containers: `spin` works, the others sleep."""
    manifest = pod("three", "while :; do :; done", node=node)
    (first,) = manifest["spec"]["containers"]
    first["name"] = "spin"
    sleeps = {"image": "busybox", "command": ["sleep", "1000"]}
    manifest["spec"]["containers"] += [{"name": "idle", **sleeps}, {"name": "side", **sleeps}]
    with make_space(cluster) as space:
        space.create(manifest)
        space.when_ready("three")
        yield space
        space.delete("Pod", "three")  # before its namespace, which takes no more events once it goes
        space.when_gone("Pod", "three")


def raw(cluster: Cluster, node: str, page: str) -> str:
    return cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy{page}")


def test_figures_are_there_as_soon_as_a_pod_is_ready(space: Space, cluster: Cluster, node: str) -> None:
    pods, seen = metricsserver.parsed(raw(cluster, node, "/metrics/resource"))
    assert set(pods[space.name, "three"]) == {"spin", "idle", "side"}
    assert seen is not None
    whole = json.loads(raw(cluster, node, "/stats/summary"))
    assert whole["node"]["nodeName"] == node
    (told,) = (each for each in whole["pods"] if each["podRef"]["namespace"] == space.name)
    assert {each["name"] for each in told["containers"]} == {"spin", "idle", "side"}


def test_top(space: Space, cluster: Cluster, node: str) -> None:
    reader = metricsserver.Store()

    def spinning() -> float:
        reader.scrape(raw(cluster, node, "/metrics/resource"))
        time.sleep(1)
        cores, _ = reader.top(space.name, "three", "spin") or (0.0, 0.0)
        return cores if cores > 0.05 else 0.0

    assert within(60, spinning) < 2.0
    cores, memory = reader.top(space.name, "three", "idle") or (1.0, 0.0)
    assert cores < 0.05
    assert memory > 100_000
    cores, _ = within(30, lambda: reader.top("node") if spinning() else None)
    assert cores > 0.05


@pytest.mark.parametrize("page", ["/metrics", "/metrics/cadvisor", "/metrics/probes", "/metrics/slis", "/configz"])
def test_every_page_is_there(cluster: Cluster, node: str, page: str) -> None:
    assert raw(cluster, node, page)
