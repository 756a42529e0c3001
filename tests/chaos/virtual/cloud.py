"""The living cloud with books: every state an instance had, what it costs, what was told of it; and courses that pull,
run init containers, crash and begin anew. Its answers may be late, short or empty while the truth goes on.
"""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tests.control.living_cloud import Life, LivingCloud
from vk_provider.model.instance import (
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceReport,
    InstanceStatus,
    Owner,
    StateKind,
)
from vk_provider.model.workload import Workload

Json = dict[str, Any]
RUNS = (InstanceStatus.RUNNING, InstanceStatus.UPDATING)
STOPPED = 143
TOLD_FOR_S = 8.0  # an instance that goes is shown so long after its containers have ended
LOOKED_BACK_S = 75.0  # how far a look for changes reaches back at least


@dataclass(frozen=True, slots=True)
class Course(Life):
    """What becomes of an instance. init_s: None = no init container. crashes: ends with crash_code, each followed by
    another run. lag_s: how much later than the instance's end its containers' is told; below 0, how much earlier."""

    pull_s: float = 1.0
    init_s: float | None = None
    init_code: int = 0
    crashes: int = 0
    crash_code: int = 1
    back_off_s: float = 5.0
    lag_s: float = 0.0


class WitnessedCloud(LivingCloud):
    """courses: by namespace and name. planted: ids of instances that nobody asked for.

    stale_s, empty, partial: what is wrong with its answers, each with `chance`; denials of single ids stay true.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        time_s: Callable[[], float],
        spawn: Callable[..., Any],
        dice: random.Random,
    ) -> None:
        super().__init__(clock)
        self.courses: dict[tuple[str, str], Course] = {}
        self.journal: list[Json] = []
        self.ever: dict[str, Instance] = {}
        self.planted: set[str] = set()
        self.withheld: list[tuple[float, float]] = []
        self.stale_s = 0.0
        self.empty = self.partial = False
        self.chance = 0.5
        self.forget_next_token = False
        self.lies: random.Random | None = None  # creates are answered with an id of another pod's
        self.lied = False
        self.shy_s = 0.0  # how long an instance that is made now is in no list
        self._time_s, self._spawn, self._dice = time_s, spawn, dice
        self._past: list[tuple[float, str, Instance | None]] = []
        self._changed_at: list[float] = []  # of each of them, by the cloud's own clock
        self._newest: list[float] = []  # of all up to each of them
        self._moment = 1_767_322_800_000_000_000  # in nanoseconds
        self._happened: dict[tuple[str, str], float] = {}
        self._began: dict[str, float] = {}
        self._ended: dict[str, float] = {}

    # --- what others do

    def plant(self, like: str) -> str:
        """Another instance with the tags of this one."""
        workload, _ = self._specs[like]
        self._tokens[f"planted-{len(self.planted)}", "", 0] = made = f"eci-{len(self._tokens) + 1}"
        self.instances[made] = Instance(made, self.ever[like].owner, InstanceStatus.SCHEDULING)
        self.planted.add(made)
        self._born(made, workload)
        return made

    def reclaim(self, instance_id: str) -> None:
        """As a spot instance whose price rose."""
        self._terminated(instance_id, STOPPED)
        self.set(instance_id, status=InstanceStatus.EXPIRED, ended_at=self._stamp())

    # --- its books

    def set(self, instance_id: str, **changes: object) -> None:
        before = self.ever.get(instance_id)
        super().set(instance_id, **changes)
        now = self.instances[instance_id]
        self.ever[instance_id] = now
        self._remember(instance_id, now)
        if before is None or before.status is not now.status:
            self._note(instance_id, now.status.value)

    def vanish(self, instance_id: str) -> None:
        if instance_id in self.instances:
            self._remember(instance_id, None)
            self._note(instance_id, "Gone")
        super().vanish(instance_id)

    def _remember(self, instance_id: str, now: Instance | None) -> None:
        self._past.append((self._time_s(), instance_id, now))
        now_s = self._clock().timestamp()
        self._changed_at.append(now_s)
        self._newest.append(max(now_s, self._newest[-1] if self._newest else now_s))

    def _note(self, instance_id: str, status: str) -> None:
        now = self._time_s()
        self.journal.append({"kind": "state", "id": instance_id, "new": status, "when": now})
        if status == InstanceStatus.PENDING:
            self._began.setdefault(instance_id, now)
        elif status == "Gone" or InstanceStatus(status).is_ended:
            self._ended.setdefault(instance_id, now)

    def groups(self, ids: Sequence[str]) -> list[Json]:
        """As the auditor reads them."""
        return [self._group(self.ever[each]) for each in ids]

    def _group(self, instance: Instance) -> Json:
        began, ended = self._began.get(instance.id), self._ended.get(instance.id)
        until = ended if ended is not None else self._time_s()
        return {
            "id": instance.id,
            "name": f"{instance.owner.namespace}-{instance.owner.name}",
            "tags": {"vk-pod-uid": instance.owner.uid},
            "billing": began is not None and ended is None,
            "pending": "" if began is None else f"{began:.3f}",
            "billed_seconds": 0 if began is None else math.ceil(round(until - began, 3)),
        }

    def told_by(self, instance_id: str, when_s: float) -> list[CloudEvent]:
        """The events that an instance shows since then at the latest, but for those that happened in, or soon before, a
        time whose answers were false: nobody asks again for what was said not to be there."""

        def is_due(at_s: float) -> bool:
            return at_s <= when_s and not any(began - LOOKED_BACK_S < at_s < over for began, over in self.withheld)

        return [each for each in self.ever[instance_id].events if is_due(self._happened[instance_id, each.id])]

    # --- Cloud

    async def create(self, workload: Workload) -> Instance:
        answer = await super().create(workload)
        if self.forget_next_token and not self.unplaced[workload.owner.uid]:
            self.forget_next_token = False
            key = (workload.owner.uid, workload.replaces, workload.attempt)
            self._tokens[f"forgotten-{answer.id}", "", 0] = self._tokens.pop(key)
            self.planted.add(answer.id)
        others = [each.id for each in self.instances.values() if each.owner.uid != workload.owner.uid]
        if self.lies is not None and others:
            self.lied = True
            return replace(answer, id=self.lies.choice(others))
        return answer

    async def delete(self, instance_id: str, *, force: bool = False) -> bool:
        instance = self.instances.get(instance_id)
        if instance is None or instance.status.is_ended:
            return await super().delete(instance_id, force=force)
        self._enter(f"delete {instance_id}")
        workload, life = self._specs[instance_id]
        fresh = instance.status is not InstanceStatus.TERMINATING
        if fresh:
            for each in (*instance.init_containers, *instance.containers):
                if each.state.kind is StateKind.RUNNING:
                    self.happens(instance_id, "Killing", f"Stopping container {each.name}")
            self.set(instance_id, status=InstanceStatus.TERMINATING)
        if fresh or force:
            stop_s = 0.2 if force else min(life.stop_s, float(workload.termination_grace_s))
            self._later(stop_s, lambda: self._stop(instance_id))
            self._later(stop_s + TOLD_FOR_S, lambda: self.vanish(instance_id))
        return True

    async def changes(self, window_s: int) -> Sequence[InstanceReport]:
        self._enter("changes")
        return [
            InstanceReport(
                each.id,
                status=each.status,
                ip=each.ip,
                containers=each.containers,
                init_containers=each.init_containers,
                conditions=each.conditions,
                ended_at=each.ended_at,
                placed_at=each.placed_at,
            )
            for each in self._changed_within(window_s)
        ]

    async def events(self, window_s: int) -> Sequence[InstanceReport]:
        self._enter("events")
        return [InstanceReport(each.id, events=each.events) for each in self._changed_within(window_s)]

    def _changed_within(self, window_s: int) -> Sequence[Instance]:
        """By its own clock, which may have gone ahead since, or back."""
        since_s = self._clock().timestamp() - window_s
        perhaps = range(bisect_left(self._newest, since_s), len(self._past))
        lately = {self._past[each][1] for each in perhaps if self._changed_at[each] >= since_s}
        return [each for each in self._shown().values() if each.id in lately]

    def _shown(self) -> dict[str, Instance]:
        shown = super()._shown()
        if (self.empty or self.partial or self.stale_s) and self._dice.random() < self.chance:
            if self.empty:
                return {}
            if self.partial:
                return {key: each for key, each in shown.items() if self._dice.random() < 0.5}
            return self._as_it_was(self._time_s() - self.stale_s)
        return shown

    def _as_it_was(self, when_s: float) -> dict[str, Instance]:
        then: dict[str, Instance] = {}
        for at_s, instance_id, instance in self._past:
            if at_s > when_s:
                break
            if instance is None:
                then.pop(instance_id, None)
            else:
                then[instance_id] = instance
        return then

    # --- by itself

    def happens(self, instance_id: str, reason: str, message: str, *, type_: str = "Normal") -> None:
        """An event; the same one again counts up."""
        events = list(self.instances[instance_id].events)
        same = next((each for each in events if (each.reason, each.message) == (reason, message)), None)
        if same is not None and reason == "BackOff":
            again = replace(same, count=same.count + 1, last_at=self._stamp())
            events = [again if each is same else each for each in events]
            self._happened[instance_id, same.id] = self._time_s()
        else:
            self._moment += 1
            id_ = f"{self._moment:x}" if self._moment % 2 else f"{instance_id}-{self._moment}"
            self._happened[instance_id, id_] = self._time_s()
            events.append(CloudEvent(id_, type_, reason, message, 1, self._stamp(), self._stamp()))
        self.set(instance_id, events=tuple(events))

    def _born(self, instance_id: str, workload: Workload) -> None:
        owner = workload.owner
        course = self.courses.get((owner.namespace, owner.name), Course())
        self._specs[instance_id] = (workload, course)
        self.volumes[instance_id], self.shown[instance_id] = workload.volumes, {}
        waits = ContainerState(StateKind.WAITING)
        self.set(
            instance_id,
            owner=Owner("c", "vk", owner.namespace, owner.name, owner.uid),
            created_at=self._stamp(),
            containers=tuple(ContainerReport(each.name, waits) for each in workload.containers),
            init_containers=tuple(ContainerReport(each.name, waits) for each in workload.init_containers),
            made_of=workload.made_of,
            cpu=2.0,
            memory_gib=4.0,
        )
        if self.shy_s:
            self.hidden.add(instance_id)
            self._later(self.shy_s, lambda: self.hidden.discard(instance_id))
        if self.unplaced[owner.uid] < course.unplaced:
            self.unplaced[owner.uid] += 1
            self._later(course.starts_s, lambda: self._no_room(instance_id))
            return
        self.starts[owner.uid] += 1
        self._spawn(self._lives(instance_id, workload, course))

    async def _lives(self, instance_id: str, workload: Workload, course: Course) -> None:
        for step in (self._placed, self._initialized, self._runs, self._crashes, self._ends):
            if not await step(instance_id, workload, course):
                return

    async def _placed(self, instance_id: str, workload: Workload, course: Course) -> bool:
        await asyncio.sleep(course.starts_s)
        if not self._is(instance_id, InstanceStatus.SCHEDULING):
            return False
        self.set(instance_id, status=InstanceStatus.PENDING, ip="10.0.9.9", placed_at=self._stamp())
        self.happens(instance_id, "Scheduled", f"placed {instance_id}")
        await asyncio.sleep(course.pull_s)
        return self._is(instance_id, InstanceStatus.PENDING, InstanceStatus.UPDATING)

    async def _initialized(self, instance_id: str, workload: Workload, course: Course) -> bool:
        for each in workload.init_containers:
            self._starts(instance_id, each.name)
            await asyncio.sleep(course.init_s or 0.5)
            if not self._is(instance_id, InstanceStatus.PENDING, InstanceStatus.UPDATING):
                return False
            self._one(instance_id, each.name, self._over(course.init_code))
            if course.init_code:
                self.set(instance_id, status=InstanceStatus.FAILED, ended_at=self._stamp())
                return False
            await asyncio.sleep(0.3)
        return self._is(instance_id, InstanceStatus.PENDING, InstanceStatus.UPDATING)

    async def _runs(self, instance_id: str, workload: Workload, course: Course) -> bool:
        for each in workload.containers:
            self._starts(instance_id, each.name)
        self.set(instance_id, status=InstanceStatus.RUNNING)
        return True

    async def _crashes(self, instance_id: str, workload: Workload, course: Course) -> bool:
        for number in range(course.crashes):
            await asyncio.sleep(3.0 + number)
            if not self._is(instance_id, *RUNS):
                return False
            for each in workload.containers:
                self._one(instance_id, each.name, self._over(course.crash_code))
            await asyncio.sleep(1.0)
            if not self._is(instance_id, *RUNS):
                return False
            for each in workload.containers:
                self._waits_for_another(instance_id, each.name)
                self.happens(instance_id, "BackOff", f"Back-off restarting container {each.name}", type_="Warning")
            await asyncio.sleep(course.back_off_s)
            if not self._is(instance_id, *RUNS):
                return False
            for each in workload.containers:
                self._starts(instance_id, each.name)
        return True

    async def _ends(self, instance_id: str, workload: Workload, course: Course) -> bool:
        if course.runs_s is None:
            return False
        await asyncio.sleep(course.runs_s)
        if not self._is(instance_id, *RUNS):
            return False
        if course.lag_s < 0:
            self._terminated(instance_id, course.exit_code)
            await asyncio.sleep(-course.lag_s)
            if not self._is(instance_id, *RUNS):
                return False
        status = InstanceStatus.FAILED if course.exit_code else InstanceStatus.SUCCEEDED
        self.set(instance_id, status=status, ended_at=self._stamp())
        if course.lag_s > 0:
            await asyncio.sleep(course.lag_s)
        if self._is(instance_id, status):
            self._terminated(instance_id, course.exit_code)
        return False

    # --- one container

    def _starts(self, instance_id: str, name: str) -> None:
        def begun(each: ContainerReport) -> ContainerReport:
            again = each.last_state is not None
            state = ContainerState(StateKind.RUNNING, started_at=self._stamp())
            return replace(each, state=state, restart_count=each.restart_count + again)

        self.happens(instance_id, "Pulled", f"Container image of container {name} is present")
        self.happens(instance_id, "Started", f"Started container {name}")
        self._one(instance_id, name, begun)

    def _waits_for_another(self, instance_id: str, name: str) -> None:
        state = ContainerState(StateKind.WAITING, reason="CrashLoopBackOff")
        self._one(instance_id, name, lambda each: replace(each, state=state, last_state=each.state))

    def _over(self, code: int) -> Callable[[ContainerReport], ContainerReport]:
        """What a container becomes when its program ends so."""

        def over(each: ContainerReport) -> ContainerReport:
            if each.state.kind is not StateKind.RUNNING:
                return each
            state = ContainerState(
                StateKind.TERMINATED,
                reason="Error" if code else "Completed",
                exit_code=code,
                started_at=each.state.started_at,
                finished_at=self._stamp(),
            )
            return replace(each, state=state)

        return over

    def _terminated(self, instance_id: str, code: int) -> None:
        instance = self.instances[instance_id]
        for each in (*instance.init_containers, *instance.containers):
            self._one(instance_id, each.name, self._over(code))

    def _one(self, instance_id: str, name: str, change: Callable[[ContainerReport], ContainerReport]) -> None:
        instance = self.instances[instance_id]
        self.set(
            instance_id,
            containers=_with(instance.containers, name, change),
            init_containers=_with(instance.init_containers, name, change),
        )


def _with(
    reports: Sequence[ContainerReport], name: str, change: Callable[[ContainerReport], ContainerReport]
) -> Sequence[ContainerReport]:
    return tuple(change(each) if each.name == name else each for each in reports)
