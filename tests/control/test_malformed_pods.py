"""Pods that the API server gives us with something impossible inside: each fails alone, and says so."""

import asyncio
import functools

import pytest

from tests.control.pure_time import play
from tests.control.world import World


def in_no_time(story):
    return functools.wraps(story)(lambda *args, **more: play(story(*args, **more)))


INSIDES = {
    "containers null": {"containers": None},
    "containers object": {"containers": {"name": "c"}},
    "containers of numbers": {"containers": [1]},
    "container without a name": {"containers": [{"image": "perl"}]},
    "container of a name that is none": {"containers": [{"name": ["c"], "image": "perl"}]},
    "env text": {"containers": [{"name": "c", "image": "perl", "env": "A=B"}]},
    "ports null within": {"containers": [{"name": "c", "image": "perl", "ports": [None]}]},
    "volumes number": {"volumes": 5},
    "init containers text": {"initContainers": "none"},
    "priority text": {"priority": "high"},
    "grace object": {"terminationGracePeriodSeconds": {}},
}


@pytest.mark.parametrize("inside", INSIDES.values(), ids=INSIDES)
@in_no_time
async def test_a_pod_that_is_malformed_inside_fails_alone_and_says_so(inside):
    world = World()
    odd = [world.kube.add_pod(f"odd-{number}", spec=inside) for number in range(8)]
    async with world.running(workers=2) as process:
        await world.until(lambda: len(world.kube.events()) > 0, within_s=60)
        honest = [world.kube.add_pod(f"honest-{number}") for number in range(20)]
        await world.until(lambda: all(world.cloud.starts[uid] for uid in honest), within_s=60)
        assert not process.task.done()
        told = {event["involvedObject"].get("uid") for event in world.kube.events() if event["type"] == "Warning"}
        ended = {pod["metadata"]["uid"] for pod in world.kube.pods() if pod["status"].get("phase") == "Failed"}
        assert set(odd) <= told | ended | set(world.cloud.starts), "refused, carried, or said to have failed here"


STATUSES = {
    "phase list": {"phase": ["Running"]},
    "conditions object": {"conditions": {"Ready": "True"}},
    "conditions of nulls": {"conditions": [None]},
    "container statuses text": {"containerStatuses": "all well"},
    "container status without a name": {"containerStatuses": [{"state": {}}]},
    "start time number": {"startTime": 5},
}


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
@in_no_time
async def test_a_status_that_is_malformed_concerns_its_pod_only(status):
    world = World()
    world.kube.add_pod("odd")
    world.kube.pod("odd")["status"] = status
    async with world.running() as process:
        honest = [world.kube.add_pod(f"honest-{number}") for number in range(20)]
        await world.until(lambda: all(world.cloud.starts[uid] for uid in honest), within_s=60)
        assert not process.task.done()


@in_no_time
async def test_an_instance_whose_pod_cannot_be_read_is_no_orphan():
    """Neither by a list that has the pod malformed, nor by a live look that answers so."""
    world = World()
    uid = world.kube.add_pod("api", policy="Always")
    async with world.running() as process:
        await world.until(lambda: world.cloud.starts[uid], within_s=60)
        await world.until(lambda: world.phase("api") == "Running", within_s=60)
        path = "/api/v1/namespaces/web/pods/api"
        sound = world.kube.objects[path]
        for meta in (None, [], {}, {**sound["metadata"], "uid": ["x"]}, {**sound["metadata"], "uid": None}):
            world.kube.objects[path] = {**sound, "metadata": meta}
            process.store.remove(uid)  # as if a list had lacked it
            process.queue.add(uid)
            for _ in range(30):
                await asyncio.sleep(10)
                assert [each.owner.uid for each in world.cloud.instances.values()] == [uid]
        world.kube.objects[path] = sound
        world.kube.edit(path, lambda pod: pod["metadata"].update(labels={"a": "b"}))
        await world.until(lambda: uid in process.store, within_s=120)
