"""Pages, filters and changes, and that ten thousand groups are carried."""

import json
import time
import tracemalloc

import pytest

from fakes.cloud.errors import ApiError
from tests.fakes.cloud.world import World, flat
from tests.thorough import THOROUGH, thorough

REGION = {"RegionId": "cn-hangzhou"}
QUICK = "[[rule]]\npull_s = 0\nduration_s = 5"
FOREVER = "[[rule]]\npull_s = 0\nduration_s = 1e9"


def pages(call, request, **more):
    """All items of a listing, page by page, and the sizes of the pages."""
    items, sizes, token = [], [], ""
    while True:
        answer = call({**request, **more, **({"NextToken": token} if token else {})})
        found = answer.get("ContainerGroups", answer.get("Data"))
        items += [item["ContainerGroupId"] for item in found]
        sizes.append(len(found))
        token = answer["NextToken"]
        if not token:
            return items, sizes, answer["TotalCount"]


def test_pages_of_twenty_without_loss_or_repeats():
    world = World()
    ids = [world.create().id for _ in range(45)]
    assert pages(world.queries.groups, REGION) == (ids, [20, 20, 5], 45)
    assert pages(world.queries.groups, REGION, Limit="15")[1] == [15, 15, 15], "no empty page at the end"


@pytest.mark.parametrize(
    ("call", "limit"), [("groups", "21"), ("groups", "0"), ("statuses", "201"), ("events", "201"), ("statuses", "x")]
)
def test_limits_of_a_page(call, limit):
    with pytest.raises(ApiError, match="InvalidParameter"):
        getattr(World().queries, call)({**REGION, "Limit": limit})


@pytest.mark.parametrize("seconds", ["59", "3601"])
def test_limits_of_since_second(seconds):
    with pytest.raises(ApiError, match="InvalidParameter"):
        World().queries.statuses({**REGION, "SinceSecond": seconds})


def test_a_token_of_another_listing_is_refused():
    world = World()
    for _ in range(21):
        world.create()
    token = world.queries.groups(REGION)["NextToken"]
    with pytest.raises(ApiError, match="InvalidParameter"):
        world.queries.statuses({**REGION, "SinceSecond": "60", "NextToken": token})
    with pytest.raises(ApiError, match="InvalidParameter"):
        world.queries.groups({**REGION, "NextToken": "nonsense"})


def test_a_listing_survives_deletions_and_creations_between_its_pages():
    world = World()
    ids = [world.create().id for _ in range(30)]
    first = world.queries.groups(REGION)
    for group_id in ids[:10]:
        world.service.lifecycle.vanish(world.service.store.get(group_id), world.clock.now())
    new = world.create().id
    second = world.queries.groups({**REGION, "NextToken": first["NextToken"]})
    assert [item["ContainerGroupId"] for item in second["ContainerGroups"]] == [*ids[20:], new]


def test_filters():
    world = World()
    plain = world.create(ContainerGroupName="plain")
    tagged = world.create(Tag__1__Key="a", Tag__1__Value="1", Tag__2__Key="b", Tag__2__Value="2")
    other = world.create(Tag__1__Key="a", Tag__1__Value="1", VSwitchId="vsw-1,vsw-2", RegionId="cn-beijing")

    def found(**request):
        answer = world.queries.groups({**REGION, **{key.replace("__", "."): text for key, text in request.items()}})
        return [item["ContainerGroupId"] for item in answer["ContainerGroups"]]

    assert found() == [plain.id, tagged.id]
    assert found(Tag__1__Key="a", Tag__1__Value="1", Tag__2__Key="b", Tag__2__Value="2") == [tagged.id]
    assert found(Tag__1__Key="a", Tag__1__Value="1", Tag__2__Key="b", Tag__2__Value="3") == []
    assert found(Tag__1__Key="a") == [tagged.id], "the value may be left out"
    assert found(ContainerGroupName="plain") == [plain.id]
    assert found(Status="Running") == []
    assert found(RegionId="cn-beijing", VSwitchId="vsw-2") == [other.id]
    assert found(ContainerGroupIds=json.dumps([tagged.id, "eci-unknown", other.id])) == [tagged.id]
    with pytest.raises(ApiError, match="InvalidParameter"):
        found(ContainerGroupIds=json.dumps([str(n) for n in range(21)]))


