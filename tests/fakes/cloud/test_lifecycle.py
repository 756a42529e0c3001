"""The life of groups and containers in virtual time: what happens, in which order, at which second."""

from itertools import pairwise

import pytest

from fakes.cloud import billing
from fakes.cloud.errors import ApiError
from fakes.cloud.group import ENDED, GROUP_TRANSITIONS, POD_PHASE
from fakes.cloud.lifecycle import Settings
from tests.fakes.cloud.world import START, World, flat, reasons

FOREVER = "[[rule]]\nduration_s = 1e9\nstop_s = {stop}"
FAILS = "[[rule]]\npull_s = 0\nduration_s = 1\nexit_code = 1"


def test_every_live_status_can_be_deleted_and_every_status_has_a_phase():
    statuses = {old for old, _ in GROUP_TRANSITIONS} | set(GROUP_TRANSITIONS.values())
    assert {old for old, what in GROUP_TRANSITIONS if what == "delete"} == statuses - {"Gone", "Terminating"}
    assert set(POD_PHASE) == statuses - {"Gone"}
    assert all(old not in ENDED or new == "Gone" for (old, _), new in GROUP_TRANSITIONS.items())


def test_a_plain_job():
    world = World("[[rule]]\npull_s = 2\nduration_s = 10")
    group = world.create(
        Volume__1__Name="token",
        Volume__1__Type="EmptyDirVolume",
        Volume__2__Name="unused",
        Volume__2__Type="EmptyDirVolume",
        Container__1__VolumeMount__1__Name="token",
        Container__1__VolumeMount__1__MountPath="/t",
    )
    world.run(100)
    assert world.states(group) == [(0, "Scheduling"), (1, "Pending"), (3, "Running"), (13, "Succeeded")]
    assert reasons(group) == ["SuccessfulMountVolume", "Pulling", "Pulled", "Created", "Started"]
    events = list(group.events)
    assert [event.message for event in events][:2] == [
        'MountVolume.SetUp succeeded for volume "token"',
        'Pulling image "nginx"',
    ]
    assert [event.first - START for event in events] == [1, 1, 3, 3, 3]
    names = [event.name for event in events]
    assert names == sorted(set(names))
    assert all(name.startswith("default-web.") and len(name.rpartition(".")[2]) == 16 for name in names)
    assert group.containers[0].last.reason == "Completed"


@pytest.mark.parametrize(("policy", "expected"), [("Never", "Failed"), ("OnFailure", "Running"), ("Always", "Running")])
def test_failure_by_policy(policy, expected):
    world = World(FAILS)
    group = world.create(RestartPolicy=policy)
    world.run(60)
    assert group.status == expected


def test_on_failure_ends_at_the_first_success():
    world = World("[[rule]]\npull_s = 0\nduration_s = 1\ncrashes = 2\ncrash_code = 7")
    group = world.create(RestartPolicy="OnFailure")
    world.run(60)
    container = group.containers[0]
    assert (group.status, container.restarts, container.last.exit.code, container.previous.exit.code) == (
        "Succeeded",
        2,
        0,
        7,
    )


def test_back_off_is_immediate_then_doubles_from_ten_seconds_to_five_minutes():
    world = World(FAILS)
    group = world.create(RestartPolicy="Always")
    starts = []
    for _ in range(2000):
        world.run(1)
        began = group.containers[0].started_at
        if began is not None and began - START not in starts:
            starts.append(began - START)
    gaps = [later - earlier - 1 for earlier, later in pairwise(starts)]
    assert gaps[:9] == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert group.containers[0].state == "Waiting"
    assert group.containers[0].reason == "CrashLoopBackOff"
    assert group.containers[0].message.startswith("Back-off 5m0s restarting failed container=web")
    assert "BackOff" in reasons(group)


