"""Replicas that come, die and go share the nodes: each node is served by one at a time. Virtual time."""

from __future__ import annotations

import asyncio
import copy
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.control.pure_time import play
from vk_provider.errors import Conflict, KubeUnavailable, LeadershipLost, NotFound
from vk_provider.fence import Fence
from vk_provider.leader.election import LeaderElection
from vk_provider.leader.replicas import GROUP, Replicas

Json = dict[str, Any]
BIRTH = datetime(2026, 1, 2, tzinfo=UTC)
NODES = [f"n{number}" for number in range(10)]
MOST_S = 15.0


def now_s() -> float:
    return asyncio.get_running_loop().time()


class Server:
    def __init__(self) -> None:
        self.leases: dict[str, Json] = {}
        self.watches: list[asyncio.Queue[Json]] = []
        self._version = 0

    def put(self, lease: Json) -> Json:
        self._version += 1
        lease = copy.deepcopy(lease)
        lease["metadata"] |= {"resourceVersion": str(self._version), "uid": lease["metadata"]["name"]}
        self.leases[lease["metadata"]["name"]] = lease
        self._told("MODIFIED", lease)
        return copy.deepcopy(lease)

    def remove(self, name: str) -> Json:
        self._told("DELETED", self.leases[name])
        return self.leases.pop(name)

    def _told(self, kind: str, lease: Json) -> None:
        for each in self.watches:
            each.put_nowait({"type": kind, "object": copy.deepcopy(lease)})


class Client:
    server = "https://memory"

    def __init__(self, server: Server) -> None:
        self._server, self.is_cut = server, False

    async def get(self, path: str, *, params: Json | None = None, timeout_s: float = 30) -> Json:
        await self._go()
        if path.endswith("/leases"):
            wanted = (params or {})["labelSelector"].partition("=")
            items = [
                each for each in self._server.leases.values() if each["metadata"]["labels"].get(wanted[0]) == wanted[2]
            ]
            return {"items": copy.deepcopy(items)}
        return copy.deepcopy(self._found(path))

    async def post(self, path: str, body: Json, *, timeout_s: float = 30) -> Json:
        await self._go()
        if body["metadata"]["name"] in self._server.leases:
            raise Conflict(path)
        return self._server.put(body)

    async def put(self, path: str, body: Json, *, timeout_s: float = 30) -> Json:
        await self._go()
        if body["metadata"]["resourceVersion"] != self._found(path)["metadata"]["resourceVersion"]:
            raise Conflict(path)
        return self._server.put(body)

    async def delete(self, path: str, *, body: Json | None = None, timeout_s: float = 30) -> Json:
        await self._go()
        same = (body or {}).get("preconditions", {}).get("resourceVersion")
        if same not in (None, self._found(path)["metadata"]["resourceVersion"]):
            raise Conflict(path)
        return self._server.remove(path.rpartition("/")[2])

    @asynccontextmanager
    async def stream(self, path: str, *, params: Json, timeout_s: float) -> AsyncIterator[AsyncIterator[Json]]:
        assert params["labelSelector"] == f"{GROUP}=vk"
        await self._go()
        lines: asyncio.Queue[Json] = asyncio.Queue()
        self._server.watches.append(lines)
        try:
            yield self._lines(lines)
        finally:
            self._server.watches.remove(lines)

    async def _lines(self, lines: asyncio.Queue[Json]) -> AsyncIterator[Json]:
        for each in list(self._server.leases.values()):
            yield {"type": "ADDED", "object": each}
        while True:
            line = await lines.get()
            await self._go()
            yield line

    def _found(self, path: str) -> Json:
        found = self._server.leases.get(path.rpartition("/")[2])
        if found is None:
            raise NotFound(path)
        return found

    async def _go(self) -> None:
        await asyncio.sleep(0.01)
        if self.is_cut:
            raise KubeUnavailable("away")


