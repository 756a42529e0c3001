"""PatchStatus, ReadPod, RemovePod: the pod object in the API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from vk_provider.control.actions import PatchStatus, ReadPod, RemovePod
from vk_provider.control.memory import PodMemory, WriteMemory
from vk_provider.control.observation import Observation
from vk_provider.control.perform.outcome import Outcome
from vk_provider.control.pod_event import PodEvent
from vk_provider.errors import Conflict, KubeError, NotFound
from vk_provider.instances.cost import CostMeter
from vk_provider.kube import objects, paths
from vk_provider.kube.api import KubeApi
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import NEVER_AGAIN
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.workqueue import OwnWrite, WorkQueue
from vk_provider.translate import status_patch
from vk_provider.translate.status_events import events_for_patch

log = logging.getLogger(__name__)

MAX_UNUSUAL_PATCHES = 6  # status patches in a row; after more, somebody keeps undoing what we write
RETRY = Backoff(first_s=0.5, most_s=60.0, spread=0.5)
SERVER_ERROR = 500  # from here on it may have been done all the same


class PodWriter:
    """What the API server answers goes into the store at once, so that no decision is made on an older copy."""

    def __init__(
        self,
        *,
        client: KubeApi,
        reflector: Reflector,
        queue: WorkQueue,
        costs: CostMeter | None,
        jitter: Callable[[], float],
    ) -> None:
        self._client = client
        self._queue = queue
        self._reflector = reflector
        self._store = reflector.store
        self._costs = costs
        self._jitter = jitter

    async def patch(self, seen: Observation, action: PatchStatus, memory: PodMemory) -> Outcome:
        now_s = asyncio.get_running_loop().time()
        if now_s < memory.writing.not_before_s:
            return Outcome(memory, memory.writing.not_before_s - now_s)
        pod, key = seen.pod, pods.key_of(seen.pod)
        memory = replace(memory, writing=self._paced(key, memory.writing, now_s))
        body, memory = _written_over(pod, action.body, memory)
        with self._queue.writing(key.uid) as write:
            return await self._written(seen, action, body, memory, write)

    async def _written(
        self, seen: Observation, action: PatchStatus, body: Json, memory: PodMemory, write: OwnWrite
    ) -> Outcome:
        key = pods.key_of(seen.pod)
        try:
            answer = await self._client.patch(paths.pod_status(key.namespace, key.name), body)
        except NotFound:
            self._forget(key)  # its DELETED event is on the way
        except Conflict as conflict:
            if error := await self._resolved(key, conflict):
                return Outcome(memory, error=error)
        except KubeError as error:
            in_doubt = error.unanswered or error.status >= SERVER_ERROR
            return Outcome(replace(memory, writing=replace(memory.writing, in_doubt=in_doubt)), error=error)
        else:
            has_all = status_patch.is_in(answer, body)
            is_news = self._reflector.apply_response(answer)
            version = _version(self._store.get(key.uid))
            if not is_news and version and version == _version(seen.pod):
                return Outcome(
                    memory, error=KubeError(f"the API server took the status of {key} and kept nothing of it")
                )
            write.is_settled = action.then is not None and has_all and version == _version(answer)
        then = action.then if write.is_settled else None
        return Outcome(memory, events=self._events(seen, action), then=then)

    async def read(self, seen: Observation, action: ReadPod, memory: PodMemory) -> Outcome:
        await self.refetch(pods.key_of(seen.pod))
        return Outcome(replace(memory, writing=replace(memory.writing, in_doubt=False)), 0)

    async def remove(self, seen: Observation, action: RemovePod, memory: PodMemory) -> Outcome:
        key = pods.key_of(seen.pod)
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": key.uid}}
        try:
            left = await self._client.delete(paths.pod(key.namespace, key.name), body=options)
        except NotFound:
            self._forget(key)
            return Outcome(memory)
        except Conflict as error:
            return Outcome(memory, error=await self._resolved(key, error))
        log.info("removed pod=%s", key)
        # Unless others hold it by a finalizer, what the watch has yet to report, as that its grace became 0, is of the
        # past and does not bring it back: it would be removed once more.
        held = bool((left.get("metadata") or {}).get("finalizers"))
        self._store.remove(key.uid, resource_version="" if held else NEVER_AGAIN)
        return Outcome(memory)

    async def refetch(self, key: pods.PodKey) -> bool:
        """Take what the API server has of the pod this moment. False: there is no such pod any more."""
        try:
            answer = await self._client.get(paths.pod(key.namespace, key.name))
            found = objects.checked_object(answer, f"pod {key}")
        except NotFound:
            found = None
        if found is None or pods.uid_of(found) != key.uid:
            self._forget(key)
            return False
        self._reflector.apply_response(found)
        return True

    def _paced(self, key: pods.PodKey, writing: WriteMemory, now_s: float) -> WriteMemory:
        in_row = writing.in_row + 1
        if in_row <= MAX_UNUSUAL_PATCHES:
            return replace(writing, in_row=in_row)
        delay_s = RETRY.delay(in_row - MAX_UNUSUAL_PATCHES, jitter=self._jitter())
        log.warning("the status of pod=%s is changed back again and again, next_s=%.1f", key, delay_s)
        return replace(writing, in_row=in_row, not_before_s=now_s + delay_s)

    async def _resolved(self, key: pods.PodKey, conflict: Conflict) -> Conflict | None:
        """A namesake means that ours is gone; the same pod, that others wrote it too: read again, then tried again."""
        return conflict if await self.refetch(key) else None

    def _forget(self, key: pods.PodKey) -> None:
        """The API server has no pod of this uid; should it be wrong, the watch brings it back."""
        self._store.remove(key.uid)

    def _events(self, seen: Observation, action: PatchStatus) -> list[PodEvent]:
        """Events for what the patch changes; what the instance cost, once, when the pod has ended."""
        found = [PodEvent("Warning", each.reason, each.message) for each in events_for_patch(seen.pod, action.body)]
        instance = seen.own if seen.own is not None else seen.last
        if summary := self._cost(action.body, instance):
            found.append(PodEvent("Normal", "InstanceCost", summary))
        if action.problem is not None:
            found.append(PodEvent("Warning", action.problem.reason, action.problem.message))
        if action.event is not None:
            found.append(action.event)
        return found

    def _cost(self, body: Json, instance: Instance | None) -> str:
        if self._costs is None or instance is None or body.get("status", {}).get("phase") not in pods.TERMINAL_PHASES:
            return ""
        return self._costs.summary(instance)


def _version(pod: Json | None) -> str:
    return str(pod["metadata"].get("resourceVersion") or "") if pod is not None else ""


def _written_over(pod: Json, body: Json, memory: PodMemory) -> tuple[Json, PodMemory]:
    """A status is written only over the pod as we see it: an earlier life, or whoever led before us, may have written
    one that neither the list nor the watch, which may be of the past, has shown yet."""
    version = {"resourceVersion": pod["metadata"]["resourceVersion"]}
    body = {**body, "metadata": {**body["metadata"], **version}}
    started = body.get("status", {}).get("startTime")
    if not started:
        return body, memory
    if not memory.started:
        memory = replace(memory, started=started)
    return {**body, "status": {**body["status"], "startTime": memory.started}}, memory
