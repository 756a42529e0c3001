"""The one decision: from the pod, its instances and what we tried so far, what to do next. Pure.

An event only says "look at this key again"; whoever looks calls `plan`, does that one thing, and looks again. So the
process may die on any line: the next look starts from the same two truths.

| pod                       | instance                | plan                                                        |
|---------------------------|-------------------------|-------------------------------------------------------------|
| none                      | none                    | nothing                                                     |
| none                      | present                 | delete it, once it is proven that the pod is gone           |
| live, its wishes unknown  | none, or never placed   | read what they depend on                                    |
| live                      | none, never started     | create (or wait, or report why not)                         |
| live                      | none, had one           | vanished: Failed; if it never was placed: create another    |
| live                      | never placed            | create another in its place, note that, then delete it      |
| live, wants no other try  | never placed, or none   | say so, and nothing more                                    |
| live, out of stock        | none                    | note the next way to carry it on the pod, then create       |
| live                      | present                 | patch if the status differs; else nothing until it changes  |
| live, others wait         | has not started         | write nothing for a moment: the start will say it all       |
| live                      | shows outdated files    | give it new ones (`freshness`)                              |
| live, is another by now   | nothing of it ever ran  | note that it makes way, delete it, create another (`drift`) |
| live, is another by now   | runs                    | update it, or say that this cannot be                       |
| live                      | others than it notes    | ask about that one first: what is known may be old          |
| live                      | several                 | keep the one noted on the pod, else the oldest; delete rest |
| any                       | not shown with its tags | ask about it before it is deleted or restarted              |
| live                      | several, none is placed | wait for those that may be in the noted one's place         |
| live, failed our probe    | present                 | restart it; stop it if it is never to be restarted          |
| live, only sidecars left  | present                 | let the cloud end them, else stop it                        |
| live, past its deadline   | present                 | stop it, then Failed/DeadlineExceeded                       |
| deleting                  | runs                    | delete it; keep reporting                                   |
| deleting                  | ended                   | patch the last states, delete it                            |
| deleting                  | ended, asked to go      | remove the pod object                                       |
| deleting                  | gone                    | patch a terminal phase, then remove the pod object          |
| terminal, written over    | none runs               | put right what can be worked out again                      |
| terminal                  | runs                    | delete it: nobody wants it any more                         |
| terminal                  | ended                   | nothing: its log stays readable until the pod goes          |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vk_provider.control import drift as drifts
from vk_provider.control import pod_annotations
from vk_provider.control.memory import PodMemory, Problem
from vk_provider.files import staleness
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance, InstanceStatus, StateKind
from vk_provider.model.probe import Failure
from vk_provider.model.workload import Intent, NoCapacity
from vk_provider.pacing.clock import Now
from vk_provider.translate import conditions, probes, status, terminal_repair

Json = dict[str, Any]

# An ended instance whose containers are still reported as running is believed after so long: a guess for good, and the
# cloud's answers may be half a minute old and more.
EXIT_CODE_WAIT_S = 60.0
GRACE_SLACK_S = 5.0  # the cloud ends a container at its grace by itself; we only step in when it does not
_INSTANT_S = 1e-3  # a wait for less may end before the moment it was for, by rounding alone, and be asked for again
DELETE_STATUS_DEBOUNCE_S = 4.0  # how long what stops is not written about, unless it has stopped
START_STATUS_DEBOUNCE_S = 3.0  # how long what has not started is not written about while others wait for their turn
REMOVE_AGAIN_S = 15.0  # a pod whose grace is 0 and that is still there so long after its deletion is removed once more
DELETE_AGAIN_S = 60.0  # a delete that was accepted and shows no effect for so long is asked for again
SIDECARS_S = 10.0  # beyond the grace: how long the cloud has to end sidecars once the others are done
MAX_EARLIER_IDS = 5  # of those that found no room and are gone, how many of the last are remembered
NEVER_PLACED = InstanceStatus.SCHEDULE_FAILED
UNPLACED = frozenset({InstanceStatus.SCHEDULING, NEVER_PLACED, InstanceStatus.UNKNOWN})
_COMING = frozenset({InstanceStatus.SCHEDULING, InstanceStatus.PENDING})
DAEMON_REFUSAL = Problem(
    "DaemonSetNotSupported",
    "a virtual node has no machine for a DaemonSet pod to serve; keep the DaemonSet away from it with a required node"
    " affinity on type NotIn [virtual-kubelet]",
)

_UNTRIED = PodMemory()
_PLAIN = Intent()


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """What of our own node a pod's status shows, and how we treat what lands here."""

    name: str
    host_ip: str
    fail_daemon_pods: bool = False
    orphan_age_s: float = 60.0
    updates: bool = True  # the cloud can change an instance that runs


