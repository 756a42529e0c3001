"""What is summarized of a pod, and what is counted of all of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vk_provider.metrics import Registry
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind
from vk_provider.snapshot.pods import PodIndex

NOW = datetime(2026, 1, 2, 3, 0, 30, tzinfo=UTC)
BOUND = "2026-01-02T03:00:10Z"


def a_pod(name: str = "api-0", **status: object) -> dict:
    return {
        "metadata": {"namespace": "web", "name": name, "uid": f"uid-{name[:9]}", "creationTimestamp": BOUND},
        "spec": {"containers": [{"name": "app", "env": [{"name": "KEY", "value": "s3cret"}]}]},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": BOUND}],
            **status,
        },
    }


def an_instance(name: str = "api-0", kind: StateKind = StateKind.RUNNING, **more: object) -> Instance:
    status = InstanceStatus.RUNNING if kind is StateKind.RUNNING else InstanceStatus.PENDING
    fields = {"status": status, "containers": (ContainerReport("app", ContainerState(kind)),), "sku": "2-4", **more}
    return Instance(f"eci-{name}", Owner("c", "n", "web", name, f"uid-{name}"), **fields)


def waiting(reason: str, message: str = "") -> dict:
    return {
        "name": "app",
        "ready": False,
        "restartCount": 3,
        "state": {"waiting": {"reason": reason, "message": message}},
    }


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        pytest.param({"phase": "Running"}, "", "", id="runs"),
        pytest.param({"reason": "NoStock", "message": "sold out"}, "NoStock", "sold out", id="pod's own reason"),
        pytest.param(
            {"containerStatuses": [waiting("ErrImagePull", "no such")]}, "ErrImagePull", "no such", id="waits"
        ),
        pytest.param({"containerStatuses": ["nonsense", {"state": 7}]}, "", "", id="malformed entries"),
        pytest.param(
            {"conditions": [{"type": "ContainerInstanceCreated", "status": "False", "reason": "NoStock"}]},
            "NoStock",
            "",
            id="a condition that is against it",
        ),
        pytest.param({"conditions": ["nonsense"]}, "", "", id="malformed conditions"),
    ],
)
def test_what_holds_a_pod(status: dict, reason: str, message: str) -> None:
    index = PodIndex(Registry())
    index.observe("uid-api-0", a_pod(**status), (), "Create", "no instance yet")
    [found] = index
    assert (found.reason, found.message, found.decision) == (reason, message, "no instance yet")


def test_a_pod_that_is_deleted_is_terminating_whatever_else_it_is() -> None:
    pod = a_pod(phase="Running")
    pod["metadata"]["deletionTimestamp"] = BOUND
    index = PodIndex(Registry())
    index.observe("uid-api-0", pod, (an_instance(),), "DeleteInstance", "the pod is being deleted")
    [found] = index
    assert (found.phase, found.reason, found.instance) == ("Running", "Terminating", "eci-api-0")


def test_what_its_owner_writes_is_shortened_and_its_environment_is_not_there() -> None:
    index = PodIndex(Registry())
    index.observe("u", a_pod("a" * 5000, reason="R" * 5000, message="m" * 50_000), (), "Done", "")
    text = repr(list(index))
    assert len(text) < 3000
    assert "s3cret" not in text


def test_an_instance_without_a_pod_is_an_orphan_and_one_that_is_not_proven_is_not_shown() -> None:
    index = PodIndex(Registry())
    index.observe("uid-api-0", None, (an_instance(),), "RequeueAfter", "it is not old enough")
    index.observe("uid-b", a_pod("b"), (an_instance("b", proven=False),), "Done", "")
    assert [(each.name, each.is_orphan, each.instance) for each in index] == [
        ("api-0", True, "eci-api-0"),
        ("b", False, ""),
    ]
    index.drop("uid-api-0")
    assert len(index) == 1


def test_counts_are_of_what_is_there_now() -> None:
    registry = Registry()
    index = PodIndex(registry)
    index.observe("uid-a", a_pod("a", phase="Running"), (an_instance("a"),), "Done", "")
    index.observe("uid-b", a_pod("b", reason="NoStock"), (), "RequeueAfter", "")
    index.observe("uid-c", None, (an_instance("c"),), "DeleteOrphan", "")
    index.orphan_deleted()
    page = registry.exposition()
    assert 'vk_pods{phase="Running",reason=""} 1.0\n' in page
    assert 'vk_pods{phase="Pending",reason="NoStock"} 1.0\n' in page
    assert 'vk_instances{status="Running"} 1.0\n' in page
    assert "vk_orphans 1.0\n" in page
    assert "vk_orphans_deleted_total 1.0\n" in page
    assert index.container_states() == (2, {"created": 0, "running": 2, "exited": 0})
    index.drop("uid-b")
    assert "NoStock" not in registry.exposition()


def test_a_start_is_measured_once_and_only_where_its_beginning_was_seen() -> None:
    registry = Registry()
    index = PodIndex(registry, clock=lambda: NOW)
    running = a_pod(phase="Running")
    index.observe("uid-api-0", a_pod(), (), "Create", "")
    for _ in range(2):
        index.observe("uid-api-0", a_pod(), (an_instance(kind=StateKind.WAITING),), "Done", "")
    for decision in ("it began", "it runs"):
        index.observe("uid-api-0", running, (an_instance(),), "Done", decision)
    index.observe("uid-old", a_pod("old", phase="Running"), (an_instance("old"),), "Done", "inherited")
    page = registry.exposition()
    assert 'vk_pod_start_seconds_count{stage="created"} 1.0' in page
    assert 'vk_pod_start_seconds_sum{stage="created"} 20.0' in page
    assert 'vk_pod_start_seconds_bucket{le="20.0",stage="running"} 1.0' in page
