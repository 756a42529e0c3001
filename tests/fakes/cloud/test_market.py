"""The spot market of the fake cloud: prices, stock, bids, protection, notice, release, bills; and a shared quota."""

import statistics

import aiohttp
import pytest

from fakes.cloud import billing, series
from fakes.cloud.errors import ApiError
from fakes.cloud.lifecycle import Settings
from fakes.cloud.views import group_status
from tests.fakes.cloud.sdk import Acs
from tests.fakes.cloud.test_admin import Admin, refused
from tests.fakes.cloud.test_door import create_request
from tests.fakes.cloud.world import START, World, reasons

HOUR, DAY = 3600.0, 86_400.0
FOREVER = "[[rule]]\nduration_s = 1e9\n"
SPOT = {"SpotStrategy": "SpotAsPriceGo", "Cpu": "4", "Memory": "8"}
ONE_ZONE = {"ZoneId": "cn-hangzhou-a"}


@pytest.fixture
def world():
    return World(FOREVER)


def market(world, **body):
    world.service.market.change(body, world.clock.now())


def buy(world, **more):
    return world.create(**(SPOT | ONE_ZONE | more))


def code_of(call):
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value.code


def words(world, **spot):
    answer = world.queries.stock(
        {
            "RegionId": "cn-hangzhou",
            "DestinationResource.Category": "InstanceType",
            "DestinationResource.Cores": "4",
            "DestinationResource.Memory": "8",
            **{f"SpotResource.{name}": value for name, value in spot.items()},
        }
    )
    return [
        row["AvailableResources"]["AvailableResource"][0]["SupportedResources"]["SupportedResource"][0][
            "StatusCategory"
        ]
        for row in answer["AvailableZones"]["AvailableZone"]
    ]


def prices(world, **more):
    answer = world.queries.price(
        {"RegionId": "cn-hangzhou", "Cpu": "4", "Memory": "8", "SpotStrategy": "SpotAsPriceGo", **more}
    )
    return answer["PriceInfo"]["SpotPrices"]["SpotPrice"]


# --- prices -----------------------------------------------------------------------------------------------------------


def test_the_price_is_told_per_zone_and_beside_that_on_demand(world):
    market(world, zone="cn-hangzhou-b", size="4-8", price=0.5)
    rows = prices(world)
    assert [row["ZoneId"] for row in rows] == ["cn-hangzhou-a", "cn-hangzhou-b", "cn-hangzhou-c"]
    on_demand = billing.price_per_second(4, 8)
    assert [row["SpotPrice"] / row["OriginPrice"] for row in rows] == pytest.approx([0.3, 0.5, 0.3])
    assert rows[0]["OriginPrice"] == on_demand
    assert len(prices(world, ZoneId="cn-hangzhou-b")) == 1
    assert prices(world, SpotStrategy="NoSpot") == []


def test_a_price_follows_its_series(world):
    market(world, price={"points": [[0, 0.2], [HOUR, 0.8]]})
    assert prices(world)[0]["SpotPrice"] / prices(world)[0]["OriginPrice"] == pytest.approx(0.2)
    world.run(HOUR)
    assert prices(world)[0]["SpotPrice"] / prices(world)[0]["OriginPrice"] == pytest.approx(0.8)


