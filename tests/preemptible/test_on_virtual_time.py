"""C.8 of the design: the real provider against the stand-in cloud, scheduler and Job controller, in virtual time."""

import asyncio
import functools
import inspect
from datetime import datetime

import pytest

from fakes.cloud.series import Constant
from tests.control.pure_time import play
from tests.preemptible.world import BIRTH, World
from tests.thorough import THOROUGH, thorough


def in_no_time(story):
    @functools.wraps(story)
    def run(*args, **more):
        return play(story(*args, **more))

    run.__signature__ = inspect.signature(story)
    return run


def load(world, vcpu):
    """The other tenants hold so much from now on."""
    world.cloud.service.others = Constant(vcpu)


def condition(pod, type_):
    return next((each for each in pod["status"].get("conditions") or () if each["type"] == type_), {})


def alone(world, prefix, phase):
    [pod] = [each for each in world.pods(prefix) if each["status"].get("phase") == phase]
    return pod


@in_no_time
async def test_1_and_2_what_is_idle_is_offered_and_jobs_on_it_are_spot_instances():
    world = World(quota=200, others=60, peak=99.95)
    async with world.running():
        await world.until(lambda: world.published() == 80, within_s=60)
        node = world.api.get("nodes", "vk")
        assert node["status"]["capacity"]["gocrane.io/memory"] == "320Gi"
        assert node["status"]["allocatable"]["gocrane.io/cpu"] == "80"
        assert node["status"]["allocatable"]["cpu"] == "5k"
        world.job("crunch", cpu=4, parallelism=10)
        await world.until(lambda: world.running_count("crunch") == 10, within_s=60)
        await asyncio.sleep(30)
        assert world.published() == 80
        assert {group.spec["SpotStrategy"] for group in world.groups()} == {"SpotAsPriceGo"}
        assert [group.cpu for group in world.groups()] == [4.0] * 10
        requests = [pod["spec"]["containers"][0]["resources"]["requests"] for pod in world.pods("crunch")]
        assert not [each for each in requests if "cpu" in each or "memory" in each]
        assert world.events("UpdateNode")


@pytest.mark.parametrize("dies", [True, False])
@in_no_time
async def test_3_and_19_a_rising_load_shrinks_the_offer_and_a_rule_reclaims_only_unless_it_previews(dies):
    world = World(quota=200, others=60, peak=99.95)
    async with world.running() as process:
        await world.until(lambda: world.published() == 80, within_s=60)
        world.job("crunch", cpu=4, parallelism=10)
        await world.until(lambda: world.running_count("crunch") == 10, within_s=60)
        load(world, 130)
        await world.until(lambda: world.published() == 50, within_s=11)
        load(world, 150)
        await world.until(lambda: world.published() == 30, within_s=11)
        world.job("late", cpu=1)
        await asyncio.sleep(60)
        assert world.phases("late") == {"Pending": 1}, "nobody new is bound"
        world.api.delete("jobs.batch", "late", "default", propagation="Background")
        assert [each["message"] for each in world.events("AvoidanceTriggered")] == [
            "preemptible-default/over-allocated triggered action reclaim-preemptible (Preview: nothing is done)"
        ]
        assert world.running_count("crunch") == 10
        rules = world.api.get("nodeqoss.ensurance.crane.io", "preemptible-default")["spec"]["rules"]
        world.patch("NodeQOS", "preemptible-default", {"spec": {"rules": [{**rules[0], "strategy": "None"}]}})
        fired_s = world.time_s
        await world.until(lambda: world.events("PreemptibleReclaim"), within_s=25)
        assert world.time_s - fired_s > 9, "it holds for two evaluations first"
        await world.until(lambda: world.phases("crunch").get("Failed") == 3, within_s=60)
        await asyncio.sleep(60)
        assert world.phases("crunch") == {"Running": 7, "Failed": 3, "Pending": 3}
        assert world.published() == 28, "while a rule holds or cools down nothing is free"
        assert condition(world.api.get("nodes", "vk"), "interference-identified")["status"] == "True"
        node = lambda: condition(world.api.get("nodes", "vk"), "interference-identified")["status"]  # noqa: E731
        restored = datetime.fromisoformat(world.events("RestoreTriggered")[-1]["lastTimestamp"])
        if not dies:
            cleared_s = await world.until(lambda: node() == "False", within_s=400)
            assert abs(cleared_s - (restored - BIRTH).total_seconds() - 300) <= 10
            return
        # A restart in the midst of it inherits the condition, and clears it after the cool-down.
        await process.end()
        again = world.start()
        restarted_s = world.time_s
        await world.until(lambda: node() == "False", within_s=400)
        assert abs(world.time_s - restarted_s - 300) <= 20
        assert world.running_count("crunch") == 7
        await again.end()


