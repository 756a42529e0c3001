"""A burst of pods for a size that is sold out: the cloud is asked now and then, not by every pod."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.cloud.workloads import SETTINGS
from tests.control import pure_time
from tests.control.living_cloud import LivingCloud
from tests.control.world import World
from tests.thorough import THOROUGH, thorough
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.sold_out_cache import SoldOutCache
from vk_provider.errors import OutOfCapacity

pytestmark = thorough
PODS, WORKERS = (300 if THOROUGH else 120), 8
SPECS = "k8s.aliyun.com/eci-use-specs"


class Counter:
    """The counter of the cloud: sells what is in stock. asked: when, and for what."""

    def __init__(self) -> None:
        self.sold_out = {"2.0-4.0"}
        self.asked: list[tuple[float, str]] = []

    async def call(self, asked: Any) -> Any:
        given = {**asked.query, **asked.body}
        what = f"{float(given['Cpu'])}-{float(given['Memory'])}"
        self.asked.append((asyncio.get_running_loop().time(), what))
        await asyncio.sleep(0.3)
        if what in self.sold_out:
            raise OutOfCapacity("none left", code="OperationDenied.NoStock", request_id="r")
        return {"RequestId": "r", "ContainerGroupId": f"eci-{len(self.asked)}"}

    def times(self, what: str) -> list[float]:
        return [at for at, each in self.asked if each == what]


class SellingCloud(LivingCloud):
    """Instances of memory, once the driver has got one at the counter."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.counter: Any = Counter()
        self._driver = EciCloud(SETTINGS, self.counter)

    async def create(self, workload: Any) -> Any:
        await self._driver.create(workload)
        return await super().create(workload)


async def burst(world: World, **annotations: str) -> None:
    """Of pods made while the provider runs: one that it finds at its start may have been sent before, so it asks."""
    await asyncio.sleep(1)
    for number in range(PODS):
        world.kube.add_pod(f"p{number}", annotations=annotations, policy="Always")


def test_a_burst_asks_once_per_cool_down_and_all_run_once_there_is_stock_again():
    async def story() -> None:
        world = World()
        world.cloud = SellingCloud(world.now)
        counter = world.cloud.counter
        async with world.running(workers=WORKERS):
            await burst(world)
            await asyncio.sleep(600)
            asked = counter.times("2.0-4.0")
            first = [at for at in asked if at < 6]
            later = [at for at in asked if at >= 6]
            assert len(first) <= WORKERS, "those that were under way before the first answer"
            assert len(later) <= 10, f"10, 20, 40, 80, then each 120 s; asked at {later}"
            assert later, "it is asked again"
            assert world.statuses() == {"Pending": PODS}
            told = {event["involvedObject"]["name"] for event in world.kube.events("NoStock")}
            assert len(told) == PODS, "each pod's owner reads why"
            counter.sold_out.clear()
            await world.until(lambda: world.statuses() == {"Running": PODS}, within_s=300)
        assert world.complaints() == []

    pure_time.play(story())


def test_what_is_sold_out_for_moments_is_asked_for_again_soon_however_many_heard_so_at_once():
    """Chaos seed 30054: five answers within two seconds were five steps of the back-off, and all waited two minutes."""

    async def story() -> None:
        world = World()
        world.cloud = SellingCloud(world.now)
        async with world.running(workers=96):
            await burst(world)
            await asyncio.sleep(4)
            world.cloud.counter.sold_out.clear()
            await world.until(lambda: world.statuses() == {"Running": PODS}, within_s=20)

    pure_time.play(story())


def test_a_burst_with_a_second_choice_goes_there_without_asking_for_the_first_again():
    async def story() -> None:
        world = World()
        world.cloud = SellingCloud(world.now)
        async with world.running(workers=WORKERS):
            await burst(world, **{SPECS: "2-4Gi,4-8Gi"})
            await world.until(lambda: world.statuses() == {"Running": PODS}, within_s=300)
        counter = world.cloud.counter
        assert len(counter.times("4.0-8.0")) == PODS
        assert len(counter.times("2.0-4.0")) <= WORKERS + 4
        assert world.complaints() == []

    pure_time.play(story())


def test_who_asks_out_of_turn_neither_shortens_the_wait_nor_adds_to_it():
    """One that may have been sent before always asks, whatever is known of the stock."""
    now = 0.0
    memory, place, none_left = SoldOutCache(lambda: now), ("2.0-4.0",), OutOfCapacity("none left")
    memory.sold_out(place, none_left, asked_s=memory.check(place))
    assert memory.wait_s(place) == 10
    for now in (1.0, 2.0, 9.0):
        asked_s = memory.check(place)
        assert memory.wait_s(place) >= 10 - now
        memory.sold_out(place, none_left, asked_s=asked_s)
        assert memory.wait_s(place) == 10 - now
    now = 10.0
    assert memory.wait_s(place) == 0
    memory.sold_out(place, none_left, asked_s=memory.check(place))
    assert memory.wait_s(place) == 20
