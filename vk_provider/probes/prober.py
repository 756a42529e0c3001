"""The probes that the cloud cannot ask: who is asked when, what the answers come to, and who has to be restarted.

One entry per container that runs and has such a probe, whatever its period: a thousand pods cost a thousand timers, and
never more connections than `probe_slots` allows, which also sees to it that no pod and no namespace holds up another's
probes. A probe that is made late is no failure, and one that is given up for others' sake has learnt nothing. A run
that is over ends its probes with it. After a start of this process everything goes on from the pod's own status: what
was ready stays so until a probe has failed, what had started has.
Source: kubernetes pkg/kubelet/prober/worker.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from vk_provider.model import pod as pods
from vk_provider.model.instance import ContainerReport, Instance, InstanceStatus, StateKind
from vk_provider.model.pod import Json
from vk_provider.model.probe import Duties, Exec, Failure, Probe, ProbeCount
from vk_provider.pacing.callers import Purpose, calling_for
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.probes.probe_slots import PROMPT_S, TICK_S, ProbeSlots
from vk_provider.probes.results import ProbeResult, ProbeTarget
from vk_provider.retry_loop import retry_loop
from vk_provider.translate import probes

log = logging.getLogger(__name__)

LEAST_PAUSE_S = 0.5
MOST_MESSAGE = 1000  # characters of an answer in an event
STARTUP, READINESS, LIVENESS = "startup", "readiness", "liveness"

Ask = Callable[[ProbeTarget, Probe], Awaitable[ProbeResult]]
Tell = Callable[..., None]  # (pod, type, reason, message, container=…)


@dataclass(slots=True)
class _Run:
    """One run of one container. id: another for the next. counts: by probe, the last answer, how often in a row.
    results: how often each probe had each result."""

    id: tuple[int, str]
    pod: Json
    place: ProbeTarget
    duties: Duties
    started: bool
    ready: bool
    counts: dict[str, tuple[bool, int]] = field(default_factory=dict)
    results: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: str = ""  # the probe that has condemned it; then no further probe is made

    def add_to(self, report: ContainerReport) -> ContainerReport:
        """With what the probes have found."""
        return replace(
            report,
            started=self.started if self.duties.startup is not None else None,
            answers=self.ready if self.duties.readiness is not None else None,
        )


class Prober:
    """ask: makes one probe. changed: called with the uid of a pod that a result has changed. tell: emits events."""

    def __init__(
        self,
        ask: Ask,
        *,
        changed: Callable[[str], None],
        tell: Tell,
        jitter: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        self._ask = ask
        self._changed = changed
        self._tell = tell
        self._jitter = jitter
        self._clock = clock
        self._queue = WorkQueue()
        self._slots = ProbeSlots(begin=self._begin, give_up=self._give_up)
        self._tasks: dict[str, asyncio.Task[None]] = {}  # probes under way
        self._scopes: dict[str, tuple[_Run, asyncio.Timeout]] = {}  # of those that wait for an answer
        self._runs: dict[str, dict[str, _Run]] = {}  # by pod uid and container
        self._ticks: asyncio.TimerHandle | None = None
        self._has_ended = False
        self._reached = False  # whether any pod's address has ever answered anything

    async def run(self) -> None:
        try:
            await retry_loop(self._next, name="prober", jitter=self._jitter)
        finally:
            self._has_ended = True
            if self._ticks is not None:
                self._ticks.cancel()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # --- what the reconcile loop asks ---

    def observe(self, pod: Json, instance: Instance) -> Instance:
        """Take note of what runs now, and add to the reports what is known of each."""
        uid = pods.uid_of(pod)
        duties = probes.provider_probes(pod, instance.words.probes)
        if not duties or pods.is_deleting(pod) or pods.is_terminal(pod) or instance.status not in _ASKED:
            self.remove(uid)
            return instance
        known, now_running = self._runs.get(uid, {}), {}
        for report in instance.containers:
            if report.name in duties and report.state.kind is StateKind.RUNNING and instance.ip:
                run = self._run_of(pod, instance, report, duties[report.name], known.get(report.name))
                now_running[report.name] = run
        self._runs[uid] = now_running
        self._end_probes_of(uid, known)
        reports = instance.containers
        answered = (now_running[one.name].add_to(one) if one.name in now_running else one for one in reports)
        return replace(instance, containers=tuple(answered))

    def failing(self, uid: str) -> Failure | None:
        """A container of the pod that has to begin anew, as long as it runs."""
        for run in self._runs.get(uid, {}).values():
            if run.failed:
                return Failure(run.place.instance_id, run.place.container, run.failed)
        return None

    def counts(self) -> Iterator[ProbeCount]:
        """Of all that run now, as they are while this goes on."""
        for uid, runs in list(self._runs.items()):
            for container, run in runs.items():
                meta = run.pod["metadata"]
                for (kind, result), count in sorted(run.results.items()):
                    yield ProbeCount(meta["namespace"], meta["name"], uid, container, kind, result, count)

    def remove(self, uid: str) -> None:
        self._end_probes_of(uid, self._runs.pop(uid, {}))

    def _run_of(
        self, pod: Json, instance: Instance, report: ContainerReport, duties: Duties, known: _Run | None
    ) -> _Run:
        place = ProbeTarget(instance.id, report.name, instance.ip)
        id_ = (report.restart_count, report.state.started_at)
        if known is not None and known.id == id_ and known.place == place:
            known.pod = pod
            return known
        entry = _entry_of(pod, report)
        run = _Run(
            id=id_,
            pod=pod,
            place=place,
            duties=duties,
            started=duties.startup is None or bool(entry.get("started")),
            ready=bool(entry.get("ready")),
        )
        for kind, probe in _due(run):
            # Taken over from an earlier process: its turn is somewhere within its period.
            soon_s = self._jitter() * probe.period_s if entry else 0.0
            self._probe_in(max(soon_s, self._delay_s(run, probe)), run, kind)
        return run

    def _delay_s(self, run: _Run, probe: Probe) -> float:
        """What is left of the delay that counts from the container's start."""
        try:
            age_s = (self._clock() - datetime.fromisoformat(run.id[1]).astimezone(UTC)).total_seconds()
        except ValueError:
            age_s = 0.0
        return min(float(probe.initial_delay_s), max(0.0, probe.initial_delay_s - age_s))

    # --- asking ---

    def _probe_in(self, delay_s: float, run: _Run, kind: str) -> None:
        self._queue.add_after(_key(run, kind), delay_s)

    async def _next(self) -> None:
        key = await self._queue.get()
        run, kind, _ = self._find(key)
        if run is None or not _is_due(run, kind):
            self._queue.done(key)
            return
        self._slots.due(key, namespace=run.pod["metadata"]["namespace"], pod=pods.uid_of(run.pod))

    def _begin(self, key: str) -> None:
        if self._has_ended:
            return  # those that are cancelled leave slots, which nobody is to have any more
        self._tasks[key] = asyncio.create_task(self._carried_out(key), name="probe")
        if self._ticks is None:
            self._ticks = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticks = None
        if self._slots.tick() and self._ticks is None and not self._has_ended:
            self._ticks = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    async def _carried_out(self, key: str) -> None:
        prompt = asyncio.get_running_loop().call_later(PROMPT_S, self._slots.is_slow, key)
        try:
            await self._turn(key)
        except Exception:
            log.exception("probe failed key=%s", key)
        finally:
            prompt.cancel()
            del self._tasks[key]
            self._queue.done(key)
            self._slots.leave(key)

    async def _turn(self, key: str) -> None:
        run, kind, probe = self._find(key)
        if run is None or probe is None or not _is_due(run, kind):
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(None) as scope:
                self._scopes[key] = run, scope
                with calling_for(Purpose.PROBE, run.pod["metadata"]["namespace"], pods.uid_of(run.pod)):
                    answer = await self._ask(run.place, probe)
        except TimeoutError:
            answer = ProbeResult(None, f"given up after {loop.time() - began:.0f}s: too many probes wait for an answer")
        finally:
            self._scopes.pop(key, None)
        if self._find(key)[0] is not run:
            return  # another run since, of which this says nothing
        self._judge(run, kind, probe, answer)
        if _is_due(run, kind):
            self._probe_in(max(LEAST_PAUSE_S, probe.period_s - (loop.time() - began)), run, kind)

    def _give_up(self, key: str) -> None:
        if key in self._scopes:
            _, scope = self._scopes[key]
            scope.reschedule(asyncio.get_running_loop().time())

    def _end_probes_of(self, uid: str, runs: Mapping[str, _Run]) -> None:
        """Give up what is still asked of those of these runs that are no more."""
        now_running = self._runs.get(uid, {})
        for container, run in runs.items():
            if now_running.get(container) is not run:
                for key in (_key(run, kind) for kind in (STARTUP, READINESS, LIVENESS)):
                    if key in self._scopes and self._scopes[key][0] is run:
                        self._give_up(key)

    def _find(self, key: str) -> tuple[_Run | None, str, Probe | None]:
        uid, container, kind = key.split("/")
        run = self._runs.get(uid, {}).get(container)
        return run, kind, None if run is None else getattr(run.duties, kind)

    # --- judging ---

    def _judge(self, run: _Run, kind: str, probe: Probe, answer: ProbeResult) -> None:
        if answer.ok is None or not self._is_the_pods_own(kind, probe, answer):
            run.results[kind, "unknown"] += 1
            self._event(run, "ProbeWarning", f"{kind.capitalize()} probe learnt nothing: {answer.message}")
            return
        run.results[kind, "successful" if answer.ok else "failed"] += 1
        before, count = run.counts.get(kind, (answer.ok, 0))
        count = count + 1 if before == answer.ok else 1
        run.counts[kind] = (answer.ok, count)
        if not answer.ok:
            self._event(run, "Unhealthy", f"{kind.capitalize()} probe failed: {answer.message}")
        if count >= (probe.success_threshold if answer.ok else probe.failure_threshold):
            self._settle(run, kind, ok=answer.ok)

    def _is_the_pods_own(self, kind: str, probe: Probe, answer: ProbeResult) -> bool:
        """As long as no pod has ever answered, silence may as well be ours: then nobody is restarted for it."""
        if isinstance(probe.handler, Exec):
            return True
        if not answer.unreached:
            self._reached = True
        return self._reached or kind == READINESS

    def _settle(self, run: _Run, kind: str, *, ok: bool) -> None:
        if kind == READINESS:
            if run.ready != ok:
                run.ready = ok
                self._changed(pods.uid_of(run.pod))
        elif not ok:
            run.failed = kind
            self._changed(pods.uid_of(run.pod))
        elif kind == STARTUP:
            run.started = True
            for each, probe in _due(run):
                self._probe_in(self._delay_s(run, probe), run, each)
            self._changed(pods.uid_of(run.pod))

    def _event(self, run: _Run, reason: str, message: str) -> None:
        self._tell(run.pod, "Warning", reason, message[:MOST_MESSAGE], container=run.place.container)


_ASKED = frozenset({InstanceStatus.RUNNING, InstanceStatus.UPDATING, InstanceStatus.PENDING})


def _due(run: _Run) -> list[tuple[str, Probe]]:
    """The probes whose time has come in this state of the run."""
    found: Mapping[str, Probe | None] = {
        STARTUP: run.duties.startup,
        READINESS: run.duties.readiness,
        LIVENESS: run.duties.liveness,
    }
    return [(kind, probe) for kind, probe in found.items() if probe is not None and _is_due(run, kind)]


def _is_due(run: _Run, kind: str) -> bool:
    return not run.failed and run.started == (kind != STARTUP)


def _key(run: _Run, kind: str) -> str:
    return f"{pods.uid_of(run.pod)}/{run.place.container}/{kind}"


def _entry_of(pod: Json, report: ContainerReport) -> Json:
    """What the API server has of this very run; empty when it knows nothing of it yet."""
    status = pod.get("status") or {}
    for entry in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        running = (entry.get("state") or {}).get("running")
        if entry["name"] == report.name and running is not None:
            same = entry.get("restartCount") == report.restart_count
            started_at = report.state.started_at
            return dict(entry) if same and started_at in ("", running.get("startedAt")) else {}
    return {}
