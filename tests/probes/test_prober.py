"""Probes that only the provider can ask: when it asks, what a pod shows, and who is restarted."""

from dataclasses import replace
from itertools import pairwise

from tests.control.living_cloud import Life
from tests.control.test_pods import in_no_time
from tests.control.world import World
from vk_provider.errors import CloudRefused, InstanceGone
from vk_provider.model.instance import ContainerState, StateKind
from vk_provider.probes.results import ProbeResult

YES, NO, SILENCE = ProbeResult(True), ProbeResult(False, "not now"), ProbeResult(False, "no answer", unreached=True)
NOTHING_LEARNT = ProbeResult(None, "the cloud opened no session")
GRPC = {"grpc": {"port": 9000}}
HTTP = {"httpGet": {"path": "/", "port": 80}}


def containers(*names, **probes):
    stated = {f"{kind}Probe": probe for kind, probe in probes.items()}
    return {"containers": [{"name": name, "image": "perl", **(stated if name == "main" else {})} for name in names]}


def shown(world, name="web"):
    entry = next(each for each in world.kube.pod(name)["status"]["containerStatuses"] if each["name"] == "main")
    return entry.get("started"), entry["ready"]


def events(world, reason):
    return [event["message"] for event in world.kube.events() if event["reason"] == reason]


async def running(world, spec, policy="Always"):
    world.kube.add_pod("web", policy=policy, spec=spec)
    await world.until(lambda: world.phase("web") == "Running")


@in_no_time
async def test_not_ready_before_the_first_answer_nor_without_one():
    """S37"""
    world = World()
    world.answers["main"] = NOTHING_LEARNT
    async with world.running():
        await running(world, containers("main", readiness=GRPC))
        await world.until(lambda: len(world.asked) >= 3)
        assert shown(world) == (True, False)
        world.answers["main"] = YES
        await world.until(lambda: shown(world) == (True, True), within_s=15)
        world.answers["main"] = NOTHING_LEARNT
        await world.until(lambda: len(world.asked) >= 9)
        assert shown(world) == (True, True), "nothing learnt changes nothing"
    assert world.complaints() == []


@in_no_time
async def test_thresholds_and_periods_are_the_probes():
    world = World()
    probe = {**GRPC, "initialDelaySeconds": 20, "periodSeconds": 5, "successThreshold": 2, "failureThreshold": 3}
    async with world.running() as process:
        await running(world, containers("main", readiness=probe))
        await world.until(lambda: shown(world)[1])
        first, second = (at for at, _ in world.asked)
        assert 18 <= first - world.cloud.created_at_s[0] - Life().starts_s <= 25
        assert 4.9 <= second - first <= 5.1
        world.answers["main"] = NO
        asked = len(world.asked)
        await world.until(lambda: not shown(world)[1])
        assert len(world.asked) - asked == 3
        counted = {(each.pod, each.kind, each.result): each.count for each in process.controller.probe_counts()}
        assert counted == {("web", "readiness", "successful"): asked, ("web", "readiness", "failed"): 3}
        assert set(events(world, "Unhealthy")) == {"Readiness probe failed: not now"}


@in_no_time
async def test_nothing_counts_before_the_start_has_succeeded():
    world = World()
    world.answers["main"] = NO
    async with world.running():
        spec = containers("main", startup={**HTTP, "periodSeconds": 5, "failureThreshold": 30}, readiness=GRPC)
        await running(world, spec)
        await world.until(lambda: len(world.asked) >= 5)
        assert shown(world) == (False, False)
        assert {message.split()[0] for message in events(world, "Unhealthy")} == {"Startup"}
        world.answers["main"] = YES
        await world.until(lambda: shown(world) == (True, True), within_s=8)


@in_no_time
async def test_a_start_that_never_comes_restarts_slower_and_slower():
    world = World()
    world.answers["main"] = NO
    async with world.running():
        await running(world, containers("main", startup={**HTTP, "periodSeconds": 1, "failureThreshold": 2}))
        times = []
        for _ in range(5):
            known = len(times)
            await world.until(lambda known=known: world.cloud.calls.count("restart eci-1") > known)
            times.append(world.time_s)
        assert [round(later - sooner) for sooner, later in pairwise(times)] == [10, 20, 40, 80]
        entry = world.kube.pod("web")["status"]["containerStatuses"][0]
        assert entry["restartCount"] >= 4
        assert entry["lastState"]["terminated"]["exitCode"] == 143
        world.cloud.event("eci-1", "k", reason="Killing", message="Stopping container main")
        world.cloud.event("eci-1", "after")
        await world.until(lambda: events(world, "Pulled"))
        assert set(events(world, "Killing")) == {"Container main failed startup probe, will be restarted"}
    assert world.complaints() == []


