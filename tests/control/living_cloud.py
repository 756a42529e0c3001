"""A Cloud in memory whose instances live: they start, run, end and go, by the loop's clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tests.control.memory_cloud import MemoryCloud
from vk_provider.cloud.base import Change
from vk_provider.errors import CloudUnavailable, InstanceGone
from vk_provider.model.instance import (
    CloudCondition,
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceReport,
    InstanceStatus,
    StateKind,
)
from vk_provider.model.workload import Container, Volume, Workload

STAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Life:
    """What becomes of a pod's instance. runs_s None: for ever. unplaced: so many first instances find no room.

    stop_s: from the deletion to the containers' end; gone two looks later. A trace of its end shows in between.
    """

    starts_s: float = 3.0
    runs_s: float | None = None
    exit_code: int = 0
    unplaced: int = 0
    stop_s: float = 3.0
    gone_s: float = 6.0


class LivingCloud(MemoryCloud):
    """lives: by pod name. starts: instances ever made by pod uid, those never placed apart in `unplaced`."""

    def __init__(self, clock: Callable[[], datetime], **lives: Life) -> None:
        super().__init__()
        self.lives = lives
        self.starts: Counter[str] = Counter()
        self.unplaced: Counter[str] = Counter()
        self.created_at_s: list[float] = []
        self.volumes: dict[str, Sequence[Volume]] = {}  # by instance id
        self.shown: dict[str, dict[str, str]] = {}  # instance id → "volume/path" → text
        self.updates: list[tuple[str, float]] = []  # instance id, loop time
        self.update_s = 0.5
        self.changes_made: list[tuple[str, Change]] = []  # instance id, what was asked for
        self.bad_images: set[str] = set()  # cannot be pulled
        self.needs_login: set[str] = set()  # can be pulled by whoever brings one
        self.crashing: Callable[[Container], bool] = lambda container: False  # whether a start fails at once
        self._clock = clock
        self._ran: set[str] = set()  # ids of instances of which a container has begun
        self._found_room: set[str] = set()  # ids of instances that found room
        self._specs: dict[str, tuple[Workload, Life]] = {}

    def life_of(self, name: str) -> Life:
        return self.lives.get(name.replace("-", "_"), Life())

    async def create(self, workload: Workload) -> Instance:
        before = len(self.created)
        made_of = workload.made_of
        try:
            await super().create(workload)
        except KeyError:
            pass  # the token is remembered though its instance is gone: the first answer is given again
        finally:
            if len(self.created) > before:
                self._born(f"eci-{len(self._tokens)}", workload)
        made = self._tokens[workload.owner.uid, workload.replaces, workload.attempt]
        told = self.instances[made].made_of if made in self.instances else made_of
        return Instance(
            made,
            workload.owner,
            InstanceStatus.SCHEDULING,
            cpu=2.0,
            memory_gib=4.0,
            attempt=workload.attempt,
            made_of=told,
            proven=False,
        )

    async def update(self, instance_id: str, workload: Workload, change: Change) -> None:
        """Those of its containers that differ begin anew; tags go along."""
        self._enter(f"update {instance_id}")
        if instance_id not in self.instances:
            raise InstanceGone(f"no {instance_id}")
        if not self._is(instance_id, InstanceStatus.PENDING, InstanceStatus.RUNNING):
            raise CloudUnavailable("IncorrectStatus")
        before, life = self._specs[instance_id]
        self.changes_made.append((instance_id, change))
        if change.files:
            self.volumes[instance_id], self.shown[instance_id] = workload.volumes, _texts(workload.volumes)
        given = {each.name: each for each in workload.containers if each.name in change.containers}
        after = replace(
            before,
            containers=tuple(given.get(each.name, each) for each in before.containers),
            registry_credentials=workload.registry_credentials if change.logins else before.registry_credentials,
        )
        self._specs[instance_id] = (after, life)
        was = self.instances[instance_id].status
        self.set(instance_id, status=InstanceStatus.UPDATING, made_of=workload.made_of)
        differing = {
            one.name
            for one, other in zip(before.containers, after.containers, strict=True)
            if (one.image, one.env) != (other.image, other.env)
        }
        self._later(self.update_s, lambda: self._changed(instance_id, was, differing))

    def _changed(self, instance_id: str, was: InstanceStatus, differing: Collection[str]) -> None:
        if self._is(instance_id, InstanceStatus.UPDATING):
            self.set(instance_id, status=was)
            self._start_all(instance_id, differing)

    def environment(self, instance_id: str) -> dict[str, object]:
        """Of its first container, as it would be started with now."""
        return dict(self._specs[instance_id][0].containers[0].env)

    def has_run(self, instance_id: str) -> bool:
        return instance_id in self._ran

    def crash(self, instance_id: str) -> None:
        """Every container that runs ends, and is begun again at once."""
        self._terminated(instance_id, 1)
        self._start_all(instance_id)

    async def update_files(self, instance_id: str, volumes: Sequence[Volume]) -> None:
        self._enter(f"update {instance_id}")
        if instance_id not in self.instances:
            raise InstanceGone(f"no {instance_id}")
        if not self._is(instance_id, InstanceStatus.PENDING, InstanceStatus.RUNNING):
            raise CloudUnavailable("IncorrectStatus")
        before = self.instances[instance_id].status
        self.updates.append((instance_id, asyncio.get_running_loop().time()))
        self.volumes[instance_id], self.shown[instance_id] = volumes, _texts(volumes)
        self.set(instance_id, status=InstanceStatus.UPDATING)
        self._later(self.update_s, lambda: self._updated(instance_id, before))

    async def volumes_of(self, instance_id: str) -> Mapping[str, Volume]:
        return {each.name: each for each in self.volumes[instance_id]}

    def _updated(self, instance_id: str, before: InstanceStatus) -> None:
        if self._is(instance_id, InstanceStatus.UPDATING):
            self.set(instance_id, status=before)

    async def delete(self, instance_id: str, *, force: bool = False) -> bool:
        self._enter(f"delete {instance_id}")
        instance = self.instances.get(instance_id)
        if instance is None:
            return False
        if instance.status is InstanceStatus.TERMINATING:
            return True
        _, life = self._specs[instance_id]
        if instance.status.is_ended:
            self.vanish(instance_id)
            return True
        self.set(instance_id, status=InstanceStatus.TERMINATING)
        self._later(life.stop_s, lambda: self._stop(instance_id))
        self._later(life.gone_s, lambda: self.vanish(instance_id))
        return True

    async def changes(self, window_s: int) -> Sequence[InstanceReport]:
        """Of those that have a place the tags are told too, as a driver does that looks up where they are."""
        reports = await super().changes(window_s)
        there = self.instances
        return [
            replace(each, conditions=there[each.id].conditions, owner=there[each.id].owner if each.ip else None)
            for each in reports
        ]

    async def restart(self, instance_id: str) -> None:
        """Everything ends, and begins anew after starts_s."""
        self._enter(f"restart {instance_id}")
        _, life = self._specs[instance_id]
        self._terminated(instance_id, 143)
        ended = self.instances[instance_id].containers
        waiting = ContainerState(StateKind.WAITING)
        self.set(
            instance_id,
            status=InstanceStatus.RESTARTING,
            containers=tuple(replace(each, state=waiting, last_state=each.state) for each in ended),
        )
        self._later(life.starts_s, lambda: self._begin_again(instance_id))

    def _begin_again(self, instance_id: str) -> None:
        if self._is(instance_id, InstanceStatus.RESTARTING):
            self._start_all(instance_id)
            self.set(instance_id, status=InstanceStatus.RUNNING)

    def vanish(self, instance_id: str) -> None:
        self.instances.pop(instance_id, None)

    def event(self, instance_id: str, id: str, *, count: int = 1, reason: str = "Pulled", message: str = "") -> None:
        now = self._clock().strftime(STAMP)
        event = CloudEvent(id, "Normal", reason, message or f"{reason} by {id}", count, now, now)
        others = [each for each in self.instances[instance_id].events if each.id != id]
        self.set(instance_id, events=(*others, event))

    def finish(self, instance_id: str, code: int) -> None:
        self._end(instance_id, code)

    # --- by itself

    def _born(self, instance_id: str, workload: Workload) -> None:
        life = self.life_of(workload.owner.name)
        uid = workload.owner.uid
        self._specs[instance_id] = (workload, life)
        self.volumes[instance_id], self.shown[instance_id] = workload.volumes, _texts(workload.volumes)
        self.created_at_s.append(asyncio.get_running_loop().time())
        names = [each.name for each in workload.containers]
        images = {each.name: each.image for each in workload.containers}
        waiting = tuple(ContainerReport(name, ContainerState(StateKind.WAITING), image=images[name]) for name in names)
        self.set(
            instance_id,
            created_at=self._clock().strftime(STAMP),
            containers=waiting,
            cpu=2.0,
            memory_gib=4.0,
            made_of=workload.made_of,
        )
        if self.unplaced[uid] < life.unplaced:
            self.unplaced[uid] += 1
            self._later(life.starts_s, lambda: self._no_room(instance_id))
            return
        made_way = workload.replaces
        if made_way not in self._found_room or made_way in self.instances or made_way in self._ran:
            self.starts[uid] += 1  # else nothing of that one ever ran, and it is gone: this one is instead of it
        self._found_room.add(instance_id)
        self._later(life.starts_s, lambda: self._run(instance_id))
        if life.runs_s is not None:
            self._later(life.starts_s + life.runs_s, lambda: self._end(instance_id, life.exit_code))

    def _later(self, delay_s: float, call: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(delay_s, call)

    def _is(self, instance_id: str, *statuses: InstanceStatus) -> bool:
        instance = self.instances.get(instance_id)
        return instance is not None and instance.status in statuses

    def _no_room(self, instance_id: str) -> None:
        if self._is(instance_id, InstanceStatus.SCHEDULING):
            told = CloudCondition("ContainerInstanceCreated", "False", "NoStock", "no stock for 2C4G")
            self.set(instance_id, status=InstanceStatus.SCHEDULE_FAILED, conditions=(told,))

    def _run(self, instance_id: str) -> None:
        if self._is(instance_id, InstanceStatus.SCHEDULING):
            self.set(instance_id, status=InstanceStatus.PENDING, ip="10.0.9.9")
            self._start_all(instance_id)

    def _start_all(self, instance_id: str, only: Collection[str] | None = None) -> None:
        """Each container, or these of them, begins (again), unless its image cannot be had."""
        workload, _ = self._specs[instance_id]
        specs = {each.name: each for each in workload.containers}
        reports = self.instances[instance_id].containers
        begun = tuple(
            self._begun(specs[each.name], each, workload) if only is None or each.name in only else each
            for each in reports
        )
        self.set(instance_id, containers=begun)
        if all(each.state.kind is StateKind.WAITING and each.last_state is None for each in begun):
            return
        self._ran.add(instance_id)
        if self._is(instance_id, InstanceStatus.PENDING):
            self.set(instance_id, status=InstanceStatus.RUNNING)
        for each in begun:
            if each.state.kind is not StateKind.RUNNING:
                continue
            told = f"{instance_id}.{each.name}-starts"
            count = 1 + sum(event.count for event in self.instances[instance_id].events if event.id == told)
            self.event(instance_id, told, count=count, reason="Started", message=f"Started container {each.name}")

    def _begun(self, spec: Container, report: ContainerReport, workload: Workload) -> ContainerReport:
        host = spec.image.partition("/")[0]
        has_login = any(each.server == host for each in workload.registry_credentials)
        if spec.image in self.bad_images or (spec.image in self.needs_login and not has_login):
            message = f'Back-off pulling image "{spec.image}"'
            waits = ContainerState(StateKind.WAITING, reason="ImagePullBackOff", message=message)
            return replace(report, state=waits, image=spec.image)
        ran = report.last_state is not None or report.state.kind is not StateKind.WAITING
        last = report.state if report.state.kind is StateKind.TERMINATED else report.last_state
        if report.state.kind is StateKind.RUNNING:
            last = replace(
                report.state, kind=StateKind.TERMINATED, reason="Error", exit_code=143, finished_at=self._stamp()
            )
        count = report.restart_count + ran
        if self.crashing(spec):
            end = ContainerState(
                StateKind.TERMINATED,
                reason="Error",
                exit_code=1,
                started_at=self._stamp(),
                finished_at=self._stamp(),
            )
            waits = ContainerState(StateKind.WAITING, reason="CrashLoopBackOff")
            return replace(report, state=waits, last_state=end, restart_count=count, image=spec.image)
        runs = ContainerState(StateKind.RUNNING, started_at=self._stamp())
        return replace(report, state=runs, last_state=last, restart_count=count, image=spec.image)

    def _end(self, instance_id: str, code: int) -> None:
        if self._is(instance_id, InstanceStatus.RUNNING, InstanceStatus.UPDATING):
            self._terminated(instance_id, code)
            status = InstanceStatus.FAILED if code else InstanceStatus.SUCCEEDED
            self.set(instance_id, status=status, ended_at=self._stamp())

    def _stop(self, instance_id: str) -> None:
        if self._is(instance_id, InstanceStatus.TERMINATING):
            self._terminated(instance_id, 143)

    def _terminated(self, instance_id: str, code: int) -> None:
        def ended(state: ContainerState) -> ContainerState:
            if state.kind is not StateKind.RUNNING:
                return state
            reason = "Error" if code else "Completed"
            return ContainerState(
                StateKind.TERMINATED,
                reason=reason,
                exit_code=code,
                started_at=state.started_at,
                finished_at=self._stamp(),
            )

        self._states(instance_id, ended)

    def _states(self, instance_id: str, change: Callable[[ContainerState], ContainerState]) -> None:
        reports = self.instances[instance_id].containers
        self.set(instance_id, containers=tuple(replace(each, state=change(each.state)) for each in reports))

    def _stamp(self) -> str:
        return self._clock().strftime(STAMP)


def _texts(volumes: Sequence[Volume]) -> dict[str, str]:
    return {f"{each.name}/{file.path}": file.content.decode() for each in volumes for file in each.files or ()}
