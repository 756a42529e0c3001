"""The extended resources in which idle capacity is requested, and what a pod requests of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vk_provider.model.pod import Json, containers_of, init_containers_of, is_sidecar
from vk_provider.model.quantity import GIB, parse

CPU = "gocrane.io/cpu"
MEMORY = "gocrane.io/memory"
NAMES = (CPU, MEMORY)
_UNITS = ((1024**4, "Ti"), (GIB, "Gi"), (1024**2, "Mi"), (1024, "Ki"))


@dataclass(frozen=True, slots=True)
class Amount:
    """cpu in whole vCPU, memory in bytes."""

    cpu: int = 0
    memory: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cpu + other.cpu, self.memory + other.memory)

    def quantities(self) -> dict[str, str]:
        """As in a node's capacity."""
        return {CPU: str(self.cpu), MEMORY: bytes_quantity(self.memory)}


NOTHING = Amount()


def total(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, NOTHING)


def bytes_quantity(count: int) -> str:
    """The shortest exact spelling with a binary suffix, as an API server writes it: `320Gi`, `1536Mi`."""
    for unit, suffix in _UNITS:
        if count and count % unit == 0:
            return f"{count // unit}{suffix}"
    return str(count)


def is_preemptible(pod: Mapping[str, Any]) -> bool:
    """It requests idle capacity, rightly or not."""
    containers = [*containers_of(pod), *init_containers_of(pod)]
    return any(name in _stated(container, group) for container in containers for group in _GROUPS for name in NAMES)


def requested(pod: Mapping[str, Any]) -> Amount:
    """What the scheduler counts: all containers that run together, or the init container that needs more.

    Raises ValueError for what is no quantity, which an API server would not have stored.
    """
    return Amount(_need(pod, CPU), _need(pod, MEMORY))


_GROUPS = ("requests", "limits")


def _stated(container: Json, group: str) -> Mapping[str, Any]:
    resources = container.get("resources")
    stated = resources.get(group) if isinstance(resources, Mapping) else None
    return stated if isinstance(stated, Mapping) else {}


def _need(pod: Mapping[str, Any], name: str) -> int:
    sidecars, most = 0, 0
    for container in init_containers_of(pod):
        if is_sidecar(container):
            sidecars += _amount(container, name)
        else:
            most = max(most, sidecars + _amount(container, name))
    return max(most, sidecars + sum(_amount(container, name) for container in containers_of(pod)))


def _amount(container: Json, name: str) -> int:
    for group in _GROUPS:
        if name in _stated(container, group):
            return max(0, math.ceil(parse(_stated(container, group)[name])))
    return 0
