"""Faults and other mischief over the admin API, as a client meets them."""

import asyncio

import aiohttp
import pytest
from aliyunsdkcore.acs_exception.exceptions import ClientException, ServerException

from fakes.cloud.faults import KINDS, thin_out
from tests.fakes.cloud.sdk import Acs, eventually
from tests.fakes.cloud.test_door import SCENARIO, create_request


class Admin:
    def __init__(self, cloud, session):
        self._base = f"{cloud.endpoint}/_admin"
        self._session = session

    async def post(self, name, body, status=200):
        async with self._session.post(f"{self._base}/{name}", json=body) as response:
            assert response.status == status
            return await response.json()

    async def get(self, name):
        async with self._session.get(f"{self._base}/{name}") as response:
            return await response.json()

    async def reset(self):
        async with self._session.delete(f"{self._base}/faults") as response:
            assert response.status == 200


@pytest.fixture
async def world(start):
    cloud = await start(scenario=SCENARIO)
    async with aiohttp.ClientSession() as session:
        yield Acs(cloud.endpoint), Admin(cloud, session)


async def refused(call):
    with pytest.raises((ServerException, ClientException)) as caught:
        await call
    return caught.value.get_error_code()


async def test_failing_calls(world):
    acs, admin = world
    await admin.post(
        "faults",
        [
            {"action": "ListUsage", "kind": "error", "code": "OperationDenied.NoStock", "http_status": 403},
            {"action": "ListUsage", "kind": "throttle"},
            {"action": "ListUsage", "kind": "http-503"},
            {"action": "*", "kind": "http-500"},
        ],
    )
    codes = [await refused(acs.action("ListUsage")) for _ in range(4)]
    assert codes == ["OperationDenied.NoStock", "Throttling", "ServiceUnavailable", "InternalError"]
    assert "Attributes" in await acs.action("ListUsage")


async def test_a_lost_response_has_acted_and_a_lost_request_has_not(world):
    acs, admin = world
    await admin.post("faults", {"action": "CreateContainerGroup", "kind": "lose-response-after-acting"})
    assert await refused(acs.call(create_request(ClientToken="t"))) == "SDK.HttpError"
    state = await admin.get("state")
    assert len(state["groups"]) == 1
    again = await acs.call(create_request(ClientToken="t"))
    assert again["ContainerGroupId"] == state["groups"][0]["id"]
    await admin.post("faults", {"action": "CreateContainerGroup", "kind": "lose-request"})
    assert await refused(acs.call(create_request())) == "SDK.HttpError"
    assert len((await admin.get("state"))["groups"]) == 1


async def test_delay(world):
    acs, admin = world
    await admin.post("faults", {"action": "ListUsage", "kind": "delay", "seconds": 0.3})
    began = asyncio.get_running_loop().time()
    await acs.action("ListUsage")
    assert asyncio.get_running_loop().time() - began >= 0.3


async def test_a_client_that_gives_up_during_a_delay_does_not_undo_the_call(world):
    acs, admin = world
    await admin.post("faults", {"action": "CreateContainerGroup", "kind": "delay", "seconds": 0.5})
    acs._client._read_timeout = 0.1
    assert await refused(acs.call(create_request())) == "SDK.HttpError"

    async def acted():
        return len((await admin.get("state"))["groups"]) == 1

    await eventually(acted)


async def test_empty_and_partial_lists(world):
    acs, admin = world
    for number in range(4):
        await acs.call(create_request(f"web-{number}"))
    await admin.post("faults", [{"kind": "empty-list"}, {"kind": "partial-list"}])
    sizes = [len((await acs.action("DescribeContainerGroups"))["ContainerGroups"]) for _ in range(3)]
    assert sizes == [0, 2, 4]


