"""The loop that asks the cloud what instances use, so that no scrape has to.

It asks as long as somebody scrapes, and a while longer; where nobody does, it would be most of what an idle node asks
of the cloud. Each running instance is asked about as soon as it runs, again when one of its containers has started
anew, and else once per round. Questions are put together, as many ids a call as the cloud takes, and spaced so that
half of what the cloud allows per minute is never passed, however many instances there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from vk_provider.cloud.base import SupportsUsage, describe_error
from vk_provider.errors import CloudError
from vk_provider.instances.cache import InstanceCache
from vk_provider.model.instance import ContainerReport, Instance, InstanceStatus, StateKind
from vk_provider.model.poll_limits import CAREFUL, PollLimits
from vk_provider.model.usage import InstanceUsage
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.callers import Purpose, calling_for
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

ROUND_S = 20.0
CALLS_AT_ONCE = 5
IDLE_S = 15.0
FIRST_FIGURES = Backoff(first_s=2.0, most_s=ROUND_S)  # a cloud measures a new instance a while after it has started
RETRY = Backoff(first_s=2.0, most_s=60.0)
SETTLE_S = 0.5
ASKED_S = 150.0  # from one scrape to the next at most, for the loop to stay awake
GATHER_S = 0.1  # pods start by the hundred: for each by itself there would be no end of looking

_MEASURED = frozenset({InstanceStatus.RUNNING, InstanceStatus.RESTARTING, InstanceStatus.UPDATING})

Runs = frozenset[tuple[str, int]]  # (container, restart count) of those that run


@dataclass(slots=True)
class _Queried:
    """One instance that was asked about. runs: what ran then. lacking: answers in a row that lacked some of it.

    same: an instance of which it is known that nothing has begun to run since.
    """

    same: Instance
    runs: Runs
    again_at: float  # loop time
    lacking: int = 0


class UsagePoller:
    """take: given what each poll found; also nothing, when nothing runs. keep: the ids still there."""

    def __init__(
        self,
        *,
        cloud: SupportsUsage,
        store: InstanceCache,
        take: Callable[[Sequence[tuple[Instance, InstanceUsage]]], None],
        keep: Callable[[Collection[str]], None],
        jitter: Callable[[], float],
        asked_s: float = ASKED_S,
        limits: PollLimits = CAREFUL,
    ) -> None:
        self._limits = limits
        self._asked_s = asked_s
        self._wanted = asyncio.Event()
        self._wanted_until = float("-inf")
        self._cloud = cloud
        self._store = store
        self._take = take
        self._keep = keep
        self._jitter = jitter
        self._asked: dict[str, _Queried] = {}
        self._failures = 0
        self._woken = asyncio.Event()
        self._polled = asyncio.Event()  # replaced after each poll

    def wake(self) -> None:
        """Some instance has changed: it may have begun to run."""
        self._woken.set()

    def keep_polling(self) -> None:
        """Somebody reads the figures."""
        self._wanted_until = asyncio.get_running_loop().time() + self._asked_s
        self._wanted.set()

    async def settle(self) -> None:
        """Wait until everything that runs was asked about once; not for long, and not for a cloud that fails."""
        self.keep_polling()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while not self._failures and any(self._is_new(one) for one in self._measurable()):
                    await self._polled.wait()

    async def run(self) -> None:
        await retry_loop(self._turn_or_wait, name="usage", backoff=RETRY, jitter=self._jitter)

    async def _turn_or_wait(self) -> None:
        if asyncio.get_running_loop().time() >= self._wanted_until:
            self._wanted.clear()
            await self._wanted.wait()
        self._woken.clear()  # before reading, so that no change is missed
        chosen = self._choose()
        if chosen:
            await asyncio.sleep(await self._guarded(chosen))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s()):
                    await self._woken.wait()
            await asyncio.sleep(GATHER_S)

    async def _guarded(self, chosen: Sequence[Instance]) -> float:
        """One poll; the seconds until the next may come. A cloud that fails is logged once, and tried again."""
        try:
            await self._poll(chosen)
        except CloudError as error:
            if not self._failures:
                log.warning("no figures of what pods use: %s", describe_error(error))
            self._failures += 1
            return RETRY.delay(self._failures - 1, jitter=self._jitter())
        finally:
            self._polled.set()
            self._polled = asyncio.Event()
        if self._failures:
            log.info("figures of what pods use come again")
        self._failures = 0
        return -(-len(chosen) // self._limits.ids_per_call) * 60 / self._limits.usage_per_minute

    async def _poll(self, chosen: Sequence[Instance]) -> None:
        with calling_for(Purpose.BACKGROUND):
            found = await self._cloud.usage([one.id for one in chosen])
        now = asyncio.get_running_loop().time()
        round_s = self._round_s()
        for one in chosen:
            runs, before = _runs(one), self._asked.get(one.id)
            lacking = 0
            if one.id not in found or not {name for name, _ in runs} <= found[one.id].containers.keys():
                lacking = before.lacking + 1 if before is not None and before.runs == runs else 1
            wait_s = min(round_s, FIRST_FIGURES.delay(lacking - 1, jitter=self._jitter())) if lacking else round_s
            self._asked[one.id] = _Queried(one, runs, now + wait_s, lacking)
        self._keep([one.id for one in self._store])
        self._take([(one, found[one.id]) for one in chosen if one.id in found])

    def _choose(self) -> Sequence[Instance]:
        """Whose turn it is, the new ones first; the last call is filled up with those next in turn."""
        now = asyncio.get_running_loop().time()
        measurable = list(self._measurable())
        self._asked = {one.id: self._asked[one.id] for one in measurable if one.id in self._asked}
        if not measurable:
            self._keep(())
            self._take(())
            return ()
        line = sorted((self._turn(one), one.id) for one in measurable)
        due = sum(1 for turn, _ in line if turn <= now)
        soon = sum(1 for turn, _ in line if turn <= now + self._round_s() / 4)
        per_call = self._limits.ids_per_call
        most = min(CALLS_AT_ONCE * per_call, soon, -(-due // per_call) * per_call)
        chosen = (self._store.get(instance_id) for _, instance_id in line[:most])
        return [one for one in chosen if one is not None]

    def _turn(self, instance: Instance) -> float:
        return float("-inf") if self._is_new(instance) else self._asked[instance.id].again_at

    def _is_new(self, instance: Instance) -> bool:
        asked = self._asked.get(instance.id)
        if asked is None or asked.same is instance:
            return asked is None
        if _runs(instance) <= asked.runs:
            asked.same = instance
        return asked.same is not instance

    def _measurable(self) -> Sequence[Instance]:
        return [one for one in self._store if one.status in _MEASURED and any(_running(one))]

    def _round_s(self) -> float:
        return max(ROUND_S, len(self._asked) / self._limits.ids_per_call * 60 / self._limits.usage_per_minute)

    def _idle_s(self) -> float:
        now = asyncio.get_running_loop().time()
        next_at = min((asked.again_at for asked in self._asked.values()), default=now + IDLE_S)
        return min(IDLE_S, max(0.0, next_at - now))


def _runs(instance: Instance) -> Runs:
    return frozenset((report.name, report.restart_count) for report in _running(instance))


def _running(instance: Instance) -> Iterator[ContainerReport]:
    reports = (*instance.init_containers, *instance.containers)
    return (report for report in reports if report.state.kind is StateKind.RUNNING)
