"""`python -m tests.idle.day`: one day of a shared quota, simulated with the pure room, beside a naive policy.

A quota of 200 vCPU; regular pods that follow a working day with chance on top, each wanting its instance at once; 500
Jobs that take what is left; a spot market of limited depth. Time goes in steps of ten seconds, as the provider
evaluates. The naive policy offers all that is idle at the moment, with no forecast, reserve or patience; reclaims are
the same, so that what differs is only whom it lets in. Chance is seeded: the same day each time.
"""

from __future__ import annotations

import heapq
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from fakes.cloud import series
from vk_provider.idle.forecast import Dsp, Forecaster
from vk_provider.idle.history import DAY_S, HOUR_S, MINUTE_S, History
from vk_provider.idle.holdings import Hold, Holding, candidates, claims
from vk_provider.idle.market import Depth, Poll, SpotPrice, Stock
from vk_provider.idle.offer import NodeFacts, Offer, OfferSettings, without_leader
from vk_provider.idle.pool import Claims, Quota
from vk_provider.idle.resources import Amount
from vk_provider.idle.victims import LOWEST, Waiting, for_quota
from vk_provider.model.quantity import GIB

TICK_S = 10
QUOTA_CPU = 200.0
REGULAR_POD_CPU = 4.0
START_S, GRACE_S, RELEASE_S = 30.0, 30.0, 5.0
SILENT_S = 60.0  # without anybody who computes the pool
JOBS = 500
LEARNED_DAYS = 10
BEGIN_S = 20_000 * DAY_S  # a midnight
ON_DEMAND_CPU_HOUR = 1.0


@dataclass(slots=True)
class Work:
    """One pod of a Job: so much has to be done, from the beginning at each try."""

    uid: str
    cpu: int
    duration_s: float
    arrived_s: float
    bound_s: float = 0.0
    started_s: float | None = None
    retry_s: float = 0.0
    backoff_s: float = 5.0
    node: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One minute of the day, in vCPU; reclaims: pods that ended for a regular one in it."""

    when_s: float
    regular: float
    predicted: float
    published: float
    preemptible: float
    reclaims: int


@dataclass(slots=True)
class Outcome:
    policy: str
    jobs: int
    samples: list[Sample] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)  # of regular pods, from wanted to running
    refusals: int = 0
    reclaims: int = 0
    completed: int = 0
    last_s: float = 0.0  # when the last Job was done
    spot_cost: float = 0.0
    on_demand_cost: float = 0.0
    lost_cpu_hours: float = 0.0
    most_used_cpu: float = 0.0
    overpublished: float = 0.0  # the most that was offered above what was idle and safe at that moment

    def wait_s(self, share: float) -> float:
        ordered = sorted(self.waits_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def row(self) -> list[str]:
        return [
            self.policy,
            f"{self.completed}/{self.jobs} by {self.last_s / HOUR_S:.1f} h",
            str(self.reclaims),
            f"{self.lost_cpu_hours:.1f}",
            str(self.refusals),
            f"{self.wait_s(0.5):.0f}/{self.wait_s(0.99):.0f}/{self.wait_s(1):.0f}",
            f"{100 * self.spot_cost / self.on_demand_cost:.0f} %",
        ]


HEAD = ["policy", "Jobs done", "reclaims", "vCPU h lost", "refusals", "regular wait p50/p99/max s", "bill of on demand"]


def table(outcomes: Sequence[Outcome]) -> str:
    rows = [HEAD, *(outcome.row() for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the day is like. surge_cpu: what regular pods want on top from two to four in the morning, which no history
    can foresee. hours: from midnight; Jobs that are left then are done before it ends. nodes: that share the pool.

    restarts: ticks at which the provider that computes the pool dies and another reads all from the nodes and the
    cloud; pauses: at which nobody computes it. lags: chance that a node publishes its share only at a later tick.
    """

    is_naive: bool = False
    seed: int = 1
    surge_cpu: float = 0.0
    hours: int = 24
    jobs: int = JOBS
    nodes: int = 1
    restarts: frozenset[int] = frozenset()
    pauses: frozenset[int] = frozenset()
    lags: float = 0.0


