"""A provider that runs is scraped, once a second for a while, and Prometheus evaluates what it said: every query of the
dashboard answers with a number, and where all is well no alert fires."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from fakes.up import NODE_NAME
from tests.local.conftest import World, job, make, pod

from . import promtool
from .promtool import with_promtool

__all__ = ["make"]  # a fixture

SCRAPES = 25
SCENARIO = """
[[rule]]
name = "vk-short*"
pull_s = 0.2
duration_s = 1

[[rule]]
pull_s = 0.2
duration_s = 100000
stop_s = 0.1
"""
METRICS = f"/api/v1/nodes/{NODE_NAME}/proxy/metrics"


async def scraped(world: World) -> str:
    """As whoever may read metrics of nodes gets it, through the API server."""
    return await world.kubectl("get", "--raw", METRICS)


def series_of(pages: Sequence[str]) -> dict[str, str]:
    """One value a page, `_` where a series was not there (yet)."""
    found: dict[str, list[str]] = {}
    for number, page in enumerate(pages):
        for line in page.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values = found.setdefault(name, [])
                values += ["_"] * (number - len(values)) + [value]
    return {name: " ".join([*values, *["_"] * (len(pages) - len(values))]) for name, values in found.items()}


@with_promtool
async def test_what_a_running_provider_says_is_enough_for_every_query(make, tmp_path: Path) -> None:
    world: World = await make(scenario=SCENARIO, provider_arguments=("--poll-interval-s=0.5", "--orphan-age-s=0"))
    pages = [await scraped(world)]
    await world.apply(job("short-0", "true"), pod("steady"), pod("refused", hostPID=True))
    await world.phase("steady", "Running")
    for number in range(1, SCRAPES):
        began = asyncio.get_running_loop().time()
        if number % 5 == 0:
            await world.apply(job(f"short-{number}", "true"))
        pages.append(await scraped(world))
        await asyncio.sleep(max(0.0, began + 1 - asyncio.get_running_loop().time()))  # so often as it is evaluated
    assert re.search(r'vk_pod_start_seconds_count{stage="running"} [1-9]', pages[-1])
    promtool.run(tmp_path, [promtool.answers(series_of(pages), at=f"{SCRAPES - 1}s", interval="1s")], every="1s")

    # The last page, unchanged for two hours: a node with a pod that runs and one that was refused is no emergency.
    still = {name: f"{values.rpartition(' ')[2]}x120" for name, values in series_of(pages[-1:]).items()}
    silent = [promtool.case(still, set(), at=f"{minutes}m") for minutes in (10, 60, 110)]
    promtool.run(tmp_path, silent)
