"""A day of 500 preemptible Jobs on the real provider, beside a naive policy; all of it on virtual time.

    python -m tests.preemptible.soak [--seed 1] [--jobs 500] [--hours 24] [--policy forecast|naive|both]

A quota of 200 vCPU. Other tenants of the account follow a working day with chance on top; so do regular Jobs on the
node itself, which are measured: how long each waits, and how many waited for a reclaim. The spot market's price and
stock change at random. The naive policy is the same provider with a forecast that always says 0, no reserve, and a
market that is thought to be deep: all that is idle at the moment is offered.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fakes.cloud import billing, series
from fakes.cloud.billing import price_per_second
from tests.control.pure_time import play
from tests.preemptible.world import BIRTH, DEEP, World
from tests.providerlog import ProviderLog
from vk_provider.idle.history import DAY_S, HOUR_S, MINUTE_S, History
from vk_provider.idle.reclaims import WAITING_EVENT

Json = dict[str, Any]

QUOTA = 200.0
LEARNED_DAYS = 15
START_S = 28.0
STEP_MIN = 5
MINUTES = range(10, 65, STEP_MIN)  # how long pods run
RULES = "".join(f'[[rule]]\nimage = "min{each}"\nduration_s = {each * 60}\nstop_s = 10\n' for each in MINUTES)
TTL_S = 600
AFTER_S = 12 * HOUR_S  # for what came late in the day, or had to wait for the night: it is played until all is done
OTHERS = {"mean": 45, "amplitude": 28, "period_s": DAY_S, "peak_s": 14 * HOUR_S, "noise": 3, "least": 5, "most": 80}
PRICE = {"mean": 0.3, "amplitude": 0.08, "period_s": DAY_S, "peak_s": 14 * HOUR_S, "noise": 0.03, "least": 0.1}
STOCK = {"peak_s": 2 * HOUR_S, "mean": 130, "amplitude": 30, "period_s": DAY_S, "noise": 10, "least": 0}
REGULAR_A_MINUTE = 0.33  # regular Jobs on the average, that have 40 vCPU together
REGULAR_CPU = (2, 2, 4, 4)  # many and small, so that with all others they fit the quota on each of the days


@dataclass(frozen=True, slots=True)
class Work:
    """One Job of one pod."""

    name: str
    at_s: float
    cpu: int
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    is_naive: bool = False
    seed: int = 1
    jobs: int = 500
    hours: float = 24.0


@dataclass(slots=True)
class Outcome:
    """waits_s: of regular pods, from creation until they ran. waited: those that were told that they wait for a
    reclaim; troubled: those that were told of any other trouble, such as a quota that is used up. costs: in CNY;
    on_demand_cost: what the completed Jobs would have cost, each run once. seconds: of this machine."""

    policy: str
    jobs: int
    regular: int = 0
    waits_s: dict[str, float] = field(default_factory=dict)
    waited: set[str] = field(default_factory=set)
    troubled: set[str] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    reclaims: int = 0
    spot_cost: float = 0.0
    on_demand_cost: float = 0.0
    last_s: float = 0.0
    seconds: float = 0.0

    def wait_s(self, share: float) -> float:
        ordered = sorted(self.waits_s.values())
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.inf

    @property
    def bill(self) -> float:
        return self.spot_cost / self.on_demand_cost if self.on_demand_cost else math.inf

    def row(self) -> list[str]:
        return [
            self.policy,
            f"{len(self.completed)} of {self.jobs}, the last after {self.last_s / HOUR_S:.1f} h",
            str(self.reclaims),
            f"{len(self.waited)} of {self.regular}",
            str(len(self.troubled)),
            f"{self.wait_s(0.5):.0f} / {self.wait_s(0.99):.0f} / {self.wait_s(1):.0f} s",
            f"{self.bill:.0%}",
        ]


HEAD = [
    "policy",
    "Jobs done",
    "reclaimed",
    "regular pods that waited for it",
    "quota errors seen",
    "wait p50 / p99 / most",
    "bill, of on demand",
]


def table(outcomes: Sequence[Outcome]) -> str:
    """As a guide has it."""
    rows = [HEAD, ["---"] * len(HEAD), *(each.row() for each in outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


# --- who wants what ---------------------------------------------------------------------------------------------------


def regular_of(seed: int, day: int) -> list[Work]:
    """The regular Jobs of one day, more of them by day than by night. day: 0 is the one that is played."""
    dice, found, at_s = random.Random(f"{seed}/{day}"), list[Work](), 0.0
    while True:
        at_s += dice.expovariate(REGULAR_A_MINUTE * 1.7 / MINUTE_S)
        if at_s >= DAY_S:
            return found
        share = (1 + 0.7 * math.cos(2 * math.pi * (at_s - 14 * HOUR_S) / DAY_S)) / 1.7
        work = Work(f"regular-{len(found)}", at_s, dice.choice(REGULAR_CPU), dice.choice(MINUTES[2:]))
        if dice.random() < share:
            found.append(work)


def preemptible_of(plan: Plan) -> list[Work]:
    dice = random.Random(plan.seed)
    return [
        Work(f"job-{number}", dice.uniform(60, plan.hours * HOUR_S), dice.choice((2, 4, 4, 8, 8)), dice.choice(MINUTES))
        for number in range(plan.jobs)
    ]


def others_of(seed: int) -> series.Series:
    return series.parse({**OTHERS, "seed": seed}, BIRTH.timestamp())


def learned(seed: int) -> History:
    """As fifteen days of the same provider would have left it."""
    begin_s, others = int(BIRTH.timestamp()) - LEARNED_DAYS * DAY_S, others_of(seed)
    steps = [0.0] * (LEARNED_DAYS * DAY_S // MINUTE_S + 120)
    for day in range(LEARNED_DAYS):
        for work in regular_of(seed, day - LEARNED_DAYS):
            first = int(day * DAY_S + work.at_s) // MINUTE_S
            steps[first] += work.cpu
            steps[min(len(steps) - 1, first + work.minutes + 1)] -= work.cpu
    history, ours = History(), 0.0
    for minute in range(LEARNED_DAYS * DAY_S // MINUTE_S):
        ours += steps[minute]
        when_s = begin_s + minute * MINUTE_S
        history.record(when_s, ours + others.at(when_s))
    return history


# --- the day ----------------------------------------------------------------------------------------------------------


class Soak:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        options: Json = {"reserve_percent": 0, "external_predictions": True} if plan.is_naive else {}
        self.world = World(
            quota=QUOTA,
            rules=RULES,
            poll_s=10.0,
            start_cpu=DEEP if plan.is_naive else 16,
            **options,
        )
        self.world.keep_history(learned(plan.seed))
        if plan.is_naive:
            self._say_that_nothing_comes()
        service, now_s = self.world.cloud.service, BIRTH.timestamp()
        service.others = others_of(plan.seed)
        market = {"price": {**PRICE, "seed": plan.seed + 1}, "stock": {**STOCK, "seed": plan.seed + 2}}
        service.market.change(market, now_s)
        self._all_done = asyncio.Event()
        self.works = preemptible_of(plan)
        self.regulars = [each for each in regular_of(plan.seed, 0) if each.at_s < plan.hours * HOUR_S]
        self.outcome = Outcome("all that is idle" if plan.is_naive else "forecast", plan.jobs, len(self.regulars))

    def _say_that_nothing_comes(self) -> None:
        self.world.predict({"algorithmType": "dsp", "dsp": {"historyLength": "15d", "sampleInterval": "60s"}})
        sample = {"value": "0.00000", "timestamp": int(BIRTH.timestamp()) + 2 * DAY_S}
        metric = {"resourceIdentifier": "cpu", "ready": True, "prediction": [{"labels": [], "samples": [sample]}]}
        row = self.world.api.catalog.by_kind("prediction.crane.io/v1alpha1", "TimeSeriesPrediction")
        assert row is not None
        body = {"status": {"predictionMetrics": [metric]}}
        self.world.api.patch(row, "noderesource-vk", "crane-system", body, kind="merge", subresource="status")

    async def run(self) -> Outcome:
        began_s, world = time.process_time(), self.world
        async with world.running():
            following = [asyncio.create_task(each) for each in (self._pods(), self._jobs(), self._events())]
            coming = sorted([*self.works, *self.regulars], key=lambda each: each.at_s)
            for work in coming:
                await asyncio.sleep(max(0.0, work.at_s - world.time_s))
                image = f"min{work.minutes}"
                if work.name.startswith("job-"):
                    world.job(work.name, cpu=work.cpu, image=image, ttl_s=TTL_S)
                else:
                    world.regular(work.name, cpu=work.cpu, image=image, ttl_s=TTL_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self.plan.hours * HOUR_S + AFTER_S - world.time_s)):
                    await self._all_done.wait()
            await asyncio.sleep(60)
            for task in following:
                assert not task.done(), task.exception()
                task.cancel()
        self._bill()
        self.outcome.seconds = time.process_time() - began_s
        return self.outcome

    async def _pods(self) -> None:
        """When each regular pod ran for the first time, and what it was told before."""
        created: dict[str, float] = {}
        async for event in self.world.api.watch("pods", "default", resource_version=""):
            pod = event.object
            name = pod["metadata"]["name"]
            if not name.startswith("regular-"):
                continue
            began_s = created.setdefault(name, self.world.time_s)
            phase = pod["status"].get("phase")
            if phase in ("Running", "Succeeded"):
                self.outcome.waits_s.setdefault(name, self.world.time_s - began_s)
            for each in pod["status"].get("conditions") or ():
                is_refused = each["type"] == "ContainerInstanceCreated" and each["status"] == "False"
                if is_refused and each["reason"] != "Creating":  # after a wait, while its instance is made
                    self._told(name, each["reason"])

    async def _jobs(self) -> None:
        async for event in self.world.api.watch("jobs.batch", "default", resource_version=""):
            name, status = event.object["metadata"]["name"], event.object.get("status") or {}
            if name.startswith("job-") and status.get("succeeded") and name not in self.outcome.completed:
                self.outcome.completed.add(name)
                self.outcome.last_s = self.world.time_s
            if status.get("failed"):
                self.outcome.failed.add(name)
            if len(self.outcome.completed | self.outcome.failed) == self.plan.jobs:
                self._all_done.set()

    async def _events(self) -> None:
        """Events live for an hour, so that they are counted as they come."""
        seen = set[str]()
        async for event in self.world.api.watch("events", resource_version=""):
            found = event.object
            about = found["involvedObject"]
            if found["reason"] == "PreemptibleReclaim" and about["uid"] not in seen:
                seen.add(about["uid"])
                self.outcome.reclaims += 1
            if about.get("kind") == "Pod" and about["name"].startswith("regular-") and found["type"] == "Warning":
                self._told(about["name"], found["reason"])

    def _told(self, name: str, reason: str) -> None:
        (self.outcome.waited if reason == WAITING_EVENT else self.outcome.troubled).add(name)

    def _bill(self) -> None:
        service = self.world.cloud.service
        now_s = service.clock.now()
        entries: list[Mapping[str, Any]] = [
            *service.ledger.entries(),
            *(billing.entry(each, now_s) for each in service.store),
        ]
        once = {each["id"]: each for each in entries}.values()
        self.outcome.spot_cost = sum(each["cost"] for each in once if each["spot_strategy"] != "NoSpot")
        self.outcome.on_demand_cost = sum(
            price_per_second(float(each.cpu), 4.0 * each.cpu) * (START_S + 60 * each.minutes)
            for each in self.works
            if each.name in self.outcome.completed
        )


def day_of(plan: Plan) -> Outcome:
    """The same plan is the same day."""

    async def told() -> Outcome:
        return await Soak(plan).run()

    with ProviderLog(logging.ERROR):
        return play(told())


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--policy", choices=("forecast", "naive", "both"), default="both")
    given = parser.parse_args(words)
    outcomes = []
    for is_naive in (False, True):
        if given.policy not in ("both", "naive" if is_naive else "forecast"):
            continue
        outcome = day_of(Plan(is_naive=is_naive, seed=given.seed, jobs=given.jobs, hours=given.hours))
        outcomes.append(outcome)
        sys.stdout.write(f"{outcome.policy}: {outcome.seconds:.0f} s of this machine\n")
        sys.stdout.flush()
    sys.stdout.write(table(outcomes) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
