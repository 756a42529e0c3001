"""`/metrics/resource`: what metrics-server reads, and through it `kubectl top` and autoscalers (kubelet.md h.1).

The pod is the second label of every sample, where a well-known test suite looks for it.
"""

from __future__ import annotations

from vk_provider.kubelet.exposition import Page, labels
from vk_provider.kubelet.running_pods import RunningPod
from vk_provider.kubelet.usage_stats import NodeStats, epoch_ms

FAMILIES = {
    "container_cpu_usage_seconds_total": ("counter", "CPU time used by the container, in core-seconds."),
    "container_memory_working_set_bytes": ("gauge", "Working set of the container, in bytes."),
    "container_start_time_seconds": ("gauge", "When the container started, in seconds since the epoch."),
    "node_cpu_usage_seconds_total": ("counter", "CPU time used by all pods of the node, in core-seconds."),
    "node_memory_working_set_bytes": ("gauge", "Working set of all pods of the node, in bytes."),
    "pod_cpu_usage_seconds_total": ("counter", "CPU time used by the pod, in core-seconds."),
    "pod_memory_working_set_bytes": ("gauge", "Working set of the pod, in bytes."),
    "resource_scrape_error": ("gauge", "1 if there are no figures of late, else 0."),
    "scrape_error": ("gauge", "The older name of resource_scrape_error."),
}


def new_page() -> Page:
    return Page(FAMILIES)


def add_node(page: Page, node: NodeStats | None, *, failed: bool) -> None:
    if node is not None:
        page.add("node_cpu_usage_seconds_total", "", node.cpu.total_ns / 1e9, node.at_ms)
        page.add("node_memory_working_set_bytes", "", node.working_set, node.at_ms)
    page.add("resource_scrape_error", "", int(failed))
    page.add("scrape_error", "", int(failed))


def add_pod(page: Page, pod: RunningPod) -> None:
    figures = pod.figures
    if figures is None or not pod.is_measured:
        return
    for container in pod.containers:
        found = pod.of(container)
        if found is None or found.cpu is None or found.memory.working_set is None:
            continue
        who = labels(container=container.name, pod=pod.name, namespace=pod.namespace)
        page.add("container_cpu_usage_seconds_total", who, found.cpu.total_ns / 1e9, figures.at_ms)
        page.add("container_memory_working_set_bytes", who, found.memory.working_set, figures.at_ms)
        started_ms = epoch_ms(container.state.started_at)
        if started_ms is not None:
            page.add("container_start_time_seconds", who, started_ms / 1000)
    who = labels(namespace=pod.namespace, pod=pod.name)
    if figures.cpu is not None:
        page.add("pod_cpu_usage_seconds_total", who, figures.cpu.total_ns / 1e9, figures.at_ms)
    if figures.memory.working_set is not None:
        page.add("pod_memory_working_set_bytes", who, figures.memory.working_set, figures.at_ms)
