"""Two clusters of one name in one account, their providers killed at random: neither touches the other's instances.

Everything that could be told apart by is the same in both: cluster name, node name, names and uids of pods. Only the
uids of the clusters differ.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from fakes.cloud.clock import Clock
from fakes.cloud.scenario import Rule, Scenario
from tests.control.pure_time import play
from tests.control.world import BIRTH, Fate, World
from tests.corpus.incloud import InProcessClient, StandIn
from vk_provider import config
from vk_provider.cloud.driver import Whose
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.settings import EciSettings, eci_settings
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.model.pod import INSTANCE_ID_ANNOTATION as NOTED
from vk_provider.node_settings import node_context

ADDRESS = "10.0.0.1"
SETTINGS = {"ECI_REGION": "cn-hangzhou", "VK_NODE_IP": ADDRESS, "VK_NODE_NAME": "vk"}
CONFIG = config.parse(flags={}, env=SETTINGS)
ABOUT_ONE = {"DeleteContainerGroup", "RestartContainerGroup", "UpdateContainerGroup", "DescribeContainerLog"}
RULES = (Rule(name="web-job*", pull_s=0.5, duration_s=4.0), Rule(pull_s=0.5, duration_s=1e9))
PODS, KILLS = 3, 6
QUIET_S = 200.0  # an orphan is old enough, and full counts have been made


class SharedCloud(StandIn):
    """made_by: instance id → the cluster for which it was made. trespasses: calls about what another one has."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, Scenario(list(RULES)))
        self.made_by: dict[str, str] = {}
        self.trespasses: list[str] = []

    def asked_by(self, who: str, action: str, instance_id: str) -> None:
        owner = self.made_by.get(instance_id, who)
        if owner != who and self.service.store.get(instance_id) is not None:  # of what is gone nothing is to be had
            self.trespasses.append(f"{who} sent {action} about {instance_id}, which is {owner}'s")


class Client(InProcessClient):
    def __init__(self, who: str, settings: EciSettings, cloud: SharedCloud, **options: Any) -> None:
        super().__init__(settings, cloud, **options)
        self._who, self._shared = who, cloud

    async def _send(self, request: EciRequest, query: str, body: str) -> Mapping[str, Any]:
        if request.action in ABOUT_ONE:
            self._shared.asked_by(self._who, request.action, request.query["ContainerGroupId"])
        answer = await super()._send(request, query, body)
        if request.action == "CreateContainerGroup":
            made = str(answer["ContainerGroupId"])
            self._shared.asked_by(self._who, request.action, made)
            self._shared.made_by.setdefault(made, self._who)
        return answer


class Cluster(World):
    """who: for the test's books. uid: by which the cluster's instances are known."""

    def __init__(self, who: str, uid: str, cloud: SharedCloud) -> None:
        super().__init__()
        self.who, self.shared = who, cloud
        settings = eci_settings(CONFIG.eci, Whose(cluster=uid, node=CONFIG.node_name, cluster_name=CONFIG.cluster_name))
        self.cloud = EciCloud(settings, Client(who, settings, cloud, now=self.now, jitter=lambda: 0.0))
        self.context = node_context(CONFIG, uid, ADDRESS, CAPABILITIES)

    async def lives(self, dice: random.Random) -> None:
        """Pods come, end and go, while the provider dies at random steps of its calls and comes again."""
        story = asyncio.ensure_future(self._story(dice))
        for _ in range(KILLS):
            fate = Fate(kill_at=dice.randint(1, 80))
            process = self.start(fate)
            with suppress(TimeoutError):
                async with asyncio.timeout(dice.uniform(5, 90)):
                    await fate.dead.wait()
            await process.end()
            await asyncio.sleep(dice.uniform(0, 90))
        async with self.running():
            await story
            await asyncio.sleep(QUIET_S)

    async def _story(self, dice: random.Random) -> None:
        for number in range(PODS):
            self.kube.add_pod(f"job{number}")
            self.kube.add_pod(f"server{number}", policy="Always")
            await asyncio.sleep(dice.uniform(0, 60))
        self.kube.delete_pod("server0")
        self.kube.delete_pod("server1", grace_s=0)
        await self._lay_claim("server2")

    async def _lay_claim(self, name: str) -> None:
        """To what the other cluster has, by what a pod's owner may write."""
        theirs = [each for each, who in self.shared.made_by.items() if who != self.who]
        path = f"/api/v1/namespaces/web/pods/{name}"
        for each in theirs:
            self.kube.edit(path, lambda pod, id_=each: pod["metadata"]["annotations"].update({NOTED: id_}))
            await asyncio.sleep(20)

    def complaints(self) -> list[str]:
        wanted = {**{f"job{number}": "Succeeded" for number in range(PODS)}, "server2": "Running"}
        found = {name: self.phase(name) for name in wanted}
        wrong = [f"{name} is {found[name]}" for name in wanted if found[name] != wanted[name]]
        owned = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in self.kube.pods()}
        tags = [
            group.tags for group in self.shared.service.store if self.shared.made_by.get(group.id, self.who) == self.who
        ]
        left = [f"an instance of {each['vk-pod']} is left" for each in tags if each["vk-pod-uid"] not in owned]
        return [f"{self.who}: {each}" for each in (*wrong, *left, *self.kube.wrongs)]


async def played(seed: int, uids: tuple[str, str]) -> list[str]:
    cloud = SharedCloud(Clock(asyncio.get_running_loop().time, start=BIRTH.timestamp()))
    dice = random.Random(seed)
    clusters = [Cluster(who, uid, cloud) for who, uid in zip("ab", uids, strict=True)]
    ticking = asyncio.create_task(cloud.timers.run())
    await asyncio.gather(*(each.lives(random.Random(dice.random())) for each in clusters))
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    return [*cloud.trespasses, *(text for each in clusters for text in each.complaints())]


@pytest.mark.parametrize("seed", range(12))
def test_neither_touches_the_others_instances(seed: int) -> None:
    assert play(played(seed, ("uid-of-a", "uid-of-b"))) == []


def test_two_that_could_not_be_told_apart_would_be_seen_to_touch() -> None:
    """That is what the test above is able to see: so it was when clusters were known by their names."""
    found = play(played(1, ("one", "one")))
    assert any("DeleteContainerGroup" in each for each in found)
