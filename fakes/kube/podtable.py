"""The cells of a pod's row in `kubectl get pods`: one word for a state that is spread over many fields."""

from datetime import datetime
from typing import Any

from fakes.kube.clock import parse
from fakes.kube.durations import human

Json = dict[str, Any]


def _statuses(pod: Json, field: str = "containerStatuses") -> list[Json]:
    return list((pod.get("status") or {}).get(field) or ())


def _sidecars(pod: Json) -> set[str]:
    """Init containers that keep running beside the others."""
    return {item["name"] for item in pod["spec"].get("initContainers") or () if item.get("restartPolicy") == "Always"}


def ready(pod: Json, _now: datetime) -> str:
    sidecars = _sidecars(pod)
    total = len(pod["spec"].get("containers") or ()) + len(sidecars)
    count = sum(
        1
        for item in _statuses(pod, "initContainerStatuses")
        if item["name"] in sidecars and item.get("started") and item.get("ready")
    )
    count += sum(1 for item in _statuses(pod) if item.get("ready") and "running" in (item.get("state") or {}))
    return f"{count}/{total}"


def restarts(pod: Json, now: datetime) -> str:
    sidecars = _sidecars(pod)
    starting = _initializing(pod) is not None
    counted = (
        _statuses(pod, "initContainerStatuses")
        if starting
        else [item for item in _statuses(pod, "initContainerStatuses") if item["name"] in sidecars]
    )
    if not starting:
        counted = [*counted, *_statuses(pod)]
    count = sum(int(item.get("restartCount", 0)) for item in counted)
    ends = [
        last["finishedAt"]
        for item in counted
        if (last := (item.get("lastState") or {}).get("terminated")) and last.get("finishedAt")
    ]
    if not count or not ends:
        return str(count)
    return f"{count} ({human((now - parse(max(ends))).total_seconds())} ago)"


def status(pod: Json, _now: datetime) -> str:
    """The STATUS word: the worst that can be said of the pod now."""
    state, meta = pod.get("status") or {}, pod["metadata"]
    word = state.get("reason") or state.get("phase") or "Unknown"
    for condition in state.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            word = "SchedulingGated"
    starting = _initializing(pod)
    if starting is not None:
        word = starting
    if starting is None or _initialized(pod):
        word = _running_word(pod, word)
    if meta.get("deletionTimestamp") and state.get("reason") == "NodeLost":
        return "Unknown"
    if meta.get("deletionTimestamp") and state.get("phase") not in ("Succeeded", "Failed"):
        return "Terminating"
    return str(word)


def _initialized(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Initialized" and item.get("status") == "True" for item in conditions)


def _initializing(pod: Json) -> str | None:
    """What the first unfinished init container is doing, None when none holds the pod up."""
    specs = pod["spec"].get("initContainers") or ()
    sidecars = _sidecars(pod)
    for index, item in enumerate(_statuses(pod, "initContainerStatuses")):
        state = item.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting")
        if ended and ended.get("exitCode") == 0:
            continue
        if item["name"] in sidecars and item.get("started"):
            continue
        if ended:
            return f"Init:{_ended_word(ended)}"
        if waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len(specs)}"
    return None


def _ended_word(ended: Json) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _running_word(pod: Json, word: str) -> str:
    running = False
    for item in reversed(_statuses(pod)):
        state = item.get("state") or {}
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            word = waiting["reason"]
        elif ended:
            word = _ended_word(ended)
        elif item.get("ready") and "running" in state:
            running = True
    if word == "Completed" and running:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        is_ready = any(item["type"] == "Ready" and item.get("status") == "True" for item in conditions)
        return "Running" if is_ready else "NotReady"
    return word


def address(pod: Json, _now: datetime) -> str:
    state = pod.get("status") or {}
    listed = state.get("podIPs") or ()
    return str(listed[0]["ip"] if listed else state.get("podIP") or "<none>")


def gates(pod: Json, _now: datetime) -> str:
    wanted = pod["spec"].get("readinessGates") or ()
    if not wanted:
        return "<none>"
    conditions = {item["type"]: item.get("status") for item in (pod.get("status") or {}).get("conditions") or ()}
    return f"{sum(conditions.get(gate['conditionType']) == 'True' for gate in wanted)}/{len(wanted)}"
