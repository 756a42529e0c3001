"""All that one decision may know, worked out once. Pure.

`observe` puts it together without awaiting, so that everything in it is of one moment; ownership, the deadline, the
stop order and the drift are computed for it and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from vk_provider.control import drift as drifts
from vk_provider.control import pod_annotations
from vk_provider.control.actions import FailedRun
from vk_provider.control.attempts import Previous, previous
from vk_provider.control.memory import PodMemory
from vk_provider.control.ownership import NEVER_PLACED, Ownership
from vk_provider.control.pod_event import PodEvent
from vk_provider.control.policy import Hold, Reject
from vk_provider.control.stop_order import StopOrder
from vk_provider.files.staleness import FileState
from vk_provider.model.instance import Instance
from vk_provider.model.pod import MIRROR_ANNOTATION, TERMINAL_PHASES, Json, restart_policy
from vk_provider.model.probe import Failure
from vk_provider.model.vocabulary import NEUTRAL, Vocabulary
from vk_provider.model.workload import Intent
from vk_provider.pacing.clock import Now
from vk_provider.translate import status

SIDECARS_S = 10.0  # beyond the grace: how long the cloud has to end sidecars once the others are done
DEADLINE = StopOrder(
    status.DEADLINE_EXCEEDED,
    status.DEADLINE_MESSAGE,
    phase="Failed",
    event=PodEvent("Normal", status.DEADLINE_EXCEEDED, status.DEADLINE_MESSAGE),
)
_SAME = drifts.Same()


class PodState(StrEnum):
    """What the API server has of a pod; LEAVING: terminal and being deleted."""

    NONE = "none"
    MIRROR = "mirror"
    LIVE = "live"
    DELETING = "deleting"
    TERMINAL = "terminal"
    LEAVING = "leaving"


class OwnState(StrEnum):
    """What the cloud has of a pod's own instance. For pods that are NONE or MIRROR: of any of that uid."""

    NONE = "none"
    UNPLACED = "unplaced"
    PRESENT = "present"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """What of our own node a pod's status shows, and how we treat what lands here."""

    name: str
    host_ip: str
    fail_daemon_pods: bool = False
    orphan_age_s: float = 60.0
    updates: bool = True  # the cloud can change an instance that runs
    words: Vocabulary = NEUTRAL  # the cloud's