# --- what can be done ---


@dataclass(frozen=True, slots=True)
class Done:
    """All is as it should be; a change will say so."""


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Look again in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Create:
    """Start an instance. replaces: id of a dead one in whose place it comes. attempt: which way to carry the pod."""

    replaces: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class DeleteInstance:
    """Ask the cloud to stop it. killing: tell the user, for containers that run are being stopped.

    force: at once; its grace is over.
    """

    instance: Instance
    why: str
    killing: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Begin the instance anew: the cloud restarts no single container."""

    instance: Instance
    failure: Failure


@dataclass(frozen=True, slots=True)
class DeleteOrphan:
    """Delete it if a live look at the API server proves that its pod is gone."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Write this to pods/status. problem: tell the user by a Warning event too."""

    body: Json
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class VerifyInstance:
    """An instance is not known though it may be there: ask the cloud by id and by uid before anything is concluded."""

    instance_id: str


@dataclass(frozen=True, slots=True)
class UpdateFiles:
    """Give the instance new files, when its turn comes."""


@dataclass(frozen=True, slots=True)
class MakeWay:
    """Delete it, if the cloud confirms that nothing of it has run: another comes in its place, as the pod notes."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Update:
    """Make of the instance what its pod has become."""

    instance: Instance
    change: drifts.Change


@dataclass(frozen=True, slots=True)
class RemovePod:
    """Remove the pod object: grace 0, uid as precondition."""


@dataclass(frozen=True, slots=True)
class FetchIntent:
    """What the pod wants is not known: read what it depends on, then decide again."""


Action = (
    FetchIntent
    | Done
    | RequeueAfter
    | Create
    | DeleteInstance
    | Restart
    | DeleteOrphan
    | PatchStatus
    | VerifyInstance
    | UpdateFiles
    | MakeWay
    | Update
    | RemovePod
)


def plan(
    pod: Json | None,
    instances: Sequence[Instance],
    record: PodMemory,
    *,
    node: NodePolicy,
    now: Now,
    intent: Intent | None = _PLAIN,
) -> Action:
    """What to do next. Both lists must be known complete (P4); the caller sees to that.

    intent: of the pod as it is to be created, None = not known yet. Asked for only where `may_create` says so.
    """
    action = _plan(pod, instances, record, node, now, intent)
    if isinstance(action, DeleteInstance | Restart | MakeWay | Update) and not action.instance.proven:
        return VerifyInstance(action.instance.id)  # that it is this pod's is still to be shown
    return action


def _plan(
    pod: Json | None,
    instances: Sequence[Instance],
    record: PodMemory,
    node: NodePolicy,
    now: Now,
    intent: Intent | None,
) -> Action:
    if pod is None:
        return _orphans(instances, record, node, now)
    if pods.is_mirror(pod):
        return Done()
    instance, spare = own_and_spare(pod, instances, record)
    lives = not pods.is_terminal(pod) and not pods.is_deleting(pod)
    if lives and instance is not None and (had := _unlisted_noted_id(pod, instances, record)):
        return VerifyInstance(had)
    needless = spare is not None and (not lives or _is_surplus(pod, spare, instance, record))
    if spare is not None and needless and spare.proven and _deletable(spare, record, now):
        return DeleteInstance(spare, "a second instance of one pod")
    if pods.is_terminal(pod):
        return _terminal(pod, instance, instances, record, now)
    if pods.is_deleting(pod):
        return _deleting(pod, instance, record, node, now)
    return _live(pod, instance, instances, record, node, now, intent)


def may_create(pod: Json, instance: Instance | None) -> bool:
    """Whether `plan` may have to create an instance, and so has to know what the pod wants. instance: its own."""
    lives = not pods.is_terminal(pod) and not pods.is_deleting(pod) and not pods.is_mirror(pod)
    return lives and (instance is None or instance.status is NEVER_PLACED)


def own_and_spare(
    pod: Json, instances: Sequence[Instance], record: PodMemory = _UNTRIED
) -> tuple[Instance | None, Instance | None]:
    """The instance that is this pod's, and another one."""
    if len(instances) < 2:
        return (instances[0], None) if instances else (None, None)
    noted = pods.instance_id_of(pod)
    given_up = next((each for each in instances if each.id == noted and each.status is NEVER_PLACED), None)

    def is_former(each: Instance) -> bool:
        """Whether another was tried after it: lists that lag show it as it was then."""
        return (
            given_up is not None
            and not _was_placed(each)
            and creation_order(each, record) < creation_order(given_up, record)
        )

    # What the cloud has not shown to be this pod's comes after what it has, whatever anybody wrote on the pod.
    placed = [each for each in instances if each.status is not NEVER_PLACED and not is_former(each)]
    dead = [each for each in instances if each.status is NEVER_PLACED]
    ordered = sorted(placed, key=lambda each: (not each.proven, each.id != noted, each.created_at, each.id))
    # Of dead ones the newest: in an older one's place another came already, and for the asking comes no third.
    ordered += sorted(dead, key=lambda each: creation_order(each, record), reverse=True)
    ordered += [each for each in instances if each.status is not NEVER_PLACED and is_former(each)]
    return ordered[0] if ordered else None, ordered[1] if len(ordered) > 1 else None


