"""What a cloud must do to carry pods. The loops and the kubelet API know this file and no driver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from vk_provider.errors import CloudError
from vk_provider.model.instance import Instance, InstanceReport, InstanceStatus
from vk_provider.model.usage import InstanceUsage
from vk_provider.model.workload import Notice, Volume, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What `kubectl logs` can ask of one container (kubelet.md d.2).

    since: RFC 3339 instant, empty = from the start. tail: last so many lines, None = all. limit_bytes: over what is
    emitted, prefix included. Filters apply in this order: tail, since, timestamps, limit_bytes (H13). unfinished: with
    `follow`, a last line without a newline is shown as it grows, where the cloud shows it, and not only at its end.
    """

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: str = ""
    tail: int | None = None
    limit_bytes: int | None = None
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """What an instance costs a second. is_list: from a published list rather than from the cloud itself."""

    per_second: float
    currency: str
    is_list: bool = False

    @property
    def per_hour(self) -> float:
        return self.per_second * 3600


@dataclass(frozen=True, slots=True)
class RequestPreview:
    """The request a create would send. size: vCPU and GiB after rounding, 0 where only the cloud knows.

    price: None where only the cloud knows. choices: all that would be tried, in order, as `Instance.sku` names them.
    notices: what of the workload would be left out.
    """

    request: Mapping[str, str]  # wire name → value
    cpu: float
    memory_gib: float
    price: Price | None
    choices: Sequence[str] = ()
    notices: Sequence[Notice] = ()


