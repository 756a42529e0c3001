"""The pod controller against an API server and a cloud in memory: what happens, and at which second."""

import asyncio
import base64
import copy
import functools
import itertools
import json
import re
import time
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.control.living_cloud import Life, LivingCloud
from tests.control.memory_cloud import MemoryCloud
from tests.control.pure_time import play
from tests.control.world import World
from tests.leaks import planted
from tests.thorough import THOROUGH, thorough
from vk_provider.errors import (
    AnswerTooLong,
    CloudDenied,
    CloudRefused,
    CloudUnavailable,
    Conflict,
    KubeError,
    KubeUnavailable,
    MalformedAnswer,
    OutOfCapacity,
    Throttled,
)
from vk_provider.model.instance import CloudEvent, Instance, InstanceStatus, Owner

SERVER = {"policy": "Always"}
NEEDS_SECRET = {"containers": [{"name": "main", "image": "perl", "envFrom": [{"secretRef": {"name": "key"}}]}]}
SECRET = "/api/v1/namespaces/web/secrets/key"


def in_no_time(story):
    """Run an async test on virtual time."""

    @functools.wraps(story)
    def run(*args, **more):
        return play(story(*args, **more))

    return run


def waiting(world, name):
    return world.kube.pod(name)["status"]["containerStatuses"][0]["state"]["waiting"]


def condition(world, name, type_):
    return next((each for each in world.kube.pod(name)["status"]["conditions"] if each["type"] == type_), {})


def exit_code(pod):
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]


async def served(world, name="web", **more):
    uid = world.kube.add_pod(name, policy="Always", **more)
    await world.until(lambda: world.phase(name) == "Running")
    return uid


# --- one life, and what it costs ---


@in_no_time
async def test_a_jobs_pod_costs_one_create_three_patches_and_no_question_about_itself():
    world = World(job=Life(runs_s=60))
    spec = {
        "containers": [{"name": "main", "image": "perl", "volumeMounts": [{"name": "token", "mountPath": "/run/t"}]}],
        "serviceAccountName": "default",
        "volumes": [
            {
                "name": "token",
                "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3607}}]},
            }
        ],
    }
    async with world.running():
        await asyncio.sleep(1)
        before = world.kube.counts()
        world.kube.add_pod("job", spec=spec)
        await world.until(lambda: world.phase("job") == "Succeeded")
        await asyncio.sleep(300)
        told = {"POST events": 1}  # of its start
        asked = {"GET services": 2, "POST serviceaccounts": 1, "PATCH pods": 3}
        assert world.kube.counts() - before == asked | told
        per_pod = [call for call in world.cloud.calls if call not in ("list", "changes", "events", "statuses")]
        assert per_pod == ["create"]
        world.kube.delete_pod("job")
        await asyncio.sleep(60)
        after = [call for call in world.cloud.calls if call not in ("list", "changes", "events", "statuses")]
        assert after == ["create", "delete eci-1", "describe"]
    assert world.complaints() == []


@in_no_time
async def test_a_thousand_pods_at_once_are_all_created_within_seconds():
    world = World(cloud_latency_s=0.1, kube_latency_s=0.01)
    async with world.running(workers=96):
        await asyncio.sleep(1)
        began = world.time_s
        for number in range(1000):
            world.kube.add_pod(f"p{number}", policy="Always")
        await world.until(lambda: len(world.cloud.created) == 1000)
        assert world.time_s - began < 3.0, "half of the workers at a time, a tenth of a second each"
        await world.until(lambda: world.statuses() == {"Running": 1000})
        assert world.time_s - began < 12.0
        assert world.kube.counts()["PATCH pods"] <= 2 * 1000, "first status, Running"
    assert world.complaints() == []


@in_no_time
async def test_in_a_burst_pods_that_start_at_once_get_one_status_each():
    """And say that they started no later than their containers did."""
    world = World(cloud_latency_s=0.1, kube_latency_s=0.01, **{f"p{n}": Life(starts_s=0.5) for n in range(1000)})
    async with world.running(workers=96):
        await asyncio.sleep(1)
        for number in range(1000):
            world.kube.add_pod(f"p{number}", policy="Always")
        await world.until(lambda: world.statuses() == {"Running": 1000})
        assert world.kube.counts()["PATCH pods"] < 1.2 * 1000
        for pod in world.kube.pods():
            (container,) = pod["status"]["containerStatuses"]
            assert pod["status"]["startTime"] <= container["state"]["running"]["startedAt"]
    assert world.complaints() == []


@in_no_time
async def test_in_a_burst_one_that_is_slow_to_start_is_told_of_before():
    world = World(cloud_latency_s=0.1, kube_latency_s=0.01, **{f"p{n}": Life(starts_s=30) for n in range(300)})
    async with world.running(workers=8):
        await asyncio.sleep(1)
        for number in range(300):
            world.kube.add_pod(f"p{number}", policy="Always")
        await world.until(lambda: len(world.cloud.created) >= 260)
        early = [
            name for name in (f"p{number}" for number in range(100)) if world.kube.pod(name)["status"].get("startTime")
        ]
        assert len(early) == 100, "made more than three seconds ago"
    assert world.complaints() == []


@in_no_time
async def test_what_is_remembered_of_a_pod_goes_with_it():
    world = World(**{f"p{n}": Life(runs_s=1) for n in range(30)})
    async with world.running() as process:
        for number in range(30):
            world.kube.add_pod(f"p{number}")
        await world.until(lambda: world.statuses() == {"Succeeded": 30})
        for number in range(30):
            world.kube.delete_pod(f"p{number}")
        await asyncio.sleep(100)
        assert not process.controller._memories
        assert not process.controller._gone
        assert not process.controller._changed
        assert not len(process.instances)
        assert not process.poller.absence.deleting
        assert not process.queue._due
    assert world.complaints() == []


@in_no_time
async def test_a_pod_started_when_we_first_said_so_even_if_the_answer_to_that_was_lost():
    """The watch that would show it may be away too, and a second patch must not move the time."""
    world = World()
    world.kube.watch_lag_s = 10.0
    patch, lost = world.kube.patch, []

    async def losing(path, body, **words):
        answer = await patch(path, body, **words)
        if "startTime" in body.get("status", ()) and len(lost) < 3:
            lost.append(body["status"]["startTime"])
            raise KubeUnavailable("Server disconnected")
        return answer

    world.kube.patch = losing
    async with world.running():
        await served(world)
    said = [
        each["status"]["startTime"] for each in world.kube.bodies("PATCH", "/pods/") if "startTime" in each["status"]
    ]
    assert len(said) >= len(lost) > 0
    assert set(said) == {lost[0]}
    assert world.complaints() == []


# --- creating ---