@in_no_time
async def test_an_instance_that_is_gone_when_it_should_begin_anew_is_told_and_not_asked_for_again():
    world = World()
    world.answers["main"] = NO
    async with world.running():
        await running(world, containers("main", startup={**HTTP, "periodSeconds": 1, "failureThreshold": 2}))

        async def gone(instance_id):
            world.cloud.calls.append(f"restart {instance_id}")
            world.cloud.vanish(instance_id)
            raise InstanceGone(f"no {instance_id}")

        world.cloud.restart = gone
        await world.until(lambda: world.phase("web") == "Failed", within_s=20)
        assert world.kube.pod("web")["status"]["reason"] == "NotFound"
        assert world.cloud.calls.count("restart eci-1") == 1


@in_no_time
async def test_a_restart_that_the_cloud_refuses_is_told_and_tried_again_slowly():
    world = World()
    world.answers["main"] = NO
    async with world.running():
        await running(world, containers("main", startup={**HTTP, "periodSeconds": 1, "failureThreshold": 2}))
        times = []

        async def refused(instance_id):
            times.append(world.time_s)
            raise CloudRefused("IncorrectStatus: not now")

        world.cloud.restart = refused
        await world.until(lambda: len(times) >= 4)
        assert [later - sooner >= 10 for sooner, later in pairwise(times)] == [True] * 3
        assert "IncorrectStatus" in events(world, "FailedSync")[0]


@in_no_time
async def test_others_that_are_restarted_along_are_named():
    world = World()
    world.answers["main"] = NO
    async with world.running():
        await running(world, containers("main", "other", startup={**HTTP, "periodSeconds": 1, "failureThreshold": 1}))
        await world.until(lambda: events(world, "Killing"))
        assert "together with the 1 other" in events(world, "Killing")[0]
        assert "restarted, with all containers" in events(world, "StartupProbeRestartsAll")[0]