def _is_surplus(pod: Json, spare: Instance, kept: Instance | None, record: PodMemory) -> bool:
    """Whether a live pod can do without it for sure. What is known may be old: for good are only that an instance was
    placed, that it never was, and that another was made before it."""
    noted = pods.instance_id_of(pod)
    if kept is None or spare.id == noted:
        return False  # that it was never placed only it can tell, until the pod notes the one in its place
    return kept.id != noted or _was_placed(kept) or creation_order(spare, record) < creation_order(kept, record)


def _was_placed(instance: Instance) -> bool:
    if instance.status is InstanceStatus.TERMINATING:
        reports = (*instance.init_containers, *instance.containers)
        return any(each.state.kind is not StateKind.WAITING or each.last_state is not None for each in reports)
    return instance.status not in UNPLACED


def creation_order(instance: Instance, record: PodMemory) -> tuple[int, str, str]:
    """Which came after which. Of those that we made the time is by our own clock, and so no measure; but what there was
    when we asked for another came before that."""
    if instance.id == record.last_created_id:
        return 2 * len(record.earlier_ids) + 1, "", ""
    if instance.id in record.earlier_ids:
        return 2 * [*record.earlier_ids].index(instance.id) + 1, "", ""
    times = enumerate(record.earlier_ids.values())
    later = next((number for number, time in times if time > instance.created_at), len(record.earlier_ids))
    return 2 * later, instance.created_at, instance.id


def predecessors(instances: Sequence[Instance], record: PodMemory) -> Mapping[str, str]:
    """What `record.former` is to be when another is asked for. Lists that lag may yet show some that are gone."""
    there = {
        each.id: "" if each.id == record.last_created_id or record.earlier_ids.get(each.id) == "" else each.created_at
        for each in sorted(instances, key=lambda each: creation_order(each, record))
    }
    gone = [(id_, time) for id_, time in record.earlier_ids.items() if id_ not in there]
    return {**dict(gone[-MAX_EARLIER_IDS:]), **there} or record.earlier_ids


def _unlisted_noted_id(pod: Json, instances: Sequence[Instance], record: PodMemory) -> str:
    """The id of the instance noted on the pod, where only others are known and nobody has denied it: lists may be older
    than the note, and by the note alone it is found."""
    had = _noted_instance_id(pod)
    gone = {record.confirmed_missing_id, record.last.id if record.last is not None else ""}
    return "" if had in gone or any(each.id == had for each in instances) else had


def _orphans(instances: Sequence[Instance], record: PodMemory, node: NodePolicy, now: Now) -> Action:
    for instance in instances:
        owner = instance.owner
        if not (owner.uid and owner.namespace and owner.name):
            continue  # no pod can be asked about, so nothing can be proven
        if not instance.proven:
            continue  # its tags are yet to be seen
        if not _deletable(instance, record, now):
            continue
        young_s = 0.0 if record.seen else node.orphan_age_s - _age_s(instance, now)
        if record.orphaned_since_s is not None:  # by our own clock too: those two may differ by hours
            young_s = min(young_s, record.orphaned_since_s + node.orphan_age_s - now.loop_s)
        return RequeueAfter(young_s) if young_s > 0 else DeleteOrphan(instance)
    return RequeueAfter(DELETE_AGAIN_S) if instances else Done()