def test_a_bid_under_the_market_is_not_matched(world):
    limit = f"{0.29 * billing.price_per_second(4, 8) * 3600:.3f}"
    low = {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": limit}
    assert code_of(lambda: buy(world, **low)) == "Spot.NotMatched"
    market(world, price=0.2)
    assert buy(world, **low).spot is not None
    market(world, price=1.01)  # nobody pays more than on demand
    assert code_of(lambda: buy(world)) == "Spot.NotMatched"
    assert world.create().spot is None


# --- stock ------------------------------------------------------------------------------------------------------------


def test_stock_is_sold_out_by_what_we_hold(world):
    market(world, stock=6)
    buy(world)
    assert code_of(lambda: buy(world)) == "OperationDenied.NoStock"
    assert words(world, SpotStrategy="SpotAsPriceGo") == ["WithoutStock"] * 3
    assert words(world) == ["WithStock"] * 3
    world.create(Cpu="4", Memory="8")  # on demand there is
    market(world, stock=None)
    buy(world)


def test_zones_and_sizes_have_stocks_of_their_own(world):
    market(world, zone="cn-hangzhou-a", stock=0)
    market(world, size="8-16", stock=4)
    assert code_of(lambda: buy(world)) == "OperationDenied.NoStock"
    assert buy(world, ZoneId=None).zone == "cn-hangzhou-b"
    assert code_of(lambda: buy(world, ZoneId=None, Cpu="8", Memory="16")) == "OperationDenied.NoStock"
    market(world, zone="cn-hangzhou-b", closed=True)
    assert words(world, SpotStrategy="SpotAsPriceGo") == ["WithoutStock", "ClosedWithStock", "WithStock"]
    assert buy(world, ZoneId=None).zone == "cn-hangzhou-c"


def test_stock_that_goes_between_the_call_and_the_start_fails_the_start(world):
    group = buy(world)
    market(world, stock=0)
    world.run(2)
    assert (group.status, group.reason) == ("ScheduleFailed", "NoStock")


# --- release ----------------------------------------------------------------------------------------------------------


def test_a_price_over_the_bid_releases_after_the_protection_with_a_notice(world):
    group = buy(world)
    world.run(60)
    market(world, price=10)
    world.run(HOUR - 61)
    assert "SpotToBeReleased" not in reasons(group)  # in its hour not at ten times the price
    world.run(2)
    assert "SpotToBeReleased" in reasons(group)
    conditions = group_status(group)["podStatus"]["conditions"]
    assert [each["status"] for each in conditions if each["type"] == "ContainerInstanceExpired"] == ["True"]
    assert group.status == "Running"
    world.run(181)
    assert (group.status, group.reason) == ("Expired", "BidFailed")
    expired = [when for when, status in world.states(group) if status == "Expired"]
    assert expired == pytest.approx([HOUR + 180], abs=1)
    assert "released at 2023-" in group.message


@pytest.mark.parametrize(("hours", "first_check"), [("0", 0.0), ("2", 2 * HOUR)])
def test_protection_is_what_the_group_says(world, hours, first_check):
    market(world, price=0.3)
    group = buy(world, SpotDuration=hours)
    world.run(1)
    market(world, price=10)
    world.run(first_check + 299)
    world.run(1)
    assert group.release_at == pytest.approx(START + (300 if first_check == 0 else first_check) + 180)


def test_a_price_that_comes_back_before_the_check_releases_nobody(world):
    market(world, price={"points": [[0, 0.3], [HOUR + 10, 5], [HOUR + 290, 0.3]]})
    group = buy(world)
    world.run(3 * HOUR)
    assert group.status == "Running"


def test_less_stock_than_is_held_releases_the_youngest_and_no_more(world):
    groups = []
    for _ in range(4):
        groups.append(buy(world))
        world.run(10)
    market(world, stock=8)
    world.run(HOUR + 600)
    assert [group.status for group in groups] == ["Running", "Running", "Expired", "Expired"]


def test_a_deleted_group_is_released_no_more(world):
    market(world, notice_s=600)
    group = buy(world)
    world.run(10)
    market(world, price=10)
    world.run(HOUR)
    assert group.release_at is not None
    world.service.delete({"RegionId": "cn-hangzhou", "ContainerGroupId": group.id})
    world.run(900)
    assert group.status == "Gone"


def test_a_release_may_come_without_a_word(world):
    market(world, announces=False, notice_s=0)
    group = buy(world)
    world.run(10)
    market(world, price=10)
    world.run(HOUR)
    assert group.status == "Expired"
    assert "SpotToBeReleased" not in reasons(group)


def test_containers_get_sigterm_and_their_grace_at_the_release():
    world = World("[[rule]]\nduration_s = 1e9\nstop_s = 20\n")
    group = buy(world, TerminationGracePeriodSeconds="30")
    world.run(10)
    market(world, price=10)
    world.run(HOUR + 180)
    assert group.status == "Running"
    world.run(20)
    assert group.status == "Expired"
    assert group.containers[0].last.exit.code == 143


# --- bills ------------------------------------------------------------------------------------------------------------


def test_the_price_of_the_purchase_holds_while_protected_and_the_markets_after_that():
    world = World(FOREVER, settings=Settings(start_delay_s=0.0))
    group = buy(world)
    market(world, price=0.6)
    world.run(2 * HOUR)
    entry = billing.entry(group, world.clock.now())
    on_demand = billing.price_per_second(4, 8)
    assert entry["billed_seconds"] == 7200
    assert entry["cost"] == pytest.approx(on_demand * (3600 * 0.3 + 3600 * 0.6))
    assert entry["cost_on_demand"] == pytest.approx(on_demand * 7200)


def test_an_ended_one_costs_nothing_more():
    world = World("[[rule]]\nduration_s = 100\n")
    group = buy(world)
    world.run(HOUR)
    before = billing.entry(group, world.clock.now())["cost"]
    world.run(HOUR)
    assert billing.entry(group, world.clock.now())["cost"] == before > 0


def test_starts_take_their_own_time_within_the_spread():
    world = World(FOREVER, settings=Settings(start_delay_s=20.0, start_spread_s=10.0))
    groups = [world.create() for _ in range(50)]
    world.run(40)
    delays = [group.pending_at - group.created_at for group in groups]
    assert 20 <= min(delays) < 22
    assert 28 < max(delays) <= 30


# --- the quota --------------------------------------------------------------------------------------------------------


def test_others_hold_of_the_quota_too():
    world = World(FOREVER, quota_cpu=64.0)
    world.service.others = series.parse({"points": [[0, 40], [HOUR, 60]]}, START)
    world.create(Cpu="16", Memory="32")
    usage = world.queries.usage({"RegionId": "cn-hangzhou"})["Attributes"]
    assert (usage["UsedCpu"], usage["MaxCpu"]) == (56, 64)
    assert code_of(lambda: world.create(Cpu="12", Memory="24")) == "QuotaExceeded"
    world.run(HOUR)
    assert world.queries.usage({"RegionId": "cn-hangzhou"})["Attributes"]["UsedCpu"] == 76
    assert code_of(lambda: world.create(Cpu="2", Memory="4")) == "QuotaExceeded"


# --- series -----------------------------------------------------------------------------------------------------------


def test_series():
    steps = series.parse({"points": [[10, 1], [20, 3]]}, 100)
    assert [steps.at(now) for now in (0, 110, 119, 120, 999)] == [1, 1, 1, 3, 3]
    lines = series.parse({"points": [[0, 0], [10, 10]], "linear": True, "repeat_s": 20}, 0)
    assert [lines.at(now) for now in (0, 5, 15, 25)] == [0, 5, 10, 5]
    wave = series.parse({"mean": 60, "amplitude": 30, "peak_s": 50_000}, 0)
    assert wave.at(50_000) == pytest.approx(90)
    assert wave.at(50_000 + DAY / 2) == pytest.approx(30)


def test_noise_is_the_same_however_it_is_read_and_returns_to_the_mean():
    one = series.parse({"mean": 60, "noise": 5, "seed": 7}, 0)
    backwards = [one.at(now) for now in range(0, 7 * 86_400, 300)][::-1]
    again = series.parse(one.described(), 0)
    assert [again.at(now) for now in range(7 * 86_400 - 300, -1, -300)] == backwards
    assert statistics.mean(backwards) == pytest.approx(60, abs=1.5)
    assert statistics.pstdev(backwards) == pytest.approx(5, rel=0.3)
    assert max(abs(one.at(now) - one.at(now + 10)) for now in range(0, 86_400, 10)) < 2
    assert series.parse({"mean": 1, "noise": 5, "least": 0, "most": 2}, 0).at(5_000) <= 2


@pytest.mark.parametrize(
    "value",
    [
        True,
        "x",
        None,
        [],
        {},
        {"points": []},
        {"points": [[5, 1], [4, 1]]},
        {"points": [[0, 1]], "repeat_s": 0},
        {"mean": 1, "colour": 2},
        {"mean": float("nan")},
        {"mean": 1, "period_s": 0},
    ],
)
def test_what_is_no_series(value):
    with pytest.raises((ValueError, TypeError)):
        series.parse(value, 0)


# --- over the admin API, with the official SDK ------------------------------------------------------------------------


async def test_everything_is_scripted_over_the_admin_api(start):
    cloud = await start(scenario=FOREVER)
    async with aiohttp.ClientSession() as session:
        acs, admin = Acs(cloud.endpoint), Admin(cloud, session)
        await admin.post("market", {"zone": "*", "size": "2-4", "price": 0.25, "stock": 2, "notice_s": 60})
        await admin.post("load", {"cpu": 30})
        await admin.post("quota", {"cpu": 33})
        spot = {"Cpu": 2, "Memory": 4, "SpotStrategy": "SpotAsPriceGo"}
        group_id = (await acs.call(create_request(**spot)))["ContainerGroupId"]
        await acs.until(group_id, "Running")
        assert await refused(acs.call(create_request(**spot))) == "OperationDenied.NoStock"
        assert await refused(acs.call(create_request(Cpu=2, Memory=4))) == "QuotaExceeded"
        assert (await acs.action("ListUsage"))["Attributes"]["UsedCpu"] == 32
        price = await acs.action("DescribeContainerGroupPrice", **spot)
        assert len(price["PriceInfo"]["SpotPrices"]["SpotPrice"]) == 3
        state = await admin.get("state")
        assert state["market"]["stocks"][0] == {"zone": "*", "size": "2-4", "now": 2.0, "series": 2.0}
        await admin.post("market", {"price": {"mean": 3}})
        await admin.post("clock", {"advance": 3600 + 61})
        group = await acs.until(group_id, "Expired")
        assert any(event["Reason"] == "SpotToBeReleased" for event in group["Events"])
        for body in ({"price": "dear"}, {"colour": 1}, {"notice_s": -1}, {"stock": []}, {"check_every_s": 0}):
            assert (await admin.post("market", body, status=400))["error"]
        assert (await admin.post("load", {"cpu": "much"}, status=400))["error"]
        bill = await admin.get("bill")
        assert bill["cost"] < bill["cost_on_demand"]
        await admin.reset()
        assert (await admin.get("state"))["market"]["stocks"] == []