@in_no_time
async def test_what_is_never_restarted_ends():
    world = World()
    async with world.running():
        await running(world, containers("main", liveness={**GRPC, "failureThreshold": 1}), policy="Never")
        await world.until(lambda: len(world.asked) >= 2)
        world.answers["main"] = NO
        await world.until(lambda: world.phase("web") == "Failed")
        assert world.kube.pod("web")["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
        assert world.cloud.calls.count("restart eci-1") == 0
    assert world.complaints() == []


@in_no_time
async def test_silence_condemns_nobody_before_any_pod_has_ever_answered():
    world = World()
    world.answers["main"] = SILENCE
    async with world.running():
        await running(world, containers("main", liveness={**GRPC, "periodSeconds": 1, "failureThreshold": 1}))
        await world.until(lambda: len(world.asked) >= 20)
        assert "restart eci-1" not in world.cloud.calls
        assert events(world, "ProbeWarning")
        world.answers["main"] = YES
        asked = len(world.asked)
        await world.until(lambda: len(world.asked) > asked + 1)
        world.answers["main"] = SILENCE
        await world.until(lambda: "restart eci-1" in world.cloud.calls)


@in_no_time
async def test_pods_that_hang_for_an_hour_hold_up_nobody_elses_probes():
    world = World()
    world.hanging = {"idle"}
    idle = {"name": "idle", "image": "perl", "readinessProbe": {**GRPC, "timeoutSeconds": 3600}}
    async with world.running():
        for number in range(100):
            world.kube.add_pod(f"idle-{number}", spec={"containers": [idle]})
        await world.until(lambda: len(world.asked) >= 32, within_s=60)
        await running(world, containers("main", readiness=GRPC))
        await world.until(lambda: shown(world) == (True, True), within_s=15)
    assert world.complaints() == []


@in_no_time
async def test_the_next_process_takes_over_what_was_known():
    """Ready stays until a probe has failed: a restart of the provider is nobody's failure."""
    world = World()
    spec = containers("main", startup=HTTP, readiness={**GRPC, "failureThreshold": 2})
    async with world.running():
        await running(world, spec)
        await world.until(lambda: shown(world) == (True, True))
    before = world.kube.pod("web")["status"]["conditions"]
    world.answers["main"] = NO
    asked = len(world.asked)
    async with world.running():
        await world.until(lambda: len(world.asked) == asked + 1)
        assert world.kube.pod("web")["status"]["conditions"] == before
        await world.until(lambda: shown(world) == (True, False))
        assert len(world.asked) == asked + 2


@in_no_time
async def test_nobody_is_asked_any_more_once_it_goes():
    world = World()
    async with world.running() as process:
        await running(world, containers("main", readiness={**GRPC, "periodSeconds": 1}))
        await world.until(lambda: len(world.asked) >= 3)
        world.kube.delete_pod("web")
        await world.until(lambda: world.phase("web") == "gone")
        asked = len(world.asked)
        world.kube.add_pod("calm", policy="Always")
        await world.until(lambda: world.phase("calm") == "Running")
        await world.until(lambda: not process.controller._prober._runs)
        assert len(world.asked) == asked


@in_no_time
async def test_sidecars_that_the_cloud_leaves_running_are_stopped_once_the_work_is_done():
    """P45"""
    world = World()
    async with world.running():
        side = {"name": "side", "image": "perl", "restartPolicy": "Always"}
        await running(world, {**containers("main"), "initContainers": [side]}, policy="Never")
        names = [each.name for each in world.cloud.instances["eci-1"].containers]
        assert names == ["side", "main"]
        ended = _with_main_ended(world)
        world.cloud.set("eci-1", containers=ended)
        began = world.time_s
        await world.until(lambda: "delete eci-1" in world.cloud.calls)
        assert 40 <= world.time_s - began <= 50, "its grace, and some time for the cloud to do it"
        await world.until(lambda: world.phase("web") == "Succeeded")
        status = world.kube.pod("web")["status"]
        assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert world.complaints() == []


def _with_main_ended(world):
    done = ContainerState(StateKind.TERMINATED, reason="Completed", exit_code=0, started_at="2026-01-02T03:00:03Z")
    reports = world.cloud.instances["eci-1"].containers
    return tuple(replace(each, state=done) if each.name == "main" else each for each in reports)


@in_no_time
async def test_a_sleep_before_the_stop_is_slept_by_the_provider():
    world = World()
    sleepy = {"name": "main", "image": "perl", "lifecycle": {"preStop": {"sleep": {"seconds": 12}}}}
    async with world.running():
        await running(world, {"containers": [sleepy]})
        assert world.cloud.created[0].termination_grace_s == 30 - 12
        world.kube.delete_pod("web")
        began = world.time_s
        await world.until(lambda: "delete eci-1" in world.cloud.calls)
        assert 11.5 <= world.time_s - began <= 13
        ready = {each["type"]: each["status"] for each in world.kube.pod("web")["status"]["conditions"]}["Ready"]
        assert ready == "True", "as kubelets leave it: its deletion alone takes it out of Services"
    assert world.complaints() == []


def with_a_sidecar(**probes):
    side = {"name": "side", "image": "proxy", "restartPolicy": "Always"}
    return {**containers("main"), "initContainers": [side | {f"{kind}Probe": probe for kind, probe in probes.items()}]}


def of_sidecar(world, name="web"):
    entry = world.kube.pod(name)["status"]["initContainerStatuses"][0]
    return entry.get("started"), entry["ready"]


def condition(world, type_, name="web"):
    return {each["type"]: each["status"] for each in world.kube.pod(name)["status"]["conditions"]}[type_]


@in_no_time
async def test_a_sidecar_that_is_still_starting_keeps_the_pod_unready():
    world = World()
    world.answers["side"] = NO
    async with world.running():
        await running(world, with_a_sidecar(startup={**HTTP, "periodSeconds": 5, "failureThreshold": 30}))
        await world.until(lambda: len(world.asked) >= 3)
        assert {who for _, who in world.asked} == {"side"}
        assert of_sidecar(world) == (False, False)
        assert condition(world, "Initialized") == "True", "an app container runs, so that nothing is left to initialize"
        assert condition(world, "Ready") == "False"
        assert len(events(world, "SidecarNotAwaited")) == 1
        world.answers["side"] = YES
        await world.until(lambda: of_sidecar(world) == (True, True), within_s=8)
        await world.until(lambda: condition(world, "Ready") == "True")
        assert "restart eci-1" not in world.cloud.calls
    assert world.complaints() == []


@in_no_time
async def test_a_sidecar_that_never_starts_is_restarted_with_all_others():
    world = World()
    world.answers["side"] = NO
    async with world.running():
        await running(world, with_a_sidecar(startup={**HTTP, "periodSeconds": 1, "failureThreshold": 2}))
        await world.until(lambda: "restart eci-1" in world.cloud.calls)
        await world.until(lambda: events(world, "Killing"))
        assert "Container side failed startup probe" in events(world, "Killing")[0]
        assert "together with the 1 other" in events(world, "Killing")[0]
    assert world.complaints() == []


@in_no_time
async def test_a_sidecar_that_never_starts_ends_a_pod_that_nobody_restarts():
    world = World()
    world.answers["side"] = NO
    async with world.running():
        spec = with_a_sidecar(startup={**HTTP, "periodSeconds": 1, "failureThreshold": 2})
        await running(world, spec, policy="Never")
        await world.until(lambda: world.phase("web") == "Failed")
        assert "restart eci-1" not in world.cloud.calls
        assert "whole pod ends" in events(world, "StartupProbeEndsAll")[0]
    assert world.complaints() == []
