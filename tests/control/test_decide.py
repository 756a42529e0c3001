"""RULES is the table of the docstring and of the guide, row by row, and each row does what it says."""

from __future__ import annotations

import typing
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.control.remembered import Remembered, observed
from tests.control.test_plan import (
    COMING,
    DELETING,
    ENDED,
    INSTANCES,
    MIRROR,
    NODE,
    NOW,
    PODS,
    RUNNING,
    STOPPED,
    UNPLACED,
    daemon,
    instance,
    noting,
    past_deadline,
    pod,
    settled,
    starting,
    terminal,
)
from tests.test_guides import ARCHITECTURE, rows, section
from vk_provider.control import actions, decide, pod_annotations
from vk_provider.control.actions import FailedRun
from vk_provider.control.decide import RULES, UNPROVEN, Rule
from vk_provider.control.drift import SpecDrift
from vk_provider.control.memory import Problem
from vk_provider.control.observation import OwnState, PodState
from vk_provider.control.policy import Hold, Reject
from vk_provider.control.stop_order import StopOrder
from vk_provider.files.staleness import FileState
from vk_provider.model.instance import InstanceStatus, StateKind
from vk_provider.model.probe import Failure
from vk_provider.model.workload import Intent, NoCapacity
from vk_provider.translate.file_sources import LiveSources

ANY_POD = (PodState.LIVE, PodState.DELETING, PodState.TERMINAL, PodState.LEAVING)
SOME = (OwnState.UNPLACED, OwnState.PRESENT, OwnState.ENDED)


def pods_of(rule: Rule) -> str:
    return "any" if tuple(rule.pods) == ANY_POD else ", ".join(rule.pods)


def instances_of(rule: Rule) -> str:
    if tuple(rule.owns) == tuple(OwnState):
        return "any"
    return "some" if tuple(rule.owns) == SOME else ", ".join(rule.owns)


def documented() -> dict[str, set[str]]:
    """By rule: the actions that it may give, by the docstring."""
    return {row[0]: set(row[3].split(", ")) for row in rows(decide.__doc__ or "")}


def test_the_rules_are_the_rows_of_the_docstring_in_their_order():
    table = [row[:3] for row in rows(decide.__doc__ or "")]
    assert table == [
        *([rule.name, pods_of(rule), instances_of(rule)] for rule in RULES),
        ["(any)", "any", "not proven"],
    ]


def test_the_guides_table_is_that_of_the_docstring_with_the_reasons():
    guide = [[cell.replace("`", "") for cell in row] for row in rows(section(ARCHITECTURE, "The decision table"))]
    reasons = [*(rule.reason for rule in RULES), UNPROVEN]
    table = rows(decide.__doc__ or "")
    assert guide == [[*row[:3], reason, row[3]] for row, reason in zip(table, reasons, strict=True)]


def test_the_table_has_every_action_and_no_other():
    every = {each.__name__ for each in typing.get_args(actions.Action)}
    assert set().union(*documented().values()) == every


def test_each_rule_is_told_from_the_others_by_its_reason():
    assert len({rule.reason for rule in RULES} | {UNPROVEN}) == len(RULES) + 1


# --- an example for each rule and each of its actions ---

LEAVING = {**DELETING, "finalizers": []}
DRIFT = SpecDrift(images=frozenset({"main"}), since_s=0.0)
FAILING = Failure("eci-1", "main", "liveness")
WAITS = Problem("ContainerCreating", "no stock")
STALE = FileState(LiveSources(), wants="new", stale_since_s=0.0)
FRESH = replace(STALE, retry_at_s=NOW.loop_s + 5)
RECLAIM = StopOrder("Preempted", "reclaimed", phase="Failed", disruption=True, grace_s=10.0)
YOUNG = instance(created="2026-01-02T03:03:35Z")


def running(**changes):
    return settled(pod(**changes), [RUNNING])[0]


def restarting():
    return running(restartPolicy="Always")


def found_no_room():
    return settled(noting("eci-0"), [UNPLACED])[0]


def deleted(subject, **changes):
    return {**subject, "metadata": {**subject["metadata"], **DELETING, **changes}}


