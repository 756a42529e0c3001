"""The one way to say that an instance is to be stopped although its pod is neither deleted nor terminal. Pure data.

A deadline, a failed probe of a pod that restarts nothing, sidecars that outlive the work, and policies of the operator
(`control.policy`) each give one; they differ in nothing but what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

from vk_provider.control.pod_event import PodEvent


@dataclass(frozen=True, slots=True)
class StopOrder:
    """reason, message: why, for the pod's status and its user.

    phase: what the pod becomes, with that reason, once nothing of it runs, and its status is left as it is until then;
    empty: its status goes on following its containers, whose ends decide.
    disruption: the pod gets the condition DisruptionTarget before anything is stopped, so that a Job's failure policy
    may ignore its end. event: sent once the stop begins, besides those that each container is being stopped.
    grace_s: how long its containers have once the delete was accepted; None = what the instance was made with.
    due_s: loop time from which on it holds.
    """

    reason: str
    message: str = ""
    phase: str = ""
    disruption: bool = False
    event: PodEvent | None = None
    grace_s: float | None = None
    due_s: float = 0.0
