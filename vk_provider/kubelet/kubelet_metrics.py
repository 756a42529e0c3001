"""The counts that alert rules and dashboards look for under a kubelet's names, at `/metrics` (kubelet.md M11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from vk_provider.metrics import Registry
from vk_provider.model.instance import Instance, StateKind

_STATES = {StateKind.WAITING: "created", StateKind.RUNNING: "running", StateKind.TERMINATED: "exited"}


def add_kubelet_metrics(
    registry: Registry,
    *,
    node_name: str,
    all_pods: Callable[[], Iterable[dict[str, Any]]],
    instance_of: Callable[[str], Instance | None],
) -> None:
    """Counted anew at each scrape."""
    registry.gauge("kubelet_node_name", "The node's name.", ("node",)).set(1, node=node_name)
    pods = registry.gauge("kubelet_running_pods", "Pods of which something runs.")
    containers = registry.gauge("kubelet_running_containers", "Containers by state.", ("container_state",))

    def look() -> None:
        states: Counter[str] = Counter(dict.fromkeys(_STATES.values(), 0))
        running = 0
        for pod in all_pods():
            instance = instance_of(pod["metadata"]["uid"])
            if instance is None:
                continue
            own = [_STATES[one.state.kind] for one in (*instance.init_containers, *instance.containers)]
            running += "running" in own
            states.update(own)
        pods.set(running)
        for state, number in states.items():
            containers.set(number, container_state=state)

    registry.before_scrape(look)
