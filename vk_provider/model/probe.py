"""What can be asked of a container from outside: is it well, and what is to be done around its start and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exec:
    """A command in the container; exit code 0 is a yes."""

    command: Sequence[str]


@dataclass(frozen=True, slots=True)
class HttpGet:
    """host: empty = the pod's address. A status from 200 to 399 is a yes."""

    port: int
    path: str = "/"
    scheme: str = "HTTP"
    host: str = ""
    headers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """host: empty = the pod's address. An open connection is a yes."""

    port: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class Grpc:
    """The standard health service (grpc.health.v1); service: the name asked about, mostly empty. SERVING is a yes."""

    port: int
    service: str = ""


Handler = Exec | HttpGet | TcpSocket | Grpc


@dataclass(frozen=True, slots=True)
class ProbeSupport:
    """Which readiness and liveness probes a cloud asks by itself; what it does not ask, the provider does.

    headers: whether it sends those of an HttpGet.
    """

    handlers: frozenset[type[Handler]] = frozenset({Exec, HttpGet, TcpSocket})
    headers: bool = False

    def includes(self, handler: Handler) -> bool:
        wants_headers = isinstance(handler, HttpGet) and bool(handler.headers)
        return type(handler) in self.handlers and (self.headers or not wants_headers)


USUAL = ProbeSupport()


@dataclass(frozen=True, slots=True)
class Probe:
    """A question asked again and again. The thresholds count answers in a row; times are whole seconds."""

    handler: Handler
    initial_delay_s: int = 0
    period_s: int = 10
    timeout_s: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Duties:
    """What of a container's probes nobody but the provider asks; None = nothing to ask."""

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None

    def __bool__(self) -> bool:
        return not self.startup is self.readiness is self.liveness is None


@dataclass(frozen=True, slots=True)
class Failure:
    """A container that has to begin anew: its probe of this kind, startup or liveness, has failed for good."""

    instance_id: str
    container: str
    kind: str


@dataclass(frozen=True, slots=True)
class ProbeCount:
    """How often a probe of a container's present run has ended so. kind: startup, readiness or liveness. result: as a
    kubelet names it, `successful`, `failed` or `unknown`."""

    namespace: str
    pod: str
    pod_uid: str
    container: str
    kind: str
    result: str
    count: int
