"""The decision, case by case, and what must hold for every input."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.control.remembered import Remembered, plan
from tests.thorough import examples
from tests.translate.status_world import Server
from vk_provider.control import pod_annotations
from vk_provider.control.actions import (
    Create,
    DeleteInstance,
    DeleteOrphan,
    Done,
    PatchStatus,
    RemovePod,
    RequeueAfter,
    VerifyInstance,
)
from vk_provider.control.memory import Problem
from vk_provider.control.observation import NodePolicy
from vk_provider.control.ownership import MAX_EARLIER_IDS, predecessors
from vk_provider.control.rules.deleting import DELETE_STATUS_DEBOUNCE_S
from vk_provider.control.rules.present import EXIT_CODE_WAIT_S, START_STATUS_DEBOUNCE_S
from vk_provider.control.rules.stopping import DELETE_AGAIN_S, GRACE_SLACK_S
from vk_provider.control.rules.terminal import REMOVE_AGAIN_S
from vk_provider.files.staleness import FileState
from vk_provider.model.instance import (
    CloudCondition,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceStatus,
    Owner,
    StateKind,
)
from vk_provider.model.probe import Failure
from vk_provider.pacing.clock import Now
from vk_provider.translate import status, status_patch
from vk_provider.translate.file_sources import LiveSources

SERVER = Server()  # it refuses what the real one refuses
NODE = NodePolicy(name="vk", host_ip="10.0.0.1")
WALL = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = Now(wall=WALL, loop_s=1000.0)
OWNER = Owner(cluster="c", node="vk", namespace="web", name="api", uid="u1")
STARTED = "2026-01-02T03:00:00Z"


def pod(**changes):
    """A bound pod that nobody has looked at yet."""
    made = {
        "metadata": {
            "namespace": "web",
            "name": "api",
            "uid": "u1",
            "generation": 1,
            "annotations": changes.pop("annotations", {}),
        },
        "spec": {
            "nodeName": "vk",
            "restartPolicy": changes.pop("restartPolicy", "Never"),
            "containers": [{"name": "main", "image": "perl"}],
            **changes.pop("spec", {}),
        },
        "status": changes.pop("status", {"phase": "Pending"}),
    }
    made["metadata"].update(changes)
    return made


def instance(state=InstanceStatus.RUNNING, *, id="eci-1", kind=StateKind.RUNNING, exit_code=None, created=STARTED):
    ended = kind is StateKind.TERMINATED
    report = ContainerReport(
        name="main",
        state=ContainerState(
            kind=kind,
            exit_code=exit_code if ended else None,
            reason=("Completed" if exit_code == 0 else "Error") if ended else "",
            started_at=STARTED if kind is not StateKind.WAITING else "",
            finished_at="2026-01-02T03:01:00Z" if ended else "",
        ),
        ready=kind is StateKind.RUNNING,
    )
    return Instance(id=id, owner=OWNER, status=state, ip="10.9.0.1", created_at=created, containers=(report,))


RUNNING = instance()
ENDED = instance(InstanceStatus.SUCCEEDED, kind=StateKind.TERMINATED, exit_code=0)
STOPPED = instance(InstanceStatus.TERMINATING, kind=StateKind.TERMINATED, exit_code=143)
UNPLACED = instance(InstanceStatus.SCHEDULE_FAILED, kind=StateKind.WAITING, id="eci-0")
NEWER = replace(UNPLACED, id="eci-00", created_at="2026-01-02T03:01:00Z")
MIRROR = {"kubernetes.io/config.mirror": "x"}
NOTED = {"virtual-kubelet.io/instance-id": "eci-1"}
DELETING = {"deletionTimestamp": "2026-01-02T03:04:00Z", "deletionGracePeriodSeconds": 30}


def settled(pod, instances, record=None, now=NOW):
    """Apply every status patch the plan asks for, as the API server would; the pod and the action that is no patch.

    What a patch says of the time after it has to be what is decided then.
    """
    foreseen = None
    for _ in range(5):
        action = plan(pod, instances, record or Remembered(), node=NODE, now=now)
        assert foreseen in (None, action)
        if not isinstance(action, PatchStatus):
            return pod, action
        pod, foreseen = SERVER.patch(pod, action.body), action.then
        assert status_patch.is_in(pod, action.body)
    raise AssertionError("the plan never comes to rest")


def terminal(phase="Succeeded", **changes):
    done, _ = settled(pod(annotations=NOTED, **changes), [ENDED])
    assert done["status"]["phase"] == phase
    return done


@pytest.mark.parametrize(
    ("subject", "instances", "record", "expected"),
    [
        pytest.param(None, [], Remembered(), Done(), id="nothing anywhere"),
        pytest.param(pod(), [], Remembered(), Create(), id="bound pod starts"),
        pytest.param(pod(annotations=MIRROR), [], Remembered(), Done(), id="mirror pod"),
        pytest.param(pod(), [], Remembered(not_before_s=1007), RequeueAfter(7), id="failed create waits for its time"),
        pytest.param(
            pod(annotations=NOTED, status={"phase": "Pending", "startTime": STARTED}),
            [],
            Remembered(),
            VerifyInstance("eci-1"),
            id="missing instance is asked for by id",
        ),
        pytest.param(
            pod(annotations=NOTED), [], Remembered(), Create(), id="an id copied along with a manifest is not ours"
        ),
        pytest.param(
            pod(),
            [UNPLACED, NEWER],
            Remembered(),
            DeleteInstance(UNPLACED, "a second instance of one pod"),
            id="of dead ones the newest stays",
        ),
        pytest.param(
            pod(**DELETING),
            [],
            Remembered(in_doubt=True),
            VerifyInstance(""),
            id="delete during an uncertain create",
        ),
        pytest.param(None, [RUNNING], Remembered(seen=True), DeleteOrphan(RUNNING), id="deleted pod's instance goes"),
        pytest.param(None, [RUNNING], Remembered(), DeleteOrphan(RUNNING), id="old orphan goes"),
        pytest.param(
            None,
            [instance(created="2026-01-02T03:03:35Z")],
            Remembered(),
            RequeueAfter(30),
            id="young orphan waits: its pod may be on the way",
        ),
        pytest.param(
            None,
            [RUNNING],
            Remembered(deletes={"eci-1": 990.0}),
            RequeueAfter(DELETE_AGAIN_S),
            id="orphan asked to go already",
        ),
        pytest.param(
            pod(**DELETING),
            [RUNNING],
            Remembered(),
            DeleteInstance(RUNNING, "the pod is being deleted", killing=True),
            id="deletion stops the instance first",
        ),
    ],
)
def test_plan(subject, instances, record, expected):
    assert plan(subject, instances, record, node=NODE, now=NOW) == expected


def test_one_that_was_never_placed_says_why_and_is_replaced_after_its_wait():
    seen, action = settled(pod(), [UNPLACED], Remembered(not_before_s=1030))
    assert (seen["status"]["phase"], action) == ("Pending", RequeueAfter(30))
    assert settled(seen, [UNPLACED])[1] == Create(replaces="eci-0")


def test_an_ended_instance_whose_containers_are_never_reported_ended_is_believed_in_the_end():
    stale = replace(ENDED, status=InstanceStatus.FAILED, containers=RUNNING.containers)
    running, _ = settled(pod(), [RUNNING])
    seen, action = settled(running, [stale], Remembered(ended_s=999.0))
    assert (seen["status"]["phase"], action) == ("Running", RequeueAfter(EXIT_CODE_WAIT_S))
    seen, action = settled(running, [stale], Remembered(ended_s=1000.0 - EXIT_CODE_WAIT_S))
    assert (seen["status"]["phase"], action) == ("Running", VerifyInstance("eci-1")), (
        "not before the cloud was asked once more"
    )
    seen, _ = settled(running, [stale], Remembered(ended_s=1000.0 - EXIT_CODE_WAIT_S, ended_confirmed=True))
    assert seen["status"]["phase"] == "Failed"


def test_a_running_instance_is_mirrored_and_noted_once():
    seen, action = settled(pod(), [RUNNING])
    assert action == Done()
    assert seen["status"]["phase"] == "Running"
    assert seen["metadata"]["annotations"] == NOTED


def test_an_ended_instance_ends_the_pod_and_stays_for_its_log():
    seen, action = settled(pod(annotations=NOTED), [ENDED])
    assert (seen["status"]["phase"], action) == ("Succeeded", Done())


def test_a_terminal_pod_is_never_written_again_whatever_the_cloud_says():
    done = terminal()
    for other in (RUNNING, UNPLACED, STOPPED):
        action = plan(done, [other], Remembered(), node=NODE, now=NOW)
        assert isinstance(action, (DeleteInstance, Done))
    assert plan(done, [], Remembered(), node=NODE, now=NOW) == Done(), "the cloud forgot it; the pod stays as it is"


def test_what_others_wrote_over_a_final_status_is_put_right_unless_the_pod_goes():
    """P30; by the instance, or by what was last seen of it."""
    done = terminal()
    spoilt = copy.deepcopy(done)
    spoilt["status"]["containerStatuses"][0]["state"] = {"running": {}}
    spoilt["status"]["conditions"] = []
    for instances, record in (([ENDED], Remembered()), ([], Remembered(last=ENDED))):
        seen, action = settled(spoilt, instances, record)
        assert action == Done()
        assert "terminated" in seen["status"]["containerStatuses"][0]["state"]
        assert {each["type"] for each in seen["status"]["conditions"]} >= {"Ready", "Initialized", "PodScheduled"}
    assert not isinstance(plan(spoilt, [RUNNING], Remembered(), node=NODE, now=NOW), PatchStatus), "it runs"
    spoilt["metadata"] |= DELETING
    assert not isinstance(plan(spoilt, [ENDED], Remembered(), node=NODE, now=NOW), PatchStatus)


def test_an_end_that_another_instance_reports_is_none_of_a_pod_that_has_ended():
    """Its own went before it had run; one too many of that uid, which shows late, is of no meaning for it (P18)."""
    waiting, _ = settled(noting("eci-1"), [starting("eci-1")])
    failed = {**waiting, "status": {**waiting["status"], "phase": "Failed", "reason": "NotFound"}}
    failed, _ = settled(failed, [])
    other = instance(InstanceStatus.SUCCEEDED, id="eci-2", kind=StateKind.TERMINATED, exit_code=0)
    assert settled(failed, [other]) == (failed, Done())


def test_an_instance_that_runs_under_a_terminal_pod_is_stopped():
    action = plan(terminal(), [RUNNING], Remembered(), node=NODE, now=NOW)
    assert isinstance(action, DeleteInstance)


def test_of_two_instances_the_noted_one_stays():
    other = instance(id="eci-2")
    action = plan(pod(annotations=NOTED), [other, RUNNING], Remembered(), node=NODE, now=NOW)
    assert action == DeleteInstance(other, "a second instance of one pod")


def test_of_two_unnoted_instances_the_older_stays():
    younger = instance(id="eci-0", created="2026-01-02T03:02:00Z")
    action = plan(pod(), [younger, RUNNING], Remembered(), node=NODE, now=NOW)
    assert action == DeleteInstance(younger, "a second instance of one pod")


def noting(instance_id, **changes):
    """A live pod of an earlier life, which notes this instance."""
    seen, _ = settled(pod(**changes), [instance(InstanceStatus.SCHEDULING, id=instance_id, kind=StateKind.WAITING)])
    return seen


def starting(id, created=STARTED, state=InstanceStatus.SCHEDULING):
    return instance(state, id=id, kind=StateKind.WAITING, created=created)


LATER = "2026-01-02T03:02:00Z"


def test_the_replacement_of_an_instance_that_was_never_placed_is_the_one_kept():
    noted = pod(annotations={"virtual-kubelet.io/instance-id": "eci-0"})
    assert settled(noted, [UNPLACED, RUNNING])[1] == DeleteInstance(UNPLACED, "a second instance of one pod")


def test_one_that_was_never_placed_stays_until_the_pod_notes_the_one_in_its_place():
    """Whoever starts anew on a list of the time before would take the noted one for vanished."""
    for replacement in (RUNNING, starting("eci-1", LATER), replace(NEWER, id="eci-1")):
        action = plan(noting("eci-0"), [UNPLACED, replacement], Remembered(), node=NODE, now=NOW)
        assert isinstance(action, PatchStatus)
        assert action.body["metadata"]["annotations"] == NOTED


def test_where_others_are_known_than_the_noted_one_that_is_asked_about_first():
    """Of a list that lags: the pod has gone on to another since, and the note is all that tells of it."""
    before = noting("eci-1")
    for old in (starting("eci-0"), UNPLACED, instance(id="eci-0")):
        assert plan(before, [old], Remembered(), node=NODE, now=NOW) == VerifyInstance("eci-1")
        assert plan(before, [old, starting("eci-9", LATER)], Remembered(), node=NODE, now=NOW) == VerifyInstance(
            "eci-1"
        )
        for record in (Remembered(missing_id="eci-1"), Remembered(last=RUNNING)):
            action = plan(before, [old], record, node=NODE, now=NOW)
            assert isinstance(action, PatchStatus)
            assert action.body["metadata"]["annotations"] == {"virtual-kubelet.io/instance-id": "eci-0"}


def test_one_of_the_time_before_the_noted_one_does_not_come_back_when_that_finds_no_room():
    """By the cloud's times alone it may as well be the one in the noted one's place: it goes when that is known."""
    dead = starting("eci-1", LATER, InstanceStatus.SCHEDULE_FAILED)
    before, _ = settled(noting("eci-1"), [dead])
    for state in (InstanceStatus.SCHEDULING, InstanceStatus.UNKNOWN, InstanceStatus.TERMINATING):
        old = starting("eci-0", state=state)
        no_other_comes = RequeueAfter(DELETE_AGAIN_S)
        assert settled(before, [old, dead])[1] == no_other_comes
        known = Remembered(last_created_id="eci-1", earlier_ids={"eci-0": STARTED})
        assert settled(before, [old, dead], known)[1] == DeleteInstance(old, "a second instance of one pod")
        asked = replace(known, deletes={"eci-0": NOW.loop_s})
        assert settled(before, [old, dead], asked)[1] == no_other_comes


def test_one_that_may_be_in_the_noted_ones_place_stays_until_that_was_placed():
    """The noted one may have found no room since it was seen."""
    before, later = noting("eci-1"), starting("eci-2", LATER)
    delete = DeleteInstance(later, "a second instance of one pod")
    assert settled(before, [starting("eci-1"), later])[1] == Done()
    assert settled(before, [starting("eci-1", state=InstanceStatus.PENDING), later])[1] == delete
    made = Remembered(last_created_id="eci-1")
    assert settled(before, [starting("eci-1"), later], made)[1] == Done(), "another provider may have made it since"
    former = starting("eci-0", "2026-01-02T02:00:00Z")
    assert settled(before, [starting("eci-1"), former])[1] == Done(), "the cloud's clock may have been set back"
    known = replace(made, earlier_ids={"eci-0": former.created_at})
    delete = DeleteInstance(former, "a second instance of one pod")
    assert settled(before, [starting("eci-1"), former], known)[1] == delete


@pytest.mark.parametrize("created", ["2026-01-02T02:00:00Z", LATER])
def test_which_of_two_came_later_is_not_told_by_two_clocks(created):
    """Ours goes into what we made last, the cloud's into what it showed."""
    dead = starting("eci-1", state=InstanceStatus.SCHEDULE_FAILED)
    before, _ = settled(noting("eci-1"), [dead])
    other = starting("eci-2", created)
    asked = Remembered(earlier_ids={"eci-1": ""})
    for record in (replace(asked, last_created_id="eci-2"), asked):
        seen, _ = settled(before, [dead, other], record)
        assert seen["metadata"]["annotations"]["virtual-kubelet.io/instance-id"] == "eci-2"
        failed = replace(other, status=InstanceStatus.SCHEDULE_FAILED)
        assert settled(seen, [dead, failed], record)[1] == DeleteInstance(dead, "a second instance of one pod")
    former = Remembered(last_created_id="eci-1", earlier_ids={"eci-2": LATER})
    failed = replace(other, status=InstanceStatus.SCHEDULE_FAILED)
    for known in (other, failed):
        assert settled(before, [dead, known], former)[1] == DeleteInstance(known, "a second instance of one pod")


