"""The seam for policies, by small ones: who is admitted, who waits for capacity, who is stopped and what it ends as."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from tests.control.living_cloud import Life, LivingCloud
from tests.control.pure_time import play
from tests.control.world import World
from vk_provider.control.pod_event import PodEvent
from vk_provider.control.policy import Hold, Permissive, Reject, Size
from vk_provider.control.rules.stopping import GRACE_SLACK_S
from vk_provider.control.stop_order import StopOrder
from vk_provider.errors import OutOfCapacity
from vk_provider.model.instance import Instance

Json = dict[str, Any]
RECLAIM = StopOrder(
    "Preempted",
    "2 vCPU are wanted by web/regular",
    phase="Failed",
    disruption=True,
    event=PodEvent("Warning", "PreemptibleReclaim", "2 vCPU are wanted by web/regular; grace 30 s"),
    grace_s=30.0,
)
WAIT = Hold("WaitingForReclaim", "2 vCPU are being freed", retry_after_s=300.0)


def in_no_time(story: Any) -> Any:
    @functools.wraps(story)
    def run(*args: Any, **more: Any) -> Any:
        return play(story(*args, **more))

    return run


class Policy(Permissive):
    """Says what a test has put down. freed: instances that the cloud has confirmed to be gone."""

    def __init__(self) -> None:
        self.admits: Callable[[Json], Json | Hold | Reject | None] = lambda pod: pod
        self.hold: Hold | None = None
        self.needs: list[Size] = []
        self.orders: dict[str, StopOrder] = {}
        self.freed: list[str] = []
        self.changed: Callable[[str], None] = lambda _: None

    def admit(self, pod: Json) -> Json | Hold | Reject | None:
        return self.admits(pod)

    def on_out_of_capacity(self, pod: Json, need: Size, error: OutOfCapacity) -> Hold | None:
        self.needs.append(need)
        return self.hold

    def stop_order(self, uid: str) -> StopOrder | None:
        return self.orders.get(uid)

    def released(self, instance: Instance) -> None:
        self.freed.append(instance.id)

    def on_change(self, call: Callable[[str], None]) -> None:
        self.changed = call


class FullCloud(LivingCloud):
    """Without capacity until it has some."""

    full = True

    async def create(self, workload: Any) -> Instance:
        if self.full:
            self._enter("create in vain")
            raise OutOfCapacity("quota used up", code="QuotaExceeded.Cpu")
        return await super().create(workload)


def world_of(policy: Policy, **lives: Life) -> World:
    world = World(cloud_latency_s=0.1, **lives)
    world.policies = [policy]
    return world


def reasons(world: World) -> list[str]:
    return [event["reason"] for event in world.kube.events()]


def condition(world: World, name: str, type_: str) -> Json:
    pod = world.kube.pod(name)
    assert pod is not None
    return next((each for each in pod["status"]["conditions"] if each["type"] == type_), {})


@in_no_time
async def test_whom_a_policy_rejects_fails_with_its_reason_and_no_instance_is_made():
    policy = Policy()
    policy.admits = lambda _: Reject("UnexpectedAdmissionError", "cpu beside gocrane.io/cpu")
    world = world_of(policy)
    async with world.running():
        world.kube.add_pod("web")
        await world.until(lambda: world.phase("web") == "Failed")
        await asyncio.sleep(60)
    assert world.kube.pod("web")["status"]["reason"] == "UnexpectedAdmissionError"
    assert "UnexpectedAdmissionError" in reasons(world)
    assert not world.cloud.created


@in_no_time
async def test_whom_a_policy_holds_waits_with_its_reason_until_the_policy_says_that_it_has_changed():
    policy = Policy()
    policy.admits = lambda _: WAIT
    world = world_of(policy)
    async with world.running():
        world.kube.add_pod("web", policy="Always")
        await asyncio.sleep(60)
        assert condition(world, "web", "ContainerInstanceCreated")["reason"] == "WaitingForReclaim"
        assert reasons(world).count("WaitingForReclaim") == 1
        policy.admits = lambda pod: pod
        policy.changed(world.kube.pod("web")["metadata"]["uid"])
        await world.until(lambda: world.phase("web") == "Running", within_s=10)
    assert world.complaints() == []


@in_no_time
async def test_what_is_out_of_capacity_waits_for_what_a_policy_frees_and_is_tried_again_when_it_lands():
    policy = Policy()
    policy.hold = WAIT
    world = world_of(policy)
    world.cloud = FullCloud(world.now)
    async with world.running():
        await asyncio.sleep(1)
        world.kube.add_pod("web", policy="Always")
        await asyncio.sleep(100)
        assert world.cloud.calls.count("create in vain") == 1, "the policy says how long asking again makes no sense"
        assert policy.needs == [Size(None, None)]
        assert reasons(world).count("WaitingForReclaim") == 1
        assert condition(world, "web", "ContainerInstanceCreated")["reason"] == "WaitingForReclaim"
        world.cloud.full = False
        policy.changed(world.kube.pod("web")["metadata"]["uid"])
        await world.until(lambda: world.phase("web") == "Running", within_s=10)
    assert world.complaints() == []


@in_no_time
async def test_whom_no_policy_held_is_tried_again_at_a_change_and_not_only_after_its_back_off():
    policy = Policy()
    world = world_of(policy)
    world.cloud = FullCloud(world.now)
    async with world.running():
        await asyncio.sleep(1)
        world.kube.add_pod("web", policy="Always")
        await world.until(lambda: world.cloud.calls.count("create in vain") == 8, within_s=600)
        world.cloud.full = False
        policy.changed(world.kube.pod("web")["metadata"]["uid"])
        await world.until(lambda: world.phase("web") == "Running", within_s=10)
    assert world.complaints() == []


@in_no_time
async def test_a_change_that_comes_while_the_create_is_under_way_ends_the_wait_all_the_same():
    policy = Policy()
    policy.hold = WAIT
    world = world_of(policy)
    world.cloud = FullCloud(world.now)
    world.cloud_latency_s = 5.0
    async with world.running():
        await asyncio.sleep(30)
        world.kube.add_pod("web", policy="Always")
        await asyncio.sleep(4.5)
        policy.changed(world.kube.pod("web")["metadata"]["uid"])
        world.cloud.full = True
        await asyncio.sleep(3)
        world.cloud.full = False
        await world.until(lambda: world.phase("web") == "Running", within_s=60)


@in_no_time
async def test_whose_stop_a_policy_orders_is_told_why_stopped_failed_and_only_then_credited():
    policy = Policy()
    world = world_of(policy)
    async with world.running():
        world.kube.add_pod("web", policy="Always")
        await world.until(lambda: world.phase("web") == "Running")
        uid = world.kube.pod("web")["metadata"]["uid"]
        policy.orders[uid] = RECLAIM
        policy.changed(uid)
        await world.until(lambda: condition(world, "web", "DisruptionTarget"), within_s=2)
        assert "PreemptibleReclaim" in reasons(world)
        assert world.phase("web") == "Running"
        await world.until(lambda: world.phase("web") == "Failed", within_s=30)
        assert policy.freed == [] or not world.cloud.instances
        await world.until(lambda: policy.freed, within_s=30)
        await asyncio.sleep(60)
    pod = world.kube.pod("web")
    assert policy.freed == ["eci-1"]
    assert not world.cloud.instances, "an instance that is to make room is not kept for its log"
    assert (pod["status"]["reason"], pod["status"]["message"]) == ("Preempted", RECLAIM.message)
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert condition(world, "web", "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert reasons(world).count("PreemptibleReclaim") == 1
    assert world.cloud.calls.count("delete eci-1") == 1
    assert world.complaints() == []


@in_no_time
async def test_who_does_not_stop_within_the_orders_grace_is_ended():
    policy = Policy()
    world = world_of(policy, web=Life(stop_s=500.0, gone_s=500.0))
    async with world.running():
        world.kube.add_pod("web", policy="Always")
        await world.until(lambda: world.phase("web") == "Running")
        uid = world.kube.pod("web")["metadata"]["uid"]
        policy.orders[uid] = RECLAIM
        policy.changed(uid)
        await asyncio.sleep(30 + GRACE_SLACK_S - 1)
        assert world.cloud.calls.count("delete eci-1") == 1, "it has all of its grace"
        await asyncio.sleep(6)
        assert world.cloud.calls.count("delete eci-1") == 2


@in_no_time
async def test_what_waits_for_an_instance_when_its_stop_is_ordered_never_gets_one():
    policy = Policy()
    world = world_of(policy)
    world.cloud = FullCloud(world.now)
    async with world.running():
        await asyncio.sleep(1)
        world.kube.add_pod("web", policy="Always")
        await asyncio.sleep(5)
        uid = world.kube.pod("web")["metadata"]["uid"]
        policy.orders[uid] = RECLAIM
        policy.changed(uid)
        await world.until(lambda: world.phase("web") == "Failed", within_s=10)
        world.cloud.full = False
        await asyncio.sleep(300)
    assert world.kube.pod("web")["status"]["reason"] == "Preempted"
    assert not world.cloud.created


@in_no_time
async def test_what_found_no_room_when_its_stop_is_ordered_is_tried_no_more():
    policy = Policy()
    world = world_of(policy, web=Life(unplaced=100))
    async with world.running():
        world.kube.add_pod("web", policy="Always")
        await world.until(lambda: world.cloud.unplaced["uid-1"] >= 2, within_s=120)
        policy.orders["uid-1"] = RECLAIM
        policy.changed("uid-1")
        await world.until(lambda: world.phase("web") == "Failed", within_s=20)
        tried = len(world.cloud.created_at_s)
        await asyncio.sleep(1200)
        assert len(world.cloud.created_at_s) == tried
    assert world.kube.pod("web")["status"]["reason"] == "Preempted"
    assert condition(world, "web", "DisruptionTarget")["status"] == "True"
    assert world.complaints() == []


@in_no_time
async def test_what_ended_by_itself_before_it_could_be_stopped_has_ended_as_it_did():
    policy = Policy()
    world = world_of(policy, web=Life(runs_s=20.0))
    async with world.running():
        world.kube.add_pod("web")
        await world.until(lambda: world.phase("web") == "Succeeded")
        uid = world.kube.pod("web")["metadata"]["uid"]
        policy.orders[uid] = RECLAIM
        policy.changed(uid)
        await asyncio.sleep(60)
    assert world.phase("web") == "Succeeded"
    assert condition(world, "web", "DisruptionTarget") == {}


@in_no_time
async def test_each_decision_leaves_a_line_and_its_reason_stays_known_per_pod(caplog: Any):
    world = World()
    async with world.running() as process:
        world.kube.add_pod("web", policy="Always")
        await world.until(lambda: world.phase("web") == "Running")
        await asyncio.sleep(30)
        uid = world.kube.pod("web")["metadata"]["uid"]
        assert process.controller.reason_of(uid) == "the pod is as it should be"
        assert process.controller.reason_of("nobody") == ""
    lines = [each.getMessage() for each in caplog.records if each.name.endswith("control.reconciler")]
    assert "pod=web/web action=Create reason=the pod has no instance" in lines
    assert "pod=web/web action=PatchStatus reason=the pod's status differs from the instance" in lines
    assert "pod=web/web action=Done reason=the pod is as it should be" in lines
