"""What a real kubelet shows for a pod, held against what ours shows: one row per kind of pod."""

from dataclasses import dataclass

import pytest

from tests.e2e.cluster import Space, condition, within
from tests.e2e.manifests import FOR_EVER, Json, pod

RAN = ("Pulling", "Pulled", "Created", "Started")
NOT_A_KUBELETS = ("FailedScheduling", "Scheduled", "SuccessfulMountVolume", "InstanceCost")


@dataclass(frozen=True)
class Row:
    """conditions: Initialized, ContainersReady, Ready as status:reason. containers: name → state."""

    id: str
    manifest: Json
    phase: str
    conditions: tuple[str, str, str]
    containers: dict[str, str]
    events: tuple[str, ...]


def init(script: str) -> Json:
    return {"name": "init", "image": "pause", "command": ["sh", "-c", script]}


def two(main: str, other: str) -> Json:
    manifest = pod("p", main)
    manifest["spec"]["containers"].append({"name": "other", "image": "pause", "command": ["sh", "-c", other]})
    return manifest


ONCE: Json = {
    "volumes": [{"name": "work", "emptyDir": {}}],
    "container": {"volumeMounts": [{"name": "work", "mountPath": "/work"}]},
    "restartPolicy": "OnFailure",
}

ROWS = (
    Row(
        "completed",
        pod("p", "true"),
        "Succeeded",
        ("True:PodCompleted", "False:PodCompleted", "False:PodCompleted"),
        {"main": "Completed 0"},
        RAN,
    ),
    Row(
        "failed",
        pod("p", "exit 3"),
        "Failed",
        ("True:", "False:PodFailed", "False:PodFailed"),
        {"main": "Error 3"},
        RAN,
    ),
    Row(
        "killed",
        pod(
            "p", "sh -c 'kill -9 $$$$'; exit $?"
        ),  # process 1 cannot kill itself; and `$$` is Kubernetes' way to say `$`
        "Failed",
        ("True:", "False:PodFailed", "False:PodFailed"),
        {"main": "Error 137"},
        RAN,
    ),
    Row(
        "tries until it is done",
        pod("p", "test -e /work/once || { touch /work/once; exit 1; }", **ONCE),
        "Succeeded",
        ("True:PodCompleted", "False:PodCompleted", "False:PodCompleted"),
        {"main": "Completed 0"},
        ("Pulling", "Pulled", "Pulled", "Created", "Started"),  # what is said twice in the same words is counted
    ),
    Row(
        "running",
        pod("p", FOR_EVER),
        "Running",
        ("True:", "True:", "True:"),
        {"main": "running"},
        RAN,
    ),
    Row(
        "initialized, then completed",
        pod("p", "true", initContainers=[init("true")]),
        "Succeeded",
        ("True:PodCompleted", "False:PodCompleted", "False:PodCompleted"),
        {"init": "Completed 0", "main": "Completed 0"},
        RAN + RAN,
    ),
    Row(
        "not initialized",
        pod("p", "true", initContainers=[init("exit 2")]),
        "Failed",
        ("False:ContainersNotInitialized", "False:PodFailed", "False:PodFailed"),
        {"init": "Error 2", "main": "waiting PodInitializing"},
        RAN,
    ),
    Row(
        "half done",
        two("exit 4", FOR_EVER),
        "Running",
        ("True:", "False:ContainersNotReady", "False:ContainersNotReady"),
        {"main": "Error 4", "other": "running"},
        RAN + RAN,
    ),
    Row(
        "no such image",
        pod("p", "true", image="nowhere.example/none:1"),
        "Pending",
        ("True:", "False:ContainersNotReady", "False:ContainersNotReady"),
        {"main": "waiting ImagePullBackOff"},
        ("Pulling", "Failed", "Failed", "BackOff", "Failed"),
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_pod_shows_what_a_kubelet_shows(space: Space, node: str, row: Row) -> None:
    space.create(row.manifest)
    wanted = (row.phase, row.conditions, row.containers)
    within(40, lambda: shown(space.get("Pod", "p")) == wanted, lambda: [shown(space.get("Pod", "p")), wanted])

    def told() -> tuple[str, ...]:
        return tuple(event["reason"] for event in space.events("p") if event["reason"] not in NOT_A_KUBELETS)

    def all_told() -> bool:
        """A pod that waits tells the same again and again."""
        if row.phase == "Pending":
            return set(told()) == set(row.events)
        return sorted(told()) == sorted(row.events)

    within(20, all_told, told)
    found = space.get("Pod", "p")
    assert condition(found, "PodScheduled") == "True"
    assert found["status"]["startTime"]
    assert bool(found["status"].get("podIP"))


def shown(pod: Json) -> tuple[str, tuple[str, ...], dict[str, str]]:
    status = pod["status"]
    known = {each["type"]: f"{each['status']}:{each.get('reason', '')}" for each in status.get("conditions") or ()}
    entries = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    three = tuple(known.get(kind, "") for kind in ("Initialized", "ContainersReady", "Ready"))
    return status.get("phase", ""), three, {each["name"]: _state(each["state"]) for each in entries}


def _state(state: Json) -> str:
    if ended := state.get("terminated"):
        return f"{ended['reason']} {ended['exitCode']}"
    return f"waiting {state['waiting']['reason']}" if "waiting" in state else "running"
