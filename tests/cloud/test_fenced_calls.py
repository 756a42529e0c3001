"""Nodes of one process share one client of ECI; what one of them may not change any more is not sent."""

from __future__ import annotations

import asyncio

import pytest

from tests.cloud.workloads import EVERYTHING
from vk_provider.cloud.eci import calls, request
from vk_provider.cloud.eci.fenced_calls import FencedCalls
from vk_provider.errors import CloudError, LeadershipLost
from vk_provider.fence import Fence

LIST = calls.describe_groups(limit=1)
CREATE = "CreateContainerGroup"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def opened(until_s: float = 100.0) -> Fence:
    fence = Fence(Clock())
    fence.open_until(until_s)
    return fence


async def test_each_node_of_a_process_has_its_own_fence_before_one_client(eci, make_client):
    client = make_client()
    asked, _ = request.create(EVERYTHING, client.settings)
    lost, held = opened(), opened()
    lost.shut()
    with pytest.raises(LeadershipLost):
        await FencedCalls(client, lost).call(asked)
    assert eci.calls == []
    await FencedCalls(client, lost).call(LIST)
    await FencedCalls(client, held).call(asked)
    await FencedCalls(client, held).close()
    await FencedCalls(client, held).call(LIST)
    assert [action for action, _ in eci.calls] == ["DescribeContainerGroups", CREATE, "DescribeContainerGroups"]


async def test_a_call_under_way_ends_with_the_fence(eci, make_client):
    client = make_client()
    asked, _ = request.create(EVERYTHING, client.settings)
    eci.be_silent(CREATE, 9)
    fence = Fence(asyncio.get_running_loop().time)
    fence.open_until(asyncio.get_running_loop().time() + 0.3)
    with pytest.raises((LeadershipLost, CloudError)):
        await FencedCalls(client, fence).call(asked)
    assert eci.count(CREATE) == 1
