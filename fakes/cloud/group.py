"""A container group and its containers as plain records, and the states both may be in, as tables.

`lifecycle` is the only writer. A move that is not in a table is a fault of ours and raises.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fakes.cloud.clock import Timer
from fakes.cloud.events import EventLog
from fakes.cloud.parameters import Json

SCHEDULING, SCHEDULE_FAILED, PENDING, RUNNING = "Scheduling", "ScheduleFailed", "Pending", "Running"
RESTARTING, UPDATING, TERMINATING = "Restarting", "Updating", "Terminating"
SUCCEEDED, FAILED, EXPIRED, GONE = "Succeeded", "Failed", "Expired", "Gone"

GROUP_TRANSITIONS: dict[tuple[str, str], str] = {
    (SCHEDULING, "placed"): PENDING,
    (SCHEDULING, "no place"): SCHEDULE_FAILED,
    (PENDING, "containers created"): RUNNING,
    (PENDING, "init failed"): FAILED,
    (PENDING, "pending too long"): FAILED,
    (PENDING, "all succeeded"): SUCCEEDED,
    (PENDING, "some failed"): FAILED,
    (RUNNING, "all succeeded"): SUCCEEDED,
    (RUNNING, "some failed"): FAILED,
    (UPDATING, "all succeeded"): SUCCEEDED,
    (UPDATING, "some failed"): FAILED,
    (UPDATING, "init failed"): FAILED,
    (PENDING, "deadline"): FAILED,
    (RUNNING, "deadline"): FAILED,
    (RESTARTING, "deadline"): FAILED,
    (UPDATING, "deadline"): FAILED,
    (PENDING, "restart"): RESTARTING,
    (RUNNING, "restart"): RESTARTING,
    (RESTARTING, "restarted"): PENDING,
    (PENDING, "update"): UPDATING,
    (RUNNING, "update"): UPDATING,
    (UPDATING, "updated, pending"): PENDING,
    (UPDATING, "updated, running"): RUNNING,
    (PENDING, "reclaimed"): EXPIRED,
    (RUNNING, "reclaimed"): EXPIRED,
    (RESTARTING, "reclaimed"): EXPIRED,
    (UPDATING, "reclaimed"): EXPIRED,
    (SCHEDULING, "delete"): TERMINATING,
    (PENDING, "delete"): TERMINATING,
    (RUNNING, "delete"): TERMINATING,
    (RESTARTING, "delete"): TERMINATING,
    (UPDATING, "delete"): TERMINATING,
    (TERMINATING, "released"): GONE,
    (SCHEDULE_FAILED, "delete"): GONE,
    (SUCCEEDED, "delete"): GONE,
    (FAILED, "delete"): GONE,
    (EXPIRED, "delete"): GONE,
}
BILLED = frozenset({PENDING, RUNNING, RESTARTING, UPDATING, TERMINATING})
ENDED = frozenset({SCHEDULE_FAILED, SUCCEEDED, FAILED, EXPIRED, GONE})
POD_PHASE = {
    SCHEDULING: "Pending",
    SCHEDULE_FAILED: "Failed",
    PENDING: "Pending",
    RUNNING: "Running",
    RESTARTING: "Pending",
    UPDATING: "Pending",
    TERMINATING: "Running",
    SUCCEEDED: "Succeeded",
    FAILED: "Failed",
    EXPIRED: "Failed",
}

WAITING, CONTAINER_RUNNING, TERMINATED = "Waiting", "Running", "Terminated"
CONTAINER_TRANSITIONS: dict[tuple[str, str], str] = {
    (WAITING, "wait"): WAITING,
    (WAITING, "started"): CONTAINER_RUNNING,
    (WAITING, "start failed"): TERMINATED,
    (CONTAINER_RUNNING, "exited"): TERMINATED,
    (TERMINATED, "wait"): WAITING,
    (TERMINATED, "started"): CONTAINER_RUNNING,
    (TERMINATED, "start failed"): TERMINATED,
}


@dataclass(frozen=True, slots=True)
class Exit:
    """How one run of a container ended. signal is 0 unless the service itself ended it."""

    code: int
    signal: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run. started_at is None when the process never began."""

    exit: Exit
    started_at: float | None
    finished_at: float

    @property
    def reason(self) -> str:
        return self.exit.reason or ("Completed" if self.exit.code == 0 else "Error")


@dataclass(slots=True, eq=False)
class Container:
    """One container. `turn` grows at each change of plan, so that a late timer or callback knows it is stale."""

    spec: Json
    init: bool
    state: str = WAITING
    reason: str = "ContainerCreating"
    message: str = ""
    started_at: float | None = None
    last: Run | None = None
    previous: Run | None = None
    restarts: int = 0
    runs: int = 0
    launched: bool = False  # its turn has come; it may still be pulling
    created: bool = False  # it has run, or tried to, since the group was last Scheduling or Restarting
    active: bool = False  # the runtime has it: an exit will be reported
    ready: bool = False
    turn: int = 0
    backoff_s: float = 0.0
    backoff_from: float = 0.0
    pull_backoff_s: float = 0.0
    timer: Timer | None = None
    unhealthy: bool = False  # its liveness probe has failed
    replace: bool = False  # being stopped only to be started again with a new spec
    in_post_start: bool = False  # its hook after the start has not ended
    after_post_start: Callable[[float], None] | None = None  # a stop that waits for that hook

    @property
    def name(self) -> str:
        return str(self.spec["Name"])

    @property
    def image(self) -> str:
        return str(self.spec["Image"])

    @property
    def is_sidecar(self) -> bool:
        return {"Key": "ECI_CONTAINER_TYPE", "Value": "sidecar"} in self.spec.get("EnvironmentVar", [])


@dataclass(slots=True)
class Spot:
    """What a spot group was bought for; prices as shares of the price on demand.

    most_share: what it bids. shares: when which price began to hold, oldest first; that of the purchase holds while it
    is protected. protection_s: from the purchase.
    """

    most_share: float
    protection_s: float
    shares: list[tuple[float, float]]


@dataclass(slots=True, eq=False)
class Group:
    """One container group = one instance = one pod. Times are epoch seconds of the service's clock."""

    id: str
    seq: int
    spec: Json
    tags: dict[str, str]
    cpu: float
    memory_gib: float
    created_at: float
    events: EventLog
    containers: list[Container]
    init_containers: list[Container]
    status: str = SCHEDULING
    change_seq: int = 0
    changed_at: float = 0.0
    zone: str = ""
    ip: str = ""
    pending_at: float | None = None
    running_at: float | None = None
    ended_at: float | None = None
    vanished_at: float | None = None
    spot: Spot | None = None
    release_at: float | None = None  # of a spot group, once that is settled
    release_announced_at: float | None = None
    pulled: set[str] = field(default_factory=set)
    stopping: str = ""
    reason: str = ""
    message: str = ""
    deadline: Timer | None = None
    pending_limit: Timer | None = None
    runtime_data: Any = None
    shown: Json | None = None  # its status as the API gives it, until the store is told of a change

    @property
    def name(self) -> str:
        return str(self.spec["ContainerGroupName"])

    @property
    def region(self) -> str:
        return str(self.spec["RegionId"])

    @property
    def restart_policy(self) -> str:
        return str(self.spec.get("RestartPolicy", "Always"))

    @property
    def grace_s(self) -> float:
        return float(self.spec.get("TerminationGracePeriodSeconds", 30))

    @property
    def everyone(self) -> list[Container]:
        return [*self.init_containers, *self.containers]

    def container(self, name: str) -> Container | None:
        return next((item for item in self.everyone if item.name == name), None)
