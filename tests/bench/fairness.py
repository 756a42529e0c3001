"""`python -m tests.bench.fairness`: how long honest pods take to run beside a namespace that floods, and without it.

On virtual time, with the provider's loops and the driver's own limits of calls before a cloud in memory: the same
figures on every machine. Seconds are from bound to Running.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.control import pure_time
from tests.control.living_cloud import Life, LivingCloud
from tests.control.world import World
from vk_provider.cloud.eci.client import PER_MINUTE
from vk_provider.pacing.callers import caller
from vk_provider.pacing.sliding_window import Limits

CREATE, DELETE = "CreateContainerGroup", "DeleteContainerGroup"
WORKERS = 128  # the provider's default
CALL_S, STARTS_S = 0.1, 0.5
WITHIN_S = 3600.0
HONEST, HOSTILE = "web", "flood"


@dataclass(frozen=True)
class Case:
    """honest, hostile: how many pods. per_minute: creates that the cloud allows. later_s: from the flood to the honest
    pods, all of which come at once."""

    per_minute: int
    later_s: float
    honest: int = 100
    hostile: int = 1000


CASES = [
    Case(per_minute, later_s, honest)
    for per_minute in (PER_MINUTE[CREATE], 100)
    for honest in (100, 10)
    for later_s in (1.0, 30.0)
]


@dataclass(frozen=True)
class Figures:
    """Seconds of the honest pods, in order. flood_s: until the last hostile pod ran."""

    honest: Sequence[float]
    flood_s: float

    def percentile(self, part: float) -> float:
        return self.honest[math.ceil(len(self.honest) * part) - 1]


class RationedCloud(LivingCloud):
    """Behind the driver's own limits, shared by whom a call is made for."""

    def __init__(self, clock: Any, per_minute: int) -> None:
        super().__init__(clock)
        self.limits = Limits({CREATE: per_minute, DELETE: per_minute}, default=500)
        self.changed: dict[str, float] = {}

    def life_of(self, name: str) -> Life:
        return Life(starts_s=STARTS_S)

    async def create(self, workload: Any) -> Any:
        await self.limits.bucket(CREATE).acquire(caller())
        await asyncio.sleep(CALL_S)
        return await super().create(workload)

    async def changes(self, window_s: int) -> Any:
        return self._lately(await super().changes(window_s), window_s)

    async def events(self, window_s: int) -> Any:
        return self._lately(await super().events(window_s), window_s)

    def _lately(self, reports: Any, window_s: int) -> list[Any]:
        since_s = asyncio.get_running_loop().time() - window_s
        return [each for each in reports if self.changed.get(each.id, 0.0) >= since_s]

    def set(self, instance_id: str, **changes: object) -> None:
        self.changed[instance_id] = asyncio.get_running_loop().time()
        super().set(instance_id, **changes)


def measured(case: Case, *, flood: bool) -> Figures:
    """flood False: the honest pods alone."""
    return pure_time.play(_story(case, case.hostile if flood else 0))


async def _story(case: Case, hostile: int) -> Figures:
    world = World(kube_latency_s=0.01)
    world.cloud = RationedCloud(world.now, case.per_minute)
    dice = random.Random(1)
    async with world.running(workers=WORKERS, jitter=dice.random()):
        await asyncio.sleep(1.0)
        began_s = world.time_s
        flooding = [world.kube.add_pod(f"f{number}", namespace=HOSTILE, policy="Always") for number in range(hostile)]
        await asyncio.sleep(case.later_s)
        bound_s = world.time_s
        honest = [world.kube.add_pod(f"w{number}", namespace=HONEST, policy="Always") for number in range(case.honest)]
        running: dict[str, float] = {}

        def all_run() -> bool:
            for pod in world.kube.pods():
                if pod["status"].get("phase") == "Running":
                    running.setdefault(pod["metadata"]["uid"], world.time_s)
            return len(running) == len(honest) + len(flooding)

        await world.until(all_run, within_s=WITHIN_S)
    return Figures(
        sorted(running[uid] - bound_s for uid in honest),
        max((running[uid] - began_s for uid in flooding), default=0.0),
    )


def table(cases: Sequence[Case]) -> Iterator[str]:
    yield "| creates a minute | honest pods | they come after | alone: p50, p99 | beside the flood: p50, p99 | flood |"
    yield "|---|---|---|---|---|---|"
    for case in cases:
        alone, beside = measured(case, flood=False), measured(case, flood=True)
        cells = (
            f"{case.per_minute:,}",
            str(case.honest),
            f"{case.later_s:.0f} s",
            f"{alone.percentile(0.5):.1f} s, {alone.percentile(0.99):.1f} s",
            f"{beside.percentile(0.5):.1f} s, {beside.percentile(0.99):.1f} s",
            f"{case.hostile:,} in {beside.flood_s:.0f} s",
        )
        yield f"| {' | '.join(cells)} |"


def main() -> int:
    argparse.ArgumentParser(prog="python -m tests.bench.fairness", description=__doc__).parse_args()
    for line in table(CASES):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
