"""Pods that run, put together from their three sources: the pod, its instance, and the figures. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vk_provider.kubelet.usage_stats import ContainerStats, PodStats, UsageStats, running
from vk_provider.model.instance import ContainerReport, Instance

Json = dict[str, Any]
InstanceOf = Callable[[str], Instance | None]  # by pod uid


@dataclass(frozen=True, slots=True)
class RunningPod:
    """containers: those that run just now, at least one. figures: None when there are none, or only old ones."""

    pod: Json
    containers: Sequence[ContainerReport]
    figures: PodStats | None

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    def of(self, container: ContainerReport) -> ContainerStats | None:
        """Its figures, if they are of its present run."""
        found = self.figures.containers.get(container.name) if self.figures is not None else None
        return found if found is not None and found.restart_count == container.restart_count else None

    @property
    def is_measured(self) -> bool:
        """Whether every container has its figures. Readers drop a pod that lacks one, so it is left out before (M3)."""
        found = [self.of(container) for container in self.containers]
        return all(figures is not None and figures.are_complete for figures in found)


def running_pods(pods: Iterable[Json], instance_of: InstanceOf, book: UsageStats) -> Iterator[RunningPod]:
    for pod in pods:
        instance = instance_of(pod["metadata"]["uid"])
        containers = running(instance) if instance is not None else ()
        if instance is not None and containers:
            yield RunningPod(pod, containers, book.of(instance.id))
