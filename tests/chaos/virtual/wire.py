"""What a process holds of a server: a request, once sent, goes its way though its sender be stopped, dead or impatient.

On its way it may meet an accident: be refused, be lost, be late, or act while its answer is lost.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chaos.hostile import NOT_LINES, NOT_OBJECTS
from tests.control.world import Fate
from vk_provider.errors import CloudUnavailable, KubeUnavailable
from vk_provider.fence import Fence

if TYPE_CHECKING:
    from tests.chaos.virtual.world import VirtualWorld

KUBE, CLOUD = "kube", "cloud"
CHANGES = frozenset({"create", "delete", "update", "restart"})  # of the cloud
CLOUD_TIMEOUT_S = 20.0
Error = Callable[[], Exception]


@dataclass(frozen=True)
class Accident:
    """wanted: which calls, by name and first argument. chance: for each of them. error: what the caller hears; None =
    it is only slow. acts: whether the server does what it was asked. slow_s: how much longer it takes."""

    side: str
    wanted: Callable[[str, str], bool]
    chance: float
    error: Error | None = None
    acts: bool = False
    slow_s: float = 0.0


SMOOTH = Accident("", lambda name, about: False, 0.0, acts=True)


class Term(Fate):
    """A process that writes for as long as its lease is surely its own."""

    def __init__(self, kill_at: int, fence: Fence) -> None:
        super().__init__(kill_at)
        self.fence = fence


class Wire:
    def __init__(self, world: VirtualWorld, target: Any, fate: Fate, latency_s: float) -> None:
        self._world, self._target, self._fate, self._latency_s = world, target, fate, latency_s
        self._side = KUBE if target is world.kube else CLOUD

    @property
    def server(self) -> str:
        return "memory"

    @property
    def __class__(self) -> type:
        """The target's, for since 3.12 isinstance finds a protocol's methods at an object's class only."""
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, permit: Any = None, **more: Any) -> Any:
            await self._fate.step(name)
            if self._side == CLOUD and name in CHANGES and isinstance(self._fate, Term):
                permit = self._fate.fence.permit
            most_s = permit() if permit is not None else None
            answer = self._world.spawn(self._travel(name, args, more))
            timeout_s = more.get("timeout_s", 30.0) if self._side == KUBE else CLOUD_TIMEOUT_S
            timeout_s = timeout_s if most_s is None else min(timeout_s, most_s)
            try:
                async with asyncio.timeout(timeout_s):
                    value, error = await asyncio.shield(answer)
            except TimeoutError:
                value, error = None, self._silence(name)
            await self._fate.step(name)
            if error is not None:
                raise error
            return value

        return call

    async def _travel(self, name: str, args: tuple[Any, ...], more: dict[str, Any]) -> tuple[Any, Exception | None]:
        accident = self._world.met(self._side, name, str(args[0]) if args else "")
        first_s = accident.slow_s * (self._side == CLOUD)  # an API server lets go of a request whose sender is gone
        await asyncio.sleep(self._latency_s / 2 + first_s)
        value: Any = None
        error: Exception | None = None
        if accident.error is None or accident.acts:
            try:
                value = await getattr(self._target, name)(*args, **more)
            except Exception as answer:
                error = answer
        if accident.error is not None:
            error = accident.error()
        await asyncio.sleep(self._latency_s / 2 + accident.slow_s - first_s)
        if self._side == KUBE and isinstance(value, dict) and "items" in value:
            value = {**value, "items": [each for item in value["items"] for each in self._harmed(item, NOT_OBJECTS)]}
        return value, error

    def _harmed(self, item: Any, others: tuple[Any, ...]) -> list[Any]:
        """The item, behind one that is none if the world wants that now."""
        if self._world.malformed:
            chance, dice = self._world.malformed[-1]
            if dice.random() < chance:
                return [copy.deepcopy(dice.choice(others)), item]
        return [item]

    def _silence(self, name: str) -> Exception:
        return KubeUnavailable(f"{name}: no answer") if self._side == KUBE else CloudUnavailable(f"{name}: no answer")

    async def logs(self, *args: Any, **more: Any) -> AsyncIterator[bytes]:
        await self._fate.step("logs")
        async for chunk in self._target.logs(*args, **more):
            yield chunk

    @asynccontextmanager
    async def stream(self, path: str, *, params: dict[str, str], timeout_s: float) -> AsyncIterator[Any]:
        await self._fate.step("stream")
        accident = self._world.met(KUBE, "stream", path)
        await asyncio.sleep(self._latency_s + accident.slow_s)
        if accident.error is not None:
            raise accident.error()
        watch = Watch(self._world, timeout_s=timeout_s, lasts_s=float(params.get("timeoutSeconds", timeout_s)))
        self._world.watches.append(watch)
        try:
            async with self._target.stream(path, params=params, timeout_s=timeout_s) as lines:
                yield self._read(watch.told(lines))
        finally:
            self._world.watches.remove(watch)

    async def _read(self, lines: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for line in lines:
            for each in self._harmed(line, NOT_LINES):
                yield each


class Watch:
    """One watch as it arrives: it may fall silent, with nothing to tell that from calm, or be cut."""

    def __init__(self, world: VirtualWorld, *, timeout_s: float, lasts_s: float) -> None:
        now = world.time_s
        self._world, self._dead_at_s, self._ends_at_s = world, now + timeout_s, now + lasts_s
        self.silent = False
        self._error: Exception | None = None
        self._stirred = asyncio.Event()

    def cut(self, error: Exception | None) -> None:
        """None: it ends as one does whose time is over."""
        self._error = error
        self._ends_at_s = self._world.time_s
        self.silent = False
        self._stirred.set()

    def hear(self) -> None:
        self.silent = False
        self._stirred.set()

    async def told(self, lines: AsyncIterator[Any]) -> AsyncIterator[Any]:
        line: asyncio.Task[Any] | None = None
        try:
            while True:
                line = line or asyncio.ensure_future(anext(lines))
                self._stirred.clear()
                now = self._world.time_s
                until_s = self._dead_at_s if self.silent else self._ends_at_s
                if now >= until_s:
                    if self.silent:
                        raise KubeUnavailable("the watch is dead")
                    if self._error is not None:
                        raise self._error
                    return
                stirred = asyncio.ensure_future(self._stirred.wait())
                waiting = [stirred] if self.silent else [line, stirred]
                try:
                    await asyncio.wait(waiting, timeout=until_s - now, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    stirred.cancel()
                if line.done() and not self.silent and self._error is None:
                    told, line = line.result(), None
                    yield told
        finally:
            if line is not None:
                line.cancel()