def _terminal(
    pod: Json, instance: Instance | None, instances: Sequence[Instance], record: PodMemory, now: Now
) -> Action:
    deleting = pods.is_deleting(pod)
    if not deleting and (body := _repair_terminal(pod, instance, record, now)) is not None:
        return PatchStatus(body)
    if instance is not None:
        if instance.status.is_ended and not deleting:
            return Done()
        if _deletable(instance, record, now):
            return DeleteInstance(instance, "the pod has ended", killing=not instance.status.is_ended)
        if not deleting or not all(each.id in record.deletes and status.all_stopped(each) for each in instances):
            return RequeueAfter(DELETE_AGAIN_S)
        # Asked to go, and nothing runs any more: how long the cloud takes to clear up is the poller's business.
    meta = pod["metadata"]
    if deleting and meta.get("deletionGracePeriodSeconds") != 0:
        return RemovePod()
    if not deleting or meta.get("finalizers") or record.deleting_since_s is None:
        return Done()  # finalizers of others may hold the object: theirs to remove
    # The removal is on its way, unless the API server died between the two writes that it is made of.
    wait_s = record.deleting_since_s + REMOVE_AGAIN_S - now.loop_s
    return RequeueAfter(wait_s) if wait_s > 0 else RemovePod()


def _repair_terminal(pod: Json, instance: Instance | None, record: PodMemory, now: Now) -> Json | None:
    """What others wrote over a final status (P30). A pod that goes is not held up for it."""
    if instance is not None and not status.all_stopped(instance):
        return None
    # By its own instance: one too many may have ended otherwise, and may show only now.
    noted = pods.instance_id_of(pod)
    last = record.last if record.last is not None and record.last.id == noted else None
    is_own = instance is not None and noted in ("", instance.id)
    return terminal_repair.reasserted(pod, instance if is_own else last, now=now.stamp)


def _deleting(pod: Json, instance: Instance | None, record: PodMemory, node: NodePolicy, now: Now) -> Action:
    if instance is None:
        if record.create_in_doubt and record.last is None and not record.confirmed_absent:
            return VerifyInstance(_noted_instance_id(pod))
        return _final(pod, record.last, node, now)
    if status.all_stopped(instance):
        return _final(pod, instance, node, now)
    sleep_s = 0.0 if instance.id in record.deletes else _sleep_s(pod, instance, record, now)
    if sleep_s > 0:
        body = status.patch(pod, status.from_instance(pod, instance, now=now.stamp, host_ip=node.host_ip))
        return PatchStatus(body) if body is not None else RequeueAfter(sleep_s)
    if _deletable(instance, record, now):
        return DeleteInstance(instance, "the pod is being deleted", killing=True)
    left_s = DELETE_AGAIN_S if record.force_deleted_id == instance.id else _grace_left_s(pod, instance, record, now)
    if left_s <= 0:
        return DeleteInstance(instance, "its grace is over", force=True)
    body = status.patch(pod, status.from_instance(pod, instance, now=now.stamp, host_ip=node.host_ip))
    if body is None:
        return RequeueAfter(min(left_s, DELETE_AGAIN_S))
    # That it is no longer Ready, its deletion says to everybody; of one that stops at once only the end is written.
    asked_s = record.deletes.get(instance.id)
    early_s = DELETE_STATUS_DEBOUNCE_S - (now.loop_s - asked_s) if asked_s is not None else 0.0
    return RequeueAfter(min(left_s, early_s)) if early_s > _INSTANT_S else PatchStatus(body)


def _sleep_s(pod: Json, instance: Instance, record: PodMemory, now: Now) -> float:
    """Seconds that are left of the pod's preStop sleep; none where nothing runs, and never beyond the grace."""
    if instance.status is not InstanceStatus.RUNNING or record.deleting_since_s is None:
        return 0.0
    grace_s = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    return record.deleting_since_s + min(probes.stop_delay_s(pod), grace_s) - now.loop_s


