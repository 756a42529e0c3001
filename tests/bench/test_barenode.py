"""The ceiling is one of the same writes: field by field what the provider sends of such a pod."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.bench import barenode, burst
from tests.control.remembered import Remembered, plan
from tests.translate.status_world import Server
from vk_provider.cloud.eci.capabilities import WORDS
from vk_provider.control.actions import PatchStatus
from vk_provider.control.observation import NodePolicy
from vk_provider.model.instance import (
    CloudCondition,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceStatus,
    Owner,
    StateKind,
)
from vk_provider.pacing.clock import Now

NOW = Now(wall=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), loop_s=1000.0)
STARTED, ENDED = "2026-01-02T03:04:04Z", "2026-01-02T03:04:05Z"
COMING = Instance(
    id="eci-1",
    owner=Owner(cluster="c", node="vk", namespace="bench", name="p", uid="u"),
    status=InstanceStatus.SCHEDULING,
    sku="0.25-0.5Gi",
    words=WORDS,
    owner_annotations={"k8s.aliyun.com/eci-request-id": "A-B"},
)


def _report(state: ContainerState) -> ContainerReport:
    return ContainerReport("main", state, image="busybox:1.36", image_id="sha256:0", container_id="containerd://0")


RUNNING = replace(
    COMING,
    status=InstanceStatus.RUNNING,
    ip="10.1.2.3",
    containers=(_report(ContainerState(StateKind.RUNNING, started_at=STARTED)),),
    conditions=(CloudCondition("ContainerInstanceCreated", "True", "Created", "the instance was created"),),
)
STOPPED = replace(
    RUNNING,
    status=InstanceStatus.TERMINATING,
    containers=(
        _report(
            ContainerState(
                StateKind.TERMINATED, "Error", exit_code=143, signal=15, started_at=STARTED, finished_at=ENDED
            )
        ),
    ),
)


def _pod() -> dict[str, Any]:
    made = burst.pod("p", "vk")
    made["metadata"] |= {"namespace": "bench", "uid": "u"}
    return {**made, "status": {"phase": "Pending"}}


def _said(pod: dict[str, Any], instance: Instance) -> dict[str, Any]:
    action = plan(pod, [instance], Remembered(), node=NodePolicy(name="vk", host_ip="10.0.0.1"), now=NOW)
    assert isinstance(action, PatchStatus)
    return action.body


def _fields(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        name = f"[{value['type']}]" if "type" in value else ""
        for key, item in value.items():
            yield from _fields(item, f"{path}{name}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _fields(item, path)
    else:
        yield f"{path}: {value is None}"


def test_the_bare_client_writes_what_the_provider_writes() -> None:
    server, pod = Server(), _pod()
    for instance, wrote in ((COMING, barenode.pending), (RUNNING, barenode.running), (STOPPED, barenode.ended)):
        if instance is STOPPED:
            pod["metadata"] |= {"deletionTimestamp": ENDED, "deletionGracePeriodSeconds": 30}
        said = _said(pod, instance)
        assert sorted(_fields(wrote(pod))) == sorted(_fields(said["status"]))
        pod = server.patch(copy.deepcopy(pod), said)


@pytest.mark.parametrize("statuses", [1, 2])
def test_the_notes_go_along(statuses: int) -> None:
    instance = RUNNING if statuses == 1 else COMING
    said = _said(_pod(), instance)
    assert said["metadata"]["annotations"].keys() == barenode.NOTES.keys()


def test_one_status_says_as_much_as_two() -> None:
    pod = _pod()
    both = {**barenode.pending(pod), **barenode.running(pod)}
    assert both.keys() == _said(pod, RUNNING)["status"].keys()
