"""Puts observations together from what other rooms know, without awaiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vk_provider.control import drift as drifts
from vk_provider.control.actions import FailedRun
from vk_provider.control.collaborators import Collaborators
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import (
    Facts,
    Observation,
    PodState,
    may_create,
    observe,
    state_of,
)
from vk_provider.control.ownership import NEVER_PLACED, Ownership, own_and_spare
from vk_provider.control.pod_events import PodEvents
from vk_provider.control.policy import Hold, Reject, admitted
from vk_provider.control.sighting import noticed
from vk_provider.control.stop_order import StopOrder
from vk_provider.control.termination_message import with_fallback_messages
from vk_provider.files.object_watcher import ObjectWatcher
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.model.workload import Intent
from vk_provider.pacing.clock import Now
from vk_provider.probes.prober import Prober

EVENT_RETRY_S = 20.0  # what of the cloud's events finds no room to be sent


class Observer:
    """Informs the rooms that follow a pod (probes, files, watches of what it waits for) and asks what they know."""

    def __init__(self, made: Collaborators, *, prober: Prober, events: PodEvents, awaited: ObjectWatcher) -> None:
        self._node = made.node
        self._live = made.live
        self._costs = made.costs
        self._policies = made.policies
        self._intent_of = made.intent_of
        self._queue = made.queue
        self._prober = prober
        self._events = events
        self._awaited = awaited

    def observe(
        self,
        uid: str,
        pod: Json | None,
        instances: Sequence[Instance],
        last: Instance | None,
        memory: PodMemory,
        now: Now,
    ) -> tuple[Observation, PodMemory]:
        """What is to be known of the pod, and its memory after this sight of it."""
        state = state_of(pod)
        if pod is None:
            self.end(uid)
            memory = noticed(memory, None, state, None, instances, now)
            owned = Ownership(None, None, instances)
            return observe(None, state, owned, memory, Facts(last=last), node=self._node, now=now), memory
        own, spare = own_and_spare(pod, instances, memory.created)
        unread: Sequence[FailedRun] = ()
        if own is None:
            self._prober.remove(uid)
        else:
            mirrored, left = self._events.mirror(pod, own, memory)
            if left:
                self._queue.add_after(uid, EVENT_RETRY_S)
            if mirrored is not memory.mirrored:
                memory = replace(memory, mirrored=mirrored)
            own = self._prober.observe(pod, own)
            if state in (PodState.LIVE, PodState.DELETING):
                own, unread = with_fallback_messages(pod, own, memory.messages)
        memory = noticed(memory, pod, state, own, instances, now)
        memory = self._with_drift(uid, pod, state, own, memory, now)
        found, intent = self._admitted(pod) if may_create(state, own) else (None, None)
        facts = Facts(
            last=last,
            admitted=found if isinstance(found, dict) else None,
            intent=intent,
            not_admitted=None if isinstance(found, dict) else found,
            ordered=self._ordered(uid) if state is PodState.LIVE and self._policies else None,
            failing=self._prober.failing(uid) if own is not None else None,
            files=self._live.observe(pod, own) if self._live is not None else None,
            price=self._costs.price_text(own) if self._costs is not None and own is not None else "",
            unread=unread,
        )
        return observe(pod, state, Ownership(own, spare, instances), memory, facts, node=self._node, now=now), memory

    def end(self, uid: str) -> None:
        """There is no such pod (any more)."""
        self._awaited.release(uid)
        self._prober.remove(uid)
        if self._live is not None:
            self._live.remove(uid)

    def _admitted(self, pod: Json) -> tuple[Json | Hold | Reject | None, Intent | None]:
        """The one view of the pod by which this round decides and creates."""
        found = admitted(self._policies, pod)
        return found, self._intent_of(found) if isinstance(found, dict) else None

    def _ordered(self, uid: str) -> StopOrder | None:
        orders = (policy.stop_order(uid) for policy in self._policies)
        return next((order for order in orders if order is not None), None)

    def _with_drift(
        self, uid: str, pod: Json, state: PodState, own: Instance | None, memory: PodMemory, now: Now
    ) -> PodMemory:
        """In what the pod is not what its instance was made of. What that is about is watched only while it matters."""
        drift = memory.drift
        if state is not PodState.LIVE:
            self._awaited.release(uid)
        elif own is None or own.status is NEVER_PLACED:
            drift = None
        else:
            sources = drifts.wanted(pod, own, drift)
            contents = None
            if sources is not None:
                self._awaited.acquire(uid, sources)
                contents = self._awaited.contents(sources)
            else:
                self._awaited.release(uid)
            drift = drifts.see(pod, own, drift, contents, now.loop_s)
        return memory if drift is memory.drift else replace(memory, drift=drift)
