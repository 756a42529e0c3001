"""A newer report over what is known: absolute, never backwards."""

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
