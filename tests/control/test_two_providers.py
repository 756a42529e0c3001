"""Two providers on one node's name, by mistake: each sees what the other made, and neither harms a pod by that."""

import asyncio
import random

import pytest

from tests.control.living_cloud import Life
from tests.control.pure_time import play
from tests.control.world import World

PODS = 12


@pytest.mark.parametrize("seed", range(6))
def test_pods_that_find_no_room_at_first_start_once_and_none_is_failed(seed):
    """Both see the dead instances, ask for others in their place, and clear up; at paces of their own."""

    async def run():
        dice = random.Random(seed)
        lives = {f"p{number}": Life(starts_s=dice.uniform(0.2, 3.0), unplaced=number % 3) for number in range(PODS)}
        world = World(kube_latency_s=0.02, cloud_latency_s=0.02, **lives)
        for number in range(PODS):
            world.kube.add_pod(f"p{number}")
        async with world.running(jitter=dice.random()):
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            async with world.running(jitter=dice.random()):
                await world.until(lambda: world.statuses() == {"Running": PODS}, within_s=900.0)
                await asyncio.sleep(120.0)
        assert world.statuses() == {"Running": PODS}
        wrong = [each for each in world.complaints() if "refused: 4" not in each]  # one was overtaken by the other
        assert wrong == []
        assert len(world.cloud.instances) == PODS

    play(run())
