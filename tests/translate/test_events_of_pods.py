"""Events as `kubectl describe` shows them (kubelet.md P48-P50, N29)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vk_provider.model.instance import (
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceStatus,
    Owner,
    StateKind,
)
from vk_provider.model.probe import ProbeSupport
from vk_provider.translate.events import (
    has_all_start_events,
    involved,
    is_of_our_restart,
    own_event,
    pod_event,
    repeat,
    stopping,
)

POD = {
    "metadata": {"name": "pi-x7k2p", "namespace": "vk", "uid": "u-1", "resourceVersion": "42"},
    "spec": {
        "initContainers": [{"name": "fetch", "image": "busybox"}],
        "containers": [
            {"name": "pi", "image": "perl", "readinessProbe": {"exec": {}}, "livenessProbe": {"exec": {}}},
            {
                "name": "pi-log",
                "image": "fluent",
                "livenessProbe": {"exec": {}},
                "lifecycle": {"preStop": {"exec": {}}},
            },
            {"name": "extra", "image": "fluent"},
        ],
    },
}
NODE = {"metadata": {"name": "virtual-kubelet", "uid": "n-1"}}
NOW, LATER = "2026-01-02T03:04:05Z", "2026-01-02T03:05:05Z"


def cloud(message="Started container pi", **more):
    return CloudEvent(
        more.pop("id", "vk-pi.17a6f0c2d3e4b5a6"), "Normal", more.pop("reason", "Started"), message, **more
    )


def test_mirrored_event():
    """P48: the whole object."""
    got = pod_event(POD, cloud(count=2, first_at=NOW, last_at=LATER), node="virtual-kubelet", host="eci")
    name = got["metadata"].pop("name")
    stem, _, digest = name.partition(".")
    assert stem == "pi-x7k2p"
    assert len(digest) == 16
    assert int(digest, 16) >= 0
    assert got == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "vk", "annotations": {"vk-provider.io/mirrored-by": "virtual-kubelet"}},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "vk",
            "name": "pi-x7k2p",
            "uid": "u-1",
            "resourceVersion": "42",
            "fieldPath": "spec.containers{pi}",
        },
        "reason": "Started",
        "message": "Started container pi",
        "type": "Normal",
        "source": {"component": "kubelet", "host": "eci"},
        "reportingComponent": "kubelet",
        "reportingInstance": "eci",
        "count": 2,
        "firstTimestamp": NOW,
        "lastTimestamp": LATER,
    }


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("Started container pi", "spec.containers{pi}"),
        ("Created container: pi-log", "spec.containers{pi-log}"),
        ("Stopping container fetch", "spec.initContainers{fetch}"),
        ("Back-off 10s restarting failed container=pi pod=pi-x7k2p_vk(u-1)", "spec.containers{pi}"),
        ("Container pi failed liveness probe, will be restarted", "spec.containers{pi}"),
        ('Pulling image "perl"', "spec.containers{pi}"),
        ('Successfully pulled image "busybox" in 12.951s', "spec.initContainers{fetch}"),
        ('Container image "perl" already present on machine', "spec.containers{pi}"),
        ('Pulling image "fluent"', None),
        ('MountVolume.SetUp succeeded for volume "token"', None),
        ("[eci.imagecache]Missed image cache.", None),
        ("Readiness probe failed: HTTP probe failed with statuscode: 500", "spec.containers{pi}"),
        ("Liveness probe failed: command timed out", None),
        ("PreStopHook failed: exit code 1", "spec.containers{pi-log}"),
    ],
)
def test_which_container(message, path):
    assert pod_event(POD, cloud(message), node="vk", host="eci")["involvedObject"].get("fieldPath") == path


def test_one_event_one_name_in_each_life_of_a_pod():
    """P50: mirrored once, across restarts; a namesake's events are others."""

    def name(pod, event):
        return pod_event(pod, event, node="vk", host="eci")["metadata"]["name"]

    again = {**POD, "metadata": {**POD["metadata"], "uid": "u-2"}}
    newer = {**POD, "metadata": {**POD["metadata"], "resourceVersion": "43"}}
    assert name(POD, cloud()) == name(newer, cloud(count=9))
    assert len({name(POD, cloud()), name(POD, cloud(id="2")), name(again, cloud())}) == 3


def test_a_long_pod_name_still_makes_a_name():
    long = {**POD, "metadata": {**POD["metadata"], "name": "p" * 253}}
    assert len(pod_event(long, cloud(), node="vk", host="eci")["metadata"]["name"]) == 253


@pytest.mark.parametrize(("first", "last", "expected"), [(NOW, "", (NOW, NOW)), ("", NOW, (NOW, NOW)), ("", "", None)])
def test_times_the_cloud_left_out(first, last, expected):
    got = pod_event(POD, cloud(first_at=first, last_at=last), node="vk", host="eci")
    found = (got["firstTimestamp"], got["lastTimestamp"]) if "firstTimestamp" in got else None
    assert found == expected


def test_an_event_without_a_reason_has_a_stable_one():
    assert pod_event(POD, cloud(reason=""), node="vk", host="eci")["reason"] == "ProviderEvent"


def own(involved_object, message="no stock", **more):
    return own_event(
        involved_object, type="Warning", reason="NoStock", message=message, now=LATER, node="virtual-kubelet", **more
    )