def left(**changes):
    """Terminal and being deleted."""
    return deleted(terminal(), **changes)


def sleeping():
    hook = {"preStop": {"sleep": {"seconds": 20}}}
    return pod(spec={"containers": [{"name": "main", "image": "perl", "lifecycle": hook}]})


def spoilt():
    done = terminal()
    return {**done, "status": {**done["status"], "conditions": []}}


def gave_up():
    return pod(status={"phase": "Pending", "reason": "ContainerInstanceScheduleFailed"})


def to_make_way():
    before = noting("eci-1")
    before["metadata"]["annotations"][pod_annotations.MADE_WAY] = "eci-1 1"
    return before


def without_condition(subject):
    return {**subject, "status": {**subject["status"], "conditions": []}}


def made_way():
    return settled(to_make_way(), [COMING], Remembered(drift=DRIFT))[0]


def waiting():
    return settled(pod(), [], Remembered(not_before_s=NOW.loop_s + 9, problem=WAITS))[0]


def asleep():
    return settled(deleted(sleeping()), [RUNNING], ASLEEP)[0]


ASLEEP = Remembered(deleting_since_s=NOW.loop_s)
REFUSED = Remembered(refusal=WAITS, refuse_at_s=NOW.loop_s + 9)
NOT_YET = Remembered(not_before_s=NOW.loop_s + 9, problem=WAITS)
WITH_SUCCESSOR = Remembered(last=COMING, last_created_id="eci-1")
SUCCESSOR_GONE = replace(WITH_SUCCESSOR, missing_id="eci-1")
UNREAD = {"unread": [FailedRun("main", "", False)]}
OLDER = starting("eci-1", "2026-01-02T02:00:00Z")
STAY = Intent(on_no_capacity=NoCapacity.STAY_PENDING)
SENT = Remembered(deletes={"eci-1": NOW.loop_s - 1})
LATE = instance(InstanceStatus.FAILED, kind=StateKind.RUNNING)