@pytest.mark.parametrize("created", ["2026-01-02T02:00:00Z", LATER])
def test_which_of_two_that_found_no_room_came_in_the_others_place_is_told_by_asking_for_another(created):
    """The cloud answers with the one that was made in the noted one's place, whoever made it; times tell nothing."""
    dead = starting("eci-1", state=InstanceStatus.SCHEDULE_FAILED)
    before, _ = settled(noting("eci-1"), [dead])
    other = starting("eci-2", created, InstanceStatus.SCHEDULE_FAILED)
    made = Remembered(last_created_id="eci-1")
    assert settled(before, [dead, other], made)[1] == Create("eci-1")
    asked = predecessors([dead, other], made.created)
    for answer, spare in ((other, dead), (starting("eci-3"), other)):
        record = Remembered(last_created_id=answer.id, earlier_ids=asked)
        seen, action = settled(before, [dead, other, answer] if answer is not other else [dead, other], record)
        assert seen["metadata"]["annotations"]["virtual-kubelet.io/instance-id"] == answer.id
        assert isinstance(action, DeleteInstance)
        assert action.instance in (spare, dead)


def test_nothing_is_one_too_many_beside_one_that_may_be_another_pods():
    """A create was answered with a wrong id: the one that it really made is the other."""
    dead = starting("eci-1", state=InstanceStatus.SCHEDULE_FAILED)
    before, _ = settled(noting("eci-1"), [dead])
    named = replace(starting("eci-9"), proven=False)
    for other in (starting("eci-2", LATER), starting("eci-2", LATER, InstanceStatus.SCHEDULE_FAILED)):
        action = settled(before, [dead, other, named], Remembered(last_created_id="eci-9"))[1]
        assert not isinstance(action, DeleteInstance)


