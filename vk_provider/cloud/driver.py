"""All that a process needs of a cloud: what it is called, what it can do, how to reach it, what a pod becomes there.

`vk_provider.cloud.drivers` has them by name; the loops and the kubelet API get what a driver made, and know none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from vk_provider.cloud.base import Cloud, RequestPreview
from vk_provider.errors import CloudError, Refusal
from vk_provider.fence import Fence
from vk_provider.model.pod import Json
from vk_provider.model.poll_limits import PollLimits
from vk_provider.model.workload import Intent, Notice, Workload
from vk_provider.translate.capabilities import Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose instances they are: they carry all of it. cluster: its uid; cluster_name: for people alone."""

    cluster: str
    node: str
    cluster_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where instances run, as far as the Node shows it and pods are judged by it. role: that instances have where the
    pod names none. profile: ConfigMap `namespace/name` that changes pods before they are carried; empty = none."""

    region: str = ""
    zone: str = ""
    architecture: str = ""
    role: str = ""
    profile: str = ""


class SoldCpu(Protocol):
    def __call__(self, cpu: float | None, memory_gib: float | None, *, is_spot: bool) -> float:
        """vCPU of the instance that is sold for a need; None = the pod does not say. 0 where there is none so large."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotTerms:
    """How to have what a cloud may take back. annotations: by which a pod asks for it. is_spot: by `Instance.sku`.

    notice: reason of the event by which it announces that it will. evicts: annotation, key and value, of a pod that is
    to be evicted then.
    """

    annotations: Mapping[str, str]
    sold_cpu: SoldCpu
    is_spot: Callable[[str], bool]
    notice: str
    evicts: tuple[str, str]


class Observe(Protocol):
    def __call__(self, action: str, code: str, took_s: float, /) -> None:
        """One call to the cloud was answered."""
        ...


class Heard(Protocol):
    def __call__(self, unanswered: CloudError | None, took_s: float, /) -> None:
        """One try of a call ended. unanswered: None where the cloud answered, be it with an error."""
        ...


O = TypeVar("O")  # noqa: E741 - its section of the settings
S = TypeVar("S")  # what it works with: the section, and whose instances they are
A = TypeVar("A")  # what it reaches the cloud with, as credentials
C = TypeVar("C")  # the process's connection to the cloud, with the budgets of its calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver(Generic[O, S, A, C]):
    """One cloud, under a name that the setting `cloud` and its section of the settings have.

    access: what is needed to reach it, before anything else is done; raises ConfigError where that is not there.
    settings: raises ConfigError. connect: made once by a process, from the settings of any of its nodes; disconnect
    ends it. cloud: the cloud as one node sees it; what changes it goes through the fence, where there is one. The
    others are pure. intent:
    what a pod wants of its instance. refusals: what the cloud cannot hold of a workload. left_out: what it would do
    without. preview: the request that a create would send; raises UnsupportedPod. masked: a request without what came
    out of Secrets, and without the values given. spot: None = it sells no instances that it may take back.
    """

    name: str
    capabilities: Capabilities
    place: Callable[[O], Place]
    limits: Callable[[O], PollLimits]
    access: Callable[[O], Awaitable[A]]
    settings: Callable[[O, Whose], S]
    connect: Callable[[S, A, Observe, Heard], C]
    disconnect: Callable[[C], Awaitable[None]]
    cloud: Callable[[S, C, Fence | None], Cloud]
    intent: Callable[[Json, S], Intent]
    refusals: Callable[[Workload, S], Sequence[Refusal]]
    left_out: Callable[[Workload], Sequence[Notice]]
    preview: Callable[[Workload, S], RequestPreview]
    masked: Callable[[Mapping[str, str], Collection[bytes]], dict[str, str]]
    spot: Callable[[S], SpotTerms] | None = None
