"""What the cloud reports of one container, over what the pod says of it → its entry in the pod's status.

Everything that the cloud leaves out is kept from the previous entry rather than made up again, so that the same report
always gives the same entry.
Source: kubernetes pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses), pkg/kubelet/status/status_manager.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from vk_provider.model.instance import ContainerReport, ContainerState, InstanceStatus, StateKind, began_at
from vk_provider.model.pod import Json, init_containers_of, is_deleting, is_sidecar
from vk_provider.translate import waiting_reason
from vk_provider.translate.container_status import (
    KILLED,
    ON_THE_WAY,
    RESTARTED_UNSEEN,
    UNKNOWN,
    StatusContext,
    as_final,
    default_wait,
    ended,
    ended_before,
    entry_of,
    filled,
    has_started,
    is_running,
    share,
    waiting,
)
from vk_provider.translate.probes import health

# Exit codes that a reason stands for where the cloud forgot the number.
_CODE_OF_REASON: Mapping[str, int] = {"Completed": 0, "Error": 1, "OOMKilled": KILLED, "ContainerCannotRun": 128}

_BACK_OFF_FIRST_S, _BACK_OFF_MAX_S = 10, 300
_OURS = frozenset({"name", "state", "lastState", "ready", "started", "restartCount", "image", "imageID", "containerID"})


def from_report(container: Json, report: ContainerReport | None, previous: Json | None, scene: StatusContext) -> Json:
    """The entry for what the cloud reports now; without a report the previous one, or the ordinary wait.

    A container that one answer leaves out is not thereby gone: only `unlocated` says so, once the instance has ended.
    """
    container = _as_it_runs(container, report, previous, scene)
    if report is None or (previous and _is_of_an_earlier_run(report, previous)):
        entry = previous or waiting(container, reason=default_wait(scene.pod))
    else:
        entry = _from_report(container, report, previous or {}, scene)
    if scene.final:
        entry = as_final(entry)
    taken = scene.stopping and not is_deleting(scene.pod)  # a kubelet leaves a deleted pod Ready while it runs
    if (ended(entry) or taken) and entry.get("ready") and not _is_done_init(container, entry, scene):
        entry = {**entry, "ready": False}
    if not previous or entry is previous:
        return entry
    # With the keys that we never write: lists of entries are replaced as a whole, so what is left out is erased.
    return {**{key: value for key, value in previous.items() if key not in _OURS}, **entry}


def _as_it_runs(container: Json, report: ContainerReport | None, previous: Json | None, scene: StatusContext) -> Json:
    """With the image that it runs, where the pod has another by now."""
    if container["name"] not in scene.outdated:
        return container
    image = (report.image if report is not None else "") or (previous or {}).get("image")
    return {**container, "image": image or container.get("image", "")}


def _is_of_an_earlier_run(report: ContainerReport, previous: Json) -> bool:
    """Whether the entry knows a later run, so that the report comes out of a list that lags.

    Both by their count and by the cloud's times: after a restart of the whole instance counts begin anew, and times
    may be our own where the cloud gave none.
    """
    if report.restart_count >= int(previous.get("restartCount") or 0):
        return False
    began = began_at(report)
    states = ((previous.get("state") or {}).values(), (previous.get("lastState") or {}).values())
    known = max((str((each or {}).get("startedAt") or "") for state in states for each in state), default="")
    return bool(began) and began < known


def _from_report(container: Json, report: ContainerReport, previous: Json, scene: StatusContext) -> Json:
    restarts = max(report.restart_count, int(previous.get("restartCount") or 0))
    same_run = restarts == int(previous.get("restartCount") or 0)
    last = _last_end(report, previous, scene, same_run=same_run)
    container_id = _container_id(report, previous, scene, restarts)
    match report.state.kind:
        case StateKind.WAITING:
            state: Json = {"waiting": _wait(container, report, previous if same_run else {}, scene, restarts)}
        case StateKind.RUNNING:
            known = (previous.get("state", {}).get("running") or {}) if same_run else {}
            state = {"running": {"startedAt": report.state.started_at or known.get("startedAt") or scene.now}}
        case StateKind.TERMINATED:
            state = {"terminated": _end(report.state, previous if same_run else {}, scene, container_id)}
    entry = entry_of(container, state=state, last=last, restarts=restarts)
    if not has_started(entry):
        return entry  # the image stays as the pod spells it: a resolved name alone is no news
    entry["started"] = _is_started(container, report, previous, same_run=same_run)
    entry["ready"] = _is_ready(container, report, previous, entry, scene)
    entry["image"] = report.image or container.get("image", "")
    entry["imageID"] = report.image_id or previous.get("imageID") or ""
    if not entry["imageID"] and ended(entry):
        entry["imageID"] = entry["image"]  # nobody will tell any more; what kept it apart from others was its name
    entry["containerID"] = container_id
    return entry


def _wait(container: Json, report: ContainerReport, previous: Json, scene: StatusContext, restarts: int) -> Json:
    """previous: the entry, if it is of the same run."""
    reason, message = report.state.reason, report.state.message
    if reason in ON_THE_WAY:
        image = container.get("image", "")
        same = previous.get("image") in (image, report.image)
        known = waiting_reason.current((previous.get("state") or {}).get("waiting") or {}) if same else ("", "")
        reason, message = waiting_reason.from_events(image, scene.events, known=known)
    if reason in ON_THE_WAY:
        return {"reason": default_wait(scene.pod)}  # its message tells the same in passing words
    if reason == "CrashLoopBackOff" and not message:
        meta = scene.pod["metadata"]
        delay_s = min(_BACK_OFF_FIRST_S * 2 ** min(max(restarts - 1, 0), 10), _BACK_OFF_MAX_S)
        pod = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
        minutes, rest = divmod(delay_s, 60)
        delay = f"{minutes}m{rest}s" if minutes else f"{rest}s"
        message = f"back-off {delay} restarting failed container={report.name} pod={pod}"
    return filled(reason=reason, message=share(message, scene.pod))


def _end(state: ContainerState, previous: Json, scene: StatusContext, container_id: str) -> Json:
    known = ended(previous) or {}
    running = (previous.get("state") or {}).get("running") or {}
    code, reason = _how_it_ended(state, scene.status)
    return {
        "exitCode": code,
        **filled(
            signal=state.signal or None,
            reason=reason,
            message=share(state.message or _said(known, state), scene.pod),
            startedAt=state.started_at or known.get("startedAt") or running.get("startedAt"),
            finishedAt=state.finished_at or known.get("finishedAt") or scene.ended_at or scene.now,
            containerID=container_id,
        ),
    }


def _said(known: Json, state: ContainerState) -> str:
    """The last words that the pod has of this very run, should the cloud have forgotten them."""
    same = not state.started_at or known.get("startedAt") in (None, state.started_at)
    return str(known.get("message") or "") if same else ""


def _how_it_ended(state: ContainerState, status: InstanceStatus) -> tuple[int, str]:
    """Exit code and reason, each from the other where the cloud gave but one; Jobs judge by the code (P43)."""
    code = state.exit_code
    if code is None and state.signal:
        code = 128 + state.signal
    if code is None:
        code = _CODE_OF_REASON.get(state.reason)
    if code is None and status is InstanceStatus.SUCCEEDED:
        code = 0  # which it could not be, had any container failed
    if code is None:
        return KILLED, state.reason or UNKNOWN
    return code, state.reason or ("Completed" if code == 0 else "Error")


def _last_end(report: ContainerReport, previous: Json, scene: StatusContext, *, same_run: bool) -> Json | None:
    if report.last_state is not None and report.last_state.kind is StateKind.TERMINATED:
        # In an instance that is stopping, the last end stands as the state itself: see `concluded`.
        kept = ended_before(previous) or ended(previous)
        known = ({"state": {"terminated": kept}} if kept else {}) if same_run else previous
        before = _derived_id(scene, report.name, max(report.restart_count - 1, 0))
        container_id = (kept or {}).get("containerID") if same_run else previous.get("containerID")
        return _end(report.last_state, known, scene, container_id or before)
    if report.state.kind is StateKind.TERMINATED or (same_run and not ended(previous)):
        return ended_before(previous)
    if ended(previous):
        return ended(previous)
    if previous and is_running(previous):
        known_id = previous.get("containerID")
        return filled(reason=UNKNOWN, message=RESTARTED_UNSEEN, containerID=known_id) | {"exitCode": KILLED}
    return ended_before(previous)


def _is_started(container: Json, report: ContainerReport, previous: Json, *, same_run: bool) -> bool:
    if report.state.kind is not StateKind.RUNNING:
        return False
    if not container.get("startupProbe"):
        return True
    if report.started is not None:
        return report.started
    return same_run and is_running(previous) and bool(previous.get("started"))


def _is_ready(container: Json, report: ContainerReport, previous: Json, entry: Json, scene: StatusContext) -> bool:
    """P13, S37: what nobody has asked yet stays as it was in the same run, and is a no in a new one."""
    if _is_done_init(container, entry, scene):
        return True
    if report.state.kind is not StateKind.RUNNING or _is_plain_init(container, scene) or not entry["started"]:
        return False
    if not container.get("readinessProbe"):
        return True  # as soon as it runs, however late the cloud's own flag comes
    if health(scene.pod, container, scene.probes).duties.readiness is None:
        return report.ready
    if report.answers is not None:
        return report.answers
    same_run = entry["restartCount"] == previous.get("restartCount")
    return same_run and is_running(previous) and bool(previous.get("ready"))


def _is_plain_init(container: Json, scene: StatusContext) -> bool:
    names = {init["name"] for init in init_containers_of(scene.pod)}
    return container["name"] in names and not is_sidecar(container)


def _is_done_init(container: Json, entry: Json, scene: StatusContext) -> bool:
    end = ended(entry)
    return end is not None and end.get("exitCode") == 0 and _is_plain_init(container, scene)


def _container_id(report: ContainerReport, previous: Json, scene: StatusContext, restarts: int) -> str:
    """`<type>://<id>`, where tools split it: one for each run, and the same from its first report to its last.

    The cloud may tell of it late or never, or the same for each run: then what was shown first stays.
    """
    shown = str(previous.get("containerID") or "")
    if shown and restarts == int(previous.get("restartCount") or 0):
        return shown
    given = report.container_id
    if given and "://" not in given:
        given = f"{scene.id_scheme}://{given}"
    former = (shown, (ended_before(previous) or {}).get("containerID"))
    return given if given and given not in former else _derived_id(scene, report.name, restarts)


def _derived_id(scene: StatusContext, container: str, restarts: int) -> str:
    run = f"{scene.instance_id}/{container}/{restarts}".encode("utf-8", "surrogatepass")
    return f"{scene.id_scheme}://{hashlib.sha256(run).hexdigest()}"
