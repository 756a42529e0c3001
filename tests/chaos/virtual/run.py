"""One seed: its story and its faults on the virtual stage, then calm, then the audit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from tests.chaos.auditor import Evidence, complaints
from tests.chaos.virtual import faults, neighbours, story
from tests.chaos.virtual.loop import StoppableLoop
from tests.chaos.virtual.world import ErrorLog, VirtualWorld
from tests.control.pure_time import play as play_in_no_time
from vk_provider.model import pod as pods

TROUBLE_S = 150.0
CALM_S = 400.0
"""More than the longest delay that trouble can leave behind, which is that of a create: 150 s; with another try to
place an instance (25 s at most after two), the longest start, program and stop, and two full counts of the sweep."""
MOST_HELD_S = 0.5
"""Of CPU, by one step of the provider; the rule is a tenth of it, the rest is for machines that are slow and busy."""
OWED_S = 60.0
"""An event that could be read for so long in the calm has been told: looks at events are 22 s apart at most."""


@dataclass(frozen=True)
class Outcome:
    """said: when and what, the story. facts: figures of it. evidence: what the auditor read."""

    seed: int
    complaints: list[str]
    said: list[str]
    facts: Mapping[str, int]
    evidence: Evidence


def play(seed: int, *, beside: bool = False, sizes: str = "modest") -> Outcome:
    """The same seed is the same story, to the last await. beside: with bad neighbours, of these `sizes`."""
    with ErrorLog() as log:
        return play_in_no_time(_played(seed, log, beside, sizes), loop=StoppableLoop)


async def _played(seed: int, log: ErrorLog, beside: bool, sizes: str) -> Outcome:
    dice = random.Random(seed)
    world = VirtualWorld(random.Random(dice.random()), sizes=sizes)
    deeds = story.deeds(dice, lasts_s=TROUBLE_S)
    troubles = faults.drawn(dice, lasts_s=TROUBLE_S)
    if beside:
        troubles += neighbours.drawn(dice, lasts_s=TROUBLE_S)
    world.loop.set_exception_handler(lambda _, context: log.take(context))
    living = world.spawn(world.keep_alive())
    kinds = {each: asyncio.Lock() for each in faults.ONE_OF_A_KIND | neighbours.ONE_OF_A_KIND}
    await asyncio.gather(
        *(story.befalls(world, each) for each in deeds), *(_trouble(world, kinds, *each) for each in troubles)
    )
    world.say("calm")
    await asyncio.sleep(CALM_S)
    evidence = _evidence(world)
    # What was changed is the auditor's to judge; of two providers one may be refused what the other has overtaken.
    known = ("and was changed", *(["refused: 4"] if world.rivals else []))
    wrongs = [each for each in world.kube.wrongs if not any(word in each for word in known)]
    found = [*world.crashed, *wrongs, *_errors(world, log), *complaints(evidence), *_leaks(world), *_held(world)]
    await world.close()
    await living
    return Outcome(
        seed,
        found,
        [f"{at_s:8.2f} s  {text}" for at_s, text in sorted(world.said, key=lambda each: each[0])],
        _facts(world),
        evidence,
    )


async def _trouble(
    world: VirtualWorld, kinds: Mapping[faults.Fault, asyncio.Lock], at_s: float, fault: faults.Fault, seed: int
) -> None:
    await asyncio.sleep(at_s)
    async with world.alone if fault in faults.ONE_AT_A_TIME else kinds.get(fault, nullcontext()):
        began_s = world.time_s
        what = await fault(world, random.Random(seed))
    world.said.append((began_s, f"{fault.__name__}: {what}"))


def _leaks(world: VirtualWorld) -> list[str]:
    """What the provider still remembers of pods that are no more."""
    live = {pod["metadata"]["uid"] for pod in world.kube.pods()}
    return [f"the provider remembers pod {uid}, which is gone" for uid in world.remembered if uid not in live]


def _errors(world: VirtualWorld, log: ErrorLog) -> list[str]:
    """A cloud that lies is the one trouble that is rightly called an error."""
    return [each for each in log.lines if not (world.cloud.lied and "the answer names instance=" in each)]


def _held(world: VirtualWorld) -> list[str]:
    """One pod may not stop all others."""
    longest = world.loop.longest_s
    return [f"the loop was held for {longest:.2f} s of CPU by {world.loop.held_by}"] if longest > MOST_HELD_S else []


def _evidence(world: VirtualWorld) -> Evidence:
    cloud, kube = world.cloud, world.kube
    extra: dict[str, int] = {}
    for each in sorted(cloud.planted):
        uid = cloud.ever[each].owner.uid
        extra[uid] = extra.get(uid, 0) + 1
    owed = [
        (uid, {"reason": each.reason, "message": each.message, "at": each.first_at, "count": each.count})
        for uid, noted in _noted(world)
        for each in cloud.told_by(noted, world.time_s - OWED_S)
    ]
    return Evidence(
        statuses=kube.statuses,
        names=kube.names,
        pods=kube.pods(),
        jobs=(),
        deployments=(),
        events=kube.events(),
        live_groups=cloud.groups(list(cloud.instances)),
        groups_ever=cloud.groups(list(cloud.ever)),
        journal=cloud.journal,
        exit_codes=story.EXIT_CODES,
        init_exit_codes=story.INIT_EXIT_CODES,
        crash_codes=story.CRASH_CODES,
        disruptions=len(world.disrupted),
        disrupted=frozenset(world.disrupted),
        hostile=frozenset(world.hostile),
        rivals=world.rivals,
        deleted=frozenset(kube.deleted),
        extra=extra,
        starts=cloud.starts,
        owed=owed,
        unheard=_unheard(world),
        ended=kube.ended,
        troubled=world.troubled,
        until=world.time_s,
    )


def _noted(world: VirtualWorld) -> list[tuple[str, str]]:
    """Every pod that is there and has an instance: its uid, and the instance's id."""
    noted = [(pod["metadata"]["uid"], pods.instance_id_of(pod)) for pod in world.kube.pods()]
    return [(uid, instance) for uid, instance in noted if instance in world.cloud.instances]


def _unheard(world: VirtualWorld) -> frozenset[str]:
    """Pods that are there, of whose instances none is: what they told may have gone with a process that died."""
    there = {each.owner.uid for each in world.cloud.instances.values()}
    if world.skewed_back:  # whatever is told by that clock looks long forgotten
        there = set()
    return frozenset(uid for pod in world.kube.pods() if (uid := pod["metadata"]["uid"]) not in there)


def _facts(world: VirtualWorld) -> dict[str, int]:
    return {
        "pods": len(world.kube.statuses),
        "instances": len(world.cloud.ever),
        "duplicates planted": len(world.cloud.planted),
        "instances taken away": len(world.disrupted),
        "starts of the provider": world.starts,
        "hostile pods": len(world.hostile),
        "calls that met an accident": world.met_accidents,
        "virtual seconds": round(world.time_s),
    }
