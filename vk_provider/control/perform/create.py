"""Create, FetchIntent, Refuse: getting an instance for a pod, and what stands in the way of one."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from vk_provider.cloud.base import describe_error
from vk_provider.control.actions import Create, FetchIntent, Refuse
from vk_provider.control.collaborators import Collaborators
from vk_provider.control.memory import NO_CREATE, CreatedMemory, CreateMemory, PodMemory, Problem
from vk_provider.control.observation import Observation
from vk_provider.control.ownership import predecessors
from vk_provider.control.perform.outcome import Outcome
from vk_provider.control.pod_event import PodEvent
from vk_provider.control.pod_events import STAMP
from vk_provider.control.policy import Hold, Size, fetch
from vk_provider.control.refusal_backoff import OwnerBackoff
from vk_provider.control.rules.present import COMING, START_STATUS_DEBOUNCE_S
from vk_provider.errors import (
    CloudDenied,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    OutOfCapacity,
    PodNotReady,
    Throttled,
    UnsupportedPod,
)
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.instances.hidden_words import sieve_of
from vk_provider.model import pod as pods
from vk_provider.model.instance import CloudCondition, ContainerReport, ContainerState, Instance, StateKind
from vk_provider.model.pod import Json
from vk_provider.model.workload import Intent, NoCapacity, Workload
from vk_provider.pacing.backoff import Backoff
from vk_provider.translate import digest
from vk_provider.translate.judging import judged
from vk_provider.translate.objects import Objects
from vk_provider.translate.workload import assemble, awaited

log = logging.getLogger(__name__)

CREATE_RETRY = Backoff(first_s=2.0, most_s=120.0, spread=0.25)
# c.2: a Secret made a moment later must not wait long, even where nothing may be watched.
NOT_READY_RETRY = Backoff(first_s=1.0, most_s=9.0, spread=0.1)
PLACE_RETRY = Backoff(first_s=10.0, most_s=600.0, spread=0.25)
_CAPACITY_WORDS = {"stock": "NoStock", "quota": "QuotaExceeded", "ip": "NoAddress"}  # by what is in a code
NODE_NOTICE = "MissingClusterDNS"  # true of every pod here, so it is reported once, on the Node


@dataclass(slots=True)
class _Try:
    """One create. memory: what is to be remembered should it fail now, with whatever cannot be foreseen."""

    seen: Observation
    action: Create
    pod: Json
    admitted: Json
    intent: Intent
    before: PodMemory
    memory: PodMemory
    objects: Objects | None = None
    workload: Workload | None = None


class Creator:
    """inherited: pods for which an earlier life of ours may have sent a create."""

    def __init__(self, made: Collaborators, awaited: ObjectWatcher) -> None:
        self._cloud = made.cloud
        self._references = made.references
        self._instances = made.instances
        self._poller = made.poller
        self._queue = made.queue
        self._awaited = awaited
        self._live = made.live
        self._policies = made.policies
        self._context = made.context
        self._refusals_of = made.refusals_of
        self._jitter = made.jitter
        self._clock = made.clock
        self._pace = OwnerBackoff()
        self.inherited: set[str] = set()

    async def fetch_intent(self, seen: Observation, action: FetchIntent, memory: PodMemory) -> Outcome:
        try:
            await fetch(self._policies, seen.pod)
        except PodNotReady as error:
            return self._postponed(seen.pod, memory, error)
        return Outcome(memory, 0, first=True)  # before others, as long as what was read is fresh

    async def refuse(self, seen: Observation, action: Refuse, memory: PodMemory) -> Outcome:
        return self._refused(seen.pod, memory, action.problem)

    async def create(self, seen: Observation, action: Create, memory: PodMemory) -> Outcome:
        if seen.admitted is None or seen.intent is None:
            raise AssertionError("a create of what is not known")
        attempt = _Try(seen, action, seen.pod, seen.admitted, seen.intent, memory, memory)
        began, asked_at = time.monotonic(), self._clock()
        try:
            instance, workload = await self._send(attempt)
        except UnsupportedPod as error:
            return await self._refused_whole(attempt, error)
        except CloudRefused as error:
            return self._refused(seen.pod, attempt.memory, Problem("ProviderFailed", str(error)))
        except OutOfCapacity as error:
            return self._out_of_capacity(attempt, error)
        except (PodNotReady, CloudError) as error:
            return await self._failed(attempt, error)
        except Exception as error:  # whatever it was, an instance may have been made
            return Outcome(attempt.memory, error=error)
        outcome = self._created(attempt, workload, instance)
        if self._live is not None and attempt.objects is not None:
            self._live.created(seen.pod, instance, attempt.objects, asked_at)
        shown = instance if instance.proven else _unreported(instance, workload)
        with self._queue.ignoring(pods.uid_of(seen.pod)):  # the outcome says when
            self._instances.put(replace(shown, created_at=shown.created_at or self._stamp(), notices=()))
        key, took_s = pods.key_of(seen.pod), time.monotonic() - began
        log.info("created pod=%s instance=%s took_s=%.2f", key, instance.id, took_s)
        return outcome

    async def _send(self, attempt: _Try) -> tuple[Instance, Workload]:
        pod, uid = attempt.pod, pods.uid_of(attempt.pod)
        attempt.objects = await self._references.read(attempt.admitted)
        workload = replace(
            assemble(attempt.admitted, attempt.objects, self._context),
            made_of=digest.made_of(pod, attempt.objects, self._context.capabilities.words),
            replaces=attempt.action.replaces,
            attempt=attempt.action.attempt,
            in_doubt=attempt.before.creating.in_doubt or uid in self.inherited,
        )
        attempt.workload = workload
        self._instances.hide(uid, sieve_of(workload))
        created = attempt.before.created
        earlier = predecessors(self._instances.of(uid), created)
        attempt.memory = replace(
            attempt.before,
            created=CreatedMemory(created.made_s, "", earlier),
            creating=replace(attempt.before.creating, in_doubt=True),
        )
        instance = await self._cloud.create(workload)
        self._check_whose(instance, pods.key_of(pod))
        return instance, workload

    def _created(self, attempt: _Try, workload: Workload, instance: Instance) -> Outcome:
        uid, now_s = pods.uid_of(attempt.pod), asyncio.get_running_loop().time()
        self.inherited.discard(uid)
        self._awaited.release(uid)
        creating = attempt.before.creating
        if attempt.action.replaces:
            delay_s = PLACE_RETRY.delay(creating.unplaced, jitter=self._jitter())
            creating = CreateMemory(unplaced=creating.unplaced + 1, not_before_s=now_s + delay_s)
        else:
            creating = replace(NO_CREATE, unplaced=creating.unplaced) if creating.unplaced else NO_CREATE
        memory = replace(
            attempt.before,
            created=CreatedMemory(now_s, instance.id, attempt.memory.created.earlier_ids),
            creating=creating,
            started=attempt.before.started or self._stamp(),  # however late its start is seen, it was not before this
        )
        events = [
            PodEvent("Warning", notice.reason, notice.message, notice.container)
            for notice in (*workload.notices, *instance.notices)
            if notice.reason != NODE_NOTICE
        ]
        is_unwritten = not (attempt.pod.get("status") or {}).get("startTime")
        is_quiet = not events and is_unwritten and instance.status in COMING
        return Outcome(memory, 0, events, crowded_s=START_STATUS_DEBOUNCE_S if is_quiet else 0)

    def _check_whose(self, made: Instance, key: pods.PodKey) -> None:
        """Raises CloudUnavailable when the cloud named an instance that is known to be another's.

        This pod's own, should there be one, shows by its tags.
        """
        known = self._instances.get(made.id)
        if self._poller.is_foreign(made.id) or (known is not None and known.owner.uid != key.uid):
            log.error("not created pod=%s: the answer names instance=%s, which is another's", key, made.id)
            raise CloudUnavailable("the cloud answered with an instance that is not this pod's; it will be asked again")

    # --- what stands in the way ---

    async def _refused_whole(self, attempt: _Try, error: UnsupportedPod) -> Outcome:
        """For all that speaks against it, not only for what came to light first."""
        objects = attempt.objects
        if objects is None:
            objects = await self._references.read_to_judge(attempt.admitted)
        found = judged(attempt.admitted, objects, self._context, self._refusals_of)
        whole = UnsupportedPod([*found, *(one for one in error.refusals if one not in found)])
        return self._refused(attempt.pod, attempt.memory, Problem(whole.reason, str(whole)))

    def _refused(self, pod: Json, memory: PodMemory, refusal: Problem) -> Outcome:
        due_s = self._pace.not_before(pod, asyncio.get_running_loop().time())
        creating = replace(memory.creating, in_doubt=False, refusal=refusal, refuse_at_s=due_s)
        return Outcome(replace(memory, creating=creating), 0)

    def _out_of_capacity(self, attempt: _Try, error: OutOfCapacity) -> Outcome:
        """Another candidate, if there is one; else what a policy or the pod's owner wants without capacity."""
        creating = attempt.before.creating
        self.inherited.discard(pods.uid_of(attempt.pod))
        hold = None
        if error.next_attempt is not None:
            creating = replace(creating, next_candidate=(attempt.action.replaces, error.next_attempt))
        elif hold := self._held(attempt, error):
            pass
        elif attempt.intent.on_no_capacity is NoCapacity.STAY_PENDING:
            creating = replace(creating, gave_up=True)
        memory = replace(attempt.memory, creating=creating, created=self._as_before(attempt))
        if hold is None and error.next_attempt is None and attempt.intent.on_no_capacity is NoCapacity.FAIL:
            return self._refused(attempt.pod, memory, Problem("ProviderFailed", str(error)))
        return self._postponed(attempt.pod, memory, error, hold)

    def _held(self, attempt: _Try, error: OutOfCapacity) -> Hold | None:
        workload = attempt.workload
        if workload is None:
            return None
        need = Size(workload.cpu, workload.memory_gib)
        holds = (policy.on_out_of_capacity(attempt.pod, need, error) for policy in self._policies)
        return next((hold for hold in holds if hold is not None), None)

    async def _failed(self, attempt: _Try, error: PodNotReady | CloudError) -> Outcome:
        if not isinstance(error, CloudUnavailable):
            creating = attempt.before.creating
            attempt.memory = replace(attempt.memory, creating=creating, created=self._as_before(attempt))
        if isinstance(error, PodNotReady) and attempt.objects is not None:
            # Said now and not only once what is missing has been made.
            refused = judged(attempt.admitted, attempt.objects, self._context, self._refusals_of)
            if refused:
                return await self._refused_whole(attempt, UnsupportedPod(refused))
        return self._postponed(attempt.pod, attempt.memory, error)

    def _as_before(self, attempt: _Try) -> CreatedMemory:
        """Nothing was made, so the last one made is the one before."""
        before = attempt.before.created
        return replace(before, earlier_ids=attempt.memory.created.earlier_ids)

    def _postponed(
        self, pod: Json, memory: PodMemory, error: PodNotReady | CloudError, hold: Hold | None = None
    ) -> Outcome:
        """The pod stays Pending, says why, and is tried again."""
        key, creating = pods.key_of(pod), memory.creating
        problem, reason = (hold.problem, hold.reason) if hold is not None else _problem_of(error)
        delay_s = hold.retry_after_s if hold is not None else self._delay_s(creating, error)
        if isinstance(error, PodNotReady):
            self._awaited.acquire(key.uid, awaited(pod))
        memory = replace(
            memory,
            creating=replace(
                creating,
                problem=problem,
                failures=creating.failures + 1,
                not_before_s=asyncio.get_running_loop().time() + delay_s,
                awaits_change=isinstance(error, PodNotReady)
                or (isinstance(error, OutOfCapacity) and bool(self._policies)),
            ),
        )
        if isinstance(error, OutOfCapacity) and error.is_known and problem == creating.problem:
            return Outcome(memory, 0)  # nobody was asked, and nothing is new
        prefix = "Error: " if reason == "Failed" and isinstance(error, PodNotReady) else ""
        log.warning("not created pod=%s retry_s=%.1f: %s", key, delay_s, describe_error(error))
        event = PodEvent("Warning", reason, prefix + problem.message, problem.container)
        return Outcome(memory, 0, [event])  # the next reconcile shows the problem and waits

    def _delay_s(self, creating: CreateMemory, error: PodNotReady | CloudError) -> float:
        backoff = NOT_READY_RETRY if isinstance(error, PodNotReady) else CREATE_RETRY
        delay_s = backoff.delay(creating.failures, jitter=self._jitter())
        if isinstance(error, OutOfCapacity) and error.next_attempt is not None:
            return 0.0
        if isinstance(error, Throttled | OutOfCapacity):
            delay_s = max(delay_s, error.retry_after_s or 0.0)
        return delay_s

    def _stamp(self) -> str:
        return self._clock().strftime(STAMP)


def _unreported(made: Instance, workload: Workload) -> Instance:
    """One of which the cloud has reported nothing yet: its containers wait, and for nothing that was missing before."""
    waits = ContainerState(StateKind.WAITING)
    return replace(
        made,
        containers=tuple(ContainerReport(each.name, waits) for each in workload.containers),
        init_containers=tuple(ContainerReport(each.name, waits) for each in workload.init_containers),
    )


def _problem_of(error: PodNotReady | CloudError) -> tuple[Problem, str]:
    """What the pod shows while it waits, and the reason of its event."""
    if isinstance(error, PodNotReady):
        return Problem(error.waiting_reason, str(error), error.container), error.event_reason
    message = str(error)  # no request id: a text that is new at each try would be a new event and a new status
    match error:
        case OutOfCapacity():
            code = error.code.lower()
            word = next((word for part, word in _CAPACITY_WORDS.items() if part in code), "OutOfCapacity")
        case Throttled():
            word = "Throttling"
        case CloudDenied():
            word = "CloudAPIDenied"
        case _:
            word = "CloudAPIUnavailable"
    condition = CloudCondition("ContainerInstanceCreated", "False", word, message)
    return Problem("ContainerCreating", message, condition=condition), word