def test_another_comes_in_the_place_of_one_that_went_before_the_pod_noted_it():
    """Asked again in the same place, the cloud would name that one again, for as long as it remembers the request."""
    dead = starting("eci-1", state=InstanceStatus.SCHEDULE_FAILED)
    before, _ = settled(noting("eci-1"), [dead])
    gone = starting("eci-2", LATER, InstanceStatus.SCHEDULE_FAILED)
    made = Remembered(last_created_id="eci-2", earlier_ids={"eci-1": ""}, last=gone)
    assert settled(before, [dead], made)[1] == Create("eci-2")
    of_another_time = replace(made, last_created_id="")
    assert settled(before, [dead], of_another_time)[1] == Create("eci-1")


def test_one_that_went_before_the_pod_noted_it_and_may_have_run_ends_the_pod_once_the_cloud_denies_it():
    dead = starting("eci-1", state=InstanceStatus.SCHEDULE_FAILED)
    before, _ = settled(noting("eci-1"), [dead])
    made = Remembered(last_created_id="eci-2", earlier_ids={"eci-1": ""}, last=starting("eci-2", LATER))
    assert settled(before, [dead], made)[1] == VerifyInstance("eci-2")
    seen, _ = settled(before, [dead], replace(made, missing_id="eci-2"))
    assert (seen["status"]["phase"], seen["status"]["reason"]) == ("Failed", "NotFound")


