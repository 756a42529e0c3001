"""What goes wrong: each fault is a few seconds of trouble, and ends with nothing of it left in the way."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
from collections.abc import Awaitable, Callable, Mapping

from tests.chaos.auditor import uid_of
from tests.chaos.proxy import Accident
from tests.chaos.stage import KEY_ID, KEY_SECRET, Stage

Fault = Callable[[Stage, random.Random], Awaitable[str]]
WRITES = frozenset({"POST", "PATCH", "PUT", "DELETE"})
READS = frozenset({"GET"})
ENDS_WITHIN_S = 10
CALLS = ("CreateContainerGroup", "DeleteContainerGroup", "DescribeContainerGroups", "DescribeContainerGroupStatus", "*")


# --- the provider ---


async def kill_9(stage: Stage, dice: random.Random) -> str:
    stage.crash_provider()
    await asyncio.sleep(dice.choice((0.0, 0.0, 0.5, 3.0)))
    stage.start_provider()
    return "killed"


async def stopped(stage: Stage, dice: random.Random) -> str:
    """As a machine that hangs: everything it holds open grows old."""
    seconds = dice.uniform(1.0, 9.0)
    stage.signal_provider(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    stage.signal_provider(signal.SIGCONT)
    return f"stood still {seconds:.1f} s"


async def orderly_restart(stage: Stage, _: random.Random) -> str:
    stage.note_end()
    await asyncio.to_thread(stage.provider.stop)
    stage.start_provider()
    return "restarted"


async def no_file_descriptors(stage: Stage, dice: random.Random) -> str:
    return await _limited(stage, resource.RLIMIT_NOFILE, dice.choice((16, 24, 32)), "open files")


async def no_memory(stage: Stage, _: random.Random) -> str:
    """It gets no byte more than it has. To end of that is allowed; to do wrong is not."""
    await asyncio.sleep(3)  # to be a process that has begun its work
    if stage.provider.exit_code is not None:
        return "not there to be limited"
    pages = int((stage.proc("statm")).split()[0])
    said = await _limited(stage, resource.RLIMIT_AS, pages * resource.getpagesize(), "bytes of address space")
    for _ in range(ENDS_WITHIN_S):  # in order, which takes longer than the trouble did
        if stage.provider.exit_code is not None:
            stage.start_provider()
            return said + ", of which it ended"
        await asyncio.sleep(1)
    return said


async def _limited(stage: Stage, kind: int, soft: int, what: str) -> str:
    old = stage.limit_provider(kind, soft)
    await asyncio.sleep(3)
    if stage.provider.exit_code is None:
        stage.limit_provider(kind, old[0])
    return f"limited to {soft} {what} for 3 s"


async def full_disk(stage: Stage, dice: random.Random) -> str:
    """The log takes no line."""
    stage.crash_provider()
    stage.start_provider(log_is_full=True)
    await asyncio.sleep(dice.uniform(3.0, 6.0))
    stage.crash_provider()
    stage.start_provider()
    return "ran with a full disk under its log"


async def wall_clock(stage: Stage, dice: random.Random) -> str:
    """It jumps, and some seconds later back."""
    jump, seconds = dice.choice((-7200.0, -90.0, -3.0, 5.0, 90.0, 7200.0)), dice.uniform(1.0, 6.0)
    stage.clock.jump(jump)
    await asyncio.sleep(seconds)
    stage.clock.jump(0.0)
    return f"the provider's clock was {jump:+g} s off for {seconds:.1f} s"


# --- the API server ---


async def api_answers(stage: Stage, dice: random.Random) -> str:
    status, count = dice.choice((409, 410, 429, 500, 503)), dice.randint(1, 30)
    path = dice.choice(("/status", "/pods", "/events", "/leases", ""))
    methods = dice.choice((WRITES, WRITES, READS)) if status != 410 else READS
    stage.proxy.add(Accident("answer", methods, path, count, status=status))
    return f"{count} answers {status} on {path or 'any path'}"


async def api_lost(stage: Stage, dice: random.Random) -> str:
    kind, count = dice.choice(("lose-request", "lose-answer")), dice.randint(1, 20)
    stage.proxy.add(Accident(kind, WRITES | READS, dice.choice(("/status", "/pods", "")), count))
    return f"{count} times {kind}"


async def api_slow(stage: Stage, dice: random.Random) -> str:
    stage.proxy.add(Accident("delay", path="/pods", count=30, seconds=dice.uniform(0.2, 3.0)))
    return "30 slow answers"


async def api_away(stage: Stage, dice: random.Random) -> str:
    seconds = dice.uniform(1.0, 8.0)
    stage.proxy.down = True
    stage.proxy.cut_watches()
    await asyncio.sleep(seconds)
    stage.proxy.down = False
    return f"away {seconds:.1f} s"


async def api_restart(stage: Stage, dice: random.Random) -> str:
    if stage.plane is None:
        return await api_away(stage, dice)
    await asyncio.to_thread(stage.plane.stop_api_server)
    await asyncio.to_thread(stage.plane.start_api_server)
    return "restarted"


async def watches_cut(stage: Stage, _: random.Random) -> str:
    stage.proxy.cut_watches()
    return "watches cut"


async def watches_frozen(stage: Stage, dice: random.Random) -> str:
    """Half-open: nothing comes, nothing ends."""
    seconds = dice.uniform(2.0, 8.0)
    stage.proxy.freeze_watches()
    await asyncio.sleep(seconds)
    if dice.random() < 0.5:
        stage.proxy.cut_watches()
    stage.proxy.thaw_watches()
    return f"watches silent for {seconds:.1f} s"


async def watches_too_old(stage: Stage, _: random.Random) -> str:
    stage.proxy.expire_watches()
    return "watches told 410"


async def stale_list(stage: Stage, _: random.Random) -> str:
    stage.proxy.add(Accident("stale-list", READS, "/pods", 2))
    stage.proxy.expire_watches()
    return "the first list again"


# --- the cloud ---


async def cloud_fault(stage: Stage, dice: random.Random) -> str:
    kinds = (
        "throttle",
        "http-500",
        "http-503",
        "lose-request",
        "lose-response-after-acting",
        "lose-response-after-acting",
    )
    kind, action, count = dice.choice(kinds), dice.choice(CALLS), dice.randint(1, 15)
    await stage.cloud("faults", kind=kind, action=action, count=count)
    return f"{count} times {kind} on {action}"


async def cloud_lists(stage: Stage, dice: random.Random) -> str:
    kind = dice.choice(("empty-list", "partial-list", "stale-answer"))
    action = dice.choice(("DescribeContainerGroups", "DescribeContainerGroupStatus"))
    count = dice.randint(1, 12)
    await stage.cloud("faults", kind=kind, action=action, count=count)
    return f"{count} times {kind} of {action}"


async def cloud_slow(stage: Stage, dice: random.Random) -> str:
    action = dice.choice(CALLS)
    await stage.cloud("faults", kind="delay", action=action, count=10, seconds=dice.uniform(0.5, 4.0))
    return f"10 slow answers to {action}"


async def cloud_outage(stage: Stage, dice: random.Random) -> str:
    seconds = dice.uniform(1.0, 6.0)
    await stage.cloud("outage", on=True)
    await asyncio.sleep(seconds)
    await stage.cloud("outage", on=False)
    return f"out for {seconds:.1f} s"


async def no_stock(stage: Stage, dice: random.Random) -> str:
    seconds = dice.uniform(1.0, 6.0)
    await stage.cloud("nostock", on=True)
    await asyncio.sleep(seconds)
    await stage.cloud("nostock", on=False)
    return f"sold out for {seconds:.1f} s"


async def no_quota(stage: Stage, dice: random.Random) -> str:
    seconds = dice.uniform(1.0, 6.0)
    before = (await stage.cloud_says("state"))["quota"]["max_cpu"]
    await stage.cloud("quota", cpu=0.5)
    await asyncio.sleep(seconds)
    await stage.cloud("quota", cpu=before)
    return f"quota used up for {seconds:.1f} s"


async def key_expires(stage: Stage, dice: random.Random) -> str:
    seconds = dice.uniform(1.0, 5.0)
    await stage.cloud("credentials", access_key_id=KEY_ID, access_key_secret="another")
    await asyncio.sleep(seconds)
    await stage.cloud("credentials", access_key_id=KEY_ID, access_key_secret=KEY_SECRET)
    return f"the key was not valid for {seconds:.1f} s"


async def clock_skew(stage: Stage, dice: random.Random) -> str:
    seconds = dice.uniform(5.0, 60.0)
    await stage.cloud("clock", advance=seconds)
    return f"the cloud's clock went {seconds:.0f} s ahead"


async def taken_away(stage: Stage, dice: random.Random) -> str:
    """Instances removed behind everybody's back, or reclaimed with a word."""
    groups = [each for each in (await stage.cloud_says("state"))["groups"] if each["status"] == "Running"]
    picked = dice.sample(groups, min(len(groups), 3))
    for group in picked:
        await stage.cloud("vanish", id=group["id"])
        stage.disruptions += 1
    return f"{len(picked)} instances vanished"


