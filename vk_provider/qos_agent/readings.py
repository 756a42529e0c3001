"""What a kubelet says is used on its node: `/metrics/resource`, or `/stats/summary` where that is not served.

Source: kubernetes pkg/kubelet/metrics/collectors/resource_metrics.go, staging/src/k8s.io/kubelet/pkg/apis/stats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

RESOURCE_PATH = "/metrics/resource"
SUMMARY_PATH = "/stats/summary"
_LINE = re.compile(
    r"(?P<name>node|pod)_(?P<what>cpu_usage_seconds_total|memory_working_set_bytes)"
    r"(?:\{(?P<labels>[^}]*)\})? (?P<value>[^ ]+)(?: (?P<at_ms>-?\d{1,18}))?$",
    re.ASCII,
)
_LABEL = re.compile(r'(namespace|pod)="([^"\\]*)"')

Name = tuple[str, str]
"""Namespace and name of a pod: a kubelet's pages have no uid."""


@dataclass(frozen=True, slots=True)
class Sample:
    """at_s: when the kubelet took it, epoch seconds."""

    at_s: float
    value: float


@dataclass(frozen=True, slots=True)
class PodReading:
    """cpu: seconds of processor since the pod began. memory: working set in bytes. None = not said."""

    cpu: Sample | None = None
    memory: Sample | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The node and its pods at one moment. cpu: seconds of processor since the node began."""

    cpu: Sample
    memory: Sample
    pods: Mapping[Name, PodReading] = field(default_factory=dict)


def from_resource_metrics(text: str, *, at_s: float) -> Reading:
    """at_s: when it was read, for lines without a time. Raises ValueError where the node's own figures are missing."""
    node: dict[str, Sample] = {}
    pods: dict[Name, dict[str, Sample]] = {}
    for line in text.splitlines():
        if not line.startswith(("node_", "pod_")):
            continue
        match = _LINE.match(line)
        sample = _sample(match, at_s) if match else None
        if match is None or sample is None:
            continue
        what = "cpu" if match["what"].startswith("cpu") else "memory"
        if match["name"] == "node":
            node[what] = sample
            continue
        labels = dict(_LABEL.findall(match["labels"] or ""))
        if labels.get("namespace") and labels.get("pod"):
            pods.setdefault((labels["namespace"], labels["pod"]), {})[what] = sample
    if node.keys() != {"cpu", "memory"}:
        raise ValueError("the page has no node_cpu_usage_seconds_total and node_memory_working_set_bytes")
    return Reading(node["cpu"], node["memory"], {name: PodReading(**each) for name, each in pods.items()})


def from_summary(document: object, *, at_s: float) -> Reading:
    """Of `/stats/summary`, decoded. Raises ValueError where the node's own figures are missing."""
    summary = document if isinstance(document, Mapping) else {}
    node = _of_summary(summary.get("node"), at_s)
    if node.cpu is None or node.memory is None:
        raise ValueError("the summary has no usageCoreNanoSeconds and workingSetBytes of the node")
    return Reading(node.cpu, node.memory, dict(_pods_of_summary(summary.get("pods"), at_s)))


def _sample(match: re.Match[str], at_s: float) -> Sample | None:
    try:
        value = float(match["value"])
    except ValueError:
        return None
    stamped_s = at_s if match["at_ms"] is None else int(match["at_ms"]) / 1000
    return Sample(stamped_s, value) if math.isfinite(value) and value >= 0 else None


def _pods_of_summary(pods: object, at_s: float) -> Iterator[tuple[Name, PodReading]]:
    for each in pods if isinstance(pods, list) else ():
        reference = each.get("podRef") if isinstance(each, Mapping) else None
        name = reference if isinstance(reference, Mapping) else {}
        if isinstance(name.get("namespace"), str) and isinstance(name.get("name"), str):
            yield (name["namespace"], name["name"]), _of_summary(each, at_s)


def _of_summary(stats: object, at_s: float) -> PodReading:
    fields = stats if isinstance(stats, Mapping) else {}
    cpu = _field(fields.get("cpu"), "usageCoreNanoSeconds", at_s)
    memory = _field(fields.get("memory"), "workingSetBytes", at_s)
    return PodReading(None if cpu is None else Sample(cpu.at_s, cpu.value / 1e9), memory)


def _field(stats: Any, name: str, at_s: float) -> Sample | None:
    value = stats.get(name) if isinstance(stats, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        return None
    return Sample(_stamp(stats.get("time"), at_s), float(value))


def _stamp(text: object, at_s: float) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else at_s
    except ValueError:
        return at_s