def test_ten_quiet_minutes_forgive():
    world = World("[[rule]]\npull_s = 0\nduration_s = 601\nexit_code = 1")
    group = world.create(RestartPolicy="Always")
    world.run(5000)
    assert group.containers[0].restarts == int((5000 - 1) / 601)


def test_init_containers_run_one_by_one_before_the_others():
    world = World("[[rule]]\npull_s = 0\nduration_s = 5")
    group = world.create(
        InitContainer__1__Name="first",
        InitContainer__1__Image="i",
        InitContainer__2__Name="second",
        InitContainer__2__Image="i",
    )
    world.run(2)
    assert (group.status, group.containers[0].state, group.containers[0].reason) == (
        "Pending",
        "Waiting",
        "PodInitializing",
    )
    world.run(60)
    begins = [item.last.started_at - START for item in group.everyone]
    assert begins == [1, 6, 11]
    assert group.status == "Succeeded"


def test_a_failed_init_container_fails_the_group_without_the_others_when_never_restarted():
    world = World('[[rule]]\ncontainer = "init"\nduration_s = 1\nexit_code = 3')
    group = world.create(InitContainer__1__Name="init", InitContainer__1__Image="i")
    world.run(60)
    assert (group.status, group.containers[0].runs) == ("Failed", 0)


def test_what_is_billed_are_the_begun_seconds_of_what_the_journal_says():
    """It writes milliseconds: of 8.0002 s from .4004 to .4006 it says 8.001 s."""
    world = World()
    group = world.create()
    world.run(2)
    group.pending_at, group.ended_at = 1000.4004, 1008.4006
    assert billing.billed_seconds(group, world.clock.now()) == 9
    group.pending_at, group.ended_at = 1000.4001, 1008.4004
    assert billing.billed_seconds(group, world.clock.now()) == 8


def test_unknown_image_waits_and_is_billed():
    world = World('[[rule]]\nimage = "nginx"\npull_error = "not found"')
    group = world.create()
    world.run(2.5)
    assert group.containers[0].reason == "ErrImagePull"
    world.run(2)
    assert (group.status, group.containers[0].reason) == ("Pending", "ImagePullBackOff")
    assert {"Failed", "BackOff"} <= set(reasons(group))
    world.run(3600)
    assert billing.billed_seconds(group, world.clock.now()) == 3604  # 2.5 + 2 + 3600 s less 1 s of Scheduling, begun
    world.run(4 * 3600)
    assert (group.status, group.reason) == ("Failed", "PendingTimeout")
    assert billing.billed_seconds(group, world.clock.now()) == 240 * 60


@pytest.mark.parametrize(
    ("stop_s", "grace", "code", "ended_after"),
    [
        pytest.param("2", "30", 143, 2, id="ends by itself"),
        pytest.param("60", "5", 137, 5, id="killed after its grace period"),
        pytest.param("60", None, 137, 30, id="default grace period"),
        pytest.param("60", "0", 137, 0, id="no grace"),
    ],
)
def test_deletion(stop_s, grace, code, ended_after):
    world = World(FOREVER.format(stop=stop_s))
    group = world.create(TerminationGracePeriodSeconds=grace)
    world.run(10)
    world.service.delete({"RegionId": "cn-hangzhou", "ContainerGroupId": group.id})
    assert group.status == "Terminating"
    world.run(ended_after + 1)
    container = group.containers[0]
    assert (container.state, container.last.exit.code) == ("Terminated", code)
    assert world.service.store.get(group.id) is group, "the final state is shown for a while"
    world.run(1)
    assert world.service.store.get(group.id) is None
    assert world.states(group)[-1] == (10 + ended_after + 2, "Gone")
    bill = world.service.ledger.entries()[0]
    assert bill["billed_seconds"] == 9 + ended_after + 2


def test_an_ended_group_is_gone_at_once_and_an_unknown_one_is_not_found():
    world = World()
    group = world.create()
    world.run(60)
    request = {"RegionId": "cn-hangzhou", "ContainerGroupId": group.id}
    world.service.delete(request)
    assert world.service.store.get(group.id) is None
    with pytest.raises(ApiError) as caught:
        world.service.delete(request)
    assert (caught.value.code, caught.value.status) == ("InvalidParameter.NotFound", 404)


