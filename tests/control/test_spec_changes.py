"""What a pod's spec may become while it runs (P1): a deadline, a size, a container to debug."""

import asyncio

import pytest

from tests.control.test_pods import in_no_time, served
from tests.control.world import World

POD = "/api/v1/namespaces/web/pods/web"
SIZED = {"containers": [{"name": "main", "image": "perl", "resources": {"requests": {"cpu": "1"}}}]}


@pytest.mark.parametrize("before", [None, 1000])
@in_no_time
async def test_a_deadline_counts_from_the_start_whenever_it_was_set(before):
    world = World()
    async with world.running():
        await served(world, spec={"activeDeadlineSeconds": before} if before else {})
        await asyncio.sleep(50 - world.time_s)
        world.kube.edit(POD, lambda pod: pod["spec"].update(activeDeadlineSeconds=100))
        await asyncio.sleep(99 - world.time_s)
        assert "delete eci-1" not in world.cloud.calls
        await asyncio.sleep(3)
        assert "delete eci-1" in world.cloud.calls
        await world.until(lambda: world.phase("web") == "Failed", within_s=20)
        assert world.kube.pod("web")["status"]["reason"] == "DeadlineExceeded"
    assert world.complaints() == []


def resize(pod):
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}


def debug(pod):
    pod["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(resize, "ResizeInfeasible", id="a resize"),
        pytest.param(debug, "EphemeralContainersNotSupported", id="a debug container"),
    ],
)
@in_no_time
async def test_what_cannot_be_done_to_a_running_instance_is_told_once(change, reason):
    world = World()
    async with world.running():
        await served(world, spec=SIZED)
        world.kube.edit(POD, change)
        await asyncio.sleep(120)
        assert len(world.kube.events(reason)) == 1
        assert world.phase("web") == "Running"
    async with world.running():  # another life of the provider has nothing new to tell
        await asyncio.sleep(120)
        assert [event["count"] for event in world.kube.events(reason)] == [1]
    assert world.complaints() == []
