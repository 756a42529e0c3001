"""The stage: an API server and a cloud with books, and a provider that is started again whenever it has died."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from collections.abc import Coroutine
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.virtual.cloud import WitnessedCloud
from tests.chaos.virtual.kube import WitnessedKube
from tests.chaos.virtual.loop import LIFE, Life, StoppableLoop
from tests.chaos.virtual.wire import SMOOTH, Accident, Term, Watch, Wire
from tests.control.world import BIRTH, Fate, Process, World
from tests.providerlog import ProviderLog
from vk_provider.fence import Fence
from vk_provider.kube.api import FencedApi
from vk_provider.leader.election import DURATION_S, RENEW_S

LATENCY_S = 0.02
TAKEN_AFTER_S = 1.5  # from a lease's end to the next leader: it waits a little longer, and looks once a second
LINGERS_S = 15.0  # how long a former leader goes on after it woke, in trouble
IMPATIENT_S = 20.0  # who is to die at one of the next calls and makes none dies anyway


class VirtualWorld(World):
    """jumped_s: how far the provider's wall clock is off. skew_s: how far the cloud's is. said: what happened when.

    disrupted: uids of pods whose instance was taken away. troubled: when something was broken, from and to.
    hostile: uids of pods that are made to hurt others, of these `sizes`. malformed: the chance that before an item of a
    list, or a line of a watch, stands one that is none.
    """

    kube: WitnessedKube
    cloud: WitnessedCloud

    def __init__(self, dice: random.Random, *, sizes: str = "modest") -> None:
        super().__init__(kube_latency_s=LATENCY_S, cloud_latency_s=LATENCY_S)
        self.dice = dice
        self.jumped_s = self.skew_s = 0.0
        self.accidents: list[Accident] = []
        self.watches: list[Watch] = []
        self.said: list[tuple[float, str]] = []
        self.disrupted: set[str] = set()
        self.hostile: set[str] = set()
        self.probed = 0  # honest pods with a probe of ours, for their names
        self.sizes = sizes
        self.skewed_back = False  # whether the cloud's clock was ever behind by hours
        self.rivals = 0  # other providers that ever ran on our node's name
        self.malformed: list[tuple[float, random.Random]] = []
        self.troubled: list[tuple[float, float]] = []
        self.crashed: list[str] = []
        self.starts = 0
        self.met_accidents = 0
        self.alone = asyncio.Lock()  # what is done to the provider's process is done one after the other
        self.fate: Fate = Fate()
        self.life = Life()
        self.successions = 0  # how often another replica took the node over
        self._succession: asyncio.Future[float] | None = None  # for how long the former leader lingers
        self.down_s: list[float] = []  # how long it stays away after each of its next deaths
        self.dies_at: list[int] = []  # the steps at which its next lives end
        self._tasks: set[asyncio.Task[Any]] = set()
        self._outside = contextvars.copy_context()
        self._process: Process | None = None
        self._over = asyncio.Event()
        self.kube = WitnessedKube(clock=self.true_now, time_s=lambda: self.time_s)
        self.cloud = WitnessedCloud(
            lambda: self.true_now() + timedelta(seconds=self.skew_s),
            time_s=lambda: self.time_s,
            spawn=self.spawn,
            dice=random.Random(dice.random()),
        )

    # --- what a process is given

    def now(self) -> datetime:
        """By the clock of the provider's machine."""
        return self.true_now() + timedelta(seconds=self.jumped_s)

    def true_now(self) -> datetime:
        return BIRTH + timedelta(seconds=self.time_s)

    def watch_s(self) -> float:
        return self.dice.uniform(300, 600)

    def link(self, target: Any, fate: Fate, latency_s: float) -> Any:
        wire: Any = Wire(self, target, fate, latency_s)
        return FencedApi(wire, fate.fence) if target is self.kube and isinstance(fate, Term) else wire

    def met(self, side: str, name: str, about: str) -> Accident:
        """What befalls this call."""
        for each in self.accidents:
            if each.side == side and each.wanted(name, about) and self.dice.random() < each.chance:
                self.met_accidents += 1
                return each
        return SMOOTH

    # --- what the others do

    def spawn(self, story: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run it as part of the world: whatever becomes of the process that asked for it."""
        task = self._loop.create_task(story, context=self._outside)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def say(self, text: str) -> None:
        self.said.append((self.time_s, text))

    @contextmanager
    def trouble(self) -> Any:
        began_s = self.time_s
        try:
            yield
        finally:
            self.troubled.append((began_s, self.time_s))

    @property
    def loop(self) -> StoppableLoop:
        assert isinstance(self._loop, StoppableLoop)
        return self._loop

    # --- the provider

    async def keep_alive(self) -> None:
        """Start it whenever it has ended, until `close`."""
        while not self._over.is_set():
            await self._one_life()
            if not self._over.is_set():
                with self.trouble():
                    await asyncio.sleep(self.down_s.pop(0) if self.down_s else 1.0)

    async def _one_life(self) -> None:
        self.starts += 1
        fence = Fence(lambda: self.time_s)
        fate = self.fate = Term(self.dies_at.pop(0) if self.dies_at else 0, fence)
        life = self.life = Life()
        context = self._outside.copy()
        context.run(LIFE.set, self.life)
        dice = random.Random(self.dice.random())
        self._succession = asyncio.get_running_loop().create_future()
        fence.open_until(float("inf"))  # the lease is renewed for as long as nothing keeps it from that
        process = self._process = context.run(lambda: Process(self, fate, workers=4, jitter=dice.random))
        ends = [asyncio.ensure_future(fate.dead.wait()), asyncio.ensure_future(self._over.wait())]
        await asyncio.wait([process.task, self._succession, *ends], return_when=asyncio.FIRST_COMPLETED)
        for each in ends:
            each.cancel()
        if process.task.done():
            self.crashed.append(f"the provider ended by itself: {process.task.exception()!r}")
        elif self._succession.done() and not self._over.is_set():
            self.down_s.insert(0, 0.0)
            self.spawn(self._linger(process, life, self._succession.result()))
        else:
            await self._end(process, life)

    async def _end(self, process: Process, life: Life) -> None:
        life.go_on(self.loop)
        ending = asyncio.ensure_future(process.end())
        while not ending.done():
            await asyncio.wait([ending], timeout=1.0)
            await life.end()
        ending.result()

    async def _linger(self, process: Process, life: Life, seconds: float) -> None:
        """A leader that was, and does not know it: whatever it wants to write now is not sent."""
        await asyncio.sleep(seconds)
        life.go_on(self.loop)
        await asyncio.sleep(LINGERS_S)
        await self._end(process, life)

    async def succeed(self, *, asleep: bool, lingers_s: float) -> None:
        """Another replica takes over once the leader's lease has run out: it sleeps, or is cut off from the lease."""
        fate, life, succession = self.fate, self.life, self._succession
        if not isinstance(fate, Term) or succession is None or succession.done() or fate.dead.is_set():
            return
        fate.fence.open_until(self.time_s + DURATION_S - self.dice.uniform(0.0, RENEW_S))
        if asleep:
            life.stop()
        await asyncio.sleep(fate.fence.remaining_s() + TAKEN_AFTER_S)
        if self.fate is not fate or fate.dead.is_set() or succession.done():
            life.go_on(self.loop)  # it died meanwhile, and is followed as any that dies
            return
        self.successions += 1
        succession.set_result(lingers_s)
        await asyncio.sleep(lingers_s)

    async def kill(self, steps: int, *, down_s: float) -> None:
        """At so many steps of its calls from now, before one acts or after; or, should it make none, in a while."""
        fate = self.fate
        self.down_s.append(down_s)
        fate.kill_at = fate.steps + steps
        try:
            async with asyncio.timeout(IMPATIENT_S):
                await fate.dead.wait()
        except TimeoutError:
            fate.dead.set()

    async def close(self) -> None:
        self._over.set()

    @property
    def remembered(self) -> list[str]:
        """Uids of the pods that the process keeps a record of."""
        assert self._process is not None
        return list(self._process.controller._memories)


class ErrorLog(ProviderLog):
    """What the provider calls an error: in no trouble is there a reason for it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def take(self, context: dict[str, Any]) -> None:
        """What the loop calls an error, but for tasks that nobody asks any more, as those of a process that died: when
        that is noticed is the garbage collector's matter."""
        if not isinstance(context.get("future"), asyncio.Task):
            self.lines.append(f"{context.get('message')}: {context.get('exception')!r}")
