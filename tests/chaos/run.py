"""One run: the story and the faults by a seed, then calm, then the audit."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from fakes.api_client import ApiRefused
from tests.chaos import faults, story
from tests.chaos.auditor import Evidence, complaints
from tests.chaos.stage import KEY_SECRET, Stage

GROUPS = {"pods": "/api/v1", "jobs": "/apis/batch/v1", "deployments": "/apis/apps/v1"}
MOST_AT_ONCE = 32
TAKEN_WITHIN_S = 360  # refused /pods thirty times, which it lists every ten seconds, the provider is blind for 300 s
MOMENT_S = 2.0
ABSENT, CONFLICT = 404, 409
DEED = "chaos/deed"  # annotation: when it was to be done
PODS, INSTANCES, STARTS = "pods that ever were", "instances that ever were", "starts of the provider"
ACCIDENTS, REST_S = "requests that met an accident", "seconds until all was at rest"
Trouble = tuple[float, faults.Fault, int]


@dataclass(frozen=True)
class Plan:
    """What is thrown: the same seed throws the same. real: on a real control plane. bug: one to plant, of `bugs`."""

    seed: int
    faults: int = 40
    jobs: int = 120
    lasts_s: float = 60.0
    real: bool = False
    bug: str = ""
    settles_within_s: float = 240.0


@dataclass(frozen=True)
class Outcome:
    complaints: list[str]
    facts: dict[str, object]


async def play(plan: Plan, directory: Path, say: Callable[[str], None]) -> Outcome:
    """Raises AssertionError when a part does not start, or the world does not come to rest."""
    dice = random.Random(plan.seed)
    deeds = story.deeds(dice, jobs=plan.jobs, lasts_s=plan.lasts_s)
    troubles = [
        (dice.uniform(0.5, plan.lasts_s), fault, dice.randrange(2**32)) for fault in faults.drawn(dice, plan.faults)
    ]
    async with Stage(directory, bug=plan.bug).set_up(real=plan.real) as stage:
        began = time.monotonic()
        users = asyncio.create_task(_live(stage, deeds, began))
        process = asyncio.Lock()
        await asyncio.gather(users, *(_trouble(stage, process, each, began, say) for each in troubles))
        say("calm: no more trouble; waiting for everything to come to its end")
        await _calm(stage)
        calm_s = time.monotonic()
        with suppress(AssertionError):  # what is not at rest by then is the auditor's to say
            await stage.until(lambda: _at_rest(stage), within_s=plan.settles_within_s, what="all is as it should be")
        stage.note_end()
        settled_s = time.monotonic() - calm_s
        evidence = await gather(stage)
        found = [*stage.crashed, *complaints(evidence)]
        return Outcome(found, _facts(stage, evidence, settled_s))


async def _trouble(
    stage: Stage, process: asyncio.Lock, trouble: Trouble, began: float, say: Callable[[str], None]
) -> None:
    at_s, fault, seed = trouble
    await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
    async with process if fault in faults.ONE_AT_A_TIME else nullcontext():
        what = await fault(stage, random.Random(seed))
    say(f"{time.monotonic() - began:6.1f} s  {fault.__name__:<20} {what}")


async def _live(stage: Stage, deeds: list[story.Deed], began: float) -> None:
    few = asyncio.Semaphore(MOST_AT_ONCE)
    by_target: defaultdict[tuple[str, str], list[story.Deed]] = defaultdict(list)
    for deed in deeds:
        by_target[deed.target].append(deed)

    async def befalls(one: list[story.Deed]) -> None:
        for deed in one:
            await asyncio.sleep(max(0.0, began + deed.at_s - time.monotonic()))
            async with few:
                await _do(stage, deed)

    await asyncio.gather(*map(befalls, by_target.values()))


async def _do(stage: Stage, deed: story.Deed) -> None:
    plural, name = deed.target
    collection = f"{GROUPS[plural]}/namespaces/{story.NAMESPACE}/{plural}"
    if deed.verb == "create":
        body = deed.body or {}
        marked = {**body["metadata"], "annotations": {DEED: str(deed.at_s)}}
        await _until_taken(stage, "POST", collection, {**body, "metadata": marked}, name)
    elif deed.verb == "scale":
        await _until_taken(stage, "PATCH", f"{collection}/{name}", deed.body)
    else:
        options = {"gracePeriodSeconds": deed.grace_s} if deed.grace_s is not None else None
        await _until_taken(stage, "DELETE", f"{collection}/{name}", options)


async def _until_taken(stage: Stage, method: str, path: str, body: story.Json | None, name: str = "") -> None:
    """Users try again too: a namesake as soon as the name is free, and all when the server was away."""
    doubtful = False  # a try without an answer may have acted

    async def taken() -> bool:
        nonlocal doubtful
        code = await stage.call(method, path, body)
        if method == "POST" and code == CONFLICT and doubtful:
            return await _is_made(stage, f"{path}/{name}", body or {})
        doubtful = doubtful or code == 0 or code >= 500
        return 200 <= code < 300 or (method == "DELETE" and code == ABSENT)

    await stage.until(taken, within_s=TAKEN_WITHIN_S, what=f"{method} {path} {name}")


async def _is_made(stage: Stage, path: str, body: story.Json) -> bool:
    """Whether what is there by that name is what this deed asked for, and no namesake that was there before."""
    try:
        found = await stage.api.get(path)
    except (ApiRefused, OSError):
        return False
    return bool(found["metadata"].get("annotations", {}).get(DEED) == body["metadata"]["annotations"][DEED])


async def _calm(stage: Stage) -> None:
    stage.proxy.clear()
    stage.clock.jump(0.0)
    await stage.cloud_calm()


async def _at_rest(stage: Stage) -> bool:
    """The auditor has no more to say, nor a moment later: between a pod's end and what its controller makes of that all
    seems well."""
    for wait_s in (0.0, MOMENT_S):
        await asyncio.sleep(wait_s)
        try:
            if complaints(await gather(stage)):
                return False
        except (ApiRefused, OSError):
            return False
    return True


async def gather(stage: Stage) -> Evidence:
    """What the auditor reads, as it is now."""

    async def items(plural: str) -> list[story.Json]:
        listed = await stage.api.get(f"{GROUPS.get(plural, '/api/v1')}/namespaces/{story.NAMESPACE}/{plural}")
        return list(listed["items"])

    state, bill = await stage.cloud_says("state"), await stage.cloud_says("bill")
    return Evidence(
        statuses=stage.witness.statuses,
        names=stage.witness.names,
        pods=await items("pods"),
        jobs=await items("jobs"),
        deployments=await items("deployments"),
        events=list(stage.witness.events.values()),
        live_groups=state["groups"],
        groups_ever=bill["groups"],
        journal=await stage.journal(),
        exit_codes=story.EXIT_CODES,
        disruptions=stage.disruptions,
        provider_log=stage.provider_log(),
        secrets=(KEY_SECRET,),
        extra=stage.extra,
    )


def _facts(stage: Stage, evidence: Evidence, settled_s: float) -> dict[str, object]:
    calls = [each for each in evidence.journal if each["kind"] == "call"]
    return {
        PODS: len(evidence.statuses),
        INSTANCES: len(evidence.groups_ever),
        STARTS: stage.provider_starts,
        ACCIDENTS: stage.proxy.met,
        "calls to the cloud": len(calls),
        "of them failed": sum(each["code"] != "OK" for each in calls),
        "instances taken away": stage.disruptions,
        "instances doubled": stage.extra.total(),
        REST_S: round(settled_s, 1),
    }