@in_no_time
async def test_4_what_does_not_fit_is_pending_with_the_scheduler_s_own_words():
    world = World(quota=200, others=60, peak=99.95)
    async with world.running():
        await world.until(lambda: world.published() == 80, within_s=60)
        world.job("first", cpu=8, parallelism=9)
        world.job("one", cpu=1)
        await world.until(lambda: world.phases() == {"Running": 10}, within_s=60)
        world.job("more", cpu=4, memory="8Gi", parallelism=8)
        await asyncio.sleep(60)
        assert world.phases("more") == {"Running": 1, "Pending": 7}
        assert {"Insufficient gocrane.io/cpu" in each for each in world.messages("more")} == {True}
        assert not any("gocrane.io/memory" in each for each in world.messages("more"))
    world = World(quota=200, others=60, peak=99.95)
    async with world.running():
        await world.until(lambda: world.published() == 80, within_s=60)
        world.job("first", cpu=8, parallelism=9)
        world.job("four", cpu=4)
        world.job("two", cpu=2)
        await world.until(lambda: world.phases() == {"Running": 11}, within_s=60)
        await asyncio.sleep(15)
        world.job("wide", cpu=2, memory="16Gi")
        await asyncio.sleep(30)
        [message] = world.messages("wide")
        assert "Insufficient gocrane.io/memory" in message
        assert "gocrane.io/cpu" not in message


async def five(world):
    """Flat week of 16; five preemptible pods of 8 vCPU, one after the other."""
    await world.until(lambda: world.published() == 41, within_s=60)
    for number in range(5):
        world.job(f"p{number}", cpu=8, memory="16Gi", image="while")
        await asyncio.sleep(5)
    await world.until(lambda: world.running_count("p") == 5, within_s=60)
    await asyncio.sleep(15)


@in_no_time
async def test_5_and_6_a_regular_pod_wins_in_time_and_the_preempted_job_ends_well_all_the_same():
    world = World(quota=64, others=16)
    async with world.running():
        await five(world)
        assert (world.published(), world.used()) == (41, 56)
        world.regular("pi", cpu=16, memory="32Gi", image="minute")
        asked_s = world.time_s
        steps = (
            lambda: world.events("PreemptibleReclaim"),
            lambda: any(condition(pod, "DisruptionTarget") for pod in world.pods("p4")),
            lambda: world.cloud.asked("DeleteContainerGroup"),
            lambda: world.phases("p4").get("Failed"),
        )
        seen = await asyncio.gather(*(world.until(each, within_s=60, every_s=0.01) for each in steps))
        running_s = await world.until(lambda: world.running_count("pi") == 1, within_s=100)
        assert running_s - asked_s <= 70
        assert world.phases("p4") == {"Failed": 1, "Pending": 1}
        told_s, disrupted_s, deleted_s, failed_s = seen
        assert disrupted_s <= deleted_s < failed_s <= disrupted_s + 30 + 5 + world.poll_s
        assert told_s <= disrupted_s + 0.1, "an event is written on a way of its own"
        for number in range(4):
            assert world.phases(f"p{number}") == {"Running": 1}, "nobody else is touched"
        victim = alone(world, "p4", "Failed")
        assert victim["status"]["reason"] == "Preempted"
        disruption = condition(victim, "DisruptionTarget")
        assert (disruption["status"], disruption["reason"]) == ("True", "TerminationByKubelet")
        [told] = world.events("PreemptibleReclaim")
        assert told["type"] == "Warning"
        assert told["involvedObject"]["name"] == victim["metadata"]["name"]
        ended = victim["status"]["containerStatuses"][0]["state"]["terminated"]
        assert ended["exitCode"] in (137, 143)
        assert world.events("WaitingForReclaim")
        await world.until(lambda: world.published() == 25, within_s=30)
        assert "Insufficient gocrane.io/cpu" in world.messages("p4")[0]
        done_s = await world.until(lambda: world.job_status("pi").get("succeeded") == 1, within_s=120)
        again_s = await world.until(lambda: world.running_count("p4") == 1, within_s=120)
        assert again_s - done_s <= 90
        await world.until(
            lambda: all(world.job_status(f"p{n}").get("succeeded") for n in range(5)), within_s=1300, every_s=10
        )
        assert [world.job_status(f"p{number}").get("failed", 0) for number in range(5)] == [0] * 5


