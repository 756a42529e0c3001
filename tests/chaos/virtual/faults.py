"""What goes wrong, by a seed: each fault is some virtual seconds of trouble, and ends with nothing of it left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

from tests.chaos.virtual.wire import CLOUD, KUBE, Accident
from tests.chaos.virtual.world import VirtualWorld
from vk_provider.errors import (
    CloudDenied,
    CloudUnavailable,
    Conflict,
    KubeUnavailable,
    OutOfCapacity,
    Throttled,
)
from vk_provider.model.instance import InstanceStatus

Fault = Callable[[VirtualWorld, random.Random], Awaitable[str]]
LATE_S = 45.0  # longer than anybody waits for an answer
MOST_AHEAD_S = (
    2700.0  # of the provider's clock: with an hour, what is told now looks like what the server has forgotten
)


async def _for_a_while(world: VirtualWorld, seconds: float, *accidents: Accident) -> None:
    world.accidents += accidents
    try:
        with world.trouble():
            await asyncio.sleep(seconds)
    finally:
        for each in accidents:
            world.accidents.remove(each)


# --- the provider ---


async def killed(world: VirtualWorld, dice: random.Random) -> str:
    steps, down_s = dice.randint(1, 40), dice.choice((0.1, 0.1, 1.0, dice.uniform(1.0, 60.0)))
    again = [dice.randint(1, 25) for _ in range(dice.choice((0, 0, 1, 3)))]
    world.dies_at += again
    with world.trouble():
        await world.kill(steps, down_s=down_s)
        await asyncio.sleep(down_s)
    return f"killed at step {steps}, away {down_s:.1f} s, its next lives end at {again}"


async def stopped(world: VirtualWorld, dice: random.Random) -> str:
    """As a machine that hangs: everything it holds open grows old."""
    seconds = dice.choice((dice.uniform(0.5, 10.0), dice.uniform(10.0, 120.0)))
    life = world.life
    life.stop()
    with world.trouble():
        await asyncio.sleep(seconds)
    life.go_on(world.loop)
    return f"stood still {seconds:.1f} s"


async def clock_jumps(world: VirtualWorld, dice: random.Random) -> str:
    """Its wall clock, there and back or for good."""
    seconds = dice.choice((1, -1)) * dice.choice((dice.uniform(1.0, 120.0), dice.uniform(100.0, MOST_AHEAD_S)))
    world.jumped_s += seconds
    if dice.random() < 0.6:
        await asyncio.sleep(dice.uniform(1.0, 60.0))
        world.jumped_s -= seconds
        return f"its clock was off by {seconds:.0f} s for a while"
    if abs(world.jumped_s) > MOST_AHEAD_S:
        world.jumped_s = 0.0
    return f"its clock is off by {world.jumped_s:.0f} s"


async def leader_replaced(world: VirtualWorld, dice: random.Random) -> str:
    """Of two replicas the other takes over; the former leader wakes, or goes on, and writes nothing any more."""
    asleep, lingers_s = dice.random() < 0.6, dice.choice((0.0, 0.5, dice.uniform(0.0, 30.0)))
    with world.trouble():
        await world.succeed(asleep=asleep, lingers_s=lingers_s)
    return f"{'asleep' if asleep else 'cut off from its lease'}, and back {lingers_s:.1f} s after another took over"


async def handed_over(world: VirtualWorld, dice: random.Random) -> str:
    """As a roll-out does: the next one serves a moment after the last one was told to end."""
    with world.trouble():
        await world.kill(dice.randint(1, 3), down_s=0.3)
        await asyncio.sleep(0.3)
    return "to another replica"


# --- the API server ---


async def api_answers(world: VirtualWorld, dice: random.Random) -> str:
    status = dice.choice((409, 429, 500, 503))
    part = dice.choice(("/status", "/pods", "/events", ""))
    writes = dice.random() < 0.5

    def wanted(name: str, about: str) -> bool:
        write = name in ("post", "patch", "delete")
        return part in about and (write if writes or status == 409 else True)

    def error() -> Exception:
        if status == 409:
            return Conflict("the object has been modified", status=409, reason="Conflict")
        wait_s = dice.choice((None, 1.0, 5.0)) if status == 429 else None
        return KubeUnavailable("not now", status=status, retry_after_s=wait_s)

    seconds, chance = dice.uniform(2.0, 40.0), dice.choice((0.3, 0.7, 1.0))
    await _for_a_while(world, seconds, Accident(KUBE, wanted, chance, error))
    return f"answered {status} on {part or 'any path'} for {seconds:.1f} s, {chance:.0%}"


async def api_lost(world: VirtualWorld, dice: random.Random) -> str:
    acts, part, seconds = dice.random() < 0.6, dice.choice(("/status", "/pods", "/events", "")), dice.uniform(2.0, 30.0)
    accident = Accident(
        KUBE, lambda name, about: part in about, dice.choice((0.3, 0.7)), lambda: KubeUnavailable("lost"), acts=acts
    )
    await _for_a_while(world, seconds, accident)
    return f"{'answers' if acts else 'requests'} about {part or 'anything'} were lost for {seconds:.1f} s"


async def events_refused(world: VirtualWorld, dice: random.Random) -> str:
    """What decorates is the first thing that a server under load turns away."""
    status, seconds, chance = dice.choice((429, 500)), dice.uniform(5.0, 60.0), dice.choice((0.5, 1.0))
    refused = Accident(
        KUBE, lambda name, about: "/events" in about, chance, lambda: KubeUnavailable("overloaded", status=status)
    )
    await _for_a_while(world, seconds, refused)
    return f"{status} for {seconds:.1f} s, {chance:.0%}"


async def api_slow(world: VirtualWorld, dice: random.Random) -> str:
    slow_s, seconds = dice.choice((dice.uniform(0.1, 5.0), LATE_S)), dice.uniform(2.0, 20.0)
    await _for_a_while(world, seconds, Accident(KUBE, lambda *_: True, 0.5, acts=True, slow_s=slow_s))
    return f"half of it {slow_s:.1f} s slow for {seconds:.1f} s"


async def api_away(world: VirtualWorld, dice: random.Random) -> str:
    seconds = dice.uniform(1.0, 60.0)
    error = KubeUnavailable("connection refused")
    for each in list(world.watches):
        each.cut(error)
    forgets = dice.random() < 0.3
    await _for_a_while(world, seconds, Accident(KUBE, lambda *_: True, 1.0, lambda: KubeUnavailable("refused")))
    if forgets:
        world.kube.compact()
    return f"away {seconds:.1f} s{' and forgot what was before' if forgets else ''}"


async def watches_cut(world: VirtualWorld, dice: random.Random) -> str:
    error = dice.choice((None, KubeUnavailable("reset")))
    for each in list(world.watches):
        each.cut(error)
    return "ended" if error is None else "reset"


async def watches_silent(world: VirtualWorld, dice: random.Random) -> str:
    """Half-open: nothing comes, nothing ends; in the worst case until nobody waits for it any more."""
    for_good = dice.random() < 0.1
    seconds = 650.0 if for_good else dice.uniform(2.0, 60.0)
    held = list(world.watches)
    for each in held:
        each.silent = True
    with world.trouble():
        await asyncio.sleep(seconds)
    for each in held:
        if for_good or each not in world.watches:
            continue
        each.cut(KubeUnavailable("reset")) if dice.random() < 0.5 else each.hear()
    return f"nothing came for {seconds:.1f} s"


async def watches_too_old(world: VirtualWorld, dice: random.Random) -> str:
    world.kube.compact()
    for each in list(world.watches):
        each.cut(None)
    return "410"


async def stale_list(world: VirtualWorld, dice: random.Random) -> str:
    """Of a cache that lags; who starts anew reads it."""
    world.kube.stale = dice.randint(1, 12)
    with world.trouble():
        if dice.random() < 0.7:
            await world.kill(dice.randint(1, 5), down_s=0.5)
        await asyncio.sleep(dice.uniform(2.0, 20.0))
    world.kube.stale = 0
    return "lists lagged behind"


async def watch_lags(world: VirtualWorld, dice: random.Random) -> str:
    lag_s, seconds = dice.uniform(0.1, 3.0), dice.uniform(5.0, 40.0)
    world.kube.watch_lag_s = lag_s
    with world.trouble():
        await asyncio.sleep(seconds)
    world.kube.watch_lag_s = 0.0
    return f"each line {lag_s:.1f} s late for {seconds:.1f} s"


# --- the cloud ---

CALLS = ("create", "delete", "describe", "changes", "events", "statuses", "list", "is_gone", "find", "")


async def cloud_fails(world: VirtualWorld, dice: random.Random) -> str:
    call, seconds, chance = dice.choice(CALLS), dice.uniform(2.0, 40.0), dice.choice((0.3, 0.7, 1.0))
    errors: Mapping[str, Callable[[], Exception]] = {
        "throttled": lambda: Throttled("slow down", code="Throttling.User", retry_after_s=dice.choice((None, 2.0))),
        "failed": lambda: CloudUnavailable("internal error", code="InternalError"),
    }
    word = dice.choice(list(errors))
    await _for_a_while(world, seconds, Accident(CLOUD, _is(call), chance, errors[word]))
    return f"{call or 'everything'} {word} for {seconds:.1f} s, {chance:.0%}"


async def cloud_lost(world: VirtualWorld, dice: random.Random) -> str:
    call, seconds, acts = dice.choice(("create", "create", *CALLS)), dice.uniform(2.0, 40.0), dice.random() < 0.7
    lost = Accident(CLOUD, _is(call), 0.6, lambda: CloudUnavailable("no answer"), acts=acts)
    await _for_a_while(world, seconds, lost)
    return f"{'answers' if acts else 'requests'} of {call or 'everything'} were lost for {seconds:.1f} s"


async def made_unheard(world: VirtualWorld, dice: random.Random) -> str:
    """Creates act, their answers are lost, and what they made is in no list yet: only its token tells of it."""
    shy_s, seconds, began_s = dice.uniform(5.0, 40.0), dice.uniform(10.0, 40.0), world.time_s
    world.cloud.shy_s = shy_s
    lost = Accident(CLOUD, _is("create"), 0.7, lambda: CloudUnavailable("no answer"), acts=True)
    await _for_a_while(world, seconds, lost)
    world.cloud.shy_s = 0.0
    with world.trouble():
        await asyncio.sleep(shy_s)
    world.cloud.withheld.append((began_s, world.time_s))
    return f"what was made in {seconds:.1f} s was not heard of for {shy_s:.1f} s"


async def cloud_slow(world: VirtualWorld, dice: random.Random) -> str:
    call, slow_s = dice.choice(CALLS), dice.choice((dice.uniform(0.5, 15.0), LATE_S))
    seconds = dice.uniform(2.0, 30.0)
    await _for_a_while(world, seconds, Accident(CLOUD, _is(call), 0.5, acts=True, slow_s=slow_s))
    with world.trouble():
        await asyncio.sleep(slow_s)  # what was sent last is still on its way
    return f"half of {call or 'everything'} {slow_s:.1f} s slow for {seconds:.1f} s"


async def cloud_lists(world: VirtualWorld, dice: random.Random) -> str:
    kind, seconds = dice.choice(("empty", "partial", "stale_s")), dice.uniform(5.0, 90.0)
    how: object = dice.uniform(1.0, 30.0) if kind == "stale_s" else True
    world.cloud.chance = dice.choice((0.3, 0.7, 1.0))
    setattr(world.cloud, kind, how)
    began_s = world.time_s
    with world.trouble():
        await asyncio.sleep(seconds)
    setattr(world.cloud, kind, 0.0 if kind == "stale_s" else False)
    world.cloud.withheld.append((began_s, world.time_s))
    return f"answers were {kind} ({how}) for {seconds:.1f} s"


async def not_shown_yet(world: VirtualWorld, dice: random.Random) -> str:
    """Lists do not have the newest instances for a while."""
    picked = {each.id for each in world.cloud.instances.values() if each.status is InstanceStatus.SCHEDULING}
    world.cloud.hidden |= picked
    began_s = world.time_s
    with world.trouble():
        await asyncio.sleep(dice.uniform(1.0, 100.0))
    world.cloud.hidden -= picked
    world.cloud.withheld.append((began_s, world.time_s))
    return f"{len(picked)} instances were in no list"


async def no_stock(world: VirtualWorld, dice: random.Random) -> str:
    code, seconds = dice.choice(("OperationDenied.NoStock", "QuotaExceeded")), dice.uniform(2.0, 60.0)
    sold_out = Accident(CLOUD, _is("create"), 1.0, lambda: OutOfCapacity(code, code=code))
    await _for_a_while(world, seconds, sold_out)
    return f"{code} for {seconds:.1f} s"


async def denied(world: VirtualWorld, dice: random.Random) -> str:
    seconds = dice.uniform(2.0, 60.0)
    await _for_a_while(world, seconds, Accident(CLOUD, _is(""), 1.0, lambda: CloudDenied("the key is not valid")))
    return f"the key was not valid for {seconds:.1f} s"


async def clock_skew(world: VirtualWorld, dice: random.Random) -> str:
    world.skew_s += dice.uniform(0.0, 60.0)
    return f"the cloud's clock is {world.skew_s:.0f} s ahead"


async def taken_away(world: VirtualWorld, dice: random.Random) -> str:
    """Instances removed behind everybody's back, or reclaimed with a word."""
    picked = _some(world, dice, *InstanceStatus)
    reclaimed = dice.random() < 0.4
    for each in picked:
        instance = world.cloud.instances[each]
        world.disrupted.add(instance.owner.uid)
        if reclaimed and instance.status in (InstanceStatus.RUNNING, InstanceStatus.PENDING):
            world.cloud.reclaim(each)
        else:
            world.cloud.vanish(each)
    return f"{', '.join(picked) or 'none'} {'reclaimed' if reclaimed else 'vanished'}"


