"""Entries of containers in the pod's status: what they say, and what the API server will take there.

Nothing here reads a phase or a condition. Entries are plain dicts in the API's spelling; a "previous" entry is the one
the API server has now. `container_report` makes an entry of what the cloud reports.
Source: kubernetes pkg/kubelet/status/status_manager.go (TerminatePod, normalizeStatus), pkg/apis/core/validation
(ValidateContainerStateTransition).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from vk_provider.model.instance import (
    CloudEvent,
    InstanceStatus,
    StateKind,
)
from vk_provider.model.pod import Json, init_containers_of, is_sidecar
from vk_provider.model.probe import ProbeSupport
from vk_provider.model.vocabulary import NEUTRAL

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
_MESSAGES_PER_POD = 12 * 1024  # bytes, shared by all containers
_MESSAGE_MAX = 4 * 1024


@dataclass(frozen=True, slots=True)
class StatusContext:
    """What all containers of one report have in common.

    status: the instance's. final: nothing of it starts any more, so a wait between two runs is the end.
    stopping: it is being stopped; unless that is since its pod is deleted, nothing counts as ready. ended_at: when it
    ended, or empty. outdated: names of the containers that have another image in the pod by now than in the instance.
    id_scheme: of the cloud's container ids. probes: those that it asks.
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
    id_scheme: str = NEUTRAL.id_scheme
    probes: ProbeSupport = NEUTRAL.probes


# --- named reads ----------------------------------------------------------------------------------------------------


_NAME = itemgetter("name")


def by_name(statuses: Sequence[Json] | None) -> dict[str, Json]:
    return dict(zip(map(_NAME, statuses), statuses, strict=True)) if statuses else {}


_KINDS = tuple((kind.value, kind) for kind in StateKind)  # plain texts: looked up many times for each report


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
    state = status.get("state") or {}  # read here and not by the functions above: this is asked most of all
    if state.get("running") is not None or state.get("terminated") is not None:
        return state.get("waiting") is None or (status.get("lastState") or {}).get("terminated") is not None
    return (status.get("lastState") or {}).get("terminated") is not None


# --- entries --------------------------------------------------------------------------------------------------------


def default_wait(pod: Json) -> str:
    """Why a container has not started that nothing is wrong with. kubectl shows `Init:0/1` only for the second."""
    return POD_INITIALIZING if init_containers_of(pod) else CONTAINER_CREATING


def waiting(container: Json, *, reason: str, message: str = "") -> Json:
    return entry_of(container, state={"waiting": filled(reason=reason, message=message)})


def with_unknown_termination(
    status: Json, *, exit_code: int = KILLED, reason: str = UNKNOWN, message: str = UNLOCATED
) -> Json:
    """The entry once nobody can say any more how the container ended (P15); an end that is known stays as it is."""
    if ended(status):
        return status
    started_at = (status["state"].get("running") or {}).get("startedAt")
    state = filled(reason=reason, message=message, startedAt=started_at, containerID=status.get("containerID"))
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
    reported = waiting(container, reason=NO_EPHEMERAL, message=NO_EPHEMERAL_WHY)["state"]["waiting"]
    return entry_of(container, state={"terminated": {"exitCode": CANNOT_RUN, **reported}})


def entry_of(container: Json, *, state: Json, last: Json | None = None, restarts: int = 0) -> Json:
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


def share(message: str, pod: Json) -> str:
    """The message within its share of what a pod may carry, in bytes of UTF-8."""
    spec = pod["spec"]
    count = sum(len(spec.get(field) or ()) for field in ("containers", "initContainers", "ephemeralContainers"))
    limit = min(_MESSAGE_MAX, _MESSAGES_PER_POD // max(count, 1))
    return message.encode(errors="replace")[:limit].decode(errors="ignore")


def filled(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value not in (None, "")}