@in_no_time
async def test_5_a_regular_pod_that_waited_for_long_starts_with_the_first_reading_that_has_room():
    world = World(quota=64, others=60)
    async with world.running():
        await world.until(lambda: world.api.store.get("nodes", "", "vk"), within_s=60)
        world.regular("pi", cpu=16)
        await asyncio.sleep(900)
        assert world.phases("pi") == {"Pending": 1}
        load(world, 16)
        await world.until(lambda: world.running_count("pi") == 1, within_s=10 + 1 + 29 + 1 + 2 * world.poll_s)


@pytest.mark.parametrize(("options", "failed"), [({"restart": "OnFailure"}, 1), ({"without_policy": True}, 1), ({}, 0)])
@in_no_time
async def test_7_and_8_what_a_reclaim_costs_a_job_depends_on_its_failure_policy(options, failed):
    world = World(quota=64, others=16)
    async with world.running():
        await world.until(lambda: world.published() == 41, within_s=60)
        world.job("crunch", cpu=8, parallelism=5, backoff_limit=0, **options)
        await world.until(lambda: world.running_count("crunch") == 5, within_s=60)
        await asyncio.sleep(15)
        world.regular("pi", cpu=16)
        await world.until(lambda: world.running_count("pi") == 1, within_s=100)
        await asyncio.sleep(10)
        assert world.job_status("crunch").get("failed", 0) >= failed
        is_failed = any(each["type"] == "Failed" for each in world.job_status("crunch").get("conditions") or ())
        assert is_failed == bool(failed)


@in_no_time
async def test_7_a_job_that_restarts_its_pods_itself_counts_each_reclaim_and_is_done_all_the_same():
    world = World(quota=64, others=16)
    async with world.running():
        await world.until(lambda: world.published() == 41, within_s=60)
        world.job("crunch", cpu=8, parallelism=5, restart="OnFailure", image="while")
        await world.until(lambda: world.running_count("crunch") == 5, within_s=60)
        await asyncio.sleep(15)
        world.regular("pi", cpu=16, image="minute")
        await world.until(lambda: world.job_status("pi").get("succeeded") == 1, within_s=200)
        assert world.job_status("crunch").get("failed") == 1
        await world.until(lambda: world.job_status("crunch").get("succeeded") == 5, within_s=1500, every_s=10)
        assert world.job_status("crunch").get("failed") == 1


@thorough
@in_no_time
async def test_8_reclaims_in_a_row_leave_a_job_with_a_back_off_limit_of_0_alive():
    times = 10 if THOROUGH else 3
    world = World(quota=64, others=16, poll_s=10.0)
    world.predict(
        {"algorithmType": "percentile", "percentile": {"percentile": "0.5"}}
    )  # so that none of it is foreseen
    async with world.running():
        await world.until(lambda: world.published() == 41, within_s=60)
        world.job("crunch", cpu=32, backoff_limit=0)
        for number in range(times):
            await world.until(lambda: world.running_count("crunch") == 1, within_s=300)
            await asyncio.sleep(15)
            world.regular(f"r{number}", cpu=32, image="minute")
            await world.until(lambda n=number: world.job_status(f"r{n}").get("succeeded") == 1, within_s=300)
        await world.until(lambda: world.running_count("crunch") == 1, within_s=300)
        assert len([pod for pod in world.pods("crunch") if pod["status"].get("reason") == "Preempted"]) == times
        assert not world.job_status("crunch").get("failed")


