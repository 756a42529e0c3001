"""Everything of other rooms that the reconciler works with, put together by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from vk_provider.cloud.base import Cloud
from vk_provider.control.observation import NodePolicy
from vk_provider.control.policy import PodPolicy
from vk_provider.files.file_sync import FileSyncer
from vk_provider.files.object_reader import ObjectReader
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.cost import CostMeter
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.instances.poller import InstancePoller
from vk_provider.kube.api import KubeApi
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.reflector import Reflector
from vk_provider.metrics import Registry
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.model.workload import Intent
from vk_provider.pacing.workqueue import WorkQueue
from vk_provider.probes.prober import Ask
from vk_provider.translate.judging import OfCloud
from vk_provider.translate.workload import NodeContext


class Jitter(Protocol):
    def __call__(self) -> float:
        """A number in [0, 1)."""
        ...


class PodView(Protocol):
    """Who keeps a summary of each pod, for those who want to see them all."""

    def observe(self, uid: str, pod: Json | None, instances: Sequence[Instance], action: str, decision: str) -> None:
        """So it was decided about this pod. Must return at once and not raise."""
        ...

    def drop(self, uid: str) -> None:
        """Neither pod nor instance exists."""
        ...

    def orphan_deleted(self) -> None:
        """An instance was deleted as its pod was gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """live: None leaves the files of running instances as they are. costs: None reports none.

    policies: see `control.policy`. intent_of: what a pod, as the policies want it, wants of its instance. refusals_of:
    what the cloud cannot hold of a workload. view: shown each decision. ended_logs: where logs of instances are kept
    that are stopped for good.
    """

    client: KubeApi
    cloud: Cloud
    pods_seen: Reflector
    instances: InstanceCache
    poller: InstancePoller
    queue: WorkQueue
    recorder: Recorder
    references: ObjectReader
    node: NodePolicy
    context: NodeContext
    metrics: Registry
    jitter: Jitter
    ask: Ask
    live: FileSyncer | None = None
    costs: CostMeter | None = None
    view: PodView | None = None
    policies: Sequence[PodPolicy] = ()
    intent_of: Callable[[Json], Intent] = lambda _: Intent()
    refusals_of: OfCloud = lambda _: ()
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ended_logs: EndedLogs = field(default_factory=EndedLogs)
