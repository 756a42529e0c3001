"""What is held of each pod that runs and rests: deep sizes, the same on every run, never the resident set.

A bound is what was measured when it was set and a quarter more. Where one is broken, `python -m tests.bench.weigh`
shows by whom, in the whole process.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.bench import scales
from tests.bench.scales import weigh
from tests.bench.shape import _world
from tests.control import pure_time
from vk_provider.kube import store
from vk_provider.kube.event_correlator import Series
from vk_provider.kube.packing import Packed

FEW, MANY = 150, 450
EVENTS = 4  # as ECI tells of the start of one container
MOST = {  # bytes a pod
    "pods": 1900,  # as bytes; one that a real server has completed has 1 KB more
    "instances": 2800,  # half of it events, which the pod's status is read from
    "records": 443,
    "recorder": 970,  # the names of what was mirrored, for events that are told again
    "queue": 110,
    "live configuration": 50,  # nothing of these pods' files can change
}


async def _held(count: int) -> dict[str, int]:
    world = _world()
    async with world.running(workers=96) as process:
        await asyncio.sleep(1)
        for number in range(count):
            world.kube.add_pod(f"p{number:05}", policy="Always")
        await world.until(lambda: world.statuses() == {"Running": count})
        for number, instance_id in enumerate(list(world.cloud.instances)):
            for each in range(EVENTS):
                world.cloud.event(instance_id, f"{number:015x}{each}", message=f"Started container {each}")
        await asyncio.sleep(600)
        assert len(world.kube.events()) >= EVENTS * count
        controller, recorder, live = process.controller, process.recorder, process.live
        return weigh(
            {
                "pods": [process.store._objects, process.store._by_index],
                "instances": [process.instances._by_id, process.instances._by_uid],
                "records": [controller._memories],
                "recorder": [
                    recorder._mirrored._values,
                    recorder._mirroring,
                    recorder._line._ranks,
                    recorder._correlator._series._values,
                    recorder._correlator._similar._values,
                ],
                "queue": [process.queue._dirty, process.queue._due, process.queue._heap, process.queue._line],
                "live configuration": [live._known],
            }
        )


@pytest.fixture(scope="module")
def a_pod() -> dict[str, float]:
    few, many = pure_time.play(_held(FEW)), pure_time.play(_held(MANY))
    return {name: (many[name] - few[name]) / (MANY - FEW) for name in few}


@pytest.mark.parametrize("holder", MOST)
def test_a_pod_at_rest_takes_no_more_than(holder, a_pod):
    assert a_pod[holder] <= MOST[holder], a_pod


def test_the_holders_of_a_process_are_found_by_their_classes():
    told = pure_time.play(_process())
    named = {name.partition(".")[0] for name in told["holders"]}
    assert named >= {"Store", "InstanceCache", "InstancePoller", "PodController", "Recorder", "FileSyncer"}
    assert told["VmRSS"] > 1e6


async def _process() -> dict[str, Any]:
    async with _world().running(workers=4):
        await asyncio.sleep(5)
        return scales.of_process()


def test_what_is_shared_is_weighed_once_and_by_its_first_holder():
    text = "x" * 10_000
    held = weigh({"one": [[text]], "other": [[text], {"more": text}]})
    assert held["one"] > 10_000
    assert held["other"] < 1_000


def test_of_thousands_that_come_at_once_only_as_many_are_awake_as_workers_have_in_hand():
    held = store.Store(key=lambda pod: pod["uid"], version=lambda pod: pod["version"])
    pods = [{"uid": str(number), "version": "1", "spec": {"many": [{"a": number}] * 20}} for number in range(1000)]
    held.replace(iter(pods))
    awake = [each for each in held._objects.values() if not isinstance(each.item, Packed)]
    assert len(awake) == store._MAX_UNPACKED
    assert [held.get(pod["uid"]) for pod in pods] == pods


def test_an_event_in_line_takes_no_dicts():
    event = {
        "metadata": {"name": "p.1", "namespace": "web"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "web"},
        "count": 2,
        "type": "Warning",
    }
    series = Series(event)
    assert (series.event, series.count, series.is_warning) == (event, 2, True)
    assert weigh({"series": [series]})["series"] < weigh({"event": [event]})["event"] / 2
