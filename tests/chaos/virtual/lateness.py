"""How late honest pods run beside one kind of bad neighbour, against none: bound to Running, on virtual time.

A neighbour that takes nothing away may not be noticed: at most TIMES as late. One that takes something away may be for
as long as that lasts, and for as long as what was asked meanwhile is waited for; not for a second more.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Collection, Mapping

from tests.chaos.virtual import neighbours
from tests.chaos.virtual.cloud import Course
from tests.chaos.virtual.faults import Fault
from tests.chaos.virtual.loop import StoppableLoop
from tests.chaos.virtual.wire import CLOUD_TIMEOUT_S
from tests.chaos.virtual.world import VirtualWorld
from tests.control.pure_time import play

TIMES = 2.0
PODS, EVERY_S = 60, 1.0
STARTS_S, REST_S = 5.0, 150.0
COURSE = Course(starts_s=0.5, pull_s=0.5)
RETRY_S = 8.0  # the longest delay of a create that failed a few times
NOT_AWAY = None
AWAY_S: Mapping[Fault, float | None] = {
    neighbours.hostile_tenant: NOT_AWAY,
    neighbours.malformed_objects: NOT_AWAY,
    neighbours.create_lies: NOT_AWAY,
    neighbours.cloud_clock_hours_off: NOT_AWAY,
    neighbours.rival: NOT_AWAY,
    neighbours.versions_go_back: 0.0,
    neighbours.cloud_hangs: CLOUD_TIMEOUT_S + RETRY_S,
}
"""By kind: how long after its trouble an honest pod may still be waiting for what was asked during it."""


def complaints(seed: int) -> list[str]:
    """Of the kind that this seed draws."""
    kind = random.Random(seed).choice(list(AWAY_S))
    alone_s, beside_s = p99_s(seed), p99_s(seed, kind)
    if beside_s <= TIMES * alone_s:
        return []
    return [f"beside {kind.__name__} honest pods run {beside_s:.2f} s after they were bound, alone {alone_s:.2f} s"]


def p99_s(seed: int, neighbour: Fault | None = None) -> float:
    """Of honest pods beside this neighbour, who comes again and again, without the time that it excuses."""
    took = sorted(play(_beside(seed, neighbour), loop=StoppableLoop))
    return took[math.ceil(len(took) * 0.99) - 1]


async def _beside(seed: int, neighbour: Fault | None) -> list[float]:
    dice = random.Random(seed)
    world = VirtualWorld(random.Random(dice.random()))
    living = world.spawn(world.keep_alive())
    await asyncio.sleep(STARTS_S)
    coming = world.spawn(_come(world, neighbour, dice))
    came: dict[str, float] = {}
    for number in range(PODS):
        world.cloud.courses["web", f"web{number}"] = COURSE
        came[world.kube.add_pod(f"web{number}", namespace="web", policy="Always", spec={})] = world.time_s
        await asyncio.sleep(EVERY_S)
    await coming
    await asyncio.sleep(REST_S)
    excused = _excused(world, neighbour)
    runs = world.kube.running_s
    lost = world.kube.gone.keys() - runs.keys()  # with a backup that is older
    late = [_calm_s(at_s, runs.get(uid, math.inf), excused) for uid, at_s in came.items() if uid not in lost]
    await world.close()
    await living
    return late


async def _come(world: VirtualWorld, neighbour: Fault | None, dice: random.Random) -> None:
    while neighbour is not None and world.time_s < STARTS_S + PODS * EVERY_S:
        await neighbour(world, random.Random(dice.randrange(2**32)))
        await asyncio.sleep(dice.uniform(1.0, 10.0))


def _excused(world: VirtualWorld, neighbour: Fault | None) -> list[tuple[float, float]]:
    longer_s = NOT_AWAY if neighbour is None else AWAY_S[neighbour]
    return [] if longer_s is None else [(began, over + longer_s) for began, over in world.troubled]


def _calm_s(start: float, end: float, excused: Collection[tuple[float, float]]) -> float:
    """Seconds from start to end in which nothing was away."""
    calm, at = 0.0, start
    for began, over in sorted(excused):
        calm += max(0.0, min(began, end) - at)
        at = max(at, over)
    return calm + max(0.0, end - at)
