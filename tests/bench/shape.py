"""What pods cost in requests, and how that grows: counted in virtual time, the same on every machine.

`python -m tests.bench.shape` records the figures that `test_shape` compares with; run it when they have become better,
or worse for a reason that the commit tells.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.control import pure_time
from tests.control.living_cloud import Life, LivingCloud
from tests.control.world import World

RECORDED = Path(__file__).parents[1] / "data" / "bench" / "shape.json"
BURST = 60
SIZES = (20, 250)  # a few, and far more than there are workers
HELD = (100, 200, 400)
_OURS = "/vk_provider/"

Figures = dict[str, Any]


class RecentCloud(LivingCloud):
    """Its incremental call tells of what changed in its window only, as a real one does."""

    def __init__(self, clock: Any, **lives: Life) -> None:
        super().__init__(clock, **lives)
        self.touched: dict[str, float] = {}

    def set(self, instance_id: str, **changes: object) -> None:
        self.touched[instance_id] = asyncio.get_running_loop().time()
        super().set(instance_id, **changes)

    async def changes(self, window_s: int) -> Any:
        return self._recent(await super().changes(window_s), window_s)

    async def events(self, window_s: int) -> Any:
        return self._recent(await super().events(window_s), window_s)

    def _recent(self, reports: Any, window_s: int) -> Any:
        since = asyncio.get_running_loop().time() - window_s
        return [each for each in reports if self.touched.get(each.id, 0.0) >= since]


def measure() -> Figures:
    return {
        "burst": pure_time.play(_burst()),
        "reconciles_to_running": {str(size): pure_time.play(_reconciles(size)) for size in SIZES},
        "jobs": pure_time.play(_jobs()),
        "idle_minute": pure_time.play(_idle_minute(HELD[0])),
        "one_change": {str(held): pure_time.play(_one_change(held)) for held in HELD},
    }


def _world(**lives: Life) -> World:
    world = World(kube_latency_s=0.005, cloud_latency_s=0.1)
    world.cloud = RecentCloud(world.now, **lives)
    return world


async def _burst() -> Figures:
    """Requests a pod, to Running and then from the deletion until it is gone."""
    world = _world()
    async with world.running(workers=96):
        await asyncio.sleep(1)
        before = _spent(world)
        await _add(world, BURST)
        up = _spent(world) - before
        await asyncio.sleep(100)
        before = _spent(world)
        for number in range(BURST):
            world.kube.delete_pod(f"p{number}")
        await world.until(lambda: not world.kube.pods() and not world.cloud.instances)
        down = _spent(world) - before
    return {"to_running": _each(up, BURST), "to_gone": _each(down, BURST)}


async def _reconciles(size: int) -> float:
    """How often a pod is reconciled until it runs."""
    world = _world()
    async with world.running(workers=96) as process:
        await asyncio.sleep(1)
        await _add(world, size)
        made = re.findall(r"^vk_reconcile_actions_total{.*} (\S+)$", process.metrics.exposition(), re.MULTILINE)
        return round(sum(map(float, made)) / size, 3)


async def _jobs() -> Figures:
    """Requests a pod of a Job, over its life."""
    world = _world(**{f"p{number}": Life(runs_s=20) for number in range(BURST)})
    async with world.running(workers=96):
        await asyncio.sleep(1)
        before = _spent(world)
        for number in range(BURST):
            world.kube.add_pod(f"p{number}")
        await world.until(lambda: world.statuses() == {"Succeeded": BURST})
        return _each(_spent(world) - before, BURST)


async def _idle_minute(held: int) -> Figures:
    world = _world()
    async with world.running(workers=96):
        await asyncio.sleep(1)
        await _add(world, held)
        await asyncio.sleep(300)
        before = _spent(world)
        await asyncio.sleep(600)
        return _each(_spent(world) - before, 10)


async def _one_change(held: int) -> Figures:
    """Requests and calls of our own functions for one pod more, with so many there already."""
    world = _world()
    async with world.running(workers=96):
        await asyncio.sleep(1)
        await _add(world, held)
        await asyncio.sleep(130)
        # Polls come by the clock, those for events less often: each measure begins right after one of either kind.
        for kind in ("events", "changes"):
            polled = world.cloud.calls.count(kind)
            await world.until(lambda kind=kind, polled=polled: world.cloud.calls.count(kind) > polled)
        before, calls = _spent(world), 0

        def count(frame: Any, event: str, _: object) -> None:
            nonlocal calls
            if event == "call" and _OURS in frame.f_code.co_filename:
                calls += 1

        sys.setprofile(count)
        try:
            world.kube.add_pod("more", policy="Always")
            await world.until(lambda: world.phase("more") == "Running")
            looks = world.cloud.calls.count("changes") - before["cloud changes"]
            # Told by a clock of its own: maybe before it runs, maybe after.
            await world.until(lambda: any(_is_of(event, "more") for event in world.kube.events("Started")))
        finally:
            sys.setprofile(None)
        spent = _spent(world) - before
        spent["cloud changes"] = looks
        del spent["cloud events"]
        return {"requests": _each(spent, 1), "function_calls": calls}


def _is_of(event: Any, pod: str) -> bool:
    return bool(event["involvedObject"]["name"] == pod)


async def _add(world: World, count: int) -> None:
    for number in range(count):
        world.kube.add_pod(f"p{number}", policy="Always")
    await world.until(lambda: world.statuses() == {"Running": count})


def _spent(world: World) -> Counter[str]:
    cloud = Counter(f"cloud {call.split()[0]}" for call in world.cloud.calls)
    return world.kube.counts() + cloud


def _each(spent: Counter[str], count: int) -> Figures:
    return {kind: round(number / count, 3) for kind, number in sorted(spent.items()) if number}


if __name__ == "__main__":
    RECORDED.parent.mkdir(parents=True, exist_ok=True)
    RECORDED.write_text(json.dumps(measure(), indent=1) + "\n")
    print(RECORDED.read_text())
