"""The seam for whoever may change how pods are carried: `PodPolicy`; and for what capacity the node offers besides.

The reconciler knows no implementation. A policy answers from what it knows: its methods neither await nor raise, and
where an answer changes later it says so by `on_change`. Several policies are asked in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vk_provider.control.memory import Problem
from vk_provider.control.stop_order import StopOrder
from vk_provider.errors import OutOfCapacity
from vk_provider.model.instance import CloudCondition, Instance
from vk_provider.model.pod import Json

HOLD_S = 60.0


@dataclass(frozen=True, slots=True)
class Hold:
    """The pod is not created for now and says why, in its status and by an event.

    reason: CamelCase, as `WaitingForReclaim`. retry_after_s: tried again then, or once the policy reports a change.
    """

    reason: str
    message: str
    retry_after_s: float = HOLD_S

    @property
    def problem(self) -> Problem:
        condition = CloudCondition("ContainerInstanceCreated", "False", self.reason, self.message)
        return Problem("ContainerCreating", self.message, condition=condition)


@dataclass(frozen=True, slots=True)
class Reject:
    """The pod is never created and becomes Failed, with this reason and message."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Size:
    """What a pod needs as a whole before any rounding: cpu in vCPU, memory in GiB; None = the pod does not say."""

    cpu: float | None
    memory_gib: float | None


class PodPolicy(Protocol):
    """May change how a pod is carried. `Permissive` has an answer to each question that changes nothing."""

    def admit(self, pod: Json) -> Json | Hold | Reject | None:
        """The pod as it is to be created. None: something has to be fetched first."""
        ...

    async def fetch(self, pod: Json) -> None:
        """What `admit` lacks. The only method that may await. Raises PodNotReady."""
        ...

    def on_out_of_capacity(self, pod: Json, need: Size, error: OutOfCapacity) -> Hold | None:
        """Asked when no candidate had capacity. Hold: wait for what the policy is about to free; None = as ever. Either
        way a change that the policy reports ends the wait."""
        ...

    def stop_order(self, uid: str) -> StopOrder | None:
        """Whether the pod's instance is to be stopped; asked at each reconcile, until the pod has ended or is gone.

        Its reason has to stand in the pod's status at the end, so `phase` should be given.
        """
        ...

    def released(self, instance: Instance) -> None:
        """The cloud has confirmed that this instance no longer exists."""
        ...

    def on_change(self, call: Callable[[str], None]) -> None:
        """Call this with a pod's uid when one of the answers about it has changed."""
        ...


class Permissive:
    """A PodPolicy that changes nothing, to derive from."""

    def admit(self, pod: Json) -> Json | Hold | Reject | None:
        return pod

    async def fetch(self, pod: Json) -> None:
        return

    def on_out_of_capacity(self, pod: Json, need: Size, error: OutOfCapacity) -> Hold | None:
        return None

    def stop_order(self, uid: str) -> StopOrder | None:
        return None

    def released(self, instance: Instance) -> None:
        return

    def on_change(self, call: Callable[[str], None]) -> None:
        return


class Admission(Protocol):
    """What is made of pods before they are created, such as annotations that an operator adds."""

    def view(self, pod: Json) -> Json | None:
        """The pod as it is to be created; None: something has to be fetched first."""
        ...

    async def fetch(self, pod: Json) -> None:
        """Fetch what `view` needs. Raises PodNotReady."""
        ...


class AdmissionPolicy(Permissive):
    """A policy that only admits: the profile of an operator."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def admit(self, pod: Json) -> Json | Hold | Reject | None:
        return self._admission.view(pod)

    async def fetch(self, pod: Json) -> None:
        await self._admission.fetch(pod)


def admitted(policies: Sequence[PodPolicy], pod: Json) -> Json | Hold | Reject | None:
    """The pod as all of them want it, or the first answer that is no pod."""
    found: Json | Hold | Reject | None = pod
    for policy in policies:
        if not isinstance(found, dict):
            break
        found = policy.admit(found)
    return found


async def fetch(policies: Sequence[PodPolicy], pod: Json) -> None:
    """What the first policy lacks that does not know yet; the others are asked after. Raises PodNotReady."""
    seen = pod
    for policy in policies:
        found = policy.admit(seen)
        if found is None:
            await policy.fetch(seen)
            return
        if not isinstance(found, dict):
            return
        seen = found
