"""Carries changes of ConfigMaps, Secrets and labels, and new tokens, to the files of instances that run.

`freshness` decides; here a few workers of their own carry it out, one pod at a time and one update at a time for each,
first come, first served. They never take a reconcile worker's time or a create's share of the cloud's limits, so that
ten thousand pods with one ConfigMap cannot hold up a single new pod. Whatever fails leaves the old files in place and
is tried again; a crash between an update and its note on the pod costs one more update of the same.

A cloud may not say whether it restarts containers when their files are updated. Whoever
finds that it does sets `live_configuration = false`, or the annotation on the pod.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from vk_provider.cloud.base import SupportsFileUpdate, describe_error
from vk_provider.errors import (
    CloudRefused,
    Conflict,
    InstanceGone,
    KubeError,
    KubeUnavailable,
    NotFound,
    PodNotReady,
    ProviderError,
    UnsupportedPod,
)
from vk_provider.files import staleness
from vk_provider.files.object_reader import ObjectReader
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.files.staleness import FileManifest, FileState
from vk_provider.metrics import Registry
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.poll_limits import CAREFUL
from vk_provider.model.workload import Volume
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.clock import Now
from vk_provider.pacing.sliding_window import SlidingWindowLimiter
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.retry_loop import retry_loop
from vk_provider.translate import file_sources
from vk_provider.translate.file_sources import LiveSources
from vk_provider.translate.node_context import NodeContext
from vk_provider.translate.objects import Objects
from vk_provider.translate.volumes import Kept
from vk_provider.translate.workload import content

Json = dict[str, Any]
log = logging.getLogger(__name__)

WORKERS = 4
REST_S = 5.0  # after an update, before the next of the same pod
RETRY = Backoff(first_s=5.0, most_s=300.0, spread=0.5)
REFUSED, FAILED = "LiveUpdateRefused", "LiveUpdateFailed"  # reasons of events
TOLD_AT = 3  # failures in a row after which the pod's user is told; a passing trouble is none of theirs


class Warn(Protocol):
    def __call__(self, pod: Json, reason: str, message: str) -> None: ...


class FileSyncer:
    """What it knows of a pod is in `FileState`, kept from the first sight of its live instance to its end.

    requeue: has the pod of this uid reconciled. doubt: asks the API server whether the pod still exists. gone: called
    with the id of an instance that does not exist any more.
    """

    def __init__(
        self,
        *,
        cloud: SupportsFileUpdate,
        references: ObjectReader,
        sources: ObjectWatcher,
        context: NodeContext,
        metrics: Registry,
        pod_of: Callable[[str], Json | None],
        instance_of: Callable[[Json], Instance | None],
        requeue: Callable[[str], None],
        doubt: Callable[[Json], Awaitable[None]],
        gone: Callable[[str], None],
        warn: Warn,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        per_minute: int = CAREFUL.updates_per_minute,
        admit: Callable[[Json], Awaitable[Json]] | None = None,
    ) -> None:
        """admit: what was made of the pod before its instance was, for its files show that; None = nothing."""
        self._admit = admit
        self._cloud = cloud
        self._references = references
        self._sources = sources
        self._context = context
        self._pod_of = pod_of
        self._instance_of = instance_of
        self._requeue = requeue
        self._doubt = doubt
        self._gone = gone
        self._warn = warn
        self._clock = clock
        self._jitter = jitter
        self._known: dict[str, FileState] = {}
        self._queue = WorkQueue()
        self._pace = SlidingWindowLimiter(per_minute)
        self._updates = metrics.counter("vk_live_updates_total", "Updates of files of instances.", ("result",))

    # --- for the reconcile loop

    def created(self, pod: Json, instance: Instance, objects: Objects, asked_at: datetime) -> None:
        """An instance was just made from these objects. asked_at: before they were read."""
        if instance.created_at:
            return  # made earlier, from who knows what: it gets an update
        known = self._known[pods.uid_of(pod)] = _unlooked(pod)
        if known is not _UNCHANGING:
            known.has = _made(pod, instance, known.sources, objects, asked_at)

    def observe(self, pod: Json, instance: Instance | None) -> FileState | None:
        """What is known of the files of this pod; None when they are never to change, or nothing runs."""
        uid = pods.uid_of(pod)
        if instance is None or instance.status.is_ended or pods.is_terminal(pod) or pods.is_deleting(pod):
            self.remove(uid)
            return None
        known = self._known.get(uid)
        if known is None:
            known = self._known[uid] = _unlooked(pod)
        if not known.sources or not pods.wants_live(pod):
            return None
        if known.has is None or known.has.instance_id != instance.id:
            noted = staleness.read_content(pods.live_content_of(pod))
            known.has = noted if noted is not None and noted.instance_id == instance.id else None
        self._sources.acquire(uid, known.sources.objects)
        found = self._sources.versions(known.sources.objects)
        staleness.see(pod, instance, known, found, asyncio.get_running_loop().time())
        return known

    def refresh(self, uid: str) -> None:
        """Its turn comes; until then more of its changes may come together."""
        self._queue.add(uid)

    def remove(self, uid: str) -> None:
        self._known.pop(uid, None)
        self._sources.release(uid)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sources.run(), name="sources")
            for number in range(WORKERS):
                worker = f"live-worker-{number}"
                tasks.create_task(retry_loop(self._work, name=worker, jitter=self._jitter), name=worker)

    # --- one pod's turn

    async def _work(self) -> None:
        uid = await self._queue.get()
        try:
            if self._due(uid) is not None:  # else nothing is taken from the others' share
                await self._pace.acquire()
                await self._turn(uid)
        finally:
            self._queue.done(uid)

    def _due(self, uid: str) -> tuple[Json, Instance, FileState] | None:
        """The pod, if it still wants what it queued for: much may have happened since."""
        pod, known = self._pod_of(uid), self._known.get(uid)
        if pod is None or known is None or pods.is_deleting(pod) or pods.is_terminal(pod):
            return None
        instance = self._instance_of(pod)
        if instance is None:
            return None
        now = Now(wall=self._clock(), loop_s=asyncio.get_running_loop().time())
        wanted = isinstance(staleness.decide(uid, instance, known, now), staleness.UpdateNow)
        return (pod, instance, known) if wanted else None

    async def _turn(self, uid: str) -> None:
        due = self._due(uid)
        if due is None:
            return
        pod, instance, known = due
        wants = known.wants
        try:
            await self._update(pod, instance, known)
        except InstanceGone:
            self._postpone(known)
            self._gone(instance.id)
        except ProviderError as error:
            await self._failed(pod, known, wants, error)
        except Exception:
            log.exception("update of files failed pod=%s", pods.key_of(pod))
            self._postpone(known)
        else:
            known.stale_since_s, known.failures, known.refused = None, 0, ""
            known.retry_at_s = asyncio.get_running_loop().time() + REST_S
            self._updates.add(result="done")
        self._requeue(uid)

    async def _update(self, pod: Json, instance: Instance, known: FileState) -> None:
        began = asyncio.get_running_loop().time()
        asked_at = self._clock()
        objects = await self._references.read_content(pod)
        shown = await self._as_created(pod)
        volumes = await self._volumes(shown, instance, objects, lacks=staleness.is_token_due(known, asked_at))
        await self._cloud.update_files(instance.id, volumes)
        known.has = _made(pod, instance, known.sources, objects, asked_at)
        took_s = asyncio.get_running_loop().time() - began
        log.info("updated files pod=%s instance=%s took_s=%.2f", pods.key_of(pod), instance.id, took_s)

    async def _as_created(self, pod: Json) -> Json:
        """The pod as its instance was made from it. Raises KubeUnavailable when that cannot be told now."""
        try:
            return pod if self._admit is None else await self._admit(pod)
        except PodNotReady as error:
            raise KubeUnavailable(str(error)) from error

    async def _volumes(self, pod: Json, instance: Instance, objects: Objects, *, lacks: bool) -> Sequence[Volume]:
        """All of the pod's volumes, for a cloud may take the list for the whole: what is to stay is sent as it is
        there. Where the cloud does not tell, it is made anew.

        lacks: a token must not end for want of a ConfigMap that was deleted; what is missing stays as it is there too.
        """
        frozen = file_sources.frozen(pod)
        there = await self._cloud.volumes_of(instance.id) if frozen else None
        try:
            return content(pod, objects, self._context, Kept(there or {}, frozen))
        except (PodNotReady, UnsupportedPod):
            if there is None:
                there = await self._cloud.volumes_of(instance.id)
            return content(pod, objects, self._context, Kept(there, frozen, lacks))

    async def _failed(self, pod: Json, known: FileState, wants: str, error: ProviderError) -> None:
        """The old files stay."""
        self._postpone(known)
        log.warning("files not updated pod=%s failures=%d: %s", pods.key_of(pod), known.failures, describe_error(error))
        match error:
            case PodNotReady():
                known.refused = wants  # what is missing shows as a change when it comes
                self._warn(pod, error.event_reason, str(error))
            case UnsupportedPod() | CloudRefused():
                known.refused = wants
                self._warn(pod, REFUSED, f"its files stay as they were: {error}")
            case NotFound() | Conflict():  # S23: of a token, that this pod is no more
                await self._confirm(pod)
            case _ if known.failures == TOLD_AT:
                self._warn(pod, FAILED, f"its files stay as they were for now: {error}")

    async def _confirm(self, pod: Json) -> None:
        try:
            await self._doubt(pod)
        except KubeError as error:
            log.info("whether pod=%s is still there cannot be told now: %s", pods.key_of(pod), error)

    def _postpone(self, known: FileState) -> None:
        delay_s = RETRY.delay(known.failures, jitter=self._jitter())
        known.failures += 1
        known.retry_at_s = asyncio.get_running_loop().time() + delay_s
        self._updates.add(result="failed")


_UNCHANGING = FileState(LiveSources())  # one for all pods of whose files nothing can change: nothing is noted of them


def _unlooked(pod: Json) -> FileState:
    """Of a pod of which nothing is known yet."""
    sources = file_sources.live_sources(pod)
    return FileState(sources) if sources else _UNCHANGING


def _made(pod: Json, instance: Instance, sources: LiveSources, objects: Objects, asked_at: datetime) -> FileManifest:
    """What an instance has that was just given these objects."""
    made_of = file_sources.fingerprint(pod, sources, file_sources.versions(sources, objects), instance.words)
    still = file_sources.frozen(pod)
    lives_s = {request: life_s for request, life_s in objects.token_lives_s.items() if request.volume not in still}
    return FileManifest(instance.id, made_of, staleness.renew_at(asked_at, lives_s))
