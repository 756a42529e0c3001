"""The agent's figures on /metrics, those that upstream's dashboards know under upstream's names, too."""

from __future__ import annotations

import math

from vk_provider.idle.resources import Amount
from vk_provider.metrics import Registry, add_process_metrics
from vk_provider.qos_agent.publication import Evaluation
from vk_provider.qos_agent.usage import Usage


class AgentMetrics:
    """resource: `cpu` in cores, `memory` in bytes."""

    def __init__(self, registry: Registry) -> None:
        add_process_metrics(registry)
        self._published = registry.gauge("qos_agent_published", "Idle capacity that the node publishes.", ("resource",))
        self._requested = registry.gauge(
            "qos_agent_requested", "Idle capacity that pods of the node request.", ("resource",)
        )
        self._regular = registry.gauge(
            "qos_agent_regular_use", "What all but preemptible pods use of the node.", ("resource",)
        )
        self._predicted = registry.gauge(
            "qos_agent_predicted_use", "The peak of that use that is forecast for the next hour.", ("resource",)
        )
        self._age = registry.gauge("qos_agent_reading_age_seconds", "How old the newest known use of the node is.")
        self.evictions = registry.counter(
            "qos_agent_evictions_total", "Preemptible pods ended because a NodeQOS rule held."
        )
        self._recommended = registry.gauge(
            "crane_craneAgent_node_resource_recommended", "Upstream's name for qos_agent_published.", ("resource",)
        )
        alias = registry.counter(
            "crane_craneAgent_executor_evict_total", "Upstream's name for qos_agent_evictions_total."
        )
        registry.before_scrape(lambda: alias.set_total(self.evictions.value()))

    def show(self, evaluation: Evaluation, requested: Amount, usage: Usage | None, now_s: float) -> None:
        published = evaluation.published
        for gauge in (self._published, self._recommended):
            gauge.set(published.cpu, resource="cpu")
            gauge.set(published.memory, resource="memory")
        self._requested.set(requested.cpu, resource="cpu")
        self._requested.set(requested.memory, resource="memory")
        for gauge, cpu, memory in (
            (self._regular, evaluation.regular_cpu, evaluation.regular_memory),
            (self._predicted, evaluation.predicted_cpu, evaluation.predicted_memory),
        ):
            gauge.set(math.nan if cpu is None else cpu, resource="cpu")
            gauge.set(math.nan if memory is None else memory, resource="memory")
        self._age.set(math.inf if usage is None else max(0.0, now_s - usage.at_s))
