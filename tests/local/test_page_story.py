"""The live page while something happens, in a real browser: a Job's cost ticks and stops, idle quota is used.

Screenshots are kept where VK_SCREENSHOTS names a folder.
"""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.up import dashboard_url
from tests.dashboard import chromium
from tests.local.conftest import World, job
from vk_provider.idle.history import DAY_S, MINUTE_S, History
from vk_provider.preemptible.checkpoint import KEY

pytestmark = pytest.mark.skipif(not chromium.program(), reason=chromium.MISSING)

COST = "parseFloat(document.getElementById('%s').textContent) || 0"
NOW, TOTAL = COST % "cost-now", COST % "cost-total"
QUOTA, OTHERS = 64, 16
TICKS_S = 2.0  # between two snapshots


@asynccontextmanager
async def page(world: World):
    async def is_served() -> bool:
        return bool(dashboard_url(world.local))

    await world.until(is_served, what="the page is served")
    async with chromium.a_tab() as tab:
        await tab.open(dashboard_url(world.local))
        await tab.until("document.getElementById('state').textContent === 'ready'")
        yield tab
        assert tab.errors == []


async def picture(tab: chromium.Tab, tmp_path: Path, name: str) -> None:
    await tab.screenshot(Path(os.environ.get("VK_SCREENSHOTS") or tmp_path) / f"{name}.png")


async def test_the_cost_of_the_founding_job_ticks_and_stops(make, tmp_path: Path) -> None:
    world: World = await make(dashboard_port=0)
    async with page(world) as tab:
        assert await tab.value(NOW) == 0
        await world.apply(job("pi", "while [ ! -e /tmp/over ]; do sleep 0.1; done; echo 3.14159"))
        await tab.until(f"{NOW} > 0", within_s=120)
        began = await tab.value(TOTAL)
        await tab.until(f"{TOTAL} > {began}", within_s=120)
        more = await tab.value(TOTAL)
        await tab.until(f"{TOTAL} > {more}", within_s=120)
        await picture(tab, tmp_path, "story-runs")
        [running] = await world.pods(labelSelector="job-name=pi")
        await world.kubectl("exec", "-n", "vk", running["metadata"]["name"], "--", "touch", "/tmp/over")
        await world.phase(running["metadata"]["name"], "Succeeded")
        await tab.until(f"{NOW} === 0", within_s=120)
        ended = await tab.value(TOTAL)
        seen = await tab.value("shot.at")
        await tab.until(f"Date.parse(shot.at) >= Date.parse({seen!r}) + {4 * TICKS_S * 1000}", within_s=120)
        assert await tab.value(TOTAL) <= ended, "it went on costing"  # what it was estimated at may have been more
        assert "Succeeded" in await tab.value("document.getElementById('phases').textContent")
        await picture(tab, tmp_path, "story-ended")


async def test_quota_forecast_published_and_running_are_drawn(make, tmp_path: Path) -> None:
    flags = ("--preemptible-enabled", "--preemptible-first-spot-cpu=10000")
    world: World = await make(dashboard_port=0, provider_arguments=flags)
    await world.cloud("quota", "POST", {"cpu": QUOTA})
    await world.cloud("load", "POST", {"cpu": OTHERS})
    history, now_s = History(), int(time.time())
    for when_s in range(now_s - 7 * DAY_S, now_s, MINUTE_S):
        history.record(when_s, float(OTHERS))
    await world.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vk-provider"}})
    kept = {"name": "vk-provider-idle-history", "namespace": "vk-provider"}
    await world.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": kept, "data": {KEY: history.encode()}})
    before = dashboard_url(world.local)
    await world.crash()
    await world.restart()  # with what it finds kept

    async def is_served_anew() -> bool:
        return dashboard_url(world.local) != before

    await world.until(is_served_anew, what="the page is served again")
    async with page(world) as tab:
        await tab.until(f"shot && shot.idle && shot.idle.quota === {QUOTA} && shot.idle.published > 0", within_s=240)
        assert await tab.value("shot.idle.forecast") >= OTHERS
        idle = job("batch", "sleep 1000")
        template = idle["spec"]["template"]["spec"]
        requests = {"gocrane.io/cpu": "4", "gocrane.io/memory": "8Gi"}
        template["containers"][0]["resources"] = {"requests": requests, "limits": requests}
        await world.apply(idle)
        await tab.until("shot.idle.running >= 4", within_s=120)
        assert await tab.value("!document.getElementById('idle').hidden")
        words = await tab.value("document.getElementById('idle-legend').textContent")
        for name in ("quota 64 vCPU", "forecast of all others", "published", "running 4 vCPU"):
            assert name in words
        await tab.until("document.querySelectorAll('#idle-chart .line').length === 4")
        await picture(tab, tmp_path, "story-idle")