@pytest.mark.parametrize("call", ["groups", "statuses", "events"])
@pytest.mark.parametrize("since", [{}, {"SinceSecond": "60"}], ids=["all", "changes"])
@pytest.mark.parametrize("by_id", [False, True])
def test_every_listing_keeps_to_all_tags_asked_for(call, since, by_id):
    world = World(FOREVER)
    groups = {
        tags: world.create(Tag__1__Key="cluster", Tag__1__Value=tags[0], Tag__2__Key="node", Tag__2__Value=tags[1])
        for tags in (("a", "n"), ("b", "n"), ("a", "m"))
    }
    world.create()
    wanted = {"Tag.1.Key": "cluster", "Tag.1.Value": "a", "Tag.2.Key": "node", "Tag.2.Value": "n"}
    ids = {"ContainerGroupIds": json.dumps([each.id for each in groups.values()])} if by_id else {}
    since = since if call != "groups" else {}
    assert pages(getattr(world.queries, call), REGION, **wanted, **since, **ids)[::2] == ([groups["a", "n"].id], 1)


def test_changes_since():
    world = World(QUICK)
    old = world.create()
    world.run(100)
    new = world.create()
    assert pages(world.queries.statuses, REGION, SinceSecond="60")[0] == [new.id]
    assert pages(world.queries.statuses, REGION, SinceSecond="120")[0] == [old.id, new.id]
    world.run(61)
    assert pages(world.queries.statuses, REGION, SinceSecond="60")[0] == [new.id]
    world.run(61)
    assert pages(world.queries.statuses, REGION, SinceSecond="60")[0] == []


def test_a_change_between_two_pages_of_changes_is_not_missed():
    world = World(FOREVER)
    groups = [world.create() for _ in range(10)]
    first = world.queries.statuses({**REGION, "SinceSecond": "60", "Limit": "5"})
    world.service.delete({**REGION, "ContainerGroupId": groups[0].id})
    second = world.queries.statuses({**REGION, "SinceSecond": "60", "Limit": "10", "NextToken": first["NextToken"]})
    seen = [item["ContainerGroupId"] for item in second["Data"]]
    assert seen == [group.id for group in groups[5:]] + [groups[0].id]