@dataclass(frozen=True, slots=True)
class Observation:
    """pod: empty where there is none. own: its instance, with the results of our probes and the messages that were read
    from its log. spare: another one. instances: all of its uid, as the cloud shows them. last: the own one as it was
    seen before it went. previous: what a pod without an instance had before.

    admitted, intent: the pod as it is to be created, and what it then wants; None as long as that is not known, or
    where nothing would be created. not_admitted: a policy's word against it. stop: whether the own one is to be
    stopped. failing: a container that one of our probes has condemned. change: what the drift from what the instance
    was made of asks for. unread: failed runs whose logs are to be read. left_s: until the pod's deadline, None = it has
    none, or has not started.
    """

    pod: Json
    state: PodState
    own: Instance | None
    own_state: OwnState
    spare: Instance | None
    instances: Sequence[Instance]
    last: Instance | None
    previous: Previous | None
    admitted: Json | None
    intent: Intent | None
    not_admitted: Hold | Reject | None
    stop: StopOrder | None
    failing: Failure | None
    files: FileState | None
    price: str
    change: drifts.Step
    unread: Sequence[FailedRun]
    left_s: float | None
    node: NodePolicy
    now: Now

    def state_annotations(self, instance: Instance, memory: PodMemory) -> dict[str, str]:
        """What of the instance has to be on the pod."""
        return pod_annotations.state_annotations(self.pod, instance, self.files, memory.creating.next_candidate)

    def info_annotations(self, instance: Instance) -> Mapping[str, str]:
        """What of the instance its owner may like to know."""
        return pod_annotations.info_annotations(self.pod, instance, self.price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an observation takes from other rooms; see `Observation`. ordered: a policy's stop order."""

    last: Instance | None = None
    admitted: Json | None = None
    intent: Intent | None = None
    not_admitted: Hold | Reject | None = None
    ordered: StopOrder | None = None
    failing: Failure | None = None
    files: FileState | None = None
    price: str = ""
    unread: Sequence[FailedRun] = ()


def observe(
    pod: Json | None, state: PodState, owned: Ownership, memory: PodMemory, facts: Facts, *, node: NodePolicy, now: Now
) -> Observation:
    """state: `state_of` the pod. owned: with probe results and messages in its own instance."""
    own, seen, failing = owned.own, pod or {}, facts.failing
    if failing is not None and (own is None or failing.instance_id != own.id):
        failing = None
    left_s = _left_s(seen, now) if state is PodState.LIVE else None
    change: drifts.Step = _SAME
    if state is PodState.LIVE and own is not None and own.status is not NEVER_PLACED and memory.drift:
        change = _change(seen, own, memory, node, now)
    return Observation(
        pod=seen,
        state=state,
        own=own,
        own_state=_own_state(own if pod is not None else next(iter(owned.instances), None)),
        spare=owned.spare,
        instances=owned.instances,
        last=facts.last,
        previous=previous(seen, facts.last) if state is PodState.LIVE and own is None else None,
        admitted=facts.admitted,
        intent=facts.intent,
        not_admitted=facts.not_admitted,
        stop=_stop_order(seen, own, memory, facts.ordered, failing, left_s) if state is PodState.LIVE else None,
        failing=failing,
        files=facts.files,
        price=facts.price,
        change=change,
        unread=facts.unread,
        left_s=left_s,
        node=node,
        now=now,
    )


def state_of(pod: Json | None) -> PodState:
    if pod is None:
        return PodState.NONE
    meta = pod["metadata"]
    if MIRROR_ANNOTATION in (meta.get("annotations") or ()):
        return PodState.MIRROR
    deleting = bool(meta.get("deletionTimestamp"))
    if (pod.get("status") or {}).get("phase") in TERMINAL_PHASES:
        return PodState.LEAVING if deleting else PodState.TERMINAL
    return PodState.DELETING if deleting else PodState.LIVE


def may_create(state: PodState, own: Instance | None) -> bool:
    """Whether an instance may have to be created, so that what the pod wants has to be known."""
    return state is PodState.LIVE and (own is None or own.status is NEVER_PLACED)


def _own_state(own: Instance | None) -> OwnState:
    if own is None:
        return OwnState.NONE
    if own.status is NEVER_PLACED:
        return OwnState.UNPLACED
    return OwnState.ENDED if own.status.is_ended else OwnState.PRESENT


def _stop_order(
    pod: Json,
    own: Instance | None,
    memory: PodMemory,
    ordered: StopOrder | None,
    failing: Failure | None,
    left_s: float | None,
) -> StopOrder | None:
    """P41, P45, S36, and a policy's. What ended by itself needs none, unless its end was asked for or nothing ran."""
    ended = own is not None and own.status.is_ended
    if left_s is not None and left_s <= 0 and not ended:
        return DEADLINE
    if ordered is not None and (
        own is None or not ended or own.status is NEVER_PLACED or own.id in memory.stopping.deletes
    ):
        return ordered
    if failing is not None and restart_policy(pod) == "Never":
        return StopOrder(f"container {failing.container} failed {failing.kind} probe")
    if own is not None and (since_s := memory.stopping.only_sidecars_since_s) is not None:
        stated = pod["spec"].get("terminationGracePeriodSeconds")
        grace_s = 30.0 if stated is None else float(stated)
        return StopOrder("only sidecars are left", due_s=since_s + SIDECARS_S + grace_s)
    return None


def _change(pod: Json, own: Instance, memory: PodMemory, node: NodePolicy, now: Now) -> drifts.Step:
    made_s = memory.created.made_s
    tried = drifts.Attempts(
        updates=node.updates,
        replaced=pod_annotations.made_way(pod)[1],
        age_s=now.loop_s - made_s if made_s is not None else max(0.0, age_s(own, now)),
        retry_at_s=memory.updating.not_before_s,
        refused=memory.updating.refused,
    )
    return drifts.decide(pod, own, memory.drift, tried, now)


def age_s(instance: Instance, now: Now) -> float:
    """By the cloud's clock; 0 where it does not say."""
    created = _instant(instance.created_at)
    return (now.wall - created).total_seconds() if created else 0.0


def _left_s(pod: Json, now: Now) -> float | None:
    """Seconds until activeDeadlineSeconds have passed; None without a deadline or before the start."""
    limit = pod["spec"].get("activeDeadlineSeconds")
    if limit is None:
        return None
    started = _instant((pod.get("status") or {}).get("startTime") or "")
    return None if started is None else limit - (now.wall - started).total_seconds()


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
