"""VerifyInstance: ask the cloud about a pod by every name there is for its instance."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from vk_provider.cloud.base import Cloud
from vk_provider.control.actions import VerifyInstance
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation
from vk_provider.control.perform.outcome import Outcome
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.poller import InstancePoller
from vk_provider.model import pod as pods
from vk_provider.model.pod import Json

log = logging.getLogger(__name__)

VERIFY_AGAIN_S = 10.0
VERIFY_REST_S = 5.0


class Verifier:
    def __init__(self, *, cloud: Cloud, instances: InstanceCache, poller: InstancePoller) -> None:
        self._cloud = cloud
        self._instances = instances
        self._poller = poller

    async def verify(self, seen: Observation, action: VerifyInstance, memory: PodMemory) -> Outcome:
        key, instance_id, now_s = pods.key_of(seen.pod), action.instance_id, asyncio.get_running_loop().time()
        rest_s = memory.verifying.verified_s + VERIFY_REST_S - now_s
        if rest_s > 0:  # the id may be another one again and again
            return Outcome(memory, rest_s)
        before = memory
        verifying = replace(before.verifying, verified_s=now_s)
        memory = replace(memory, verifying=verifying)
        try:
            found = {each.id: each for each in await self._cloud.find(key.uid)}
            if instance_id:
                found.update(await self._cloud.describe([instance_id]))
            for instance in found.values():
                self._instances.put(instance)  # as whose its tags say that it is
            ours = [each for each in found.values() if each.owner.uid == key.uid]
            if verifying.ended_s is not None and any(each.id == instance_id and each.status.is_ended for each in ours):
                verifying = replace(verifying, ended_confirmed=True)
                memory = replace(memory, verifying=verifying)
            missing = instance_id if all(each.id != instance_id for each in ours) else ""
            if ours and not missing:
                # The answer may be older than what is known, and so bring nothing new.
                return Outcome(memory, 0 if verifying.ended_confirmed else VERIFY_AGAIN_S)
            if missing and instance_id not in found and not await self._is_not_found(seen.pod, instance_id):
                log.warning("pod=%s instance=%s is in no list, yet the cloud does not deny it", key, instance_id)
                return Outcome(memory, VERIFY_AGAIN_S)
        except Exception as error:  # when it was asked stays known, whatever came of it
            return Outcome(memory, error=error)
        if missing in self._instances.unproven:
            self._poller.confirm_deleted(missing)
        verifying = replace(verifying, missing_id=instance_id, absent=not ours, ended_confirmed=True)
        return Outcome(replace(memory, verifying=verifying), 0)

    async def _is_not_found(self, pod: Json, instance_id: str) -> bool:
        """Whether the cloud says that there is no such instance of ours. The id may be anybody's word, and is asked
        about by name only where the cloud shows no one else's instance under it."""
        if foreign := await self._cloud.foreign([instance_id]):
            self._poller.disown(foreign)
            return True
        return await self._cloud.is_gone(instance_id, pods.containers_of(pod)[0]["name"])