def test_deletion_while_scheduling_is_never_billed():
    world = World()
    group = world.create()
    world.service.delete({"RegionId": "cn-hangzhou", "ContainerGroupId": group.id})
    world.run(60)
    assert world.states(group) == [(0, "Scheduling"), (0, "Terminating"), (2, "Gone")]
    assert world.service.ledger.entries()[0]["billed_seconds"] == 0


def test_deadline():
    world = World(FOREVER.format(stop=1))
    group = world.create(ActiveDeadlineSeconds="20", RestartPolicy="Always")
    world.run(100)
    assert (group.status, group.reason) == ("Failed", "DeadlineExceeded")
    assert world.states(group)[-1] == (22, "Failed")


def test_restart_goes_through_pending_and_counts():
    world = World(FOREVER.format(stop=1))
    group = world.create(RestartPolicy="Always")
    world.run(10)
    world.service.restart({"RegionId": "cn-hangzhou", "ContainerGroupId": group.id})
    world.run(10)
    assert [status for _, status in world.states(group)[2:]] == ["Running", "Restarting", "Pending", "Running"]
    assert group.containers[0].restarts == 1


def test_restart_of_an_ended_group():
    world = World()
    group = world.create()
    world.run(60)
    with pytest.raises(ApiError, match="IncorrectStatus"):
        world.service.restart({"RegionId": "cn-hangzhou", "ContainerGroupId": group.id})


def test_update_restarts_only_what_changed():
    world = World(FOREVER.format(stop=1))
    group = world.create(RestartPolicy="Always", Container__2__Name="b", Container__2__Image="i")
    world.run(10)
    change = {"Container.1.Name": "web", "Container.1.Image": "nginx:2", "UpdateType": "IncrementalUpdate"}
    request = {"RegionId": "cn-hangzhou", "ContainerGroupId": group.id, **change}
    world.service.update(request)
    assert group.status == "Updating"
    world.run(10)
    assert group.status == "Running"
    assert [(item.image, item.restarts) for item in group.containers] == [("nginx:2", 1), ("i", 0)]
    with pytest.raises(ApiError, match="NoNeedUpdate"):
        world.service.update(request)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"Volume.1.Name": "cfg", "Volume.1.Type": "EmptyDirVolume"}, "Volume.1.Type", id="type"),
        pytest.param({"Volume.1.Name": "other", "Volume.1.Type": "ConfigFileVolume"}, "Volume", id="name"),
        pytest.param({"Tag.1.Key": "a", "Tag.1.Value": "b"}, "Tag", id="fewer tags"),
        pytest.param({"SecurityGroupId": "sg-2", "HostName": "x"}, "NoNeedUpdate", id="what no update changes"),
        pytest.param({"UpdateType": "Other"}, "UpdateType", id="kind"),
    ],
)
def test_what_an_update_does_not_take(change, code):
    world = World(FOREVER.format(stop=1))
    files = {"Volume__1__Name": "cfg", "Volume__1__Type": "ConfigFileVolume"}
    tags = {"Tag__1__Key": "a", "Tag__1__Value": "b", "Tag__2__Key": "c", "Tag__2__Value": "d"}
    group = world.create(RestartPolicy="Always", **files, **tags)
    world.run(10)
    before = group.spec
    request = {"RegionId": "cn-hangzhou", "ContainerGroupId": group.id, "UpdateType": "IncrementalUpdate", **change}
    with pytest.raises(ApiError) as refused:
        world.service.update(request)
    assert code in f"{refused.value.code} {refused.value.message}"
    assert (group.spec, group.status) == (before, "Running")


