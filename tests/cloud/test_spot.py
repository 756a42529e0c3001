"""What ECI says of the quota and of the spot market, and how a pod's need becomes a size that is sold."""

import pytest

from tests.cloud.workloads import SETTINGS
from vk_provider.cloud.base import QuotaUsage
from vk_provider.cloud.eci import calls, response
from vk_provider.cloud.eci.definition import DRIVER
from vk_provider.cloud.eci.sizes import Size

TERMS = DRIVER.spot(SETTINGS)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"Attributes": {"UsedCpu": 16.5, "MaxCpu": 1000}}, QuotaUsage(1000.0, 16.5)),
        ({"Attributes": {"UsedCpu": -1, "MaxCpu": "64"}}, QuotaUsage(64.0, 0.0)),
        ({"Attributes": {"UsedCpu": 5}}, None),
        ({"Attributes": []}, None),
        (None, None),
    ],
)
def test_the_quota(answer, expected):
    assert response.quota_usage(answer) == expected


def zone(name, *words):
    supported = {"SupportedResource": [{"Value": "ecs.c6.xlarge", "StatusCategory": word} for word in words]}
    return {"ZoneId": name, "AvailableResources": {"AvailableResource": [{"SupportedResources": supported}]}}


def test_a_zone_that_is_closed_for_new_customers_sells_nothing_for_sure():
    zones = [zone("a", "WithStock"), zone("b", "ClosedWithStock"), zone("c", "WithoutStock", "WithStock"), zone("d")]
    answer = {"AvailableZones": {"AvailableZone": [*zones, {}, "nonsense"]}}
    assert response.spot_stock(answer) == {"a": True, "b": False, "c": True, "d": False}
    assert response.spot_stock({"AvailableZones": None}) == {}


def test_prices_are_those_of_both_kinds():
    rows = [
        {"ZoneId": "a", "SpotPrice": 0.3, "OriginPrice": 1.0},
        {"ZoneId": "b", "SpotPrice": 0, "OriginPrice": 1.0},
        {"SpotPrice": 0.3, "OriginPrice": 1.0},
    ]
    assert response.spot_prices({"PriceInfo": {"SpotPrices": {"SpotPrice": rows}}}) == {"a": (0.3, 1.0)}


def test_what_is_asked():
    asked = calls.describe_spot_stock(Size(4, 16), SETTINGS)
    assert asked.action == "DescribeAvailableResource"
    assert asked.query["DestinationResource.Cores"] == "4"
    assert asked.query["SpotResource.SpotStrategy"] == "SpotAsPriceGo"
    assert calls.describe_usage().action == "ListUsage"


@pytest.mark.parametrize(
    ("cpu", "memory_gib", "sold"), [(4, 16, 4), (3, 4, 4), (1, 14, 2), (64, 512, 64), (65, 1, 0), (None, None, 2)]
)
def test_the_size_that_is_sold(cpu, memory_gib, sold):
    assert TERMS.sold_cpu(cpu, memory_gib, is_spot=True) == sold


@pytest.mark.parametrize(("sku", "expected"), [("4.0-16.0Gi/spot", True), ("4.0-16.0Gi", False), ("?", False)])
def test_what_was_bought_as_spot(sku, expected):
    assert TERMS.is_spot(sku) is expected
