"""EciCloud against a small ECI."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.cloud.eciserver import EciServer, Fault
from tests.cloud.workloads import EVERYTHING, PI, owner
from vk_provider.cloud.eci import tags
from vk_provider.cloud.eci.capabilities import WORDS
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.errors import CloudRefused, CloudUnavailable, InstanceGone, OutOfCapacity, UnsupportedPod
from vk_provider.model.instance import Instance, InstanceStatus
from vk_provider.model.workload import File, Volume


def add(eci: EciServer, number: int, *, node: str = "virtual-kubelet", **members):
    whose = replace(owner(uid=f"uid-{number}"), node=node)
    return eci.add_group(f"eci-{number:04}", tags.of_owner(whose), **members)


async def test_create(eci, cloud):
    assert await cloud.create(PI) == Instance(
        id="eci-0001",
        owner=PI.owner,
        status=InstanceStatus.SCHEDULING,
        cpu=16,
        memory_gib=32,
        sku="16.0-32.0Gi",
        owner_annotations={"k8s.aliyun.com/eci-request-id": "req-ok"},
        proven=False,
        words=WORDS,
    )


async def test_what_a_create_leaves_out_is_told_with_its_answer(eci, cloud):
    links = tuple((f"S{number}", "x") for number in range(250))
    asked = replace(PI.containers[0], env=links, added_env=tuple(name for name, _ in links))
    made = await cloud.create(replace(PI, containers=(asked,)))
    (notice,) = made.notices
    assert "S249" in notice.message
    sent = eci.calls[-1][1].get
    assert sent("Container.1.EnvironmentVar.240.Key") == "S239"
    assert sent("Container.1.EnvironmentVar.241.Key") is None


async def test_a_create_whose_answer_is_lost_makes_one_instance(eci, cloud):
    eci.hang_up("CreateContainerGroup", after_acting=True)
    first = await cloud.create(PI)
    again = await cloud.create(PI)
    assert first.id == again.id
    assert len(eci.groups) == 1


async def test_a_pod_that_cannot_be_is_refused_before_any_call(eci, cloud):
    with pytest.raises(UnsupportedPod):
        await cloud.create(replace(PI, cpu=1000.0))
    assert eci.calls == []


async def test_no_stock_is_told(eci, cloud):
    eci.fail("CreateContainerGroup", 403, "OperationDenied.NoStock")
    with pytest.raises(OutOfCapacity, match="NoStock"):
        await cloud.create(PI)


async def test_what_is_out_of_stock_is_not_asked_for_again_at_once(eci, cloud):
    """Each attempt says which comes next; another pod goes there without asking, unless it may have asked before."""
    specs = {"k8s.aliyun.com/eci-use-specs": "16-32Gi,ecs.c6.8xlarge"}
    pod = replace(PI, annotations=specs)
    eci.fail("CreateContainerGroup", 403, "OperationDenied.NoStock")
    with pytest.raises(OutOfCapacity, match=r"next is ecs\.c6\.8xlarge") as caught:
        await cloud.create(pod)
    assert (caught.value.next_attempt, caught.value.is_known) == (1, False)
    other = replace(pod, owner=owner(uid="other"))
    with pytest.raises(OutOfCapacity) as caught:
        await cloud.create(other)
    assert (caught.value.next_attempt, caught.value.is_known) == (1, True)
    assert eci.count("CreateContainerGroup") == 1
    made = await cloud.create(replace(pod, attempt=1))
    assert (made.sku, made.attempt) == ("ecs.c6.8xlarge", 1)
    tokens = [asked["ClientToken"] for action, asked in eci.calls if action == "CreateContainerGroup"]
    assert len(set(tokens)) == 2
    assert (await cloud.create(replace(other, in_doubt=True))).attempt == 0, "it may have been sent before: asked"


async def test_spot_falls_back_to_pay_as_you_go_only_where_that_is_wanted(eci, cloud):
    spot = {"k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo"}
    for asked, following in ((spot, None), ({**spot, "k8s.aliyun.com/eci-spot-fallback": "true"}, 1)):
        eci.fail("CreateContainerGroup", 403, "Spot.NotMatched")
        with pytest.raises(OutOfCapacity) as caught:
            await cloud.create(replace(PI, annotations=asked, in_doubt=True))
        assert caught.value.next_attempt == following


async def test_after_a_restart_a_changed_request_finds_the_first_ones_instance(eci, cloud):
    first = await cloud.create(PI)
    renewed = replace(PI, volumes=(replace(PI.volumes[0], files=PI.volumes[0].files[1:]),))
    adopted = await cloud.create(renewed)
    assert adopted.id == first.id
    assert adopted.owner == PI.owner
    assert len(eci.groups) == 1


async def test_a_token_in_use_with_no_instance_to_see_is_tried_later(eci, cloud):
    eci.fail("CreateContainerGroup", 400, "IdempotentParameterMismatch")
    with pytest.raises(CloudUnavailable, match="looked for again") as caught:
        await cloud.create(PI)
    assert caught.value.retryable


async def test_list_has_every_page_and_only_ours(eci, cloud):
    for number in range(45):
        add(eci, number)
    add(eci, 99, node="other-node")
    instances = await cloud.list()
    assert {one.id for one in instances} == {f"eci-{number:04}" for number in range(45)}
    assert eci.count("DescribeContainerGroups") == 3
    assert eci.last("DescribeContainerGroups")["WithEvent"] == "true"


async def test_tags_are_looked_at_again_here(eci, cloud):
    add(eci, 1)
    foreign = add(eci, 2, node="other-node")
    eci._selected = lambda parameters: list(eci.groups.values())  # a cloud that ignores the filter
    assert {one.id for one in await cloud.list()} == {"eci-0001"}
    assert await cloud.describe([foreign["ContainerGroupId"]]) == {}


async def test_a_failing_page_fails_the_listing(eci, cloud):
    for number in range(25):
        add(eci, number)
    eci.fail("DescribeContainerGroups", 500, "InternalError", times=20)
    with pytest.raises(CloudUnavailable):
        await cloud.list()


async def test_a_listing_with_items_missing_is_not_taken_for_whole(eci, cloud):
    for number in range(25):
        add(eci, number)
    eci.short_pages = 1
    for listing in (cloud.list(), cloud.statuses()):
        with pytest.raises(CloudUnavailable, match="incomplete"):
            await listing


async def test_statuses_come_two_hundred_a_page(eci, cloud):
    for number in range(201):
        add(eci, number, Status="Running" if number else "Novel")
    statuses = await cloud.statuses()
    assert len(statuses) == 201
    assert statuses["eci-0000"] is InstanceStatus.UNKNOWN
    assert statuses["eci-0200"] is InstanceStatus.RUNNING
    assert eci.count("DescribeContainerGroupStatus") == 2
    assert "SinceSecond" not in eci.last("DescribeContainerGroupStatus")


async def test_a_count_that_nobody_waits_for_rests_between_its_pages(eci, cloud):
    for number in range(401):
        add(eci, number)
    began = time.monotonic()
    assert len(await cloud.statuses(rest_s=0.1)) == 401
    assert time.monotonic() - began >= 0.2


async def test_a_page_that_was_waited_for_too_long_has_all_counted_again_without_a_rest(eci, cloud):
    """How long ECI remembers where the next page begins is not documented."""
    for number in range(201):
        add(eci, number)
    eci.faults["DescribeContainerGroupStatus"].extend(["none", Fault(400, "InvalidParameter.NextToken")])
    assert len(await cloud.statuses(rest_s=0.01)) == 201
    assert eci.count("DescribeContainerGroupStatus") == 4
    eci.faults["DescribeContainerGroupStatus"].extend(["none", Fault(400, "InvalidParameter.NextToken")])
    with pytest.raises(CloudRefused):
        await cloud.statuses()


@pytest.mark.parametrize(("asked", "sent"), [(1, "60"), (90, "90"), (99999, "3600")])
async def test_changes_keep_to_the_window_eci_allows(eci, cloud, asked, sent):
    await cloud.changes(asked)
    await cloud.events(asked)
    assert eci.last("DescribeContainerGroupStatus")["SinceSecond"] == sent
    assert eci.last("DescribeContainerGroupEvents")["SinceSecond"] == sent


EVENT = {"Reason": "Started", "Message": "m", "Name": "x.17a6f0c2d3e4b5a6", "FirstTimestamp": "2024-01-02T03:05:00Z"}


async def test_changes_and_events_are_a_call_each(eci, cloud):
    add(eci, 1, Status="Running", IntranetIp="10.0.0.1", Events=[EVENT])
    (report,) = await cloud.changes(60)
    assert (report.id, report.status, report.ip) == ("eci-0001", InstanceStatus.RUNNING, "10.0.0.1")
    assert report.events is None
    assert eci.count("DescribeContainerGroupEvents") == 0
    (happened,) = await cloud.events(60)
    assert (happened.id, [event.reason for event in happened.events]) == ("eci-0001", ["Started"])
    assert happened.status is None
    assert eci.count("DescribeContainerGroups") == 0


async def test_what_is_told_again_is_the_same_object(eci, cloud):
    """So that the minute's worth of changes in each answer costs nothing but the first time."""
    for number in (1, 2):
        add(eci, number, Status="Running", Events=[EVENT])

    async def told():
        return [*await cloud.changes(60), *await cloud.events(60)]

    before = {id(each): each for each in await told()}
    eci.groups["eci-0002"]["Status"] = "Succeeded"
    news = [each for each in await told() if id(each) not in before]
    assert [(each.id, each.status) for each in news] == [("eci-0002", InstanceStatus.SUCCEEDED)]


