"""Stories of preemptible Jobs by a seed, on virtual time: loads, markets, deletions, deaths; and an audit.

python -m tests.preemptible.chaos --seeds 100
python -m tests.preemptible.chaos --seed 7 --plant double-victim
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from functools import singledispatchmethod
from typing import Any

from fakes.cloud.series import Constant
from tests.control.pure_time import play
from tests.preemptible import plants
from tests.preemptible.audit import Audit, Story
from tests.preemptible.happenings import (
    CloudTakesBack,
    Happening,
    JobComes,
    LeaderChanges,
    LoadChanges,
    MarketChanges,
    Plan,
    PodIsDeleted,
    ProviderDies,
    QuotaIsSilent,
    RegularComes,
    drawn,
)
from tests.preemptible.process import Process
from tests.preemptible.world import World
from tests.providerlog import ProviderLog

QUOTA = 96.0
LOAD = 20.0
WARM_UP_S = 40.0
CALM_S = 1800.0
FORGETTING = {"algorithmType": "percentile", "percentile": {"percentile": "0.5"}}
"""So that some minutes of a load over the quota do not close the offer for the hours after it, as they should else."""
SETTLED_S = 30.0
RULES = """
[[rule]]
image = "short*"
duration_s = 120
stop_s = 10
[[rule]]
image = "stubborn*"
duration_s = 300
stop_s = 60
[[rule]]
image = "*"
duration_s = 240
stop_s = 20
"""


class Chaos:
    def __init__(self, plan: Plan, *, seed: int = 0, plant: str = "") -> None:
        self.plan, self.plant, self.story = plan, plant, Story(seed)
        self.world = World(quota=QUOTA, others=LOAD, rules=RULES, poll_s=3.0, nodes=plan.names)
        for name in plan.names:
            self.world.predict(FORGETTING, node=name)
        self.audit = Audit(self.world, self.story, quota=QUOTA, neighbours=self._neighbours)
        self.processes: list[Process] = []
        self.jobs: list[str] = []
        self.regulars: list[str] = []
        self.deleted: dict[str, int] = {}  # pods by Job, which may count each as a failure

    def say(self, text: str) -> None:
        self.story.said.append(f"{self.world.time_s:8.1f} s  {text}")

    def _neighbours(self, node: str) -> Collection[str]:
        return next((each.names for each in self.processes if node in each.names), ())

    async def play(self) -> Story:
        first, *others = self.plan.processes
        async with self.world.running(names=first) as process:
            self.processes = [process, *(self.world.start(names=names) for names in others)]
            for each in self.processes:
                plants.give(each, self.plant)
            watching = asyncio.create_task(self.audit.run())
            await asyncio.sleep(WARM_UP_S)
            await self._trouble()
            if not (self.plant and self.story.found):
                self.say("calm")
                self._set_load(LOAD)
                self.world.cloud.service.market.change({"price": 0.3, "stock": None}, self._now())
                self.world.cloud.refusing.clear()
                await self._calm()
                self._judge()
            assert not watching.done(), watching.exception()
            watching.cancel()
            for each in self.processes:
                if each.task.done() and each.task.exception():
                    self.story.found.append(f"the provider ended by itself: {each.task.exception()!r}")
                else:
                    await each.end()
        return self.story

    async def _trouble(self) -> None:
        """All that happens; or less, once a planted fault is found."""
        happening = asyncio.gather(*(self._at(each) for each in self.plan.happenings))
        while not happening.done():
            await asyncio.wait([happening], timeout=5.0)
            if self.plant and self.story.found:
                happening.cancel()
                with suppress(asyncio.CancelledError):
                    await happening
                return
        happening.result()

    async def _at(self, happening: Happening) -> None:
        await asyncio.sleep(happening.at_s)
        await self.happens(happening)

    async def _calm(self) -> None:
        """Until all is done and nothing is left, or for so long no further pod was done: what is slow is not stuck."""
        end_s, settled_s, done = self.world.time_s + CALM_S, 0.0, 0
        while self.world.time_s < end_s and settled_s < SETTLED_S:
            await asyncio.sleep(5.0)
            if (now_done := self.world.phases().get("Succeeded", 0)) > done:
                end_s, done = self.world.time_s + CALM_S, now_done
            settled_s = settled_s + 5.0 if self._is_settled() else 0.0

    def _is_settled(self) -> bool:
        phases = self.world.phases()
        return (
            not phases.get("Pending")
            and not phases.get("Running")
            and all(self._is_complete(name) for name in self.jobs)
            and not [each for each in self.world.groups() if each.ended_at is None]
        )

    def _now(self) -> float:
        return self.world.cloud.service.clock.now()

    def _set_load(self, vcpu: float) -> None:
        self.world.cloud.service.others = Constant(vcpu)

    # --- what happens

    @singledispatchmethod
    async def happens(self, happening: Any) -> None:
        raise NotImplementedError(happening)

    @happens.register
    async def _(self, job: JobComes) -> None:
        name = f"job{len(self.jobs)}"
        self.say(f"Job {name}: {job.pods} pods of {job.cpu} vCPU, {job.image}")
        self.world.job(name, cpu=job.cpu, parallelism=job.pods, image=job.image, backoff_limit=10)
        self.jobs.append(name)

    @happens.register
    async def _(self, regular: RegularComes) -> None:
        name = f"regular{len(self.regulars)}"
        self.say(f"{name} of {regular.cpu} vCPU")
        self.world.regular(name, cpu=regular.cpu, image="short")
        self.regulars.append(name)

    @happens.register
    async def _(self, load: LoadChanges) -> None:
        self.say(f"others hold {load.vcpu} vCPU")
        self._set_load(load.vcpu)
        self.audit.disturb(0.0)

    @happens.register
    async def _(self, market: MarketChanges) -> None:
        self.say(f"spot costs {market.price}, stock {market.stock}")
        self.world.cloud.service.market.change({"price": market.price, "stock": market.stock}, self._now())

    @happens.register
    async def _(self, death: ProviderDies) -> None:
        process = self.processes[death.process % len(self.processes)]
        if process.task.done():
            return
        process.fate.kill_at = process.fate.steps + death.steps
        try:
            async with asyncio.timeout(30):
                await process.fate.dead.wait()
        except TimeoutError:
            process.fate.dead.set()
        names = process.names
        self.audit.disturb(90.0)
        await process.end()
        self.say(f"the provider of {' and '.join(names) or 'no node'} dies, for {death.away_s} s")
        await asyncio.sleep(death.away_s)
        if process in self.processes:  # nobody else has begun anew for it meanwhile
            self.processes[self.processes.index(process)] = self._begun(names)

    def _begun(self, names: tuple[str, ...]) -> Process:
        process = self.world.start(names=names)
        plants.give(process, self.plant)
        return process

    @happens.register
    async def _(self, change: LeaderChanges) -> None:
        name = self.plan.names[change.node % len(self.plan.names)]
        before = next((each for each in self.processes if name in each.names), None)
        if before is None or before.task.done() or before.fate.dead.is_set() or not before.is_up:
            return
        self.audit.disturb(90.0)
        await before.leave(name)
        after = next((each for each in self.processes if each is not before and each.is_up), None)
        self.say(f"{name} goes to {'another process' if after else 'a new process'}")
        if after is not None and not after.fate.dead.is_set():
            await after.take(name)
            return
        self.processes.append(self._begun((name,)))
        if not before.names:
            self.processes.remove(before)
            await before.end()

    @happens.register
    async def _(self, deletion: PodIsDeleted) -> None:
        found = [pod for pod in self.world.pods("job") if pod["status"].get("phase") in ("Pending", "Running")]
        if found:
            name = found[int(deletion.pick * len(found)) % len(found)]["metadata"]["name"]
            self.say(f"pod {name} is deleted")
            job = name.rpartition("-")[0]
            self.deleted[job] = self.deleted.get(job, 0) + 1
            self.world.api.delete("pods", name, "default")

    @happens.register
    async def _(self, silence: QuotaIsSilent) -> None:
        self.say(f"the quota cannot be read, for {silence.lasts_s} s")
        self.audit.disturb(silence.lasts_s + 60.0)
        self.world.cloud.refusing.add("ListUsage")
        await asyncio.sleep(silence.lasts_s)
        self.world.cloud.refusing.clear()

    @happens.register
    async def _(self, taken: CloudTakesBack) -> None:
        groups = [each for each in self.world.groups() if each.spot is not None and each.status == "Running"]
        if groups:
            group = groups[int(taken.pick * len(groups)) % len(groups)]
            self.say(f"the cloud takes {group.id} back")
            self.world.cloud.service.lifecycle.reclaim(group, self._now(), notice_s=30.0)

    # --- what came of it

    def _is_complete(self, name: str) -> bool:
        return any(each["type"] == "Complete" for each in self.world.job_status(name).get("conditions") or ())

    def _judge(self) -> None:
        world, found = self.world, self.story.found
        for name in self.jobs:
            status, ours = world.job_status(name), self.deleted.get(name, 0)
            if not self._is_complete(name):
                found.append(f"Job {name} is stuck: {status.get('active', 0)} active, {status}")
            if status.get("failed", 0) > ours:
                found.append(f"Job {name} counts {status['failed']} failures, {ours} are ours")
        for name in self.regulars:
            if not world.phases(f"{name}-").get("Succeeded"):
                found.append(f"{name} never ran: {world.phases(f'{name}-')}")
        for group in world.groups():
            if group.ended_at is None:
                found.append(f"instance {group.id} is leaked, {group.status}")
        reclaims = {event["involvedObject"]["uid"] for event in world.events("PreemptibleReclaim")}
        self.story.facts = {
            "reclaims": len(reclaims),
            "jobs": len(self.jobs),
            "regular": len(self.regulars),
            "longest wait": round(self.audit.longest_wait_s),
        }


def story_of(plan: Plan, *, seed: int = 0, plant: str = "") -> Story:
    """The same plan is the same story. What the provider calls an error is a violation: nothing here is a reason."""

    async def told() -> Story:
        return await Chaos(plan, seed=seed, plant=plant).play()

    with ProviderLog(logging.ERROR) as log:
        story = play(told())
    story.found += log.lines
    return story


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--plant", choices=plants.PLANTS, default="")
    given = parser.parse_args(words)
    bad, began_s = 0, time.process_time()
    for seed in range(given.seed, given.seed + given.seeds):
        story = story_of(drawn(seed), seed=seed, plant=given.plant)
        lines = [f"seed {seed}: {story.facts} {'; '.join(story.found) or 'nothing amiss'}"]
        if story.found:
            bad += 1
            lines += [f"    {line}" for line in story.said]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{given.seeds} seeds, {bad} with violations, {time.process_time() - began_s:.0f} s of a core\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
