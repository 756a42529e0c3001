"""Bad neighbours: tenants, servers and clouds that are not broken but hostile or mad, while honest pods come and go."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
from collections.abc import Mapping

from tests.chaos import hostile
from tests.chaos.hostile import HURTS, SIZES
from tests.chaos.virtual.faults import CALLS, Fault, _for_a_while, _is
from tests.chaos.virtual.loop import LIFE, Life
from tests.chaos.virtual.wire import CLOUD, Accident
from tests.chaos.virtual.world import VirtualWorld
from tests.control.world import Fate, Process
from vk_provider.errors import CloudUnavailable, KubeUnavailable

NAMESPACE = "hostile"
PORT = 8080


async def hostile_tenant(world: VirtualWorld, dice: random.Random) -> str:
    """Some pods, which go again or stay; and an honest one with a probe comes soon after."""
    made = []
    for _ in range(dice.randint(1, 4)):
        hurt, name = dice.choice(HURTS), f"hostile-{len(world.hostile)}"
        spec = {"containers": [{"name": "hostile0", "image": "perl"}]}
        hurt(spec, dice, SIZES[world.sizes])
        if hurt is hostile.long_probes:
            world.hanging |= {each["name"] for each in spec["containers"]}
        policy = dice.choice(("Always", "Never"))
        world.hostile.add(world.kube.add_pod(name, namespace=NAMESPACE, policy=policy, spec=spec))
        made.append(f"{name} {hurt.__name__}")
    await asyncio.sleep(dice.uniform(0.0, 10.0))
    probe = {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 2}
    probed = {"name": "main", "image": "perl", "readinessProbe": probe}
    world.probed += 1
    world.kube.add_pod(f"probed{world.probed}", policy="Always", spec={"containers": [probed]})
    if dice.random() < 0.5:
        await asyncio.sleep(dice.uniform(1.0, 60.0))
        for each in made:
            if world.kube.pod(each.split()[0], NAMESPACE) is not None:
                world.kube.delete_pod(each.split()[0], grace_s=dice.choice((0, 30)), namespace=NAMESPACE)
    return ", ".join(made)


async def malformed_objects(world: VirtualWorld, dice: random.Random) -> str:
    """Between the items of lists and the lines of watches stands what is none."""
    seconds, chance = dice.uniform(2.0, 40.0), dice.choice((0.05, 0.3, 1.0))
    world.malformed.append((chance, random.Random(dice.random())))
    if dice.random() < 0.5:
        for each in list(world.watches):
            each.cut(KubeUnavailable("reset"))
    with world.trouble():
        await asyncio.sleep(seconds)
    world.malformed.pop()
    return f"{chance:.0%} of items and lines had a malformed one before them for {seconds:.1f} s"


async def versions_go_back(world: VirtualWorld, dice: random.Random) -> str:
    """The server is restored from a backup: its versions begin at an older one, and pods are gone without a word."""
    names = [pod["metadata"] for pod in world.kube.pods()]
    lost = dice.sample(names, min(len(names), dice.randint(0, 3)))
    with world.trouble():
        for each in list(world.watches):
            each.cut(KubeUnavailable("connection refused"))
        world.kube.restore([(each["namespace"], each["name"]) for each in lost], back=dice.randint(1, 2000))
        await asyncio.sleep(30.0)  # until it is clear that no member merely lags behind
    return f"restored, without {', '.join(each['uid'] for each in lost) or 'a loss'}"


async def cloud_hangs(world: VirtualWorld, dice: random.Random) -> str:
    """It takes every request, and is silent."""
    call, seconds = dice.choice(("", "", *CALLS)), dice.uniform(20.0, 120.0)
    silent = Accident(CLOUD, _is(call), 1.0, lambda: CloudUnavailable("too late"), slow_s=3600.0)
    await _for_a_while(world, seconds, silent)
    return f"{call or 'everything'} was not answered for {seconds:.1f} s"


async def create_lies(world: VirtualWorld, dice: random.Random) -> str:
    """Creates are answered with the id of another pod's instance."""
    seconds = dice.uniform(5.0, 60.0)
    world.cloud.lies = random.Random(dice.random())
    with world.trouble():
        await asyncio.sleep(seconds)
    world.cloud.lies = None
    return f"creates were answered with others' ids for {seconds:.1f} s"


async def cloud_clock_hours_off(world: VirtualWorld, dice: random.Random) -> str:
    """There and back, or for good. What it stamps hours ago looks like what the API server has forgotten."""
    hours = dice.choice((-1, 1)) * dice.uniform(1.0, 12.0)
    began_s = world.time_s
    world.skew_s += hours * 3600.0
    world.skewed_back |= hours < 0
    if dice.random() < 0.5:
        world.cloud.withheld.append((began_s, math.inf))
        return f"the cloud's clock is off by {hours:.1f} h"
    await asyncio.sleep(dice.uniform(1.0, 60.0))
    world.skew_s -= hours * 3600.0
    world.cloud.withheld.append((began_s, world.time_s))
    return f"the cloud's clock was off by {hours:.1f} h for a while"


async def rival(world: VirtualWorld, dice: random.Random) -> str:
    """A second provider on the same node's name, by mistake; it ends as by kill -9."""
    seconds, life = dice.uniform(5.0, 90.0), Life()
    context = contextvars.copy_context()
    context.run(LIFE.set, life)
    world.rivals += 1
    noise = random.Random(dice.random())
    with world.trouble():
        process = context.run(lambda: Process(world, Fate(), workers=4, jitter=noise.random))
        await asyncio.wait([process.task], timeout=seconds)
        if process.task.done():
            world.crashed.append(f"the second provider ended by itself: {process.task.exception()!r}")
            return "ended by itself"
        ending = asyncio.ensure_future(process.end())
        while not ending.done():
            await asyncio.wait([ending], timeout=1.0)
            await life.end()
        ending.result()
    return f"a second provider ran for {seconds:.1f} s"


NEIGHBOURS: Mapping[Fault, int] = {
    hostile_tenant: 4,
    malformed_objects: 2,
    versions_go_back: 1,
    cloud_hangs: 1,
    create_lies: 2,
    cloud_clock_hours_off: 1,
    rival: 1,
}
"""Weights: how often each comes, against the others."""

ONE_OF_A_KIND = frozenset({create_lies, malformed_objects, rival, versions_go_back})


def drawn(dice: random.Random, *, lasts_s: float) -> list[tuple[float, Fault, int]]:
    """When, what, and the seed of how."""
    picked = dice.choices(list(NEIGHBOURS), list(NEIGHBOURS.values()), k=dice.randint(1, 5))
    return [(dice.uniform(0.0, lasts_s), neighbour, dice.randrange(2**32)) for neighbour in picked]
