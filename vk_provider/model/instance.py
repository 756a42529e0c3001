"""What a cloud reports of one pod, in words no single cloud owns.

Plain immutable data. A driver makes these from its cloud's answers; `translate.status` turns them into a pod's status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from vk_provider.model.notice import Notice
from vk_provider.model.vocabulary import NEUTRAL, Vocabulary


class InstanceStatus(StrEnum):
    """Where an instance is in its life. UNKNOWN stands for any word a cloud adds later: keep what was known before."""

    SCHEDULING = "Scheduling"
    SCHEDULE_FAILED = "ScheduleFailed"
    PENDING = "Pending"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    UPDATING = "Updating"
    TERMINATING = "Terminating"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    EXPIRED = "Expired"
    UNKNOWN = "Unknown"

    def __init__(self, value: str) -> None:
        self.is_ended = value in ("ScheduleFailed", "Succeeded", "Failed", "Expired")
        """Nothing of it runs, nothing is billed, and it never runs again."""


class StateKind(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One of a container's states. Times are RFC 3339 UTC with seconds, or empty when the cloud gave none."""

    kind: StateKind
    reason: str = ""
    message: str = ""
    exit_code: int | None = None  # terminated only; None = the cloud did not say
    signal: int = 0
    started_at: str = ""
    finished_at: str = ""


@dataclass(frozen=True, slots=True)
class ContainerReport:
    """What the cloud says of one container. last_state: the previous run, if there was one.

    started, answers: what the provider's own startup and readiness probes say; None = not asked (yet).
    """

    name: str
    state: ContainerState
    last_state: ContainerState | None = None
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    image_id: str = ""
    container_id: str = ""
    started: bool | None = None
    answers: bool | None = None


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event of an instance. `id` is unique and stable within the instance: the key to mirroring it once.

    first_at, last_at: RFC 3339 UTC. type: Normal or Warning.
    """

    id: str
    type: str
    reason: str
    message: str
    count: int = 1
    first_at: str = ""
    last_at: str = ""


@dataclass(frozen=True, slots=True)
class CloudCondition:
    """A condition that the cloud itself puts on an instance, as ContainerInstanceCreated=False/NoStock."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose instance it is, read from the tags that we put on it. Empty fields: the tag is missing.

    cluster: the uid of its namespace kube-system; a name may be that of another cluster too.
    """

    cluster: str = ""
    node: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What an instance was made of, in digests: see `translate.digest`. Empty: not known."""

    images: str = ""
    values: str = ""


