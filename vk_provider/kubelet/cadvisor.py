"""`/metrics/cadvisor`: the figures under the names that dashboards ask for (kubelet.md M10).

A series with an empty container is the whole pod, and CPU time has the label `cpu="total"`: dashboards ask for both.
Nothing is told of file systems, of which no figures are read.
"""

from __future__ import annotations

from typing import Any

from vk_provider.kubelet.exposition import Page, labels
from vk_provider.kubelet.running_pods import RunningPod
from vk_provider.kubelet.usage_stats import PodStats, epoch_ms
from vk_provider.model import quantity
from vk_provider.model.instance import ContainerReport
from vk_provider.model.usage import MemoryUsage

Json = dict[str, Any]

CPU_PERIOD_US = 100_000
FAMILIES = {
    "container_cpu_usage_seconds_total": ("counter", "CPU time used, in core-seconds."),
    "container_last_seen": ("gauge", "When the figures were measured, in seconds since the epoch."),
    "container_memory_rss": ("gauge", "Anonymous memory, in bytes."),
    "container_memory_usage_bytes": ("gauge", "Memory in use, caches included, in bytes."),
    "container_memory_working_set_bytes": ("gauge", "Working set, in bytes."),
    "container_network_receive_bytes_total": ("counter", "Bytes received by the pod."),
    "container_network_receive_errors_total": ("counter", "Errors while receiving."),
    "container_network_transmit_bytes_total": ("counter", "Bytes sent by the pod."),
    "container_network_transmit_errors_total": ("counter", "Errors while sending."),
    "container_spec_cpu_period": ("gauge", "Period of the CPU limit, in microseconds."),
    "container_spec_cpu_quota": ("gauge", "CPU time per period that the limit allows, in microseconds."),
    "container_spec_memory_limit_bytes": ("gauge", "Memory limit, in bytes."),
    "container_start_time_seconds": ("gauge", "When the container started, in seconds since the epoch."),
}


def new_page() -> Page:
    return Page(FAMILIES)


def add_pod(page: Page, pod: RunningPod) -> None:
    """Whatever is known; other than `/metrics/resource` this page has no reader that wants all or nothing."""
    uid = pod.pod["metadata"]["uid"]
    for container in pod.containers:
        named = _container_labels(pod, container)
        who = labels(**named)
        _add_spec(page, who, _spec_of(pod.pod, container.name))
        started_ms = epoch_ms(container.state.started_at)
        if started_ms is not None:
            page.add("container_start_time_seconds", who, started_ms / 1000)
        found = pod.of(container)
        if pod.figures is None or found is None:
            continue
        if found.cpu is not None:
            cpu = labels(**named, cpu="total")
            page.add("container_cpu_usage_seconds_total", cpu, found.cpu.total_ns / 1e9, pod.figures.at_ms)
        page.add("container_last_seen", who, pod.figures.at_ms / 1000)
        _add_memory(page, who, found.memory, pod.figures.at_ms)
    if pod.figures is not None:
        _add_whole(page, pod, pod.figures, f"/kubepods/pod{uid}")


def _container_labels(pod: RunningPod, container: ContainerReport) -> dict[str, str]:
    name = container.container_id.rpartition("/")[2]
    return {
        "container": container.name,
        "pod": pod.name,
        "namespace": pod.namespace,
        "id": f"/kubepods/pod{pod.pod['metadata']['uid']}/{name or container.name}",
        "image": container.image,
        "name": name,
    }


def _add_whole(page: Page, pod: RunningPod, figures: PodStats, id_: str) -> None:
    where = {"container": "", "pod": pod.name, "namespace": pod.namespace, "id": id_, "image": "", "name": ""}
    who = labels(**where)
    if figures.cpu is not None:
        cpu = labels(**where, cpu="total")
        page.add("container_cpu_usage_seconds_total", cpu, figures.cpu.total_ns / 1e9, figures.at_ms)
    page.add("container_last_seen", who, figures.at_ms / 1000)
    _add_memory(page, who, figures.memory, figures.at_ms)
    for one in figures.interfaces:
        who = labels(**where, interface=one.name)
        page.add("container_network_receive_bytes_total", who, one.rx_bytes, figures.at_ms)
        page.add("container_network_receive_errors_total", who, one.rx_errors, figures.at_ms)
        page.add("container_network_transmit_bytes_total", who, one.tx_bytes, figures.at_ms)
        page.add("container_network_transmit_errors_total", who, one.tx_errors, figures.at_ms)


def _add_memory(page: Page, who: str, memory: MemoryUsage, at_ms: int) -> None:
    for name, value in (
        ("container_memory_rss", memory.rss),
        ("container_memory_usage_bytes", memory.usage),
        ("container_memory_working_set_bytes", memory.working_set),
    ):
        if value is not None:
            page.add(name, who, value, at_ms)


def _add_spec(page: Page, who: str, spec: Json) -> None:
    limits = (spec.get("resources") or {}).get("limits") or {}
    if "cpu" in limits:
        page.add("container_spec_cpu_period", who, CPU_PERIOD_US)
        page.add("container_spec_cpu_quota", who, int(quantity.parse(limits["cpu"]) * CPU_PERIOD_US))
    if "memory" in limits:
        page.add("container_spec_memory_limit_bytes", who, int(quantity.parse(limits["memory"])))


def _spec_of(pod: Json, name: str) -> Json:
    spec = pod.get("spec") or {}
    every = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return next((one for one in every if one.get("name") == name), {})
