"""Whether a pod still is what its instance was made of, and what to do where it is not. Pure.

| what differs                          | where                                   | decision                         |
|---------------------------------------|-----------------------------------------|----------------------------------|
| anything                              | nothing of the instance has ever run    | another in its place             |
| the image of a container              | it runs, or will run (again)            | update the instance: begins anew |
| environment or `subPath` files        | it waits for its next start, or had one | update the instance              |
|                                       | it runs since before the change         | nothing, as on a kubelet         |
| image pull secrets                    | a container still waits for its image   | update the instance              |
| any of these three                    | restartPolicy Never, or no update works | say no, once, on the pod         |
| anything, of a container that is over |                                         | nothing, as on a kubelet         |

What an instance was made of is known by its tags (`translate.digest`). Images are compared at each reconcile; the
objects behind the rest are watched only while a container waits or has been restarted, since only then they matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vk_provider.model.instance import UNKNOWN_MAKE, ContainerReport, Instance, InstanceStatus, MadeOf, StateKind
from vk_provider.model.pod import Json, init_containers_of, is_sidecar, restart_policy
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.clock import Now
from vk_provider.translate import digest, status
from vk_provider.translate.container_status import ON_THE_WAY
from vk_provider.translate.file_sources import Source

SETTLE_S = 2.0  # a burst of edits becomes one change
MOST_REPLACED = 20  # instances of one pod that made way before anything ran
REPLACE_AGAIN = Backoff(first_s=10.0, most_s=600.0)  # counted from the last one's creation
_LIVE = frozenset({InstanceStatus.SCHEDULING, InstanceStatus.PENDING, InstanceStatus.RUNNING, InstanceStatus.UPDATING})
_UPDATABLE = frozenset({InstanceStatus.PENDING, InstanceStatus.RUNNING})
_REMEDY = "make the pod anew"


@dataclass(frozen=True, slots=True)
class SpecDrift:
    """In what a pod differs from what its instance was made of, as far as known.

    wants: digests of what it would be made of now; `values` empty = the objects are not known. images, values: names of
    containers; logins: of the image pull secrets. since_s: loop time at which `wants` was first seen. counts: restarts
    of each container up to which its values are known to have been right, 0 where it is not named.
    """

    wants: MadeOf = UNKNOWN_MAKE
    images: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    logins: bool = False
    since_s: float = 0.0
    counts: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.images or self.values or self.logins)


NO_DRIFT = SpecDrift()


@dataclass(frozen=True, slots=True)
class Attempts:
    """What was tried already. updates: whether the cloud can update an instance. replaced: instances of this pod that
    made way so far; age_s: of the present one. retry_at_s: loop time before which no update is tried. refused: what the
    cloud would not take, and why."""

    updates: bool = True
    replaced: int = 0
    age_s: float = 0.0
    retry_at_s: float = 0.0
    refused: tuple[MadeOf, str] | None = None


@dataclass(frozen=True, slots=True)
class MakeWay:
    """Another instance is to take its place."""


@dataclass(frozen=True, slots=True)
class Change:
    """Update it: these containers are to have what their pod says now. images: those of them that begin anew for it."""

    images: frozenset[str]
    values: frozenset[str]
    logins: bool


@dataclass(frozen=True, slots=True)
class Cannot:
    """It stays as it is, for this reason."""

    message: str


@dataclass(frozen=True, slots=True)
class Later:
    """Decide again in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Same:
    """There is nothing to do until something changes."""


Step = MakeWay | Change | Cannot | Later | Same


# --- what is known ---


def has_run(instance: Instance) -> bool:
    """A container of it, init or app, has begun once."""
    return any(
        each.state.kind is not StateKind.WAITING or each.last_state is not None or each.restart_count
        for each in _reports(instance)
    )


def wanted(pod: Json, instance: Instance, known: SpecDrift | None) -> Sequence[Source] | None:
    """The objects whose contents matter now; None while none does."""
    if instance.status not in _LIVE or not digest.is_known(instance.made_of):
        return None
    counts = dict(known.counts) if known is not None else None
    if not _is_troubled(pod) and not any(_may_start_anew(pod, each, counts) for each in _reports(instance)):
        return None
    return digest.sources(pod)


def is_uneventful(pod: Json, body: Json, instance: Instance) -> bool:
    """Whether no object's contents matter, neither now nor once the pod's status is as in this patch: nothing has begun
    anew, and nothing waits for more than its turn."""
    if _is_troubled(pod) or _is_troubled(body):
        return False
    return not any(_may_start_anew(pod, each, {}) for each in _reports(instance))


def see(
    pod: Json, instance: Instance, known: SpecDrift | None, contents: Mapping[Source, str] | None, now_s: float
) -> SpecDrift | None:
    """What differs now. contents: of each of the sources, None = not known. None: of this instance nothing is known."""
    made = instance.made_of
    if not made.images:
        return None
    images = digest.other_images(pod, made)
    if contents is None and not images and not digest.is_known(made):
        return NO_DRIFT
    wants = MadeOf(digest.images(pod), digest.values(pod, contents, instance.words) if contents is not None else "")
    values = digest.other_values(pod, made, wants.values) if wants.values else frozenset()
    logins = bool(wants.values) and digest.other_logins(made, wants.values)
    counts = dict(known.counts) if known is not None else {each.name: each.restart_count for each in _reports(instance)}
    if contents is not None:
        counts |= {each.name: each.restart_count for each in _reports(instance) if each.name not in values}
    since_s = known.since_s if known is not None and known and _is_as_before(known.wants, wants) else now_s
    restarted = tuple(sorted((name, count) for name, count in counts.items() if count))
    found = SpecDrift(wants, images, values, logins, since_s, restarted)
    if not found:
        return NO_DRIFT if not restarted else SpecDrift(counts=restarted)
    return found