def _grace_left_s(pod: Json, instance: Instance, record: PodMemory, now: Now) -> float:
    """Seconds until an instance that was asked to go has had the grace of the pod's deletion, which may be shorter than
    the one it was made with, and may be shortened on the way. By our own clock, so that no skew takes any of it."""
    grace_s = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    return record.deletes.get(instance.id, now.loop_s) + grace_s + GRACE_SLACK_S - now.loop_s


def _final(pod: Json, last: Instance | None, node: NodePolicy, now: Now) -> Action:
    """The last states, with a terminal phase; the object is removed only after they have landed (P33)."""
    body = status.patch(pod, status.stopped(pod, last, now=now.stamp, host_ip=node.host_ip))
    return PatchStatus(body) if body is not None else Done()


def _live(
    pod: Json,
    instance: Instance | None,
    instances: Sequence[Instance],
    record: PodMemory,
    node: NodePolicy,
    now: Now,
    intent: Intent | None,
) -> Action:
    if instance is None:
        return _no_instance(pod, record, node, now, intent)
    if instance.status is NEVER_PLACED:
        return _never_placed(pod, instance, instances, record, node, now, intent)
    overdue_s = _overdue_s(pod, now)
    if overdue_s is not None and overdue_s >= 0 and not instance.status.is_ended:
        return _overdue(pod, instance, record, node, now)
    if record.ended_s is not None and now.loop_s - record.ended_s >= EXIT_CODE_WAIT_S and not record.ended_again:
        return VerifyInstance(instance.id)  # its exit codes may have come in an answer that never reached us
    if _makes_way(pod, instance, record):
        return _make_way(pod, instance, record, node, now)
    step = _step(pod, instance, record, node, now)
    desired = status.from_instance(
        pod,
        instance,
        now=now.stamp,
        host_ip=node.host_ip,
        settled=record.ended_again,
        outdated=_outdated(pod, step),
    )
    memory = pod_annotations.state_annotations(pod, instance, record)
    if isinstance(step, drifts.MakeWay):
        memory |= pod_annotations.making_way(pod, instance)
    body = status.patch(pod, desired, annotations=memory, along=pod_annotations.info_annotations(pod, instance, record))
    if body is not None:
        # In a burst one that starts at once gets one status, and the others their turn the sooner.
        early_s = _defer_status_s(instance, record, now)
        quiet = early_s > _INSTANT_S and status.is_initial(pod, desired)
        return RequeueAfter(early_s) if quiet and not isinstance(step, drifts.MakeWay) else PatchStatus(body)
    if isinstance(step, drifts.Change) and record.only_sidecars_since_s is None:
        return Update(instance, step)
    if record.failing is not None and record.failing.instance_id == instance.id:
        return _cap_wait(overdue_s, _failing(pod, instance, record.failing, record, now))
    if record.only_sidecars_since_s is not None:
        return _cap_wait(overdue_s, _only_sidecars(pod, instance, record, now))
    if instance.status.is_ended:
        return RequeueAfter(
            EXIT_CODE_WAIT_S
        )  # it ended, but its containers' own reports are not in: they come, or we go without
    left_s = [-overdue_s] if overdue_s is not None else []
    left_s += [step.seconds] if isinstance(step, drifts.Later) else []
    return _file_action(pod, instance, record, min(left_s, default=None), now)


def _makes_way(pod: Json, instance: Instance, record: PodMemory) -> bool:
    """What it was made of is not what its pod has become, and before anything of it ran that was noted. Should it run
    all the same it stays, unless it is stopping for this already. The note alone is no reason: anybody may write one.
    """
    if not _is_to_make_way(pod, instance.id):
        return False
    return instance.status is InstanceStatus.TERMINATING or (bool(record.drift) and not drifts.has_run(instance))


def _is_to_make_way(pod: Json, instance_id: str) -> bool:
    """Whether that is noted. A pod that has run since has another instance, or kept this one."""
    return pod_annotations.made_way(pod)[0] == instance_id == _noted_instance_id(pod) and not status.had_run(pod)


def _make_way(pod: Json, instance: Instance, record: PodMemory, node: NodePolicy, now: Now) -> Action:
    body = status.patch(pod, status.waiting(pod, now=now.stamp, host_ip=node.host_ip))
    if body is not None:
        return PatchStatus(body)
    return MakeWay(instance) if _deletable(instance, record, now) else RequeueAfter(DELETE_AGAIN_S)


