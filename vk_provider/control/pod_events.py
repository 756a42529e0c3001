"""Events on pods: our own, and those of the cloud, each mirrored once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from vk_provider.control.memory import PodMemory
from vk_provider.kube.recorder import Recorder
from vk_provider.model.instance import CloudEvent, Instance, InstanceStatus
from vk_provider.model.pod import Json
from vk_provider.translate import events

KILLING = "Killing"
STAMP = "%Y-%m-%dT%H:%M:%SZ"


class PodEvents:
    """node: our name, the source of our events. host: that of the cloud's."""

    def __init__(self, recorder: Recorder, *, node: str, host: str, clock: Callable[[], datetime]) -> None:
        self._recorder = recorder
        self._node = node
        self._host = host
        self._clock = clock

    def warn(self, pod: Json, reason: str, message: str, *, container: str = "") -> None:
        self.emit(pod, "Warning", reason, message, container=container)

    def emit(self, pod: Json, kind: str, reason: str, message: str, *, container: str = "") -> None:
        """kind: Normal or Warning. container: whom it concerns, empty = the pod."""
        self._recorder.put(
            events.own_event(
                events.involved(pod, container=container),
                type=kind,
                reason=reason,
                message=message,
                now=self._clock().strftime(STAMP),
                node=self._node,
            )
        )

    def mirror(self, pod: Json, own: Instance, memory: PodMemory) -> tuple[Sequence[CloudEvent], bool]:
        """Put the cloud's events on the pod. The first result are those that are on it now; the second is whether some
        found no room among those to be sent."""
        if own.events is memory.mirrored or own.status is InstanceStatus.SCHEDULE_FAILED:
            return memory.mirrored, False
        counts = {each.id: each.count for each in memory.mirrored}
        mirrored, left = [], False
        for event in own.events:
            if counts.get(event.id, 0) < event.count:
                if events.is_of_our_restart(pod, event, own.words.probes):
                    continue
                # A stop was reported when we asked for it; a process that does not remember gives the same name.
                if event.reason != KILLING or own.id not in memory.stopping.deletes:
                    if not self._recorder.has_room:
                        left = True
                        continue
                    passed_on = events.pod_event(pod, event, node=self._node, host=self._host)
                    self._recorder.put(passed_on, key=(own.id, event.id))
            mirrored.append(event)
        return own.events if len(mirrored) == len(own.events) else mirrored, left
