"""An auditor that cannot complain proves nothing: each rule broken once, and the same world unbroken."""

from dataclasses import replace

import pytest

from tests.chaos.auditor import MIRRORED, Evidence, complaints

UID = "uid-1"


def status(phase, *, code=None, restarts=0, **more):
    state = {"running": {"startedAt": "2026-01-02T03:00:01Z"}}
    if code is not None:
        word = "Completed" if code == 0 else "Error"
        state = {"terminated": {"exitCode": code, "startedAt": "2026-01-02T03:00:01Z", "reason": word}}
    containers = [{"name": "c", "restartCount": restarts, "state": state}]
    return {"phase": phase, "startTime": "2026-01-02T03:00:00Z", "containerStatuses": containers, **more}


def event(reason="Started", message="Started container c", at="2026-01-02T03:00:01Z"):
    return {
        "metadata": {"name": f"{reason}.{at}", "annotations": {MIRRORED: "vk"}},
        "involvedObject": {"uid": UID},
        "reason": reason,
        "message": message,
        "firstTimestamp": at,
    }


def group(id_="eci-1", *, billing=False, pending="2026-01-02T03:00:00Z", seconds=3, uid=UID):
    return {
        "id": id_,
        "name": "chaos-good1-x",
        "tags": {"vk-pod-uid": uid},
        "billing": billing,
        "pending": pending,
        "billed_seconds": seconds,
    }


def state(new, when, id_="eci-1"):
    return {"kind": "state", "id": id_, "new": new, "when": when}


ENDED = status("Succeeded", code=0)
POD = {"metadata": {"name": "good1-x", "uid": UID}, "status": ENDED}
GOOD = Evidence(
    statuses={UID: [{}, {"phase": "Pending"}, status("Running"), ENDED]},
    names={UID: "good1-x"},
    pods=[POD],
    jobs=[{"metadata": {"name": "good1"}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}],
    deployments=[{"metadata": {"name": "web1"}, "spec": {"replicas": 2}, "status": {"readyReplicas": 2}}],
    events=[event()],
    live_groups=[group()],
    groups_ever=[group()],
    journal=[state("Pending", 10.2), state("Running", 11.0), state("Succeeded", 13.1)],
    exit_codes={"good": 0, "bad": 3},
    provider_log="created pod=chaos/good1-x",
    secrets=("s3cret",),
)


def with_statuses(*history):
    return replace(GOOD, statuses={UID: list(history)}, pods=[{**POD, "status": history[-1]}])


OWED = {"reason": "Started", "message": "Started container c", "at": "2026-01-02T03:00:01Z", "count": 1}
STOP = {"reason": "Killing", "message": "Stopping container c"}
LONG = [state("Pending", 10.2), state("Running", 11.0), state("Gone", 300.2)]
BROKEN = {
    "had 2 instances": replace(
        GOOD,
        groups_ever=[group(), group("eci-2")],
        journal=[*GOOD.journal, *(state(new, when, "eci-2") for new, when in (("Pending", 10.2), ("Succeeded", 13.1)))],
    ),
    "still has 2 instances": replace(
        GOOD,
        extra={UID: 1},
        live_groups=[group(), group("eci-2")],
        groups_ever=[group(), group("eci-2")],
        journal=[*GOOD.journal, *(state(new, when, "eci-2") for new, when in (("Pending", 10.2), ("Succeeded", 13.1)))],
    ),
    "has no pod and is still there": replace(GOOD, live_groups=[group(uid="uid-of-nobody")]),
    "is billed though its pod": replace(GOOD, live_groups=[group(billing=True)]),
    "job good1 should be Complete": replace(GOOD, jobs=[{"metadata": {"name": "good1"}, "status": {}}]),
    "ended Failed with [3], its program with 0": with_statuses(status("Failed", code=3)),
    "ended Succeeded with [None]": with_statuses(status("Succeeded")),
    "1 pods say that they were disrupted, 0 were": with_statuses(status("Failed", reason="NotFound")),
    "containerStatuses changed after it had ended": with_statuses(ENDED, status("Succeeded", code=0, restarts=1)),
    "went from Running to Pending": with_statuses(status("Running"), status("Pending"), ENDED),
    "startTime changed": with_statuses(status("Running"), {**ENDED, "startTime": "2026-01-02T04:00:00Z"}),
    "counts fewer restarts": with_statuses(status("Running", restarts=2), status("Running", restarts=1), ENDED),
    "is still Pending": with_statuses({"phase": "Pending"}),
    "is still being deleted": replace(GOOD, pods=[{**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "x"}}]),
    "deployment web1 has 0 ready of 2": replace(GOOD, deployments=[{**GOOD.deployments[0], "status": {}}]),
    "was told 2 times": replace(GOOD, events=[event(), event()]),
    "no event says that it started": replace(GOOD, events=[event("Pulled")]),
    "is billed 9 s and lasted": replace(GOOD, groups_ever=[group(seconds=9)]),
    "knows no end of it": replace(GOOD, journal=GOOD.journal[:1]),
    "a secret stands in": replace(GOOD, provider_log="key=s3cret"),
    "2 instances were asked for": replace(GOOD, starts={UID: 2}),
    "runs again without a restart": with_statuses(status("Running", code=1), status("Running"), ENDED),
    "its program ends by itself": with_statuses(status("Running")),
    "has no instance that does": with_statuses(status("Running")),
    "was never told: Pulled": replace(GOOD, owed=[(UID, {"reason": "Pulled", "message": "p", "at": "x", "count": 1})]),
    "was told that it happened 1 times, and it did 3": replace(GOOD, owed=[(UID, {**OWED, "count": 3})]),
    "never told: Stopping container c": replace(GOOD, owed=[(UID, {**OWED, **STOP})]),
    "told 2 times: Stopping container c": replace(
        GOOD, events=[event(), {**event(), **STOP}, {**event(at="x"), **STOP}]
    ),
    "ran on for 290 s after the end": replace(GOOD, ended={UID: 10.2}, journal=LONG, groups_ever=[group(seconds=300)]),
    "says that it was disrupted, and was not": replace(
        with_statuses(status("Failed", reason="NotFound")), disruptions=1, disrupted=frozenset()
    ),
    "and nobody deleted it": replace(with_statuses(status("Failed", code=137)), deleted=frozenset()),
    "or by being stopped": replace(with_statuses(status("Failed", code=9)), deleted=frozenset({UID})),
}