EXAMPLES = [
    # rule, pod, instances, memory, facts, action
    ("nothing_left", lambda: None, [], Remembered(), {}, "Done"),
    ("orphan", lambda: None, [RUNNING], Remembered(seen=True), {}, "DeleteOrphan"),
    ("orphan", lambda: None, [YOUNG], Remembered(), {}, "RequeueAfter"),
    ("not_ours", lambda: pod(annotations=MIRROR), [], Remembered(), {}, "Done"),
    ("patch_unanswered", running, [RUNNING], Remembered(write_in_doubt=True), {}, "ReadPod"),
    ("noted_but_unlisted", lambda: noting("eci-9"), [RUNNING], Remembered(), {}, "VerifyInstance"),
    ("surplus", running, [RUNNING, instance(id="eci-2")], Remembered(), {}, "DeleteInstance"),
    (
        "message_unread",
        running,
        [RUNNING],
        Remembered(),
        UNREAD,
        "ReadTerminationMessages",
    ),
    ("overwritten", spoilt, [ENDED], Remembered(), {}, "PatchStatus"),
    ("has_ended", terminal, [ENDED], Remembered(), {}, "Done"),
    ("no_longer_wanted", terminal, [RUNNING], Remembered(), {}, "DeleteInstance"),
    ("no_longer_wanted", terminal, [RUNNING], SENT, {}, "RequeueAfter"),
    ("removal", left, [STOPPED], SENT, {}, "RemovePod"),
    (
        "removal",
        lambda: left(deletionGracePeriodSeconds=0),
        [],
        Remembered(deleting_since_s=NOW.loop_s),
        {},
        "RequeueAfter",
    ),
    ("removal", lambda: left(deletionGracePeriodSeconds=0, finalizers=["x"]), [], Remembered(), {}, "Done"),
    ("create_unanswered", lambda: pod(**DELETING), [], Remembered(in_doubt=True), {}, "VerifyInstance"),
    ("last_states", lambda: deleted(running()), [STOPPED], SENT, {}, "PatchStatus"),
    ("pre_stop_sleep", lambda: deleted(sleeping()), [RUNNING], ASLEEP, {}, "PatchStatus"),
    ("pre_stop_sleep", asleep, [RUNNING], ASLEEP, {}, "RequeueAfter"),
    ("stop_deleted", lambda: deleted(running()), [RUNNING], Remembered(), {}, "DeleteInstance"),
    (
        "grace_over",
        lambda: deleted(running()),
        [RUNNING],
        Remembered(deletes={"eci-1": NOW.loop_s - 50}),
        {},
        "DeleteInstance",
    ),
    ("is_stopping", lambda: deleted(running()), [RUNNING], SENT, {}, "RequeueAfter"),
    (
        "is_stopping",
        lambda: deleted(pod()),
        [RUNNING],
        Remembered(deletes={"eci-1": NOW.loop_s - 9}),
        {},
        "PatchStatus",
    ),
    ("daemon", daemon, [], Remembered(), {}, "PatchStatus"),
    ("daemon", lambda: settled(daemon(), [])[0], [], Remembered(), {}, "Done"),
    ("refused", pod, [], Remembered(refusal=WAITS), {}, "PatchStatus"),
    ("refused", lambda: settled(pod(), [], REFUSED)[0], [], REFUSED, {}, "RequeueAfter"),
    ("stop_as_failed", past_deadline, [STOPPED], SENT, {}, "PatchStatus"),
    ("stop_as_failed", past_deadline, [RUNNING], Remembered(), {}, "DeleteInstance"),
    ("stop_as_failed", past_deadline, [RUNNING], SENT, {}, "RequeueAfter"),
    ("ended_unseen", running, [], Remembered(last=ENDED), {}, "PatchStatus"),
    ("unlisted", running, [], Remembered(), {}, "VerifyInstance"),
    ("vanished", running, [], Remembered(absent=True), {}, "PatchStatus"),
    ("not_admitted", pod, [], Remembered(), {"not_admitted": Hold("Wait", "a moment")}, "PatchStatus"),
    ("not_admitted", pod, [UNPLACED], Remembered(), {"not_admitted": Hold("Wait", "a moment")}, "RequeueAfter"),
    ("not_admitted", pod, [], Remembered(), {"not_admitted": Reject("No", "never")}, "Refuse"),
    ("intent_unknown", pod, [], Remembered(), {"intent": None}, "FetchIntent"),
    (
        "intent_unknown",
        pod,
        [],
        Remembered(not_before_s=NOW.loop_s + 9, problem=WAITS),
        {"intent": None},
        "PatchStatus",
    ),
    ("intent_unknown", pod, [], Remembered(not_before_s=NOW.loop_s + 9), {"intent": None}, "RequeueAfter"),
    ("unplaced_unreported", pod, [UNPLACED], Remembered(), {}, "PatchStatus"),
    ("gave_up", gave_up, [], Remembered(problem=WAITS), {"intent": STAY}, "PatchStatus"),
    ("gave_up", gave_up, [], Remembered(), {"intent": STAY}, "Done"),
    ("not_yet", pod, [], NOT_YET, {}, "PatchStatus"),
    ("not_yet", waiting, [], NOT_YET, {}, "RequeueAfter"),
    (
        "another_exists",
        found_no_room,
        [UNPLACED, OLDER],
        Remembered(deletes={"eci-1": NOW.loop_s}),
        {},
        "RequeueAfter",
    ),
    ("successor_gone", found_no_room, [UNPLACED], WITH_SUCCESSOR, {}, "VerifyInstance"),
    ("successor_gone", found_no_room, [UNPLACED], SUCCESSOR_GONE, {}, "PatchStatus"),
    ("create", pod, [], Remembered(), {}, "Create"),
    ("exit_codes_missing", running, [LATE], Remembered(ended_s=NOW.loop_s - 60), {}, "VerifyInstance"),
    ("makes_way", lambda: without_condition(to_make_way()), [COMING], Remembered(drift=DRIFT), {}, "PatchStatus"),
    ("makes_way", made_way, [COMING], Remembered(drift=DRIFT), {}, "MakeWay"),
    ("makes_way", made_way, [COMING], Remembered(drift=DRIFT, deletes={"eci-1": NOW.loop_s}), {}, "RequeueAfter"),
    ("status_differs", pod, [RUNNING], Remembered(), {}, "PatchStatus"),
    (
        "status_differs",
        pod,
        [COMING],
        Remembered(made_s=NOW.loop_s),
        {"now": replace(NOW, crowded=True)},
        "RequeueAfter",
    ),
    ("drifted", restarting, [RUNNING], Remembered(drift=DRIFT), {}, "UpdateContainers"),
    ("probe_failed", restarting, [RUNNING], Remembered(), {"failing": FAILING}, "Restart"),
    (
        "probe_failed",
        restarting,
        [RUNNING],
        Remembered(restart_at_s=NOW.loop_s + 5),
        {"failing": FAILING},
        "RequeueAfter",
    ),
    ("stop_by_order", running, [RUNNING], Remembered(), {"failing": FAILING}, "DeleteInstance"),
    ("stop_by_order", running, [RUNNING], Remembered(only_sidecars_since_s=NOW.loop_s), {}, "RequeueAfter"),
    ("exit_codes_awaited", running, [LATE], Remembered(ended_s=NOW.loop_s), {}, "RequeueAfter"),
    ("files_outdated", running, [RUNNING], Remembered(), {"files": STALE}, "UpdateFiles"),
    ("at_rest", running, [RUNNING], Remembered(), {}, "Done"),
    ("at_rest", running, [RUNNING], Remembered(), {"files": FRESH}, "RequeueAfter"),
]