class Day:
    """`violations`: what must never be, with the second of the day."""

    def __init__(self, plan: Plan) -> None:
        self.plan, seed = plan, plan.seed
        self.now_s = float(BEGIN_S)
        self.outcome = Outcome("all that is idle" if plan.is_naive else "forecast", plan.jobs)
        self.violations: list[str] = []
        self._dice = random.Random(seed)
        self._load = _load(seed)
        self._price = series.parse({"mean": 0.3, "amplitude": 0.08, "noise": 0.03, "seed": seed + 1, "least": 0.1}, 0.0)
        self._stock = series.parse({"mean": 130, "amplitude": 30, "noise": 10, "seed": seed + 2, "least": 0}, 0.0)
        forecaster = Forecaster(History.decode(_learned(seed)), Dsp(), all_there_is=QUOTA_CPU)
        self._offer = Offer(forecaster, Depth(), OfferSettings())
        self._predicted = QUOTA_CPU
        self._published = {f"vk-{number}": Amount() for number in range(plan.nodes)}
        self._paused = 0
        self._regular = 0  # pods that have an instance
        self._waiting: list[float] = []  # regular pods without one: since when
        self._arrivals = sorted(_jobs(plan, self.now_s), key=lambda work: -work.arrived_s)
        self._pending: list[Work] = []
        self._bound: dict[str, Work] = {}  # with and without an instance
        self._ends: list[tuple[float, str]] = []
        self._releasing: list[tuple[float, float]] = []  # when gone, vCPU
        self._reclaimed = 0
        self._shares: dict[str, float] = {}

    def run(self) -> Outcome:
        self._regular = int(self._wanted_regular(self.now_s) / REGULAR_POD_CPU)
        end_s = BEGIN_S + self.plan.hours * HOUR_S
        tick = 0
        while self.now_s < end_s or (self.outcome.completed < self.plan.jobs and self.now_s < end_s + DAY_S):
            self._finish_what_is_due()
            self._regular_pods()
            self._reclaim()
            if tick in self.plan.restarts:
                self._restart()
            self._measure()
            self._publish(tick)
            self._schedule()
            self._create()
            self._sample()
            self.now_s += TICK_S
            tick += 1
        return self.outcome

    # --- the world ----------------------------------------------------------------------------------------------------

    def _wanted_regular(self, when_s: float) -> float:
        surge = self.plan.surge_cpu if 2 * HOUR_S <= when_s - BEGIN_S < 4 * HOUR_S else 0.0
        return min(QUOTA_CPU, REGULAR_POD_CPU * round((self._load.at(when_s) + surge) / REGULAR_POD_CPU))

    def _instances(self) -> list[Work]:
        return [work for work in self._bound.values() if work.started_s is not None]

    @property
    def _preemptible_cpu(self) -> float:
        """In the quota: live ones and those being released."""
        return sum(work.cpu for work in self._instances()) + sum(cpu for _, cpu in self._releasing)

    @property
    def _free_cpu(self) -> float:
        return QUOTA_CPU - self._regular * REGULAR_POD_CPU - self._preemptible_cpu

    def _finish_what_is_due(self) -> None:
        while self._releasing and self._releasing[0][0] <= self.now_s:
            self._offer.depth.released(heapq.heappop(self._releasing)[1])
        while self._ends and self._ends[0][0] <= self.now_s:
            end_s, uid = heapq.heappop(self._ends)
            work = self._bound.get(uid)
            if work is None or work.started_s is None or work.started_s + START_S + work.duration_s != end_s:
                continue  # reclaimed in between
            self._end(work, grace_s=0.0)
            self.outcome.completed += 1
            self.outcome.last_s = self.now_s - BEGIN_S
            self.outcome.on_demand_cost += ON_DEMAND_CPU_HOUR * work.cpu * (START_S + work.duration_s) / HOUR_S

    def _end(self, work: Work, *, grace_s: float) -> None:
        del self._bound[work.uid]
        started_s, work.started_s = work.started_s, None
        if started_s is None:
            return
        gone_s = self.now_s + grace_s + RELEASE_S
        heapq.heappush(self._releasing, (gone_s, float(work.cpu)))
        hours = (gone_s - started_s) / HOUR_S
        self.outcome.spot_cost += ON_DEMAND_CPU_HOUR * self._shares[work.uid] * work.cpu * hours

    def _regular_pods(self) -> None:
        wanted = int(self._wanted_regular(self.now_s) / REGULAR_POD_CPU)
        present = self._regular + len(self._waiting)
        self._waiting += [self.now_s] * max(0, wanted - present)
        for _ in range(max(0, present - wanted)):
            if self._waiting:
                self._waiting.pop()
            else:
                self._regular -= 1
        still: list[float] = []
        for since_s in self._waiting:
            if self._free_cpu >= REGULAR_POD_CPU:
                self._regular += 1
                self.outcome.waits_s.append(self.now_s - since_s + START_S)
            else:
                self.outcome.refusals += since_s == self.now_s
                still.append(since_s)
        self._waiting = still

    # --- what the provider does ---------------------------------------------------------------------------------------

    def _reclaim(self) -> None:
        if not self._waiting:
            return
        waiting = [
            Waiting(uid=str(place), cpu=REGULAR_POD_CPU, since_s=since_s) for place, since_s in enumerate(self._waiting)
        ]
        open_ones = candidates(self._holdings(), lambda _: LOWEST)
        releasing = sum(cpu for _, cpu in self._releasing)
        for victim in for_quota(waiting, open_ones, free_cpu=self._free_cpu, releasing_cpu=releasing).victims:
            work = self._bound[victim.uid]
            done_s = max(0.0, self.now_s - (work.started_s or self.now_s) - START_S)
            self.outcome.lost_cpu_hours += work.cpu * done_s / HOUR_S
            self.outcome.reclaims += 1
            self._reclaimed += 1
            self._end(work, grace_s=GRACE_S)
            work.retry_s = self.now_s + GRACE_S + 10  # its Job makes another
            self._pending.append(work)

    def _restart(self) -> None:
        """All that is remembered is gone, but for what the nodes say and the checkpoint of the history."""
        history = History.decode(self._offer.forecaster.history.encode())
        self._offer = Offer.resumed(
            Forecaster(history, Dsp(), all_there_is=QUOTA_CPU),
            Depth(),
            OfferSettings(),
            holdings=self._holdings(),
            nodes=self._nodes(),
        )
        self._poll()

    def _holdings(self) -> list[Holding]:
        held = [
            Holding(
                uid=work.uid,
                node=work.node,
                hold=Hold.BOUND if work.started_s is None else Hold.LIVE,
                cpu=float(work.cpu),
                requested=Amount(work.cpu, work.cpu * 4 * GIB),
                bound_s=work.bound_s,
                is_running=work.started_s is not None and self.now_s - work.started_s >= START_S,
            )
            for work in self._bound.values()
        ]
        going = [
            Holding(uid=f"gone-{place}", node="", hold=Hold.RELEASING, cpu=cpu)
            for place, (_, cpu) in enumerate(self._releasing)
        ]
        return [*held, *going]

    def _nodes(self) -> dict[str, NodeFacts]:
        return {name: NodeFacts(published=amount) for name, amount in self._published.items()}

    def _poll(self) -> None:
        left = self._stock.at(self.now_s) - self._preemptible_cpu
        stock = Stock.WITH if left >= 2 else Stock.WITHOUT
        self._offer.depth.poll(Poll(self.now_s, {"zone": stock}, {"zone": SpotPrice(self._price.at(self.now_s), 1.0)}))

    @property
    def _regular_cpu(self) -> float:
        """With those that wait: they are wanted."""
        return (self._regular + len(self._waiting)) * REGULAR_POD_CPU

    def _measure(self) -> None:
        if self.now_s % MINUTE_S == 0:
            self._offer.forecaster.history.record(self.now_s, self._regular_cpu)
            self._poll()

    def _requested(self) -> dict[str, int]:
        requested = dict.fromkeys(self._published, 0)
        for work in self._bound.values():
            requested[work.node] += work.cpu
        return requested

    def _publish(self, tick: int) -> None:
        requested = self._requested()
        if self.plan.is_naive:
            for name, cpu in requested.items():
                self._published[name] = Amount(cpu + max(0, int(self._free_cpu)) // self.plan.nodes, 10**15)
            return
        if tick in self.plan.pauses:
            self._paused += 1
            if self._paused * TICK_S >= SILENT_S:  # nobody leads: nothing more is offered
                for name, amount in self._published.items():
                    given = Amount(requested[name], requested[name] * 4 * GIB)
                    self._published[name] = without_leader(amount, given)
            return
        self._paused = 0
        holdings = self._holdings()
        evaluation = self._offer.evaluate(
            self.now_s,
            quota=Quota(
                at_s=self.now_s,
                most_cpu=QUOTA_CPU,
                used_cpu=self._regular * REGULAR_POD_CPU + self._preemptible_cpu,
                preemptible_cpu=self._preemptible_cpu,
            ),
            holdings=holdings,
            nodes=self._nodes(),
            waiting_cpu=len(self._waiting) * REGULAR_POD_CPU,
        )
        self._predicted = QUOTA_CPU if evaluation.prediction is None else evaluation.prediction.peak
        before = sum(amount.cpu for amount in self._published.values())
        for name, amount in evaluation.shares.items():
            if self._dice.random() >= self.plan.lags:
                self._published[name] = amount
        self._check_offer(before, claims(holdings))

    def _check_offer(self, before: int, claims: Claims) -> None:
        """Never more than is idle, safe, and forecast to be; where a node lags, never more than before at least."""
        held_beyond = claims.held_cpu - sum(self._requested().values())
        room = max(0.0, 0.9 * QUOTA_CPU - max(self._predicted, self._regular_cpu) - held_beyond)
        offered = sum(amount.cpu for amount in self._published.values())
        self.outcome.overpublished = max(self.outcome.overpublished, offered - room)
        if offered > max(room, before if self.plan.lags else 0) + 1e-6:
            self.violations.append(f"{self.now_s - BEGIN_S:.0f}: {offered} vCPU offered of {room:.1f}, before {before}")

    def _schedule(self) -> None:
        while self._arrivals and self._arrivals[-1].arrived_s <= self.now_s:
            self._pending.append(self._arrivals.pop())
        free = {name: self._published[name].cpu - cpu for name, cpu in self._requested().items()}
        still: list[Work] = []
        for work in self._pending:
            node = max(free, key=lambda name: free[name])
            if work.retry_s <= self.now_s and work.cpu <= free[node]:
                work.bound_s, work.retry_s, work.node = self.now_s, 0.0, node
                self._bound[work.uid] = work
                free[node] -= work.cpu
            else:
                still.append(work)
        self._pending = still

    def _create(self) -> None:
        for work in self._bound.values():
            if work.started_s is not None or work.retry_s > self.now_s:
                continue
            in_stock = self._stock.at(self.now_s) - self._preemptible_cpu >= work.cpu
            if not in_stock or self._free_cpu < work.cpu:
                work.backoff_s = min(300.0, work.backoff_s * 2)
                work.retry_s = self.now_s + work.backoff_s
                if not in_stock:
                    self._offer.depth.refused(self.now_s)
                continue
            work.started_s, work.backoff_s = self.now_s, 5.0
            self._shares[work.uid] = self._price.at(self.now_s)
            self._offer.depth.created(self.now_s, work.cpu)
            heapq.heappush(self._ends, (self.now_s + START_S + work.duration_s, work.uid))

    def _sample(self) -> None:
        used = QUOTA_CPU - self._free_cpu
        self.outcome.most_used_cpu = max(self.outcome.most_used_cpu, used)
        if used > QUOTA_CPU + 1e-6:
            self.violations.append(f"{self.now_s - BEGIN_S:.0f}: {used} vCPU used")
        if self.now_s % MINUTE_S == 0 and self.now_s < BEGIN_S + DAY_S:
            self.outcome.samples.append(
                Sample(
                    self.now_s - BEGIN_S,
                    self._regular * REGULAR_POD_CPU,
                    self._predicted,
                    sum(amount.cpu for amount in self._published.values()),
                    self._preemptible_cpu,
                    self._reclaimed,
                )
            )
            self._reclaimed = 0


def _load(seed: int) -> series.Series:
    return series.parse({"mean": 95, "amplitude": 75, "peak_s": 14 * HOUR_S, "noise": 8, "seed": seed, "least": 0}, 0.0)


@lru_cache(maxsize=8)
def _learned(seed: int) -> str:
    """The checkpoint of a history of the days before."""
    history, load = History(), _load(seed)
    for minute in range(BEGIN_S - LEARNED_DAYS * DAY_S, BEGIN_S, MINUTE_S):
        history.record(minute, REGULAR_POD_CPU * round(load.at(minute) / REGULAR_POD_CPU))
    return history.encode()


def _jobs(plan: Plan, begin_s: float) -> list[Work]:
    dice = random.Random(plan.seed)
    jobs = []
    for number in range(plan.jobs):
        cpu, duration_s = dice.choice([2, 4, 4, 8, 8]), dice.uniform(10, 50) * MINUTE_S
        arrived_s = begin_s + dice.uniform(0, 0.75 * plan.hours * HOUR_S)
        jobs.append(Work(f"job-{number:03}", cpu, duration_s, arrived_s))
    return jobs


if __name__ == "__main__":
    chosen = int((sys.argv[1:] or ["1"])[0])
    days = [Day(Plan(is_naive=is_naive, seed=chosen)).run() for is_naive in (False, True)]
    sys.stdout.write(table(days) + "\n")
