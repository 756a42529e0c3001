"""What the cloud allows a minute, under bursts that want much more: in virtual time, with the driver's own buckets."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right

from tests.control import pure_time
from tests.control.living_cloud import Life, LivingCloud
from tests.control.world import World
from vk_provider.cloud.eci.client import PER_MINUTE
from vk_provider.pacing.sliding_window import Limits, SlidingWindowLimiter

MINUTE_S = 60.0
SCALED = {"CreateContainerGroup": 100, "DeleteContainerGroup": 100}  # a tenth of what ECI allows


class RationedCloud(LivingCloud):
    """A cloud behind the driver's own rate limits. sent: when each call left, by action."""

    def __init__(self, clock) -> None:
        super().__init__(clock)
        self.touched: dict[str, float] = {}
        self.limits = Limits(SCALED, default=500)
        self.sent: dict[str, list[float]] = {"CreateContainerGroup": [], "DeleteContainerGroup": []}

    def life_of(self, name):
        return Life(starts_s=5.0, stop_s=0.5, gone_s=1.0)

    async def _pass(self, action: str) -> None:
        await self.limits.bucket(action).acquire()
        self.sent[action].append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.1)

    async def create(self, workload):
        await self._pass("CreateContainerGroup")
        return await super().create(workload)

    async def delete(self, instance_id, *, force=False):
        await self._pass("DeleteContainerGroup")
        return await super().delete(instance_id, force=force)

    async def changes(self, window_s):
        """Of the whole cloud only what moves or has just begun to run, as an incremental call does."""
        return self._recent(await super().changes(window_s), window_s)

    async def events(self, window_s):
        return self._recent(await super().events(window_s), window_s)

    def _recent(self, reports, window_s):
        recent = asyncio.get_running_loop().time() - window_s
        return [each for each in reports if self.touched.get(each.id, 0.0) >= recent]

    def set(self, instance_id, **changes):
        self.touched[instance_id] = asyncio.get_running_loop().time()
        super().set(instance_id, **changes)


def most_in_a_minute(times: list[float]) -> int:
    line = sorted(times)
    return max(bisect_right(line, at + MINUTE_S) - bisect_left(line, at) for at in line)


def rationed() -> World:
    world = World(kube_latency_s=0.01)
    world.cloud = RationedCloud(world.now)
    return world


async def drained(world: World, count: int) -> None:
    """A call that waits for its turn cannot be cut off in this world: the story ends when there is none."""
    await world.until(lambda: len(world.cloud.created) == count)
    await asyncio.sleep(1)


def test_ten_thousand_creates_leave_in_the_time_that_the_published_limit_dictates() -> None:
    """1,000 a minute: the first thousand at once, then a thousand each minute."""

    async def story() -> list[float]:
        bucket, sent = SlidingWindowLimiter(PER_MINUTE["CreateContainerGroup"]), []

        async def create() -> None:
            await bucket.acquire()
            sent.append(asyncio.get_running_loop().time())

        await asyncio.gather(*(create() for _ in range(10_000)))
        return sent

    sent = pure_time.play(story())
    dictated_s = 9 * MINUTE_S
    assert dictated_s <= sent[-1] <= dictated_s * 1.05
    assert most_in_a_minute(sent) <= 1000


def test_pods_arrive_in_the_time_that_the_limit_dictates() -> None:
    async def story() -> tuple[World, float]:
        world = rationed()
        async with world.running(workers=96):
            await asyncio.sleep(1)
            began_s = world.time_s
            for number in range(500):
                world.kube.add_pod(f"p{number}", policy="Always")
            await world.until(lambda: len(world.cloud.created) == 500)
            took_s = world.time_s - began_s
            await world.until(lambda: world.statuses() == {"Running": 500}, within_s=15)
        return world, took_s

    world, took_s = pure_time.play(story())
    dictated_s = 4 * MINUTE_S
    assert dictated_s <= took_s <= dictated_s * 1.05
    assert most_in_a_minute(world.cloud.sent["CreateContainerGroup"]) <= 100
    assert world.complaints() == []


def test_while_others_wait_for_their_turn_what_runs_is_told_at_once_and_what_goes_goes() -> None:
    async def story() -> float:
        world = rationed()
        async with world.running(workers=96):
            await asyncio.sleep(1)
            for number in range(200):
                world.kube.add_pod(f"p{number:03}", policy="Always")
            await world.until(lambda: len(world.cloud.created) == 100)
            await asyncio.sleep(12)  # 5 s to start, a look every 2 s
            assert world.statuses()["Running"] == 100
            assert len(world.cloud.created) == 100, "the others still wait"
            began_s = world.time_s
            name = world.cloud.created[0].owner.name
            world.kube.delete_pod(name)
            await world.until(lambda: world.phase(name) == "gone")
            took_s = world.time_s - began_s
            await drained(world, 200)
        return took_s

    assert pure_time.play(story()) < 5.0


def test_a_namespace_with_many_does_not_keep_the_others_waiting_nor_the_urgent() -> None:
    async def story() -> list[str]:
        world = rationed()
        async with world.running(workers=24):
            await asyncio.sleep(1)
            for number in range(200):
                world.kube.add_pod(f"b{number}", namespace="big", policy="Always")
            await world.until(lambda: len(world.cloud.created) >= 100)
            for number in range(10):
                world.kube.add_pod(f"s{number}", namespace="small", policy="Always")
                world.kube.add_pod(f"u{number}", namespace="big", policy="Always", spec={"priority": 1000})
            await drained(world, 220)
        return [each.owner.name for each in world.cloud.created][100:]

    order = pure_time.play(story())
    places = {kind: [place for place, name in enumerate(order) if name.startswith(kind)] for kind in "us"}
    in_hand = 24 // 2  # these had their turn already
    assert [len(places[kind]) for kind in "us"] == [10, 10]
    assert max(places["u"]) < 2 * in_hand + 10
    assert max(places["s"]) < 2 * in_hand + 10 + 2 * 10, (
        "every second turn is theirs; first come, they would be the last of 120"
    )


def test_deletions_keep_within_their_limit_too() -> None:
    async def story() -> World:
        world = rationed()
        async with world.running(workers=96):
            await asyncio.sleep(1)
            for number in range(150):
                world.kube.add_pod(f"p{number}", policy="Always")
            await world.until(lambda: world.statuses() == {"Running": 150})
            for number in range(150):
                world.kube.delete_pod(f"p{number}")
            await world.until(lambda: not world.kube.pods() and not world.cloud.instances, within_s=1200)
        return world

    world = pure_time.play(story())
    assert most_in_a_minute(world.cloud.sent["DeleteContainerGroup"]) <= 100
    assert world.complaints() == []