def test_an_update_of_an_ended_group_changes_nothing():
    world = World()
    group = world.create()
    world.run(60)
    change = {"Container.1.Name": "web", "Container.1.Image": "nginx:2", "UpdateType": "IncrementalUpdate"}
    with pytest.raises(ApiError, match="IncorrectStatus"):
        world.service.update({"RegionId": "cn-hangzhou", "ContainerGroupId": group.id, **change})
    assert group.containers[0].image != "nginx:2"


def test_update_of_the_size_counts_against_the_quota():
    world = World(FOREVER.format(stop=1), quota_cpu=4)
    group = world.create()
    world.run(10)
    request = {"RegionId": "cn-hangzhou", "ContainerGroupId": group.id, "UpdateType": "IncrementalUpdate"}
    with pytest.raises(ApiError, match="QuotaExceeded"):
        world.service.update({**request, "Cpu": "8", "Memory": "16"})
    world.service.update({**request, "Cpu": "4", "Memory": "8"})
    assert (group.cpu, world.service.store.used_cpu) == (4, 4)


def test_a_sidecar_ends_with_the_others():
    world = World('[[rule]]\ncontainer = "side"\nduration_s = 1e9\n[[rule]]\nduration_s = 5')
    group = world.create(
        Container__2__Name="side",
        Container__2__Image="i",
        Container__2__EnvironmentVar__1__Key="ECI_CONTAINER_TYPE",
        Container__2__EnvironmentVar__1__Value="sidecar",
    )
    world.run(30)
    assert (group.status, group.containers[1].last.exit.code) == ("Succeeded", 143)


def test_probes_answer_as_the_scenario_has_it():
    world = World("[[rule]]\nready_after_s = 12\nsick_after_s = 40\nduration_s = 1e9")
    probe = {f"Container__1__{kind}Probe__TcpSocket__Port": "80" for kind in ("Readiness", "Liveness")}
    group = world.create(RestartPolicy="Always", **probe)
    world.run(11)
    assert (group.status, group.containers[0].ready) == ("Running", False)
    world.run(12)
    assert group.containers[0].ready
    assert "Unhealthy" in reasons(group)
    for _ in range(50):
        world.run(1)
    assert group.containers[0].restarts == 1, "three answers of no, ten seconds apart"
    assert any(event.message == "Container web failed liveness probe, will be restarted" for event in group.events)


def test_a_failed_liveness_probe_restarts_twice_at_once_and_then_after_a_back_off():
    """As a kubelet does: it restarts what it kills in one go, and counts only the runs before that."""
    world = World("[[rule]]\nsick_after_s = 0.5\nduration_s = 1e9")
    probe = {"TcpSocket__Port": "80", "PeriodSeconds": "1", "FailureThreshold": "1"}
    more = {f"Container__1__LivenessProbe__{name}": value for name, value in probe.items()}
    group = world.create(RestartPolicy="Always", **more, TerminationGracePeriodSeconds="1")
    container = group.containers[0]
    ended, begun = {}, {}
    for _ in range(600):
        world.run(0.1)
        if container.last and container.last.finished_at not in ended.values():
            ended[len(ended)] = container.last.finished_at
        if container.started_at and container.started_at not in begun.values():
            begun[len(begun)] = container.started_at
    pauses = [round(begun[number + 1] - ended[number]) for number in range(4)]
    assert pauses == [0, 0, 10, 20]


def test_spot_reclaim():
    world = World(FOREVER.format(stop=1))
    group = world.create(SpotStrategy="SpotAsPriceGo")
    world.run(10)
    world.service.lifecycle.reclaim(group, world.clock.now(), notice_s=180)
    assert list(group.events)[-1].message == "Spot ECI will be released in 3 minutes"
    world.run(200)
    assert world.states(group)[-1] == (191, "Expired")
    assert billing.billed_seconds(group, world.clock.now()) == 190