async def test_a_full_listing_is_asked_for_in_parallel_and_told_of_instances_it_does_not_show(eci, cloud):
    for number in range(45):
        add(eci, number)
    shown = dict(eci.groups)
    eci._DescribeContainerGroups, whole = (
        lambda _: {"ContainerGroups": [], "TotalCount": 0},
        eci._DescribeContainerGroups,
    )
    with pytest.raises(CloudUnavailable, match="counts 45 instances and shows none of them"):
        await cloud.list()
    eci._DescribeContainerGroups = whole
    assert {each.id for each in await cloud.list()} == shown.keys()


async def test_init_containers_are_looked_at_until_they_are_done(eci, cloud):
    created = await cloud.create(EVERYTHING)
    group = eci.groups[created.id]
    group["InitContainers"] = [{"Name": "init", "CurrentState": {"State": "Running"}}]
    report = (await cloud.changes(60))[-1]
    assert [one.name for one in report.init_containers] == ["init"]

    group["Status"] = "Running"
    group["InitContainers"] = [{"Name": "init", "CurrentState": {"State": "Terminated", "ExitCode": 0}}]
    report = (await cloud.changes(60))[-1]
    assert report.init_containers[0].state.exit_code == 0
    looks = eci.count("DescribeContainerGroups")
    (report,) = await cloud.changes(60)
    assert report.init_containers is None
    assert eci.count("DescribeContainerGroups") == looks