def test_own_event():
    got = own(involved(POD, container="fetch"), count=3, first_at=NOW)
    assert got["involvedObject"]["fieldPath"] == "spec.initContainers{fetch}"
    assert got["source"] == {"component": "kubelet", "host": "virtual-kubelet"}
    assert (got["reportingComponent"], got["reportingInstance"]) == ("kubelet", "virtual-kubelet")
    assert (got["type"], got["count"], got["firstTimestamp"], got["lastTimestamp"]) == ("Warning", 3, NOW, LATER)


def test_own_events_that_say_the_same_share_a_name():
    names = [
        own(involved(POD))["metadata"]["name"],
        own(involved(POD), count=7)["metadata"]["name"],
        own(involved(POD), message="no quota")["metadata"]["name"],
        own(involved(POD, container="pi"))["metadata"]["name"],
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3


@pytest.mark.parametrize("container", ["pi", "pi-log", "fetch"])
def test_a_stop_is_one_event_whoever_tells_of_it(container):
    """P49"""
    kind, reason, message = stopping(container)
    assert (kind, reason) == ("Normal", "Killing")
    ours = own_event(involved(POD, container=container), type=kind, reason=reason, message=message, now=NOW, node="vk")
    theirs = pod_event(POD, cloud(message, reason="Killing"), node="vk", host="eci")
    assert theirs["metadata"]["name"] == ours["metadata"]["name"]
    assert theirs["involvedObject"] == ours["involvedObject"]
    other = cloud(f"Container {container} failed liveness probe, will be restarted", reason="Killing")
    assert pod_event(POD, other, node="vk", host="eci")["metadata"]["name"] != ours["metadata"]["name"]


START = {"tcpSocket": {"port": 1}}


@pytest.mark.parametrize(
    ("told", "container", "meta", "phase", "held"),
    [
        pytest.param(stopping("web")[2], {"startupProbe": START}, {}, "Running", True, id="our startup probe"),
        pytest.param(stopping("web")[2], {"livenessProbe": {"grpc": {"port": 1}}}, {}, "Running", True, id="liveness"),
        pytest.param(stopping("web")[2], {"livenessProbe": START}, {}, "Running", False, id="the cloud's probe"),
        pytest.param(stopping("web")[2], {}, {}, "Running", False, id="no probe"),
        pytest.param("Container web failed", {"startupProbe": START}, {}, "Running", False, id="other words"),
        pytest.param(
            stopping("web")[2], {"startupProbe": START}, {"deletionTimestamp": NOW}, "Running", False, id="deleting"
        ),
        pytest.param(stopping("web")[2], {"startupProbe": START}, {}, "Failed", False, id="ended"),
    ],
)
def test_the_stop_of_a_restart_of_ours_is_not_told_again(told, container, meta, phase, held):
    """S36: it is told as `Container web failed startup probe, will be restarted`."""
    target = {
        "metadata": {**POD["metadata"], **meta},
        "spec": {"containers": [{"name": "web", "image": "i", **container}]},
        "status": {"phase": phase},
    }
    assert is_of_our_restart(target, cloud(told, reason="Killing"), ProbeSupport()) is held


def test_events_of_a_node():
    """N29"""
    got = own(involved(NODE))
    assert got["metadata"]["namespace"] == "default"
    assert got["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "virtual-kubelet", "uid": "n-1"}


def test_repeat_counts_up():
    assert repeat(own(involved(POD), count=4)) == {"count": 4, "lastTimestamp": LATER, "message": "no stock"}


def began(name, at, *, ended=False):
    state = ContainerState(StateKind.TERMINATED if ended else StateKind.RUNNING, started_at=at)
    return ContainerReport(name, state)


def told_of(name, at):
    return CloudEvent(f"{name}-{at}", "Normal", "Started", f"Started container {name}", last_at=at)


EARLY, LATE = "2026-01-02T03:00:05Z", "2026-01-02T03:00:12Z"
WAITS = ContainerReport("main", ContainerState(StateKind.WAITING))


@pytest.mark.parametrize(
    ("init", "containers", "told", "expected"),
    [
        ([], [WAITS], [], True),
        ([], [began("a", EARLY)], [], False),
        ([], [began("a", EARLY, ended=True)], [], False),
        ([], [began("a", EARLY)], [told_of("a", EARLY)], True),
        ([], [began("a", EARLY)], [CloudEvent("1", "Normal", "Created", "Created container a", last_at=LATE)], False),
        ([], [began("a", EARLY)], [replace(told_of("a", ""), first_at=EARLY)], True),
        ([], [began("a", LATE)], [told_of("a", EARLY)], False),
        ([], [replace(WAITS, last_state=began("a", LATE).state)], [told_of("a", EARLY)], False),
        ([], [began("a", EARLY), began("b", EARLY)], [told_of("a", EARLY)], False),
        ([], [began("a", EARLY), began("b", EARLY)], [told_of("a", EARLY), told_of("b", EARLY)], True),
        ([began("i", EARLY, ended=True)], [began("a", LATE)], [told_of("a", LATE)], False),
        ([began("i", EARLY, ended=True)], [WAITS], [told_of("i", EARLY)], True),
    ],
)
def test_whether_events_tell_of_all_that_began(init, containers, told, expected):
    owner = Owner("c", "vk", "web", "pod", "uid")
    seen = Instance(
        "eci-1", owner, InstanceStatus.RUNNING, containers=containers, init_containers=init, events=tuple(told)
    )
    assert has_all_start_events(seen) is expected