async def planted(world: VirtualWorld, dice: random.Random) -> str:
    """A second instance of a pod, by whomever; of a pod that finds room. Where the first does not, the second goes as
    one too many though it alone was placed, and the pod fails as disrupted: nothing tells such a pair from one whose
    placed instance was taken away."""
    picked = [
        each
        for each in _some(world, dice, *InstanceStatus)
        if not world.cloud.unplaced[world.cloud.ever[each].owner.uid]
    ]
    return ", ".join(f"{world.cloud.plant(each)} like {each}" for each in picked) or "none"


async def token_forgotten(world: VirtualWorld, dice: random.Random) -> str:
    """A create acts, its answer is lost, and the cloud does not know the token again."""
    world.cloud.forget_next_token = True
    lost = Accident(CLOUD, _is("create"), 1.0, lambda: CloudUnavailable("no answer"), acts=True)
    world.accidents.append(lost)
    with world.trouble():
        for _ in range(300):
            await asyncio.sleep(0.1)
            if not world.cloud.forget_next_token:
                break
    world.accidents.remove(lost)
    forgot, world.cloud.forget_next_token = not world.cloud.forget_next_token, False
    return "the next create was made and forgotten" if forgot else "nothing was created"


def _some(world: VirtualWorld, dice: random.Random, *statuses: InstanceStatus) -> list[str]:
    found = [each.id for each in world.cloud.instances.values() if each.status in statuses]
    return dice.sample(found, min(len(found), dice.randint(1, 2)))