async def doubled(stage: Stage, dice: random.Random) -> str:
    """A second instance with all the tags of the first, as one that a lost answer has left behind."""
    groups = [each for each in (await stage.cloud_says("state"))["groups"] if each["status"] == "Running"]
    picked = dice.sample(groups, min(len(groups), 3))
    for group in picked:
        stage.extra[uid_of(group)] += 1
        await stage.cloud("twin", id=group["id"])
    return f"{len(picked)} instances have a twin"


FAULTS: Mapping[Fault, int] = {
    kill_9: 6,
    stopped: 2,
    orderly_restart: 2,
    no_file_descriptors: 1,
    no_memory: 1,
    full_disk: 1,
    wall_clock: 2,
    api_answers: 4,
    api_lost: 3,
    api_slow: 1,
    api_away: 2,
    api_restart: 1,
    watches_cut: 2,
    watches_frozen: 2,
    watches_too_old: 1,
    stale_list: 1,
    cloud_fault: 5,
    cloud_lists: 3,
    cloud_slow: 1,
    cloud_outage: 1,
    no_stock: 1,
    no_quota: 1,
    key_expires: 1,
    clock_skew: 1,
    taken_away: 2,
    doubled: 2,
}
"""Weights: how often each comes, against the others."""

ONE_AT_A_TIME = frozenset({kill_9, stopped, orderly_restart, no_file_descriptors, no_memory, full_disk})
"""What is done to the provider's process: these wait for each other, all others overlap."""


def drawn(dice: random.Random, count: int) -> list[Fault]:
    """So many, of every kind once before any comes by its weight, if they are enough for that."""
    each_once = list(FAULTS)
    dice.shuffle(each_once)
    more = dice.choices(list(FAULTS), list(FAULTS.values()), k=max(0, count - len(each_once)))
    picked = [*each_once, *more][:count]
    dice.shuffle(picked)
    return picked
