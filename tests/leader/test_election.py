"""Of several processes one leads, however they live, sleep and die. Virtual time, an API server in memory."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.control.pure_time import play
from vk_provider.errors import Conflict, KubeError, KubeUnavailable, LeadershipLost, NotFound
from vk_provider.fence import Fence
from vk_provider.leader.election import DURATION_S, LeaderElection

Json = dict[str, Any]


class Server:
    """One Lease with versions. delay_s: of every request, half before it is heard and half after."""

    def __init__(self) -> None:
        self.lease: Json | None = None
        self.delay_s = 0.01
        self.unreachable_for: set[str] = set()
        self.watches: list[asyncio.Queue[Json]] = []
        self.watches_are_refused = False
        self._version = 0

    def change(self, lease: Json | None) -> Json:
        self._version += 1
        if lease is not None:
            lease = copy.deepcopy(lease)
            lease["metadata"] |= {"resourceVersion": str(self._version), "uid": "u"}
        for each in self.watches:
            each.put_nowait({"type": "DELETED" if lease is None else "MODIFIED", "object": lease or self.lease})
        self.lease = lease
        return copy.deepcopy(lease or {})

    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""


class Client:
    """What one process has of the server."""

    server = "https://memory"

    def __init__(self, server: Server, name: str) -> None:
        self._server, self._name = server, name

    async def get(self, path: str, *, timeout_s: float = 30) -> Json:
        await self._go()
        await self._go()
        if self._server.lease is None:
            raise NotFound(path)
        return copy.deepcopy(self._server.lease)

    async def post(self, path: str, body: Json, *, timeout_s: float = 30) -> Json:
        await self._go()
        if self._server.lease is not None:
            raise Conflict(path)
        done = self._server.change(body)
        await self._go()
        return done

    async def put(self, path: str, body: Json, *, timeout_s: float = 30) -> Json:
        await self._go()
        if self._server.lease is None:
            raise NotFound(path)
        if body["metadata"]["resourceVersion"] != self._server.lease["metadata"]["resourceVersion"]:
            raise Conflict(path)
        done = self._server.change(body)
        await self._go()
        return done

    @asynccontextmanager
    async def stream(self, path: str, *, params: Json, timeout_s: float) -> AsyncIterator[AsyncIterator[Json]]:
        assert params["fieldSelector"] == "metadata.name=node"
        await self._go()
        if self._server.watches_are_refused:
            raise KubeError("cannot watch leases", status=403)
        lines: asyncio.Queue[Json] = asyncio.Queue()
        self._server.watches.append(lines)
        try:
            yield self._lines(lines)
        finally:
            self._server.watches.remove(lines)

    async def _lines(self, lines: asyncio.Queue[Json]) -> AsyncIterator[Json]:
        if self._server.lease is not None:
            yield {"type": "ADDED", "object": self._server.lease}
        while True:
            line = await lines.get()
            await self._go()
            yield line

    async def _go(self) -> None:
        await asyncio.sleep(self._server.delay_s / 2)
        if self._name in self._server.unreachable_for:
            raise KubeUnavailable("away")


class Process:
    """One that wants to lead, again and again. writes: when its fence let it write.

    Its clock may go on while it sleeps: `sleep_until` stops all that it does, as SIGSTOP would.
    """

    def __init__(self, server: Server, name: str, book: list[tuple[str, float]]) -> None:
        self.name, self.terms = name, 0
        self._book = book
        self.election = LeaderElection(
            Client(server, name),  # type: ignore[arg-type]
            namespace="vk",
            name="node",
            identity=name,
            is_watched=True,
            clock=lambda: asyncio.get_running_loop().time(),
            jitter=random.Random(name).random,
        )
        self.stopping = asyncio.Event()
        self.ended: list[BaseException] = []

    async def run(self) -> None:
        while not self.stopping.is_set():
            try:
                await self.election.lead(self._serve)
            except LeadershipLost as error:
                self.ended.append(error)

    async def _serve(self, fence: Fence) -> None:
        self.terms += 1
        while not self.stopping.is_set():
            fence.permit()
            self._book.append((self.name, asyncio.get_running_loop().time()))
            await asyncio.sleep(0.05)


def test_one_leads_and_the_others_wait() -> None:
    async def story() -> None:
        server, book = Server(), []
        processes = [Process(server, f"p{number}", book) for number in range(3)]
        tasks = [asyncio.create_task(each.run()) for each in processes]
        await asyncio.sleep(120)
        assert len({name for name, _ in book}) == 1
        assert server.lease is not None
        assert server.lease["spec"]["leaseTransitions"] == 0
        for task in tasks:
            task.cancel()

    play(story())


@pytest.mark.parametrize(("refused", "most_s"), [(False, 0.1), (True, 1.3)])
def test_a_leader_that_ends_gives_the_lease_back_and_another_serves_at_once(refused: bool, most_s: float) -> None:
    """Who may not watch leases is a second later."""

    async def story() -> None:
        server, book = Server(), []
        server.watches_are_refused = refused
        first, second = Process(server, "p0", book), Process(server, "p1", book)
        one = asyncio.create_task(first.run())
        await asyncio.sleep(5)
        other = asyncio.create_task(second.run())
        await asyncio.sleep(5)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        ended = asyncio.get_running_loop().time()
        await asyncio.sleep(5)
        began = next(at for name, at in book if name == "p1")
        assert began - ended < most_s
        assert server.watches == [], "who leads has nothing to wait for"
        other.cancel()

    play(story())


def test_a_lease_that_somebody_deletes_is_taken_by_one_at_once() -> None:
    async def story() -> None:
        server, book = Server(), []
        server.change({"metadata": {"name": "node"}, "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 3600}})
        tasks = [asyncio.create_task(Process(server, f"p{number}", book).run()) for number in range(3)]
        await asyncio.sleep(10)
        assert book == []
        server.change(None)
        await asyncio.sleep(0.2)
        assert len({name for name, _ in book}) == 1
        for task in tasks:
            task.cancel()

    play(story())


def test_after_a_death_another_leads_within_15_seconds() -> None:
    async def story() -> None:
        server, book = Server(), []
        first, second = Process(server, "p0", book), Process(server, "p1", book)
        one = asyncio.create_task(first.run())
        await asyncio.sleep(20)
        other = asyncio.create_task(second.run())
        await asyncio.sleep(20)
        server.unreachable_for.add("p0")  # its requests reach nobody any more, the release of the lease neither
        died = asyncio.get_running_loop().time()
        one.cancel()
        await asyncio.sleep(20)
        began = next(at for name, at in book if name == "p1")
        assert DURATION_S - 2.5 < began - died < 15
        other.cancel()

    play(story())


def test_a_leader_that_reaches_no_server_stops_writing_before_another_begins() -> None:
    async def story() -> None:
        server, book = Server(), []
        first, second = Process(server, "p0", book), Process(server, "p1", book)
        tasks = [asyncio.create_task(first.run())]
        await asyncio.sleep(5)
        tasks.append(asyncio.create_task(second.run()))
        await asyncio.sleep(5)
        server.unreachable_for.add("p0")
        await asyncio.sleep(30)
        last = max(at for name, at in book if name == "p0")
        began = next(at for name, at in book if name == "p1")
        assert last < began
        assert first.ended
        server.unreachable_for.clear()
        await asyncio.sleep(30)
        assert max(at for name, at in book if name == "p0") == last, "it waits for its turn again"
        for task in tasks:
            task.cancel()

    play(story())


def test_a_label_that_a_person_puts_on_the_lease_costs_nothing() -> None:
    async def story() -> None:
        server, book = Server(), []
        process = Process(server, "p0", book)
        task = asyncio.create_task(process.run())
        for _ in range(20):
            await asyncio.sleep(3)
            assert server.lease is not None
            server.change({**server.lease, "metadata": {**server.lease["metadata"], "labels": {"a": "b"}}})
        assert process.terms == 1
        task.cancel()

    play(story())


def test_a_lease_that_was_deleted_is_made_again() -> None:
    async def story() -> None:
        server, book = Server(), []
        process = Process(server, "p0", book)
        task = asyncio.create_task(process.run())
        await asyncio.sleep(5)
        server.change(None)
        await asyncio.sleep(5)
        assert server.holder() == "p0"
        assert process.terms == 1
        task.cancel()

    play(story())


def test_a_lease_that_somebody_else_took_is_lost_at_once() -> None:
    async def story() -> None:
        server, book = Server(), []
        process = Process(server, "p0", book)
        task = asyncio.create_task(process.run())
        await asyncio.sleep(5)
        assert server.lease is not None
        server.change({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "thief"}})
        taken = asyncio.get_running_loop().time()
        await asyncio.sleep(5)
        assert max(at for _, at in book) < taken + 2.5
        assert process.ended
        task.cancel()

    play(story())


async def _fails(fence: Fence) -> None:
    await asyncio.sleep(1)
    raise ValueError("a fault of the one that serves")


def test_what_serving_raises_comes_out_and_the_lease_is_free() -> None:
    async def story() -> None:
        server = Server()
        process = Process(server, "p0", [])
        with pytest.raises(ExceptionGroup) as found:
            await process.election.lead(_fails)
        assert found.group_contains(ValueError)
        assert server.holder() == ""

    play(story())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    troubles=st.lists(
        st.tuples(st.sampled_from(["cut", "heal", "kill", "start", "slow"]), st.floats(0, 12)),
        max_size=25,
    ),
)
def test_never_two_at_once(seed: int, troubles: list[tuple[str, float]]) -> None:
    dice = random.Random(seed)

    async def story() -> None:
        server, book = Server(), []
        made = 0
        running: dict[str, asyncio.Task[None]] = {}

        def start() -> None:
            nonlocal made
            name = f"p{made}"
            made += 1
            running[name] = asyncio.create_task(Process(server, name, book).run())

        start()
        start()
        for kind, pause_s in troubles:
            await asyncio.sleep(pause_s)
            if kind == "start" and len(running) < 5:
                start()
            elif kind == "heal":
                server.unreachable_for.clear()
                server.delay_s = 0.01
            elif kind == "slow":
                server.delay_s = dice.choice([0.5, 2.0, 4.0])
            elif kind == "cut" and running:
                server.unreachable_for.add(dice.choice(sorted(running)))
            elif kind == "kill" and len(running) > 1:
                name = dice.choice(sorted(running))
                server.unreachable_for.add(name)
                running.pop(name).cancel()
        server.unreachable_for -= set(running)
        server.delay_s = 0.01
        healed = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        owners = _owners(book)
        assert owners == sorted(owners), "two wrote at once"
        assert max(at for _, at in book) > healed + 50, "somebody leads again"
        for task in running.values():
            task.cancel()

    play(story())


def _owners(book: list[tuple[str, float]]) -> list[tuple[float, float]]:
    """(first, last) of each run of writes by one process, in the order of the first; sorted, if none overlap."""
    spans: list[tuple[str, float, float]] = []
    for name, at in sorted(book, key=lambda line: line[1]):
        if spans and spans[-1][0] == name:
            spans[-1] = (name, spans[-1][1], at)
        else:
            spans.append((name, at, at))
    for (one, _, last), (other, first, _) in pairwise(spans):
        assert one != other
        assert first > last
    names = [name for name, *_ in spans]
    for name in set(names):
        again = [number for number, each in enumerate(names) if each == name]
        for earlier, later in pairwise(again):
            # Another came in between: then a whole term lies there, never single writes by turns.
            assert spans[later][1] - spans[earlier][2] > 0.5
    return [(first, last) for _, first, last in spans]