@thorough
@in_no_time
async def test_9_and_10_nobody_ends_for_a_preemptible_pod_nor_who_is_protected():
    world = World(quota=64, others=16, poll_s=20.0)
    async with world.running():
        protected = {"cpuQOS": {"cpuPriority": 6}}
        selector = {"matchLabels": {"tier": "gold"}}
        spec = {"labelSelector": selector, "resourceQOS": protected}
        world.apply(
            {
                "apiVersion": "ensurance.crane.io/v1alpha1",
                "kind": "PodQOS",
                "metadata": {"name": "gold"},
                "spec": spec,
            }
        )
        await world.until(lambda: world.published() == 41, within_s=60)
        world.job("gold", cpu=8, parallelism=4, labels={"tier": "gold"})
        await world.until(lambda: world.running_count("gold") == 4, within_s=60)
        world.job("plain", cpu=8)
        await world.until(lambda: world.running_count("plain") == 1, within_s=60)
        world.job("waits", cpu=8)
        await asyncio.sleep(3600 if THOROUGH else 600)
        assert not world.events("PreemptibleReclaim")
        assert world.phases("waits") == {"Pending": 1}
        world.regular("small", cpu=16)
        await world.until(lambda: world.running_count("small") == 1, within_s=100)
        assert world.running_count("gold") == 4
        world.regular("large", cpu=24)
        await asyncio.sleep(120)
        assert world.running_count("gold") == 4
        assert world.phases("large") == {"Pending": 1}
        told = [e["message"] for e in world.events("WaitingForReclaim") if e["involvedObject"]["name"][:5] == "large"]
        assert any("24 vCPU too few" in each for each in told), told


@in_no_time
async def test_12_a_price_over_the_limit_closes_the_offer_and_keeps_who_runs():
    world = World(quota=200, others=60, peak=99.95)
    async with world.running():
        await world.until(lambda: world.published() == 80, within_s=60)
        world.job("crunch", cpu=4, parallelism=5)
        await world.until(lambda: world.running_count("crunch") == 5, within_s=60)
        world.cloud.service.market.change({"price": 1.5}, world.cloud.service.clock.now())
        await world.until(lambda: world.published() == 20, within_s=71)
        assert world.running_count("crunch") == 5
        world.cloud.service.market.change({"price": 0.3}, world.cloud.service.clock.now())
        await world.until(lambda: world.published() == 80, within_s=101)


@in_no_time
async def test_13_without_stock_a_pod_waits_ever_longer_and_fails_after_ten_minutes_as_a_disruption():
    world = World(quota=200, others=20, start_cpu=16, poll_s=5.0)
    async with world.running():
        await world.until(lambda: world.published() == 16, within_s=60)
        world.cloud.service.market.change({"stock": 6}, world.cloud.service.clock.now())
        world.job("crunch", cpu=4, parallelism=3)
        await asyncio.sleep(90)
        assert world.phases("crunch") == {"Running": 1, "Pending": 2}
        waiting = [pod for pod in world.pods("crunch") if pod["status"]["phase"] == "Pending"]
        assert {condition(pod, "ContainerInstanceCreated").get("reason") for pod in waiting} == {"NoStock"}
        assert world.published() < 16
        await world.until(lambda: world.phases("crunch").get("Failed", 0) == 2, within_s=620)
        ended = [pod for pod in world.pods("crunch") if pod["status"]["phase"] == "Failed"]
        assert {pod["status"]["reason"] for pod in ended} == {"NoStock"}
        assert {condition(pod, "DisruptionTarget").get("status") for pod in ended} == {"True"}
        assert not world.job_status("crunch").get("failed")
        creates = len(world.cloud.asked("CreateContainerGroup"))
        assert creates <= 1 + 2 * 8


@in_no_time
async def test_14_readings_that_stop_offer_nothing_more_and_end_nobody():
    world = World(quota=200, others=60, peak=99.95)
    async with world.running():
        await world.until(lambda: world.published() == 80, within_s=60)
        world.job("crunch", cpu=4, parallelism=5)
        await world.until(lambda: world.running_count("crunch") == 5, within_s=60)
        world.cloud.refusing.add("ListUsage")
        stopped_s = world.time_s
        at_s = await world.until(lambda: world.published() == 20, within_s=200)
        assert abs(at_s - stopped_s - 180) <= 11  # the last reading was up to ten seconds before
        assert world.running_count("crunch") == 5
        world.cloud.refusing.clear()
        await world.until(lambda: world.published() == 80, within_s=60)


@thorough
@in_no_time
async def test_16_a_load_that_wavers_never_raises_the_offer_and_a_fall_shows_at_once():
    world = World(quota=200, others=100, poll_s=60.0)
    async with world.running():
        await world.until(lambda: world.published() > 0, within_s=60)
        published = [world.published()]
        for step in range(360 if THOROUGH else 90):
            load(world, (100, 103, 97)[step % 3])
            await asyncio.sleep(10)
            published.append(world.published())
        assert published == sorted(published, reverse=True)
        assert published[-1] in (76, 77)
        load(world, 110)
        await world.until(lambda: world.published() == 70, within_s=11)


