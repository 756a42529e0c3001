"""kill -9 at any instant: every pod reaches its right end, with one instance ever, and none is left over."""

import asyncio
import random
from collections import Counter

import pytest

from tests.local.conftest import job, pod

SCENARIO = """
[[rule]]
name = "vk-bad*"
pull_s = 0.5
duration_s = 1.5
exit_code = 3

[[rule]]
name = "vk-stay*"
pull_s = 0.5
duration_s = 100000
stop_s = 0.5

[[rule]]
pull_s = 0.5
duration_s = 2
"""
KILLS = 8


def uid_of(group: dict) -> str:
    return next(value for key, value in group["tags"].items() if key.endswith("pod-uid"))


@pytest.mark.parametrize("seed", [1, 2])
async def test_kill_9_at_random_instants_during_a_burst(make, seed):
    world = await make(scenario=SCENARIO, cloud_arguments=("--start-delay=0.5",))
    dice = random.Random(seed)
    good = [job(f"good{number}", "x") for number in range(120)]
    bad = [job(f"bad{number}", "x", backoffLimit=0) for number in range(40)]
    stay = [pod(f"stay{number}") for number in range(40)]
    burst = asyncio.ensure_future(world.apply(*good, *bad, *stay))
    for round_ in range(KILLS):
        await asyncio.sleep(dice.uniform(0.3, 1.6))
        await world.crash()
        if round_ == KILLS // 2:
            await burst
            names = [each["metadata"]["name"] for each in stay[:20]]
            await world.kubectl("-n", "vk", "delete", "pod", *names, "--wait=false")
        await world.restart()
    uids = {each["metadata"]["uid"]: each for each in await world.pods()}

    async def settled():
        jobs = (await world.api.get("/apis/batch/v1/namespaces/vk/jobs"))["items"]
        ended = [each for each in jobs if each["status"].get("conditions")]
        stays = [each for each in await world.pods() if each["metadata"]["name"].startswith("stay")]
        running = [each for each in stays if each["status"].get("phase") == "Running"]
        return len(ended) == 160 and len(stays) == len(running) == 20

    await world.until(settled, within_s=90)
    jobs = (await world.api.get("/apis/batch/v1/namespaces/vk/jobs"))["items"]
    for each in jobs:
        wanted = "Failed" if each["metadata"]["name"].startswith("bad") else "Complete"
        assert wanted in [condition["type"] for condition in each["status"]["conditions"]]
    pods = {each["metadata"]["uid"]: each for each in await world.pods()}
    for each in pods.values():
        ended = each["status"].get("containerStatuses", [{}])[0].get("state", {}).get("terminated")
        if each["metadata"]["name"].startswith("bad"):
            assert (each["status"]["phase"], ended["exitCode"]) == ("Failed", 3)
        if each["metadata"]["name"].startswith("good"):
            assert (each["status"]["phase"], ended["exitCode"]) == ("Succeeded", 0)

    ever = Counter(uid_of(group) for group in (await world.cloud("bill"))["groups"])
    assert set(pods) <= set(ever)
    assert max(ever.values()) == 1, "a pod had more than one instance"
    assert uids, "the burst was there"

    async def no_orphan():
        return all(uid_of(group) in pods for group in await world.groups())

    await world.until(no_orphan, within_s=90)


async def test_what_was_deleted_while_the_provider_was_down_is_cleaned_up(make):
    world = await make(scenario=SCENARIO, provider_arguments=("--orphan-age-s=3",))
    await world.apply(pod("stay1"), pod("stay2"), pod("stay3"))
    for name in ("stay1", "stay2", "stay3"):
        await world.phase(name, "Running")
    await world.crash()
    await world.kubectl("-n", "vk", "delete", "pod", "stay1", "--force", "--grace-period=0")
    await world.kubectl("-n", "vk", "delete", "pod", "stay2", "--wait=false")
    await world.restart()

    async def one_left():
        names = [each["metadata"]["name"] for each in await world.pods()]
        return names == ["stay3"] and len(await world.groups()) == 1

    await world.until(one_left, within_s=150)
    assert (await world.pod("stay3"))["status"]["phase"] == "Running"


async def test_an_orderly_restart_is_noticed_by_nobody(make):
    world = await make(scenario=SCENARIO)
    await world.apply(pod("stay1"))
    before = await world.phase("stay1", "Running")
    await world.local.provider.stop()
    await world.restart()

    async def adopted():
        return "cloud listed instances=1" in world.local.provider.log.read_text()

    await world.until(adopted)
    await asyncio.sleep(3)  # time to do something wrong
    after = await world.pod("stay1")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert len((await world.cloud("bill"))["groups"]) == 1
    reasons = [event["reason"] for event in await world.events(before["metadata"]["uid"])]
    assert len(reasons) == len(set(reasons))