async def test_who_else_looks_at_a_group_takes_no_init_containers_end_away(eci, cloud):
    """As somebody who asks for a log does, or we ourselves for where it is."""
    instance = await cloud.create(EVERYTHING)
    group = eci.groups[instance.id]
    group["InitContainers"] = [{"Name": "init", "CurrentState": {"State": "Running"}}]
    await cloud.changes(60)
    group["Status"] = "Running"
    group["IntranetIp"] = "192.168.0.9"
    group["InitContainers"] = [{"Name": "init", "CurrentState": {"State": "Terminated", "ExitCode": 0}}]
    await cloud.describe([instance.id])
    reports = [each for each in await cloud.changes(60) if each.id == instance.id and each.init_containers]
    assert [each.init_containers[0].state.exit_code for each in reports] == [0]


async def test_after_a_restart_the_full_listing_shows_whose_init_containers_are_at_work(eci, cloud):
    add(eci, 1, InitContainers=[{"Name": "init", "CurrentState": {"State": "Running"}}])
    await cloud.list()
    report = (await cloud.changes(60))[-1]
    assert [one.name for one in report.init_containers] == ["init"]


async def test_a_starting_group_that_vanishes_is_not_looked_for_for_ever(eci, cloud):
    created = await cloud.create(EVERYTHING)
    del eci.groups[created.id]
    for _ in range(9):
        await cloud.changes(60)
    assert eci.count("DescribeContainerGroups") == 5


async def test_describe_takes_any_number_of_ids(eci, cloud):
    for number in range(45):
        add(eci, number)
    found = await cloud.describe([*eci.groups, "eci-none", "eci-0001"])
    assert list(found) == list(eci.groups)
    assert eci.count("DescribeContainerGroups") == 3


async def test_find(eci, cloud):
    for number in (1, 2):
        add(eci, number)
    assert [one.id for one in await cloud.find("uid-2")] == ["eci-0002"]
    assert await cloud.find("uid-3") == ()


async def test_what_exists_and_is_anothers_is_told_apart_from_what_is_ours_and_what_is_not_shown(eci, cloud):
    add(eci, 1)
    add(eci, 2, node="other-node")
    eci.add_group("eci-0003", {})
    whose = replace(owner(uid="uid-4"), cluster="another cluster's uid")
    eci.add_group("eci-0004", {**tags.of_owner(whose), **tags.of_cluster_name("test-cluster")})
    asked = ["eci-0001", "eci-0002", "eci-0003", "eci-0004", "eci-0005"]
    assert await cloud.foreign(asked) == {"eci-0002", "eci-0003", "eci-0004"}
    assert list(await cloud.describe(asked)) == ["eci-0001"]


async def test_no_volumes_are_taken_from_what_is_anothers(eci, cloud):
    volume = {"Name": "v", "Type": "NFSVolume", "NFSVolumeServer": "nas", "NFSVolumePath": "/"}
    add(eci, 1, Volumes=[volume])
    add(eci, 2, node="other-node", Volumes=[volume])
    assert list(await cloud.volumes_of("eci-0001")) == ["v"]
    assert await cloud.volumes_of("eci-0002") == {}