def _outdated(pod: Json, step: drifts.Step) -> str:
    """Why the instance stays as it is. What the pod says of it already stays until another try has ended."""
    match step:
        case drifts.Cannot(message):
            return message
        case drifts.Later() | drifts.Change():
            return str(conditions.of(pod).get(conditions.UP_TO_DATE, {}).get("message") or "")
        case _:
            return ""


def _step(pod: Json, instance: Instance, record: PodMemory, node: NodePolicy, now: Now) -> drifts.Step:
    if not record.drift:
        return drifts.Same()
    age_s = now.loop_s - record.made_s if record.made_s is not None else max(0.0, _age_s(instance, now))
    tried = drifts.Attempts(
        updates=node.updates,
        replaced=pod_annotations.made_way(pod)[1],
        age_s=age_s,
        retry_at_s=record.update_at_s,
        refused=record.not_taken,
    )
    return drifts.decide(pod, instance, record.drift, tried, now)


def _never_placed(
    pod: Json,
    instance: Instance,
    instances: Sequence[Instance],
    record: PodMemory,
    node: NodePolicy,
    now: Now,
    intent: Intent | None,
) -> Action:
    """Its instance never found a place."""
    if intent is None:
        wait_s = record.retry_at_s - now.loop_s
        return RequeueAfter(wait_s) if wait_s > 0 else FetchIntent()
    body = status.patch(
        pod,
        status.from_instance(pod, instance, now=now.stamp, host_ip=node.host_ip, give_up=_fails(intent, instance)),
        annotations=pod_annotations.state_annotations(pod, instance, record),
        along=pod_annotations.info_annotations(pod, instance, record),
    )
    if body is not None:
        return PatchStatus(body)  # its user sees why, before another is tried
    if _gave_up(pod, record, instance, intent):
        return Done()
    wait_s = record.retry_at_s - now.loop_s
    if wait_s > 0:
        return RequeueAfter(wait_s)
    if any(each.status is not NEVER_PLACED for each in instances):
        return RequeueAfter(DELETE_AGAIN_S)  # until that is gone, which is one too many, no other comes
    return Create(instance.id, pod_annotations.attempt_of(pod, instance.id, first=_next_candidate(intent, instance)))


def _defer_status_s(instance: Instance, record: PodMemory, now: Now) -> float:
    """Seconds for which nothing need be written yet of an instance that has nothing to tell."""
    if not now.crowded or record.made_s is None or instance.status not in _COMING:
        return 0.0
    return record.made_s + START_STATUS_DEBOUNCE_S - now.loop_s


def _file_action(pod: Json, instance: Instance, record: PodMemory, left_s: float | None, now: Now) -> Action:
    """What the files of a running instance want. left_s: until something else is due, None = nothing is."""
    waits = [left_s] if left_s is not None and left_s > 0 else []
    if record.files is not None:
        match staleness.decide(pods.uid_of(pod), instance, record.files, now):
            case staleness.UpdateNow():
                return UpdateFiles()
            case staleness.RecheckAfter(seconds):
                waits.append(seconds)
            case staleness.UpToDate():
                pass
    return RequeueAfter(min(waits)) if waits else Done()


def _cap_wait(overdue_s: float | None, action: Action) -> Action:
    """No wait lasts longer than the pod's deadline is away."""
    if isinstance(action, RequeueAfter) and overdue_s is not None:
        return RequeueAfter(min(action.seconds, -overdue_s))
    return action


def _failing(pod: Json, instance: Instance, failure: Failure, record: PodMemory, now: Now) -> Action:
    """A probe of ours has failed for good: its container begins anew, or ends where nothing is begun anew (S36)."""
    if pod["spec"].get("restartPolicy") == "Never":
        if _deletable(instance, record, now):
            return DeleteInstance(instance, f"container {failure.container} failed {failure.kind} probe", killing=True)
        return RequeueAfter(DELETE_AGAIN_S)
    wait_s = record.restart_at_s - now.loop_s
    return RequeueAfter(wait_s) if wait_s > 0 else Restart(instance, failure)


def _only_sidecars(pod: Json, instance: Instance, record: PodMemory, now: Now) -> Action:
    """P45: its work is done while sidecars run. The cloud ends those by itself; where it does not, we do."""
    left_s = (record.only_sidecars_since_s or 0.0) + SIDECARS_S + _grace_s(pod) - now.loop_s
    if left_s > 0:
        return RequeueAfter(left_s)
    if _deletable(instance, record, now):
        return DeleteInstance(instance, "only sidecars are left", killing=True)
    return RequeueAfter(DELETE_AGAIN_S)


