"""What people and scrapers ask of the node meanwhile, all through the API server as kubectl does."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp

from tests.bench.api import Api
from tests.chaos.proxy import Proxy
from tests.soak.churn import LASTS_S, PODS, Churn

EXEC = "v4.channel.k8s.io"
ANSWERS_WITHIN_S = 20.0


@dataclass(slots=True)
class Asking:
    """done, failed: by what was asked for."""

    api: Api
    churn: Churn
    node: str
    proxy: Proxy
    dice: random.Random
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Until cancelled; each kind at its own pace."""
        paces: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (3.0, self.log),
            (5.0, self.command),
            (8.0, self.follow),
            (25.0, self.follow_to_its_end),
            (15.0, self.scrape),
            (45.0, self.cut),
        ]
        async with asyncio.TaskGroup() as tasks:
            for every_s, ask in paces:
                tasks.create_task(self._again(every_s, ask))

    async def _again(self, every_s: float, ask: Callable[[], Awaitable[None]]) -> None:
        kind = ask.__name__
        while True:
            await asyncio.sleep(every_s * self.dice.uniform(0.7, 1.3))
            try:
                await ask()
            except (RuntimeError, aiohttp.ClientError, TimeoutError, AssertionError) as error:
                self.failed[kind] += 1
                self.faults.append(f"{kind}: {error!r}"[:300])
            else:
                self.done[kind] += 1

    def _anybody(self) -> str:
        """One that has had its time to start, and will not go at once."""
        return self.dice.choice(list(self.churn.serving)[5:-30])

    async def log(self) -> None:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            text = await self.api.send("GET", f"{PODS}/{self._anybody()}/log?tailLines=50")
        assert b"simulated line" in text, text[:100]

    async def follow(self) -> None:
        """A while, and then the reader walks away, as most do."""
        url = f"{self.api.server}{PODS}/{self._anybody()}/log?follow=true&tailLines=5"
        lines = 0
        async with self.api.session.get(url) as answer:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.dice.uniform(3.0, 20.0)):
                    async for _ in answer.content:
                        lines += 1
            assert lines, f"{answer.status}: not a line"

    async def follow_to_its_end(self) -> None:
        """What the reader sees through ends by itself."""
        if not self.churn.writing:
            return
        async with asyncio.timeout(ANSWERS_WITHIN_S + LASTS_S):
            path = f"{PODS}/{self.dice.choice(sorted(self.churn.writing))}/log?follow=true"
            text = await self.api.send("GET", path)
        assert b"simulated line" in text, text[:100]

    async def command(self) -> None:
        url = f"{self.api.server}{PODS}/{self._anybody()}/exec?container=c&command=date&stdout=true&stderr=true"
        output = b""
        async with asyncio.timeout(ANSWERS_WITHIN_S), self.api.session.ws_connect(url, protocols=[EXEC]) as socket:
            async for message in socket:
                output += message.data
        assert b"done" in output, output[:100]

    async def scrape(self) -> None:
        for page in ("metrics/resource", "stats/summary", "pods"):
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                await self.api.send("GET", f"/api/v1/nodes/{self.node}/proxy/{page}")

    async def cut(self) -> None:
        """Not an ask: the provider's watches break, as they do."""
        self.proxy.cut_watches()
