"""DeleteInstance, MakeWay, DeleteOrphan, Restart: ending what runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from vk_provider.cloud.base import SupportsRestart
from vk_provider.control import drift as drifts
from vk_provider.control.actions import DeleteInstance, DeleteOrphan, MakeWay, Restart
from vk_provider.control.collaborators import Collaborators
from vk_provider.control.memory import PodMemory, RestartMemory
from vk_provider.control.observation import Observation
from vk_provider.control.perform.log_ends import LogEndKeeper
from vk_provider.control.perform.outcome import Outcome
from vk_provider.control.pod_event import PodEvent
from vk_provider.control.pod_events import KILLING
from vk_provider.errors import CloudError, InstanceGone, NotFound
from vk_provider.kube import objects, paths
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, InstanceStatus, Owner, StateKind
from vk_provider.model.pod import Json
from vk_provider.pacing.backoff import Backoff
from vk_provider.translate import events

log = logging.getLogger(__name__)

RESTART_AGAIN = Backoff(first_s=10.0, most_s=300.0, spread=0.0)
RESTART_BACKOFF_RESET_S = 600.0  # so long without a restart, and the next one comes at once again
TRUNCATED_NAME_LEN = 100  # a name this long may be one that the cloud cut short, and then no pod answers to it


class Stopper:
    def __init__(self, made: Collaborators) -> None:
        self._client = made.client
        self._cloud = made.cloud
        self._reflector = made.pods_seen
        self._instances = made.instances
        self._poller = made.poller
        self._node = made.node.name
        self._view = made.view
        self._log_ends = LogEndKeeper(made.cloud, made.ended_logs)

    async def delete(self, seen: Observation, action: DeleteInstance, memory: PodMemory) -> Outcome:
        instance = action.instance
        if action.order is not None and instance.id not in memory.stopping.deletes:
            await self._log_ends.keep(pods.uid_of(seen.pod), instance)
        try:
            existed = await self._cloud.delete(instance.id, force=action.force)
        except CloudError as error:
            event = PodEvent("Warning", "FailedKillPod", f"error stopping instance {instance.id}: {error}")
            return Outcome(memory, events=[event], error=error)
        if action.force:
            memory = replace(memory, stopping=replace(memory.stopping, forced_id=instance.id))
        if not existed and instance.id in memory.stopping.deletes:
            self._poller.confirm_deleted(
                instance.id
            )  # a first delete may come before all of the cloud knows of what was made
            return Outcome(memory)
        key = pods.key_of(seen.pod)
        log.info("deleting pod=%s instance=%s existed=%s: %s", key, instance.id, existed, action.why)
        return Outcome(self._accepted(instance, memory), 0, _events(action) if action.killing else ())

    async def make_way(self, seen: Observation, action: MakeWay, memory: PodMemory) -> Outcome:
        """Asks the cloud by id first: what is known of it may be some seconds old, and what ran is not thrown away."""
        instance = action.instance
        found = (await self._cloud.describe([instance.id])).get(instance.id)
        if found is not None and found.status is not InstanceStatus.TERMINATING and drifts.has_run(found):
            self._instances.put(found)
            return Outcome(memory, 0)
        subject = drifts.describe_drift(memory.drift) if memory.drift else "what it was made of"
        outcome = await self.delete(seen, DeleteInstance(instance, f"{subject} changed"), memory)
        if outcome.error is not None:
            return outcome
        message = f"{subject} changed before anything of instance {instance.id} ran: another takes its place"
        return replace(outcome, events=[*outcome.events, PodEvent("Normal", "InstanceReplaced", message)])

    async def delete_orphan(self, seen: Observation, action: DeleteOrphan, memory: PodMemory) -> Outcome:
        """W7: only after a live read, never on the word of a cache."""
        owner, instance = action.instance.owner, action.instance
        pod = await self._live_pod(owner)
        if pod is not None and pods.uid_of(pod) == owner.uid:
            if pod["spec"].get("nodeName") == self._node:
                self._reflector.apply_response(pod)  # the watch is behind
            else:
                log.error(
                    "instance=%s is of pod=%s/%s, which is bound elsewhere", instance.id, owner.namespace, owner.name
                )
            return Outcome(memory)
        await self._cloud.delete(instance.id, force=True)  # P35: nobody waits for its end any more
        if memory.seen:
            log.info("deleting instance=%s pod=%s/%s: the pod was removed", instance.id, owner.namespace, owner.name)
        else:
            log.warning("deleted orphan instance=%s pod=%s/%s: no such pod", instance.id, owner.namespace, owner.name)
        if self._view is not None:
            self._view.orphan_deleted()
        return Outcome(self._accepted(instance, memory), 0)

    async def restart(self, seen: Observation, action: Restart, memory: PodMemory) -> Outcome:
        """The first one at once, further ones slower and slower, as a kubelet restarts a container."""
        now_s, instance, failure = asyncio.get_running_loop().time(), action.instance, action.failure
        before = memory.restarting
        count = 1 if now_s - before.last_s > RESTART_BACKOFF_RESET_S else before.count + 1
        not_before_s = now_s + RESTART_AGAIN.delay(count - 1, jitter=0.0)
        memory = replace(memory, restarting=RestartMemory(count, now_s, not_before_s))
        if not isinstance(self._cloud, SupportsRestart):
            message = f"the cloud restarts nothing, and container {failure.container} should be"
            return Outcome(memory, error=CloudError(message))
        try:
            await self._cloud.restart(instance.id)
        except InstanceGone:
            self._poller.confirm_deleted(instance.id)
            return Outcome(memory)
        except CloudError as error:
            event = PodEvent("Warning", "FailedSync", f"error restarting instance {instance.id}: {error}")
            return Outcome(memory, events=() if error.retryable else [event], error=error)
        log.info("restarting pod=%s instance=%s: %s probe failed", pods.key_of(seen.pod), instance.id, failure.kind)
        message = f"Container {failure.container} failed {failure.kind} probe, will be restarted"
        others = len(instance.containers) - 1
        if others:
            message += f" together with the {others} other{'s' if others > 1 else ''}: the cloud restarts all or none"
        return Outcome(memory, events=[PodEvent("Normal", KILLING, message, failure.container)])

    def _accepted(self, instance: Instance, memory: PodMemory) -> PodMemory:
        """The cloud took the delete. The pod is reconciled again for what else there is to do."""
        deletes = {**memory.stopping.deletes, instance.id: asyncio.get_running_loop().time()}
        self._poller.track_deletion(instance.id)
        return replace(memory, stopping=replace(memory.stopping, deletes=deletes))

    async def _live_pod(self, owner: Owner) -> Json | None:
        """The pod as the API server has it this moment, or a namesake, or None."""
        if len(owner.name) >= TRUNCATED_NAME_LEN:
            params = {"fieldSelector": f"spec.nodeName={self._node}"}
            answer = await self._client.get(paths.pods(owner.namespace), params=params)
            listed = [objects.checked_object(each, "pod") for each in objects.checked_items(answer, "pods")]
            return next((each for each in listed if pods.uid_of(each) == owner.uid), None)
        try:
            found = await self._client.get(paths.pod(owner.namespace, owner.name))
            return objects.checked_object(found, f"pod {owner.namespace}/{owner.name}")
        except NotFound:
            return None


def _events(action: DeleteInstance) -> Sequence[PodEvent]:
    order, instance = action.order, action.instance
    reports = (*instance.init_containers, *instance.containers)
    running = [each.name for each in reports if each.state.kind is StateKind.RUNNING]
    stopped = [PodEvent(*events.stopping(name), name) for name in running]
    if order is None or order.event is None or order.disruption:
        return stopped  # with a disruption it was sent together with that condition
    return [order.event, *stopped]