def _grace_s(pod: Json) -> float:
    stated = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if stated is None else float(stated)


def _overdue(pod: Json, instance: Instance, record: PodMemory, node: NodePolicy, now: Now) -> Action:
    """P41: stop it first; the phase becomes Failed only when nothing runs any more."""
    if status.all_stopped(instance):
        body = status.patch(pod, status.deadline_exceeded(pod, instance, now=now.stamp, host_ip=node.host_ip))
        return PatchStatus(body) if body is not None else Done()
    if _deletable(instance, record, now):
        return DeleteInstance(instance, "DeadlineExceeded", killing=True)
    return RequeueAfter(DELETE_AGAIN_S)


def _no_instance(pod: Json, record: PodMemory, node: NodePolicy, now: Now, intent: Intent | None) -> Action:
    """A live pod without an instance."""
    if pods.is_daemon(pod):
        return _refuse_daemon(pod, node, now)
    if record.refusal is not None:
        wait_s = record.refuse_at_s - now.loop_s
        if wait_s > 0:
            return _announce(pod, record.refusal, node, now) or RequeueAfter(wait_s)
        return _refuse(pod, record.refusal, node, now)
    overdue_s = _overdue_s(pod, now)
    if overdue_s is not None and overdue_s >= 0:
        body = status.patch(pod, status.deadline_exceeded(pod, record.last, now=now.stamp, host_ip=node.host_ip))
        return PatchStatus(body) if body is not None else Done()
    gave_up: bool | None = _gave_up(pod, record, None, intent)
    replaces, unplaced, same_again = "", None, 0
    had = _noted_instance_id(pod) or _last_instance_id(record)
    if (had or status.had_run(pod)) and gave_up is False:
        last = record.last if record.last is not None and record.last.id == had else None
        never_ran = last is not None and last.status is NEVER_PLACED
        if (
            last is not None
            and last.status.is_ended
            and not never_ran
            and (record.confirmed_absent or _has_all_ends(last))
        ):
            return _ended_unseen(pod, last, record, node, now)
        if not record.confirmed_absent:
            return VerifyInstance(had)
        if had and _is_to_make_way(pod, had):
            replaces, same_again = had, last.attempt if last is not None else 0
        elif last is None or not never_ran:
            return _vanished(pod, had, last, node, now)
        else:
            replaces, unplaced = had, last
    wait_s = record.retry_at_s - now.loop_s
    if intent is None:
        return (_report(pod, record.problem, node, now) or RequeueAfter(wait_s)) if wait_s > 0 else FetchIntent()
    if gave_up:
        return _report(pod, record.problem, node, now, reason=status.SCHEDULE_FAILED) or Done()
    note = pod_annotations.attempt_annotation(pod, record, replaces)
    if wait_s > 0 or note:
        return _report(pod, record.problem, node, now, note=note) or RequeueAfter(max(0.0, wait_s))
    first = _next_candidate(intent, unplaced) if unplaced is not None else same_again
    return Create(replaces, pod_annotations.attempt_of(pod, replaces, first=first))


def _next_candidate(intent: Intent, unplaced: Instance) -> int:
    return (unplaced.attempt + 1) % intent.candidates


def _fails(intent: Intent, unplaced: Instance) -> bool:
    return intent.on_no_capacity is NoCapacity.FAIL and unplaced.attempt + 1 >= intent.candidates


def _gave_up(pod: Json, record: PodMemory, unplaced: Instance | None, intent: Intent | None) -> bool | None:
    """Its owner wants no further try once every way to carry it was out of capacity. The pod itself remembers.

    None: that cannot be told without the intent.
    """
    if unplaced is None and not record.gave_up and (pod.get("status") or {}).get("reason") != status.SCHEDULE_FAILED:
        return False
    if intent is None:
        return None
    wants_no_other = intent.on_no_capacity is NoCapacity.STAY_PENDING
    return wants_no_other and (unplaced is None or unplaced.attempt + 1 >= intent.candidates)


def _noted_instance_id(pod: Json) -> str:
    """The instance noted on the pod. What stands there before our first status came with a copied manifest."""
    return pods.instance_id_of(pod) if pod.get("status", {}).get("startTime") else ""


