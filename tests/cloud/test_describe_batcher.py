"""Many askers, few calls."""

from __future__ import annotations

import asyncio

import pytest

from tests.control import pure_time
from vk_provider.cloud.eci.describe_batcher import DescribeBatcher
from vk_provider.errors import CloudUnavailable
from vk_provider.model.instance import Instance, InstanceStatus, Owner


class Cloud:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.is_down = False

    async def describe(self, ids):
        self.calls.append(list(ids))
        await asyncio.sleep(1)
        if self.is_down:
            raise CloudUnavailable("down")
        return {id_: Instance(id_, Owner(), InstanceStatus.RUNNING) for id_ in ids if id_ != "gone"}


def test_askers_of_one_moment_share_a_call():
    async def main() -> Cloud:
        cloud = Cloud()
        lookup = DescribeBatcher(cloud.describe)
        found = await asyncio.gather(*(lookup.get(id_) for id_ in ("a", "b", "gone", "a")))
        assert [one and one.id for one in found] == ["a", "b", None, "a"]
        return cloud

    assert pure_time.play(main()).calls == [["a", "b", "gone"]]


def test_who_asks_while_a_call_is_out_gets_an_answer_fetched_afterwards():
    async def main() -> Cloud:
        cloud = Cloud()
        lookup = DescribeBatcher(cloud.describe)
        first = asyncio.create_task(lookup.get("a"))
        await asyncio.sleep(0.5)
        await lookup.get("a")
        await first
        return cloud

    assert pure_time.play(main()).calls == [["a"], ["a"]]


def test_one_who_leaves_does_not_take_the_others_along():
    async def main() -> None:
        lookup = DescribeBatcher(Cloud().describe)
        first, second = asyncio.create_task(lookup.get("a")), asyncio.create_task(lookup.get("b"))
        await asyncio.sleep(0.5)
        first.cancel()
        found = await second
        assert found is not None
        assert found.id == "b"

    pure_time.play(main())


def test_a_failure_is_told_and_the_next_asks_again():
    async def main() -> None:
        cloud = Cloud()
        lookup = DescribeBatcher(cloud.describe)
        cloud.is_down = True
        with pytest.raises(CloudUnavailable):
            await lookup.get("a")
        cloud.is_down = False
        assert await lookup.get("a") is not None

    pure_time.play(main())