def test_a_world_as_it_should_be_gives_no_complaint():
    assert complaints(GOOD) == []


@pytest.mark.parametrize("expected", BROKEN)
def test_each_rule_when_broken_is_complained_of(expected):
    assert any(expected in line for line in complaints(BROKEN[expected])), complaints(BROKEN[expected])


def test_a_first_instance_that_was_never_placed_is_no_second_one():
    unplaced = group("eci-0", pending="", seconds=0)
    assert complaints(replace(GOOD, groups_ever=[unplaced, group()])) == []


def test_a_disruption_on_purpose_may_end_as_many_pods_as_it_met():
    taken = with_statuses(status("Failed", reason="NotFound"))
    assert complaints(replace(taken, disruptions=1)) == []


def test_of_an_instance_that_others_doubled_one_is_to_be_left():
    doubled = BROKEN["still has 2 instances"]
    assert complaints(replace(doubled, live_groups=[group()])) == []
    assert any("had 2 instances" in line for line in complaints(replace(doubled, live_groups=[group()], extra={})))


def test_an_instance_that_others_made_is_allowed_and_has_to_go():
    twice = [group(), group("eci-2", pending="2026-01-02T03:00:01Z")]
    books = [*GOOD.journal, state("Pending", 10.2, "eci-2"), state("Gone", 13.1, "eci-2")]
    planted = replace(GOOD, groups_ever=twice, journal=books, starts={UID: 2}, extra={UID: 1})
    assert complaints(planted) == []
    assert any("still has 2 instances" in line for line in complaints(replace(planted, live_groups=twice)))


def test_how_long_an_instance_runs_on_is_counted_in_times_without_trouble():
    late = replace(GOOD, ended={UID: 10.2}, journal=LONG, groups_ever=[group(seconds=290)])
    assert complaints(late) != []
    assert complaints(replace(late, troubled=[(20.0, 60.0), (30.0, 90.0)])) == []


def test_a_pod_that_was_deleted_may_end_by_being_stopped_or_as_its_program_did_before():
    def ended(code):
        return replace(with_statuses(status("Failed", code=code)), deleted=frozenset({UID}), crash_codes={"good": 1})

    assert complaints(ended(143)) == complaints(ended(1)) == []


def test_an_init_container_that_fails_ends_its_pod():
    entries = [{"name": "i", "restartCount": 0, "state": {"terminated": {"exitCode": 5}}}]
    lame = {"phase": "Failed", "startTime": "2026-01-02T03:00:00Z", "initContainerStatuses": entries}
    known = replace(with_statuses(lame), exit_codes={}, init_exit_codes={"good": 5}, deleted=frozenset(), jobs=[])
    assert complaints(known) == []
    assert any("its program with 4" in line for line in complaints(replace(known, init_exit_codes={"good": 4})))


def test_events_of_an_instance_that_went_may_be_lost():
    assert complaints(replace(GOOD, events=[], unheard=frozenset({UID}))) == []