def _last_instance_id(record: PodMemory) -> str:
    """The instance that this process knew, should it have gone before it was noted."""
    return record.last.id if record.last is not None and record.last.status is not NEVER_PLACED else ""


def _ended_unseen(pod: Json, last: Instance, record: PodMemory, node: NodePolicy, now: Now) -> Action:
    """It ended by itself, and the cloud cleared up before that could be written: the end is told, not the clearing."""
    desired = status.from_instance(pod, last, now=now.stamp, host_ip=node.host_ip, settled=True)
    body = status.patch(
        pod,
        desired,
        annotations=pod_annotations.state_annotations(pod, last, record),
        along=pod_annotations.info_annotations(pod, last, record),
    )
    return PatchStatus(body) if body is not None else Done()


def _has_all_ends(ended: Instance) -> bool:
    """Whether the end of each of its containers is known, so that nothing has to be guessed."""
    kinds = {each.state.kind for each in ended.containers}
    return kinds == {StateKind.TERMINATED}


def _vanished(pod: Json, had: str, last: Instance | None, node: NodePolicy, now: Now) -> Action:
    """P19: Failed, and a disruption, so that a Job's failure policy may ignore it. last: as it was seen last."""
    message = f"the cloud no longer has instance {had or 'of this pod'}: it was removed there, not by this node"
    desired = status.vanished(
        pod, last, reason="NotFound", message=message, now=now.stamp, host_ip=node.host_ip, disruption=True
    )
    body = status.patch(pod, desired)
    return PatchStatus(body, Problem("NotFound", message)) if body is not None else Done()


def _refuse_daemon(pod: Json, node: NodePolicy, now: Now) -> Action:
    """a.5: failing it would make its controller try again and again, so by default it stays Pending, with a reason."""
    if node.fail_daemon_pods:
        return _refuse(pod, DAEMON_REFUSAL, node, now)
    return _announce(pod, DAEMON_REFUSAL, node, now) or Done()


def _announce(pod: Json, refusal: Problem, node: NodePolicy, now: Now) -> PatchStatus | None:
    """Shown on the pod, and told by an event; None when that is done."""
    patch = _report(pod, refusal, node, now)
    return replace(patch, problem=refusal) if patch is not None else None


def _refuse(pod: Json, refusal: Problem, node: NodePolicy, now: Now) -> Action:
    desired = status.refused(pod, reason=refusal.reason, message=refusal.message, now=now.stamp, host_ip=node.host_ip)
    body = status.patch(pod, desired)
    return PatchStatus(body, refusal) if body is not None else Done()


def _report(
    pod: Json,
    problem: Problem | None,
    node: NodePolicy,
    now: Now,
    *,
    note: Mapping[str, str] | None = None,
    reason: str = "",
) -> PatchStatus | None:
    """Show on the pod why it waits; None when it is shown already. reason: of the pod as a whole."""
    if problem is None:
        return None
    desired = status.waiting(
        pod,
        now=now.stamp,
        host_ip=node.host_ip,
        reason=problem.reason,
        message=problem.message,
        container=problem.container,
        condition=problem.condition,
    )
    if reason:
        desired |= {"reason": reason, "message": problem.message}
    body = status.patch(pod, desired, annotations=note)
    return PatchStatus(body) if body is not None else None


def _deletable(instance: Instance, record: PodMemory, now: Now) -> bool:
    """Whether asking for its deletion (again) makes sense now."""
    asked_s = record.deletes.get(instance.id)
    if asked_s is not None and now.loop_s - asked_s < DELETE_AGAIN_S - 0.5:  # a timer may ring early by a hair
        return False
    return asked_s is None or instance.status is not InstanceStatus.TERMINATING


def _age_s(instance: Instance, now: Now) -> float:
    created = _instant(instance.created_at)
    return (now.wall - created).total_seconds() if created else 0.0


def _overdue_s(pod: Json, now: Now) -> float | None:
    """Seconds past activeDeadlineSeconds (negative: still to go); None without a deadline or before the start."""
    limit = pod["spec"].get("activeDeadlineSeconds")
    if limit is None:
        return None
    started = _instant(pod.get("status", {}).get("startTime") or "")
    if started is None:
        return None
    return (now.wall - (started + timedelta(seconds=limit))).total_seconds()


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