def test_quota_is_freed_by_the_end():
    world = World("[[rule]]\nduration_s = 5", quota_cpu=4)
    world.create()
    world.create()
    with pytest.raises(ApiError) as caught:
        world.create()
    assert (caught.value.code, caught.value.status) == ("QuotaExceeded", 403)
    world.run(60)
    assert world.create().status == "Scheduling"


def test_no_stock_at_once_and_later():
    world = World()
    group = world.create()
    world.service.stock.sizes.add("2-4")
    with pytest.raises(ApiError) as caught:
        world.create()
    assert (caught.value.code, caught.value.status) == ("OperationDenied.NoStock", 403)
    world.run(10)
    assert (group.status, group.reason) == ("ScheduleFailed", "NoStock")
    assert billing.billed_seconds(group, world.clock.now()) == 0
    world.run(24 * 3600)
    world.service.lifecycle.retire(world.clock.now())
    assert world.service.store.get(group.id) is None


def test_another_zone_is_taken_where_one_is_sold_out():
    world = World()
    world.service.stock.zones.add("cn-hangzhou-a")
    assert world.create().zone == "cn-hangzhou-b"


def test_retention_is_everything_for_an_hour_then_the_newest_hundred():
    world = World("[[rule]]\npull_s = 0\nduration_s = 1")
    groups = []
    for _ in range(150):
        groups.append(world.create())
        world.run(1)
    world.run(3000)
    assert world.queries.groups({"RegionId": "cn-hangzhou"})["TotalCount"] == 150
    world.run(3600)
    assert world.queries.groups({"RegionId": "cn-hangzhou"})["TotalCount"] == 100
    assert [world.service.store.get(group.id) is not None for group in groups] == [False] * 50 + [True] * 100


def test_billing_to_the_second():
    world = World("[[rule]]\npull_s = 3\nduration_s = 56.25")
    group = world.create()
    world.run(1000)
    entry = billing.entry(group, world.clock.now())
    assert entry["billed_seconds"] == 60  # 3 s of pull and 56.25 s of run, the last second begun
    assert entry["cost"] == pytest.approx(60 * 0.00012252)
    assert entry["billing"] is False


def test_platform_events_only_when_asked_for_and_apart():
    world = World(settings=Settings(start_delay_s=1.0, service_events=True))
    group = world.create()
    world.run(60)
    by_source = {
        source: [e.reason for e in group.events if e.source == source] for source in ("K8sAgent", "EciService")
    }
    assert by_source == {
        "K8sAgent": ["Pulling", "Pulled", "Created", "Started"],
        "EciService": ["UserInstanceTypeSpec", "StopCharge"],
    }


def test_simulated_logs():
    world = World('[[rule]]\npull_s = 0\nduration_s = 100\nlog_rate = 10\nlog_lines = ["tick {n}"]')
    group = world.create()
    world.run(11)
    request = {"RegionId": "cn-hangzhou", "ContainerGroupId": group.id, "ContainerName": "web"}
    assert world.queries.log({**request, "Tail": "2"})["Content"] == "tick 99\ntick 100\n"
    assert len(world.queries.log({**request, "SinceSeconds": "3"})["Content"].splitlines()) == 31
    stamped = world.queries.log({**request, "Tail": "1", "Timestamps": "True"})["Content"]
    assert stamped == "2023-11-14T22:13:31.000000000Z tick 100\n"


def test_a_removed_group_is_in_no_order_of_the_store():
    world = World()
    group = world.create(Tag__1__Key="a", Tag__1__Value="1")
    filtered = {"RegionId": "cn-hangzhou", "Tag.1.Key": "a"}
    assert world.queries.groups(filtered)["TotalCount"] == 1
    world.service.lifecycle.vanish(group, world.clock.now())
    assert world.queries.groups(filtered)["TotalCount"] == 0
    assert world.queries.statuses({"RegionId": "cn-hangzhou", "SinceSecond": "60"})["Data"] == []
    world.run(100)
    assert world.states(group)[-1] == (0, "Gone")
    assert flat()["RegionId"] == "cn-hangzhou"