class Cloud(Protocol):
    """All a cloud must do to carry pods. Every method may raise CloudError or a kind of it; none retries for ever."""

    async def create(self, workload: Workload) -> Instance:
        """Start an instance; twice for one pod uid starts one. Raises UnsupportedPod, CloudRefused, OutOfCapacity…

        An answer with a `created_at` is an instance that an earlier call made, maybe with other files in it. One that
        is not `proven` is the pod's by this answer alone.
        """
        ...

    async def delete(self, instance_id: str, *, force: bool = False) -> bool:
        """Ask it to stop, with the grace it was made with; it may stay listed as TERMINATING a while.

        force: without any grace. False = the cloud has no such one.
        """
        ...

    async def is_gone(self, instance_id: str, container: str) -> bool:
        """True only when the cloud says, in an answer about this very id, that it does not exist.

        A list without it proves nothing: a caller who lost a permission gets empty lists. container: one of its
        containers' names, for the question has to be about something.
        """
        ...

    async def list(self) -> Sequence[Instance]:
        """Every instance this node owns, all pages, with status and events. Raises rather than give part of it."""
        ...

    async def describe(self, instance_ids: Sequence[str]) -> Mapping[str, Instance]:
        """Those of the given instances that exist and are ours, by id; any number of ids."""
        ...

    async def foreign(self, instance_ids: Sequence[str]) -> Collection[str]:
        """Those of the given instances that exist and are not ours, by what the cloud shows of them. Others, as those
        that are not shown at all, are not among them."""
        ...

    async def find(self, pod_uid: str) -> Sequence[Instance]:
        """Every instance tagged with this pod uid."""
        ...

    async def changes(self, window_s: int) -> Sequence[InstanceReport]:
        """What changed in the last `window_s` seconds, all pages; what did not change may be among it.

        One instance may be told of several times, later reports adding to the earlier; a report that is the same as
        in the answer before may be the same object.
        """
        ...

    async def events(self, window_s: int) -> Sequence[InstanceReport]:
        """The events of the last `window_s` seconds, all pages: reports of these alone, on the terms of `changes`.

        Apart, for there are several times as many of them, and nobody should wait for them to hear that a pod runs.
        """
        ...

    async def statuses(self, *, rest_s: float = 0.0) -> Mapping[str, InstanceStatus]:
        """Every instance of ours by id, with its status only: the cheap full listing that a sweep needs.

        rest_s: from one of its calls to the next, where nobody waits for it. Each status is as of its own call, then.
        """
        ...

    def logs(self, instance_id: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """The container's log as bytes in whole or cut lines; with `follow` until the container has ended."""
        ...

    async def check(self) -> None:
        """One cheap call that proves address, credentials and permission. Raises CloudError."""
        ...

    async def close(self) -> None: ...


def describe_error(error: Exception) -> str:
    """One line for an event: the message, and the request id to quote when the cloud gave one."""
    if isinstance(error, CloudError) and error.request_id:
        return f"{error} (request {error.request_id})"
    return str(error)


# --- what a driver may have besides; without it the kubelet API answers 501 ---


class Channel(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended. exit_code None: the cloud did not say and it could not be had; never guessed as 0.

    message: for people; says why there is no exit code, or what went wrong.
    """

    exit_code: int | None
    message: str = ""


class ExecSession(Protocol):
    """One command that runs in a container. Whoever opened it closes it, whatever happens."""

    async def write(self, data: bytes) -> None:
        """To its standard input; waits while the other side does not take it. After the end it is dropped."""
        ...

    async def close_stdin(self) -> None:
        """End of input. Where the cloud has no word for it, this is a no-op that the result's message mentions."""
        ...

    async def resize(self, *, width: int, height: int) -> None:
        """The terminal's size in characters; ignored without a tty."""
        ...

    def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        """What it writes, in order, until it ends. Stop reading, and the cloud is asked to wait."""
        ...

    async def result(self) -> ExecResult:
        """After `output` has ended."""
        ...

    async def close(self) -> None:
        """Give it up; the command may go on in the container (there is no way to kill it)."""
        ...


@runtime_checkable
class SupportsExec(Protocol):
    async def exec(
        self, instance_id: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        """Start a command. Raises CloudError before anything has run, or InstanceGone."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What of an instance is to become as its workload has it. containers: names of those that get their image,
    environment and arguments anew; files: all volumes; logins: for registries."""

    containers: Set[str] = frozenset()
    files: bool = False
    logins: bool = False


@runtime_checkable
class SupportsFileUpdate(Protocol):
    async def update_files(self, instance_id: str, volumes: Sequence[Volume]) -> None:
        """Make the files that a running instance shows these. That it shows them already is success.

        volumes: every volume of the pod, in the order of its creation, so that the answer is the same whether a cloud
        takes the list for the whole or for a part. Raises UnsupportedPod for what it cannot hold, CloudUnavailable
        while another change of the instance is under way, InstanceGone; the files are then as they were.
        """
        ...

    async def update(self, instance_id: str, workload: Workload, change: Change) -> None:
        """Give a running instance what its pod says now, as far as `change` says so, and keep `workload.made_of` with
        it, in one call. That it has all of it already is success. Containers that differ begin anew, others run on.

        Raises as `update_files` does, and CloudRefused; the instance is then as it was.
        """
        ...

    async def volumes_of(self, instance_id: str) -> Mapping[str, Volume]:
        """Its files and storage as they are now, by name; without those of which the cloud does not tell enough to make
        them again. It tells no file's mode."""
        ...


@runtime_checkable
class SupportsRestart(Protocol):
    async def restart(self, instance_id: str) -> None:
        """Begin the whole instance anew, within its grace: init containers, containers, empty emptyDir volumes.

        Raises CloudRefused where its state does not allow it, and InstanceGone.
        """
        ...


@runtime_checkable
class SupportsUsage(Protocol):
    async def usage(self, instance_ids: Sequence[str]) -> Mapping[str, InstanceUsage]:
        """The newest figures of those that have any, by id; any number of ids, in as few calls as the cloud allows."""
        ...


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """vCPU that the account may have in this region at once, and what all of it has: others' instances as well."""

    most_cpu: float
    used_cpu: float


@dataclass(frozen=True, slots=True)
class SpotMarket:
    """By zone: whether spot instances are sold to us, and what one of the usual size costs by the hour, as spot and on
    demand. A zone of which nothing is known is in neither."""

    has_stock: Mapping[str, bool]
    prices: Mapping[str, tuple[float, float]]


@runtime_checkable
class SupportsSpot(Protocol):
    async def quota_usage(self) -> QuotaUsage:
        """As of now."""
        ...

    async def spot_market(self) -> SpotMarket:
        """As of now."""
        ...


@runtime_checkable
class SupportsPricing(Protocol):
    def price(self, sku: str) -> Price | None:
        """What is known now of `Instance.sku`, without asking anybody; None where nothing is."""
        ...

    async def keep_prices(self) -> None:
        """Ask the cloud for the prices that were wanted, each once in a long while; until cancelled."""
        ...


@runtime_checkable
class SupportsCallBudgets(Protocol):
    """Of a connection to a cloud, which all nodes of a process share."""

    def call_budgets(self) -> Mapping[str, tuple[int, int]]:
        """By call name: calls of the last minute, and how many the cloud allows in one."""
        ...


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, but not as it should
    FAILED = "failed"
    SKIPPED = "skipped"  # it could not be looked at, and the message says why


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. check: what was looked at, in a few words. fix: what a person does about it; empty where
    all is well."""

    check: str
    verdict: Verdict
    message: str
    fix: str = ""


@runtime_checkable
class SupportsDiagnosis(Protocol):
    async def diagnose(self) -> Sequence[Finding]:
        """Whether all is there that pods need: credentials, rights, networks, quota, stock. Changes nothing, and raises
        nothing that the cloud answers."""
        ...
