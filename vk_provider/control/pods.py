"""The reconcile loop: take a key, read both worlds, plan, do that one thing, look again.

`PodController` holds the pods' records and carries plans out; it decides nothing itself (that is `plan`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from vk_provider.cloud.base import Change, Cloud, SupportsFileUpdate, SupportsRestart, describe_error
from vk_provider.control import drift as drifts
from vk_provider.control.memory import PodMemory, Problem
from vk_provider.control.plan import (
    NEVER_PLACED,
    UNPLACED,
    Create,
    DeleteInstance,
    DeleteOrphan,
    Done,
    FetchIntent,
    MakeWay,
    NodePolicy,
    PatchStatus,
    RemovePod,
    RequeueAfter,
    Restart,
    Update,
    UpdateFiles,
    VerifyInstance,
    may_create,
    own_and_spare,
    plan,
    predecessors,
)
from vk_provider.control.refusal_backoff import OwnerBackoff
from vk_provider.control.termination_message import with_fallback_message
from vk_provider.errors import (
    CloudDenied,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    Conflict,
    InstanceGone,
    KubeError,
    NotFound,
    OutOfCapacity,
    PodNotReady,
    ProviderError,
    Throttled,
    UnsupportedPod,
)
from vk_provider.files.file_sync import FileSyncer
from vk_provider.files.object_reader import ObjectReader
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.instances.cost import CostMeter
from vk_provider.instances.poller import InstanceCache, InstancePoller
from vk_provider.kube import objects, paths
from vk_provider.kube.client import KubeClient
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import NEVER_AGAIN, Store
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.model.instance import (
    UNKNOWN_MAKE,
    CloudCondition,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceStatus,
    Owner,
    StateKind,
)
from vk_provider.model.probe import Failure
from vk_provider.model.workload import Intent, NoCapacity, Workload
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.callers import Purpose, calling_for
from vk_provider.pacing.clock import Now
from vk_provider.pacing.fair_limiter import FairLimiter
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.probes.prober import Ask, Prober
from vk_provider.retry_loop import retry_loop
from vk_provider.translate import digest, events, status
from vk_provider.translate.judging import OfCloud, judged
from vk_provider.translate.objects import Objects
from vk_provider.translate.status_events import events_for_patch
from vk_provider.translate.workload import NodeContext, assemble, awaited

Json = dict[str, Any]
log = logging.getLogger(__name__)

CREATE_RETRY = Backoff(first_s=2.0, most_s=120.0, spread=0.25)
# c.2: a Secret made a moment later must not wait long, even where nothing may be watched.
NOT_READY_RETRY = Backoff(first_s=1.0, most_s=9.0, spread=0.1)
MIN_RETRY_S = 1.0  # between two tries for the sake of something that changes again and again
RETRY = Backoff(first_s=0.5, most_s=60.0, spread=0.5)
PLACE_RETRY = Backoff(first_s=10.0, most_s=600.0, spread=0.25)
RESTART_AGAIN = Backoff(first_s=10.0, most_s=300.0, spread=0.0)
RESTART_BACKOFF_RESET_S = 600.0  # so long without a restart, and the next one comes at once again
VERIFY_AGAIN_S = 10.0
LOOK_REST_S = 5.0
UPDATE_RETRY = Backoff(first_s=5.0, most_s=300.0, spread=0.5)
UPDATE_REST_S = 10.0  # after an update, before the next of the same instance
UPDATE_TOLD_AT = 3  # failures in a row after which the pod's user is told
TRUNCATED_NAME_LEN = 100  # a name this long may be one that the cloud cut short, and then no pod answers to it
MAX_UNUSUAL_PATCHES = 6  # status patches in a row; after more, somebody keeps undoing what we write
INVALID = 422
SERVER_ERROR = 500  # from here on it may have been done all the same
KILLING = "Killing"
EVENT_RETRY_S = 20.0  # what of the cloud's events finds no room in the line
NODE_NOTICE = "MissingClusterDNS"  # true of every pod here, so it is told once, on the Node


class Jitter(Protocol):
    def __call__(self) -> float:
        """A number in [0, 1)."""
        ...


class Admission(Protocol):
    """What is made of pods before they are carried, such as annotations that an operator adds."""

    def view(self, pod: Json) -> Json | None:
        """The pod as it is to be carried; None: something has to be fetched first."""
        ...

    async def fetch(self, pod: Json) -> None:
        """So that `view` can tell. Raises PodNotReady."""
        ...


class PodController:
    """One key at a time in each worker's hands; a failure of one pod never stops the others."""

    def __init__(
        self,
        *,
        client: KubeClient,
        cloud: Cloud,
        pods_seen: Reflector,
        instances: InstanceCache,
        poller: InstancePoller,
        queue: WorkQueue,
        recorder: Recorder,
        references: ObjectReader,
        node: NodePolicy,
        context: NodeContext,
        metrics: Registry,
        jitter: Jitter,
        ask: Ask,
        live: FileSyncer | None = None,
        costs: CostMeter | None = None,
        admission: Admission | None = None,
        intent_of: Callable[[Json], Intent] = lambda _: Intent(),
        refusals_of: OfCloud = lambda _: (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """live: None leaves the files of running instances as they are. costs: None tells nobody of them.

        admission: what is made of a pod before it is carried; None = nothing. intent_of: what a pod, so made, wants.
        refusals_of: what the cloud cannot hold of a workload.
        """
        self._client = client
        self._cloud = cloud
        self._reflector = pods_seen
        self._store: Store[Json] = pods_seen.store
        self._instances = instances
        self._poller = poller
        self._queue = queue
        self._recorder = recorder
        self._references = references
        self._node = node
        self._context = context
        self._live = live
        self._costs = costs
        self._admission = admission
        self._intent_of = intent_of
        self._refusals_of = refusals_of
        self._jitter = jitter
        self._clock = clock
        self._records: dict[str, PodMemory] = {}
        self._inherited: set[str] = set()  # pods for which an earlier life of ours may have sent a create
        self._creates, self._deletes = FairLimiter(1, queue.add_front), FairLimiter(1, queue.add_front)
        self._pace = OwnerBackoff()
        self._awaited = ObjectWatcher(
            client, changed=self.requeue_waiting, stale=references.invalidate, jitter=jitter, with_contents=True
        )
        self._prober = Prober(ask, changed=queue.add, tell=self._record_event, jitter=jitter, clock=clock)
        self._actions = metrics.counter("vk_reconcile_actions_total", "Actions that reconciles took.", ("action",))
        self._failures = metrics.counter("vk_reconcile_failures_total", "Reconciles that failed.", ("error",))

    def instance_gone(self, instance: Instance) -> None:
        """The poller has proof that it is gone: keep its last states until the pod is settled."""
        self._record(instance.owner.uid).last = instance
        if self._costs is not None:
            self._costs.gone(instance)

    @property
    def awaited_objects(self) -> int:
        """How many objects are watched because pods wait for them."""
        return len(self._awaited)

    def requeue_waiting(self, uid: str) -> None:
        """Something has changed that the pod may wait for."""
        record = self._records.get(uid)
        if record is not None and record.awaits:
            record.retry_at_s = min(record.retry_at_s, asyncio.get_running_loop().time() + MIN_RETRY_S)
        self._queue.add(uid)

    async def run(self, workers: int) -> None:
        """Work until cancelled. Nothing starts before pods and instances are known completely (P4)."""
        await self._store.ready.wait()
        await self._poller.ready.wait()
        try:
            await self._recorder.known_names("eci")
        except Exception as error:  # whatever events there are, pods do not wait for it
            log.warning("events mirrored before are not known, some may be sent again: %r", error)
        for uid in list(self._store.keys()):
            self._inherited.add(uid)
            self._queue.add(uid)
        self._creates = FairLimiter(max(1, workers // 2), self._queue.add_front)
        self._deletes = FairLimiter(max(1, workers // 3), self._queue.add_front)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._prober.run(), name="prober")
            tasks.create_task(self._awaited.run(), name="what pods wait for")
            for number in range(workers):
                worker = f"pod-worker-{number}"
                tasks.create_task(retry_loop(self._work, name=worker, jitter=self._jitter), name=worker)

    async def _work(self) -> None:
        uid = await self._queue.get()
        try:
            pod = self._store.get(uid)
            with calling_for(Purpose.CONTROL, pod["metadata"]["namespace"] if pod is not None else "", uid):
                await self._reconcile(uid)
        except ProviderError as error:
            self._failed(uid, error)
        except Exception as error:
            record = self._record(uid)
            if record.failures in (0, 5) or record.failures % 60 == 0:  # the same traceback each time, for ever
                log.exception("reconcile failed uid=%s", uid)
            self._failed(uid, None)
            self._emit_failed_sync(uid, f"the provider failed at this pod ({type(error).__name__}); see its log")
        finally:
            self._creates.release(uid)
            self._deletes.release(uid)
            self._queue.done(uid)

    def _failed(self, uid: str, error: ProviderError | None) -> None:
        record = self._record(uid)
        first_s, most_s = ProviderError.again_s if error is None else error.again_s
        delay_s = Backoff(first_s, most_s, spread=0.5).delay(record.failures, jitter=self._jitter())
        record.failures += 1
        if error is not None:
            delay_s = max(delay_s, getattr(error, "retry_after_s", None) or 0.0)
            log.warning("reconcile will be tried again uid=%s in_s=%.1f: %s", uid, delay_s, describe_error(error))
        self._failures.add(error=type(error).__name__ if error is not None else "bug")
        self._queue.add_after(uid, delay_s)
        if isinstance(error, KubeError) and error.status == INVALID:
            self._emit_failed_sync(uid, f"the API server refuses this pod's status: {error}")

    def _emit_failed_sync(self, uid: str, message: str) -> None:
        pod = self._store.get(uid)
        if pod is not None:
            self.warn(pod, "FailedSync", message)

    def _record(self, uid: str) -> PodMemory:
        return self._records.setdefault(uid, PodMemory())

    # --- one reconcile ---

    async def _reconcile(self, uid: str) -> None:
        pod = self._store.get(uid)
        instances = self._instances.of(uid)
        if pod is None and self._live is not None:
            self._live.remove(uid)
        if pod is None or pods.is_deleting(pod) or pods.is_terminal(pod):
            self._awaited.release(uid)
        if pod is None and not instances:
            self._records.pop(uid, None)
            self._prober.remove(uid)
            self._inherited.discard(uid)
            return
        record = self._record(uid)
        if pod is not None:
            record.seen = True
            if record.status_write_in_doubt:
                await self._refetch_pod(pods.key_of(pod))
                record.status_write_in_doubt = False
                self._queue.add(uid)
                return
        crowded = len(self._creates) > 0
        now = Now(wall=self._clock(), loop_s=asyncio.get_running_loop().time(), crowded=crowded)
        if pod is not None:
            instances = self._with_probe_results(pod, instances, record)
            record.failing = self._prober.failing(uid)
        _update_memory(record, pod, instances, now)
        if pod is not None and instances:
            self._mirror_events(pod, instances, record)
        if pod is not None and not pods.is_terminal(pod):
            instances = [await with_fallback_message(self._cloud, pod, each, record) for each in instances]
        own = own_and_spare(pod, instances, record)[0] if pod is not None else None
        if pod is not None and self._live is not None:
            record.files = self._live.observe(pod, own)
        if pod is not None:
            self._see_drift(pod, own, record)
        if self._costs is not None and own is not None and not record.price:
            record.price = self._costs.price_text(own)
        admitted, intent = self._admitted(pod, own)
        action = plan(pod, instances, record, node=self._node, now=now, intent=intent)
        self._actions.add(action=type(action).__name__)
        match action:
            case Done():
                record.patches = 0
                self._store.compact(uid)
            case RequeueAfter(seconds):
                record.patches = 0
                self._store.compact(uid)
                self._queue.add_after(uid, seconds)
            case DeleteOrphan(instance):
                await self._delete_orphan(instance, record)
            case _ if pod is None:
                raise AssertionError(f"{action} without a pod")
            case FetchIntent():
                await self._fetch_intent(pod, record)
            case Create():
                if admitted is not None and intent is not None and _may_start(self._creates, uid, pod):
                    await self._create(pod, admitted, intent, record, action)
            case DeleteInstance():
                if _may_start(self._deletes, uid, pod):
                    await self._delete_instance(pod, action, record)
            case Restart(instance, failure):
                await self._restart(pod, instance, failure, record)
            case PatchStatus() if now.loop_s < record.patch_at_s:
                self._queue.add_after(uid, record.patch_at_s - now.loop_s)
            case PatchStatus(body, problem):
                await self._patch(pod, body, record)
                for notice in events_for_patch(pod, body):
                    self.warn(pod, notice.reason, notice.message)
                self._emit_cost_event(pod, body, own or record.last)
                if problem is not None:
                    self.warn(pod, problem.reason, problem.message)
            case VerifyInstance(instance_id):
                await self._verify_instance(pod, instance_id, record)
            case MakeWay(instance):
                if _may_start(self._deletes, uid, pod):
                    await self._make_way(pod, instance, record)
            case Update(instance, change):
                record.patches = 0
                await self._update(pod, instance, change, record)
            case UpdateFiles():
                record.patches = 0
                if self._live is not None:
                    self._live.refresh(uid)
            case RemovePod():
                await self._remove_pod(pod)
        record.failures = 0

    def _admitted(self, pod: Json | None, own: Instance | None) -> tuple[Json | None, Intent | None]:
        """The one view of the pod by which this round decides and creates; None as long as it cannot be told, and where
        nobody asks for it."""
        if pod is None or not may_create(pod, own):
            return None, None
        admitted = pod if self._admission is None else self._admission.view(pod)
        return admitted, None if admitted is None else self._intent_of(admitted)

    async def _as_created(self, pod: Json) -> Json:
        """The pod as an instance of it is made. Raises PodNotReady."""
        admitted = pod if self._admission is None else self._admission.view(pod)
        if admitted is None and self._admission is not None:
            await self._admission.fetch(pod)
            admitted = self._admission.view(pod)
        return pod if admitted is None else admitted

    async def _fetch_intent(self, pod: Json, record: PodMemory) -> None:
        if self._admission is not None:
            try:
                await self._admission.fetch(pod)
            except PodNotReady as error:
                self._postpone(pod, record, error)
                return
        self._queue.add_front(pods.uid_of(pod))  # before others, as long as what was read is fresh

    async def _create(self, pod: Json, admitted: Json, intent: Intent, record: PodMemory, action: Create) -> None:
        key = pods.key_of(pod)
        began = time.monotonic()
        uncertain, made = record.create_in_doubt, record.last_created_id
        asked_at = self._clock()
        objects: Objects | None = None
        try:
            objects = await self._references.read(admitted)
            workload = replace(
                assemble(admitted, objects, self._context),
                made_of=digest.made_of(pod, objects),
                replaces=action.replaces,
                attempt=action.attempt,
                in_doubt=uncertain or key.uid in self._inherited,
            )
            record.earlier_ids, record.last_created_id = predecessors(self._instances.of(key.uid), record), ""
            record.create_in_doubt = True
            instance = await self._cloud.create(workload)
            self._check_whose(instance, key)
        except UnsupportedPod as error:
            await self._refuse_whole(pod, admitted, record, error, objects)
            return
        except CloudRefused as error:
            self._refuse(pod, record, Problem("ProviderFailed", str(error)))
            return
        except OutOfCapacity as error:
            record.create_in_doubt, record.last_created_id = uncertain, made
            self._inherited.discard(key.uid)
            self._next_candidate(pod, record, action, error, intent)
            return
        except (PodNotReady, CloudError) as error:
            lost = isinstance(error, CloudUnavailable)
            record.create_in_doubt, record.last_created_id = uncertain or lost, "" if lost else made
            if isinstance(error, PodNotReady) and objects is not None:
                # Whoever brings what is missing shall not hear only then that it was in vain.
                refused = judged(admitted, objects, self._context, self._refusals_of)
                if refused:
                    await self._refuse_whole(pod, admitted, record, UnsupportedPod(refused), objects)
                    return
            self._postpone(pod, record, error)
            return
        self._take_created(pod, record, action, workload, instance)
        if self._live is not None:
            self._live.created(pod, instance, objects, asked_at)
        told = instance if instance.proven else _untold(instance, workload)
        self._instances.put(replace(told, created_at=told.created_at or self._stamp(), notices=()))
        self._queue.add(key.uid)  # one that was known already is no news
        log.info("created pod=%s instance=%s took_s=%.2f", key, instance.id, time.monotonic() - began)

    def _take_created(
        self, pod: Json, record: PodMemory, action: Create, workload: Workload, instance: Instance
    ) -> None:
        uid = pods.uid_of(pod)
        self._inherited.discard(uid)
        self._awaited.release(uid)
        record.made_s = asyncio.get_running_loop().time()
        record.started = record.started or self._stamp()  # however late that is told, no container began before
        record.problem, record.create_in_doubt, record.attempts, record.next_attempt = None, False, 0, None
        record.last_created_id, record.awaits = instance.id, False
        for notice in (*workload.notices, *instance.notices):
            if notice.reason != NODE_NOTICE:
                self.warn(pod, notice.reason, notice.message, container=notice.container)
        if action.replaces:
            delay_s = PLACE_RETRY.delay(record.replaced, jitter=self._jitter())
            record.retry_at_s = asyncio.get_running_loop().time() + delay_s
            record.replaced += 1

    def _check_whose(self, made: Instance, key: pods.PodKey) -> None:
        """Raises CloudUnavailable when the cloud named an instance that is known to be another's.

        This pod's own, should there be one, shows by its tags.
        """
        known = self._instances.get(made.id)
        if self._poller.is_foreign(made.id) or (known is not None and known.owner.uid != key.uid):
            log.error("not created pod=%s: the answer names instance=%s, which is another's", key, made.id)
            raise CloudUnavailable("the cloud answered with an instance that is not this pod's; it will be asked again")

    def _next_candidate(
        self, pod: Json, record: PodMemory, action: Create, error: OutOfCapacity, intent: Intent
    ) -> None:
        """Another way to carry the pod, if there is one; else what its owner wants to happen without capacity."""
        if error.next_attempt is not None:
            record.next_attempt = (action.replaces, error.next_attempt)
        elif intent.on_no_capacity is NoCapacity.FAIL:
            self._refuse(pod, record, Problem("ProviderFailed", str(error)))
            return
        elif intent.on_no_capacity is NoCapacity.STAY_PENDING:
            record.gave_up = True
        self._postpone(pod, record, error)

    async def _refuse_whole(
        self, pod: Json, admitted: Json, record: PodMemory, error: UnsupportedPod, objects: Objects | None
    ) -> None:
        """For all that speaks against it, not only for what came to light first."""
        if objects is None:
            objects = await self._references.read_to_judge(admitted)
        found = judged(admitted, objects, self._context, self._refusals_of)
        whole = UnsupportedPod([*found, *(one for one in error.refusals if one not in found)])
        self._refuse(pod, record, Problem(whole.reason, str(whole)))

    def _refuse(self, pod: Json, record: PodMemory, refusal: Problem) -> None:
        record.create_in_doubt = False
        record.refusal = refusal
        record.refuse_at_s = self._pace.not_before(pod, asyncio.get_running_loop().time())
        self._queue.add(pods.uid_of(pod))

    def _postpone(self, pod: Json, record: PodMemory, error: PodNotReady | CloudError) -> None:
        """The pod stays Pending, says why, and is tried again."""
        before = record.problem
        record.problem, event_reason = _problem_of(error)
        backoff = NOT_READY_RETRY if isinstance(error, PodNotReady) else CREATE_RETRY
        delay_s = backoff.delay(record.attempts, jitter=self._jitter())
        if isinstance(error, Throttled | OutOfCapacity):
            delay_s = max(delay_s, error.retry_after_s or 0.0)
        if isinstance(error, OutOfCapacity) and error.next_attempt is not None:
            delay_s = 0.0
        record.attempts += 1
        record.retry_at_s = asyncio.get_running_loop().time() + delay_s
        record.awaits = isinstance(error, PodNotReady)
        if record.awaits:
            self._awaited.acquire(pods.uid_of(pod), awaited(pod))
        self._queue.add(pods.uid_of(pod))  # the next look shows the problem and waits
        if isinstance(error, OutOfCapacity) and error.is_known and record.problem == before:
            return  # nobody was asked, and nothing is new
        prefix = "Error: " if event_reason == "Failed" and isinstance(error, PodNotReady) else ""
        self.warn(pod, event_reason, prefix + record.problem.message, container=record.problem.container)
        log.warning("not created pod=%s retry_s=%.1f: %s", pods.key_of(pod), delay_s, describe_error(error))

    async def _delete_instance(self, pod: Json, action: DeleteInstance, record: PodMemory) -> None:
        key, instance = pods.key_of(pod), action.instance
        try:
            existed = await self._cloud.delete(instance.id, force=action.force)
        except CloudError as error:
            self.warn(pod, "FailedKillPod", f"error stopping instance {instance.id}: {error}")
            raise
        if action.force:
            record.force_deleted_id = instance.id
        if not existed and instance.id in record.deletes:
            self._poller.confirm_deleted(
                instance.id
            )  # a first delete may come before all of the cloud knows of what was made
            return
        self._record_deletion(instance, record)
        log.info("deleting pod=%s instance=%s existed=%s: %s", key, instance.id, existed, action.why)
        if action.killing:
            self._announce_killing(pod, instance, action.why)

    async def _restart(self, pod: Json, instance: Instance, failure: Failure, record: PodMemory) -> None:
        """The first one at once, further ones slower and slower, as a kubelet restarts a container."""
        now_s = asyncio.get_running_loop().time()
        record.restarts = 1 if now_s - record.restarted_s > RESTART_BACKOFF_RESET_S else record.restarts + 1
        record.restarted_s = now_s
        record.restart_at_s = now_s + RESTART_AGAIN.delay(record.restarts - 1, jitter=0.0)
        if not isinstance(self._cloud, SupportsRestart):
            raise CloudError(f"the cloud restarts nothing, and container {failure.container} should be")
        try:
            await self._cloud.restart(instance.id)
        except InstanceGone:
            self._poller.confirm_deleted(instance.id)
            return
        except CloudError as error:
            if not error.retryable:
                self.warn(pod, "FailedSync", f"error restarting instance {instance.id}: {error}")
            raise
        log.info("restarting pod=%s instance=%s: %s probe failed", pods.key_of(pod), instance.id, failure.kind)
        message = f"Container {failure.container} failed {failure.kind} probe, will be restarted"
        others = len(instance.containers) - 1
        if others:
            message += f" together with the {others} other{'s' if others > 1 else ''}: the cloud restarts all or none"
        self._record_event(pod, "Normal", "Killing", message, container=failure.container)

    def _see_drift(self, pod: Json, instance: Instance | None, record: PodMemory) -> None:
        """In what the pod is not what its instance was made of. What that is about is watched only while it matters."""
        if instance is None or instance.status is NEVER_PLACED:
            record.drift = None
            return
        if pods.is_deleting(pod) or pods.is_terminal(pod):
            return
        uid = pods.uid_of(pod)
        sources = drifts.wanted(pod, instance, record.drift)
        contents = None
        if sources is not None:
            self._awaited.acquire(uid, sources)
            contents = self._awaited.contents(sources)
        else:
            self._awaited.release(uid)
        record.drift = drifts.see(pod, instance, record.drift, contents, asyncio.get_running_loop().time())

    async def _make_way(self, pod: Json, instance: Instance, record: PodMemory) -> None:
        """Asks the cloud by id first: what is known of it may be some seconds old, and what ran is not thrown away."""
        found = (await self._cloud.describe([instance.id])).get(instance.id)
        if found is not None and found.status is not InstanceStatus.TERMINATING and drifts.has_run(found):
            self._instances.put(found)
            self._queue.add(pods.uid_of(pod))
            return
        told = drifts.describe_drift(record.drift) if record.drift else "what it was made of"
        await self._delete_instance(pod, DeleteInstance(instance, f"{told} changed"), record)
        message = f"{told} changed before anything of instance {instance.id} ran: another takes its place"
        self._record_event(pod, "Normal", "InstanceReplaced", message)

    async def _update(self, pod: Json, instance: Instance, change: drifts.Change, record: PodMemory) -> None:
        if not isinstance(self._cloud, SupportsFileUpdate):
            raise CloudError("the cloud updates nothing")
        told = drifts.describe(change)
        wants = drifts.subject(change, record.drift.wants if record.drift else UNKNOWN_MAKE)
        began = asyncio.get_running_loop().time()
        try:
            admitted = await self._as_created(pod)
            objects = await self._references.read(admitted)
            made_of = digest.updated(
                instance.made_of,
                digest.made_of(pod, objects),
                pod,
                images=change.images,
                values=change.images | change.values,
                logins=change.logins,
            )
            workload = replace(assemble(admitted, objects, self._context), made_of=made_of)
            names = change.images | change.values
            files = digest.shows_files(pod, names)
            await self._cloud.update(instance.id, workload, Change(names, files=files, logins=change.logins))
        except (UnsupportedPod, CloudRefused) as error:
            record.not_taken = (wants, str(error))
            self._queue.add(pods.uid_of(pod))  # the next look shows it
            log.warning("not updated pod=%s instance=%s: %s", pods.key_of(pod), instance.id, describe_error(error))
            return
        except InstanceGone:
            self._queue.add_after(pods.uid_of(pod), VERIFY_AGAIN_S)  # the poller finds out
            return
        except (PodNotReady, CloudError) as error:
            self._update_later(pod, told, error, record)
            return
        record.not_taken, record.updates_failed = None, 0
        record.update_at_s = asyncio.get_running_loop().time() + UPDATE_REST_S
        self._instances.put(replace(self._instances.get(instance.id) or instance, made_of=made_of))
        for name in sorted(change.images):
            message = f"Container {name} definition changed, will be restarted"
            self._record_event(pod, "Normal", KILLING, message, container=name)
        took_s = asyncio.get_running_loop().time() - began
        log.info("updated pod=%s instance=%s took_s=%.2f: %s", pods.key_of(pod), instance.id, took_s, told)
        self._queue.add(pods.uid_of(pod))

    def _update_later(self, pod: Json, told: str, error: PodNotReady | CloudError, record: PodMemory) -> None:
        delay_s = UPDATE_RETRY.delay(record.updates_failed, jitter=self._jitter())
        if isinstance(error, Throttled):
            delay_s = max(delay_s, error.retry_after_s or 0.0)
        record.updates_failed += 1
        record.update_at_s = asyncio.get_running_loop().time() + delay_s
        log.warning("not updated pod=%s retry_s=%.1f: %s", pods.key_of(pod), delay_s, describe_error(error))
        if isinstance(error, PodNotReady) or record.updates_failed == UPDATE_TOLD_AT:
            self.warn(pod, "InstanceUpdateFailed", f"{told} changed, and the instance stays as it is for now: {error}")
        self._queue.add(pods.uid_of(pod))

    def _with_probe_results(self, pod: Json, instances: Sequence[Instance], record: PodMemory) -> Sequence[Instance]:
        """The pod's own instance with what our probes know of its containers."""
        mine, _ = own_and_spare(pod, instances, record)
        if mine is None:
            self._prober.remove(pods.uid_of(pod))
            return instances
        seen = self._prober.observe(pod, mine)
        return [seen if each is mine else each for each in instances]

    def _record_deletion(self, instance: Instance, record: PodMemory) -> None:
        record.deletes = {**record.deletes, instance.id: asyncio.get_running_loop().time()}
        self._poller.track_deletion(instance.id)
        self._queue.add(instance.owner.uid)  # for what else there is to do, and to ask again should nothing come of it

    def _announce_killing(self, pod: Json, instance: Instance, why: str) -> None:
        if why == "DeadlineExceeded":
            self._record_event(pod, "Normal", why, "Pod was active on the node longer than the specified deadline")
        for each in (*instance.init_containers, *instance.containers):
            if each.state.kind is StateKind.RUNNING:
                self._record_event(pod, *events.stopping(each.name), container=each.name)

    async def _delete_orphan(self, instance: Instance, record: PodMemory) -> None:
        """W7: only after a live look, never on the word of a cache."""
        owner = instance.owner
        pod = await self._live_pod(owner)
        if pod is not None and pods.uid_of(pod) == owner.uid:
            if pod["spec"].get("nodeName") == self._node.name:
                self._reflector.apply_response(pod)  # the watch is behind
            else:
                log.error(
                    "instance=%s is of pod=%s/%s, which is bound elsewhere", instance.id, owner.namespace, owner.name
                )
            return
        await self._cloud.delete(instance.id, force=True)  # P35: nobody waits for its end any more
        self._record_deletion(instance, record)
        if record.seen:
            log.info("deleting instance=%s pod=%s/%s: the pod was removed", instance.id, owner.namespace, owner.name)
        else:
            log.warning("deleted orphan instance=%s pod=%s/%s: no such pod", instance.id, owner.namespace, owner.name)

    async def _live_pod(self, owner: Owner) -> Json | None:
        """The pod as the API server has it this moment, or a namesake, or None."""
        if len(owner.name) >= TRUNCATED_NAME_LEN:
            params = {"fieldSelector": f"spec.nodeName={self._node.name}"}
            answer = await self._client.get(paths.pods(owner.namespace), params=params)
            listed = [objects.checked_object(each, "pod") for each in objects.checked_items(answer, "pods")]
            return next((each for each in listed if pods.uid_of(each) == owner.uid), None)
        try:
            found = await self._client.get(paths.pod(owner.namespace, owner.name))
            return objects.checked_object(found, f"pod {owner.namespace}/{owner.name}")
        except NotFound:
            return None

    async def _patch(self, pod: Json, body: Json, record: PodMemory) -> None:
        key = pods.key_of(pod)
        record.patches += 1
        if record.patches > MAX_UNUSUAL_PATCHES:
            delay_s = RETRY.delay(record.patches - MAX_UNUSUAL_PATCHES, jitter=self._jitter())
            record.patch_at_s = asyncio.get_running_loop().time() + delay_s
            log.warning("the status of pod=%s is changed back again and again, next_s=%.1f", key, delay_s)
        if started := body.get("status", {}).get("startTime"):
            record.started = record.started or started
            # Only if the pod is as we see it: an earlier life may have written a first status that neither the list nor
            # the watch, which may be of the past, has shown yet.
            seen = {"resourceVersion": pod["metadata"]["resourceVersion"]}
            told = {**body["status"], "startTime": record.started}
            body = {**body, "metadata": {**body["metadata"], **seen}, "status": told}
        try:
            answer = await self._client.patch(paths.pod_status(key.namespace, key.name), body)
        except NotFound:
            self._forget_pod(key)  # its DELETED event is on the way
            return
        except Conflict as error:
            await self._resolve_conflict(key, error)
            return
        except KubeError as error:
            record.status_write_in_doubt = error.unanswered or error.status >= SERVER_ERROR
            raise
        if not self._reflector.apply_response(answer) and _is_same(self._store.get(key.uid), pod):
            raise KubeError(f"the API server took the status of {key} and kept nothing of it")

    async def _resolve_conflict(self, key: pods.PodKey, conflict: Conflict) -> None:
        """A namesake means that ours is gone; the same pod, that others wrote it too: taken as it is, tried again."""
        if await self._refetch_pod(key):
            raise conflict

    async def refetch(self, pod: Json) -> None:
        """Somebody was told that it is gone: take what the API server has of it this moment."""
        await self._refetch_pod(pods.key_of(pod))

    async def _refetch_pod(self, key: pods.PodKey) -> bool:
        try:
            answer = await self._client.get(paths.pod(key.namespace, key.name))
            found = objects.checked_object(answer, f"pod {key}")
        except NotFound:
            found = None
        if found is None or pods.uid_of(found) != key.uid:
            self._forget_pod(key)
            return False
        self._reflector.apply_response(found)
        return True

    async def _remove_pod(self, pod: Json) -> None:
        key = pods.key_of(pod)
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": key.uid}}
        try:
            left = await self._client.delete(paths.pod(key.namespace, key.name), body=options)
        except NotFound:
            self._forget_pod(key)
            return
        except Conflict as error:
            await self._resolve_conflict(key, error)
            return
        log.info("removed pod=%s", key)
        # Unless others hold it by a finalizer, what the watch has yet to say of it, as that its grace became 0, is of
        # the past and does not bring it back: it would be removed once more.
        held = bool((left.get("metadata") or {}).get("finalizers"))
        self._store.remove(key.uid, resource_version="" if held else NEVER_AGAIN)

    def _forget_pod(self, key: pods.PodKey) -> None:
        """The API server denied this uid; should it be wrong, the watch brings it back."""
        self._store.remove(key.uid)

    async def _verify_instance(self, pod: Json, instance_id: str, record: PodMemory) -> None:
        """Ask the cloud about the pod by every name we have for its instance."""
        key, now_s = pods.key_of(pod), asyncio.get_running_loop().time()
        if (rest_s := record.looked_s + LOOK_REST_S - now_s) > 0:  # the id may be another one again and again
            self._queue.add_after(key.uid, rest_s)
            return
        record.looked_s = now_s
        found = {each.id: each for each in await self._cloud.find(key.uid)}
        if instance_id:
            found.update(await self._cloud.describe([instance_id]))
        for instance in found.values():
            self._instances.put(instance)  # as whose its tags say that it is
        ours = [each for each in found.values() if each.owner.uid == key.uid]
        if record.ended_s is not None and any(each.id == instance_id and each.status.is_ended for each in ours):
            record.ended_again = True
            self._queue.add(key.uid)
        missing = instance_id if all(each.id != instance_id for each in ours) else ""
        if ours and not missing:
            self._queue.add_after(
                key.uid, VERIFY_AGAIN_S
            )  # the answer may be older than what is known, and no news then
            return
        if missing and instance_id not in found and not await self._is_denied(pod, instance_id):
            log.warning("pod=%s instance=%s is in no list, yet the cloud does not deny it", key, instance_id)
            self._queue.add_after(key.uid, VERIFY_AGAIN_S)
            return
        if missing in self._instances.unproven:
            self._poller.confirm_deleted(missing)
        record.confirmed_missing_id = instance_id
        record.confirmed_absent, record.ended_again = not ours, True
        self._queue.add(key.uid)

    async def _is_denied(self, pod: Json, instance_id: str) -> bool:
        """Whether the cloud says that there is no such instance of ours. The id may be anybody's word, and is asked
        about by name only where the cloud shows no one else's instance under it."""
        if foreign := await self._cloud.foreign([instance_id]):
            self._poller.disown(foreign)
            return True
        return await self._cloud.is_gone(instance_id, pods.containers_of(pod)[0]["name"])

    # --- what users see ---

    def _emit_cost_event(self, pod: Json, body: Json, instance: Instance | None) -> None:
        """Once, when the pod has ended."""
        if self._costs is None or instance is None or body.get("status", {}).get("phase") not in pods.TERMINAL_PHASES:
            return
        if summary := self._costs.summary(instance):
            self._record_event(pod, "Normal", "InstanceCost", summary)

    def warn(self, pod: Json, reason: str, message: str, *, container: str = "") -> None:
        self._record_event(pod, "Warning", reason, message, container=container)

    def _record_event(self, pod: Json, kind: str, reason: str, message: str, *, container: str = "") -> None:
        self._recorder.put(
            events.own_event(
                events.involved(pod, container=container),
                type=kind,
                reason=reason,
                message=message,
                now=self._stamp(),
                node=self._node.name,
            )
        )

    def _stamp(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _mirror_events(self, pod: Json, instances: Sequence[Instance], record: PodMemory) -> None:
        instance, _ = own_and_spare(pod, instances, record)
        if instance is None or instance.status is InstanceStatus.SCHEDULE_FAILED:
            return
        mirrored = {each.id: each.count for each in record.mirrored}
        told = []
        for event in instance.events:
            if mirrored.get(event.id, 0) < event.count:
                if events.is_of_our_restart(pod, event):
                    continue
                # A stop was told when we asked for it; a process that does not remember meets the same name.
                if event.reason != KILLING or instance.id not in record.deletes:
                    if not self._recorder.has_room:
                        self._queue.add_after(pods.uid_of(pod), EVENT_RETRY_S)
                        continue
                    self._recorder.put(events.pod_event(pod, event, node=self._node.name), key=(instance.id, event.id))
            told.append(event)
        record.mirrored = instance.events if len(told) == len(instance.events) else told


def _untold(made: Instance, workload: Workload) -> Instance:
    """One of which the cloud has told nothing yet: its containers wait, and for nothing that was missing before."""
    waits = ContainerState(StateKind.WAITING)
    return replace(
        made,
        containers=tuple(ContainerReport(each.name, waits) for each in workload.containers),
        init_containers=tuple(ContainerReport(each.name, waits) for each in workload.init_containers),
    )


def _is_same(held: Json | None, pod: Json) -> bool:
    return held is not None and held["metadata"].get("resourceVersion") == pod["metadata"].get("resourceVersion")


def _may_start(turns: FairLimiter, uid: str, pod: Json) -> bool:
    """Who is refused is called when its turn has come, by being put into the queue."""
    priority = pod["spec"].get("priority")
    # What it is compared with is other pods', so whatever else stands here must not reach them.
    return turns.try_acquire(
        uid, namespace=pod["metadata"]["namespace"], priority=priority if type(priority) is int else 0
    )


def _update_memory(record: PodMemory, pod: Json | None, instances: Sequence[Instance], now: Now) -> None:
    """What the sight of the pod and its instances settles."""
    instance = own_and_spare(pod, instances, record)[0] if pod is not None else None
    alone = pod is not None and instance is not None and status.only_sidecars_left(pod, instance)
    record.only_sidecars_since_s = (
        None if not alone else now.loop_s if record.only_sidecars_since_s is None else record.only_sidecars_since_s
    )
    record.orphaned_since_s = (
        None if pod is not None else now.loop_s if record.orphaned_since_s is None else record.orphaned_since_s
    )
    if pod is not None and not record.started:
        record.started = (pod.get("status") or {}).get("startTime") or ""
    if record.deleting_since_s is None and pod is not None and pods.is_deleting(pod):
        record.deleting_since_s = now.loop_s
    if instances:
        record.confirmed_absent = record.create_in_doubt = False
    if record.deletes:
        record.deletes = {each.id: record.deletes[each.id] for each in instances if each.id in record.deletes}
    placed = [each for each in instances if each.status not in UNPLACED]
    if placed:
        record.replaced = 0
    if not any(each.status.is_ended for each in placed):
        record.ended_s, record.ended_again = None, False
    elif record.ended_s is None:
        record.ended_s = now.loop_s


def _problem_of(error: PodNotReady | CloudError) -> tuple[Problem, str]:
    """What the pod shows while it waits, and the reason of its event."""
    if isinstance(error, PodNotReady):
        return Problem(error.waiting_reason, str(error), error.container), error.event_reason
    message = str(error)  # no request id: a text that is new at each try would be a new event and a new status
    match error:
        case OutOfCapacity():
            word = _capacity_word(error.code)
        case Throttled():
            word = "Throttling"
        case CloudDenied():
            word = "CloudAPIDenied"
        case _:
            word = "CloudAPIUnavailable"
    condition = CloudCondition("ContainerInstanceCreated", "False", word, message)
    return Problem("ContainerCreating", message, condition=condition), word


def _capacity_word(code: str) -> str:
    words = {"stock": "NoStock", "quota": "QuotaExceeded", "ip": "NoAddress"}
    return next((word for part, word in words.items() if part in code.lower()), "OutOfCapacity")
