"""A newer report over what is known: absolute, never backwards."""

from dataclasses import replace

import pytest

from vk_provider.model.instance import (
    MAX_EVENTS,
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceReport,
    InstanceStatus,
    Owner,
    StateKind,
    merge,
    without_older,
)

RUNS = (ContainerReport("c", ContainerState(StateKind.RUNNING)),)
ENDED = (ContainerReport("c", ContainerState(StateKind.TERMINATED, exit_code=0)),)
KNOWN = Instance("eci-1", Owner(), InstanceStatus.RUNNING, ip="10.0.0.1", containers=RUNS)


def test_what_a_report_does_not_say_stays():
    assert merge(KNOWN, InstanceReport("eci-1")) == KNOWN
    assert merge(KNOWN, InstanceReport("eci-1", status=InstanceStatus.UNKNOWN, ip="")) == KNOWN


def test_a_stale_report_does_not_raise_the_dead():
    dead = merge(KNOWN, InstanceReport("eci-1", status=InstanceStatus.SUCCEEDED, containers=ENDED))
    assert merge(dead, InstanceReport("eci-1", status=InstanceStatus.RUNNING, containers=RUNS)) == dead


def test_events_are_kept_once_in_their_newest_form_in_order_and_in_bounds():
    def event(number, count=1):
        return CloudEvent(f"{number:04}", "Normal", "Pulled", "m", count, f"2026-01-02T03:04:{number % 60:02}Z")

    known = merge(KNOWN, InstanceReport("eci-1", events=[event(2), event(1)]))
    known = merge(known, InstanceReport("eci-1", events=[event(2, count=3), event(1)]))
    assert [(each.id, each.count) for each in known.events] == [("0001", 1), ("0002", 3)]
    full = merge(known, InstanceReport("eci-1", events=[event(number) for number in range(59)]))
    assert len(full.events) == MAX_EVENTS


def run_of(kind, began, *, count=0, last=""):
    before = ContainerState(StateKind.TERMINATED, started_at=last) if last else None
    return ContainerReport("c", ContainerState(kind, started_at=began), last_state=before, restart_count=count)


FIRST, SECOND = "2026-01-02T03:00:05Z", "2026-01-02T03:00:09Z"
RUNS_FIRST = run_of(StateKind.RUNNING, FIRST)
ENDED_FIRST = run_of(StateKind.TERMINATED, FIRST)
WAITS = run_of(StateKind.WAITING, "", last=FIRST)
RUNS_SECOND = run_of(StateKind.RUNNING, SECOND, count=1, last=FIRST)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param(RUNS_FIRST, ENDED_FIRST, id="a run, its end"),
        pytest.param(ENDED_FIRST, WAITS, id="an end, the wait for the next run"),
        pytest.param(WAITS, RUNS_SECOND, id="a wait, the next run"),
        pytest.param(ENDED_FIRST, RUNS_SECOND, id="an end, the next run"),
        pytest.param(ENDED_FIRST, run_of(StateKind.RUNNING, FIRST, count=1), id="an end, a run of the same second"),
    ],
)
def test_an_answer_that_lags_takes_nothing_back(older, newer):
    now, before = replace(KNOWN, containers=(newer,)), replace(KNOWN, containers=(older,))
    assert without_older(now, before) == now
    assert without_older(before, now) == now


def test_what_cannot_be_compared_is_taken_as_told():
    begun_anew = run_of(StateKind.WAITING, "")
    assert without_older(
        replace(KNOWN, containers=(RUNS_SECOND,)), replace(KNOWN, containers=(begun_anew,))
    ) == replace(KNOWN, containers=(begun_anew,))


def test_an_ended_instance_is_not_raised_by_a_full_look_either():
    ended = replace(KNOWN, status=InstanceStatus.FAILED)
    assert without_older(ended, KNOWN) == ended