async def test_one_cluster_name_and_two_uids_make_two_tokens_and_two_owners(eci, make_client):
    made = []
    for uid in ("uid-of-a", "uid-of-b"):
        client = make_client(cluster=uid, cluster_name="default")
        cloud = EciCloud(client.settings, client)
        made.append(await cloud.create(replace(PI, owner=replace(PI.owner, cluster=uid))))
        assert eci.last("CreateContainerGroup")["Tag.6.Value"] == "default"
        assert [one.id for one in await cloud.list()] == [made[-1].id]
        assert [one.id for one in await cloud.find(PI.owner.uid)] == [made[-1].id]
    assert made[0].id != made[1].id


async def test_delete_and_delete_again(eci, cloud):
    created = await cloud.create(PI)
    eci.fail("DeleteContainerGroup", 400, "IncorrectStatus")
    await cloud.delete(created.id)
    assert eci.groups == {}
    await cloud.delete(created.id)
    assert eci.count("DeleteContainerGroup") == 3


async def test_check_is_one_small_call(eci, cloud):
    await cloud.check()
    assert [(action, parameters["Limit"]) for action, parameters in eci.calls] == [("DescribeContainerGroups", "1")]


STATUS_ITEM = {
    "containerGroupId": "eci-0001",
    "status": "Running",
    "podStatus": {
        "conditions": [{"type": "ContainerInstanceCreated", "status": "True"}],
        "containerStatuses": [{"name": "web", "imageID": "nginx@sha256:1", "state": {"running": {"startedAt": ""}}}],
    },
}
WEB = [{"Name": "web", "CurrentState": {"State": "Running"}}]


async def test_an_instance_looks_the_same_whichever_call_describes_it(eci, cloud):
    """Image digests and conditions come from the status call alone; a listing without them would look like a change."""
    add(eci, 1, Status="Running", Containers=WEB)
    eci._DescribeContainerGroupStatus = lambda _: {"Data": [STATUS_ITEM], "TotalCount": 1}
    for _ in range(2):
        (listed,) = await cloud.list()
        assert listed.containers[0].image_id == "nginx@sha256:1"
        assert listed.conditions[0].type == "ContainerInstanceCreated"
    assert eci.count("DescribeContainerGroupStatus") == 2
    assert (await cloud.describe(["eci-0001"]))["eci-0001"] == listed


async def test_what_is_known_of_an_instance_goes_with_it(eci, cloud):
    """By the counts, which come again and again and are complete; a single one that lacks it may have been early."""
    add(eci, 1, Status="Running", Containers=WEB)
    told = [STATUS_ITEM]
    eci._DescribeContainerGroupStatus = lambda _: {"Data": told, "TotalCount": len(told)}

    async def image_after_counts(*counts):
        for told[:] in counts:
            await cloud.statuses()
        return (await cloud.describe(["eci-0001"]))["eci-0001"].containers[0].image_id

    assert await image_after_counts([STATUS_ITEM]) == "nginx@sha256:1"
    assert await image_after_counts([]) == "nginx@sha256:1"
    assert await image_after_counts([STATUS_ITEM], []) == "nginx@sha256:1", "two counts in a row"
    assert await image_after_counts([]) == ""


CONFIG = (Volume("cfg", files=(File("a", b"1"),)),)


async def test_files_are_updated_in_one_call_and_that_they_are_so_already_is_success(eci, cloud):
    group = add(eci, 1, Status="Running")
    await cloud.update_files("eci-0001", CONFIG)
    await cloud.update_files("eci-0001", CONFIG)
    assert group["volumes"]["Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content"] == "MQ=="
    assert eci.count("UpdateContainerGroup") == 2


async def test_an_update_whose_answer_is_lost_is_found_done(eci, cloud):
    add(eci, 1, Status="Running")
    eci.hang_up("UpdateContainerGroup", after_acting=True)
    await cloud.update_files("eci-0001", CONFIG)


@pytest.mark.parametrize("status", ["Updating", "Restarting", "Succeeded", "Terminating"])
async def test_an_instance_that_cannot_be_updated_now_is_left_for_later(eci, cloud, status):
    group = add(eci, 1, Status=status)
    with pytest.raises(CloudUnavailable, match="IncorrectStatus"):
        await cloud.update_files("eci-0001", CONFIG)
    assert "volumes" not in group


async def test_an_update_of_what_is_gone_says_so(eci, cloud):
    with pytest.raises(InstanceGone):
        await cloud.update_files("eci-0001", CONFIG)


async def test_an_update_that_eci_cannot_hold_is_never_sent(eci, cloud):
    add(eci, 1, Status="Running")
    with pytest.raises(UnsupportedPod, match="32769 bytes"):
        await cloud.update_files("eci-0001", (Volume("cfg", files=(File("a", bytes(32769)),)),))
    assert eci.calls == []