def test_both_spellings_of_a_status():
    world = World(FOREVER)
    world.create()
    world.run(10)
    item = world.queries.statuses(REGION)["Data"][0]
    camel = item["podStatus"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    assert camel == "2023-11-14T22:13:21Z"
    assert item["PodStatus"]["ContainerStatuses"][0]["State"]["Running"]["StartedAtstartedAt"] == camel
    assert item["PodStatus"]["PodIp"] == item["podStatus"]["podIP"] == "10.64.0.10"


def test_events_by_source():
    world = World(FOREVER)
    group = world.create()
    world.run(10)
    world.service.lifecycle.reclaim(group, world.clock.now(), notice_s=180)

    def listed(**more):
        (item,) = world.queries.events({**REGION, **more})["Data"]
        assert [event["reason"] for event in item["events"]] == [event["Reason"] for event in item["Events"]]
        return [event["reason"] for event in item["events"]]

    assert listed() == ["Pulling", "Pulled", "Created", "Started", "SpotToBeReleased"]
    assert listed(EventSource="K8sAgent") == ["Pulling", "Pulled", "Created", "Started"]
    assert listed(EventSource="EciService") == ["SpotToBeReleased"]


def test_tag_resources():
    world = World()
    group = world.create(Tag__1__Key="a", Tag__1__Value="1")
    resource = {**REGION, "ResourceType": "ContainerGroup", "ResourceId.1": group.id}
    by_b = {**REGION, "Tag.1.Key": "b", "Tag.1.Value": "2"}
    assert world.queries.groups(by_b)["TotalCount"] == 0
    world.service.tag({**resource, "Tag.1.Key": "b", "Tag.1.Value": "2"})
    assert world.queries.groups(by_b)["TotalCount"] == 1
    rows = world.queries.tags(resource)["TagResources"]
    assert [(row["TagKey"], row["TagValue"]) for row in rows] == [("a", "1"), ("b", "2")]
    world.service.untag({**resource, "TagKey.1": "b"})
    assert world.queries.groups(by_b)["TotalCount"] == 0


def test_usage_price_and_stock():
    world = World()
    world.create()
    assert world.queries.usage(REGION)["Attributes"]["UsedCpu"] == 2
    price = world.queries.price({**REGION, "Cpu": "2", "Memory": "4"})["PriceInfo"]["Price"]
    assert price["TradePrice"] == pytest.approx(0.00012252)
    with pytest.raises(ApiError, match=r"InvalidParam\.CpuOrMemorySpec"):
        world.queries.price({**REGION, "Cpu": "3", "Memory": "4"})
    world.service.stock.zones.add("cn-hangzhou-a")
    request = {**REGION, "DestinationResource.Category": "InstanceType", "DestinationResource.Value": "ecs.c6.xlarge"}
    zones = world.queries.stock(request)["AvailableZones"]["AvailableZone"]
    found = [
        zone["AvailableResources"]["AvailableResource"][0]["SupportedResources"]["SupportedResource"] for zone in zones
    ]
    assert [rows[0]["StatusCategory"] for rows in found] == ["WithoutStock", "WithStock", "WithStock"]
    assert {"RegionId", "RegionEndpoint", "Zones"} <= set(world.queries.regions({})["Regions"][0])


def test_modelled_metrics():
    world = World("[[rule]]\npull_s = 0\nduration_s = 1e9\ncpu_share = 0.5")
    group = world.create(Container__1__Cpu="2", Container__1__Memory="4")
    world.run(100)
    records = world.queries.metric({**REGION, "ContainerGroupId": group.id})["Records"]
    assert len(records) == 7
    assert records[-1]["CPU"] == {
        "UsageNanoCores": 10**9,
        "UsageCoreNanoSeconds": 99 * 10**9,
        "Load": 0,
        "Limit": 2000,
    }
    assert records[-1]["Timestamp"].endswith("+08:00")
    newest = world.queries.multi_metric({**REGION, "ContainerGroupIds": json.dumps([group.id])})["MonitorDatas"]
    assert newest[0]["Records"][0]["Timestamp"].endswith("Z")


@thorough
def test_ten_thousand_groups():
    """Created, run, changed, listed and polled; the bounds are several times what a slow machine takes."""
    many = 10_000 if THOROUGH else 2_000
    world = World("[[rule]]\npull_s = 1\nduration_s = 300", quota_cpu=1e6)
    began = time.perf_counter()
    request = flat(Tag__1__Key="node", Tag__1__Value="vk", Tag__2__Key="cluster", Tag__2__Value="c")
    for number in range(many):
        world.service.create({**request, "ContainerGroupName": f"job-{number}"})
    world.run(10)
    mine = {"Tag.1.Key": "node", "Tag.1.Value": "vk", "Tag.2.Key": "cluster", "Tag.2.Value": "c"}
    for call, size in ((world.queries.groups, 20), (world.queries.statuses, 200)):
        items, sizes, total = pages(call, REGION, **mine, Limit=str(size))
        assert (len(set(items)), len(sizes), total) == (many, many // size, many)
    assert len(pages(world.queries.statuses, REGION, **mine, SinceSecond="60", Limit="200")[0]) == many
    world.run(400)
    assert pages(world.queries.groups, REGION, Status="Succeeded")[2] == many
    world.run(3700)
    assert world.queries.groups(REGION)["TotalCount"] == 100
    assert time.perf_counter() - began < 60
    assert len(world.timers) < 5 * many


def test_bytes_of_a_group():
    world = World(FOREVER)
    world.create()
    tracemalloc.start()
    for _ in range(300):
        world.create()
    world.run(10)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken / 300 < 20_000
