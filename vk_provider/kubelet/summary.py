"""`/stats/summary`: what old metrics-servers, dashboards and test suites read (kubelet.md h.2). Pure.

Every pod that runs stands in it, with whatever is known of it: an unknown figure is left out and never 0 (M8).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from vk_provider.kubelet.running_pods import RunningPod
from vk_provider.kubelet.usage_stats import Cpu, NodeStats, PodStats
from vk_provider.model.instance import ContainerReport
from vk_provider.model.usage import InterfaceUsage, MemoryUsage

Json = dict[str, Any]


def node_stats(name: str, started_at: str, figures: NodeStats | None) -> Json:
    stats: Json = {"nodeName": name, "startTime": started_at}
    if figures is not None:
        time = _time(figures.at_ms)
        stats["cpu"] = _cpu(figures.cpu, time)
        stats["memory"] = {"time": time, "workingSetBytes": figures.working_set}
    return stats


def pod_stats(pod: RunningPod, *, only_cpu_and_memory: bool) -> Json:
    meta = pod.pod["metadata"]
    stats: Json = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": meta["uid"]},
        "startTime": (pod.pod.get("status") or {}).get("startTime") or meta.get("creationTimestamp"),
        "containers": [_container(pod, container) for container in pod.containers],
    }
    if pod.figures is not None:
        stats |= _measured(pod.figures.cpu, pod.figures.memory, _time(pod.figures.at_ms))
        if pod.figures.interfaces and not only_cpu_and_memory:
            stats["network"] = _network(pod.figures)
    return stats


def _container(pod: RunningPod, container: ContainerReport) -> Json:
    stats: Json = {"name": container.name, "startTime": container.state.started_at or None}
    found = pod.of(container)
    if found is not None and pod.figures is not None:
        stats |= _measured(found.cpu, found.memory, _time(pod.figures.at_ms))
    return stats


def _measured(cpu: Cpu | None, memory: MemoryUsage, time: str) -> Json:
    stats: Json = {}
    if cpu is not None:
        stats["cpu"] = _cpu(cpu, time)
    known = {
        "availableBytes": memory.available,
        "usageBytes": memory.usage,
        "workingSetBytes": memory.working_set,
        "rssBytes": memory.rss,
    }
    given = {name: value for name, value in known.items() if value is not None}
    if given:
        stats["memory"] = {"time": time, **given}
    return stats


def _cpu(cpu: Cpu, time: str) -> Json:
    rate = {} if cpu.nano_cores is None else {"usageNanoCores": cpu.nano_cores}
    return {"time": time, **rate, "usageCoreNanoSeconds": cpu.total_ns}


def _network(figures: PodStats) -> Json:
    """The first interface is the pod's own; it stands beside the list of all."""
    every = [_interface(one) for one in figures.interfaces]
    return {"time": _time(figures.at_ms), **every[0], "interfaces": every}


def _interface(one: InterfaceUsage) -> Json:
    return {
        "name": one.name,
        "rxBytes": one.rx_bytes,
        "rxErrors": one.rx_errors,
        "txBytes": one.tx_bytes,
        "txErrors": one.tx_errors,
    }


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
