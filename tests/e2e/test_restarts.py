"""The provider and the API server go away and come back, and nobody's pod is the worse for it."""

import random
import time

import pytest

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, condition, within
from tests.e2e.controlplane import ControlPlane
from tests.e2e.manifests import FOR_EVER, Json, pod
from tests.e2e.provider import Provider

EACH = 8  # pods between two kills
KILLS = 8


def test_orderly_restart_goes_unnoticed(cluster: Cluster, space: Space, own: Provider, cloud: Cloud) -> None:
    """A rolling update: the running pod keeps its status to the letter, and the node its conditions."""
    space.create(pod("kept", FOR_EVER, node=own.node), pod("ends", "sleep 3; exit 4", node=own.node))
    for name in ("kept", "ends"):
        space.when_ready(name)
    kept, node = space.get("Pod", "kept"), cluster.get(f"/api/v1/nodes/{own.node}")
    assert node is not None
    assert own.process.stop() < 10
    assert own.process.exit_code == 0
    space.create(pod("meanwhile", node=own.node))
    own.start()
    space.when_phase("meanwhile", "Succeeded")
    ended = space.when_phase("ends", "Succeeded", "Failed")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert space.get("Pod", "kept") == kept
    after = cluster.get(f"/api/v1/nodes/{own.node}")
    assert after is not None
    assert [each["lastTransitionTime"] for each in after["status"]["conditions"]] == [
        each["lastTransitionTime"] for each in node["status"]["conditions"]
    ]
    reasons = [event["reason"] for event in space.events("kept")]
    assert len(reasons) == len(set(reasons)), "an event was told twice"
    cloud.of_pod(kept)


def test_killed_again_and_again_during_a_burst(space: Space, own: Provider, cloud: Cloud) -> None:
    """Every pod comes to its right end, and had one instance."""
    chance = random.Random(7)
    for number in range(KILLS):
        for index in range(number * EACH, (number + 1) * EACH):
            space.create(pod(f"p{index}", f"sleep 1; echo {index}; exit {index % 2}", node=own.node))
        deadline = time.monotonic() + chance.uniform(0.3, 3.0)
        within(5, lambda until=deadline: time.monotonic() > until)
        own.process.kill()
        own.process.start()
    own.process.kill()
    own.start()

    def ended() -> bool:
        return all(each["status"].get("phase") in ("Succeeded", "Failed") for each in space.pods())

    within(120, ended, lambda: {each["metadata"]["name"]: each["status"].get("phase") for each in space.pods()})
    pods = space.pods()
    assert len(pods) == EACH * KILLS
    for each in pods:
        index = int(each["metadata"]["name"][1:])
        assert each["status"]["phase"] == ("Failed" if index % 2 else "Succeeded")
        assert exit_code(each) == index % 2
        cloud.of_pod(each)
    assert not cloud.billed(vk_node=own.node)
    assert space.kubectl("logs", "p6") == "6\n"


def exit_code(pod: Json) -> int:
    return int(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"])


def test_api_server_restart_is_survived(
    plane: ControlPlane | None, cluster: Cluster, space: Space, own: Provider, cloud: Cloud
) -> None:
    if plane is None:
        pytest.skip("the cluster is not ours to stop")
    space.create(pod("kept", FOR_EVER, node=own.node), pod("ends", "sleep 2; exit 6", node=own.node))
    for name in ("kept", "ends"):
        space.when_ready(name)
    before = space.get("Pod", "kept")
    plane.stop_api_server()
    within(20, lambda: ended_in_cloud(cloud, space))
    plane.start_api_server()
    assert exit_code(space.when_phase("ends", "Succeeded", "Failed")) == 6
    space.create(pod("after", "echo after", node=own.node))
    space.when_phase("after", "Succeeded", within_s=60)
    assert space.kubectl("logs", "after") == "after\n"
    kept = space.get("Pod", "kept")
    assert condition(kept, "Ready") == "True"
    assert kept["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert own.process.runs


def ended_in_cloud(cloud: Cloud, space: Space) -> bool:
    return len(cloud.billed(vk_namespace=space.name)) == 1