@in_no_time
async def test_a_pod_started_when_it_was_first_seen_to_even_if_a_list_goes_back_to_before():
    """A stale list, and a watch from there on that shows all that was, once more (seed 5100 of the chaos)."""
    world = World()
    world.kube.add_pod("web", policy="Always")
    before = copy.deepcopy(world.kube.pod("web"))
    async with world.running():
        await world.until(lambda: world.phase("web") == "Running")
        started = world.kube.pod("web")["status"]["startTime"]
        await asyncio.sleep(30)
    async with world.running() as process:
        await asyncio.sleep(5)
        process.store.replace([], resource_version="0")
        process.store.apply(before)
        await asyncio.sleep(5)
        assert world.kube.pod("web")["status"]["startTime"] == started
    assert world.complaints() == []


@pytest.mark.parametrize("listed", [True, False])
@in_no_time
async def test_who_starts_anew_on_a_list_from_before_moves_no_start_that_an_earlier_life_wrote(listed):
    """Seeds 7025 and 30021 of the chaos: the list shows the pod as it was before its first status, or is from before
    there was one at all, and the watch, which is behind, tells its whole life."""
    world = World()
    empty = await world.kube.get("/api/v1/pods")
    world.kube.add_pod("web", policy="Always")
    before, get = copy.deepcopy(world.kube.pod("web")), world.kube.get
    async with world.running():
        await world.until(lambda: world.phase("web") == "Running")
        started = world.kube.pod("web")["status"]["startTime"]
    await asyncio.sleep(30)

    async def stale(path, **words):
        answer = await get(path, **words)
        if not path.endswith("/pods"):
            return answer
        return {**answer, "items": [before]} if listed else empty

    world.kube.get, world.kube.watch_lag_s = stale, 20.0
    async with world.running():
        await asyncio.sleep(10)
        world.kube.get = get
        await asyncio.sleep(50)
        assert world.kube.pod("web")["status"]["startTime"] == started
        assert world.phase("web") == "Running"
    assert world.complaints() == []


@in_no_time
async def test_a_create_whose_answer_is_lost_makes_no_second_instance():
    world = World()
    world.cloud.lose_next_answer = True
    async with world.running():
        await served(world)
        await asyncio.sleep(100)
    assert world.cloud.calls.count("create") <= 2
    assert set(world.cloud.instances) == {"eci-1"}
    assert world.complaints() == []


@pytest.mark.parametrize(
    ("error", "reason", "times"),
    [
        pytest.param(CloudUnavailable("down"), "CloudAPIUnavailable", [2, 6, 14, 30, 62, 126, 246, 366], id="down"),
        pytest.param(Throttled("slower"), "Throttling", [2, 6, 14, 30, 62], id="throttled"),
        pytest.param(Throttled("slower", retry_after_s=50.0), "Throttling", [50, 100, 150], id="told when"),
        pytest.param(OutOfCapacity("none", code="NoStock"), "NoStock", [2, 6, 14, 30], id="no stock"),
        pytest.param(OutOfCapacity("none", code="QuotaExceeded.X"), "QuotaExceeded", [2, 6, 14], id="quota"),
        pytest.param(OutOfCapacity("none", code="VSwitchIpNotEnough"), "NoAddress", [2, 6], id="no address"),
        pytest.param(CloudDenied("who are you"), "CloudAPIDenied", [2, 6, 14], id="denied"),
    ],
)
@in_no_time
async def test_a_create_that_fails_leaves_the_pod_pending_says_why_and_is_tried_at_these_seconds(error, reason, times):
    world = World()
    tries = []
    create = world.cloud.create

    async def failing(workload):
        tries.append(round(world.time_s - began))
        if len(tries) <= len(times):
            raise error
        return await create(workload)

    world.cloud.create = failing
    async with world.running():
        await asyncio.sleep(1)
        began = world.time_s
        world.kube.add_pod("web", policy="Always")
        await asyncio.sleep(1)
        assert (world.phase("web"), waiting(world, "web")["reason"]) == ("Pending", "ContainerCreating")
        assert str(error) in waiting(world, "web")["message"]
        told = condition(world, "web", "ContainerInstanceCreated")
        assert (told["status"], told["reason"]) == ("False", reason)
        assert [each["type"] for each in world.kube.events(reason)] == ["Warning"]
        await world.until(lambda: world.phase("web") == "Running")
        assert tries == [0, *times]
        assert condition(world, "web", "ContainerInstanceCreated")["status"] == "True"
        assert "message" not in world.kube.pod("web")["status"]
    assert world.complaints() == []


@in_no_time
async def test_an_error_that_differs_only_by_its_request_id_is_written_once(caplog):
    """Every answer of a cloud has another id; an hour of trouble must not be a write per pod and try."""
    world = World()
    tries = []

    async def failing(workload):
        tries.append(1)
        raise CloudUnavailable("internal error", request_id=f"REQ-{len(tries)}")

    world.cloud.create = failing
    async with world.running():
        world.kube.add_pod("web")
        await asyncio.sleep(3600)
        assert 20 < len(tries) < 50
        assert world.kube.counts()["PATCH pods"] == 1
        assert world.kube.counts()["POST events"] == 1
        assert "REQ-1" in caplog.text, "what support asks for"


@in_no_time
async def test_an_hour_without_a_cloud_costs_little_and_ends_well():
    world = World(job=Life(runs_s=10))
    async with world.running() as process:
        await served(world)
        world.cloud.fail = CloudUnavailable("connection refused")
        world.kube.add_pod("job")
        calls = len(world.cloud.calls)
        patches = world.kube.counts()["PATCH pods"]
        await asyncio.sleep(3600)
        assert len(world.cloud.calls) - calls < 550, "poll and sweep four times a minute each, and creates"
        assert world.kube.counts()["PATCH pods"] - patches == 1
        assert [each.ok for each in world.health] == [True, False]
        assert world.phase("web") == "Running", "an outage of the cloud's API says nothing about what runs there"
        world.cloud.fail = None
        began = world.time_s
        await world.until(lambda: world.phase("job") == "Succeeded")
        assert world.time_s - began < 170, "the longest back-off, and the life itself"
        assert process.poller.health.ok
    assert world.complaints() == []


@in_no_time
async def test_a_secret_made_later_is_found_within_ten_seconds_and_nothing_fails_meanwhile():
    world = World()
    seen = set()
    async with world.running(jitter=1.0):
        world.kube.add_pod("web", spec=NEEDS_SECRET, policy="Always")
        for _ in range(300):
            await asyncio.sleep(0.2)
            seen.add(world.phase("web"))
        assert waiting(world, "web") == {
            "reason": "CreateContainerConfigError",
            "message": 'secret "key" not found',
        }
        assert [each["reason"] for each in world.kube.events()] == ["Failed"]
        assert world.kube.events("Failed")[0]["message"] == 'Error: secret "key" not found'
        world.kube.add(SECRET, {"kind": "Secret", "data": {"A": base64.b64encode(planted("late").encode()).decode()}})
        began = world.time_s
        await world.until(lambda: world.cloud.created)
        assert world.time_s - began <= 10.0
        assert dict(world.cloud.created[0].containers[0].env)["A"] == planted("late")
        await world.until(lambda: world.phase("web") == "Running")
    assert seen == {"Pending"}
    assert world.complaints() == []


