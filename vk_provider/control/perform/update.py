"""UpdateContainers, UpdateFiles: giving an instance that runs what its pod has become."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from vk_provider.cloud.base import Change, SupportsFileUpdate, describe_error
from vk_provider.control import drift as drifts
from vk_provider.control.actions import UpdateContainers, UpdateFiles
from vk_provider.control.collaborators import Collaborators
from vk_provider.control.memory import PodMemory, UpdateMemory
from vk_provider.control.observation import Observation
from vk_provider.control.perform.outcome import Outcome
from vk_provider.control.pod_event import PodEvent
from vk_provider.control.pod_events import KILLING
from vk_provider.control.policy import admitted, fetch
from vk_provider.errors import CloudError, CloudRefused, InstanceGone, PodNotReady, Throttled, UnsupportedPod
from vk_provider.model import pod as pods
from vk_provider.model.instance import UNKNOWN_MAKE, MadeOf
from vk_provider.model.pod import Json
from vk_provider.pacing.backoff import Backoff
from vk_provider.translate import digest
from vk_provider.translate.workload import assemble

log = logging.getLogger(__name__)

UPDATE_RETRY = Backoff(first_s=5.0, most_s=300.0, spread=0.5)
UPDATE_REST_S = 10.0  # after an update, before the next of the same instance
REPORTED_AT = 3  # failures in a row after which an event on the pod says so
VERIFY_AGAIN_S = 10.0


class Updater:
    def __init__(self, made: Collaborators) -> None:
        self._cloud = made.cloud
        self._references = made.references
        self._instances = made.instances
        self._live = made.live
        self._policies = made.policies
        self._context = made.context
        self._jitter = made.jitter

    async def update_files(self, seen: Observation, action: UpdateFiles, memory: PodMemory) -> Outcome:
        if self._live is not None:
            self._live.refresh(pods.uid_of(seen.pod))
        return Outcome(memory)

    async def update(self, seen: Observation, action: UpdateContainers, memory: PodMemory) -> Outcome:
        key, instance, change = pods.key_of(seen.pod), action.instance, action.change
        subject = drifts.describe(change)
        began_s = asyncio.get_running_loop().time()
        try:
            made_of = await self._carry_out(seen.pod, action)
        except (UnsupportedPod, CloudRefused) as error:
            wants = drifts.subject(change, memory.drift.wants if memory.drift else UNKNOWN_MAKE)
            log.warning("not updated pod=%s instance=%s: %s", key, instance.id, describe_error(error))
            updating = replace(memory.updating, refused=(wants, str(error)))
            return Outcome(replace(memory, updating=updating), 0)  # the next reconcile shows it
        except InstanceGone:
            return Outcome(memory, VERIFY_AGAIN_S)  # the poller finds out
        except (PodNotReady, CloudError) as error:
            return self._later(key, subject, error, memory)
        now_s = asyncio.get_running_loop().time()
        self._instances.put(replace(self._instances.get(instance.id) or instance, made_of=made_of))
        log.info("updated pod=%s instance=%s took_s=%.2f: %s", key, instance.id, now_s - began_s, subject)
        events = [
            PodEvent("Normal", KILLING, f"Container {name} definition changed, will be restarted", name)
            for name in sorted(change.images)
        ]
        return Outcome(replace(memory, updating=UpdateMemory(now_s + UPDATE_REST_S)), 0, events)

    async def _carry_out(self, pod: Json, action: UpdateContainers) -> MadeOf:
        """What the instance is made of once the cloud has taken the update."""
        if not isinstance(self._cloud, SupportsFileUpdate):
            raise CloudError("the cloud updates nothing")
        change, made_of = action.change, action.instance.made_of
        names = change.images | change.values
        as_created = await self._as_created(pod)
        objects = await self._references.read(as_created)
        wants = digest.made_of(pod, objects, self._context.capabilities.words)
        made_of = digest.updated(made_of, wants, pod, images=change.images, values=names, logins=change.logins)
        workload = replace(assemble(as_created, objects, self._context), made_of=made_of)
        files = digest.shows_files(pod, names)
        await self._cloud.update(action.instance.id, workload, Change(names, files=files, logins=change.logins))
        return made_of

    async def _as_created(self, pod: Json) -> Json:
        """The pod as an instance of it is made. Raises PodNotReady."""
        found = admitted(self._policies, pod)
        if found is None:
            await fetch(self._policies, pod)
            found = admitted(self._policies, pod)
        return found if isinstance(found, dict) else pod

    def _later(self, key: pods.PodKey, subject: str, error: PodNotReady | CloudError, memory: PodMemory) -> Outcome:
        updating = memory.updating
        delay_s = UPDATE_RETRY.delay(updating.failures, jitter=self._jitter())
        if isinstance(error, Throttled):
            delay_s = max(delay_s, error.retry_after_s or 0.0)
        failures = updating.failures + 1
        log.warning("not updated pod=%s retry_s=%.1f: %s", key, delay_s, describe_error(error))
        events = []
        if isinstance(error, PodNotReady) or failures == REPORTED_AT:
            message = f"{subject} changed, and the instance stays as it is for now: {error}"
            events.append(PodEvent("Warning", "InstanceUpdateFailed", message))
        not_before_s = asyncio.get_running_loop().time() + delay_s
        updating = replace(updating, failures=failures, not_before_s=not_before_s)
        return Outcome(replace(memory, updating=updating), 0, events)
