"""What a cloud is asked to run: the pod, and beside it everything it refers to, so that nothing is left to fetch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vk_provider.model.instance import UNKNOWN_MAKE, MadeOf, Owner
from vk_provider.model.notice import Notice as Notice
from vk_provider.model.probe import Handler, Probe
from vk_provider.model.security import Security

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume. path: relative to the mount; mode: an int as 0o644."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class EmptyDir:
    """medium: empty for disk or `Memory`. size_mib: the limit, None = none."""

    medium: str = ""
    size_mib: int | None = None


@dataclass(frozen=True, slots=True)
class Nfs:
    """A directory that a file server exports, mounted as the cloud mounts one by default."""

    server: str
    path: str = "/"
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Flex:
    """Storage beyond the instance that a driver of the cloud attaches.

    driver: by its name. options: what that driver takes; they may hold keys, so they are never shown.
    """

    driver: str
    fs_type: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume with all its content: just one of the four. `files` for configMap, secret, projected and downwardAPI.

    index: its place in the pod's list, where those that nobody mounts stand too. added: the cluster put it there, not
    the pod's owner, so a driver that has no room for it leaves it out and tells so (`Instance.notices`).
    """

    name: str
    files: Sequence[File] | None = None
    empty_dir: EmptyDir | None = None
    nfs: Nfs | None = None
    flex: Flex | None = None
    index: int = 0
    added: bool = False

    @property
    def is_read_only(self) -> bool:
        """However it is mounted: files are objects of the API, and storage may be offered for reading only."""
        return self.files is not None or any(each is not None and each.read_only for each in (self.nfs, self.flex))


@dataclass(frozen=True, slots=True)
class Mount:
    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class FromPodIP:
    """An environment value that only the cloud knows, once the instance has an address."""


@dataclass(frozen=True, slots=True)
class Port:
    number: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Container:
    """One container, its words already expanded. cpu in vCPU and memory_gib in GiB; None = the pod does not say.

    sidecar: it does not keep the others from being all there is to do. liveness, readiness: what the cloud asks.
    added_env: the names in `env` that the pod's owner did not ask for, the most useful first: a driver that has no room
    for all leaves out the last ones and tells so (`Instance.notices`).
    """

    name: str
    image: str
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Sequence[tuple[str, str | FromPodIP]] = ()
    added_env: Sequence[str] = ()
    cpu: float | None = None
    memory_gib: float | None = None
    gpus: int = 0
    mounts: Sequence[Mount] = ()
    ports: Sequence[Port] = ()
    working_dir: str = ""
    image_pull_policy: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    security: Security = field(default_factory=Security)
    termination_path: str = ""  # of the file with its last words; empty = /dev/termination-log
    termination_policy: str = ""  # empty = File
    sidecar: bool = False
    liveness: Probe | None = None
    readiness: Probe | None = None
    post_start: Handler | None = None
    pre_stop: Handler | None = None


@dataclass(frozen=True, slots=True)
class HostAlias:
    """One line of /etc/hosts. added: as of a `Volume`."""

    ip: str
    hostnames: Sequence[str]
    added: bool = False


@dataclass(frozen=True, slots=True)
class RegistryCredential:
    """A login for a registry. server: its host, with a port if it has one, without scheme or path."""

    server: str
    user: str
    password: str = field(repr=False)


class NoCapacity(StrEnum):
    """What to do when no way to carry a pod has capacity just now."""

    TRY_AGAIN = "try again"
    STAY_PENDING = "stay pending"  # say so, and try no more
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a pod wants of its instance's making, worked out once for whoever decides and whoever creates.

    candidates: how many ways there are to carry it; `Workload.attempt` counts along them.
    """

    candidates: int = 1
    on_no_capacity: NoCapacity = NoCapacity.TRY_AGAIN


@dataclass(frozen=True, slots=True)
class Workload:
    """One pod, ready to be sent. cpu (vCPU) and memory_gib (GiB): what the pod needs as a whole, before any rounding;
    None where nothing in the pod says it, so that the cloud's default applies. cpu_open, memory_open: a container says
    nothing of it, so that the default is the least, whatever the others need. storage_gib: all its temporary storage.
    architecture: `amd64` or `arm64` where the pod insists on one. attempt: which of the driver's ways to carry it is to
    be taken, counted from 0 (see `OutOfCapacity.next_attempt`). in_doubt: it may have been sent before, with an
    answer that nobody read, so it has to be sent again before any other way is taken. Sidecars are
    the first `containers`."""

    owner: Owner
    containers: Sequence[Container]
    replaces: str = ""  # id of the dead instance in whose place this one comes: a new life needs a new client token
    init_containers: Sequence[Container] = ()
    volumes: Sequence[Volume] = ()
    cpu: float | None = None
    memory_gib: float | None = None
    cpu_open: bool = False
    memory_open: bool = False
    storage_gib: float | None = None
    architecture: str = ""
    attempt: int = 0
    in_doubt: bool = False
    restart_policy: str = "Always"
    termination_grace_s: int = 30
    active_deadline_s: int | None = None
    hostname: str = ""
    host_aliases: Sequence[HostAlias] = ()
    share_process_namespace: bool = False
    sysctls: Sequence[tuple[str, str]] = ()  # name and value
    dns: Dns | None = None
    registry_credentials: Sequence[RegistryCredential] = ()
    made_of: MadeOf = UNKNOWN_MAKE  # to be kept with the instance, and given back with it
    annotations: Mapping[str, str] = field(default_factory=dict)  # that speak to the cloud, for the driver
    notices: Sequence[Notice] = ()  # for whoever writes events; a driver ignores them


def with_paths(workload: Workload) -> Iterator[tuple[str, Container]]:
    """Every container with its path in the pod, where sidecars stand behind the other init containers."""
    sidecars = [each for each in workload.containers if each.sidecar]
    for index, container in enumerate((*workload.init_containers, *sidecars)):
        yield f"spec.initContainers[{index}]", container
    for index, container in enumerate(workload.containers[len(sidecars) :]):
        yield f"spec.containers[{index}]", container


@dataclass(frozen=True, slots=True)
class Dns:
    """Resolver settings to write into the instance; absent = the cloud's own resolver.

    added_searches, added_options: what of them the cluster adds and the pod does not name, the most useful first; see
    `Container.added_env`.
    """

    nameservers: Sequence[str] = ()
    searches: Sequence[str] = ()
    options: Sequence[tuple[str, str]] = ()
    added_searches: Sequence[str] = field(default=(), compare=False)
    added_options: Sequence[str] = field(default=(), compare=False)
