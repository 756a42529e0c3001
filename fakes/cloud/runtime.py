"""What the life cycle asks of a runtime: the thing that runs containers, or pretends to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fakes.cloud.group import Container, Exit, Group
from fakes.cloud.parameters import Json

Started = Callable[[float], None]
Exited = Callable[[float, Exit], None]
Checked = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Pull:
    """What pulling an image comes to. error: the text of the failure, or empty.

    config_error: why no container can be made of the image as it is asked for, or empty.
    """

    seconds: float
    error: str = ""
    size_bytes: int = 0
    config_error: str = ""
    cached: bool = False  # it is there without a pull
    retries_help: bool = False  # the failure is said to be passing: the next try succeeds


@dataclass(frozen=True, slots=True)
class LogQuery:
    """One DescribeContainerLog, checked. since_ns: epoch nanoseconds. limit_bytes counts from the first line kept."""

    tail: int = 500
    limit_bytes: int = 1 << 20
    since_ns: int = 0
    timestamps: bool = False
    previous: bool = False


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The end of a command run inside a container; stdout and stderr are one text."""

    code: int
    output: bytes


class ExecProcess(Protocol):
    """A command running inside a container, for the streaming exec."""

    async def read(self) -> tuple[int, bytes] | None:
        """The next (channel, bytes), channel 1 or 2; None when all output was read."""

    async def write(self, data: bytes) -> None: ...

    def close_stdin(self) -> None: ...

    def resize(self, *, columns: int, rows: int) -> None: ...

    async def wait(self) -> int: ...

    def kill(self) -> None: ...


class Runtime(Protocol):
    """Runs containers. No method blocks; the callbacks come later, once each, from the event loop.

    `started` is not called when the process could not begin; `exited` is always called, exactly once per `start`.
    """

    def pull(self, group: Group, container: Container, now: float) -> Pull: ...

    def start_delay(self, group: Group) -> float:
        """Seconds from acceptance to placement, when this group's differ from the usual; else a negative number."""

    def prepare(self, group: Group) -> None:
        """Make room for the group: its volumes, its logs."""

    def start(self, group: Group, container: Container, now: float, *, started: Started, exited: Exited) -> None: ...

    def stop(self, group: Group, container: Container, now: float, *, grace_s: float) -> None:
        """Ask the container to end; make it end after grace_s."""

    def update_files(self, group: Group) -> None:
        """Write the config files of group.spec anew, where running containers see them."""

    def clear_scratch(self, group: Group) -> None:
        """Empty the emptyDir volumes; nothing of the group runs."""

    def ended(self, group: Group) -> None:
        """Nothing of the group runs or will run again; its address may soon be another's."""

    def release(self, group: Group) -> None:
        """Kill what still runs, at once, and forget the group."""

    def logs(self, group: Group, container: Container, query: LogQuery, now: float) -> str: ...

    def samples(self, group: Group, now: float) -> list[Json]:
        """Metric records, oldest first, as DescribeContainerGroupMetric lists them, each with `at` in epoch seconds."""

    def check(self, group: Group, container: Container, probe: Json, *, timeout_s: float, done: Checked) -> None:
        """Ask a running container what a probe says; `done` gets the time and the failure, or an empty text."""

    async def exec(
        self, group: Group, container: Container, command: Sequence[str], *, timeout_s: float
    ) -> ExecResult: ...

    async def exec_stream(
        self, group: Group, container: Container, command: Sequence[str], *, tty: bool, stdin: bool
    ) -> ExecProcess: ...

    async def close(self) -> None:
        """End everything; nothing of this runtime survives."""