class Replica:
    """served: node → (replica, since). A node that two serve at one time is a failure."""

    def __init__(self, server: Server, name: str, served: dict[str, tuple[str, float]]) -> None:
        self.name, self.served = name, served
        self.client: Any = Client(server)
        dice = random.Random(name)
        elections: dict[str, LeaderElection] = {}
        self.replicas = Replicas(
            self.client,
            namespace="vk",
            group="vk",
            identity=name,
            elections=elections,
            clock=now_s,
            wall=lambda: BIRTH + timedelta(seconds=now_s()),
            jitter=dice.random,
        )
        for node in NODES:
            elections[node] = LeaderElection(
                self.client,
                namespace="vk",
                name=f"vk-{node}",
                identity=name,
                labels={GROUP: "vk"},
                may_take=partial(self.replicas.may_take, node),
                clock=now_s,
                jitter=dice.random,
            )
        self.elections = elections
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.replicas.run())
            for node, election in self.elections.items():
                tasks.create_task(self._lead(node, election))

    async def _lead(self, node: str, election: LeaderElection) -> None:
        while True:
            with suppress(LeadershipLost):
                await election.lead(partial(self._serve, node))

    async def _serve(self, node: str, fence: Fence) -> None:
        assert node not in self.served, f"{node} is served by {self.served[node]} and {self.name}"
        self.served[node] = (self.name, now_s())
        try:
            while True:
                fence.permit()
                await asyncio.sleep(0.05)
        finally:
            self.served.pop(node, None)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def kill(self) -> None:
        """Nothing reaches the server any more, and nobody hears of it."""
        self.client.is_cut = True
        for task in (self.task,):
            task.cancel()
        await asyncio.wait([self.task])


def counts(served: dict[str, tuple[str, float]]) -> list[int]:
    return sorted(Counter(name for name, _ in served.values()).values())


async def until(condition, within_s: float) -> float:
    began = now_s()
    while not condition():
        assert now_s() - began < within_s, "not in time"
        await asyncio.sleep(0.05)
    return now_s() - began


def test_replicas_that_come_take_their_share_and_those_that_die_are_followed() -> None:
    async def story() -> None:
        server, served = Server(), {}
        replicas = {"a": Replica(server, "a", served)}
        await until(lambda: counts(served) == [10], 10)
        replicas["b"] = Replica(server, "b", served)
        await until(lambda: counts(served) == [5, 5], 15)
        replicas["c"] = Replica(server, "c", served)
        await until(lambda: counts(served) == [3, 3, 4], 20)
        await asyncio.sleep(60)
        assert counts(served) == [3, 3, 4]
        for name in ("b", "c"):
            await replicas[name].kill()
            await until(lambda: len(served) == 10, MOST_S)
            await asyncio.sleep(30)
        assert counts(served) == [10]
        await asyncio.sleep(90)
        assert sum("replica" in name for name in server.leases) == 1, "the dead are forgotten"
        await replicas["a"].end()
        assert not any("replica" in name for name in server.leases)

    play(story())


def test_those_that_start_together_take_their_shares_at_once_and_move_nothing() -> None:
    async def story() -> None:
        server, served = Server(), {}
        replicas = [Replica(server, name, served) for name in "abc"]
        await until(lambda: counts(served) == [3, 3, 4], 15)
        await asyncio.sleep(30)
        moves = sum(each["spec"].get("leaseTransitions", 0) for each in server.leases.values())
        assert (counts(served), moves) == ([3, 3, 4], 0)
        for each in replicas:
            await each.end()

    play(story())


def test_one_that_goes_in_order_is_followed_at_once() -> None:
    async def story() -> None:
        server, served = Server(), {}
        replicas = [Replica(server, name, served) for name in "abc"]
        await until(lambda: counts(served) == [3, 3, 4], 15)
        await asyncio.sleep(20)
        await replicas[1].end()
        assert await until(lambda: counts(served) == [5, 5], 5) < 0.3
        for each in replicas:
            await each.end()

    play(story())


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_to_them_each_node_has_one_leader_and_all_are_served_again(seed: int) -> None:
    async def story() -> None:
        dice, server, served = random.Random(seed), Server(), {}
        living = {"r0": Replica(server, "r0", served)}
        for number in range(1, 25):
            await asyncio.sleep(dice.uniform(0, 12))
            match dice.choice(["come", "end", "kill", "cut"]):
                case "come" if len(living) < 4:
                    living[f"r{number}"] = Replica(server, f"r{number}", served)
                case "end" if len(living) > 1:
                    await living.pop(dice.choice(sorted(living))).end()
                case "kill" if len(living) > 1:
                    await living.pop(dice.choice(sorted(living))).kill()
                case _:
                    one = living[dice.choice(sorted(living))]
                    one.client.is_cut = True
                    await asyncio.sleep(dice.uniform(0, 15))
                    one.client.is_cut = False
            for each in living.values():
                assert not each.task.done(), each.task
        even = [len(NODES) // len(living) + (place < len(NODES) % len(living)) for place in range(len(living))]
        await until(lambda: counts(served) == sorted(even), 45)
        for each in living.values():
            await each.end()

    play(story())
