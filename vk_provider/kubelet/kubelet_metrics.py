"""The counts that alert rules and dashboards look for under a kubelet's names, at `/metrics` (kubelet.md M11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vk_provider.metrics import Registry


def add_kubelet_metrics(
    registry: Registry, *, node_name: str, container_states: Callable[[], tuple[int, Mapping[str, int]]]
) -> None:
    """container_states: how many pods have something that runs, and containers by state: created, running, exited."""
    registry.gauge("kubelet_node_name", "The node's name.", ("node",)).set(1, node=node_name)
    pods = registry.gauge("kubelet_running_pods", "Pods of which something runs.")
    containers = registry.gauge("kubelet_running_containers", "Containers by state.", ("container_state",))

    def collect() -> None:
        running, states = container_states()
        pods.set(running)
        for state, number in states.items():
            containers.set(number, container_state=state)

    registry.before_scrape(collect)
