"""Two clusters with the same settings in one account: neither sees, shows or deletes what the other has."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

from tests.local.conftest import make_neighbour, pod
from tests.local.test_crash import uid_of

SCENARIO = """
[[rule]]
name = "vk-short*"
pull_s = 0.2
duration_s = 1
log_lines = ["said by a neighbour {n}"]

[[rule]]
pull_s = 0.2
duration_s = 100000
stop_s = 0.2
"""
IMPATIENT = ("--orphan-age-s=0", "--sweep-interval-s=1")
STAY = ("stay1", "stay2", "stay3")


async def uids(world):
    return {each["metadata"]["uid"] for each in await world.pods()}


async def test_providers_that_die_at_random_leave_each_others_instances_alone(make):
    async with AsyncExitStack() as stack:
        one = await make(scenario=SCENARIO, provider_arguments=IMPATIENT)
        two = await make_neighbour(stack, one)
        both, dice = (one, two), random.Random(17)
        for world in both:
            await world.apply(*(pod(name) for name in STAY))
        for _ in range(3):
            await asyncio.sleep(dice.uniform(0.3, 2.0))
            world = dice.choice(both)
            await world.crash()
            await world.restart()
        for world in both:
            for name in STAY:
                await world.phase(name, "Running")
            await world.crash()
            await world.restart()
        await asyncio.gather(*(world.kubectl("-n", "vk", "delete", "pod", "stay1") for world in both))
        await asyncio.sleep(5)  # time to do something wrong: whatever had no pod would be gone by now
        ever = Counter(uid_of(group) for group in (await one.cloud("bill"))["groups"])
        assert len(ever) == 6
        assert set(ever.values()) == {1}
        left = {uid_of(group) for group in await one.groups()}
        assert left == await uids(one) | await uids(two)
        for world in both:
            assert [each["status"]["phase"] for each in await world.pods()] == ["Running", "Running"]
        clusters = {group["tags"]["vk-cluster-uid"] for group in await one.groups()}
        assert len(clusters) == 2
        assert {group["tags"]["vk-cluster"] for group in await one.groups()} == {"local"}


async def test_a_pod_that_names_another_clusters_instance_gets_no_log_of_it(make):
    async with AsyncExitStack() as stack:
        one = await make(scenario=SCENARIO, provider_arguments=IMPATIENT)
        two = await make_neighbour(stack, one)
        await one.apply(pod("short"))
        await two.apply(pod("thief"), pod("short"))
        await one.phase("short", "Succeeded")
        assert "said by a neighbour" in await one.kubectl("-n", "vk", "logs", "short")
        (theirs,) = [each["id"] for each in await one.groups() if uid_of(each) in await uids(one)]
        ours = await two.phase("short", "Succeeded")
        (own,) = [each["id"] for each in await one.groups() if uid_of(each) == ours["metadata"]["uid"]]
        await one.cloud("vanish", "POST", {"id": own})

        async def is_gone():
            return "has no instance" in await two.kubectl("-n", "vk", "logs", "short", check=False)

        note = f"virtual-kubelet.io/instance-id={theirs}"
        for name in ("short", "thief"):
            await two.kubectl("-n", "vk", "annotate", "--overwrite", "pod", name, note)
        await two.until(is_gone, within_s=90)
        for name in ("short", "thief"):
            assert "said by" not in await two.kubectl("-n", "vk", "logs", name, check=False)
        await two.kubectl("-n", "vk", "delete", "pod", "short", "thief")
        assert theirs in [each["id"] for each in await one.groups()]


async def test_a_cloud_that_takes_calls_and_is_silent_shows_on_the_node_and_so_does_its_end(make):
    world = await make(scenario=SCENARIO)

    async def condition():
        node = await world.api.get("/api/v1/nodes/virtual-kubelet")
        return next(each["status"] for each in node["status"]["conditions"] if each["type"] == "CloudAPIAvailable")

    async def is_true():
        return await condition() == "True"

    async def is_false():
        return await condition() == "False"

    await world.until(is_true)
    await world.cloud("faults", "POST", {"kind": "delay", "action": "*", "count": -1, "seconds": 3600})
    await world.until(is_false, within_s=90)
    await world.cloud("faults", "DELETE")
    await world.until(is_true, within_s=60)