@in_no_time
async def test_17_what_admission_let_through_fails_at_bind_and_nothing_is_created():
    world = World(quota=200, others=60, peak=99.95)
    async with world.running():
        await world.until(lambda: world.published() == 80, within_s=60)
        both = {"gocrane.io/cpu": "2", "gocrane.io/memory": "8Gi"}
        for name, resources in {
            "bare": {"limits": both, "requests": both},
            "alone": {"limits": {"gocrane.io/cpu": "2"}, "requests": {"gocrane.io/cpu": "2"}},
            "mixed": {"limits": {**both, "cpu": "1"}, "requests": {**both, "cpu": "1"}},
        }.items():
            template = world._template(resources, "Never", image="batch")
            world.api.create("pods", {"metadata": {"name": name}, **template}, "default")
        await world.until(lambda: world.phases() == {"Failed": 3}, within_s=60)
        assert {pod["status"]["reason"] for pod in world.pods()} == {"UnexpectedAdmissionError"}
        assert not world.cloud.asked("CreateContainerGroup")


@in_no_time
async def test_18_a_cron_job_that_finds_no_room_has_one_pod_that_waits():
    world = World(quota=64, others=16, poll_s=20.0)
    world.cloud.service.market.change({"price": 1.5}, world.cloud.service.clock.now())
    async with world.running():
        amounts = {"gocrane.io/cpu": "2", "gocrane.io/memory": "8Gi"}
        template = world._template({"limits": amounts, "requests": amounts}, "Never", image="minute")
        job = {"spec": {"template": template}}
        spec = {"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": job}
        world.api.create("cronjobs.batch", {"metadata": {"name": "each-minute"}, "spec": spec}, "default")
        await asyncio.sleep(1200)
        assert world.phases() == {"Pending": 1}
        assert "Insufficient gocrane.io/cpu" in world.messages("each-minute")[0]
        world.cloud.service.market.change({"price": 0.3}, world.cloud.service.clock.now())
        await world.until(lambda: world.phases().get("Succeeded", 0) >= 2, within_s=3600)
        world.api.delete("cronjobs.batch", "each-minute", "default", propagation="Background")
        await world.until(lambda: not world.pods(), within_s=300)
        await world.until(
            lambda: not [each for each in world.groups() if each.pending_at and not each.ended_at], within_s=300
        )


@in_no_time
async def test_20_two_nodes_never_offer_more_than_the_pool_whatever_becomes_of_the_leader():
    world = World(quota=200, others=60, peak=99.95, nodes=("vk-a", "vk-b"), poll_s=5.0)
    over = []

    async def watch():
        while True:
            if sum(world.published(name) for name in world.names) > 80:
                over.append(world.story())
            await asyncio.sleep(0.1)

    async with world.running() as process:
        watching = asyncio.create_task(watch())
        await world.until(lambda: sum(world.published(name) for name in world.names) == 80, within_s=60)
        assert [world.published(name) for name in world.names] == [40, 40]
        world.job("crunch", cpu=4, parallelism=12)
        await world.until(lambda: world.running_count("crunch") == 12, within_s=60)
        for kill_after_s in (3.0, 12.0):
            await process.end()
            await asyncio.sleep(kill_after_s)
            process = world.start()
            await asyncio.sleep(45)
            assert sum(world.published(name) for name in world.names) == 80
        watching.cancel()
        await process.end()
    assert over == []


@in_no_time
async def test_20_two_processes_with_a_node_each_offer_no_more_than_the_pool_together():
    world = World(quota=200, others=60, peak=99.95, nodes=("vk-a", "vk-b"), poll_s=5.0)
    over = []

    async def watch():
        while True:
            if sum(world.published(name) for name in world.names) > 80:
                over.append(world.story())
            await asyncio.sleep(0.5)

    async with world.running(names=("vk-a",)):
        other = world.start(names=("vk-b",))
        watching = asyncio.create_task(watch())
        await world.until(lambda: sum(world.published(name) for name in world.names) >= 70, within_s=90)
        world.job("crunch", cpu=4, parallelism=20)
        await world.until(lambda: world.running_count("crunch") >= 10, within_s=120)
        await asyncio.sleep(120)
        assert world.used() - 60 <= 80
        watching.cancel()
        await other.end()
    assert over == []


