"""One container's report → its entry in the pod's status, and what the API server will take there.

Nothing here looks at a phase or a condition. Entries are plain dicts in the API's spelling; a "previous" entry is the
one the API server has now, and everything that the cloud leaves out is kept from it rather than made up again, so that
the same report always gives the same entry.
Source: kubernetes pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses), pkg/kubelet/status/status_manager.go
(TerminatePod, normalizeStatus), pkg/apis/core/validation (ValidateContainerStateTransition).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vk_provider.model.instance import (
    CloudEvent,
    ContainerReport,
    ContainerState,
    InstanceStatus,
    StateKind,
    began_at,
)
from vk_provider.model.pod import Json, init_containers_of, is_sidecar
from vk_provider.translate import waiting_reason
from vk_provider.translate.probes import health

CONTAINER_CREATING = "ContainerCreating"
POD_INITIALIZING = "PodInitializing"
UNKNOWN = "ContainerStatusUnknown"
UNLOCATED = "The container could not be located when the pod was terminated"
RESTARTED_UNSEEN = "The container could not be located when the pod was deleted.  The container used to be Running"

NO_EPHEMERAL = "EphemeralContainersNotSupported"
NO_EPHEMERAL_WHY = "an instance takes no further container once it exists; use kubectl exec, or a copy of the pod"
CANNOT_RUN = 128  # what a kubelet writes of a container that could not be started
KILLED = 137  # 128 + SIGKILL: what a kubelet writes where it cannot know better

# What a cloud says of a container on its ordinary way to a start; a kubelet has one word for all of it.
ON_THE_WAY = frozenset(
    {"", CONTAINER_CREATING, POD_INITIALIZING, "Creating", "Created", "Pending", "Pulling", "Pulled", "Scheduling"}
)
# Exit codes that a reason stands for where the cloud forgot the number.
_CODE_OF_REASON: Mapping[str, int] = {"Completed": 0, "Error": 1, "OOMKilled": KILLED, "ContainerCannotRun": 128}

_MESSAGES_PER_POD = 12 * 1024  # bytes, shared by all containers
_MESSAGE_MAX = 4 * 1024
_BACK_OFF_FIRST_S, _BACK_OFF_MAX_S = 10, 300


@dataclass(frozen=True, slots=True)
class StatusContext:
    """What all containers of one look have in common.

    status: the instance's. final: nothing of it starts any more, so a wait between two runs is the end.
    stopping: it is being stopped; nothing counts as ready. ended_at: when it ended, or empty. outdated: names of the
    containers that have another image in the pod by now than in the instance.
    """

    pod: Json
    instance_id: str
    status: InstanceStatus
    now: str
    final: bool = False
    stopping: bool = False
    ended_at: str = ""
    events: Sequence[CloudEvent] = ()
    outdated: frozenset[str] = frozenset()


# --- named reads ----------------------------------------------------------------------------------------------------


def restart_policy(pod: Json) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def by_name(statuses: Sequence[Json] | None) -> dict[str, Json]:
    return {status["name"]: status for status in statuses or ()}


_KINDS = tuple((kind.value, kind) for kind in StateKind)  # plain texts: looked up many times at each look


def state_of(status: Json) -> StateKind:
    """An entry without any state waits, as the API has it."""
    if state := status.get("state"):
        for name, kind in _KINDS:
            if state.get(name) is not None:
                return kind
    return StateKind.WAITING


def is_running(status: Json) -> bool:
    return state_of(status) is StateKind.RUNNING


def ended(status: Json) -> Json | None:
    """The terminated state, None while there is none."""
    terminated: Json | None = (status.get("state") or {}).get("terminated")
    return terminated


def ended_before(status: Json) -> Json | None:
    """How the previous run ended, None without one."""
    terminated: Json | None = (status.get("lastState") or {}).get("terminated")
    return terminated


def has_started(status: Json) -> bool:
    """It runs or ran once, whatever became of it."""
    return state_of(status) is not StateKind.WAITING or ended_before(status) is not None


# --- entries --------------------------------------------------------------------------------------------------------


def default_wait(pod: Json) -> str:
    """Why a container has not started that nothing is wrong with. kubectl shows `Init:0/1` only for the second."""
    return POD_INITIALIZING if init_containers_of(pod) else CONTAINER_CREATING


def waiting(container: Json, *, reason: str, message: str = "") -> Json:
    return _entry(container, state={"waiting": _filled(reason=reason, message=message)})


def from_report(container: Json, report: ContainerReport | None, previous: Json | None, scene: StatusContext) -> Json:
    """The entry for what the cloud reports now; without a report the previous one, or the ordinary wait.

    A container that one answer leaves out is not thereby gone: only `unlocated` says so, once the instance has ended.
    """
    if container["name"] in scene.outdated:
        had = (report.image if report is not None else "") or (previous or {}).get("image")
        container = {**container, "image": had or container.get("image", "")}
    if report is None or (previous and _is_of_an_earlier_run(report, previous)):
        entry = previous or waiting(container, reason=default_wait(scene.pod))
    else:
        entry = _from_report(container, report, previous or {}, scene)
    if scene.final:
        entry = as_final(entry)
    if (ended(entry) or scene.stopping) and entry.get("ready") and not _is_done_init(container, entry, scene):
        entry = {**entry, "ready": False}
    return _with_foreign(entry, previous)


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


def with_unknown_termination(
    status: Json, *, exit_code: int = KILLED, reason: str = UNKNOWN, message: str = UNLOCATED
) -> Json:
    """The entry once nobody can say any more how the container ended (P15); an end that is known stays as it is."""
    if ended(status):
        return status
    started_at = (status["state"].get("running") or {}).get("startedAt")
    state = _filled(reason=reason, message=message, startedAt=started_at, containerID=status.get("containerID"))
    return {
        **status,
        "state": {"terminated": {"exitCode": exit_code, **state}},
        "ready": False,
        "started": False,
    }


def as_final(status: Json) -> Json:
    """A container that waits between two runs, when no other run will come: its last end is its end."""
    last = ended_before(status)
    if state_of(status) is not StateKind.WAITING or last is None:
        return status
    return {**status, "state": {"terminated": last}, "lastState": {}, "ready": False, "started": False}


def valid_transition(status: Json, previous: Json | None, *, container: Json, policy: str, is_init: bool) -> Json:
    """The entry as the API server will take it over the previous one (P14): no unlawful restart, no shrinking count."""
    if previous is None:
        return status
    if ended(previous) and not ended(status) and _is_over(previous, status, container, policy, is_init):
        return previous
    count = max(int(previous.get("restartCount") or 0), int(status.get("restartCount") or 0))
    return status if count == status.get("restartCount") else {**status, "restartCount": count}


def _is_over(previous: Json, status: Json, container: Json, policy: str, is_init: bool) -> bool:
    was = previous["state"]["terminated"]
    now_running = (status.get("state") or {}).get("running") or {}
    if was.get("startedAt") and was["startedAt"] == now_running.get("startedAt"):
        return True  # the run whose end is known: this report is older than what the API server has
    if policy == "Always" or (is_init and is_sidecar(container)):
        return False
    return not (policy == "OnFailure" and was.get("exitCode") != 0)


def unsupported_ephemeral(container: Json) -> Json:
    """Ended, since it cannot begin: `kubectl debug` and `kubectl attach` wait for either."""
    told = waiting(container, reason=NO_EPHEMERAL, message=NO_EPHEMERAL_WHY)["state"]["waiting"]
    return _entry(container, state={"terminated": {"exitCode": CANNOT_RUN, **told}})


# --- from a report --------------------------------------------------------------------------------------------------


def _from_report(container: Json, report: ContainerReport, previous: Json, scene: StatusContext) -> Json:
    restarts = max(report.restart_count, int(previous.get("restartCount") or 0))
    same_run = restarts == int(previous.get("restartCount") or 0)
    last = _last_end(report, previous, scene, same_run=same_run)
    container_id = _container_id(report, previous, scene.instance_id, restarts)
    match report.state.kind:
        case StateKind.WAITING:
            state: Json = {"waiting": _wait(container, report, previous if same_run else {}, scene, restarts)}
        case StateKind.RUNNING:
            known = (previous.get("state", {}).get("running") or {}) if same_run else {}
            state = {"running": {"startedAt": report.state.started_at or known.get("startedAt") or scene.now}}
        case StateKind.TERMINATED:
            state = {"terminated": _end(report.state, previous if same_run else {}, scene, container_id)}
    entry = _entry(container, state=state, last=last, restarts=restarts)
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


def _entry(container: Json, *, state: Json, last: Json | None = None, restarts: int = 0) -> Json:
    return {
        "name": container["name"],
        "state": state,
        "lastState": {"terminated": last} if last else {},
        "ready": False,
        "started": False,
        "restartCount": restarts,
        "image": container.get("image", ""),
        "imageID": "",
    }


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
        message = f"back-off {_minutes(delay_s)} restarting failed container={report.name} pod={pod}"
    return _filled(reason=reason, message=share(message, scene.pod))


def _minutes(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _end(state: ContainerState, previous: Json, scene: StatusContext, container_id: str) -> Json:
    known = ended(previous) or {}
    running = (previous.get("state") or {}).get("running") or {}
    code, reason = _how_it_ended(state, scene.status)
    return {
        "exitCode": code,
        **_filled(
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
        before = _derived_id(scene.instance_id, report.name, max(report.restart_count - 1, 0))
        container_id = (kept or {}).get("containerID") if same_run else previous.get("containerID")
        return _end(report.last_state, known, scene, container_id or before)
    if report.state.kind is StateKind.TERMINATED or (same_run and not ended(previous)):
        return ended_before(previous)
    if ended(previous):
        return ended(previous)
    if previous and is_running(previous):
        known_id = previous.get("containerID")
        return _filled(reason=UNKNOWN, message=RESTARTED_UNSEEN, containerID=known_id) | {"exitCode": KILLED}
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
    if health(scene.pod, container).duties.readiness is None:
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


def _container_id(report: ContainerReport, previous: Json, instance_id: str, restarts: int) -> str:
    """`<type>://<id>`, where tools split it: one for each run, and the same from its first report to its last.

    The cloud may tell of it late or never, or the same for each run: then what was shown first stays.
    """
    shown = str(previous.get("containerID") or "")
    if shown and restarts == int(previous.get("restartCount") or 0):
        return shown
    given = report.container_id
    if given and "://" not in given:
        given = f"eci://{given}"
    former = (shown, (ended_before(previous) or {}).get("containerID"))
    return given if given and given not in former else _derived_id(instance_id, report.name, restarts)


def _derived_id(instance_id: str, container: str, restarts: int) -> str:
    return (
        f"eci://{hashlib.sha256(f'{instance_id}/{container}/{restarts}'.encode('utf-8', 'surrogatepass')).hexdigest()}"
    )


def _with_foreign(entry: Json, previous: Json | None) -> Json:
    """With the keys that we never write: lists of entries are replaced as a whole, so what is left out is erased."""
    if not previous or entry is previous:
        return entry
    return {**{key: value for key, value in previous.items() if key not in _OURS}, **entry}


_OURS = frozenset({"name", "state", "lastState", "ready", "started", "restartCount", "image", "imageID", "containerID"})


def share(message: str, pod: Json) -> str:
    """The message within its share of what a pod may carry, in bytes of UTF-8."""
    spec = pod["spec"]
    count = sum(len(spec.get(field) or ()) for field in ("containers", "initContainers", "ephemeralContainers"))
    limit = min(_MESSAGE_MAX, _MESSAGES_PER_POD // max(count, 1))
    return message.encode(errors="replace")[:limit].decode(errors="ignore")


def _filled(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value not in (None, "")}