async def test_a_fault_for_ever_until_the_reset(world):
    acs, admin = world
    await admin.post("faults", {"action": "ListUsage", "kind": "throttle", "count": -1})
    assert {await refused(acs.action("ListUsage")) for _ in range(3)} == {"Throttling"}
    await admin.post("outage", {"on": True})
    assert await refused(acs.action("DescribeRegions")) == "ServiceUnavailable"
    await admin.reset()
    assert "Attributes" in await acs.action("ListUsage")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("faults", {"kind": "gremlins"}),
        ("faults", {"kind": "error", "colour": "red"}),
        ("quota", {}),
        ("quota", {"cpu": "many"}),
        ("clock", {"speed": 0}),
        ("clock", {"advance": -1}),
        ("vanish", {}),
        ("outage", []),
    ],
)
async def test_a_wrong_body_is_told_why(world, name, body):
    assert (await world[1].post(name, body, status=400))["error"]


async def test_stock_quota_vanish_expire_and_clock(world):
    acs, admin = world
    await admin.post("nostock", {"on": True})
    assert await refused(acs.call(create_request())) == "OperationDenied.NoStock"
    await admin.post("nostock", {"on": False})
    await admin.post("quota", {"cpu": 1})
    assert await refused(acs.call(create_request())) == "QuotaExceeded"
    await admin.post("quota", {"cpu": 100})
    first, second = [(await acs.call(create_request()))["ContainerGroupId"] for _ in range(2)]
    await acs.until(second, "Running")
    await admin.post("vanish", {"id": first})
    assert await acs.group(first) is None
    await admin.post("vanish", {"id": first}, status=404)
    await admin.post("expire", {"id": second})
    group = await acs.until(second, "Expired")
    assert group["ExpiredTime"]
    before = (await admin.get("state"))["now"]
    await admin.post("clock", {"advance": 3600, "speed": 10})
    assert (await admin.get("state"))["now"] > before


async def test_a_twin_has_all_of_the_other_but_its_id(world):
    acs, admin = world
    first = (await acs.call(create_request(Tag__1__Key="of", Tag__1__Value="whom")))["ContainerGroupId"]
    await acs.until(first, "Running")
    second = (await admin.post("twin", {"id": first}))["id"]
    one, other = await acs.group(first), await acs.until(second, "Running")
    assert second != first
    assert (one["Tags"], one["ContainerGroupName"]) == (other["Tags"], other["ContainerGroupName"])
    assert one["IntranetIp"] != other["IntranetIp"]
    await admin.post("twin", {"id": "eci-unknown"}, status=404)


async def test_bills_and_journal(world):
    acs, admin = world
    group_id = (await acs.call(create_request(Container__1__EnvironmentVar__1__Value="hush")))["ContainerGroupId"]
    await acs.until(group_id, "Running")
    await admin.post("clock", {"advance": 60})
    await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)
    await acs.until(group_id, None)
    bill = await admin.get(f"bill?group={group_id}")
    assert 60 < bill["billed_seconds"] < 75
    assert bill["cost"] == pytest.approx(bill["billed_seconds"] * 0.00012252)
    entries = (await admin.get("journal"))["entries"]
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    states = [entry["new"] for entry in entries if entry["kind"] == "state"]
    assert states == ["Scheduling", "Pending", "Running", "Terminating", "Gone"]
    calls = [entry for entry in entries if entry["kind"] == "call"]
    assert calls[0]["action"] == "CreateContainerGroup"
    assert (calls[0]["id"], calls[0]["code"]) == (group_id, "OK")
    assert "hush" not in str(entries)
    assert len((await admin.get(f"journal?since={len(entries) - 1}"))["entries"]) == 1


def test_every_kind_of_fault_is_explained():
    import fakes.cloud.faults as module

    assert all(f"| {kind}" in module.__doc__ for kind in KINDS)


def test_thinning_keeps_the_count_true():
    answer = {"Data": [1, 2, 3], "TotalCount": 3, "NextToken": "t"}
    assert thin_out(answer, "partial-list") == {"Data": [1, 3], "TotalCount": 2, "NextToken": "t"}
    assert thin_out(answer, "empty-list") == {"Data": [], "TotalCount": 0, "NextToken": ""}