@pytest.mark.parametrize(
    ("rule", "subject", "instances", "record", "facts", "action"),
    [pytest.param(*each, id=f"{each[0]}: {each[-1]}") for each in EXAMPLES],
)
def test_each_row_does_what_it_says(rule, subject, instances, record, facts, action):
    assert told(subject(), instances, record, **facts) == (rule, action)


def test_there_is_an_example_for_each_action_of_each_row():
    shown = defaultdict(set)
    for rule, *_, action in EXAMPLES:
        shown[rule].add(action)
    assert {**shown, "(any)": {"VerifyInstance"}} == documented()


def test_what_is_not_proven_to_be_the_pods_is_verified_before_it_is_touched():
    unproven = replace(RUNNING, proven=False)
    seen = observed(terminal(), [unproven], Remembered(), node=NODE, now=NOW)
    assert decide.decide(seen, Remembered().memory) == (actions.VerifyInstance("eci-1"), UNPROVEN)


def told(subject, instances, record, *, now=NOW, **facts) -> tuple[str, str]:
    """The rule that answers, and its action."""
    seen = observed(subject, instances, record, node=NODE, now=now, **facts)
    action, reason = decide.decide(seen, record.memory)
    name = next((rule.name for rule in RULES if rule.reason == reason), "(any)")
    return name, type(action).__name__


MEMORIES = st.builds(
    Remembered,
    seen=st.booleans(),
    in_doubt=st.booleans(),
    absent=st.booleans(),
    write_in_doubt=st.sampled_from([False, False, True]),
    not_before_s=st.sampled_from([0.0, 1005.0]),
    problem=st.sampled_from([None, WAITS]),
    last=st.sampled_from([None, RUNNING, ENDED, UNPLACED]),
    ended_s=st.sampled_from([None, 0.0, 999.0]),
    only_sidecars_since_s=st.sampled_from([None, 0.0]),
    deletes=st.dictionaries(st.sampled_from(["eci-1", "eci-2"]), st.sampled_from([0.0, 900.0, 999.0])),
)


@settings(max_examples=300, deadline=None)
@given(PODS | st.none(), INSTANCES, MEMORIES, st.sampled_from([None, RECLAIM, StopOrder("over")]), st.booleans())
def test_whatever_is_observed_a_rule_answers_and_with_an_action_of_its_row(subject, instances, record, order, known):
    facts = {"ordered": order, "intent": Intent() if known else None}
    rule, action = told(subject, instances, record, **facts)
    assert action in documented()[rule]