def test_a_forerunner_that_was_gone_and_is_shown_again_is_still_one_while_another_is_asked_for():
    dead = starting("eci-1", state=InstanceStatus.SCHEDULE_FAILED)
    before, _ = settled(noting("eci-1"), [dead])
    former = Remembered(earlier_ids=predecessors([UNPLACED], Remembered(last_created_id="eci-0").created))
    asked = Remembered(earlier_ids=predecessors([dead], replace(former, last_created_id="eci-1").created))
    assert asked.earlier_ids == {"eci-0": "", "eci-1": ""}
    again = starting("eci-0", LATER, InstanceStatus.SCHEDULE_FAILED)
    assert settled(before, [again, dead], asked)[1] == Create("eci-1"), "it goes when the answer tells what came last"
    answered = replace(asked, last_created_id="eci-2")
    _, action = settled(before, [again, dead, starting("eci-2")], answered)
    assert isinstance(action, DeleteInstance)
    assert action.instance in (again, dead)
    listed = Remembered(earlier_ids=predecessors([replace(dead, created_at=LATER)], Remembered().created))
    unknown = starting("eci-0")
    assert settled(before, [unknown, dead], listed)[1] == RequeueAfter(DELETE_AGAIN_S)
    for number in range(10):
        asked.earlier_ids = predecessors([starting(f"eci-{number}")], asked.created)
    assert len(asked.earlier_ids) == MAX_EARLIER_IDS + 1, "what is remembered is bounded"