UNKNOWN_MAKE = MadeOf()


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as last seen. cpu in vCPU, memory_gib in GiB: the billed size.

    proven: whether the cloud has shown it with its owner's tags. Until then only the answer of a create speaks for it,
    and nothing of it is shown, noted on its pod, changed or deleted.
    """

    id: str
    owner: Owner
    status: InstanceStatus
    ip: str = ""
    zone: str = ""
    cpu: float = 0.0
    memory_gib: float = 0.0
    created_at: str = ""
    ended_at: str = ""  # when it succeeded, failed or expired
    containers: Sequence[ContainerReport] = ()
    init_containers: Sequence[ContainerReport] = ()
    conditions: Sequence[CloudCondition] = ()
    events: Sequence[CloudEvent] = ()
    sku: str = ""  # what is billed, in the driver's own words
    attempt: int = 0  # which of the ways to carry its pod it is; see `Workload.attempt`
    placed_at: str = ""  # since when it is billed; empty = not yet, or not known
    owner_annotations: Mapping[str, str] = field(default_factory=dict)  # annotations that tell the pod's owner about it
    proven: bool = True
    made_of: MadeOf = UNKNOWN_MAKE
    notices: Sequence[Notice] = ()  # of the answer to a create only: what of the workload was left out
    words: Vocabulary = field(default=NEUTRAL, repr=False)  # its cloud's


@dataclass(frozen=True, slots=True)
class InstanceReport:
    """A partial, newer report of one instance, as an incremental poll gives it. None: this answer does not say.

    owner: by the tags in this very answer.
    """

    id: str
    status: InstanceStatus | None = None
    ip: str | None = None
    containers: Sequence[ContainerReport] | None = None
    init_containers: Sequence[ContainerReport] | None = None
    conditions: Sequence[CloudCondition] | None = None
    events: Sequence[CloudEvent] | None = None  # new ones; those already known may be among them
    sku: str | None = None
    placed_at: str | None = None
    ended_at: str | None = None
    owner_annotations: Mapping[str, str] | None = None
    owner: Owner | None = None


MAX_EVENTS = 50  # what a cloud keeps of an instance, so no more is worth holding


def merge(instance: Instance, report: InstanceReport) -> Instance:
    """The instance as it looks after a newer report.

    An ended instance never becomes live again, so that a stale answer cannot raise the dead; UNKNOWN changes nothing.
    """
    status = instance.status
    if report.status not in (None, InstanceStatus.UNKNOWN) and not (status.is_ended and not report.status.is_ended):
        status = report.status
    stale = instance.status.is_ended and report.status is not None and not report.status.is_ended
    return replace(
        instance,
        status=status,
        ip=report.ip or instance.ip,
        containers=instance.containers if stale or report.containers is None else report.containers,
        init_containers=instance.init_containers if stale or report.init_containers is None else report.init_containers,
        conditions=instance.conditions if report.conditions is None else report.conditions,
        events=instance.events if report.events is None else merge_events(instance.events, report.events),
        sku=report.sku or instance.sku,
        placed_at=instance.placed_at or report.placed_at or "",
        ended_at=instance.ended_at or report.ended_at or "",
        owner_annotations=instance.owner_annotations
        if report.owner_annotations is None
        else {**instance.owner_annotations, **report.owner_annotations},
    )


def without_older(known: Instance, told: Instance) -> Instance:
    """What is told of an instance, but for what is certainly older than what is known, as out of an answer that lags.

    Told by the cloud's own times alone: of two runs of a container the one that began later is the newer, and an end is
    newer than the run that it ended. An ended instance stays ended.
    """
    if known.status.is_ended and not told.status.is_ended:
        return known
    containers = _newer(known.containers, told.containers)
    init_containers = _newer(known.init_containers, told.init_containers)
    if containers == told.containers and init_containers == told.init_containers:
        return told
    return replace(told, containers=containers, init_containers=init_containers)


def _newer(known: Sequence[ContainerReport], told: Sequence[ContainerReport]) -> Sequence[ContainerReport]:
    if known is told:
        return told
    before = {each.name: each for each in known}
    return tuple(
        before[each.name] if each.name in before and _is_older(each, before[each.name]) else each for each in told
    )


_COURSE = (StateKind.RUNNING, StateKind.TERMINATED, StateKind.WAITING)  # of one run; the wait is for the next


def _is_older(told: ContainerReport, known: ContainerReport) -> bool:
    began, before = began_at(told), began_at(known)
    if not began or not before or told.restart_count > known.restart_count:
        return False
    if began != before or told.restart_count != known.restart_count:
        return began <= before
    return _COURSE.index(told.state.kind) < _COURSE.index(known.state.kind)


def began_at(report: ContainerReport) -> str:
    """Of its newest run."""
    last = report.last_state.started_at if report.last_state is not None else ""
    return report.state.started_at or last


def merge_events(known: Sequence[CloudEvent], newer: Sequence[CloudEvent]) -> Sequence[CloudEvent]:
    """Both, each id once in its newest form, in order of first appearance, the newest MAX_EVENTS."""
    by_id = {event.id: event for event in known}
    for event in newer:
        previous = by_id.get(event.id)
        if previous is None or event.count >= previous.count:
            by_id[event.id] = event
    ordered = sorted(by_id.values(), key=lambda event: (event.first_at, event.id))
    return tuple(ordered[-MAX_EVENTS:])
