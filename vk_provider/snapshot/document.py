"""The snapshot as programs read it; its JSON schema is deploy/snapshot.schema.json. Fields keep their names and
meanings and are only ever added. Times are RFC 3339 UTC, seconds end in S, money is per currency. Pure.

No field holds an environment, a Secret's content, a token, a command or a label.
"""

from __future__ import annotations

import msgspec

VERSION = 1
SCHEMA_ID = "vk-provider/snapshot/v1"


class Shape(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What all parts have in common."""


class PodSummary(Shape, frozen=True, kw_only=True):
    """One pod and what runs it. reason: the word that holds it, as its STATUS in `kubectl get pods`; decision: why the
    last decision about it was what it was. pod without a name of an instance: none exists yet."""

    namespace: str
    name: str
    uid: str
    phase: str
    reason: str = ""
    message: str = ""
    ready: str = ""  # as 1/2
    restarts: int = 0
    created_at: str = ""
    bound_at: str = ""
    controller: str = ""  # as Job/pi
    instance: str = ""
    instance_status: str = ""
    zone: str = ""
    sku: str = ""
    cpu: float = 0.0  # vCPU, billed
    memory_gib: float = 0.0
    placed_at: str = ""  # since when it is billed
    ended_at: str = ""
    per_hour: float = 0.0
    currency: str = ""
    action: str = ""
    decision: str = ""
    is_orphan: bool = False  # an instance whose pod no longer exists: it is deleted when it is old enough


class WaitingGroup(Shape, frozen=True, kw_only=True):
    """Pods that do not run yet, or no more, for one reason. examples: a few, as namespace/name. message: of one."""

    reason: str
    count: int
    message: str = ""
    examples: tuple[str, ...] = ()


class PodCounts(Shape, frozen=True, kw_only=True):
    total: int
    by_phase: dict[str, int]
    waiting: tuple[WaitingGroup, ...]  # the largest first


class Instances(Shape, frozen=True, kw_only=True):
    total: int
    by_status: dict[str, int]
    orphans: tuple[PodSummary, ...]  # at most MOST_SHOWN of them
    orphans_total: int
    orphans_deleted: int  # by this process


class Cost(Shape, frozen=True, kw_only=True):
    """An estimate by the prices that are known. since_start: of all instances that this process has seen."""

    currency: str
    per_hour: float
    since_start: float


class Check(Shape, frozen=True, kw_only=True):
    name: str
    is_healthy: bool
    reason: str = ""
    message: str = ""
    age_s: float = 0.0


class Leadership(Shape, frozen=True, kw_only=True):
    """lease: empty where there is one replica only, which then leads."""

    is_leader: bool
    lease: str = ""
    identity: str = ""
    remaining_s: float | None = None  # for which writes may still be sent; null = for ever


class CloudState(Shape, frozen=True, kw_only=True):
    """is_healthy null: it has not been asked yet."""

    name: str
    region: str
    is_healthy: bool | None
    reason: str = ""
    message: str = ""


class Queue(Shape, frozen=True, kw_only=True):
    depth: int
    oldest_s: float
    delayed: int  # keys that are due later
    failing: int  # pods whose last reconcile failed


class CallBudget(Shape, frozen=True, kw_only=True):
    """Calls of one name in the last minute, of how many are allowed."""

    action: str
    used: int
    allowed: int


class RecentEvent(Shape, frozen=True, kw_only=True):
    at: str
    type: str
    reason: str
    object: str
    message: str


class Build(Shape, frozen=True, kw_only=True):
    version: str
    python: str
    started_at: str


class Idle(Shape, frozen=True, kw_only=True):
    """Idle capacity for preemptible Jobs, in vCPU, of the whole account. forecast: the peak of what all others use;
    published: what Nodes offer; running: what preemptible pods hold that run."""

    at: str
    quota: float
    forecast: float
    published: float
    running: float


class Snapshot(Shape, frozen=True, kw_only=True):
    """pods: of every pod, where it was asked for; else empty. idle: null where no idle capacity is offered."""

    version: int = VERSION
    at: str
    node: str
    cluster: str
    build: Build
    is_ready: bool
    leadership: Leadership
    checks: tuple[Check, ...]
    cloud: CloudState
    queue: Queue
    pod_counts: PodCounts
    instances: Instances
    costs: tuple[Cost, ...]
    budgets: tuple[CallBudget, ...]
    events: tuple[RecentEvent, ...]
    certificate_expires_at: str = ""
    is_certificate_self_signed: bool = False
    idle: Idle | None = None
    pods: tuple[PodSummary, ...] = ()


class Condition(Shape, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class CloudEvent(Shape, frozen=True, kw_only=True):
    at: str
    type: str
    reason: str
    message: str
    count: int = 1


class Explanation(Shape, frozen=True, kw_only=True):
    """All that is known of one pod. problem, refusal: the cloud's or our last word on why there is no instance.
    next_try_s: seconds until it is reconciled again without a change; null = only a change will do."""

    version: int = VERSION
    at: str
    node: str
    pod: PodSummary
    action: str = ""
    decision: str = ""
    problem: str = ""
    problem_reason: str = ""
    is_refused: bool = False
    waits_for_change: bool = False
    failures: int = 0  # reconciles in a row
    create_failures: int = 0
    next_create_s: float | None = None
    next_try_s: float | None = None
    is_in_queue: bool = False
    conditions: tuple[Condition, ...] = ()
    cloud_conditions: tuple[Condition, ...] = ()
    cloud_events: tuple[CloudEvent, ...] = ()