@thorough
@pytest.mark.parametrize("after_s", [0.3, 2.0, 20.0] if THOROUGH else [2.0])
@in_no_time
async def test_20_killed_in_the_midst_of_a_reclaim_nobody_ends_twice_and_nothing_hangs(after_s):
    world = World(quota=64, others=16)
    async with world.running() as process:
        await five(world)
        world.regular("pi", cpu=16, image="minute")
        await world.until(lambda: world.events("WaitingForReclaim"), within_s=20, every_s=0.1)
        await asyncio.sleep(after_s)
        await process.end()
        await asyncio.sleep(12.0)
        process = world.start()
        await world.until(lambda: world.running_count("pi") == 1, within_s=200)
        victims = [pod for pod in world.pods("p") if pod["status"].get("phase") == "Failed"]
        assert len(victims) == 1
        assert condition(victims[0], "DisruptionTarget")["status"] == "True"
        await world.until(lambda: world.job_status("pi").get("succeeded") == 1, within_s=200)
        await world.until(
            lambda: all(world.job_status(f"p{n}").get("succeeded") for n in range(5)), within_s=1500, every_s=10
        )
        assert not [
            pod for pod in world.pods() if pod["metadata"].get("finalizers") and pod["status"]["phase"] != "Failed"
        ]
        await world.until(lambda: not [each for each in world.groups() if not each.ended_at], within_s=200)
        await process.end()


@pytest.mark.parametrize("evicts", [True, False])
@in_no_time
async def test_11_what_the_market_takes_back_is_evicted_or_ends_with_its_instance(evicts):
    world = World(quota=64, others=16)
    async with world.running():
        await world.until(lambda: world.published() == 41, within_s=60)
        annotations = {"k8s.aliyun.com/eci-spot-duration": "0"}
        if evicts:
            annotations["k8s.aliyun.com/eci-spot-release-strategy"] = "api-evict"
        world.job("crunch", cpu=4, annotations=annotations, image="quick")
        await world.until(lambda: world.running_count("crunch") == 1, within_s=60)
        await asyncio.sleep(15)
        [group] = world.groups()
        [pod] = world.pods("crunch")
        world.cloud.service.lifecycle.reclaim(group, world.cloud.service.clock.now(), notice_s=180.0)
        began_s = world.time_s
        await world.until(lambda: world.events("SpotToBeReleased"), within_s=10)
        await world.until(lambda: condition(world.pods("crunch")[0], "ContainerInstanceExpired"), within_s=10)
        assert world.time_s - began_s <= 10
        if evicts:
            await world.until(lambda: group.status == "Terminating", within_s=15)
            assert world.time_s - began_s <= 15
            await world.until(lambda: world.running_count("crunch") == 1, within_s=120)
        else:
            await world.until(lambda: world.phases("crunch").get("Failed"), within_s=200)
            assert abs(world.time_s - began_s - 180) <= 10
            ended = alone(world, "crunch", "Failed")
            assert ended["status"]["reason"] == "BidFailed"
            assert condition(ended, "DisruptionTarget")["status"] == "True"
        assert not world.events("AnnotationIgnored")
        await asyncio.sleep(60)
        assert not world.job_status("crunch").get("failed")
        assert pod["metadata"]["uid"] != world.pods("crunch")[-1]["metadata"]["uid"] or not evicts


@thorough
@in_no_time
async def test_11_in_the_hour_of_protection_no_price_takes_an_instance_back():
    world = World(quota=64, others=16, poll_s=20.0)
    async with world.running():
        await world.until(lambda: world.published() == 41, within_s=60)
        bid = {"k8s.aliyun.com/eci-spot-strategy": "SpotWithPriceLimit", "k8s.aliyun.com/eci-spot-price-limit": "0.9"}
        world.job("crunch", cpu=4, annotations=bid)
        began_s = await world.until(lambda: world.running_count("crunch") == 1, within_s=90)
        world.cloud.service.market.change({"price": 10}, world.cloud.service.clock.now())
        noticed_s = await world.until(lambda: world.events("SpotToBeReleased"), within_s=4200, every_s=5)
        assert 3600 - 60 <= noticed_s - began_s <= 3600 + 300 + 60, "the hour, and a look each five minutes"
        await world.until(lambda: world.phases("crunch").get("Failed"), within_s=250)
        assert alone(world, "crunch", "Failed")["status"]["reason"] == "BidFailed"