@in_no_time
async def test_a_secret_in_a_command_that_the_cloud_repeats_is_on_no_pod():
    """That neither events nor status leak `world.running` looks for."""
    world = World()
    world.kube.add(SECRET, {"kind": "Secret", "data": {"A": base64.b64encode(planted("word").encode()).decode()}})
    async with world.running():
        world.kube.add_pod("web", spec=NEEDS_SECRET, policy="Always")
        await world.until(lambda: world.phase("web") == "Running")
        at = world.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        failed = CloudEvent("e9", "Warning", "Failed", f'exec: "{planted("word")}": not found', 1, at, at)
        world.cloud.set("eci-1", events=(failed,))
        await world.until(lambda: world.kube.events("Failed"), within_s=60)
        assert world.kube.events("Failed")[0]["message"] == 'exec: "(secret)": not found'


@pytest.mark.parametrize("may_watch", [True, False])
@in_no_time
async def test_who_may_watch_what_a_pod_waits_for_sees_it_at_once(may_watch):
    world = World()

    def trouble(method, path, body):
        if method == "WATCH" and not path.endswith("/pods") and not may_watch:
            raise KubeError("watching is forbidden", status=403)

    world.kube.trouble = trouble
    async with world.running(jitter=1.0):
        world.kube.add_pod("web", spec=NEEDS_SECRET, policy="Always")
        await asyncio.sleep(60)
        world.kube.add(SECRET, {"kind": "Secret", "data": {}})
        began = world.time_s
        await world.until(lambda: world.cloud.created)
        assert world.time_s - began <= (2.0 if may_watch else 10.0)
    assert world.complaints() == []


CLAIM = "/api/v1/namespaces/web/persistentvolumeclaims/data"
NEEDS_CLAIM = {
    "containers": [{"name": "main", "image": "db", "volumeMounts": [{"name": "d", "mountPath": "/d"}]}],
    "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
}


@in_no_time
async def test_a_pod_waits_until_its_claim_is_bound():
    world = World()
    async with world.running(jitter=1.0):
        world.kube.add_pod("db", spec=NEEDS_CLAIM)
        await asyncio.sleep(30)
        assert world.phase("db") == "Pending"
        claim = world.kube.add(CLAIM, {"spec": {}, "status": {"phase": "Pending"}})
        await asyncio.sleep(30)
        (told,) = {each["message"] for each in world.kube.events("FailedMount") if "not bound" in each["message"]}
        assert told == 'MountVolume.SetUp failed for volume "d" : error processing PVC web/data: PVC is not bound'
        csi = {"driver": "diskplugin.csi.alibabacloud.com", "volumeHandle": "d-1"}
        bound = {"metadata": {"name": "pv"}, "spec": {"csi": csi, "claimRef": {"uid": claim["metadata"]["uid"]}}}
        world.kube.add("/api/v1/persistentvolumes/pv", bound)

        def bind(item):
            item["spec"]["volumeName"], item["status"]["phase"] = "pv", "Bound"

        world.kube.edit(CLAIM, bind)
        began = world.time_s
        await world.until(lambda: world.cloud.created)
        assert world.time_s - began <= 2.0
        assert world.cloud.created[0].volumes[0].flex.options == {"volumeId": "d-1"}
        await world.until(lambda: world.phase("db") == "Running")
    assert world.complaints() == []


@in_no_time
async def test_of_who_waits_for_its_turn_nothing_is_worked_out_but_that_it_waits():
    world = World(cloud_latency_s=5.0)
    async with world.running(workers=4) as process:
        for number in range(6):
            world.kube.add_pod(f"p{number}", policy="Always")
        await asyncio.sleep(7)  # the list of what there is has taken five, and the first creates are under way
        reasons = {
            pod["metadata"]["name"]: process.controller.reason_of(pod["metadata"]["uid"]) for pod in world.kube.pods()
        }
        waiting = [name for name, reason in reasons.items() if reason == "the creates of other pods come first"]
        assert len(waiting) == 4, reasons
        world.kube.delete_pod(waiting[-1], grace_s=0)
        await world.until(lambda: world.statuses() == {"Running": 5})
    assert len(world.cloud.created) == 5
    assert world.complaints() == []


@in_no_time
async def test_nothing_is_watched_for_pods_that_wait_no_more():
    world = World()
    async with world.running() as process:
        for name in ("starts", "goes"):
            world.kube.add_pod(name, spec=NEEDS_SECRET, policy="Always")
        await asyncio.sleep(5)
        assert process.controller.awaited_objects == 1
        world.kube.delete_pod("goes", grace_s=0)
        world.kube.add(SECRET, {"kind": "Secret", "data": {}})
        await world.until(lambda: world.phase("starts") == "Running" and world.phase("goes") == "gone")
        await asyncio.sleep(1)
        assert process.controller.awaited_objects == 0
    assert world.complaints() == []


@in_no_time
async def test_a_pod_that_cannot_be_carried_fails_with_every_field_and_others_go_on():
    world = World()
    async with world.running(workers=1):
        volume = {"name": "v", "hostPath": {"path": "/"}}
        world.kube.add_pod("odd", spec={"hostNetwork": True, "volumes": [volume]})
        await served(world)
        await world.until(lambda: world.phase("odd") == "Failed")
        message = world.kube.pod("odd")["status"]["message"]
        warning = world.kube.events("UnsupportedPod")[0]
        for text in (message, warning["message"]):
            assert "spec.hostNetwork" in text
            assert "spec.volumes[0].hostPath" in text
        assert warning["type"] == "Warning"
        await asyncio.sleep(600)
        assert [each.owner.name for each in world.cloud.created] == ["web"]
    assert world.complaints() == []


@in_no_time
async def test_a_replica_set_of_pods_that_cannot_be_carried_does_not_fill_the_cluster():
    """It makes a new pod the moment one fails; so the first fails at once, and the others slower and slower."""
    world = World()
    owner = [{"kind": "ReplicaSet", "name": "odd", "uid": "rs-1", "controller": True}]
    async with world.running(workers=1):
        failed_at = []
        for number in range(5):
            name = f"odd-{number}"
            world.kube.add_pod(name, spec={"hostNetwork": True}, ownerReferences=owner)
            await asyncio.sleep(1)
            state = world.kube.pod(name)["status"]
            shown = "spec.hostNetwork" in str(state), bool(world.kube.events("UnsupportedPod"))
            assert shown == (True, True), "its user sees why, though it has not failed yet"
            await world.until(lambda name=name: world.phase(name) == "Failed")
            failed_at.append(world.time_s)
        waits = [round(later - earlier) for earlier, later in pairwise(failed_at)]
    assert waits == [10, 20, 40, 80]