def test_a_vanished_instance_fails_the_pod_only_after_the_cloud_denied_it():
    before, _ = settled(pod(), [RUNNING])
    assert plan(before, [], Remembered(), node=NODE, now=NOW) == VerifyInstance("eci-1")
    action = plan(before, [], Remembered(absent=True), node=NODE, now=NOW)
    assert isinstance(action, PatchStatus)
    assert action.body["status"]["phase"] == "Failed"
    assert action.problem is not None
    assert action.problem.reason == "NotFound"


@pytest.mark.parametrize(("state", "exit_code"), [(InstanceStatus.SUCCEEDED, 0), (InstanceStatus.FAILED, 3)])
def test_what_ended_by_itself_and_went_before_that_could_be_written_has_ended_as_it_did(state, exit_code):
    """While the API server was away (virtual seed 627): the pod failed as vanished, and got its exit codes later."""
    before, _ = settled(pod(), [RUNNING])
    last = instance(state, kind=StateKind.TERMINATED, exit_code=exit_code)
    record = Remembered(last=last)
    seen, action = settled(before, [], record)
    assert action == Done()
    assert seen["status"]["phase"] == state.value
    assert "reason" not in seen["status"], "nobody removed it while it ran"
    assert seen["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == exit_code
    assert all(each["type"] != "DisruptionTarget" for each in seen["status"]["conditions"])


def test_of_one_that_ended_and_went_with_its_exit_codes_untold_the_cloud_is_asked_before_any_is_guessed():
    """Its absence may be a gap in a list (virtual seed 5752): a guess is for good."""
    before, _ = settled(pod(), [RUNNING])
    for untold in (RUNNING.containers, ()):
        record = Remembered(last=replace(RUNNING, status=InstanceStatus.FAILED, containers=untold))
        assert plan(before, [], record, node=NODE, now=NOW) == VerifyInstance("eci-1")
    record.absent = True
    seen, _ = settled(before, [], record)
    assert seen["status"]["phase"] == "Failed"
    assert seen["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_of_one_that_never_was_placed_and_went_the_cloud_is_asked_and_another_comes_in_its_place():
    """It has ended by the cloud's word, yet nothing of it ever ran: no end is told, nor does the pod wait for good."""
    before = SERVER.patch(pod(), plan(pod(), [UNPLACED], Remembered(), node=NODE, now=NOW).body)
    record = Remembered(last=UNPLACED)
    assert plan(before, [], record, node=NODE, now=NOW) == VerifyInstance(UNPLACED.id)
    record.absent = True
    assert plan(before, [], record, node=NODE, now=NOW) == Create(UNPLACED.id)
    record.not_before_s = NOW.loop_s + 7
    assert plan(before, [], record, node=NODE, now=NOW) == RequeueAfter(7)
    record.not_before_s, record.next_candidate = 0.0, (UNPLACED.id, 1)
    record.problem = Problem("ContainerCreating", "sold out")
    noted = plan(before, [], record, node=NODE, now=NOW)
    assert noted.body["metadata"]["annotations"] == {pod_annotations.ATTEMPT: f"1 after {UNPLACED.id}"}
    assert plan(SERVER.patch(before, noted.body), [], record, node=NODE, now=NOW) == Create(UNPLACED.id, 1)


def test_of_one_that_vanished_as_it_stopped_the_exit_codes_come_with_its_end_and_nothing_after():
    before, _ = settled(pod(), [RUNNING])
    seen, action = settled(before, [], Remembered(last=STOPPED, absent=True))
    assert action == Done()
    assert (seen["status"]["phase"], seen["status"]["reason"]) == ("Failed", "NotFound")
    first = plan(before, [], Remembered(last=STOPPED, absent=True), node=NODE, now=NOW)
    assert first.body["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143


def test_deletion_reports_exit_codes_and_a_terminal_phase_before_the_object_goes():
    before, _ = settled(pod(), [RUNNING])
    before["metadata"].update(DELETING)
    seen, action = settled(before, [STOPPED], Remembered(deletes={"eci-1": 999.0}))
    assert seen["status"]["phase"] == "Failed"
    assert seen["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert action == RemovePod(), "nothing runs and the cloud was asked: how long it takes to clear up is its affair"
    assert plan(seen, [], Remembered(), node=NODE, now=NOW) == RemovePod()


def test_the_object_stays_while_the_cloud_was_not_asked_to_remove_the_instance():
    before, _ = settled(pod(), [RUNNING])
    before["metadata"].update(DELETING)
    seen, action = settled(before, [ENDED])
    assert (seen["status"]["phase"], type(action)) == ("Succeeded", DeleteInstance)


def test_deletion_uses_the_last_states_seen_when_the_instance_went_between_two_looks():
    before, _ = settled(pod(), [RUNNING])
    before["metadata"].update(DELETING)
    seen, action = settled(before, [], Remembered(last=STOPPED))
    assert seen["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    assert action == RemovePod()


def test_a_pod_deleted_before_it_ever_started_ends_failed_and_goes():
    seen, action = settled(pod(**DELETING), [])
    assert (seen["status"]["phase"], action) == ("Failed", RemovePod())


def test_a_removal_that_the_api_server_began_and_did_not_end_is_asked_for_again():
    """It writes the grace of 0 first, and dies before it removes the object (chaos seed 8001)."""
    half = terminal()
    half["metadata"].update(DELETING, deletionGracePeriodSeconds=0)
    for ago_s, wanted in ((1.0, RequeueAfter(REMOVE_AGAIN_S - 1.0)), (REMOVE_AGAIN_S, RemovePod())):
        record = Remembered(deleting_since_s=NOW.loop_s - ago_s)
        assert plan(half, [], record, node=NODE, now=NOW) == wanted, "what is on its way needs no second word"
    half["metadata"]["finalizers"] = ["example.com/hold"]
    assert plan(half, [], Remembered(deleting_since_s=0.0), node=NODE, now=NOW) == Done()


def test_a_pod_held_by_finalizers_is_not_deleted_again():
    gone, _ = settled(pod(**DELETING), [])
    gone["metadata"]["deletionGracePeriodSeconds"] = 0
    assert plan(gone, [], Remembered(), node=NODE, now=NOW) == Done()


def test_an_orphan_that_is_yet_to_be_made_by_our_clock_is_old_enough_after_its_age_all_the_same():
    """Our clock went back by an hour since it was made."""
    orphan = instance(created="2026-01-02T04:30:00Z")
    record = Remembered(orphaned_since_s=NOW.loop_s - 20.0)
    assert plan(None, [orphan], record, node=NODE, now=NOW) == RequeueAfter(NODE.orphan_age_s - 20.0)
    record = Remembered(orphaned_since_s=NOW.loop_s - NODE.orphan_age_s)
    assert plan(None, [orphan], record, node=NODE, now=NOW) == DeleteOrphan(orphan)


def test_an_accepted_delete_without_effect_is_asked_for_again():
    before, _ = settled(pod(), [RUNNING])
    before["metadata"].update(DELETING)
    later = Now(wall=WALL, loop_s=1000.0 + DELETE_AGAIN_S)
    record = Remembered(deletes={"eci-1": 1000.0})
    _, action = settled(before, [RUNNING], record)
    assert isinstance(action, RequeueAfter)
    assert isinstance(settled(before, [RUNNING], record, later)[1], DeleteInstance)


def test_a_terminating_instance_is_left_to_its_grace_and_then_ended():
    before, _ = settled(pod(), [RUNNING])
    before["metadata"].update(DELETING)
    stopping = replace(RUNNING, status=InstanceStatus.TERMINATING)

    def after(seconds, record, **changes):
        subject = {**before, "metadata": {**before["metadata"], **changes}}
        return settled(subject, [stopping], record, Now(wall=WALL, loop_s=1000.0 + seconds))[1]

    record = Remembered(deletes={"eci-1": 1000.0})
    ended = DeleteInstance(stopping, "its grace is over", force=True)
    assert after(0, record) == RequeueAfter(30 + GRACE_SLACK_S)
    assert after(DELETE_STATUS_DEBOUNCE_S, record) == RequeueAfter(30 + GRACE_SLACK_S - DELETE_STATUS_DEBOUNCE_S)
    assert after(30 + GRACE_SLACK_S, record) == ended
    assert after(1 + GRACE_SLACK_S, record, deletionGracePeriodSeconds=1) == ended, "a grace may be shortened"
    forced = Remembered(deletes={"eci-1": 1000.0}, forced_id="eci-1")
    assert after(600, forced) == RequeueAfter(DELETE_AGAIN_S), "once is enough while it is going"


def past_deadline():
    seen, _ = settled(pod(spec={"activeDeadlineSeconds": 60}), [RUNNING], now=replace(NOW, wall=WALL - timedelta(61)))
    return seen


def test_the_deadline_stops_the_instance_first_and_fails_the_pod_when_nothing_runs():
    late = past_deadline()
    assert plan(late, [RUNNING], Remembered(), node=NODE, now=NOW) == DeleteInstance(
        RUNNING, "DeadlineExceeded", killing=True
    )
    seen, _ = settled(late, [STOPPED], Remembered(deletes={"eci-1": 999.0}))
    assert (seen["status"]["phase"], seen["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_the_deadline_holds_when_the_instance_went_unseen():
    seen, _ = settled(past_deadline(), [], Remembered(absent=True))
    assert seen["status"]["reason"] == "DeadlineExceeded"


def test_before_the_deadline_the_pod_is_looked_at_again_in_time():
    seen, action = settled(pod(spec={"activeDeadlineSeconds": 60}), [RUNNING])
    assert action == RequeueAfter(60)
    assert seen["status"]["phase"] == "Running"


def test_a_refused_pod_fails_with_the_reason():
    refusal = Problem("UnsupportedPod", "spec.volumes[0].hostPath: there is no host")
    action = plan(pod(), [], Remembered(refusal=refusal), node=NODE, now=NOW)
    assert isinstance(action, PatchStatus)
    assert (action.body["status"]["phase"], action.problem) == ("Failed", refusal)


def test_a_problem_that_may_pass_is_shown_and_waited_for():
    record = Remembered(
        not_before_s=1005, problem=Problem("CreateContainerConfigError", 'secret "x" not found', "main")
    )
    seen, action = settled(pod(), [], record)
    assert seen["status"]["phase"] == "Pending"
    assert seen["status"]["containerStatuses"][0]["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'secret "x" not found',
    }
    assert action == RequeueAfter(5)


def daemon():
    return pod(ownerReferences=[{"kind": "DaemonSet", "name": "agent", "controller": True}])


def test_a_daemon_pod_waits_with_a_reason_and_never_gets_an_instance():
    seen, action = settled(daemon(), [])
    assert (seen["status"]["phase"], action) == ("Pending", Done())
    assert seen["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "DaemonSetNotSupported"


def test_a_daemon_pod_fails_where_the_operator_wants_that():
    action = plan(daemon(), [], Remembered(), node=replace(NODE, fail_daemon_pods=True), now=NOW)
    assert isinstance(action, PatchStatus)
    assert action.body["status"]["phase"] == "Failed"


# --- for every input ---

STATES = st.sampled_from(list(InstanceStatus))
KINDS = st.sampled_from(list(StateKind))
INSTANCES = st.lists(
    st.builds(
        instance, STATES, id=st.sampled_from(["eci-1", "eci-2"]), kind=KINDS, exit_code=st.sampled_from([0, 1, 137])
    ),
    max_size=2,
    unique_by=lambda each: each.id,
)
RECORDS = st.builds(
    Remembered,
    seen=st.booleans(),
    in_doubt=st.booleans(),
    absent=st.booleans(),
    not_before_s=st.sampled_from([0.0, 1005.0]),
    deletes=st.dictionaries(st.sampled_from(["eci-1", "eci-2"]), st.sampled_from([0.0, 999.0])),
)
PODS = st.builds(
    lambda policy, noted, deleting: pod(
        restartPolicy=policy, annotations=NOTED if noted else {}, **(DELETING if deleting else {})
    ),
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=examples(400), deadline=None)
@given(PODS, st.lists(INSTANCES, min_size=1, max_size=4), RECORDS)
def test_whatever_the_cloud_says_patches_come_to_rest_and_terminal_stays_terminal(subject, history, record):
    phase_before = None
    for instances in history:
        subject, action = settled(subject, instances, record)
        phase = subject["status"].get("phase")
        if phase_before in ("Succeeded", "Failed"):
            assert phase == phase_before
        phase_before = phase
        if isinstance(action, Create):
            placed = [each for each in instances if each.status is not InstanceStatus.SCHEDULE_FAILED]
            assert not placed, "a pod never gets a second instance"
            assert not subject["metadata"].get("deletionTimestamp")
            assert phase not in ("Succeeded", "Failed")
        if isinstance(action, RemovePod):
            asked = [each for each in instances if each.id in record.deletes and status.all_stopped(each)]
            assert asked == instances, "the object goes only after the instance, or when nothing of that runs any more"
            assert subject["metadata"].get("deletionTimestamp")
            assert phase in ("Succeeded", "Failed")
        if isinstance(action, DeleteInstance):
            keep = not subject["metadata"].get("deletionTimestamp") and phase not in ("Succeeded", "Failed")
            assert not keep or len(instances) > 1, "the instance of a living pod is not deleted"


@given(st.lists(INSTANCES, min_size=1, max_size=3), RECORDS)
def test_no_instance_without_a_pod_is_ever_patched_or_created(history, record):
    for instances in history:
        action = plan(None, instances, record, node=NODE, now=NOW)
        assert isinstance(action, (Done, RequeueAfter, DeleteOrphan))
        assert not isinstance(action, Done) or not instances


def test_the_status_of_a_plain_job_pod_takes_three_patches():
    subject, patches, record = pod(), 0, Remembered()
    for seen in (
        instance(InstanceStatus.SCHEDULING, kind=StateKind.WAITING),
        instance(InstanceStatus.PENDING, kind=StateKind.WAITING),
        RUNNING,
        ENDED,
    ):
        while isinstance(action := plan(subject, [seen], record, node=NODE, now=NOW), PatchStatus):
            subject, patches = SERVER.patch(subject, action.body), patches + 1
    assert subject["status"]["phase"] == "Succeeded"
    assert patches <= 3
    assert status.all_stopped(ENDED)


COMING = instance(InstanceStatus.PENDING, kind=StateKind.WAITING)


def then(subject, seen=RUNNING, record=None, **facts):
    return plan(subject, [seen], record or Remembered(), node=NODE, now=NOW, **facts).then


@pytest.mark.parametrize("seen", [COMING, RUNNING])
def test_a_patch_foresees_that_the_pod_is_at_rest(seen):
    assert then(pod(), seen) == Done()


def test_a_patch_foresees_nothing_where_it_changes_more_than_what_it_says():
    limited = {"activeDeadlineSeconds": 60}
    assert then(pod(), ENDED) is None, "an end is followed by what becomes of the instance"
    assert then(pod(spec=limited)) is None, "its deadline runs from the start that the patch writes"
    both = [UNPLACED, RUNNING]
    assert plan(noting("eci-0"), both, Remembered(), node=NODE, now=NOW).then is None, "it notes which one stays"
    waits = ContainerState(StateKind.WAITING, reason="ImagePullBackOff")
    troubled = replace(COMING, containers=(ContainerReport("main", waits),))
    assert then(pod(), troubled) is None, "what may end its trouble is watched from then on"
    assert then(settled(pod(), [troubled])[0]) is None, "and no longer from then on"
    anew = replace(RUNNING, containers=tuple(replace(each, restart_count=1) for each in RUNNING.containers))
    assert then(pod(), anew) is None
    assert then(pod(), failing=Failure("eci-1", "main", "liveness")) is None
    assert then(pod(), record=Remembered(only_sidecars_since_s=NOW.loop_s)) is None
    shown = FileState(LiveSources(fields=("metadata.annotations",)))
    assert then(pod(), files=shown) is None, "the pod shows its own annotations in a file"
    assert then(pod(annotations=NOTED), files=shown) == Done()


def test_a_patch_foresees_the_deadline_of_a_pod_that_has_started():
    subject, _ = settled(pod(spec={"activeDeadlineSeconds": 600}), [COMING])
    assert isinstance(then(subject), RequeueAfter)


def crowded(subject, seen, record, *, others_wait=True):
    return plan(subject, [seen], record, node=NODE, now=replace(NOW, crowded=others_wait))


def test_while_others_wait_for_their_turn_one_that_has_not_started_is_not_written_about():
    made = Remembered(made_s=NOW.loop_s - 1.0)
    assert crowded(pod(), COMING, made) == RequeueAfter(START_STATUS_DEBOUNCE_S - 1.0)
    assert isinstance(crowded(pod(), COMING, made, others_wait=False), PatchStatus)
    assert isinstance(crowded(pod(), COMING, Remembered(made_s=NOW.loop_s - START_STATUS_DEBOUNCE_S)), PatchStatus), (
        "it takes long"
    )
    assert isinstance(crowded(pod(), COMING, Remembered()), PatchStatus), "an earlier life made it"
    assert crowded(pod(), RUNNING, made).body["metadata"]["annotations"] == NOTED


@pytest.mark.parametrize(
    "news",
    [
        pytest.param({"conditions": (CloudCondition("ContainerInstanceCreated", "False", "NoStock", "…"),)}, id="bad"),
        pytest.param(
            {"containers": (ContainerReport("main", ContainerState(StateKind.WAITING, reason="ImagePullBackOff")),)},
            id="no image",
        ),
        pytest.param({"status": InstanceStatus.TERMINATING}, id="somebody stops it"),
    ],
)
def test_trouble_is_written_at_once_however_many_wait(news):
    made = Remembered(made_s=NOW.loop_s)
    assert isinstance(crowded(pod(), replace(COMING, **news), made), PatchStatus)


def test_what_was_said_once_is_kept_up_to_date_however_many_wait():
    subject, _ = settled(pod(), [COMING])
    subject["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff"}}
    assert isinstance(crowded(subject, COMING, Remembered(made_s=NOW.loop_s)), PatchStatus)


def test_an_instance_that_goes_before_it_was_noted_was_there_all_the_same():
    record = Remembered(made_s=NOW.loop_s, last=COMING)
    assert plan(pod(), [], record, node=NODE, now=NOW) == VerifyInstance("eci-1")
    record.absent = True
    assert plan(pod(), [], record, node=NODE, now=NOW).body["status"]["phase"] == "Failed"
    unplaced = Remembered(last=instance(InstanceStatus.SCHEDULE_FAILED, kind=StateKind.WAITING))
    assert isinstance(plan(pod(), [], unplaced, node=NODE, now=NOW), Create)


def test_one_that_stops_is_written_about_once_it_has_stopped_or_takes_long():
    gone_s = NOW.loop_s - 1.0
    just_asked = Remembered(deletes={"eci-1": gone_s}, deleting_since_s=gone_s)
    seen, _ = settled(pod(), [RUNNING])
    leaving = {**seen, "metadata": {**seen["metadata"], **DELETING}}
    assert not isinstance(plan(leaving, [RUNNING], just_asked, node=NODE, now=NOW), PatchStatus), "it is still Ready"
    again = replace(RUNNING, containers=tuple(replace(each, restart_count=1) for each in RUNNING.containers))
    assert plan(leaving, [again], just_asked, node=NODE, now=NOW) == RequeueAfter(DELETE_STATUS_DEBOUNCE_S - 1.0)
    long_asked = Remembered(deletes={"eci-1": NOW.loop_s - DELETE_STATUS_DEBOUNCE_S}, deleting_since_s=gone_s)
    action = plan(leaving, [again], long_asked, node=NODE, now=NOW)
    assert [each["restartCount"] for each in action.body["status"]["containerStatuses"]] == [1]


@given(st.floats(0.1, 1e6), st.floats(0.0, DELETE_STATUS_DEBOUNCE_S))
def test_a_wait_for_one_that_stops_gets_to_its_end(asked_s, later_s):
    """Whatever the rounding: a wait that ends a hair too early must not be followed by another of no length."""
    seen, _ = settled(pod(), [RUNNING])
    leaving = {**seen, "metadata": {**seen["metadata"], **DELETING}}
    record = Remembered(deletes={"eci-1": asked_s}, deleting_since_s=asked_s)
    now_s = asked_s + later_s
    for _ in range(3):
        action = plan(leaving, [RUNNING], record, node=NODE, now=Now(wall=WALL, loop_s=now_s))
        if not isinstance(action, RequeueAfter):
            return
        now_s += action.seconds
    raise AssertionError(f"still waiting: {action}")