def _is(call: str) -> Callable[[str, str], bool]:
    return lambda name, about: call in ("", name)


FAULTS: Mapping[Fault, int] = {
    killed: 6,
    stopped: 2,
    leader_replaced: 3,
    handed_over: 1,
    clock_jumps: 2,
    api_answers: 4,
    api_lost: 3,
    events_refused: 3,
    api_slow: 1,
    api_away: 2,
    watches_cut: 1,
    watches_silent: 2,
    watches_too_old: 1,
    stale_list: 1,
    watch_lags: 1,
    cloud_fails: 4,
    cloud_lost: 3,
    made_unheard: 2,
    cloud_slow: 2,
    cloud_lists: 4,
    not_shown_yet: 1,
    no_stock: 1,
    denied: 1,
    clock_skew: 1,
    taken_away: 3,
    planted: 1,
    token_forgotten: 1,
}
"""Weights: how often each comes, against the others."""

ONE_AT_A_TIME = frozenset({killed, stopped, leader_replaced, handed_over, stale_list})
"""What is done to the provider's process."""
ONE_OF_A_KIND = frozenset({cloud_lists, made_unheard, token_forgotten, watch_lags})
"""What is a setting of a server: a second one waits for the first."""


def drawn(dice: random.Random, *, lasts_s: float) -> list[tuple[float, Fault, int]]:
    """When, what, and the seed of how."""
    count = dice.randint(0, 14)
    picked = dice.choices(list(FAULTS), list(FAULTS.values()), k=count)
    return [(dice.uniform(0.0, lasts_s), fault, dice.randrange(2**32)) for fault in picked]