def _is_as_before(one: MadeOf, other: MadeOf) -> bool:
    """As far as both are known."""
    return one.images == other.images and (one.values == other.values or not (one.values and other.values))


# --- the decision ---


def decide(pod: Json, instance: Instance, drift: SpecDrift | None, tried: Attempts, now: Now) -> Step:
    if not drift or instance.status not in _LIVE:
        return Same()
    if _never_ran(pod, instance):
        return _in_its_place(drift, tried, now)
    change = _needed(pod, instance, drift)
    if change is None or instance.status not in _UPDATABLE:
        return Same()
    what = describe(change)
    if not tried.updates:
        return Cannot(f"{what} changed, and this cloud changes nothing in an instance that runs; {_REMEDY}")
    if restart_policy(pod) == "Never":
        return Cannot(
            f"{what} changed, and the instance runs on as it was made: the cloud changes it by beginning containers"
            f" anew, which with restartPolicy Never may end the pod; {_REMEDY}"
        )
    if tried.refused is not None and tried.refused[0] == subject(change, drift.wants):
        return Cannot(f"{what} changed, and the instance stays as it was made: {tried.refused[1]}")
    wait_s = max(drift.since_s + SETTLE_S, tried.retry_at_s) - now.loop_s
    return Later(wait_s) if wait_s > 0 else change


def subject(change: Change, wants: MadeOf) -> MadeOf:
    """What the change is to make of the instance, and nothing else of what is known."""
    return MadeOf(wants.images if change.images else "", wants.values if change.values or change.logins else "")


def describe(change: Change) -> str:
    """For people: what of the pod it is about."""
    parts = [f"the image of {_listed(change.images)}"] if change.images else []
    if others := change.values - change.images:
        parts.append(f"environment or files of {_listed(others)}")
    if change.logins:
        parts.append("image pull secrets")
    return ", ".join(parts)


def describe_drift(drift: SpecDrift) -> str:
    return describe(Change(drift.images, drift.values, drift.logins))


def _in_its_place(drift: SpecDrift, tried: Attempts, now: Now) -> Step:
    if tried.replaced >= MOST_REPLACED:
        what = describe_drift(drift)
        return Cannot(f"{what} changed, and {tried.replaced} instances have made way already; {_REMEDY}")
    wait_s = drift.since_s + SETTLE_S - now.loop_s
    if tried.replaced:
        wait_s = max(wait_s, REPLACE_AGAIN.delay(tried.replaced - 1) - tried.age_s)
    return Later(wait_s) if wait_s > 0 else MakeWay()


def _never_ran(pod: Json, instance: Instance) -> bool:
    """As far as both sides know; whoever acts on it asks the cloud once more."""
    if has_run(instance) or status.had_run(pod):
        return False
    if instance.status is InstanceStatus.PENDING:
        return bool(instance.containers)  # else what it does is not known yet
    return instance.status is InstanceStatus.SCHEDULING


def _needed(pod: Json, instance: Instance, drift: SpecDrift) -> Change | None:
    """What of it concerns a run, present or to come; None if nothing does."""
    reports = {each.name: each for each in _reports(instance)}
    counts = dict(drift.counts)
    images = frozenset(name for name in drift.images if name not in reports or not _is_over(pod, reports[name]))
    values = frozenset(name for name in drift.values if name in reports and _is_due(pod, reports[name], counts))
    logins = drift.logins and any(_never_started(each) for each in reports.values())
    if not (images or values or logins):
        return None
    return Change(images, values | (images & drift.values), logins)


# --- one container ---


def _is_due(pod: Json, report: ContainerReport, counts: Mapping[str, int]) -> bool:
    """Its next start is to come, or has been without what it should have been given."""
    if report.state.kind is StateKind.RUNNING:
        return report.restart_count != counts.get(report.name, 0)
    return not _is_over(pod, report)


def _may_start_anew(pod: Json, report: ContainerReport, counts: Mapping[str, int] | None) -> bool:
    """counts: of its restarts when its values were read last; None: they never were."""
    match report.state.kind:
        case StateKind.RUNNING:
            return counts is not None and report.restart_count != counts.get(report.name, 0)
        case StateKind.TERMINATED:
            return not _is_over(pod, report)
        case StateKind.WAITING:
            return not _never_started(report) or report.state.reason not in ON_THE_WAY


def _never_started(report: ContainerReport) -> bool:
    return report.state.kind is StateKind.WAITING and report.last_state is None and not report.restart_count


def _is_over(pod: Json, report: ContainerReport) -> bool:
    """It has ended and is not to begin again."""
    if report.state.kind is not StateKind.TERMINATED:
        return False
    policy = restart_policy(pod)
    failed = report.state.exit_code != 0
    init = next((each for each in init_containers_of(pod) if each["name"] == report.name), None)
    if init is not None and not is_sidecar(init):
        return not failed or policy == "Never"
    if policy == "Always" or init is not None:
        return False
    return policy == "Never" or not failed


def _is_troubled(pod: Json) -> bool:
    """Its status shows a container that waits for something else than its turn."""
    shown = pod.get("status") or {}
    entries = (*(shown.get("initContainerStatuses") or ()), *(shown.get("containerStatuses") or ()))
    waits = (((each.get("state") or {}).get("waiting") or {}).get("reason") or "" for each in entries)
    return any(reason not in ON_THE_WAY for reason in waits)


def _reports(instance: Instance) -> Iterator[ContainerReport]:
    yield from instance.init_containers
    yield from instance.containers


def _listed(names: frozenset[str]) -> str:
    ordered = sorted(names)
    return f"container{'s' if len(ordered) > 1 else ''} {', '.join(ordered)}"
