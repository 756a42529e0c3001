"""The API server acts and its answer is lost: what was written stays, though no watch has told of it yet."""

import asyncio

from tests.control.living_cloud import Life
from tests.control.memory_kube import MemoryKube
from tests.control.pure_time import play
from tests.control.world import World
from vk_provider.errors import KubeUnavailable


class Mute(MemoryKube):
    """Does what a status patch says and does not answer, so many times."""

    def __init__(self, times, **more):
        super().__init__(**more)
        self.times = times
        self.written = []

    async def patch(self, path, body, **more):
        answer = await super().patch(path, body, **more)
        self.written.append(answer["status"])
        if self.times:
            self.times -= 1
            raise KubeUnavailable("no answer")
        return answer


def test_a_status_whose_answer_is_lost_is_read_before_another_is_worked_out():
    async def story():
        world = World(job=Life(runs_s=5))
        world.kube = Mute(1, clock=world.now)
        world.kube.watch_lag_s = 4.0
        async with world.running():
            await asyncio.sleep(0.7)  # the try after half a second falls into another second
            world.kube.add_pod("job")
            await world.until(lambda: world.phase("job") == "Succeeded")
        assert len({status["startTime"] for status in world.kube.written}) == 1
        assert world.complaints() == []

    play(story())