@in_no_time
async def test_what_the_cloud_refuses_for_good_fails_the_pod_and_is_not_sent_again():
    world = World()
    world.cloud.fail_create = [CloudRefused("no such size", code="InvalidParameter", request_id="R-1")]
    async with world.running():
        world.kube.add_pod("job")
        await asyncio.sleep(600)
        status = world.kube.pod("job")["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "ProviderFailed")
        assert "no such size" in status["message"]
        assert len(world.kube.events("ProviderFailed")) == 1
        assert world.cloud.calls.count("create") == 1


@in_no_time
async def test_a_bug_in_one_pods_way_does_not_stop_the_others():
    world = World()
    create = world.cloud.create

    async def failing(workload):
        if workload.owner.name == "bug":
            raise RuntimeError("no rule foresaw this")
        return await create(workload)

    world.cloud.create = failing
    async with world.running(workers=1):
        world.kube.add_pod("bug")
        await served(world)
        await asyncio.sleep(300)
        assert world.phase("bug") == "Pending"
        (told,) = world.kube.events("FailedSync")
        assert told["involvedObject"]["name"] == "bug"
        assert "RuntimeError" in told["message"]
        assert "no rule foresaw this" not in told["message"], "what a bug says may hold what nobody should read"
        world.kube.delete_pod("bug")
        await world.until(lambda: world.phase("bug") == "gone")
    assert world.complaints() == []


@in_no_time
async def test_a_manifest_copied_from_a_running_pod_with_its_annotations_starts_an_instance_of_its_own():
    """`kubectl get -o yaml | kubectl apply` brings the other pod's instance id along."""
    world = World()
    async with world.running():
        await served(world)
        copied = world.kube.pod("web")["metadata"]["annotations"]
        assert copied["virtual-kubelet.io/instance-id"] == "eci-1"
        await served(world, "copy", annotations=dict(copied))
        world.kube.delete_pod("web")
        await world.until(lambda: world.phase("web") == "gone")
        await served(world, "late", annotations=dict(copied))
        assert world.kube.pod("late")["metadata"]["annotations"]["virtual-kubelet.io/instance-id"] == "eci-3"
    assert world.complaints() == []


# --- never placed ---


@in_no_time
async def test_an_instance_that_finds_no_room_is_replaced_ever_more_slowly_and_the_pod_says_why():
    world = World(web=Life(unplaced=5))
    async with world.running():
        world.kube.add_pod("web", policy="Always")
        await world.until(lambda: "reason" in world.kube.pod("web")["status"])
        assert world.phase("web") == "Pending"
        told = condition(world, "web", "ContainerInstanceCreated")
        assert (told["status"], told["reason"], told["message"]) == ("False", "NoStock", "no stock for 2C4G")
        await world.until(lambda: world.phase("web") == "Running", within_s=2000)
        assert world.cloud.unplaced.total() == 5
        pauses = [b - a for a, b in itertools.pairwise(world.cloud.created_at_s)]
        assert all(later > earlier for earlier, later in itertools.pairwise(pauses[1:])), pauses
        assert pauses[-1] > 60, pauses
        assert len(world.cloud.instances) == 1, "the dead ones are cleared away"
        assert "reason" not in world.kube.pod("web")["status"]
    assert world.complaints() == []


@in_no_time
async def test_a_pod_deleted_while_no_room_is_found_goes_and_leaves_nothing():
    world = World(web=Life(unplaced=100))
    async with world.running():
        world.kube.add_pod("web", policy="Always")
        await asyncio.sleep(30)
        world.kube.delete_pod("web")
        await world.until(lambda: world.phase("web") == "gone", within_s=30)
        await asyncio.sleep(100)
    assert world.complaints() == []
    assert not world.cloud.instances


# --- ends ---


@in_no_time
async def test_a_deletion_stops_the_instance_reports_the_real_exit_code_and_then_removes_the_object():
    world = World()
    async with world.running():
        uid = await served(world)
        world.kube.delete_pod("web")
        await world.until(lambda: world.phase("web") == "gone")
        await world.until(lambda: not world.cloud.instances)
        last = world.kube.removed[uid]
        assert (last["status"]["phase"], exit_code(last)) == ("Failed", 143)
        assert [each["message"] for each in world.kube.events("Killing")] == ["Stopping container main"]
    order = [
        f"{method} {path.rpartition('/')[2]}" for method, path, _ in world.kube.seen if method in ("PATCH", "DELETE")
    ]
    assert order[-2:] == ["PATCH status", "DELETE web"]
    assert world.kube.bodies("DELETE", "/web") == [{"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}]
    assert world.complaints() == []


@in_no_time
async def test_what_we_stop_is_said_to_be_stopped_once_though_the_cloud_says_it_too():
    world = World(web=Life(stop_s=20, gone_s=30))
    async with world.running():
        await served(world)
        (instance_id,) = world.cloud.instances
        world.kube.delete_pod("web")
        await asyncio.sleep(2)
        world.cloud.event(instance_id, "killing", reason="Killing")
        world.cloud.event(instance_id, "other", reason="Unhealthy")
        await world.until(lambda: world.kube.events("Unhealthy"))
        await asyncio.sleep(5)
        assert [each["message"] for each in world.kube.events("Killing")] == ["Stopping container main"]


@in_no_time
@pytest.mark.parametrize("forgets", [False, True], ids=["one life", "a new process"])
async def test_a_stop_that_the_cloud_tells_of_too_is_one_event(forgets):
    """P49"""
    world = World(web=Life(stop_s=20, gone_s=30))
    async with world.running():
        await served(world)
        world.kube.delete_pod("web")
        await world.until(lambda: world.kube.events("Killing"))
        if not forgets:
            world.cloud.event("eci-1", "k", reason="Killing", message="Stopping container main")
            await asyncio.sleep(10)
    if forgets:
        world.cloud.event("eci-1", "k", reason="Killing", message="Stopping container main")
        async with world.running():
            await asyncio.sleep(10)
    assert [each["message"] for each in world.kube.events("Killing")] == ["Stopping container main"]


@in_no_time
async def test_a_deleted_pod_is_ready_while_it_stops_as_on_a_kubelet():
    world = World(web=Life(stop_s=20, gone_s=30))
    async with world.running():
        await served(world)
        world.kube.delete_pod("web")
        await asyncio.sleep(5)
        assert world.phase("web") == "Running"
        assert condition(world, "web", "Ready")["status"] == "True"


@in_no_time
async def test_a_deletion_that_shows_no_effect_is_forced_after_its_grace_and_asked_for_again():
    world = World()
    asked = []
    delete = world.cloud.delete

    async def deaf(instance_id, *, force):
        asked.append((world.time_s, force))
        return True if len(asked) < 3 else await delete(instance_id, force=force)

    world.cloud.delete = deaf
    async with world.running():
        await served(world)
        world.kube.delete_pod("web")
        await world.until(lambda: world.phase("web") == "gone" and not world.cloud.instances)
    began_s = asked[0][0]
    assert [(round(time_s - began_s), force) for time_s, force in asked] == [(0, False), (35, True), (95, False)]
    assert world.complaints() == []


@in_no_time
async def test_what_the_cloud_denies_when_it_is_to_delete_it_again_is_gone():
    world = World()

    async def unknown(instance_id, container):
        raise CloudUnavailable("too many calls")

    world.cloud.is_gone = unknown
    async with world.running():
        await served(world)
        world.kube.delete_pod("web", grace_s=2)
        await asyncio.sleep(0.5)
        world.cloud.vanish("eci-1")
        await world.until(lambda: world.phase("web") == "gone", within_s=15)
    assert world.complaints() == []


@in_no_time
async def test_a_pod_gone_at_once_takes_its_instance_along_after_a_look_at_the_api_server():
    world = World()
    async with world.running():
        await served(world)
        world.kube.delete_pod("web", grace_s=0)
        await asyncio.sleep(20)
        gets = [path for method, path, _ in world.kube.seen if method == "GET" and path.endswith("/pods/web")]
        assert len(gets) == 1
    assert not world.cloud.instances
    assert world.complaints() == []


@in_no_time
async def test_an_instance_whose_pod_the_api_server_still_has_is_kept():
    """A list that comes out short must cost nothing: each of its gaps is asked about."""
    world = World()
    async with world.running() as process:
        uid = await served(world)
        process.store.remove(uid)
        await asyncio.sleep(60)
        assert world.phase("web") == "Running"
        assert [call for call in world.cloud.calls if call.startswith("delete")] == []
        assert process.store.get(uid) is not None


@in_no_time
async def test_a_name_that_the_cloud_cut_short_proves_nothing():
    """A tag holds 128 characters and a pod's name up to 253: no pod answers to the first half of a name."""
    world = World()
    name = "x" * 200
    async with world.running() as process:
        uid = await served(world, name)
        cut = Owner("c", "vk", "web", name[:128], uid)
        world.cloud.set("eci-1", owner=cut)
        process.instances.put(world.cloud.instances["eci-1"])
        process.store.remove(uid)
        await asyncio.sleep(60)
        assert world.phase(name) == "Running"
        assert set(world.cloud.instances) == {"eci-1"}
        world.kube.delete_pod(name, grace_s=0)
        await asyncio.sleep(60)
    assert world.complaints() == []


@in_no_time
async def test_an_orphan_of_an_earlier_life_is_deleted_once_it_is_a_minute_old():
    world = World()
    async with world.running():
        await served(world)
    world.kube.delete_pod("web", grace_s=0)
    async with world.running():
        await asyncio.sleep(59 - world.time_s)
        assert set(world.cloud.instances) == {"eci-1"}
        await asyncio.sleep(20)
    assert not world.cloud.instances


@in_no_time
@pytest.mark.parametrize("known", [True, False], ids=["its pod was seen", "found at the start"])
async def test_only_an_instance_whose_pod_nobody_knew_is_called_an_orphan(known, caplog):
    """A finished pod goes at once when its owner does, and its instance is left for us: that is the usual way."""
    world = World(job=Life(runs_s=1))
    caplog.set_level("INFO", "vk_provider")
    async with world.running():
        world.kube.add_pod("job")
        await world.until(lambda: world.phase("job") == "Succeeded")
        if known:
            world.kube.delete_pod("job")
            await world.until(lambda: not world.cloud.instances)
    if not known:
        world.kube.delete_pod("job")
        async with world.running():
            await world.until(lambda: not world.cloud.instances)
    levels = {each.levelname for each in caplog.records if "eci-1" in each.message and "delet" in each.message}
    assert levels == ({"INFO"} if known else {"WARNING"})
    assert ("orphan" in caplog.text) is not known


@in_no_time
async def test_an_instance_that_names_no_pod_is_left_alone_and_costs_nothing(caplog):
    world = World()
    made = Instance("eci-x", Owner("c", "vk"), InstanceStatus.RUNNING, created_at="2026-01-01T00:00:00Z")
    world.cloud.instances["eci-x"] = made
    async with world.running():
        await asyncio.sleep(600)
    assert set(world.cloud.instances) == {"eci-x"}
    assert "reconcile failed" not in caplog.text
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


@in_no_time
async def test_while_the_api_server_does_not_answer_no_instance_is_deleted():
    world = World()
    async with world.running():
        await served(world)
        world.kube.delete_pod("web", grace_s=0)

        def silent(method, path, body):
            raise KubeUnavailable("no answer")

        world.kube.trouble = silent
        await asyncio.sleep(300)
        assert set(world.cloud.instances) == {"eci-1"}
        world.kube.trouble = lambda *_: None
        await asyncio.sleep(120)
    assert world.complaints() == []


@in_no_time
async def test_once_the_api_server_answers_again_nobody_waits_out_what_it_did_not_answer():
    world = World()
    async with world.running() as process:

        def silent(method, path, body):
            if method == "PATCH" or path.endswith("/web"):
                raise KubeUnavailable("no answer")

        world.kube.trouble = silent
        uid = world.kube.add_pod("web")
        await asyncio.sleep(120)
        world.kube.trouble = lambda *_: None
        assert (process.queue.due_in_s(uid) or 0) > 5
        process.controller.retry_unanswered()
        await asyncio.sleep(5)
        assert world.phase("web") == "Running"


@pytest.mark.parametrize("error", [AnswerTooLong("a tenant's object"), MalformedAnswer("a tenant's object")])
@in_no_time
async def test_what_was_answered_and_cannot_be_read_keeps_to_its_back_off(error):
    """A tenant may have made it so, and others' luck must not have it read every five seconds."""
    world = World()
    async with world.running() as process:

        def unreadable(method, path, body):
            if method == "PATCH" or path.endswith("/web"):
                raise error

        world.kube.trouble = unreadable
        uid = world.kube.add_pod("web")
        await asyncio.sleep(120)
        due_s = process.queue.due_in_s(uid)
        assert (due_s or 0) > 5
        process.controller.retry_unanswered()
        assert process.queue.due_in_s(uid) == due_s


@in_no_time
async def test_a_namesake_gets_an_instance_of_its_own_and_the_old_one_goes():
    world = World()
    async with world.running():
        first = await served(world)
        world.kube.delete_pod("web", grace_s=0)
        second = await served(world)
        await asyncio.sleep(60)
        assert [each.owner.uid for each in world.cloud.instances.values()] == [second]
        assert world.cloud.starts == {first: 1, second: 1}
    assert world.complaints() == []


@in_no_time
async def test_an_object_held_by_a_finalizer_is_asked_to_go_once():
    world = World()
    async with world.running() as process:
        await served(world, finalizers=["example.com/hold"])
        world.kube.delete_pod("web")
        await asyncio.sleep(600)
        assert world.phase("web") == "Failed"
        assert world.kube.counts()["DELETE pods"] == 1
        assert not world.cloud.instances
        path = "/api/v1/namespaces/web/pods/web"
        world.kube.edit(path, lambda pod: pod["metadata"].pop("finalizers"))
        world.kube.remove(path)
        await asyncio.sleep(60)
        assert not process.controller._memories
        assert not process.controller._gone
        assert not process.controller._changed
    assert world.complaints() == []


@in_no_time
async def test_an_instance_that_vanishes_fails_its_pod_as_a_disruption_and_is_not_made_again():
    world = World()
    async with world.running():
        await served(world, "other")
        await served(world)
        world.cloud.vanish("eci-2")
        await world.until(lambda: world.phase("web") == "Failed", within_s=100)
        assert world.kube.pod("web")["status"]["reason"] == "NotFound"
        assert condition(world, "web", "DisruptionTarget")["status"] == "True"
        assert len(world.kube.events("NotFound")) == 1
        await asyncio.sleep(300)
        assert len(world.cloud.created) == 2
        assert world.phase("other") == "Running"


@in_no_time
async def test_lists_that_leave_an_instance_out_fail_no_pod():
    world = World()
    async with world.running():
        await served(world, "other")
        await served(world)
        world.cloud.hidden = {"eci-1", "eci-2"}
        await asyncio.sleep(600)
        assert world.statuses() == {"Running": 2}
    async with world.running():
        await asyncio.sleep(600)
        assert world.statuses() == {"Running": 2}
        assert len(world.cloud.created) == 2


class Lagging(LivingCloud):
    """Its lists are of so many seconds ago; what it says of one id is true."""

    def __init__(self, world, **lives):
        super().__init__(world.now, **lives)
        self.lag_s, self._world, self._past = 0.0, world, []

    async def remember(self):
        while True:
            self._past.append((self._world.time_s, dict(self.instances)))
            await asyncio.sleep(0.1)

    def _shown(self):
        if not self.lag_s:
            return super()._shown()
        return next((each for at_s, each in reversed(self._past) if at_s <= self._world.time_s - self.lag_s), {})

    async def changes(self, window_s):
        return await MemoryCloud.changes(self, window_s)


@pytest.mark.parametrize("lag_s", [4.0, 13.3, 22.0])
@pytest.mark.parametrize("dies_s", [4.3, 8.3, 14.25, 33.0])
@in_no_time
async def test_who_starts_anew_on_lists_that_lag_keeps_to_the_instance_that_the_pod_notes(dies_s, lag_s):
    """The pod was carried by two before that, which found no room; the lists show one of them as if it might."""
    world = World(cloud_latency_s=0.2)
    world.cloud = Lagging(world, web=Life(unplaced=2))
    remembering = asyncio.create_task(world.cloud.remember())
    async with world.running():
        uid = world.kube.add_pod("web", policy="Always")
        await asyncio.sleep(dies_s)
    world.cloud.lag_s = lag_s
    async with world.running():
        await asyncio.sleep(40)
        world.cloud.lag_s = 0.0
        await world.until(lambda: world.phase("web") == "Running")
        await asyncio.sleep(100)
    remembering.cancel()
    assert world.phase("web") == "Running"
    assert len(world.cloud.instances) == world.cloud.starts[uid] == 1
    assert world.complaints() == []


@pytest.mark.parametrize("ahead_s", [-3600, 0, 3600])
@in_no_time
async def test_a_replacement_that_only_lists_tell_of_is_taken_whatever_the_clouds_clock_says(ahead_s):
    world = World()
    world.cloud = LivingCloud(lambda: world.now() + timedelta(seconds=ahead_s), web=Life(unplaced=1))
    create = world.cloud.create

    async def unanswered(workload):
        answer = await create(workload)
        if workload.replaces:
            raise CloudUnavailable("the answer was lost")
        return replace(answer, created_at="")

    world.cloud.create = unanswered
    async with world.running():
        await served(world)
        await asyncio.sleep(60)
        assert set(world.cloud.instances) == {"eci-2"}
    assert world.complaints() == []


@in_no_time
async def test_where_the_noted_instance_is_gone_and_another_is_there_that_becomes_the_pods():
    world = World()
    async with world.running():
        uid = await served(world)
    world.cloud.vanish("eci-1")
    world.cloud.instances["eci-7"] = Instance("eci-7", Owner("c", "vk", "web", "web", uid), InstanceStatus.RUNNING)
    async with world.running():
        await asyncio.sleep(5)
        assert world.kube.pod("web")["metadata"]["annotations"]["virtual-kubelet.io/instance-id"] == "eci-7"
        assert world.cloud.calls.count("is_gone eci-1") == 1


@in_no_time
async def test_a_deadline_stops_the_instance_and_then_fails_the_pod_at_that_second():
    world = World()
    async with world.running():
        await served(world, spec={"activeDeadlineSeconds": 100})
        await asyncio.sleep(99 - world.time_s)
        assert "delete eci-1" not in world.cloud.calls
        await asyncio.sleep(2)
        assert "delete eci-1" in world.cloud.calls
        assert world.phase("web") == "Running", "its containers still run"
        await world.until(lambda: world.phase("web") == "Failed", within_s=20)
        assert world.kube.pod("web")["status"]["reason"] == "DeadlineExceeded"
    assert world.complaints() == []


@in_no_time
async def test_what_a_pod_said_last_is_kept_before_it_is_stopped_for_good():
    world = World()
    world.cloud.said = {"main": [b"2026-01-02T03:04:05Z so much is done\n"]}
    async with world.running():
        uid = await served(world, spec={"activeDeadlineSeconds": 100})
        await world.until(lambda: world.phase("web") == "Failed", within_s=150)
        assert world.ended_logs.of(uid, "main") == b"2026-01-02T03:04:05Z so much is done\n"
    assert world.complaints() == []


@in_no_time
async def test_of_two_instances_of_one_pod_the_noted_one_stays():
    world = World()
    async with world.running():
        uid = await served(world)
        world.cloud.instances["eci-7"] = Instance("eci-7", Owner("c", "vk", "web", "web", uid), InstanceStatus.RUNNING)
        world.cloud._specs["eci-7"] = world.cloud._specs["eci-1"]
        await asyncio.sleep(120)
        assert set(world.cloud.instances) == {"eci-1"}
        assert world.phase("web") == "Running"


# --- events ---


@in_no_time
async def test_each_event_of_the_cloud_is_mirrored_once_and_counted_also_over_a_restart():
    world = World()
    async with world.running():
        await served(world)
        world.cloud.event("eci-1", "a")
        world.cloud.event("eci-1", "b", count=2)
        await asyncio.sleep(20)
        told = sorted((each["reason"], each["count"]) for each in world.kube.events())
        assert told == [("Pulled", 1), ("Pulled", 2), ("Started", 1)]
    posts = world.kube.counts()["POST events"]
    async with world.running():
        await asyncio.sleep(20)
        assert world.kube.counts()["POST events"] == posts
        world.cloud.event("eci-1", "a", count=4)
        await asyncio.sleep(20)
    assert world.kube.counts()["POST events"] == posts
    assert sorted(each["count"] for each in world.kube.events("Pulled")) == [2, 4]
    assert all(each["source"] == {"component": "kubelet", "host": "eci"} for each in world.kube.events("Pulled"))


@in_no_time
async def test_what_is_remembered_of_events_is_bounded_by_what_the_instance_shows():
    world = World()
    async with world.running() as process:
        uid = await served(world)
        for number in range(300):
            world.cloud.set("eci-1", events=())
            world.cloud.event("eci-1", f"e{number:03}")
            await asyncio.sleep(2)
        assert len(process.controller._memories[uid].mirrored) <= 50


# --- trouble with the API server ---


@in_no_time
async def test_a_status_that_is_refused_for_ever_backs_off_is_told_and_hides_no_event(caplog):
    world = World()
    async with world.running():
        world.kube.add_pod("odd", policy="Always")
        await served(world)

        def refuse(method, path, body):
            if method == "PATCH" and "/pods/odd/" in path:
                raise KubeError("spec is odd", status=422, reason="Invalid")

        world.kube.trouble = refuse
        world.cloud.finish("eci-1", 1)
        world.cloud.event("eci-1", "a", reason="BackOff")
        before = len(world.kube.bodies("PATCH", "/pods/odd/"))
        await asyncio.sleep(3600)
        assert len(world.kube.bodies("PATCH", "/pods/odd/")) - before < 80, "once a minute in the end"
        assert [each["involvedObject"]["name"] for each in world.kube.events("BackOff")] == ["odd"]
        assert re.search("again.*spec is odd", caplog.text)
        (told,) = world.kube.events("FailedSync")
        assert "the API server refuses this pod's status: spec is odd" in told["message"]
        world.kube.trouble = lambda *_: None
        await world.until(lambda: world.phase("odd") == "Running" or world.phase("odd") == "Failed", within_s=61)


@in_no_time
async def test_a_pod_that_somebody_else_changes_back_each_time_is_not_patched_in_a_hot_loop():
    world = World()
    turns = iter(range(100_000))

    def contradict(pod):
        for each in pod["status"]["conditions"]:
            if each["type"] == "Ready":
                each["message"] = f"not so, for the {next(turns)}th time"

    world.kube.mutate = contradict
    async with world.running():
        world.kube.add_pod("web", policy="Always")
        await asyncio.sleep(60)
        assert world.phase("web") == "Running"
        assert world.kube.counts()["PATCH pods"] < 20
        await asyncio.sleep(3600)
        assert world.kube.counts()["PATCH pods"] < 100


@in_no_time
async def test_a_server_that_drops_what_we_write_stops_neither_the_create_nor_us():
    """It answers 200 and changes nothing: no news comes of it, and the same patch would do nothing again."""
    world = World()
    world.cloud.fail_create = [CloudUnavailable("no answer")]

    def keep(pod):
        pod["status"] = {"phase": "Pending", "conditions": world.kube.pod("web")["status"]["conditions"]}
        pod["metadata"] = world.kube.pod("web")["metadata"]

    world.kube.mutate = keep
    async with world.running():
        world.kube.add_pod("web", policy="Always")
        await world.until(lambda: world.cloud.created, within_s=60)
        await asyncio.sleep(3600)
        assert world.kube.counts()["PATCH pods"] < 200


@in_no_time
async def test_a_conflict_over_a_pod_that_is_still_there_only_delays():
    world = World()
    async with world.running():
        await asyncio.sleep(1)
        fights = [1, 2, 3]

        def fight(method, path, body):
            if method == "PATCH" and path.endswith("/pods/web/status") and fights:
                fights.pop()
                raise Conflict("the object has been modified", status=409)

        world.kube.trouble = fight
        world.cloud.fail_create = [CloudUnavailable("no answer")]
        world.kube.add_pod("web", policy="Always")
        await world.until(lambda: world.phase("web") == "Running", within_s=60)
    assert world.complaints() == []


@in_no_time
async def test_a_watch_that_lags_behind_our_own_writes_causes_no_write_twice():
    world = World(job=Life(runs_s=10))
    world.kube.watch_lag_s = 1.5
    async with world.running():
        world.kube.add_pod("job")
        await world.until(lambda: world.phase("job") == "Succeeded")
        await asyncio.sleep(60)
        assert world.kube.counts()["PATCH pods"] == 3
        world.kube.delete_pod("job")
        await asyncio.sleep(60)
    assert world.complaints() == []


@in_no_time
async def test_a_watch_that_lags_behind_the_removal_of_an_object_causes_no_second_one():
    world = World()
    async with world.running():
        await served(world)
        world.kube.watch_lag_s = 1.5
        world.kube.delete_pod("web")
        await world.until(lambda: world.phase("web") == "gone")
        await asyncio.sleep(60)
        assert len(world.kube.bodies("DELETE", "/web")) == 1
        assert world.kube.counts()["GET pods"] == 1  # the list at the start: nobody asked what had become of it
    assert world.complaints() == []


@in_no_time
async def test_after_a_relist_everything_goes_on():
    world = World(job=Life(runs_s=30))
    async with world.running():
        await served(world)
        world.kube.add_pod("job")
        await asyncio.sleep(5)
        world.kube.compact()
        world.kube.delete_pod("web", grace_s=0)
        await world.until(lambda: world.phase("job") == "Succeeded")
        await asyncio.sleep(100)
    assert world.complaints() == []


# --- uncertain creates ---


@in_no_time
async def test_a_pod_deleted_after_a_create_without_an_answer_goes_only_when_the_cloud_was_asked_for_it():
    """No listing shows the instance yet, and the next try failed before it reached the cloud."""
    world = World()
    create = world.cloud.create

    async def losing(workload):
        await create(workload)
        raise CloudUnavailable("the answer was lost")

    async def nothing_new(window_s):
        return []

    async def nothing_counted(*, rest_s):
        return {}

    world.cloud.create, world.cloud.changes, world.cloud.statuses = losing, nothing_new, nothing_counted
    async with world.running():
        await asyncio.sleep(1)
        world.kube.add(SECRET, {"kind": "Secret", "data": {}})
        uid = world.kube.add_pod("web", spec=NEEDS_SECRET, policy="Always")
        await world.until(lambda: world.cloud.created)
        world.kube.remove(SECRET)
        await asyncio.sleep(30)
        assert waiting(world, "web")["message"] == 'secret "key" not found'
        assert "find" not in world.cloud.calls
        world.kube.delete_pod("web")
        await world.until(lambda: world.phase("web") == "gone" and not world.cloud.instances)
        assert "find" in world.cloud.calls
        assert exit_code(world.kube.removed[uid]) == 143
    assert world.complaints() == []


# --- start and mass ---


@in_no_time
async def test_before_the_cloud_was_listed_completely_nothing_is_created_or_deleted():
    world = World()
    async with world.running():
        await served(world)
    world.kube.add_pod("late", policy="Always")
    world.cloud.fail = CloudUnavailable("not yet")
    async with world.running():
        await asyncio.sleep(300)
        assert world.cloud.calls.count("create") == 1
        assert [call for call in world.cloud.calls if call.startswith(("delete", "find"))] == []
        assert world.phase("web") == "Running"
        world.cloud.fail = None
        await world.until(lambda: world.phase("late") == "Running")
    assert world.complaints() == []


CROWD = 1000 if THOROUGH else 400


@thorough
@in_no_time
async def test_a_thousand_that_go_at_once_hold_up_nobody_who_comes():
    """Nobody runs who could bear witness, so that the cloud has to deny each of them by itself."""
    world = World(cloud_latency_s=0.1, **{f"p{number}": Life(runs_s=1) for number in range(CROWD)})
    async with world.running(workers=64):
        for number in range(CROWD):
            world.kube.add_pod(f"p{number}")
        await world.until(lambda: world.statuses() == {"Succeeded": CROWD})
        for number in range(CROWD):
            world.kube.delete_pod(f"p{number}")
        await asyncio.sleep(3)
        began = world.time_s
        await served(world)
        assert world.time_s - began < 15, "its start takes three seconds"
        await asyncio.sleep(120)
        deletes = [call for call in world.cloud.calls if call.startswith("delete")]
        assert len(deletes) == CROWD, "none is asked for twice"
        gets = [
            path
            for method, path, _ in world.kube.seen
            if method == "GET" and path.startswith("/api/v1/namespaces/web/pods/")
        ]
        assert len(gets) == CROWD
    assert world.complaints() == []


# --- out of stock ---

ATTEMPT = "virtual-kubelet.io/create-attempt"


@in_no_time
async def test_the_next_way_is_noted_on_the_pod_before_it_is_tried():
    world = World(job=Life(runs_s=5))
    world.cloud.sold_out_once.add("job")
    async with world.running():
        world.kube.add_pod("job")
        await world.until(lambda: world.phase("job") == "Succeeded")
    assert [each.attempt for each in world.cloud.created] == [1]
    assert world.kube.pod("job")["metadata"]["annotations"][ATTEMPT] == "1"
    assert "NoStock" in {each["reason"] for each in world.kube.events()}
    assert world.complaints() == []


@in_no_time
@pytest.mark.parametrize(
    ("annotation", "phase", "reason"),
    [
        ({"k8s.aliyun.com/eci-fail-strategy": "fail-fast"}, "Pending", "ContainerInstanceScheduleFailed"),
        ({"k8s.aliyun.com/pod-fail-on-create-err": "true"}, "Failed", "ProviderFailed"),
    ],
)
async def test_who_wants_no_further_try_gets_none(annotation, phase, reason):
    world = World(job=Life(runs_s=5))
    world.cloud.fail_create = [OutOfCapacity("none left", code="OperationDenied.NoStock")]
    path = "/api/v1/namespaces/web/pods/job"
    async with world.running():
        world.kube.add_pod("job")
        world.kube.edit(path, lambda item: item["metadata"].setdefault("annotations", {}).update(annotation))
        await world.until(lambda: world.kube.pod("job").get("status", {}).get("reason") == reason)
    async with world.running():  # it is remembered
        await asyncio.sleep(600)
        assert world.kube.pod("job")["status"]["phase"] == phase
    assert world.cloud.created == []


@in_no_time
async def test_the_clouds_events_that_find_no_room_are_told_when_there_is_some():
    world = World()
    async with world.running() as process:
        await served(world)
        recorder = process.recorder
        kept, recorder._crowded = recorder._crowded, 0
        world.cloud.event("eci-1", "late", reason="Sync", message="told in the end")
        await asyncio.sleep(60)
        assert not world.kube.events("Sync")
        recorder._crowded = kept
        await asyncio.sleep(60)
        assert [each["message"] for each in world.kube.events("Sync")] == ["told in the end"]


@in_no_time
async def test_an_end_that_a_look_by_name_does_not_show_yet_is_looked_for_again():
    world = World()
    async with world.running():
        await served(world)
        before = world.cloud.instances["eci-1"]
        asked = []

        async def lagging(_: object):
            asked.append(world.time_s)
            return [before] if len(asked) < 3 else [world.cloud.instances["eci-1"]]

        world.cloud.find = lagging
        world.cloud.set("eci-1", status=InstanceStatus.FAILED)
        describe = world.cloud.describe
        world.cloud.describe = lambda ids: _told(before) if 0 < len(asked) < 3 else describe(ids)
        await world.until(lambda: world.phase("web") == "Failed", within_s=120)


async def _told(instance):
    return {instance.id: instance}


@in_no_time
async def test_a_pod_that_means_harm_is_refused_and_holds_nobody_up(caplog):
    """The last variable would be 16 GB of text, and the image brings a line of its own for the log."""
    chain = [{"name": "V0", "value": "a" * 30}, *({"name": f"V{n}", "value": f"$(V{n - 1})" * 10} for n in range(1, 9))]
    harmful = {
        "chain": [{"name": "main", "image": "perl", "env": chain}],
        "parentheses": [{"name": "main", "image": "perl", "args": ["$(" * 120_000]}],
        "variables": [{"name": "main", "image": "perl", "env": [{"name": f"A{n}"} for n in range(20_000)]}],
        "containers": [{"name": f"c{n}", "image": "perl"} for n in range(20_000)],
        "image": [{"name": "main", "image": "perl\n2026-01-01 forged " + "x" * 30_000}],
    }
    world = World(innocent=Life(starts_s=1), parentheses=Life(starts_s=1))
    began = time.process_time()
    async with world.running():
        for name, containers in harmful.items():
            world.kube.add_pod(name, spec={"containers": containers})
        world.kube.add_pod("innocent")
        await world.until(lambda: world.phase("innocent") == "Running")
        await world.until(lambda: all(world.phase(name) == "Failed" for name in ("chain", "variables", "containers")))
        await asyncio.sleep(60)
    assert time.process_time() - began < 20
    for name in ("chain", "variables", "containers", "image"):
        assert len(json.dumps(world.kube.pod(name)["status"])) < 30_000
    told = world.kube.events("UnsupportedPod")
    assert {event["involvedObject"]["name"] for event in told} >= {"chain", "variables", "containers"}
    assert any("spec.containers[0].env[4].value" in event["message"] for event in told)
    assert all(len(event["message"].encode()) <= 1024 for event in world.kube.events())
    assert all(len(record.getMessage()) < 3_000 for record in caplog.records if record.name.startswith("vk_provider"))
