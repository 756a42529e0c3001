"""A day of preemptible Jobs, told and drawn: the real provider between the stand-in cloud and cluster, on a fast clock.

    python -m tests.preemptible.demo [--out FOLDER]

Every step is checked while it is told; exit code 0 means that all of it happened. FOLDER gets `day.svg` and `day.html`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from fakes.cloud import billing, series
from fakes.console import Console
from fakes.daychart import Moment, page, svg
from fakes.kube import tables
from tests.control.pure_time import play
from tests.preemptible.process import Process
from tests.preemptible.world import BIRTH, RULES, World
from tests.providerlog import ProviderLog
from vk_provider.idle.history import DAY_S, MINUTE_S, History

Json = dict[str, Any]

QUOTA = 200.0
HOUR_S = 3600.0
WAVE = {"mean": 75, "amplitude": 45, "period_s": 86400, "peak_s": 14 * HOUR_S, "noise": 3, "seed": 7, "least": 10}
MARKET = {"mean": 0.3, "amplitude": 0.05, "period_s": 86400, "peak_s": 14 * HOUR_S, "noise": 0.02, "seed": 3}
SAMPLE_S = 300.0
POLL_S = 15.0
NIGHT_JOBS = ((1.0, "fold", 4, 24), (3.0, "render", 8, 14), (5.0, "train", 8, 6))  # hour, name, vCPU of a pod, pods
DAY_JOBS = ((9.5, "sweep", 4, 12), (12.5, "index", 4, 6), (16.0, "grade", 4, 8))
EVENING_JOBS = ((19.5, "encode", 4, 16), (21.5, "sum", 8, 14))
MOST_BILL = 0.4


class StoryBroken(Exception):
    """A step did not happen as told."""


@dataclass(slots=True)
class Day:
    """moments: for the chart. waits_s: of regular pods, from their creation until they ran."""

    console: Console
    world: World
    process: Process | None = None
    moments: list[Moment] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)

    def expect(self, condition: object, what: str) -> None:
        if not condition:
            raise StoryBroken(what)

    def clock(self) -> str:
        return (BIRTH + timedelta(seconds=self.world.time_s)).strftime("%H:%M")

    def say(self, text: str) -> None:
        self.console.done(f"{self.clock()}  {text}")

    def show(self, resource: str, prefix: str = "") -> None:
        """As kubectl would."""
        found, version = self.world.api.list(resource, None if resource == "nodes" else "default")
        chosen = [each for each in found if each["metadata"]["name"].startswith(prefix)]
        row = self.world.api.row(resource)
        meta = {"resourceVersion": version}
        shown = tables.table(row, chosen, self.world.now(), version="v1", include="None", metadata=meta, head=True)
        self.console.command(f"kubectl get {row.plural}" + (f" | grep {prefix}" if prefix else ""))
        self.console.table(shown)

    async def sample(self) -> None:
        """A reading every few minutes, for the chart."""
        reclaimed = 0
        while True:
            assert self.process is not None
            evaluation = self.process.idle.account.evaluation
            quota = self.process.idle.account.quota
            if evaluation is not None and quota is not None:
                ended = len(self.world.events("PreemptibleReclaim"))
                self.moments.append(
                    Moment(
                        when_s=self.world.time_s,
                        quota=quota.most_cpu,
                        regular=quota.regular_cpu,
                        forecast=evaluation.prediction.peak if evaluation.prediction else quota.most_cpu,
                        offered=float(sum(self.world.published(name) for name in self.world.names)),
                        preemptible=quota.preemptible_cpu,
                        reclaims=max(0, ended - reclaimed),
                    )
                )
                reclaimed = ended
            await asyncio.sleep(SAMPLE_S)

    async def at(self, hours: float) -> None:
        await asyncio.sleep(max(0.0, hours * HOUR_S - self.world.time_s))

    def preemptible(self, name: str, cpu: int, count: int) -> None:
        self.world.job(name, cpu=cpu, parallelism=count, image="hour")
        self.jobs.append(name)

    async def regular(self, name: str, cpu: int, *, within_s: float = 100.0) -> float:
        """Seconds until it runs."""
        self.world.regular(name, cpu=cpu, image="while")
        asked_s = self.world.time_s
        await self.world.until(lambda: self.world.running_count(name) == 1, within_s=within_s)
        self.waits_s.append(self.world.time_s - asked_s)
        return self.waits_s[-1]


def keep_history(world: World) -> None:
    """As fifteen days of the same provider would have left it."""
    wave = series.parse(WAVE, BIRTH.timestamp())
    history, now_s = History(), int(BIRTH.timestamp())
    for when_s in range(now_s - 15 * DAY_S, now_s, MINUTE_S):
        history.record(when_s, wave.at(when_s))
    world.keep_history(history)


async def told(console: Console) -> Day:
    world = World(quota=QUOTA, others=60, rules=RULES, poll_s=POLL_S)
    keep_history(world)
    world.cloud.service.others = series.parse(WAVE, BIRTH.timestamp())
    world.cloud.service.market.change({"price": MARKET}, BIRTH.timestamp())
    day = Day(console, world)
    async with world.running() as process:
        day.process = process
        sampling = asyncio.create_task(day.sample())
        await night(day)
        await morning(day)
        await rest_of_the_day(day)
        sampling.cancel()
    return day


async def night(day: Day) -> None:
    console, world = day.console, day.world
    console.chapter("Night: the account's quota is 200 vCPU, and its regular pods use little of it")
    await world.until(lambda: world.published() > 0, within_s=120)
    capacity = world.api.get("nodes", "vk")["status"]["allocatable"]
    day.show("nodes")
    for name in ("cpu", "gocrane.io/cpu", "gocrane.io/memory"):
        console.indented(f"{name}: {capacity[name]}")
    day.say(f"the node offers {capacity['gocrane.io/cpu']} vCPU that nobody is going to need in the next hour")
    for hours, name, cpu, count in NIGHT_JOBS:
        await day.at(hours)
        day.preemptible(name, cpu, count)
        await asyncio.sleep(60)
        day.say(f"Job {name}: {count} pods of {cpu} vCPU, {world.running_count(name)} run as spot instances already")
    world.job("huge", cpu=16, memory="480Gi", image="while")
    day.jobs.append("huge")
    await world.until(lambda: any("gocrane.io/memory" in each for each in world.messages("huge")), within_s=120)
    day.show("pods", "huge")
    console.indented(world.messages("huge")[0])
    day.say("a Job that asks for more than is idle waits, and its pods say what is missing")


async def morning(day: Day) -> None:
    console, world = day.console, day.world
    await day.at(7.0)
    console.chapter("Morning: more regular work arrives than anybody foresaw, and wins")
    world.job("long", cpu=8, parallelism=8, image="hour")
    day.jobs.append("long")
    await asyncio.sleep(120)
    free = QUOTA - world.used()
    day.say(f"{world.used():.0f} of 200 vCPU are used, {free:.0f} are left; now the Job pi asks for 16, seven times")
    waits = [await day.regular(f"pi-{number}", 16) for number in range(7)]
    day.show("pods", "pi-")
    victims = [pod for pod in world.pods() if pod["status"].get("reason") == "Preempted"]
    day.expect(victims, "nobody was reclaimed")
    reclaim = world.events("PreemptibleReclaim")[0]
    console.indented(f"Warning  {reclaim['reason']}  {reclaim['message']}")
    kept = next(each for each in victims[0]["status"]["conditions"] if each["type"] == "DisruptionTarget")
    console.indented(f"condition DisruptionTarget={kept['status']} ({kept['reason']}), phase Failed, reason Preempted")
    day.say(f"all seven run, the slowest after {max(waits):.0f} s; {len(victims)} preemptible pods ended for them")
    day.expect(max(waits) <= 85, f"a regular pod waited {max(waits):.0f} s")
    others = [pod for pod in victims if not pod["metadata"]["name"].startswith("long-")]
    day.expect(not others, "older pods ended than those of the Job long")


async def rest_of_the_day(day: Day) -> None:
    console, world = day.console, day.world
    console.chapter("Day and evening: the offer follows the forecast, and what was reclaimed is done all the same")
    for hours, name, cpu, count in (*DAY_JOBS, *EVENING_JOBS):
        await day.at(hours)
        day.preemptible(name, cpu, count)
        day.say(f"Job {name}: {count} pods of {cpu} vCPU; the node offers {world.published()} vCPU")
        if hours == 16.0:
            for number in range(3):
                await day.regular(f"report-{number}", 12)
    await day.at(23.9)
    for name in day.jobs:
        if name != "huge":
            status = world.job_status(name)
            day.expect(status.get("succeeded"), f"Job {name} is not done: {status}")
            day.expect(not status.get("failed"), f"Job {name} counts failures: {status}")
    day.show("jobs.batch")
    done = world.job_status("long").get("succeeded")
    ended = sum(pod["status"].get("reason") == "Preempted" for pod in world.pods("long"))
    day.expect(done == 8, f"{done} of 8 pods of the Job long are done")
    day.say(f"{ended} pods of the Job long ended for regular ones, and it is done all the same: 8 of 8, none failed")


def bill(world: World) -> tuple[float, float]:
    """What preemptible pods cost, and what they would have cost on demand."""
    now = world.cloud.service.clock.now()
    entries = [*world.cloud.service.ledger.entries(), *(billing.entry(each, now) for each in world.cloud.service.store)]
    spot = [each for each in {each["id"]: each for each in entries}.values() if each["spot_strategy"] != "NoSpot"]
    return sum(each["cost"] for each in spot), sum(each["cost_on_demand"] for each in spot)


def serve(out: Path | None) -> int:
    console, began_s = Console.of_terminal(), time.monotonic()
    try:
        with ProviderLog(logging.ERROR):
            day = play(told(console))
        cost, full = bill(day.world)
        share = cost / full if full else 1.0
        day.expect(share <= MOST_BILL, f"the bill is {share:.0%} of that on demand")
    except (StoryBroken, AssertionError) as error:
        console.failed(f"the demo stopped: {error}")
        return 1
    reclaims = len(day.world.events("PreemptibleReclaim"))
    facts = {
        "preemptible Jobs completed": f"{sum(bool(day.world.job_status(name).get('succeeded')) for name in day.jobs)}",
        "pods reclaimed for regular ones": str(reclaims),
        "slowest regular pod": f"{max(day.waits_s):.0f} s from its creation until it ran",
        "spot bill": f"{cost:.2f} CNY, {share:.0%} of {full:.2f} CNY on demand",
        "simulated in": f"{time.monotonic() - began_s:.0f} s",
    }
    console.chapter("What came of it")
    for name, value in facts.items():
        console.indented(f"{name}: {value}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        title = "A day of preemptible Jobs on a quota of 200 vCPU"
        (out / "day.svg").write_text(svg(day.moments, title=title) + "\n")
        lasting = {name: value for name, value in facts.items() if name != "simulated in"}
        (out / "day.html").write_text(page(day.moments, title=title, facts=lasting))
        console.text(f"\n  The day as a picture: {out / 'day.html'}\n")
    return 0


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("deploy/preemptible"), help="where day.svg and day.html go")
    return serve(parser.parse_args(words).out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
