"""The reconcile loop: take a key, observe, decide, perform that one action, remember.

`PodController` holds what is remembered of the pods and decides nothing itself; see `control.decide`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf

from vk_provider.cloud.base import describe_error
from vk_provider.control.actions import (
    Action,
    Create,
    DeleteInstance,
    Done,
    MakeWay,
    RequeueAfter,
    UpdateContainers,
    UpdateFiles,
)
from vk_provider.control.attempts import noted_id
from vk_provider.control.collaborators import Collaborators
from vk_provider.control.decide import AT_REST, decide
from vk_provider.control.memory import NEW, PodMemory
from vk_provider.control.observation import Observation, PodState, state_of
from vk_provider.control.observer import Observer
from vk_provider.control.ownership import NEVER_PLACED
from vk_provider.control.perform.handlers import Handlers
from vk_provider.control.perform.outcome import Outcome
from vk_provider.control.pod_events import PodEvents
from vk_provider.errors import CloudUnavailable, KubeError, KubeUnavailable, ProviderError
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.kube.store import Store
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.model.probe import ProbeCount
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.callers import Purpose, calling_for
from vk_provider.pacing.clock import Now
from vk_provider.pacing.fair_limiter import FairLimiter
from vk_provider.probes.prober import Prober
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

MIN_RETRY_S = 1.0  # between two tries for the sake of something that changes again and again
INVALID = 422
RETRIED_APART_S = 5.0  # between two times when all pods that got no answer are tried again


class PodController:
    """One key at a time in each worker's hands; a failure of one pod never stops the others."""

    def __init__(self, made: Collaborators) -> None:
        self._store: Store[Json] = made.pods_seen.store
        self._instances = made.instances
        self._poller = made.poller
        self._queue = made.queue
        self._recorder = made.recorder
        self._event_host = made.context.capabilities.event_host
        self._costs = made.costs
        self._policies = made.policies
        self._jitter = made.jitter
        self._clock = made.clock
        self._memories: dict[str, PodMemory] = {}
        self._gone: dict[str, Instance] = {}  # uid → its instance as it was seen last, until the pod is settled
        self._unanswered: set[str] = set()  # pods whose last call was not answered
        self._retried_s = -inf  # when all of those were tried again
        self._changed: set[str] = set()  # what pods in hand wait for has changed since they were observed
        self._events = PodEvents(made.recorder, node=made.node.name, host=self._event_host, clock=made.clock)
        self._awaited = ObjectWatcher(
            made.client,
            changed=self.requeue_waiting,
            stale=made.references.invalidate,
            jitter=made.jitter,
            with_contents=True,
        )
        self._prober = Prober(
            made.ask, changed=made.queue.add, tell=self._events.emit, jitter=made.jitter, clock=made.clock
        )
        self._observer = Observer(made, prober=self._prober, events=self._events, awaited=self._awaited)
        self._handlers = Handlers(made, self._awaited)
        self._limiters: dict[type[Action], FairLimiter] = {}
        self._limit(workers=3)
        for policy in made.policies:
            policy.on_change(self.requeue_waiting)
        metrics = made.metrics
        self._actions = metrics.counter("vk_reconcile_actions_total", "Actions that reconciles took.", ("action",))
        self._failures = metrics.counter("vk_reconcile_failures_total", "Reconciles that failed.", ("error",))
        self._seconds = metrics.histogram(
            "vk_reconcile_seconds", "How long reconciles take, by the action that was taken.", ("action",)
        )
        depth = metrics.gauge("vk_queue_depth", "Pods in line to be reconciled.")
        age = metrics.gauge("vk_queue_oldest_seconds", "For how long the next pod in line has been in it.")
        self._view = made.view

        def collect() -> None:
            depth.set(len(self._queue))
            age.set(self._queue.oldest_s())

        metrics.before_scrape(collect)

    def instance_gone(self, instance: Instance) -> None:
        """The poller has proof that it is gone: keep its last states until the pod is settled."""
        before = self._gone.get(instance.owner.uid)
        if before is None or before.id != instance.id or before.status is not NEVER_PLACED:
            self._gone[instance.owner.uid] = instance  # of one never placed no answer to a create is any newer
        if self._costs is not None:
            self._costs.gone(instance)
        for policy in self._policies:
            policy.released(instance)

    @property
    def awaited_objects(self) -> int:
        """How many objects are watched because pods wait for them."""
        return len(self._awaited)

    def reason_of(self, uid: str) -> str:
        """Why the last decision about this pod was what it was; empty = none was made."""
        return self._memories.get(uid, NEW).reason

    def memory_of(self, uid: str) -> PodMemory:
        """What is remembered of this pod, for people who ask why."""
        return self._memories.get(uid, NEW)

    @property
    def failing(self) -> int:
        """Pods whose last reconcile failed."""
        return sum(each.failures > 0 for each in self._memories.values())

    def probe_counts(self) -> Iterable[ProbeCount]:
        """Of the probes that we make."""
        return self._prober.counts()

    def requeue_waiting(self, uid: str) -> None:
        """Something has changed that the pod may wait for."""
        self._changed.add(uid)
        self._queue.add(uid)

    def retry_unanswered(self) -> None:
        """API server or cloud answers again: nobody waits out what it did not answer before.

        Not all the time: where it answers one call in two, each pod keeps to its own back-off.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s - self._retried_s < RETRIED_APART_S:
            return
        self._retried_s = now_s
        self._poller.retry_failed()
        unanswered, self._unanswered = self._unanswered, set()
        for uid in unanswered:
            self._queue.add(uid)

    def warn(self, pod: Json, reason: str, message: str) -> None:
        self._events.warn(pod, reason, message)

    async def refetch(self, pod: Json) -> None:
        """Some answer said that it is gone: fetch what the API server has of it now."""
        await self._handlers.writer.refetch(pods.key_of(pod))

    async def run(self, workers: int) -> None:
        """Work until cancelled. Nothing starts before pods and instances are known completely (P4)."""
        await self._store.ready.wait()
        await self._poller.ready.wait()
        try:
            await self._recorder.known_names(self._event_host)
        except Exception as error:  # whatever events there are, pods do not wait for it
            log.warning("events mirrored before are not known, some may be sent again: %r", error)
        for uid in list(self._store.keys()):
            self._handlers.creator.inherited.add(uid)
            self._queue.add(uid)
        self._limit(workers)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._prober.run(), name="prober")
            tasks.create_task(self._awaited.run(), name="what pods wait for")
            for number in range(workers):
                worker = f"pod-worker-{number}"
                tasks.create_task(retry_loop(self._work, name=worker, jitter=self._jitter), name=worker)

    def _limit(self, workers: int) -> None:
        """Only a part of the workers may be in a call that the cloud rations."""
        self._creates = FairLimiter(max(1, workers // 2), self._queue.add_front)
        self._deletes = FairLimiter(max(1, workers // 3), self._queue.add_front)
        self._limiters = {Create: self._creates, DeleteInstance: self._deletes, MakeWay: self._deletes}

    async def _work(self) -> None:
        uid = await self._queue.get()
        began_s = asyncio.get_running_loop().time()
        action = ""
        try:
            pod = self._store.get(uid)
            with calling_for(Purpose.CONTROL, pod["metadata"]["namespace"] if pod is not None else "", uid):
                if (decided := self._decided(uid, pod)) is not None:
                    action = type(decided[1]).__name__
                    await self._perform(uid, *decided)
        except ProviderError as error:
            self._failed(uid, error)
        except Exception as error:
            failures = self._memories.get(uid, NEW).failures
            if failures in (0, 5) or failures % 60 == 0:  # the same traceback each time, for ever
                log.exception("reconcile failed pod=%s uid=%s", self._named(uid), uid)
            self._failed(uid, None)
            self._emit_failed_sync(uid, f"the provider failed at this pod ({type(error).__name__}); see its log")
        finally:
            self._creates.release(uid)
            self._deletes.release(uid)
            self._queue.done(uid)
            if action:
                self._seconds.observe(asyncio.get_running_loop().time() - began_s, action=action)

    def _failed(self, uid: str, error: ProviderError | None) -> None:
        memory = self._memories.get(uid, NEW)
        first_s, most_s = ProviderError.again_s if error is None else error.again_s
        delay_s = Backoff(first_s, most_s, spread=0.5).delay(memory.failures, jitter=self._jitter())
        self._memories[uid] = replace(memory, failures=memory.failures + 1)
        self._unanswered.discard(uid)
        if error is not None:
            delay_s = max(delay_s, getattr(error, "retry_after_s", None) or 0.0)
            if type(error) is CloudUnavailable or (type(error) is KubeUnavailable and error.unanswered):
                self._unanswered.add(uid)  # not what was answered and cannot be read: a tenant may have made it so
            named, told = self._named(uid), describe_error(error)
            log.warning("reconcile will be tried again pod=%s uid=%s in_s=%.1f: %s", named, uid, delay_s, told)
        self._failures.add(error=type(error).__name__ if error is not None else "bug")
        self._queue.add_after(uid, delay_s)
        if isinstance(error, KubeError) and error.status == INVALID:
            self._emit_failed_sync(uid, f"the API server refuses this pod's status: {error}")

    def _named(self, uid: str) -> str:
        """namespace/name, also of a pod of which only the instance is left."""
        if (pod := self._store.get(uid)) is not None:
            return str(pods.key_of(pod))
        owner = next((each.owner for each in self._instances.of(uid)), None)
        return f"{owner.namespace}/{owner.name}" if owner is not None else ""

    def _emit_failed_sync(self, uid: str, message: str) -> None:
        pod = self._store.get(uid)
        if pod is not None:
            self._events.warn(pod, "FailedSync", message)

    # --- one reconcile ---

    def _decided(self, uid: str, pod: Json | None) -> tuple[Observation, Action, PodMemory] | None:
        """Observe and decide, without awaiting; None where there is nothing to decide, or it is too early."""
        instances = self._instances.of(uid)
        if pod is None and not instances:
            self._drop(uid)
            return None
        now = Now(wall=self._clock(), loop_s=asyncio.get_running_loop().time(), crowded=len(self._creates) > 0)
        memory = self._memories.get(uid, NEW)
        if self._waits_for_its_turn(uid, pod, instances, memory):
            return None
        if self._changed:
            memory = self._without_wait(uid, memory, now.loop_s)
        seen, memory = self._observer.observe(uid, pod, instances, self._gone.get(uid), memory, now)
        action, reason = decide(seen, memory)
        if reason is not memory.reason:
            memory = replace(memory, reason=reason)
        self._memories[uid] = memory
        name = type(action).__name__
        if log.isEnabledFor(logging.DEBUG):
            log.debug("pod=%s action=%s reason=%s", pods.key_of(pod) if pod is not None else uid, name, reason)
        self._actions.add(action=name)
        if self._view is not None:
            self._view.observe(uid, pod, instances, name, reason)
        return seen, action, memory

    def _waits_for_its_turn(self, uid: str, pod: Json | None, instances: Sequence[Instance], memory: PodMemory) -> bool:
        """Of a pod that is new here nothing is worked out before it may be created: in a burst most of them wait, and
        all that was found would be out of date by then."""
        if pod is None or instances or (memory is not NEW and memory is not _WAITING) or uid in self._gone:
            return False
        if state_of(pod) is not PodState.LIVE or noted_id(pod) or _may_start(self._creates, uid, pod):
            return False
        self._memories[uid] = _WAITING
        if self._view is not None:
            self._view.observe(uid, pod, instances, Create.__name__, _WAITING.reason)
        return True

    async def _perform(self, uid: str, seen: Observation, action: Action, memory: PodMemory) -> None:
        kind = type(action)
        if (limiter := self._limiters.get(kind)) is not None and not _may_start(limiter, uid, seen.pod):
            self._remember(uid, memory)
            return
        if isinstance(action, Done | RequeueAfter):
            self._store.compact(uid)
            outcome = Outcome(memory, action.seconds if isinstance(action, RequeueAfter) else None)
        else:
            outcome = await self._handlers.by_action[kind](seen, action, memory)
        if memory.creating.failures and kind is Create and not outcome.memory.creating.failures:
            self.retry_unanswered()
        memory = outcome.memory
        if outcome.then is not None:
            outcome, memory = self._settled(uid, seen, outcome)
        if (kind in _RESTING or outcome.then is not None) and memory.writing.in_row:
            memory = replace(memory, writing=replace(memory.writing, in_row=0))
        for event in outcome.events:
            self._events.emit(seen.pod, event.type, event.reason, event.message, container=event.container)
        if outcome.error is not None:
            self._memories[uid] = memory
            raise outcome.error
        self._remember(uid, memory)
        if outcome.first:
            self._queue.add_front(uid)
        elif outcome.requeue_after_s is not None:
            crowded_s = outcome.crowded_s if len(self._creates) else 0.0
            self._queue.add_after(uid, max(outcome.requeue_after_s, crowded_s))

    def _settled(self, uid: str, seen: Observation, outcome: Outcome) -> tuple[Outcome, PodMemory]:
        """The pod shows what it was to show, and what then follows has been decided with it."""
        name, memory = type(outcome.then).__name__, replace(outcome.memory, reason=AT_REST)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("pod=%s action=%s reason=%s", pods.key_of(seen.pod), name, AT_REST)
        if self._view is not None:
            self._view.observe(uid, self._store.get(uid), self._instances.of(uid), name, AT_REST)
        self._store.compact(uid)
        if not isinstance(outcome.then, RequeueAfter):
            return outcome, memory
        passed_s = asyncio.get_running_loop().time() - seen.now.loop_s
        return replace(outcome, requeue_after_s=outcome.then.seconds - passed_s), memory

    def _remember(self, uid: str, memory: PodMemory) -> None:
        self._memories[uid] = replace(memory, failures=0) if memory.failures else memory
        if uid in self._unanswered:
            self._unanswered.discard(uid)
            self.retry_unanswered()

    def _without_wait(self, uid: str, memory: PodMemory, now_s: float) -> PodMemory:
        """What it waits for has changed, so the next try is due soon."""
        if uid not in self._changed:
            return memory
        self._changed.discard(uid)
        creating = memory.creating
        if not creating.awaits_change or creating.not_before_s <= now_s + MIN_RETRY_S:
            return memory
        return replace(memory, creating=replace(creating, not_before_s=now_s + MIN_RETRY_S))

    def _drop(self, uid: str) -> None:
        """Neither pod nor instance exists: nothing of it is held any more."""
        self._observer.end(uid)
        if self._view is not None:
            self._view.drop(uid)
        self._handlers.creator.inherited.discard(uid)
        self._memories.pop(uid, None)
        self._gone.pop(uid, None)
        self._unanswered.discard(uid)
        self._instances.hide(uid, None)
        self._changed.discard(uid)


_WAITING = PodMemory(seen=True, reason="the creates of other pods come first")
_RESTING: frozenset[type[Action]] = frozenset(
    {Done, RequeueAfter, UpdateContainers, UpdateFiles}
)  # the status is as it should be


def _may_start(limiter: FairLimiter, uid: str, pod: Json) -> bool:
    """A key that has to wait is put to the front of the queue when its turn has come."""
    priority = pod["spec"].get("priority")
    # What it is compared with is other pods', so whatever else stands here must not reach them.
    return limiter.try_acquire(
        uid, namespace=pod["metadata"]["namespace"], priority=priority if type(priority) is int else 0
    )
