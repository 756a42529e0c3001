"""The loop that asks what instances use: whose turn it is, how much it asks, what it does with a cloud that fails."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.control import pure_time
from vk_provider.errors import CloudUnavailable
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.usage_poller import SETTLE_S, UsagePoller
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind
from vk_provider.model.usage import ContainerUsage, InstanceUsage

RUNS, WAITS = ContainerState(StateKind.RUNNING), ContainerState(StateKind.WAITING)


def instance(
    name: str, *, status: InstanceStatus = InstanceStatus.RUNNING, state: ContainerState = RUNS, restarts: int = 0
) -> Instance:
    reports = (ContainerReport("app", state, restart_count=restarts),)
    return Instance(name, Owner(uid=f"uid-{name}"), status, containers=reports)


class World:
    """calls: (second, ids) of each question. taken: (second, ids) of what was handed on."""

    def __init__(self, asked_s: float = math.inf) -> None:
        self.calls: list[tuple[float, list[str]]] = []
        self.taken: list[tuple[float, list[str]]] = []
        self.kept: Collection[str] | None = None
        self.failing = False
        self.without_figures: set[str] = set()
        self.takes_s = 0.0
        self.store = InstanceCache(lambda uid: self.loop.wake())
        self.loop = UsagePoller(
            cloud=self, store=self.store, take=self._take, keep=self._keep, jitter=lambda: 0.0, asked_s=asked_s
        )

    async def usage(self, instance_ids: Sequence[str]) -> Mapping[str, InstanceUsage]:
        self.calls.append((now(), list(instance_ids)))
        await asyncio.sleep(self.takes_s)
        if self.failing:
            raise CloudUnavailable("down")
        one = InstanceUsage("2024-01-02T03:04:05.000Z", containers={"app": ContainerUsage()})
        return {each: one for each in instance_ids if each not in self.without_figures}

    def _take(self, found: Sequence[tuple[Instance, InstanceUsage]]) -> None:
        self.taken.append((now(), [each.id for each, _ in found]))

    def _keep(self, ids: Collection[str]) -> None:
        self.kept = ids

    def times(self, instance_id: str) -> list[float]:
        return [at for at, ids in self.calls if instance_id in ids]

    @asynccontextmanager
    async def running(self):
        self.loop.keep_polling()
        task = asyncio.create_task(self.loop.run())
        yield self
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def now() -> float:
    return round(asyncio.get_running_loop().time(), 3)


def play(scene: Callable[[World], object]) -> World:
    async def main() -> World:
        world = World()
        async with world.running():
            await scene(world)
        return world

    return pure_time.play(main())


# --- whose turn -------------------------------------------------------------------------------------------------------


def test_a_new_instance_is_asked_about_at_once_and_then_every_round() -> None:
    async def scene(world: World) -> None:
        await asyncio.sleep(7)
        world.store.put(instance("a"))
        await asyncio.sleep(50)

    world = play(scene)
    assert world.times("a") == [7.1, 27.2, 47.3]
    assert [ids for _, ids in world.taken if ids] == [["a"]] * 3


@pytest.mark.parametrize(
    "given",
    [
        instance("a", status=InstanceStatus.PENDING),
        instance("a", status=InstanceStatus.SUCCEEDED),
        instance("a", status=InstanceStatus.TERMINATING),
        instance("a", state=WAITS),
    ],
)
def test_what_does_not_run_is_not_asked_about(given: Instance) -> None:
    async def scene(world: World) -> None:
        world.store.put(given)
        await asyncio.sleep(100)

    world = play(scene)
    assert world.calls == []
    assert len(world.taken) > 5  # that there is nothing is known, too


def test_a_container_that_has_started_anew_is_asked_about_at_once() -> None:
    async def scene(world: World) -> None:
        world.store.put(instance("a"))
        await asyncio.sleep(5)
        world.store.put(instance("a", state=WAITS))
        await asyncio.sleep(5)
        world.store.put(instance("a", restarts=1))
        await asyncio.sleep(5)

    assert play(scene).times("a") == [0, 10.1]


def test_an_instance_without_figures_is_asked_about_again_soon_but_ever_less_often() -> None:
    async def scene(world: World) -> None:
        world.without_figures = {"a"}
        world.store.put(instance("a"))
        await asyncio.sleep(75)

    times = play(scene).times("a")
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert gaps == pytest.approx([2, 4, 8, 16, 20, 20], abs=0.5)


def test_who_is_gone_is_no_longer_asked_about() -> None:
    async def scene(world: World) -> None:
        world.store.put(instance("a"))
        world.store.put(instance("b"))
        await asyncio.sleep(5)
        world.store.remove("a")
        await asyncio.sleep(40)
        assert list(world.kept or ()) == ["b"]
        world.store.remove("b")
        await asyncio.sleep(40)

    world = play(scene)
    assert world.times("a") == [0]
    assert list(world.kept or ()) == []


# --- how much ---------------------------------------------------------------------------------------------------------


def test_few_instances_share_one_call() -> None:
    async def scene(world: World) -> None:
        for number in range(18):
            world.store.put(instance(f"i{number}"))
            await asyncio.sleep(0.9)
        await asyncio.sleep(200)
        world.calls.clear()
        await asyncio.sleep(100)

    world = play(scene)
    assert len(world.calls) <= 20  # in five rounds
    assert {each for _, ids in world.calls for each in ids} == {f"i{number}" for number in range(18)}


@pytest.mark.parametrize(("pods", "round_s"), [(2000, 24), (5000, 60)])
def test_about_half_of_what_the_cloud_allows_and_no_more(pods: int, round_s: float) -> None:
    async def scene(world: World) -> None:
        for number in range(pods):
            world.store.put(instance(f"i{number}"))
        await asyncio.sleep(150)

    world = play(scene)
    spent = [(at, -(-len(ids) // 20)) for at, ids in world.calls]
    for start in range(0, 100, 10):
        assert sum(calls for at, calls in spent if start <= at < start + 60) <= 255
    assert all(len(ids) <= 100 for _, ids in world.calls)
    times = world.times("i0")
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert max(gaps) <= 1.35 * round_s
    assert {each for _, ids in world.calls for each in ids} == {f"i{number}" for number in range(pods)}


# --- a cloud that fails -----------------------------------------------------------------------------------------------


def test_a_cloud_that_fails_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(world: World) -> None:
        world.store.put(instance("a"))
        await asyncio.sleep(5)
        world.failing = True
        await asyncio.sleep(300)
        world.failing = False
        await asyncio.sleep(100)

    caplog.set_level("INFO")
    world = play(scene)
    assert [record.getMessage().split(":")[0] for record in caplog.records if "figures" in record.getMessage()] == [
        "no figures of what pods use",
        "figures of what pods use come again",
    ]
    assert 5 <= len([at for at in world.times("a") if 5 < at < 305]) <= 12
    assert not [at for at, _ in world.taken if 5 < at < 305]
    assert [ids for at, ids in world.taken if at > 305]


# --- waiting for the first figures ------------------------------------------------------------------------------------


def test_settle_waits_for_new_instances_only() -> None:
    async def scene(world: World) -> None:
        await world.loop.settle()
        assert now() == 0
        world.store.put(instance("a"))
        await world.loop.settle()
        assert now() <= 0.2
        assert world.times("a")
        asked_at = now()
        await world.loop.settle()
        assert now() == asked_at

    play(scene)


def test_settle_does_not_wait_for_long() -> None:
    async def scene(world: World) -> None:
        world.takes_s = 10
        world.store.put(instance("a"))
        await world.loop.settle()
        assert now() == SETTLE_S

    play(scene)


def test_settle_does_not_wait_for_a_cloud_that_fails() -> None:
    async def scene(world: World) -> None:
        world.failing = True
        world.store.put(instance("a"))
        await asyncio.sleep(1)
        world.store.put(instance("b"))
        began = now()
        await world.loop.settle()
        assert now() == began

    play(scene)


def test_a_change_that_leaves_all_running_as_it_was_costs_no_call() -> None:
    async def scene(world: World) -> None:
        world.store.put(instance("a"))
        await asyncio.sleep(1)
        for number in range(10):
            world.store.put(replace(instance("a"), ip=f"10.0.0.{number}"))
            await asyncio.sleep(1)

    assert len(play(scene).calls) == 1


# --- who asks ---------------------------------------------------------------------------------------------------------


def test_where_nobody_reads_the_figures_the_cloud_is_not_asked_for_them() -> None:
    async def main() -> World:
        world = World(asked_s=60)
        async with world.running():
            world.store.put(instance("a"))
            await asyncio.sleep(1000)
            await world.loop.settle()
            await asyncio.sleep(1000)
        return world

    asked = pure_time.play(main()).times("a")
    assert [time for time in asked if 70 < time < 1000] == []
    assert asked[:3] == [0.0, 20.1, 40.2]
    assert [round(time - 1000) for time in asked if time >= 1000] == [0, 20, 40]
