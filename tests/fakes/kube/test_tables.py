"""The words kubectl prints."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fakes.kube import podtable
from fakes.kube.durations import human
from fakes.kube.quantity import canonical

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(
    *states: dict[str, Any], phase: str = "Pending", init: tuple[dict[str, Any], ...] = (), **more: Any
) -> dict[str, Any]:
    def statuses(prefix: str, items: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
        return [{"name": f"{prefix}{index}", **item} for index, item in enumerate(items)]

    inits = [
        {"name": f"i{index}", **({"restartPolicy": "Always"} if item.get("started") is not None else {})}
        for index, item in enumerate(init)
    ]
    return {
        "metadata": {"name": "p", **more.pop("metadata", {})},
        "spec": {
            "containers": [{"name": f"c{index}"} for index in range(max(1, len(states)))],
            "initContainers": inits,
        },
        "status": {
            "phase": phase,
            "containerStatuses": statuses("c", states),
            "initContainerStatuses": statuses("i", init),
            **more,
        },
    }


def waiting(reason: str) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason}}}


def ended(code: int, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": code, **({"reason": reason} if reason else {}), **more}}}


RUNNING = {"ready": True, "state": {"running": {}}}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("shown", "word", "ready"),
    [
        pytest.param(pod(), "Pending", "0/1", id="new"),
        pytest.param(pod(waiting("ContainerCreating")), "ContainerCreating", "0/1", id="creating"),
        pytest.param(pod(RUNNING, phase="Running"), "Running", "1/1", id="running"),
        pytest.param(
            pod(waiting("CrashLoopBackOff"), RUNNING, phase="Running"), "CrashLoopBackOff", "1/2", id="one crashes"
        ),
        pytest.param(pod(ended(0, "Completed"), phase="Succeeded"), "Completed", "0/1", id="completed"),
        pytest.param(pod(ended(0), phase="Succeeded"), "ExitCode:0", "0/1", id="no reason"),
        pytest.param(pod(ended(1, "Error"), phase="Failed"), "Error", "0/1", id="error"),
        pytest.param(pod(ended(137, signal=9), phase="Failed"), "Signal:9", "0/1", id="signal"),
        pytest.param(
            pod(ended(0, "Completed"), RUNNING, phase="Running", **READY), "Running", "1/2", id="one done, ready"
        ),
        pytest.param(pod(RUNNING, ended(0, "Completed"), phase="Running"), "NotReady", "1/2", id="one done"),
        pytest.param(pod(phase="Failed", reason="Evicted"), "Evicted", "0/1", id="pod's own reason"),
        pytest.param(
            pod(waiting("PodInitializing"), init=(ended(0), {"state": {"running": {}}})), "Init:1/2", "0/1", id="init"
        ),
        pytest.param(pod(init=(waiting("ImagePullBackOff"),)), "Init:ImagePullBackOff", "0/1", id="init pulls"),
        pytest.param(pod(init=(ended(3),)), "Init:ExitCode:3", "0/1", id="init fails"),
        pytest.param(pod(init=(ended(1, "Error"),)), "Init:Error", "0/1", id="init error"),
        pytest.param(
            pod(RUNNING, phase="Running", metadata={"deletionTimestamp": "x"}), "Terminating", "1/1", id="deleted"
        ),
        pytest.param(
            pod(ended(0, "Completed"), phase="Succeeded", metadata={"deletionTimestamp": "x"}),
            "Completed",
            "0/1",
            id="deleted when done",
        ),
        pytest.param(
            pod(RUNNING, phase="Running", reason="NodeLost", metadata={"deletionTimestamp": "x"}),
            "Unknown",
            "1/1",
            id="node lost",
        ),
        pytest.param(
            pod(RUNNING, phase="Running", init=({"started": True, "ready": True, "state": {"running": {}}},)),
            "Running",
            "2/2",
            id="sidecar",
        ),
        pytest.param(
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
            "SchedulingGated",
            "0/1",
            id="gated",
        ),
    ],
)
def test_pod_status(shown: dict[str, Any], word: str, ready: str) -> None:
    assert podtable.status(shown, NOW) == word
    assert podtable.ready(shown, NOW) == ready


def test_restarts_say_when() -> None:
    last = {"restartCount": 3, "lastState": {"terminated": {"finishedAt": "2025-12-31T23:58:30Z"}}}
    assert podtable.restarts(pod({**RUNNING, **last}), NOW) == "3 (90s ago)"
    assert podtable.restarts(pod(RUNNING), NOW) == "0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (601, "10m"),
        (579, "9m39s"),
        (10_799, "179m"),
        (10_800, "3h"),
        (14_520, "4h2m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (66_000_000, "2y33d"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    assert human(seconds) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.1", "100m"),
        ("1000", "1k"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("100Ki", "100Ki"),
        ("0.5Ki", "512"),
        ("0", "0"),
        ("0Gi", "0"),
        ("1e3", "1e3"),
        ("1E", "1E"),
        ("12e6", "12e6"),
        ("-1", "-1"),
        (2, "2"),
        (0.25, "250m"),
        ("1u", "1u"),
        ("0.0000000001", "1n"),
    ],
)
def test_quantities(text: Any, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize("text", ["", "lots", "1 Gi", "1gi", "1Kib", "--1", "0x1", True, None])
def test_what_is_no_quantity(text: Any) -> None:
    with pytest.raises(ValueError):
        canonical(text)
