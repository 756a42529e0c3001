"""What a handler gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from vk_provider.control.actions import Done, RequeueAfter
from vk_provider.control.memory import PodMemory
from vk_provider.control.observation import Observation
from vk_provider.control.pod_event import PodEvent


@dataclass(frozen=True, slots=True)
class Outcome:
    """memory: of the pod from now on. requeue_after_s: until it is reconciled again; 0 = at once, None = by a change.

    first: before others in the queue. error: what went wrong, raised once memory and events are taken care of.
    crowded_s: in place of requeue_after_s while others wait for their creates.
    then: the pod is as it should be, and this is what there is to do.
    """

    memory: PodMemory
    requeue_after_s: float | None = None
    events: Sequence[PodEvent] = ()
    error: Exception | None = None
    first: bool = False
    crowded_s: float = 0.0
    then: Done | RequeueAfter | None = None


A = TypeVar("A", contravariant=True)


class Handler(Protocol[A]):
    async def __call__(self, seen: Observation, action: A, memory: PodMemory) -> Outcome:
        """Carry it out. Raises ProviderError where nothing came of it that has to be remembered."""
        ...
